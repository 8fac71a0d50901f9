/** What a TV's browser loads is in a language that it knows. */

import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { test } from "node:test";
import { parse } from "acorn";

const home = new URL("../", import.meta.url);

/** Chromium 68: what webOS 5 and Tizen 5.5 have. Its BigInts are called, not written. */
const ECMA_VERSION = 2019;

function parsed(source, sourceType, address) {
  try {
    return parse(source, { ecmaVersion: ECMA_VERSION, sourceType });
  } catch (error) {
    throw new Error(`${address}: ${error.message}`);
  }
}

/** Every module that `entry` needs, by its address; throws on what isn't understood. */
function loadedWith(entry) {
  const found = new Map();
  const queue = [entry];
  while (queue.length) {
    const url = queue.pop();
    if (found.has(url.href)) continue;
    const { body } = parsed(readFileSync(url, "utf8"), "module", url);
    found.set(url.href, url);
    for (const { value: name } of body.map((node) => node.source).filter(Boolean)) {
      queue.push(name.startsWith(".") ? new URL(name, url) : new URL(import.meta.resolve(name)));
    }
  }
  return found;
}

const loaded = loadedWith(new URL("src/browser.js", home));

test("everything that a browser loads is understood by Chromium 68", () => {
  const script = readFileSync(new URL("node_modules/tweetnacl/nacl-fast.js", home), "utf8");
  parsed(script, "script", "tweetnacl");

  assert.ok(loaded.size > 50); // Parsed on the way.
});

test("no module for all platforms needs Node", () => {
  for (const url of loaded.keys()) assert.doesNotMatch(url, /src\/node\/|^node:/);
});

test("every module for all platforms is among them", () => {
  const modules = readdirSync(new URL("src/", home)).filter((name) => name.endsWith(".js"));
  const missing = modules.filter((name) => !loaded.has(new URL(`src/${name}`, home).href));

  // Types have no code, and memory is for whoever has nothing better.
  assert.deepEqual(missing, ["memory.js", "types.js"]);
});

test("packages are what the lock file says", () => {
  const lock = JSON.parse(readFileSync(new URL("package-lock.json", home), "utf8"));
  const { dependencies, devDependencies } = JSON.parse(
    readFileSync(new URL("package.json", home), "utf8"),
  );

  for (const [name, version] of Object.entries({ ...dependencies, ...devDependencies })) {
    assert.equal(lock.packages[`node_modules/${name}`].version, version);
  }
});
