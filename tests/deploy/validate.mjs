// node validate.mjs < MANIFESTS: what their schemas (required fields, enumerations, forms) do not allow, a JSON array of "Kind/name: ..".
import { readFileSync } from "node:fs";
import yaml from "js-yaml";

const packages = { "keda.sh": "@kubernetes-models/keda", "monitoring.coreos.com": "@kubernetes-models/prometheus-operator" };
const found = [];
let documents = 0;
for (const manifest of yaml.loadAll(readFileSync(0, "utf8"))) {
  documents++;
  const name = `${manifest.kind}/${manifest.metadata?.name}`;
  const [group] = manifest.apiVersion.split("/");
  try {
    const models = await import(`${packages[group] ?? "kubernetes-models"}/${manifest.apiVersion}`);
    new models[manifest.kind](manifest).validate();
  } catch (error) {
    found.push(`${name}: ${error.message}`);
  }
}
console.log(JSON.stringify({ documents, found }));
