"""A service in Python that verifies tokens with PyJWT and the one client for key sets that it makes at its start.

Arguments: where the JWK set is, issuer, audience, what vouches for the server. For each line that comes, a line of JSON
goes out: for a token the key that verified it, or why it was refused; after `reload` the keys were fetched anew. Each
says how often they were fetched. rotation.mjs is the same with jose.
"""

import json
import ssl
import sys

import jwt

url, issuer, audience, ca = sys.argv[1:]


class Counted(jwt.PyJWKClient):
    fetched = 0

    def fetch_data(self):
        self.fetched += 1
        return super().fetch_data()


# Every unknown key may be looked for at once; by default PyJWT waits half a minute between two fetches.
keys = Counted(url, cooldown_duration=0, ssl_context=ssl.create_default_context(cafile=ca))


def verified(token):
    try:
        key = keys.get_signing_key_from_jwt(token)
        claims = jwt.decode(token, key, algorithms=["ES256"], audience=audience, issuer=issuer)
    except (jwt.PyJWKClientError, jwt.InvalidTokenError) as error:
        return {"refused": type(error).__name__}
    return {"kid": key.key_id, "subject": claims["sub"]}


for line in map(str.strip, sys.stdin):
    answer = verified(line) if line != "reload" else {"keys": len(keys.get_jwk_set(refresh=True).keys)}
    print(json.dumps({**answer, "fetched": keys.fetched}), flush=True)
