// The status list before @sd-jwt/jwt-status-list and jose, which nobody here wrote: the list from before a revocation, the
// one from after it, and what somebody made of them.
// Arguments: the folder of node_modules, and what status.py left.

import assert from "node:assert";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const [modules, file] = process.argv.slice(2);
const { resolve } = createRequire(`${modules}/`);
const { getListFromStatusListJWT, getStatusListFromJWT } = await import(pathToFileURL(resolve("@sd-jwt/jwt-status-list")));
const { SignJWT, createLocalJWKSet, decodeJwt, decodeProtectedHeader, generateKeyPair, jwtVerify } = await import(pathToFileURL(resolve("jose")));

const { before, after, dead, living, keys, issuer } = JSON.parse(readFileSync(file, "utf8"));
const trusted = createLocalJWKSet(keys);
const [exp, fresh] = [decodeJwt(after).exp, new Date()];

// What a service does: the token, the reference in it, the list that it refers to, and the entry in that.
async function status(token, list, now = fresh) {
  await jwtVerify(token, trusted, { issuer, typ: "at+jwt", algorithms: ["ES256"], currentDate: fresh });
  const { idx, uri } = getStatusListFromJWT(token);
  const expected = { typ: "statuslist+jwt", subject: uri, algorithms: ["ES256"], requiredClaims: ["iat", "exp", "ttl"], currentDate: now };
  await jwtVerify(list, trusted, expected);
  return getListFromStatusListJWT(list).getStatus(idx);
}
const refused = (list, code, now) => assert.rejects(status(living, list, now), { code }, `${code} was due`);

for (const token of [...dead, living]) {
  assert.equal(await status(token, before), 0, "before the revocation each is accepted");
}
for (const token of dead) {
  assert.equal(await status(token, after), 1, "what was revoked is refused");
}
assert.equal(await status(living, after), 0, "what was not is accepted");

const list = getListFromStatusListJWT(after);
assert.equal(list.getBitsPerStatus(), 1);
assert.equal(list.statusList.length, 1 << 20);
assert.equal(list.statusList.filter((status) => status !== 0).length, dead.length, "nobody else is named");
assert.throws(() => list.getStatus(1 << 20));

// Its time.
assert.equal(await status(dead[0], after, new Date((exp - 1) * 1000)), 1);
await refused(after, "ERR_JWT_EXPIRED", new Date((exp + 1) * 1000));

// Forgeries: the list of before under the signature of after, a foreign key under the same name, no signature at all,
// something else that the same key signed, and a list for elsewhere.
const [head, , signature] = after.split(".");
await refused([head, before.split(".")[1], signature].join("."), "ERR_JWS_SIGNATURE_VERIFICATION_FAILED");
const { privateKey } = await generateKeyPair("ES256");
const claims = { ...decodeJwt(before), exp: exp + 3600 };
await refused(await new SignJWT(claims).setProtectedHeader(decodeProtectedHeader(after)).sign(privateKey), "ERR_JWS_SIGNATURE_VERIFICATION_FAILED");
const none = Buffer.from(JSON.stringify({ ...decodeProtectedHeader(after), alg: "none" })).toString("base64url");
await refused([none, before.split(".")[1], ""].join("."), "ERR_JOSE_ALG_NOT_ALLOWED");
await refused(living, "ERR_JWT_CLAIM_VALIDATION_FAILED");
await assert.rejects(
  jwtVerify(after, trusted, { typ: "statuslist+jwt", subject: `${getStatusListFromJWT(living).uri}0` }),
  { code: "ERR_JWT_CLAIM_VALIDATION_FAILED" },
);
console.log("@sd-jwt/jwt-status-list and jose accept what lives, refuse what was revoked, and every forgery");
