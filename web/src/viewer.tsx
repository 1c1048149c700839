import OpenSeadragon from "openseadragon";
import { useEffect, useRef, useState } from "preact/hooks";
import { Problem, getJson, plateUrl, sleep, type FieldStatus, type PlateStatus } from "./api";
import { Bar, ErrorLine, Heading, State, announce } from "./common";
import { shareOf } from "./wells";
import { ZarrImage, type Shown } from "./zarr";

const EVERY = 3000;
type Layout = "side" | "blended" | "input" | "labels";
const LAYOUTS: [Layout, string][] = [["side", "Side by side"], ["blended", "Blended"], ["input", "Input only"], ["labels", "Labels only"]];

// OpenSeadragon puts a style element into the page, for phones, unless one with this mark is there; the page's policy forbids such styles.
const mark = document.createElementNS("urn:staingrid", "style");
mark.setAttribute("data-openseadragon-mobile-css", "true");
document.head.append(mark);

/** What an image's tiles are drawn with; changed in place, then the tiles are drawn anew. */
interface Look { channels: Shown[]; plane: number }

/** What OpenSeadragon's own types do not tell of a tile that is loaded. */
interface Job { jobId: number | null; tile: { level: number; x: number; y: number }; finish(data: unknown, request: unknown, typeOrMessage: string): void }

/** OpenSeadragon's tiles out of a Zarr tree: a tile is a chunk, its level 0 is the pyramid's last. */
class ZarrTiles extends OpenSeadragon.TileSource {
  private readonly jobs = new Set<Job>();
  private destroyed = false;

  constructor(readonly image: ZarrImage, readonly look: () => Look, private readonly onError: (error: unknown) => void) {
    super({
      width: image.width, height: image.height, tileWidth: image.tileWidth, tileHeight: image.tileHeight, tileOverlap: 0,
      minLevel: 0, maxLevel: image.levels.length - 1,
    } as OpenSeadragon.TileSourceOptions);
  }

  draw(level: number, x: number, y: number): Promise<CanvasRenderingContext2D> {
    const { channels, plane } = this.look();
    return this.image.draw(this.maxLevel - level, x, y, plane, channels);
  }

  override getTileUrl(level: number, x: number, y: number): string { return `${this.image.url}#${level}/${x}/${y}`; }
  override hasTransparency(): boolean { return false; }

  override downloadTileStart(job: OpenSeadragon.ImageJob): void {
    const open = job as unknown as Job;
    this.jobs.add(open);
    this.draw(open.tile.level, open.tile.x, open.tile.y).then(context => open.finish(context, null, "context2d"), error => {
      if (this.destroyed) return;
      this.onError(error);
      open.finish(null, null, "the tile cannot be read");
    }).finally(() => this.jobs.delete(open));
  }

  override downloadTileAbort(): void { /* a chunk that is on its way stays for the next who asks */ }

  /** With the viewer: what is on its way must not come to a viewer that is gone, nor the time-out of it. */
  destroy(): void {
    this.destroyed = true;
    for (const job of this.jobs) {
      clearTimeout(job.jobId ?? undefined);
      job.jobId = null;   // it is over, for OpenSeadragon
    }
  }
}

function useField(plateId: string, path: string) {
  const url = plateUrl(plateId);
  const [fields, setFields] = useState<FieldStatus[] | null>(null);
  const [plate, setPlate] = useState<PlateStatus | null>(null);
  const [images, setImages] = useState<{ input: ZarrImage | null; labels: ZarrImage | null } | null>(null);
  const [looks, setLooks] = useState<{ input: Look; labels: Look } | null>(null);
  const [error, setError] = useState<unknown>(null);
  const [inputError, setInputError] = useState<unknown>(null);
  useEffect(() => {
    const stop = new AbortController();
    async function load() {
      const [first, status] = await Promise.all([list(), getJson<PlateStatus>(url, stop.signal)]);
      setPlate(status);
      const input = await ZarrImage.open(`${url}/input/${path}`, stop.signal).catch(problem => { setInputError(problem); return null; });
      const inputLook = await look(input, true);
      let state = first;
      if (state === "running" || state === "pending") {
        // The input can be looked at while the labels are made.
        setLooks({ input: inputLook, labels: await look(null, false) });
        setImages({ input, labels: null });
        while (state === "running" || state === "pending") {
          await sleep(EVERY, stop.signal);
          state = await list().catch(problem => {
            if (problem instanceof Problem && problem.passes) return state;   // the service starts again, say
            throw problem;
          });
        }
      }
      const labels = state === "complete" ? await ZarrImage.open(`${url}/zarr/${path}`, stop.signal) : null;
      const labelsLook = await look(labels, false);
      if (stop.signal.aborted) return;
      setLooks(known => ({ input: known?.input ?? inputLook, labels: labelsLook }));
      setImages({ input, labels });
    }

    async function list() {
      const { fields } = await getJson<{ fields: FieldStatus[] }>(`${url}/fields`, stop.signal);
      setFields(fields);
      return fields.find(field => field.path === path)?.state;
    }

    async function look(image: ZarrImage | null, all: boolean): Promise<Look> {
      return image ? { plane: image.plane, channels: await image.channelsToShow(all, image.plane) } : { plane: 0, channels: [] };
    }

    load().catch(problem => { if (!stop.signal.aborted) setError(problem); });
    return () => stop.abort();
  }, [url, path]);
  return { fields, plate, images, looks, setLooks, error, inputError };
}

export function FieldView({ plateId, path }: { plateId: string; path: string }) {
  const { fields, plate, images, looks, setLooks, error, inputError } = useField(plateId, path);
  const [layout, setLayout] = useState<Layout>("side");
  const [blend, setBlend] = useState(0.6);
  const [tileError, setTileError] = useState<unknown>(null);
  const first = useRef(looks);
  if (!first.current || first.current.labels.channels.length < (looks?.labels.channels.length ?? 0)) first.current = looks;
  async function contrast(byPixels: boolean) {
    if (!images || !looks || !first.current) return;
    const [input, labels] = await Promise.all((["input", "labels"] as const).map(kind => Promise.all(looks[kind].channels.map(async (channel, i) => {
      const { low, high } = byPixels ? await images[kind]!.contrast(channel.index, looks[kind].plane) : first.current![kind].channels[i];
      return { low, high };
    }))));

    // What was changed meanwhile stays.
    const to = (look: Look, ranges: { low: number; high: number }[]) => ({ ...look, channels: look.channels.map((channel, i) => ({ ...channel, ...ranges[i] })) });
    setLooks(known => known && { input: to(known.input, input), labels: to(known.labels, labels) });
  }
  const onLook = (kind: "input" | "labels") => (change: (look: Look) => Look) => setLooks(known => known && { ...known, [kind]: change(known[kind]) });
  const at = fields?.findIndex(each => each.path === path) ?? -1;
  const field = fields && at >= 0 ? fields[at] : null;
  const back = `#/plates/${plateId}${field ? `/wells/${field.well}` : ""}`;
  const link = (to: FieldStatus | undefined, text: string) => to ? <a href={`#/plates/${plateId}/fields/${to.path}`}>{text}: {to.well} field {to.field}</a> : null;
  const has = { input: !!images?.input, labels: !!images?.labels };
  const shown: Layout = has.input && has.labels ? layout : has.labels ? "labels" : "input";

  return (
    <>
      <p class="crumbs"><a href="#/plates">Plates</a> / <a href={back}>{plate?.name ?? plateId}</a></p>
      <Heading title={field ? `${field.well} field ${field.field}` : `Field ${path}`}>
        {field && <State state={field.state} />}
        <nav class="neighbours" aria-label="Neighbouring fields">{link(fields?.[at - 1], "Before")}{at >= 0 && link(fields?.[at + 1], "Next")}</nav>
      </Heading>
      <ErrorLine error={error} />
      <ErrorLine error={tileError} />
      {fields && !field && <p class="problem">The plate has no field {path}.</p>}
      {inputError ? <p class="notice">The input cannot be shown: {inputError instanceof Error ? inputError.message : ""}</p> : null}
      {field && field.state !== "complete" && <div class="notice">
        <p>This field is {field.state}{field.state === "running" ? ` (${Math.floor(shareOf(field) * 100)}%)` : ""}; it has no labels to show.</p>
        {field.state === "running" && <Bar value={field.tiles_done} max={field.tiles_total} label="Tiles" />}
        {field.reason && <p class="reason">{field.reason}</p>}
      </div>}
      {!images && !error && <p>Loading ...</p>}
      {images && looks && (has.input || has.labels) && (
        <div class="viewer">
          <Stage images={images} looks={looks} layout={shown} blend={blend} name={field ? `${field.well} field ${field.field}` : path} onError={setTileError} />
          <div class="controls" role="region" aria-label="How it is shown">
            {has.input && has.labels && (
              <fieldset>
                <legend>View</legend>
                <div class="choices">
                  {LAYOUTS.map(([value, title]) => <label key={value}><input type="radio" name="layout" checked={layout === value} onChange={() => setLayout(value)} /> {title}</label>)}
                </div>
                {shown === "blended" && <Slider id="blend" label="Labels over input" value={blend} min={0} max={1} step={0.01} text={`${Math.round(blend * 100)}%`} onValue={setBlend} />}
              </fieldset>
            )}
            <div class="actions contrast" role="group" aria-label="Contrast of all channels">
              <button type="button" class="small" onClick={() => void contrast(true)}>Contrast by the pixels</button>
              <button type="button" class="small" onClick={() => void contrast(false)}>As at first</button>
            </div>
            {images.labels && <>
              <Channels title="Labels" image={images.labels} look={looks.labels} of={channel => !channel.uncertainty} onLook={onLook("labels")} />
              <Channels title="Uncertainty" image={images.labels} look={looks.labels} of={channel => channel.uncertainty} onLook={onLook("labels")} />
            </>}
            {images.input && <Channels title="Input" image={images.input} look={looks.input} of={() => true} onLook={onLook("input")} />}
          </div>
        </div>
      )}
    </>
  );
}

function Slider({ id, label, value, min, max, step, text, onValue }: {
  id: string; label: string; value: number; min: number; max: number; step: number; text: string; onValue: (value: number) => void;
}) {
  return (
    <div class="slider">
      <label for={id}>{label}</label>
      <input id={id} type="range" min={min} max={max} step={step} value={value} aria-valuetext={text} onInput={event => onValue(event.currentTarget.valueAsNumber)} />
      <output for={id}>{text}</output>
    </div>
  );
}

function Channels({ title, image, look, of, onLook }: {
  title: string; image: ZarrImage; look: Look; of: (channel: Shown) => boolean; onLook: (change: (look: Look) => Look) => void;
}) {
  const list = look.channels.filter(of);
  if (list.length === 0) return null;
  const change = (index: number, to: Partial<Shown>) =>
    onLook(known => ({ ...known, channels: known.channels.map(channel => channel.index === index ? { ...channel, ...to } : channel) }));
  return (
    <fieldset class="channels">
      <legend>{title}</legend>
      {title === "Input" && image.planes > 1 && (
        <Slider id="plane" label="Plane" value={look.plane} min={0} max={image.planes - 1} step={1} text={`${look.plane} of 0 to ${image.planes - 1}`} onValue={plane => onLook(known => ({ ...known, plane }))} />
      )}
      {list.map(channel => {
        const id = `${title}-${channel.index}`;
        return (
          <div class="channel" key={id} role="group" aria-label={channel.label}>
            <div class="channel-head">
              <label><input type="checkbox" checked={channel.on} onChange={() => change(channel.index, { on: !channel.on })} /> {channel.label}</label>
              <input type="color" aria-label={`Colour of ${channel.label}`} value={channel.colour} onInput={event => change(channel.index, { colour: event.currentTarget.value })} />
              <button type="button" class="small" aria-label={`Auto contrast of ${channel.label}`}
                onClick={() => void image.contrast(channel.index, look.plane).then(range => { change(channel.index, range); announce(`${channel.label}: ${Math.round(range.low)} to ${Math.round(range.high)}`, true); })}>Auto</button>
            </div>
            {channel.on && <>
              <Slider id={`${id}-low`} label="Black" value={channel.low} min={channel.min} max={channel.max} step={1} text={String(Math.round(channel.low))}
                onValue={low => change(channel.index, { low, high: Math.max(channel.high, low + 1) })} />
              <Slider id={`${id}-high`} label="Bright" value={channel.high} min={channel.min} max={channel.max} step={1} text={String(Math.round(channel.high))}
                onValue={high => change(channel.index, { high, low: Math.min(channel.low, high - 1) })} />
            </>}
          </div>
        );
      })}
    </fieldset>
  );
}

const KEYS = "Arrow keys move, plus and minus zoom, 0 shows all of it.";

interface Pane { viewer: OpenSeadragon.Viewer; redraw: () => Promise<void>; parts: { kind: "input" | "labels"; item: () => OpenSeadragon.TiledImage | undefined }[] }

/** One viewer, or two that move together. */
function Stage({ images, looks, layout, blend, name, onError }: {
  images: { input: ZarrImage | null; labels: ZarrImage | null }; looks: { input: Look; labels: Look }; layout: Layout; blend: number; name: string;
  onError: (error: unknown) => void;
}) {
  const holders = { first: useRef<HTMLDivElement>(null), second: useRef<HTMLDivElement>(null) };
  const panes = useRef<Pane[]>([]);
  const current = useRef({ looks, blend });
  current.current = { looks, blend };
  const place = useRef<{ centre: OpenSeadragon.Point; zoom: number } | null>(null);
  const [bar, setBar] = useState<{ width: number; text: string } | null>(null);
  const pixelSize = images.labels?.pixelSize || images.input?.pixelSize || 0;
  const of = (kind: "input" | "labels") => images[kind]!;
  const kinds: ("input" | "labels")[][] = layout === "side" ? [["input"], ["labels"]] : layout === "blended" ? [["input", "labels"]] : [[layout]];

  useEffect(() => {
    let leading: OpenSeadragon.Viewer | null = null;
    panes.current = kinds.map((list, i): Pane => {
      const viewer = OpenSeadragon({
        element: (i === 0 ? holders.first : holders.second).current!,
        drawer: "canvas", showNavigationControl: false, prefixUrl: "", gestureSettingsMouse: { clickToZoom: false, dblClickToZoom: true },
        maxZoomPixelRatio: 8, visibilityRatio: 0.4, minZoomImageRatio: 0.7, imageSmoothingEnabled: true, placeholderFillStyle: "#000",
        animationTime: matchMedia("(prefers-reduced-motion: reduce)").matches ? 0 : 0.4, subPixelRoundingForTransparency: OpenSeadragon.SUBPIXEL_ROUNDING_OCCURRENCES.ALWAYS,
      } as unknown as OpenSeadragon.Options);
      let drawing = 0;
      const items = () => Array.from({ length: viewer.world.getItemCount() }, (_, item) => viewer.world.getItemAt(item));
      const busy = () => viewer.element.setAttribute("aria-busy", String(drawing > 0 || items().length < list.length || items().some(item => !item.getFullyLoaded())));
      busy();
      viewer.world.addHandler("add-item", ({ item }) => item.addHandler("fully-loaded-change", busy));
      const redraw = async () => {
        drawing++;
        busy();
        try {
          await viewer.world.requestInvalidate(true);
        } finally {
          drawing--;
          if (!viewer.isDestroyed()) busy();
        }
      };
      const canvas = viewer.canvas as HTMLElement;
      canvas.setAttribute("role", "application");
      canvas.setAttribute("aria-roledescription", "image viewer");
      canvas.setAttribute("aria-label", `${list.length === 2 ? "Labels over input" : list[0] === "input" ? "Input" : "Labels"} of ${name}. ${KEYS}`);
      viewer.addHandler("canvas-key", event => {
        // Letters would turn and flip the image, which no other view shows.
        const key = (event as unknown as { originalEvent: KeyboardEvent; preventDefaultAction: boolean });
        if (key.originalEvent.key.length === 1 && !"+=-_0".includes(key.originalEvent.key)) key.preventDefaultAction = true;
      });
      const parts: Pane["parts"] = list.map((kind, layer) => {
        viewer.addTiledImage({
          tileSource: new ZarrTiles(of(kind), () => current.current.looks[kind], onError), index: layer, x: 0, y: 0, width: 1,
          opacity: layer === 1 ? blend : 1,
          success: ({ item }: { item: OpenSeadragon.TiledImage }) => { if (layer === 1) item.setOpacity(current.current.blend); },   // as it is by now
        } as unknown as Parameters<typeof viewer.addTiledImage>[0]);
        return { kind, item: () => viewer.world.getItemAt(layer) };
      });
      viewer.addHandler("open", () => restore(viewer));
      viewer.world.addOnceHandler("add-item", () => restore(viewer));
      viewer.addHandler("tile-invalidated", async event => {
        const { tile, tiledImage, setData, outdated } = event as unknown as {
          tile: { level: number; x: number; y: number }; tiledImage: { source: ZarrTiles };
          setData(data: unknown, type: string): Promise<void>; outdated(): Promise<boolean>;
        };
        try {
          const context = await tiledImage.source.draw(tile.level, tile.x, tile.y);
          if (!await outdated()) await setData(context, "context2d");
        } catch (error) {
          if (!viewer.isDestroyed()) onError(error);
        }
      });
      const moved = () => {
        if (leading && leading !== viewer) return;
        leading = viewer;
        const { viewport } = viewer;
        place.current = { centre: viewport.getCenter(), zoom: viewport.getZoom() };
        for (const other of panes.current) {
          if (other.viewer === viewer || !other.viewer.viewport) continue;
          other.viewer.viewport.zoomTo(place.current.zoom, undefined, true);
          other.viewer.viewport.panTo(place.current.centre, true);
        }
        leading = null;
      };
      viewer.addHandler("zoom", moved);
      viewer.addHandler("pan", moved);
      const measure = () => { if (i === 0) setBar(scaleBar(viewer, pixelSize)); };
      viewer.addHandler("update-viewport", measure);
      return { viewer, parts, redraw };
    });
    function restore(viewer: OpenSeadragon.Viewer) {
      if (!place.current) return;
      viewer.viewport.zoomTo(place.current.zoom, undefined, true);
      viewer.viewport.panTo(place.current.centre, true);
    }
    return () => {
      for (const { viewer } of panes.current) viewer.destroy();
      panes.current = [];
    };
  }, [layout, images]);

  // A change of what is shown: every tile that is held is drawn anew from its pixels, at most once a frame.
  const first = useRef(true);
  useEffect(() => {
    if (first.current) {
      first.current = false;
      return;
    }
    const frame = requestAnimationFrame(() => {
      for (const { redraw } of panes.current) void redraw();
    });
    return () => cancelAnimationFrame(frame);
  }, [looks]);

  useEffect(() => {
    for (const pane of panes.current) if (pane.parts.length === 2) pane.parts[1].item()?.setOpacity(blend);
  }, [blend, layout]);

  const all = (act: (viewport: OpenSeadragon.Viewport) => void) => {
    const viewport = panes.current[0]?.viewer.viewport;
    if (!viewport) return;
    act(viewport);
    viewport.applyConstraints();
  };
  return (
    <div class="stage">
      <div class="tools" role="toolbar" aria-label="Zoom">
        <button type="button" onClick={() => all(viewport => viewport.zoomBy(1.5))}>Zoom in</button>
        <button type="button" onClick={() => all(viewport => viewport.zoomBy(1 / 1.5))}>Zoom out</button>
        <button type="button" onClick={() => all(viewport => viewport.goHome())}>Whole field</button>
      </div>
      <div class={kinds.length === 2 ? "panes two" : "panes"}>
        {kinds.map((list, i) => (
          <figure key={`${layout}${i}`}>
            <div class="pane" ref={i === 0 ? holders.first : holders.second} />
            <figcaption>{list.length === 2 ? "Labels over input" : list[0] === "input" ? "Input" : "Labels"}</figcaption>
            {bar && i === 0 && <div class="scale-bar" role="img" aria-label={`Scale bar: ${bar.text}`}><span style={{ width: `${bar.width}px` }} />{bar.text}</div>}
          </figure>
        ))}
      </div>
      <p class="hint">{KEYS}</p>
    </div>
  );
}

/** The longest of 1, 2, 5 times a power of ten that takes at most 140 px of the screen. */
function scaleBar(viewer: OpenSeadragon.Viewer, pixelSize: number): { width: number; text: string } | null {
  const item = viewer.world.getItemAt(0);
  if (!item) return null;
  const perPixel = item.viewportToImageZoom(viewer.viewport.getZoom(true));   // screen pixels to one of the image's
  const unit = pixelSize > 0 ? pixelSize : 1, most = 140 / perPixel * unit;
  const power = 10 ** Math.floor(Math.log10(most));
  const length = power * ([5, 2, 1].find(factor => factor * power <= most) ?? 1);
  const width = Math.round(length / unit * perPixel);
  const text = pixelSize > 0 ? length >= 1000 ? `${length / 1000} mm` : `${+length.toPrecision(1)} µm` : `${+length.toPrecision(1)} px`;
  return { width, text };
}
