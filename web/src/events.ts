import { Problem, request, sleep, type PlateChange } from "./api";

interface ServerEvent { id: string; event: string; data: string }

// The service sends a comment every 15 s at least: a connection that is silent for longer is a dead one.
const SILENCE = 40_000;

/** The events of a stream (HTML, "server-sent events"), read by fetch so that its answers of 401 and 404 are seen. */
export async function* readEvents(body: ReadableStream<Uint8Array>, silence = SILENCE): AsyncGenerator<ServerEvent> {
  const reader = body.pipeThrough(new TextDecoderStream() as unknown as ReadableWritablePair<string, Uint8Array>).getReader();
  let text = "", id = "", event = "", data: string[] = [];
  try {
    for (;;) {
      let timer = 0;
      const late = new Promise<never>((_, reject) => {
        timer = window.setTimeout(() => reject(new Problem("The connection went silent.", "unavailable", 0)), silence);
      });
      const { done, value } = await Promise.race([reader.read(), late]).finally(() => clearTimeout(timer));
      if (done) return;
      text += value;
      for (let end = lineEnd(text); end; end = lineEnd(text)) {
        const line = text.slice(0, end.at);
        text = text.slice(end.next);
        if (line === "") {
          if (data.length > 0) yield { id, event: event || "message", data: data.join("\n") };
          event = "";
          data = [];
          continue;
        }
        const colon = line.indexOf(":");
        const name = colon < 0 ? line : line.slice(0, colon);
        const content = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
        if (name === "id") id = content;
        else if (name === "event") event = content;
        else if (name === "data") data.push(content);
      }
    }
  } finally {
    await reader.cancel().catch(() => {});
  }
}

// A line ends in LF, CR or CRLF; a CR at the end may be half of a CRLF.
function lineEnd(text: string): { at: number; next: number } | null {
  const at = text.search(/[\r\n]/);
  if (at < 0) return null;
  if (text[at] === "\n") return { at, next: at + 1 };
  if (at + 1 === text.length) return null;
  return { at, next: text[at + 1] === "\n" ? at + 2 : at + 1 };
}

/** Follows a plate until its status is final, over as many connections as it takes. */
export async function watchPlate(
  url: string, onChange: (change: PlateChange) => void, onConnection: (problem: string | null) => void, signal: AbortSignal): Promise<void> {
  let lastId = "", wait = 500;
  for (;;) {
    try {
      const response = await request(`${url}/events`, {
        signal,
        headers: { Accept: "text/event-stream", ...(lastId ? { "Last-Event-ID": lastId } : {}) },
        cache: "no-store",
      });
      for await (const event of readEvents(response.body!)) {
        if (signal.aborted) return;
        if (event.event !== "change") continue;
        onConnection(null);
        wait = 500;
        if (event.id) lastId = event.id;
        const change = JSON.parse(event.data) as PlateChange;
        onChange(change);
        if (change.status.is_final) return;
      }
    } catch (error) {
      if (signal.aborted) return;
      const lost = !(error instanceof Problem) || error.passes;
      if (!lost) throw error;
    }
    onConnection("The connection was lost; trying again ...");
    await sleep(wait, signal);
    wait = Math.min(wait * 2, 15_000);
  }
}
