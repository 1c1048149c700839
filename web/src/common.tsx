import type { ComponentChildren } from "preact";
import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import { titleOf } from "./api";

/** The view's heading, which gets the focus when the view is opened. */
export function Heading({ title, children }: { title: string; children?: ComponentChildren }) {
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => { document.title = `${title} – StainGrid`; }, [title]);
  useEffect(() => { heading.current?.focus({ preventScroll: true }); }, []);
  return <div class="heading"><h1 tabIndex={-1} ref={heading}>{title}</h1>{children}</div>;
}

export function ErrorLine({ error }: { error: unknown }) {
  return error ? <p class="problem" role="alert">{typeof error === "string" ? error : titleOf(error)}</p> : null;
}

export function State({ state }: { state: string }) {
  return <span class={`state ${state}`}>{state.replaceAll("_", " ")}</span>;
}

export function Bar({ value, max, label }: { value: number; max: number; label: string }) {
  return <progress value={value} max={Math.max(max, 1)} aria-label={label} />;
}

/** Asks before something is done that cannot be undone. */
export function Confirm({ title, text, yes, onYes, onNo }: { title: string; text: string; yes: string; onYes: () => void; onNo: () => void }) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => { dialog.current?.showModal(); }, []);
  return (
    <dialog ref={dialog} onClose={onNo} aria-labelledby="confirm-title">
      <h2 id="confirm-title">{title}</h2>
      <p>{text}</p>
      <div class="actions">
        <button type="button" onClick={() => dialog.current?.close()}>No</button>
        <button type="button" class="primary" onClick={() => { dialog.current?.close(); onYes(); }}>{yes}</button>
      </div>
    </dialog>
  );
}

/** Runs something that a person asked for: once at a time, its error shown. */
export function useAction<T extends unknown[]>(act: (...parameters: T) => Promise<void>) {
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>(null);
  const run = useCallback(async (...parameters: T) => {
    setBusy(true);
    setError(null);
    try {
      await act(...parameters);
    } catch (problem) {
      setError(problem);
    } finally {
      setBusy(false);
    }
  }, [act]);
  return { run, busy, error, setError };
}

// What is said to screen readers, at most every 5 s so that progress does not drown all else; the last word is always said.
let say: (text: string) => void = () => {};
let last = 0, pending = 0;
export function announce(text: string, now = false) {
  clearTimeout(pending);
  const wait = now ? 0 : Math.max(0, last + 5000 - Date.now());
  pending = window.setTimeout(() => {
    last = Date.now();
    say(text);
  }, wait);
}

export function LiveRegion() {
  const [text, setText] = useState("");
  useEffect(() => { say = setText; }, []);
  return <div class="hidden-text" role="status" aria-live="polite">{text}</div>;
}

export function when(time: string): string {
  return new Date(time).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
}
