/**
 * Compares our `$` with Bun's, case by case: real Bun, ours under Node, ours under Bun.
 *
 *   node test/shell/conformance.mjs [--bun /path/to/bun] [--record] [--shell MODULE]
 *
 * MODULE: another one with `createShell` and `nodeRunner`, such as one whose commands run in a sidecar.
 *
 * Without a Bun, what it gave when it was last recorded (expected.json) is compared with ours under Node.
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs, isDeepStrictEqual } from "node:util";
import ts from "typescript";
import { knownDifferences } from "./known-differences.mjs";

const { values: options } = parseArgs({ options: { bun: { type: "string" }, record: { type: "boolean" }, shell: { type: "string" } } });
const here = dirname(fileURLToPath(import.meta.url));
const ours = options.shell ?? join(here, "../../dist/shell/index.js");
const expectedFile = join(here, "expected.json");
const work = mkdtempSync(join(tmpdir(), "shell-conformance-"));
const home = mkdtempSync(join(tmpdir(), "shell-home-"));

const casesFile = join(work, "cases.mjs");
const source = readFileSync(join(here, "cases.ts"), "utf8");
writeFileSync(casesFile, ts.transpileModule(source, { compilerOptions: { target: "ES2022", module: "ESNext" } }).outputText);
const { cases } = await import(casesFile);

const names = cases.map(({ name }) => name);
if (new Set(names).size !== names.length) throw new Error(`case names are not unique: ${names.filter((name, index) => names.indexOf(name) !== index)}`);

function run(program, shell) {
  const outputFile = join(work, "results.json");
  const worker = (only) =>
    spawnSync(program, [join(here, "worker.mjs"), casesFile, shell, outputFile, ...(only === undefined ? [] : [only])], {
      stdio: ["ignore", "pipe", "pipe"],
      encoding: "utf8",
      env: { PATH: process.env.PATH, HOME: home, LANG: "C.UTF-8", ...(options.shell && { SIDECAR: process.env.SIDECAR, PYTHONPATH: process.env.PYTHONPATH }) },
      maxBuffer: 64 * 1024 * 1024,
      timeout: 120_000,
      killSignal: "SIGKILL",
    });
  const process_ = worker();
  if (process_.status !== 0) throw new Error(`${program} ${shell}: ${process_.status} ${process_.stderr}`);
  const results = JSON.parse(readFileSync(outputFile, "utf8"));
  if (process_.stdout + process_.stderr !== "") results["(nothing is echoed by quiet cases)"] = { value: process_.stdout + process_.stderr };
  for (const { name, echo } of cases) {
    if (echo !== true) continue;
    const { stdout, stderr } = worker(name);
    results[name] = { ...JSON.parse(readFileSync(outputFile, "utf8"))[name], echoed: { stdout, stderr } };
  }
  return JSON.parse(JSON.stringify(results).replaceAll(home, "<home>").replaceAll(work, "<work>"));
}

const bun = options.bun ?? process.env.BUN_BINARY;
const hasBun = bun !== undefined && existsSync(bun);
const version = hasBun ? spawnSync(bun, ["--version"], { encoding: "utf8" }).stdout.trim() : undefined;
const recorded = existsSync(expectedFile) ? JSON.parse(readFileSync(expectedFile, "utf8")) : undefined;
if (!hasBun && recorded === undefined) throw new Error("no Bun: give --bun, or record once");
const expected = hasBun ? run(bun, "bun") : recorded.results;
if (options.record && hasBun) writeFileSync(expectedFile, `${JSON.stringify({ bun: version, results: expected }, null, 1)}\n`);

const subjects = [[options.shell === undefined ? "node" : "sidecar", run(process.execPath, ours)]];
if (hasBun) subjects.push(["bun", run(bun, ours)]);

let failed = false;
for (const [subject, results] of subjects) {
  let equal = 0;
  const different = [];
  for (const name of new Set([...Object.keys(expected), ...Object.keys(results)])) {
    if (isDeepStrictEqual(expected[name], results[name])) equal += 1;
    else different.push(name);
  }
  const known = ([key, { under }]) => under === undefined || under === subject;
  const listed = new Map(Object.entries(knownDifferences).filter(known));
  const unknown = different.filter((name) => !listed.has(name));
  const vanished = [...listed.keys()].filter((name) => !different.includes(name));
  for (const name of unknown) {
    console.log(`DIFFERENT (${subject}) ${JSON.stringify(name)}\n  bun  ${JSON.stringify(expected[name])}\n  ours ${JSON.stringify(results[name])}`);
  }
  for (const name of vanished) console.log(`NO LONGER DIFFERENT (${subject}) ${JSON.stringify(name)}`);
  console.log(`ours under ${subject} and Bun ${version ?? `${recorded.bun} (recorded)`}: ${equal + different.length} cases, ${equal} equal, ${different.length} different (${different.length - unknown.length} known)`);
  failed ||= unknown.length > 0 || vanished.length > 0;
}
rmSync(work, { recursive: true });
rmSync(home, { recursive: true });
process.exit(failed ? 1 : 0);
