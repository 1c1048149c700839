// A client of types that were made from the OpenAPI document: submits a plate, waits for its end, reads its fields.
import createClient from "openapi-fetch";
import type { paths } from "./schema.js";

const [url, key, source] = process.argv.slice(2);
const client = createClient<paths>({ baseUrl: url, headers: { Authorization: `Bearer ${key}` } });
const models = await client.GET("/v1/models");
const submitted = await client.POST("/v1/plates", { body: { source, labels: models.data!.models[0].labels.slice(0, 1) } });
if (!submitted.data) throw new Error(JSON.stringify(submitted.error));
const id: string = submitted.data.plate_id;
let state = submitted.data.state;
while (state === "running") {
  await new Promise(resolve => setTimeout(resolve, 200));
  const status = await client.GET("/v1/plates/{id}", { params: { path: { id } } });
  state = status.data!.state;
}
const fields = await client.GET("/v1/plates/{id}/fields", { params: { path: { id } } });
console.log(JSON.stringify({ id, state, fields: fields.data!.fields.map(field => field.path) }));
