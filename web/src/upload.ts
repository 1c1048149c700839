import { Problem, post, request, sleep } from "./api";

const PIECE = 4 << 20, AT_ONCE = 2, TRIES = 4;
const TUS = { "Tus-Resumable": "1.0.0" };

export interface UploadProgress { sent: number; total: number; filesSent: number; files: number; current: string }

const KINDS = /\.(png|tiff?|csv|json)$/i;

/** Whether the service takes a file: images, and manifests that name their wells. */
export const isTaken = (file: File) => KINDS.test(file.name) && !file.name.startsWith(".") && file.size > 0;

/** Whether a file is a manifest. */
export const isManifest = (file: File) => /\.(csv|json)$/i.test(file.name);

/** Files on their way to the service, by tus 1.0. After an error `run` goes on with what the service has not got. */
export class Upload {
  id: string | null = null;
  private readonly sent = new Map<File, number>();
  private readonly places = new Map<File, string>();
  private readonly total: number;
  private stop = new AbortController();

  constructor(readonly files: readonly File[], private readonly onProgress: (progress: UploadProgress) => void) {
    this.total = files.reduce((sum, file) => sum + file.size, 0);
  }

  async run(): Promise<string> {
    const { signal } = this.stop = new AbortController();
    if (!this.id) {
      const { id } = await post<{ id: string }>("/v1/uploads").catch(error => {
        signal.throwIfAborted();   // cancelled meanwhile: how that ended is nobody's business any more
        throw error;
      });
      if (signal.aborted) await drop(id).catch(() => {});   // cancelled before there was anything to drop
      signal.throwIfAborted();
      this.id = id;
    }
    const waiting = [...this.files];
    const worker = async () => {
      for (let file = waiting.shift(); file && !signal.aborted; file = waiting.shift()) await this.sendWhole(file);
    };
    const workers = Array.from({ length: AT_ONCE }, worker);
    try {
      await Promise.all(workers);
    } catch (error) {
      this.stop.abort(error);
      await Promise.allSettled(workers);
      throw error;
    }
    signal.throwIfAborted();
    return this.id;
  }

  /** Stops, and drops what the service has got. */
  async cancel(): Promise<void> {
    this.stop.abort(new DOMException("Cancelled", "AbortError"));
    const id = this.id;
    this.id = null;
    if (id) await drop(id);
  }

  // An error that can pass is tried again, from the byte that the service says it has.
  private async sendWhole(file: File): Promise<void> {
    for (let failures = 0; ;) {
      try {
        let offset = await this.offset(file);
        this.report(file, offset);
        while (offset < file.size) {
          const piece = file.slice(offset, offset + PIECE);
          const answer = await request(this.places.get(file)!, {
            method: "PATCH",
            signal: this.stop.signal,
            headers: { ...TUS, "Content-Type": "application/offset+octet-stream", "Upload-Offset": String(offset) },
            body: piece,
          });
          offset = Number(answer.headers.get("Upload-Offset") ?? offset + piece.size);
          failures = 0;
          this.report(file, offset);
        }
        return;
      } catch (error) {
        if (this.stop.signal.aborted) throw error;
        const passes = error instanceof Problem && (error.passes || error.status === 409);
        if (!passes || ++failures >= TRIES) throw error;
        await sleep(500 * 2 ** failures, this.stop.signal);
      }
    }
  }

  private async offset(file: File): Promise<number> {
    const place = this.places.get(file);
    if (place) {
      const answer = await request(place, { method: "HEAD", headers: TUS, signal: this.stop.signal, cache: "no-store" });
      return Number(answer.headers.get("Upload-Offset"));
    }
    const answer = await request(`/v1/uploads/${this.id}/files`, {
      method: "POST",
      signal: this.stop.signal,
      headers: { ...TUS, "Upload-Length": String(file.size), "Upload-Metadata": `filename ${base64(file.name)}` },
    });
    this.places.set(file, new URL(answer.headers.get("Location")!, location.href).pathname);
    return Number(answer.headers.get("Upload-Offset") ?? 0);
  }

  private report(file: File, sent: number) {
    this.sent.set(file, sent);
    let bytes = 0, whole = 0;
    for (const [each, done] of this.sent) {
      bytes += done;
      if (done === each.size) whole++;
    }
    this.onProgress({ sent: bytes, total: this.total, filesSent: whole, files: this.files.length, current: file.name });
  }
}

async function drop(id: string) {
  await request(`/v1/uploads/${id}`, { method: "DELETE" });
}

function base64(text: string): string {
  return btoa(String.fromCharCode(...new TextEncoder().encode(text)));
}

export function sizeText(bytes: number): string {
  const units = ["bytes", "kB", "MB", "GB", "TB"];
  let unit = 0, value = bytes;
  for (; value >= 1000 && unit < units.length - 1; unit++) value /= 1000;
  return `${unit === 0 ? value : value.toFixed(value < 10 ? 1 : 0)} ${units[unit]}`;
}
