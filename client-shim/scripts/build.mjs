// Compiles to ESM with types (tsc), and bundles the same for `require` (esbuild): dist/ and dist/cjs/.
import { execFileSync } from "node:child_process";
import { cpSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { build } from "esbuild";

const tsc = createRequire(import.meta.url).resolve("typescript/bin/tsc");
rmSync("dist", { recursive: true, force: true });
execFileSync(process.execPath, [tsc, "-p", "tsconfig.json"], { stdio: "inherit" });
// The panel is checked against the DOM, and is one file that an app can serve as it is.
execFileSync(process.execPath, [tsc, "-p", "tsconfig.page.json"], { stdio: "inherit" });
await build({ entryPoints: ["src/page/index.ts", "src/page/app.ts"], outdir: "dist/page", bundle: true, format: "esm", target: "es2022" });
await build({
  entryPoints: ["src/index.ts"],
  outfile: "dist/cjs/index.js",
  bundle: true,
  platform: "node",
  format: "cjs",
  target: "node20",
  packages: "external",
  define: { "import.meta.url": "importMetaUrl" },
  banner: { js: 'const importMetaUrl = require("node:url").pathToFileURL(require("node:path").join(__dirname, "../x.js")).href;' },
});
writeFileSync("dist/cjs/package.json", '{ "type": "commonjs" }\n');
for (const entry of readdirSync("dist", { recursive: true })) {
  if (entry.endsWith(".d.ts") && !entry.startsWith("cjs") && (dirname(entry) !== "page" || entry.endsWith("port.d.ts")) && !entry.startsWith(join("page", "views"))) cpSync(`dist/${entry}`, `dist/cjs/${entry}`);
}
