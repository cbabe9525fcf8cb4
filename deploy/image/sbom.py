#!/usr/bin/env python3
"""Writes what is in the image as SPDX 2.3: the program, and the Debian package and version of each library.

  sbom.py --version V --binary FILE --out FILE LIBRARY...
"""
import argparse
import hashlib
import json
import os
import subprocess


def package_of(path):
    """(name, version) of the Debian package that a file is from, or None."""
    for candidate in (path, os.path.realpath(path), path.removeprefix("/usr"), "/usr" + path):
        found = subprocess.run(["dpkg-query", "-S", candidate], capture_output=True, text=True, check=False)
        if found.returncode == 0:
            name = found.stdout.split(": ")[0].split(",")[0]
            version = subprocess.run(["dpkg-query", "-W", "-f", "${Version}", name], capture_output=True, text=True,
                                     check=True).stdout
            return name.split(":")[0], version
    return None


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--version", required=True)
    parser.add_argument("--binary", required=True)
    parser.add_argument("--out", required=True)
    parser.add_argument("libraries", nargs="*")
    options = parser.parse_args()
    with open(options.binary, "rb") as file:
        digest = hashlib.sha256(file.read()).hexdigest()
    packages = sorted({found for found in map(package_of, options.libraries) if found})
    document = {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": f"firn-{options.version}",
        "documentNamespace": f"urn:firn:{options.version}:{digest}",
        "creationInfo": {"created": "1970-01-01T00:00:00Z", "creators": ["Tool: deploy/image/sbom.py"]},
        "packages": [{
            "SPDXID": "SPDXRef-firn",
            "name": "firn",
            "versionInfo": options.version,
            "downloadLocation": "NOASSERTION",
            "licenseDeclared": "Apache-2.0",
            "checksums": [{"algorithm": "SHA256", "checksumValue": digest}],
        }] + [{
            "SPDXID": f"SPDXRef-{name.replace('+', '-')}",
            "name": name,
            "versionInfo": version,
            "downloadLocation": "NOASSERTION",
            "externalRefs": [{
                "referenceCategory": "PACKAGE-MANAGER",
                "referenceType": "purl",
                "referenceLocator": f"pkg:deb/debian/{name}@{version}",
            }],
        } for name, version in packages],
        "relationships": [{"spdxElementId": "SPDXRef-DOCUMENT", "relationshipType": "DESCRIBES",
                           "relatedSpdxElement": "SPDXRef-firn"}] +
                         [{"spdxElementId": "SPDXRef-firn", "relationshipType": "DYNAMIC_LINK",
                           "relatedSpdxElement": f"SPDXRef-{name.replace('+', '-')}"} for name, _ in packages],
    }
    with open(options.out, "w", encoding="utf-8") as file:
        json.dump(document, file, indent=1)


if __name__ == "__main__":
    main()
