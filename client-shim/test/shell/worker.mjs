/** Runs the cases with one `$` and writes what they gave as JSON. Arguments: cases.mjs, "bun" or the module with ours, output, [name]. */
import { chmodSync, mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const TIMEOUT_MS = 10_000;
const [, program, casesFile, shell, outputFile, only] = process.argv;
const { cases } = await import(pathToFileURL(casesFile).href);
const $ = shell === "bun" ? (await import("bun")).$ : await import(pathToFileURL(shell).href).then(({ createShell, nodeRunner }) => createShell(nodeRunner));

function fixture() {
  const dir = realpathSync(mkdtempSync(join(tmpdir(), "shell-case-")));
  const file = (name, text) => writeFileSync(join(dir, name), text);
  for (const name of ["dir/sub", "empty", "hidden", "bin", "wide/one/deep", "wide/two"]) mkdirSync(join(dir, name), { recursive: true });
  file("a.txt", "aaa\n");
  file("b.txt", "bbb\n");
  file("dir/c.txt", "c\n");
  file("dir/sub/d.txt", "d\n");
  file("hidden/.hid", "h");
  file("hidden/seen", "s");
  file("wide/one/deep/x", "x");
  file("wide/two/x", "x");
  file("old", "12345");
  utimesSync(join(dir, "old"), 1_000_000_000, 1_000_000_000);
  file("run.sh", "#!/bin/sh\necho ran $1\n");
  file("bin/tool", "#!/bin/sh\necho tool $1\n");
  for (const name of ["run.sh", "bin/tool"]) chmodSync(join(dir, name), 0o755);
  chmodSync(join(dir, "old"), 0o640);
  symlinkSync("dir", join(dir, "link"));
  return dir;
}

function describe(value) {
  if (value instanceof Error) {
    const { name, message, code, exitCode, stdout, stderr } = value;
    // JSON.parse words its errors differently in each engine, and so does a TypeError.
    return { error: name, message: name === "SyntaxError" ? "(engine's text)" : message, code, exitCode, stdout: stdout?.toString(), stderr: stderr?.toString() };
  }
  if (Buffer.isBuffer(value?.stdout)) return { exitCode: value.exitCode, stdout: value.stdout.toString("latin1"), stderr: value.stderr.toString("latin1") };
  if (Array.isArray(value)) return value.map(describe);
  return value === undefined ? "undefined" : value;
}

async function runCase({ run }) {
  const dir = fixture();
  process.chdir(dir);
  let timer;
  const timeout = new Promise((_, reject) => (timer = setTimeout(() => reject(new Error("TIMEOUT")), TIMEOUT_MS)));
  let result;
  try {
    result = { value: describe(await Promise.race([(async () => run($, dir))(), timeout])) };
  } catch (error) {
    result = { thrown: describe(error) };
  } finally {
    clearTimeout(timer);
    process.chdir("/");
  }
  const text = JSON.stringify(result).replaceAll(dir, "<dir>").replaceAll(program, "<program>").replaceAll(process.execPath, "<exec>");
  rmSync(dir, { recursive: true, force: true });
  return JSON.parse(text);
}

const results = {};
for (const item of cases) {
  if (only === undefined ? item.echo === true : item.name !== only) continue;
  if (process.env.TRACE_FILE !== undefined) writeFileSync(process.env.TRACE_FILE, item.name);
  results[item.name] = await runCase(item);
}
writeFileSync(outputFile, JSON.stringify(results));
process.exit(0);
