// Tests of the page's own decoders: node test.mjs. numcodecs, which zarrita brings, is the other implementation of blosc.
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, test } from "node:test";
import { fileURLToPath, pathToFileURL } from "node:url";
import { build } from "esbuild";
import Numcodecs from "numcodecs/blosc";

const here = dirname(fileURLToPath(import.meta.url));
const folder = await mkdtemp(join(tmpdir(), "staingrid-page-"));
after(() => rm(folder, { recursive: true }));
await build({ absWorkingDir: here, entryPoints: ["blosc", "events", "quality", "wells"].map(name => `src/${name}.ts`), outdir: folder, bundle: true, format: "esm", outExtension: { ".js": ".mjs" } });
const load = name => import(pathToFileURL(join(folder, `${name}.mjs`)));
const { decodeBlosc } = await load("blosc");
const { readEvents } = await load("events");
const { parseCsv, perWell, readQuality } = await load("quality");
const { byPlace, formatOf, summarise } = await load("wells");
globalThis.window = globalThis;

function pixels(length, noisy) {
  const bytes = new Uint8Array(length);
  let state = 12345;
  for (let i = 0; i < length; i++) {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    bytes[i] = noisy ? state >>> 24 : i % 2 === 0 ? (i / 64) & 255 : (state >>> 24) & 3;
  }
  return bytes;
}

for (const [length, blocksize, shuffle, level, noisy] of [
  [512 * 512 * 2, 0, 1, 1, false], [512 * 512 * 2, 0, 0, 5, false], [512 * 512 * 2 + 1234, 65536, 1, 3, false], [100, 0, 1, 5, true],
  [65536, 4096, 1, 9, true], [3, 0, 1, 5, false], [200_000, 0, 1, 0, false],
]) {
  test(`blosc frames of ${length} bytes (blocks ${blocksize}, shuffle ${shuffle}, level ${level}, ${noisy ? "noise" : "smooth"}) decode as numcodecs encoded them`, async () => {
    const plain = pixels(length, noisy);
    const frame = await Numcodecs.fromConfig({ id: "blosc", cname: "zstd", clevel: level, shuffle, blocksize }).encode(plain);
    assert.deepEqual(Buffer.from(decodeBlosc(frame)), Buffer.from(plain));
  });
}

test("blosc frames of another compressor are refused", async () => {
  const frame = await Numcodecs.fromConfig({ id: "blosc", cname: "lz4", clevel: 5, shuffle: 1, blocksize: 0 }).encode(pixels(100_000, false));
  assert.throws(() => decodeBlosc(frame), /zstd/);
});

test("events are read whatever pieces they come in", async () => {
  const text = ": hello\n\nevent: change\nid: 7\ndata: {\"a\":\ndata: 1}\n\nid: 8\r\ndata: é\r\n\r\ndata: cut off";
  const bytes = new TextEncoder().encode(text);
  for (const size of [1, 2, 3, 7, 1000]) {
    const body = new ReadableStream({
      start(controller) {
        for (let at = 0; at < bytes.length; at += size) controller.enqueue(bytes.slice(at, at + size));
        controller.close();
      },
    });
    const events = [];
    for await (const event of readEvents(body)) events.push(event);
    assert.deepEqual(events, [{ id: "7", event: "change", data: "{\"a\":\n1}" }, { id: "8", event: "message", data: "é" }], `pieces of ${size}`);
  }
});

test("a silent stream is given up", async () => {
  const body = new ReadableStream({ start(controller) { controller.enqueue(new TextEncoder().encode(": begun\n\n")); } });
  await assert.rejects(async () => { for await (const _ of readEvents(body, 50)) assert.fail(); }, /silent/);
});

test("CSV with quotes, commas and line breaks", () => {
  assert.deepEqual(parseCsv('a,b\r\n"x, ""y""\nz",2\r\n,\n'), [["a", "b"], ['x, "y"\nz', "2"], ["", ""]]);
});

test("figures of a well are means over its fields, without those that failed", () => {
  const rows = readQuality("Well,Field,State,SeamScore,Channel,Mean\nB02,0,complete,1.5,DAPI,10\nB02,1,complete,,DAPI,20\nB02,2,failed,,,\nA01,0,complete,1,NFH,7\n");
  assert.deepEqual([...perWell(rows, "DAPI", "Mean")], [["B02", 15]]);
  assert.deepEqual([...perWell(rows, "DAPI", "SeamScore")], [["B02", 1.5]]);
  assert.equal(perWell(rows, "NFH", "P99").size, 0);
});

test("plates take the smallest usual format that has all wells", () => {
  assert.deepEqual(formatOf(["A01", "H12"]), { rows: 8, columns: 12 });
  assert.deepEqual(formatOf(["B03"]), { rows: 2, columns: 3 });
  assert.deepEqual(formatOf(["AF48"]), { rows: 32, columns: 48 });
  assert.deepEqual(formatOf(["AG49"]), { rows: 33, columns: 49 });
  assert.deepEqual(["B1", "A10", "A2", "AA1"].sort(byPlace), ["A2", "A10", "B1", "AA1"]);
});

test("a well is what its fields are", () => {
  const field = (state, number, done = 0) => ({ well: "A01", field: number, path: `A/1/${number}`, state, tiles_done: done, tiles_total: 10 });
  const of = (...fields) => { const { state, share } = summarise(fields).get("A01"); return [state, share]; };
  assert.deepEqual(of(field("complete", 0), field("running", 1, 5)), ["running", 0.75]);
  assert.deepEqual(of(field("complete", 0), field("failed", 1)), ["failed", 0.5]);
  assert.deepEqual(of(field("complete", 0), field("cancelled", 1)), ["cancelled", 0.5]);
  assert.deepEqual(of(field("pending", 0)), ["pending", 0]);
  assert.deepEqual(of(field("complete", 0)), ["complete", 1]);
});
