// The HTTP API (docs/api.md), as the page uses it.

export type PlateState = "new" | "running" | "complete" | "complete_with_failures" | "failed" | "cancelled";
export type FieldState = "pending" | "running" | "complete" | "failed" | "cancelled";

export interface PlateSummary { plate_id: string; source: string; output?: string; submitted: string; state: PlateState; name?: string }

export interface PlateStatus {
  plate_id: string; state: PlateState; version: number; wells: number; fields: number; fields_complete: number; fields_failed: number;
  fields_running: number; tiles_done: number; blocks_retried: number; seconds_wasted: number; waiting?: string; error?: string;
  submitted: string; generation: number; name?: string; is_final: boolean;
}

export interface FieldStatus { well: string; field: number; path: string; state: FieldState; reason?: string; tiles_done: number; tiles_total: number }
export interface PlateChange { status: PlateStatus; fields: FieldStatus[] }
export interface ModelSummary { name: string; labels: string[]; variant: string; licence: string; sha256: string; is_default: boolean }
export interface Me { name: string; tenant: string; roles: string[]; authentication: "none" | "key" | "oidc" }

export interface PlateSubmission {
  source: string; name?: string; pattern?: string; model?: string; labels: string[]; plane?: number; all_planes: boolean;
  statistics: string[]; stride: number; weight: number;
}

/** What the service refused, or why it was not reached, in one line for a person. */
export class Problem extends Error {
  constructor(title: string, readonly code: string, readonly status: number) { super(title); }

  /** Whether the same can succeed later: no answer, too slow, too often, or a failure of the service's own. */
  get passes() { return this.status === 0 || this.status === 408 || this.status === 429 || this.status >= 500; }
}

export const isFinal = (state: PlateState) => state !== "running" && state !== "new";

export function titleOf(error: unknown): string {
  if (error instanceof Problem) return error.message;
  return error instanceof Error ? `The page failed: ${error.message}` : "The page failed.";
}

// Signed out, every request waits until somebody has signed in, and then goes on: nobody loses their place.
let gate: { open: Promise<void>; release: () => void } | null = null;
const watchers = new Set<(locked: boolean) => void>();

export function onLocked(watcher: (locked: boolean) => void): () => void {
  watchers.add(watcher);
  watcher(gate !== null);
  return () => watchers.delete(watcher);
}

export function lock() {
  if (gate) return;
  let release = () => {};
  gate = { open: new Promise<void>(resolve => { release = resolve; }), release };
  watchers.forEach(watcher => watcher(true));
}

function unlock() {
  const released = gate;
  gate = null;
  watchers.forEach(watcher => watcher(false));
  released?.release();
}

export function sleep(milliseconds: number, signal?: AbortSignal | null): Promise<void> {
  return orAbort(new Promise(resolve => setTimeout(resolve, milliseconds)), signal);
}

function orAbort<T>(work: Promise<T>, signal?: AbortSignal | null): Promise<T> {
  if (!signal) return work;
  return new Promise<T>((resolve, reject) => {
    const stop = () => reject(signal.reason);
    if (signal.aborted) return stop();
    signal.addEventListener("abort", stop, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener("abort", stop));
  });
}

async function send(path: string, init: RequestInit): Promise<Response> {
  try {
    return await fetch(path, { ...init, credentials: "same-origin" });
  } catch (error) {
    if (init.signal?.aborted) throw error;
    throw new Problem("The service does not answer. Check the connection and try again.", "unavailable", 0);
  }
}

async function problemOf(response: Response): Promise<Problem> {
  let title = `The service answered ${response.status}.`, code = "";
  try {
    const body = await response.json();
    if (typeof body.title === "string") title = body.title;
    if (typeof body.code === "string") code = body.code;
  } catch { /* not of the service's own: a proxy's, say */ }
  return new Problem(title, code, response.status);
}

/** An answer that is not an error. What is safe to send again waits as long as a busy service asks for. */
export async function request(path: string, init: RequestInit = {}): Promise<Response> {
  const patient = (init.method ?? "GET") !== "POST";
  for (let attempt = 0; ; attempt++) {
    while (gate) await orAbort(gate.open, init.signal);
    const response = await send(path, init);
    if (response.status === 401) {
      lock();
      continue;
    }
    if (response.ok) return response;
    const problem = await problemOf(response);
    if (response.status === 429 && patient && attempt < 5) {
      await sleep(1000 * Math.min(Math.max(Number(response.headers.get("Retry-After")) || 1, 1), 30), init.signal);
      continue;
    }
    throw problem;
  }
}

export async function getJson<T>(path: string, signal?: AbortSignal): Promise<T> {
  return await (await request(path, { signal })).json() as T;
}

export async function post<T>(path: string, body?: unknown, headers: Record<string, string> = {}): Promise<T> {
  const response = await request(path, {
    method: "POST",
    headers: body === undefined ? headers : { "Content-Type": "application/json", ...headers },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  const text = await response.text();
  return (text ? JSON.parse(text) : undefined) as T;
}

/** Who asks; null where somebody has to sign in first. */
export async function me(): Promise<Me | null> {
  const response = await send("/v1/me", {});
  if (response.status === 401) return null;
  if (!response.ok) throw await problemOf(response);
  return await response.json() as Me;
}

export async function signIn(key: string): Promise<Me> {
  const response = await send("/v1/session", { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ key }) });
  if (!response.ok) throw await problemOf(response);
  const who = await me();
  if (!who) throw new Problem("The browser did not keep the session. Allow cookies for this page and sign in again.", "unauthenticated", 401);
  unlock();
  return who;
}

export async function signOut(): Promise<void> {
  const response = await send("/v1/session", { method: "DELETE" });
  if (!response.ok && response.status !== 401) throw await problemOf(response);
}

export const plateUrl = (id: string) => `/v1/plates/${encodeURIComponent(id)}`;
export const stateName = (state: string) => state.replaceAll("_", " ");

/** A new key that makes a submission the same one however often it is sent. */
export function newKey(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), byte => byte.toString(16).padStart(2, "0")).join("");
}
