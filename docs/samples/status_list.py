"""A service in Python that accepts tokens of a Curfew broker, and looks each up in its Token Status List.

PyJWT checks the token; the status list says whether it was revoked. `urllib`, `zlib` and PyJWT are all it
takes. See docs/python-service.md.
"""

import base64
import json
import ssl
import time
import urllib.request
import zlib

import jwt

LARGEST = 1 << 20  # a list that inflates to more is refused


class Revoked(Exception):
    """The token was revoked, or nobody can say that it was not."""


class Service:
    """Accepts tokens for one audience. `issuer` is the URL of the broker, `cafile` what it is trusted by."""

    def __init__(self, issuer, audience, cafile, url=None):
        self.issuer, self.audience, self.url = issuer, audience, url or issuer
        self.context = ssl.create_default_context(cafile=cafile)
        self.keys, self.lists = {}, {}

    def accept(self, token):
        """The claims of a good token."""
        claims = self.decode(token, "at+jwt", audience=self.audience, issuer=self.issuer, options={"require": ["exp", "iat", "aud"]})
        reference = claims["status"]["status_list"]
        if self.status(reference["uri"], reference["idx"]) != 0:
            raise Revoked("the token was revoked")
        return claims

    def status(self, uri, index):
        """0 is valid. An index that the list has not is no status."""
        bits, statuses = self.list(uri)
        per_byte = 8 // bits
        if not 0 <= index < len(statuses) * per_byte:
            raise Revoked("the status list has no such index")
        return statuses[index // per_byte] >> (index % per_byte * bits) & ((1 << bits) - 1)

    def list(self, uri):
        """The list, kept for its `ttl`, and never longer than until it ends."""
        if not uri.startswith(f"{self.issuer}/v1/status/"):
            raise Revoked("the status list is another issuer's")
        known = self.lists.get(uri)
        if known is None or time.monotonic() >= known[0]:
            token = self.fetch(uri.removeprefix(self.issuer))
            claims = self.decode(token, "statuslist+jwt", options={"require": ["exp", "iat", "sub"], "verify_sub": False})
            if claims["sub"] != uri:
                raise Revoked("it is another list")
            compressed = base64.urlsafe_b64decode(claims["status_list"]["lst"] + "==")
            inflater = zlib.decompressobj()
            statuses = inflater.decompress(compressed, LARGEST)
            if inflater.unconsumed_tail:
                raise Revoked("the status list is too long")
            fresh = time.monotonic() + min(claims.get("ttl", 0), claims["exp"] - time.time())
            known = self.lists[uri] = (fresh, (claims["status_list"]["bits"], statuses))
        return known[1]

    def decode(self, token, typ, **expected):
        header = jwt.get_unverified_header(token)
        if header.get("typ") != typ:
            raise jwt.InvalidTokenError(f"it is no {typ}")
        return jwt.decode(token, self.key(header["kid"]), algorithms=["ES256"], **expected)

    def key(self, kid):
        """A key of the broker; an unknown one is asked for once."""
        if kid not in self.keys:
            found = jwt.PyJWKSet.from_dict(json.loads(self.fetch("/.well-known/jwks.json")))
            self.keys = {key.key_id: key for key in found.keys}
        if kid not in self.keys:
            raise jwt.InvalidKeyError("no such key")
        return self.keys[kid]

    def fetch(self, path):
        with urllib.request.urlopen(self.url + path, context=self.context, timeout=10) as answer:
            return answer.read().decode()
