"""Status lists before Python's zlib: each is what it is said to be, whoever wrote it.

Argument: a file of lists, each with the statuses that are not 0. Prints them as zlib writes them.
"""

import base64
import json
import sys
import zlib
from pathlib import Path


def main():
    written = []
    for vector in json.loads(Path(sys.argv[1]).read_text()):
        bits, lst = vector["bits"], vector["lst"]
        packed = zlib.decompress(base64.urlsafe_b64decode(lst + "=" * (-len(lst) % 4)))
        each = 8 // bits
        found = [[index, byte >> index % each * bits & 2**bits - 1] for at, byte in enumerate(packed) if byte for index in range(at * each, (at + 1) * each)]
        assert [entry for entry in found if entry[1]] == vector["statuses"], f"{bits} bits: {lst[:40]}"
        assert len(packed) * each == vector["size"]
        written.append(base64.urlsafe_b64encode(zlib.compress(packed)).rstrip(b"=").decode())
    print(json.dumps(written))


main()
