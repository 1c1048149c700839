import { useEffect, useState } from "preact/hooks";
import { getJson, plateUrl, sleep, stateName, titleOf, type PlateStatus, type PlateSummary } from "./api";
import { Bar, ErrorLine, Heading, State, announce, when } from "./common";

const STATES = ["running", "complete", "complete_with_failures", "failed", "cancelled"];
const PAGE = 50, EVERY = 3000, MOST_FOLLOWED = 20;

/** A source as a person knows it: an upload's number is nothing that anybody knows. */
const sourceName = (source: string) => source.startsWith("upload:") ? "uploaded" : source;

export function Plates({ query, maySubmit }: { query: string; maySubmit: boolean }) {
  const asked = new URLSearchParams(query);
  const state = asked.get("state") ?? "", text = asked.get("text") ?? "";
  const [typed, setTyped] = useState(text);
  const [plates, setPlates] = useState<PlateSummary[] | null>(null);
  const [statuses, setStatuses] = useState<ReadonlyMap<string, PlateStatus>>(new Map());
  const [pages, setPages] = useState(1);
  const [more, setMore] = useState(false);
  const [error, setError] = useState<unknown>(null);

  useEffect(() => {
    // What another question brought is no answer to this one.
    setPlates(null);
    setError(null);
    setMore(false);
  }, [state, text]);
  useEffect(() => {
    const stop = new AbortController();
    void follow(stop.signal);
    return () => stop.abort();

    async function follow(signal: AbortSignal) {
      for (let first = true; !signal.aborted; first = false) {
        try {
          const list: PlateSummary[] = [];
          let full = true;
          for (let page = 0; page < pages && full; page++) {
            const ask = new URLSearchParams({ limit: String(PAGE) });
            if (state) ask.set("state", state);
            if (text) ask.set("text", text);
            if (list.length > 0) ask.set("after", list[list.length - 1].plate_id);
            const answer = await getJson<{ plates: PlateSummary[] }>(`/v1/plates?${ask}`, signal);
            list.push(...answer.plates);
            full = answer.plates.length === PAGE;
          }
          setPlates(list);
          setMore(full);
          setError(null);
          if (first) announce(`${list.length}${full ? " or more" : ""} ${list.length === 1 ? "plate" : "plates"}`, true);
          const running = list.filter(plate => plate.state === "running").slice(0, MOST_FOLLOWED);
          const seen = await Promise.all(running.map(plate => getJson<PlateStatus>(plateUrl(plate.plate_id), signal).catch(() => null)));
          if (signal.aborted) return;
          setStatuses(new Map(seen.filter(status => status !== null).map(status => [status.plate_id, status])));
        } catch (problem) {
          if (signal.aborted) return;
          setError(problem);
        }
        await sleep(EVERY, signal).catch(() => {});
      }
    }
  }, [state, text, pages]);

  function ask(change: Record<string, string>) {
    const next = new URLSearchParams({ ...(state && { state }), ...(text && { text }), ...change });
    for (const [name, value] of [...next]) if (!value) next.delete(name);
    setPages(1);
    location.hash = `#/plates${next.size > 0 ? `?${next}` : ""}`;
  }

  return (
    <>
      <Heading title="Plates">{maySubmit && <a class="button primary" href="#/submit">Submit a plate</a>}</Heading>
      <form class="filter" role="search" aria-label="Plates" onSubmit={event => { event.preventDefault(); ask({ text: typed.trim() }); }}>
        <div><label for="state">State</label>
          <select id="state" value={state} onChange={event => ask({ state: event.currentTarget.value })}>
            <option value="">any</option>
            {STATES.map(each => <option key={each} value={each}>{stateName(each)}</option>)}
          </select></div>
        <div><label for="text">Name, id or source contains</label>
          <input id="text" type="search" value={typed} onInput={event => setTyped(event.currentTarget.value)} /></div>
        <button>Filter</button>
      </form>
      <ErrorLine error={error ? titleOf(error) : null} />
      {plates === null && !error && <p>Loading ...</p>}
      {plates?.length === 0 && <p>{state || text ? "No plate is like that." : "There are no plates yet."}</p>}
      {plates && plates.length > 0 && (
        <ul class="plates">
          {plates.map(plate => {
            const status = statuses.get(plate.plate_id);
            const done = status ? status.fields_complete + status.fields_failed : 0;
            const name = plate.name ?? plate.plate_id;
            return (
              <li key={plate.plate_id}>
                <div class="what"><a href={`#/plates/${plate.plate_id}`}>{name}</a><span class="source">{sourceName(plate.source)}</span></div>
                <State state={plate.state} />
                <div class="how-far">
                  {plate.state === "running" && status && status.fields > 0 && <>
                    <Bar value={done} max={status.fields} label={`Progress of ${name}`} />
                    <span>{done} of {status.fields} fields</span></>}
                </div>
                <time dateTime={plate.submitted}>{when(plate.submitted)}</time>
              </li>
            );
          })}
        </ul>
      )}
      {more && <button type="button" onClick={() => setPages(pages + 1)}>Show more</button>}
    </>
  );
}
