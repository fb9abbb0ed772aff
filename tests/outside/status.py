"""The status list before other judges: Python's zlib, PyJWT, the sample service; npm's @sd-jwt comes after."""

import gzip
import json
import ssl
import sys
import time
import urllib.request
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import jwt

from broker import AUDIENCE, Broker, raises

sys.path.insert(0, str(Path(__file__).parents[2] / "docs/samples"))
from status_list import Revoked, Service  # noqa: E402


def main():
    broker = Broker()
    first, second, other = broker.token("payments/api").token, broker.token("payments/api").token, broker.token("acme/reporting").token
    references = [jwt.decode(token, options={"verify_signature": False})["status"]["status_list"] for token in (first, second, other)]
    assert len({reference["idx"] for reference in references}) == 3, "no index twice"
    [uri] = {reference["uri"] for reference in references}
    path = uri.removeprefix(broker.url)

    def service():
        return Service(broker.url, AUDIENCE, str(broker.ca), url=broker.public)

    before = service()
    for token in (first, second, other):
        assert before.accept(token)["aud"] == AUDIENCE
    raises(Revoked, before.status, uri, 1 << 20)
    raises(Revoked, before.status, "https://elsewhere.example.org/v1/status/0", 1)

    headers, text = get(broker, path)
    assert headers["content-type"] == "application/statuslist+jwt" and headers["access-control-allow-origin"] == "*"
    zipped, packed = get(broker, path, {"Accept-Encoding": "gzip"})
    assert zipped["content-encoding"] == "gzip" and jwt.get_unverified_header(gzip.decompress(packed).decode())["typ"] == "statuslist+jwt"
    claims = jwt.decode(text, options={"verify_signature": False})
    assert claims["sub"] == uri and claims["exp"] - claims["iat"] == 600 and claims["ttl"] == 60
    listed = json.loads(get(broker, claims["status_list"]["aggregation_uri"].removeprefix(broker.url))[1])
    assert uri in listed["status_lists"]
    discovery = json.loads(broker.fetch("/.well-known/openid-configuration"))
    assert discovery["status_list_aggregation_endpoint"] == claims["status_list"]["aggregation_uri"]

    broker.revoke_owner("payments", "CESSATION_OF_OPERATION")
    end = time.monotonic() + 30
    while service().status(uri, references[0]["idx"]) == 0:
        assert time.monotonic() < end, "not named within 30 s"
    after = service()
    raises(Revoked, after.accept, first)
    raises(Revoked, after.accept, second)
    assert after.accept(other)["aud"] == AUDIENCE
    # A copy is kept for its ttl and no longer.
    assert before.accept(first), "it does not know yet"
    before.lists[uri] = (0, before.lists[uri][1])
    raises(Revoked, before.accept, first)

    for ahead, expected in ((-60, jwt.ImmatureSignatureError), (-3600, jwt.ImmatureSignatureError), (3600, jwt.ExpiredSignatureError)):
        with clock(ahead):
            raises(expected, service().accept, other)
            raises(expected, service().accept, first)
    with clock(60):
        assert service().accept(other)["aud"] == AUDIENCE
        raises(Revoked, service().accept, first)

    # What the other judge sees: the list as it was, as it is, and what to verify them with.
    told = {"before": text.decode(), "after": get(broker, path)[1].decode(), "dead": [first, second], "living": other}
    told |= {"keys": json.loads(broker.fetch("/.well-known/jwks.json")), "issuer": broker.url}
    Path(sys.argv[1]).with_name("status.json").write_text(json.dumps(told))
    print("zlib, PyJWT and the sample service judge by the status list")


@contextmanager
def clock(ahead):
    """PyJWT goes by a clock that is so many seconds ahead."""
    right = jwt.api_jwt.datetime
    jwt.api_jwt.datetime = type("Ahead", (right,), {"now": classmethod(lambda _, tz=None: right.now(tz) + timedelta(seconds=ahead))})
    try:
        yield
    finally:
        jwt.api_jwt.datetime = right


def get(broker, path, headers=None):
    context = ssl.create_default_context(cafile=str(broker.ca))
    with urllib.request.urlopen(urllib.request.Request(broker.public + path, headers=headers or {}), context=context, timeout=10) as answer:
        return answer.headers, answer.read()


main()
