// jose goes through a rotation of the token key with the one key set that a service makes at its start.
// Arguments: the folder of node_modules, where the JWK set is, issuer, audience. For each line that comes, a line of JSON
// goes out: for a token the key that verified it, or why it was refused; after `reload` the keys were fetched anew. Each
// says how often they were fetched. verifying.py is the same with PyJWT.

import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

const [modules, url, issuer, audience] = process.argv.slice(2);
const { createRemoteJWKSet, customFetch, jwtVerify } = await import(pathToFileURL(createRequire(`${modules}/`).resolve("jose")));

let fetched = 0;
const counted = (...request) => {
  fetched += 1;
  return fetch(...request);
};
// Every unknown key may be looked for at once; by default jose waits half a minute between two fetches.
const keys = createRemoteJWKSet(new URL(url), { cooldownDuration: 0, [customFetch]: counted });

const verified = (token) =>
  jwtVerify(token, keys, { issuer, audience, typ: "at+jwt", algorithms: ["ES256"] }).then(
    ({ payload, protectedHeader }) => ({ kid: protectedHeader.kid, subject: payload.sub }),
    (error) => ({ refused: error.code }),
  );
const reloaded = () => keys.reload().then(() => ({ keys: keys.jwks().keys.length }));

for await (const line of createInterface({ input: process.stdin })) {
  const answer = await (line === "reload" ? reloaded() : verified(line));
  console.log(JSON.stringify({ ...answer, fetched }));
}
