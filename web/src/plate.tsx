import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { Problem, plateUrl, post, request, stateName, type FieldStatus, type PlateStatus } from "./api";
import { Bar, Confirm, ErrorLine, Heading, State, announce, useAction, when } from "./common";
import { watchPlate } from "./events";
import { PlateMap, type Cell } from "./platemap";
import { FIGURES, perWell, readQuality, scaleColour, type QualityRow } from "./quality";
import { byPlace, shareOf, summarise, type WellSummary } from "./wells";
import { ZarrImage } from "./zarr";

const SIGNS = { pending: "·", running: "", complete: "✓", failed: "✕", cancelled: "–" };

/** A plate's status and fields as they change. `again` starts the watch anew, after a retry. */
function usePlate(url: string, again: number) {
  const [status, setStatus] = useState<PlateStatus | null>(null);
  const [fields, setFields] = useState<ReadonlyMap<string, FieldStatus>>(new Map());
  const [lost, setLost] = useState<string | null>(null);
  const [error, setError] = useState<unknown>(null);
  useEffect(() => {
    const stop = new AbortController();
    let before = "";
    setError(null);
    watchPlate(url, change => {
      setStatus(change.status);
      setFields(known => {
        const next = new Map(known);
        for (const field of change.fields) next.set(field.path, field);
        return next;
      });
      const { state, fields_complete: complete, fields_failed: failed, fields: all } = change.status;
      announce(`${stateName(state)}: ${complete} of ${all} fields complete${failed ? `, ${failed} failed` : ""}`, before !== "" && before !== state);
      before = state;
    }, setLost, stop.signal).then(() => setLost(null), problem => { if (!stop.signal.aborted) setError(problem); });
    return () => stop.abort();
  }, [url, again]);
  const take = (answer: PlateStatus) => setStatus(known => known && known.version > answer.version ? known : answer);
  return { status, fields, lost, error, take };
}

export function PlateView({ plateId, well, mayAct }: { plateId: string; well: string | null; mayAct: boolean }) {
  const url = plateUrl(plateId);
  const [again, setAgain] = useState(0);
  const { status, fields, lost, error, take } = usePlate(url, again);
  const [asking, setAsking] = useState<"cancel" | "retry" | "delete" | null>(null);
  const wells = useMemo(() => summarise(fields.values()), [fields]);
  const cells = useMemo(() => new Map([...wells.values()].map((each): [string, Cell] => [each.well, {
    well: each.well, text: `${each.state}, ${each.text}`, className: each.state,
    sign: each.state === "running" ? `${Math.floor(each.share * 100)}` : SIGNS[each.state], share: each.share,
  }])), [wells]);
  const chosen = well && wells.has(well) ? well : [...wells.keys()].sort(byPlace)[0] ?? null;
  const choose = (next: string) => history.replaceState(null, "", `#/plates/${plateId}/wells/${next}`);
  const [selected, setSelected] = useState<string | null>(null);
  const shown = selected ?? chosen;

  const name = status?.name ?? plateId;
  const action = useAction(async (what: "cancel" | "retry" | "delete") => {
    setAsking(null);
    if (what === "delete") {
      await request(url, { method: "DELETE" });
      announce(`${name} is deleted.`, true);
      location.hash = "#/plates";
      return;
    }
    if (what === "cancel") take(await post<PlateStatus>(`${url}/cancel`));
    else {
      const answer = await post<{ fields: number }>(`${url}/retry`);
      announce(`${answer.fields} fields are stained again.`, true);
      setAgain(number => number + 1);
    }
    document.querySelector<HTMLElement>("main h1")?.focus();   // the button that had the focus is gone
  });

  const done = status ? status.fields_complete + status.fields_failed : 0;
  const retryable = [...fields.values()].filter(field => field.state === "failed" || field.state === "cancelled").length;
  return (
    <>
      <p class="crumbs"><a href="#/plates">Plates</a></p>
      <Heading title={name}>
        {status && <State state={status.state} />}
        {status && mayAct && <div class="actions">
          {!status.is_final && <button type="button" onClick={() => setAsking("cancel")} disabled={action.busy}>Cancel the plate</button>}
          {status.is_final && retryable > 0 && <button type="button" onClick={() => setAsking("retry")} disabled={action.busy}>Retry {retryable} {retryable === 1 ? "field" : "fields"}</button>}
          {status.is_final && <button type="button" onClick={() => setAsking("delete")} disabled={action.busy}>Delete the plate</button>}
        </div>}
      </Heading>
      {asking === "cancel" && <Confirm title="Cancel this plate?" text="Fields that are complete stay; the others are not stained."
        yes="Yes, cancel it" onYes={() => void action.run("cancel")} onNo={() => setAsking(null)} />}
      {asking === "retry" && <Confirm title={`Stain ${retryable} ${retryable === 1 ? "field" : "fields"} again?`}
        text="Fields that failed or were cancelled are stained again from the start." yes="Yes, retry" onYes={() => void action.run("retry")} onNo={() => setAsking(null)} />}
      {asking === "delete" && <Confirm title="Delete this plate?" text="Its result goes too, and its upload where no other plate is made from that. Nothing of it can be brought back."
        yes="Yes, delete it" onYes={() => void action.run("delete")} onNo={() => setAsking(null)} />}
      <ErrorLine error={action.error} />
      <ErrorLine error={error} />
      {!status && !error && <p>Loading ...</p>}
      {lost && <p class="notice">{lost}</p>}
      {status && <>
        <section aria-label="Progress" class="progress">
          <Bar value={done} max={status.fields} label="Fields done" />
          <p>{status.fields_complete} of {status.fields} fields complete
            {status.fields_failed > 0 && `, ${status.fields_failed} failed`}{status.fields_running > 0 && `, ${status.fields_running} being stained`}
            ; {status.wells} {status.wells === 1 ? "well" : "wells"}; submitted {when(status.submitted)}</p>
          {status.waiting && <p class="notice">{status.waiting}</p>}
          {status.error && <p class="problem">{status.error}</p>}
        </section>
        <div class="plate-parts">
          {wells.size > 0 && (
            <section aria-labelledby="wells-title" class="card">
              <h2 id="wells-title">Wells</h2>
              <PlateMap label="Wells of the plate, by state" cells={cells} chosen={shown} onChoose={next => { setSelected(next); choose(next); }} />
              <ul class="legend" aria-hidden="true">
                {Object.entries(SIGNS).map(([state, sign]) => <li key={state}><span class={`well ${state}`}>{state === "running" ? "%" : sign}</span> {state}</li>)}
              </ul>
              <details>
                <summary>Wells as a table</summary>
                <WellTable wells={wells} />
              </details>
            </section>
          )}
          {status.is_final && status.fields_complete > 0 && <Quality url={url} generation={status.generation} chosen={shown} onChoose={next => { setSelected(next); choose(next); }} />}
        </div>
        {shown && wells.get(shown) && <Fields url={url} plateId={plateId} well={wells.get(shown)!} />}
      </>}
    </>
  );
}

function WellTable({ wells }: { wells: ReadonlyMap<string, WellSummary> }) {
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label="Wells as a table">
      <table class="list">
        <thead><tr><th scope="col">Well</th><th scope="col">State</th><th scope="col">Fields</th></tr></thead>
        <tbody>
          {[...wells.values()].sort((a, b) => byPlace(a.well, b.well)).map(each =>
            <tr key={each.well}><th scope="row">{each.well}</th><td>{each.state}</td><td>{each.text}</td></tr>)}
        </tbody>
      </table>
    </div>
  );
}

function Fields({ url, plateId, well }: { url: string; plateId: string; well: WellSummary }) {
  return (
    <section aria-labelledby="fields-title">
      <h2 id="fields-title">Fields of {well.well}</h2>
      <ul class="fields">
        {well.fields.map(field => {
          const title = `${field.well} field ${field.field}`;
          return (
            <li key={field.path} class="card">
              {field.state === "complete" ? <a class="picture" href={`#/plates/${plateId}/fields/${field.path}`} tabIndex={-1} aria-hidden="true"><Thumbnail url={`${url}/zarr/${field.path}`} /></a>
                : <div class={`picture none ${field.state}`} aria-hidden="true">{field.state === "running" ? `${Math.floor(shareOf(field) * 100)}%` : SIGNS[field.state]}</div>}
              <h3><a href={`#/plates/${plateId}/fields/${field.path}`}>{title}</a></h3>
              <State state={field.state} />
              {field.state === "running" && <Bar value={field.tiles_done} max={field.tiles_total} label={`Tiles of ${title}`} />}
              {field.reason && <p class="reason">{field.reason}</p>}
            </li>
          );
        })}
      </ul>
    </section>
  );
}

// Thumbnails are drawn a few at a time, in the order in which they came into view.
let drawing = 0;
const queue: (() => void)[] = [];
async function inTurn<T>(work: () => Promise<T>): Promise<T> {
  if (drawing >= 4) await new Promise<void>(resolve => queue.push(resolve));
  drawing++;
  try {
    return await work();
  } finally {
    drawing--;
    queue.shift()?.();
  }
}

/** The last level of the pyramid, channels as the file says they are shown. */
function Thumbnail({ url }: { url: string }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const [failed, setFailed] = useState(false);
  useEffect(() => {
    const stop = new AbortController();
    setFailed(false);
    const watcher = new IntersectionObserver(entries => {
      if (!entries.some(entry => entry.isIntersecting)) return;
      watcher.disconnect();
      inTurn(async () => {
        if (stop.signal.aborted) return;
        const image = await ZarrImage.open(url, stop.signal);
        const level = image.levels.length - 1;
        const drawn = await image.draw(level, 0, 0, image.plane, await image.channelsToShow(false, image.plane));
        const target = canvas.current;
        if (!target || stop.signal.aborted) return;
        target.width = drawn.canvas.width;
        target.height = drawn.canvas.height;
        target.getContext("2d")!.drawImage(drawn.canvas, 0, 0);
        target.dataset.drawn = "true";
      }).catch(() => { if (!stop.signal.aborted) setFailed(true); });
    }, { rootMargin: "300px" });
    watcher.observe(canvas.current!);
    return () => {
      watcher.disconnect();
      stop.abort();
    };
  }, [url]);
  return <><canvas ref={canvas} width="256" height="256" />{failed && <span>no picture</span>}</>;
}

function Quality({ url, generation, chosen, onChoose }: { url: string; generation: number; chosen: string | null; onChoose: (well: string) => void }) {
  const [rows, setRows] = useState<QualityRow[] | null>(null);
  const [error, setError] = useState<unknown>(null);
  const [figure, setFigure] = useState("Mean");
  const [channel, setChannel] = useState<string | null>(null);
  useEffect(() => {
    const stop = new AbortController();
    request(`${url}/zarr/staingrid-fields.csv`, { signal: stop.signal, cache: "no-cache" })
      .then(async response => setRows(readQuality(await response.text())))
      .catch(problem => {
        // A plate that was cancelled has none.
        if (!stop.signal.aborted) setError(problem instanceof Problem && problem.status === 404 ? null : problem);
      });
    return () => stop.abort();
  }, [url, generation]);

  if (error) return <section class="card"><h2>Quality</h2><ErrorLine error={error} /></section>;
  if (!rows || rows.length === 0) return null;
  const channels = [...new Set(rows.map(row => row.channel))];
  const taken = channel ?? channels[0];
  const about = FIGURES.find(each => each.key === figure)!;
  const values = perWell(rows, taken, figure);
  const [low, high] = [Math.min(...values.values()), Math.max(...values.values())];
  const show = (value: number) => value.toFixed(about.digits);
  const cells = new Map([...values].map(([well, value]): [string, Cell] => {
    const { colour, darkText } = scaleColour(high > low ? (value - low) / (high - low) : 0.5);
    return [well, { well, text: show(value), sign: "", colour, className: darkText ? "quality dark-text" : "quality" }];
  }));
  return (
    <section aria-labelledby="quality-title" class="card">
      <h2 id="quality-title">Quality</h2>
      <div class="filter">
        <div><label for="figure">Figure</label>
          <select id="figure" value={figure} onChange={event => setFigure(event.currentTarget.value)}>
            {FIGURES.map(each => <option key={each.key} value={each.key}>{each.title}</option>)}
          </select></div>
        {about.ofChannel && <div><label for="channel">Channel</label>
          <select id="channel" value={taken} onChange={event => setChannel(event.currentTarget.value)}>
            {channels.map(each => <option key={each} value={each}>{each}</option>)}
          </select></div>}
      </div>
      {values.size === 0 ? <p>The table has no such figure.</p> : <>
        <PlateMap label={`${about.title}${about.ofChannel ? ` of ${taken}` : ""} of each well`} cells={cells} chosen={chosen} onChoose={onChoose} />
        <p class="scale"><span>{show(low)}</span><span class="ramp" aria-hidden="true" /><span>{show(high)}</span></p>
        <details>
          <summary>Figures as a table</summary>
          <div class="scroll" tabIndex={0} role="region" aria-label="Figures as a table">
            <table class="list">
              <thead><tr><th scope="col">Well</th><th scope="col">{about.title}</th></tr></thead>
              <tbody>{[...values].sort(([a], [b]) => byPlace(a, b)).map(([each, value]) => <tr key={each}><th scope="row">{each}</th><td>{show(value)}</td></tr>)}</tbody>
            </table>
          </div>
        </details>
        <p><a href={`${url}/zarr/staingrid-fields.csv`} download>Download the table (CSV)</a></p>
      </>}
    </section>
  );
}
