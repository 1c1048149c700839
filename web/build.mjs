// Builds the page: node build.mjs [--out FOLDER]. The same sources give the same bytes.
import { build } from "esbuild";
import { cp, mkdir, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { dirname, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const flag = process.argv.indexOf("--out");
const out = resolve(flag > 0 ? process.argv[flag + 1] : join(here, "../src/StainGrid.Silo/wwwroot"));
await rm(out, { recursive: true, force: true });
await mkdir(out, { recursive: true });

const { metafile } = await build({
  absWorkingDir: here,
  entryPoints: ["src/app.tsx", "src/app.css"], entryNames: "[name]",
  outdir: out,
  bundle: true,
  alias: { "numcodecs/blosc": "./src/blosc.ts", "numcodecs/zstd": "./src/no-codec.ts", "numcodecs/lz4": "./src/no-codec.ts" },
  format: "esm",
  target: "es2022",
  minify: true,
  metafile: true,
  legalComments: "none",   // licences.txt has them whole
  jsx: "automatic",
  jsxImportSource: "preact",
  logLevel: "warning",
});
for (const file of ["index.html", "icon.svg"]) await cp(join(here, "src", file), join(out, file));

// The licence of each package that something was bundled of.
const packages = new Set(Object.keys(metafile.inputs).map(input => /^node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(input)?.[1]).filter(Boolean));
let licences = "The page of StainGrid is under the licence of StainGrid (Apache-2.0). These packages are in it:\n";
for (const name of [...packages].sort()) {
  const folder = join(here, "node_modules", name);
  const about = JSON.parse(await readFile(join(folder, "package.json"), "utf8"));
  const file = (await readdir(folder)).find(each => /^licen[cs]e/i.test(each));
  licences += `\n${"-".repeat(80)}\n${name} ${about.version}, ${about.license}\n\n`;
  licences += file ? (await readFile(join(folder, file), "utf8")).replaceAll("\r\n", "\n").trim() + "\n" : `(the package has no file with the licence's text)\n`;
}
await writeFile(join(out, "licences.txt"), licences);
for (const [file, { bytes }] of Object.entries(metafile.outputs)) console.log(`${relative(out, join(here, file))} ${bytes}`);
