// node check.mjs URL: the document is valid, the client made from it compiles, and it submits, watches and reads a plate.
import { execFileSync } from "node:child_process";
import { mkdtempSync, writeFileSync, cpSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, dirname } from "node:path";
import { fileURLToPath } from "node:url";
import SwaggerParser from "@apidevtools/swagger-parser";
import openapiTS, { astToString } from "openapi-typescript";

const [url, key, source] = process.argv.slice(2);
const here = dirname(fileURLToPath(import.meta.url));
const document = await (await fetch(new URL("/openapi/v1.json", url))).json();
await SwaggerParser.validate(structuredClone(document));
const folder = mkdtempSync(join(tmpdir(), "staingrid-openapi-"));
writeFileSync(join(folder, "schema.d.ts"), astToString(await openapiTS(document)));
writeFileSync(join(folder, "package.json"), '{"type":"module"}');
cpSync(join(here, "client.ts"), join(folder, "client.ts"));
symlinkSync(join(here, "node_modules"), join(folder, "node_modules"));
execFileSync(process.execPath, [join(here, "node_modules/typescript/bin/tsc"), "--strict", "--target", "es2022", "--module", "nodenext", "--types", "node", "client.ts"], { cwd: folder, stdio: "inherit" });
process.stdout.write(execFileSync(process.execPath, ["client.js", url, key, source], { cwd: folder }));
