// The status list before @sd-jwt/jwt-status-list, which nobody here wrote.
// Arguments: the folder of node_modules, and what status.py left.

import assert from "node:assert";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const [modules, file] = process.argv.slice(2);
const { getListFromStatusListJWT, getStatusListFromJWT } = createRequire(`${modules}/`)("@sd-jwt/jwt-status-list");
assert(getStatusListFromJWT, "it reads references too");

const { jwt, dead, living } = JSON.parse(readFileSync(file, "utf8"));
const list = getListFromStatusListJWT(jwt);
assert.equal(list.getBitsPerStatus(), 1);
assert.equal(list.statusList.length, 1 << 20);
for (const index of dead) {
  assert.equal(list.getStatus(index), 1, `index ${index}`);
}
assert.equal(list.getStatus(living), 0);
assert.equal(list.statusList.filter((status) => status !== 0).length, dead.length, "nobody else is named");
assert.throws(() => list.getStatus(1 << 20));
console.log("@sd-jwt/jwt-status-list reads the same");
