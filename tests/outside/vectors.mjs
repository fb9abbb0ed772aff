// Status lists before @sd-jwt/jwt-status-list: each is what it is said to be, whoever wrote it.
// Arguments: the folder of node_modules, and a file of lists, each with the statuses that are not 0. Prints them as it
// writes them.

import assert from "node:assert";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const [modules, file] = process.argv.slice(2);
const { StatusList } = createRequire(`${modules}/`)("@sd-jwt/jwt-status-list");

const written = JSON.parse(readFileSync(file, "utf8")).map(({ bits, size, lst, statuses }) => {
  const read = StatusList.decompressStatusList(lst, bits);
  assert.equal(read.statusList.length, size);
  const found = [...read.statusList.entries()].filter(([, status]) => status !== 0);
  assert.deepEqual(found, statuses, `${bits} bits: ${lst.slice(0, 40)}`);
  return new StatusList(read.statusList, bits).compressStatusList();
});
console.log(JSON.stringify(written));
