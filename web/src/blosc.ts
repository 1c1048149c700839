// Blosc frames with zstd, as StainGrid writes them (c-blosc, README_CHUNK_FORMAT). In place of numcodecs' decompressor, which makes
// code out of strings as it starts: a page that forbids that, as this one does, cannot run it.
import { decompress } from "fzstd";

const HEADER = 16, SHUFFLED = 0x01, COPIED = 0x02, BIT_SHUFFLED = 0x04, ONE_STREAM = 0x10, ZSTD = 4;

/** The bytes that a frame holds. */
export function decodeBlosc(frame: Uint8Array): Uint8Array {
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  const flags = frame[2], typeSize = frame[3], length = view.getUint32(4, true), blockSize = view.getUint32(8, true);
  if (flags & COPIED) return frame.slice(HEADER, HEADER + length);
  if (flags >> 5 !== ZSTD || flags & BIT_SHUFFLED) throw new Error("This page decodes blosc frames of zstd with byte shuffle only.");
  const bytes = new Uint8Array(length);
  for (let block = 0, start = 0; start < length; block++, start += blockSize) {
    const size = Math.min(blockSize, length - start);
    const streams = flags & ONE_STREAM || size < blockSize || typeSize > 16 || blockSize / typeSize < 128 ? 1 : typeSize;
    const plain = new Uint8Array(size), part = size / streams;
    let at = view.getUint32(HEADER + 4 * block, true);
    for (let stream = 0; stream < streams; stream++) {
      const packed = view.getUint32(at, true), data = frame.subarray(at + 4, at + 4 + packed);
      if (packed === part) plain.set(data, stream * part);
      else if (decompress(data, plain.subarray(stream * part, (stream + 1) * part)).length !== part) throw new Error("A blosc frame is damaged.");
      at += 4 + packed;
    }
    if (flags & SHUFFLED && typeSize > 1) unshuffle(plain, bytes.subarray(start, start + size), typeSize);
    else bytes.set(plain, start);
  }
  return bytes;
}

// All first bytes of the values come first, then all second ones; what is no whole value stands at the end as it is.
function unshuffle(from: Uint8Array, to: Uint8Array, typeSize: number) {
  const count = Math.floor(from.length / typeSize);
  for (let byte = 0; byte < typeSize; byte++) {
    for (let i = 0, at = byte * count, out = byte; i < count; i++, out += typeSize) to[out] = from[at++];
  }
  to.set(from.subarray(count * typeSize), count * typeSize);
}

/** The codec as zarrita takes it. */
export default class Blosc {
  static fromConfig(): Blosc { return new Blosc(); }
  readonly kind = "bytes_to_bytes";
  encode(): never { throw new Error("This page does not write images."); }
  decode(frame: Uint8Array): Uint8Array { return decodeBlosc(frame); }
}
