// OME-Zarr images (NGFF 0.4 "multiscales" and "omero") as the viewer and the thumbnails need them.
import * as zarr from "zarrita";
import { Problem, request } from "./api";

/** One channel as it is shown. */
export interface Shown {
  index: number;
  label: string;
  /** Of the label's distribution, how wide it is, not where. */
  uncertainty: boolean;
  on: boolean;
  /** RRGGBB with "#". */
  colour: string;
  /** The value that is shown black, and the one in full colour. */
  low: number;
  high: number;
  /** What the sliders span. */
  min: number;
  max: number;
}

export interface Level { array: zarr.Array<zarr.DataType, zarr.Readable>; width: number; height: number }
type Numbers = ArrayLike<number>;

const UNCERTAINTY = /\b(standard deviation|entropy)$/i;
const MICROMETRES: Record<string, number> = { micrometer: 1, nanometer: 1e-3, millimeter: 1e3, angstrom: 1e-4, meter: 1e6, centimeter: 1e4 };

// Decoded chunks of all images on the page, the least recently used first to go.
const MOST_BYTES = 192 << 20;
const chunks = new Map<string, { bytes: number; data: Promise<Numbers> }>();
let held = 0;

export class ZarrImage {
  private constructor(
    readonly url: string, readonly levels: readonly Level[], readonly channels: readonly Shown[], readonly planes: number, readonly plane: number,
    /** Micrometres, 0 where unknown. */
    readonly pixelSize: number, private readonly axes: readonly string[]) {}

  get width() { return this.levels[0].width; }
  get height() { return this.levels[0].height; }
  get tileWidth() { return this.levels[0].array.chunks[this.axes.indexOf("x")]; }
  get tileHeight() { return this.levels[0].array.chunks[this.axes.indexOf("y")]; }

  static async open(path: string, signal?: AbortSignal): Promise<ZarrImage> {
    const url = new URL(path, location.href).href;
    const store = new zarr.FetchStore(url, { fetch: quiet404 });
    const attributesBytes = await store.get("/.zattrs", { signal });
    if (!attributesBytes) throw new Problem("This image is not there (yet).", "not_found", 404);
    const attributes = JSON.parse(new TextDecoder().decode(attributesBytes));
    const multiscale = attributes.multiscales?.[0];
    if (!multiscale) throw new Problem("This is no OME-Zarr image.", "refused", 422);
    const axes: string[] = multiscale.axes.map((axis: { name: string }) => axis.name);
    const [x, y, c, z] = ["x", "y", "c", "z"].map(name => axes.indexOf(name));
    const root = zarr.root(store);
    const levels = await Promise.all(multiscale.datasets.map(async (dataset: { path: string }) => {
      const array = await zarr.open.v2(root.resolve(dataset.path), { kind: "array", attrs: false });
      return { array, width: array.shape[x], height: array.shape[y] };
    })) as Level[];

    const scale: number[] | undefined = multiscale.datasets[0].coordinateTransformations?.find((t: { type: string }) => t.type === "scale")?.scale;
    const pixelSize = (MICROMETRES[multiscale.axes[x].unit ?? ""] ?? 0) * (scale?.[x] ?? 0);
    const count = c < 0 ? 1 : levels[0].array.shape[c];
    const planes = z < 0 ? 1 : levels[0].array.shape[z];
    const plane = attributes.omero?.rdefs?.defaultZ ?? Math.floor(planes / 2);
    const top = levels[0].array.dtype.endsWith("8") ? 255 : 65_535;
    const channels = Array.from({ length: count }, (_, index): Shown => {
      const omero = attributes.omero?.channels?.[index] ?? {};
      const label: string = omero.label ?? (count === 1 ? "Transmitted light" : `Channel ${index + 1}`);
      const uncertainty = UNCERTAINTY.test(label);
      const window = omero.window ?? {};
      return {
        index, label, uncertainty,
        on: !uncertainty && omero.active !== false,
        colour: uncertainty ? "#ffb000" : `#${(omero.color ?? "FFFFFF").toLowerCase()}`,
        low: window.start ?? 0, high: window.end ?? top, min: window.min ?? 0, max: window.max ?? top,
      };
    });
    return new ZarrImage(url, levels, channels, planes, Math.min(plane, planes - 1), pixelSize, axes);
  }

  /** The pixels of a tile (a chunk), row by row, cut off at the image's edge. */
  tile(level: number, channel: number, plane: number, column: number, row: number): Promise<Numbers> {
    const key = `${this.url} ${level} ${channel} ${plane} ${column} ${row}`;
    const known = chunks.get(key);
    if (known) {
      chunks.delete(key);
      chunks.set(key, known);
      return known.data;
    }
    const data = this.read(level, channel, plane, column, row);
    const entry = { bytes: 0, data };
    chunks.set(key, entry);
    data.then(pixels => {
      if (chunks.get(key) !== entry) return;
      held += entry.bytes = pixels.length * 4;
      for (const [oldest, { bytes }] of chunks) {
        if (held <= MOST_BYTES) break;
        chunks.delete(oldest);
        held -= bytes;
      }
    }, () => chunks.delete(key));
    return data;
  }

  /** The size of a tile, which is less at the right and at the bottom. */
  tileSize(level: number, column: number, row: number): { width: number; height: number } {
    const { width, height } = this.levels[level];
    return { width: Math.min(this.tileWidth, width - column * this.tileWidth), height: Math.min(this.tileHeight, height - row * this.tileHeight) };
  }

  private async read(level: number, channel: number, plane: number, column: number, row: number): Promise<Numbers> {
    const { array } = this.levels[level];
    const place: Record<string, number> = {
      x: column * this.tileWidth, y: row * this.tileHeight, c: channel, z: plane, t: 0,
    };
    const { width, height } = this.tileSize(level, column, row);
    const size: Record<string, number> = { x: width, y: height };
    const chunk = this.axes.every((axis, i) => place[axis] % array.chunks[i] === 0)
      && array.chunks[this.axes.indexOf("x")] >= width && array.chunks[this.axes.indexOf("y")] >= height
      ? await array.getChunk(this.axes.map((axis, i) => place[axis] / array.chunks[i]))
      : await zarr.get(array, this.axes.map(axis => zarr.slice(place[axis], place[axis] + (size[axis] ?? 1))));
    const source = chunk.data as unknown as Numbers;
    const [strideY, strideX] = [chunk.stride[this.axes.indexOf("y")], chunk.stride[this.axes.indexOf("x")]];
    const pixels = array.dtype.startsWith("float") ? new Float32Array(width * height) : new Uint16Array(width * height);
    for (let v = 0, to = 0; v < height; v++) {
      for (let u = 0, from = v * strideY; u < width; u++, from += strideX) pixels[to++] = source[from];
    }
    return pixels;
  }

  /** Draws a tile of the channels that are on, their light added up. */
  async draw(level: number, column: number, row: number, plane: number, channels: readonly Shown[]): Promise<CanvasRenderingContext2D> {
    const { width, height } = this.tileSize(level, column, row);
    const canvas = document.createElement("canvas");
    canvas.width = width;
    canvas.height = height;
    const context = canvas.getContext("2d", { willReadFrequently: false })!;
    const shown = channels.filter(channel => channel.on);
    const pixels = await Promise.all(shown.map(channel => this.tile(level, channel.index, plane, column, row)));
    const image = context.createImageData(width, height);
    const light = new Float32Array(width * height * 3);
    shown.forEach((channel, i) => {
      const [red, green, blue] = [1, 3, 5].map(at => parseInt(channel.colour.slice(at, at + 2), 16));
      const values = pixels[i], low = channel.low, slope = 1 / Math.max(channel.high - channel.low, 1e-9);
      for (let at = 0, to = 0; at < values.length; at++, to += 3) {
        let value = (values[at] - low) * slope;
        value = value < 0 ? 0 : value > 1 ? 1 : value;
        light[to] += value * red;
        light[to + 1] += value * green;
        light[to + 2] += value * blue;
      }
    });
    const out = image.data;   // clamps and rounds by itself
    for (let from = 0, to = 0; to < out.length; from += 3, to += 4) {
      out[to] = light[from];
      out[to + 1] = light[from + 1];
      out[to + 2] = light[from + 2];
      out[to + 3] = 255;
    }
    context.putImageData(image, 0, 0);
    return context;
  }

  /** The values between which most of a channel's pixels lie, by the smallest level. */
  async contrast(channel: number, plane: number): Promise<{ low: number; high: number }> {
    const level = this.levels.length - 1;
    const columns = Math.ceil(this.levels[level].width / this.tileWidth), rows = Math.ceil(this.levels[level].height / this.tileHeight);
    const tiles = await Promise.all(Array.from({ length: columns * rows },
      (_, i) => this.tile(level, channel, plane, i % columns, Math.floor(i / columns))));
    const values = Float32Array.from(tiles.flatMap(tile => Array.from(tile))).sort();
    const low = values[Math.floor(values.length * 0.003)], high = values[Math.ceil(values.length * 0.997) - 1];
    return { low, high: high > low ? high : low + 1 };
  }

  /** Channels with their contrast chosen by the pixels where the file does not say one that fits: the input, and uncertainty. */
  async channelsToShow(all: boolean, plane: number): Promise<Shown[]> {
    return Promise.all(this.channels.map(async channel =>
      all || channel.uncertainty ? { ...channel, ...await this.contrast(channel.index, plane) } : channel));
  }
}

async function quiet404(wanted: Request): Promise<Response> {
  try {
    return await request(wanted.url, { headers: wanted.headers, signal: wanted.signal });
  } catch (error) {
    if (error instanceof Problem && error.status === 404) return new Response(null, { status: 404 });
    throw error;
  }
}
