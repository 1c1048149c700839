// Reads an OME-Zarr HCS plate from its metadata on with zarrita and ome-zarr.js and prints what they see as one line of JSON.
//
//   node read-hcs.mjs FOLDER
import { resolve } from "node:path";
import * as zarr from "zarrita";
import FileSystemStore from "@zarrita/storage/fs";
import * as omezarr from "ome-zarr.js";

const root = resolve(process.argv[2]);
const { plate } = (await zarr.open.v2(new FileSystemStore(root), { kind: "group" })).attrs;
const images = [];
for (const { path, rowIndex, columnIndex } of plate.wells) {
  if (path !== `${plate.rows[rowIndex].name}/${plate.columns[columnIndex].name}`) throw new Error(`${path} is not where its indices say`);
  const { well } = (await zarr.open.v2(new FileSystemStore(`${root}/${path}`), { kind: "group" })).attrs;
  for (const image of well.images) {
    const { arr } = await omezarr.getMultiscaleWithArray(new FileSystemStore(`${root}/${path}/${image.path}`), 0);
    const { data } = await arr.getChunk([0, 0, 0, 0, 0]);
    images.push({ path: `${path}/${image.path}`, shape: arr.shape, first: Array.from(data.subarray(0, 3)) });
  }
}

console.log(JSON.stringify({ version: plate.version, rows: plate.rows.length, columns: plate.columns.length, fieldCount: plate.field_count, images }));
