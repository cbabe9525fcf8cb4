"""The cryptography of docs/FORMAT.md, chapters 1, 3, 4 and 6, by the names used there.

Promises: nothing is returned that did not authenticate; what does not raises wire.Refused. Not here: what
is signed or sealed (repository.py), signing and sealing (the tests do it with the same parts).
"""
from __future__ import annotations

import hashlib
import hmac as hmac_module

import zstandard
from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from wire import Refused, need

ZERO_NONCE = bytes(12)
LEAF_BYTES = 16384
WINDOW_BYTES_MAX = 1 << 23


def sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def hmac(key: bytes, data: bytes) -> bytes:
    return hmac_module.digest(key, data, "sha256")


def hkdf(ikm: bytes, salt: bytes, info: bytes, size: int) -> bytes:
    return _expand(hmac(salt or bytes(32), ikm), info, size)


def _expand(prk: bytes, info: bytes, size: int) -> bytes:
    return HKDFExpand(hashes.SHA256(), size, info).derive(prk)


def leaves(data: bytes) -> bytes:
    return b"".join(sha256(data[at:at + LEAF_BYTES]) for at in range(0, len(data), LEAF_BYTES))


def tree_hash(label: bytes, data: bytes) -> bytes:
    return sha256(label + len(data).to_bytes(8, "little") + leaves(data))


def padme(size: int) -> int:
    if size < 2:
        return size
    exponent = size.bit_length() - 1
    step = 1 << max(exponent - exponent.bit_length(), 0)
    return -(-size // step) * step


def capability(content_key: bytes, chunk_type: int, plain: bytes) -> bytes:
    return hmac(content_key, bytes([chunk_type]) + len(plain).to_bytes(8, "little") + leaves(plain))


def gcm_open(key: bytes, nonce: bytes, aad: bytes, sealed: bytes, what: str) -> bytes:
    try:
        return AESGCM(key).decrypt(nonce, sealed, aad)
    except InvalidTag:
        raise Refused(f"{what} does not authenticate") from None


def open_committed(ikm: bytes, salt: bytes, commitment: bytes, info: bytes, aad: bytes,
                   sealed: bytes) -> bytes:
    """Compares the commitment, then opens."""
    both = hkdf(ikm, salt, info, 64)
    need(hmac_module.compare_digest(both[32:], commitment), "commitment differs: another key")
    return gcm_open(both[:32], ZERO_NONCE, aad, sealed, "sealed object")


def verify(public_key: bytes, signature: bytes, message: bytes) -> None:
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
    except InvalidSignature:
        raise Refused("signature does not verify") from None


def ed25519_public(seed: bytes) -> bytes:
    return _raw(Ed25519PrivateKey.from_private_bytes(seed).public_key())


def x25519_public(private_key: bytes) -> bytes:
    return _raw(X25519PrivateKey.from_private_bytes(private_key).public_key())


def _raw(public_key: Ed25519PublicKey | X25519PublicKey) -> bytes:
    return public_key.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)


def hpke_psk_open(private_key: bytes, psk: bytes, psk_id: bytes, info: bytes, sealed: bytes) -> bytes:
    """RFC 9180, mode_psk, DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-256-GCM; the first message, no aad."""
    kem, suite = b"KEM\x00\x20", b"HPKE\x00\x20\x00\x01\x00\x02"

    def extract(suite_id: bytes, salt: bytes, label: bytes, ikm: bytes) -> bytes:
        return hmac(salt or bytes(32), b"HPKE-v1" + suite_id + label + ikm)

    def expand(suite_id: bytes, prk: bytes, label: bytes, context: bytes, size: int) -> bytes:
        return _expand(prk, size.to_bytes(2, "big") + b"HPKE-v1" + suite_id + label + context, size)

    enc = sealed[:32]
    try:
        shared = X25519PrivateKey.from_private_bytes(private_key).exchange(
            X25519PublicKey.from_public_bytes(enc))
    except ValueError:
        raise Refused("capability with a public key of small order") from None
    secret = expand(kem, extract(kem, b"", b"eae_prk", shared), b"shared_secret",
                    enc + x25519_public(private_key), 32)
    context = b"\1" + extract(suite, b"", b"psk_id_hash", psk_id) + extract(suite, b"", b"info_hash", info)
    secret = extract(suite, secret, b"secret", psk)
    key, nonce = expand(suite, secret, b"key", context, 32), expand(suite, secret, b"base_nonce", context, 12)
    return gcm_open(key, nonce, b"", sealed[32:], "capability")


def unzstd(encoded: bytes, plain_size: int) -> bytes:
    """Decodes exactly one frame to exactly `plain_size` bytes."""
    try:
        frame = zstandard.get_frame_parameters(encoded)
        need(encoded[:4] == b"\x28\xb5\x2f\xfd" and frame.dict_id == 0, "not a plain zstd frame")
        need(frame.window_size <= WINDOW_BYTES_MAX, f"zstd window of {frame.window_size} bytes")
        decoder = zstandard.ZstdDecompressor(max_window_size=WINDOW_BYTES_MAX).decompressobj()
        plain = bytearray()
        for at in range(0, len(encoded), 4096):  # in pieces, so that a bomb is noticed early
            need(not decoder.eof, "bytes after the zstd frame")
            plain += decoder.decompress(encoded[at:at + 4096])
            need(len(plain) <= plain_size, "zstd frame decodes to too much")
    except zstandard.ZstdError as error:
        raise Refused(f"zstd: {error}") from None
    need(decoder.eof and not decoder.unused_data, "zstd frame ends early or is followed by something")
    need(len(plain) == plain_size, "zstd frame decodes to too little")
    return bytes(plain)
