"""Computes the root of the Merkle tree (RFC 6962, section 2.1) from exported entries, and compares."""

import base64
import hashlib
import json
import sys


def sha256(data):
    return hashlib.sha256(data).digest()


def root(leaves):
    """Section 2.1, word for word."""
    if len(leaves) == 1:
        return leaves[0]
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return sha256(b"\x01" + root(leaves[:k]) + root(leaves[k:]))


def main():
    path, expected, size = sys.argv[1:]
    leaves = []
    with open(path, encoding="utf-8") as lines:
        for position, line in enumerate(lines, 1):
            entry = json.loads(line)
            assert entry["position"] == position, entry
            assert entry["event"] and entry["time"].endswith("Z") and entry["unreadable"] is None, entry
            leaf = sha256(b"\x00" + base64.b64decode(entry["entry"], validate=True))
            assert leaf.hex() == entry["leaf"], entry
            leaves.append(leaf)
    assert len(leaves) == int(size), f"{len(leaves)} entries instead of {size}"
    assert root(leaves).hex() == expected, f"root {root(leaves).hex()} instead of {expected}"
    print(f"the root of {size} entries is {expected}")


main()
