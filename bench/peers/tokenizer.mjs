// SPDX-License-Identifier: Apache-2.0
// The Hugging Face Rust tokenizer through its Node binding, for comparison with bench_tokenizer.
//   node tokenizer.mjs PACKAGE TOKENIZER.json TEXTS [seconds]
// Every line of TEXTS is a text. Timed are whole passes of encodeBatch over all texts, in batches of several sizes, and
// of encode one by one; the fastest pass of the fastest way counts. Included: the calls from JavaScript, with the
// conversion of its strings to UTF-8. Not included: reading the file, and getting ids and offsets out as JavaScript
// arrays (the encodings stay inside the library, offsets computed). That conversion of strings is timed by itself
// (Buffer.from), and `best_without_strings_s` leaves it out, in favour of the peer.
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";
import fs from "node:fs";

const [, , name, file, textFile, seconds = "3"] = process.argv;
const require = createRequire(pathToFileURL(process.cwd() + "/"));
const { Tokenizer } = require(name);
const tokenizer = Tokenizer.fromFile(file);
const raw = fs.readFileSync(textFile, "utf8");
const texts = raw.replace(/\n$/, "").split("\n");
const bytes = texts.reduce((sum, text) => sum + Buffer.byteLength(text), 0);
const now = () => Number(process.hrtime.bigint()) / 1e9;

async function batches(size) {
  for (let i = 0; i < texts.length; i += size) await tokenizer.encodeBatch(texts.slice(i, i + size));
}

async function single() {
  for (const text of texts) await tokenizer.encode(text);
}

const ways = { batch64: () => batches(64), batch1024: () => batches(1024), all: () => batches(texts.length), single };

let strings = Infinity;
for (let k = 0; k < 5; k++) {
  const begin = now();
  for (const text of texts) Buffer.from(text);
  strings = Math.min(strings, now() - begin);
}

let best = Infinity, way = "";
const started = now();
do {
  for (const [label, run] of Object.entries(ways)) {
    const begin = now();
    await run();
    const took = now() - begin;
    if (took < best) [best, way] = [took, label];
  }
} while (now() - started < Number(seconds));

let tokens = 0;
for (let i = 0; i < texts.length; i += 1024)
  for (const encoding of await tokenizer.encodeBatch(texts.slice(i, i + 1024))) tokens += encoding.getLength();

const pure = best - strings;
console.log(JSON.stringify({
  package: name, texts: texts.length, bytes, tokens, way, best_s: best, best_without_strings_s: pure,
  mb_per_s: bytes / best / 1e6, mb_per_s_without_strings: bytes / pure / 1e6,
  texts_per_s: texts.length / best, tokens_per_s: tokens / best,
}));
