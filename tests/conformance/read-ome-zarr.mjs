// Reads an OME-Zarr image with two readers that share nothing with StainGrid, zarrita and ome-zarr.js, and prints what
// they see as one line of JSON.
//
//   node read-ome-zarr.mjs FOLDER [--region LEVEL CHANNEL X Y WIDTH HEIGHT FILE]
//
// sha256 of a level is that of all its pixels, c, y, x, as little-endian values. --region also writes a region's pixels.
import { createHash } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { resolve } from "node:path";
import * as zarr from "zarrita";
import FileSystemStore from "@zarrita/storage/fs";
import * as omezarr from "ome-zarr.js";

const [folder, flag, ...rest] = process.argv.slice(2);
if (!folder || (flag && (flag !== "--region" || rest.length !== 7))) {
  console.error("usage: node read-ome-zarr.mjs FOLDER [--region LEVEL CHANNEL X Y WIDTH HEIGHT FILE]");
  process.exit(2);
}

const bytes = (values) => Buffer.from(values.buffer, values.byteOffset, values.byteLength);

// A missing chunk reads as zeros without a word: remember which were asked for and not there.
class CountingStore extends FileSystemStore {
  missing = [];
  async get(key, options) {
    const value = await super.get(key, options);
    if (value === undefined && /\/\d+\/\d+$/.test(key)) this.missing.push(key);
    return value;
  }
}

async function withZarrita() {
  const store = new CountingStore(resolve(folder));
  const group = await zarr.open.v2(store, { kind: "group" });
  const { multiscales, omero, staingrid } = group.attrs;
  const levels = [];
  for (const { path, coordinateTransformations } of multiscales[0].datasets) {
    const array = await zarr.open.v2(group.resolve(path), { kind: "array" });
    const hash = createHash("sha256");
    for (let c = 0; c < array.shape[1]; c++) {
      const plane = await zarr.get(array, [0, c, 0, null, null]);
      hash.update(bytes(plane.data));
    }
    levels.push({
      path, shape: array.shape, chunks: array.chunks, dtype: array.dtype,
      scale: coordinateTransformations[0].scale, sha256: hash.digest("hex"),
    });
  }

  if (flag) {
    const [level, channel, x, y, width, height] = rest.slice(0, 6).map(Number);
    const array = await zarr.open.v2(group.resolve(multiscales[0].datasets[level].path), { kind: "array" });
    const region = await zarr.get(array, [0, channel, 0, zarr.slice(y, y + height), zarr.slice(x, x + width)]);
    await writeFile(rest[6], bytes(region.data));
  }

  return {
    version: multiscales[0].version, name: multiscales[0].name, axes: multiscales[0].axes,
    channels: omero.channels, staingrid: staingrid ?? null, levels, missing: store.missing,
  };
}

async function withOmeZarr() {
  const store = new CountingStore(resolve(folder));
  const { multiscale, omero } = await omezarr.getMultiscale(store);
  const levels = [];
  for (let index = 0; index < multiscale.datasets.length; index++) {
    const { arr } = await omezarr.getMultiscaleWithArray(store, index);
    const [, channels, , height, width] = arr.shape;
    const [, , , chunkHeight, chunkWidth] = arr.chunks;
    const hash = createHash("sha256");
    for (let c = 0; c < channels; c++) {
      const plane = new Uint16Array(height * width);
      for (let row = 0; row * chunkHeight < height; row++) {
        for (let column = 0; column * chunkWidth < width; column++) {
          const { data } = await arr.getChunk([0, c, 0, row, column]);
          const right = Math.min(chunkWidth, width - column * chunkWidth);
          for (let y = 0; y < Math.min(chunkHeight, height - row * chunkHeight); y++)
            plane.set(data.subarray(y * chunkWidth, y * chunkWidth + right), (row * chunkHeight + y) * width + column * chunkWidth);
        }
      }
      hash.update(bytes(plane));
    }
    levels.push({ shape: arr.shape, sha256: hash.digest("hex") });
  }

  return {
    axes: multiscale.axes.map((axis) => axis.name), labels: omero.channels.map((channel) => channel.label),
    colors: omero.channels.map((channel) => channel.color), levels,
  };
}

console.log(JSON.stringify({ zarrita: await withZarrita(), omeZarr: await withOmeZarr() }));
