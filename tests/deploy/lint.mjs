// node lint.mjs DOCKERFILE: what two linters of Dockerfiles find, a JSON array.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const require = createRequire(import.meta.url);
const { validate } = require("dockerfile-utils");
const dockerfilelint = require("dockerfilelint");

const text = readFileSync(process.argv[2], "utf8");
const found = validate(text).map((problem) => `line ${problem.range.start.line + 1}: ${problem.message}`);

// dockerfilelint is older than arguments in FROM, which it sees as a build does, and misreads HEALTHCHECK, which the other one checks.
const values = Object.fromEntries([...text.matchAll(/^ARG (\w+)=(\S+)$/gm)].map(([, name, value]) => [name, value]));
const seen = text
  .replace(/^FROM \$\{(\w+)\}/gm, (_, name) => `FROM ${values[name]}`)
  .replace(/^HEALTHCHECK .*/gm, "");
for (const problems of Object.values(dockerfilelint.run("", seen))) {
  for (const problem of [problems].flat()) found.push(problem.title);
}
console.log(JSON.stringify(found));
