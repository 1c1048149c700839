import { useEffect, useRef, useState } from "preact/hooks";
import { getJson, newKey, post, titleOf, type ModelSummary, type PlateStatus, type PlateSubmission } from "./api";
import { Bar, ErrorLine, Heading, announce } from "./common";
import { Upload, isManifest, isTaken, sizeText, type UploadProgress } from "./upload";

const STATISTICS = [
  ["mean", "Mean", "the predicted intensity"],
  ["standard_deviation", "Standard deviation", "how uncertain it is"],
  ["median", "Median", ""],
  ["mode", "Mode", ""],
  ["entropy", "Entropy", ""],
];
const NAMINGS = [
  ["", "found out by trying"], ["isl", "In Silico Labeling"], ["phenix", "Opera Phenix"], ["imagexpress", "ImageXpress"], ["cv8000", "CV8000"],
  ["own", "a regular expression"],
];

type Stage = { name: "form" } | { name: "upload" | "submit"; error: unknown };

export function Submit() {
  const [models, setModels] = useState<ModelSummary[]>([]);
  const [asked, setAsked] = useState(0);
  const [error, setError] = useState<unknown>(null);
  const [stage, setStage] = useState<Stage>({ name: "form" });
  const [progress, setProgress] = useState<UploadProgress | null>(null);

  const [name, setName] = useState("");
  const [from, setFrom] = useState<"upload" | "share">("upload");
  const [files, setFiles] = useState<File[]>([]);
  const [leftOut, setLeftOut] = useState(0);
  const [share, setShare] = useState("share:");
  const [naming, setNaming] = useState("");
  const [expression, setExpression] = useState("");
  const [modelName, setModelName] = useState("");
  const [labels, setLabels] = useState<string[]>([]);
  const [statistics, setStatistics] = useState(["mean", "standard_deviation"]);
  const [planes, setPlanes] = useState<"middle" | "one" | "all">("middle");
  const [plane, setPlane] = useState(0);
  const [stride, setStride] = useState(64);
  const [weight, setWeight] = useState(1);

  const upload = useRef<Upload | null>(null);
  // The same submission sent again, since its answer was lost, is the same plate; another one is not.
  const sent = useRef({ body: "", key: "" });
  const model = models.find(each => each.name === modelName);

  useEffect(() => {
    const stop = new AbortController();
    setError(null);
    getJson<{ models: ModelSummary[] }>("/v1/models", stop.signal).then(({ models: list }) => {
      setModels(list);
      if (list.length === 0) setError("This service has no model yet: whoever runs it has to give it one.");
      const first = list.find(each => each.is_default) ?? list[0];
      if (first) {
        setModelName(first.name);
        setLabels(first.labels);
      }
    }, problem => { if (!stop.signal.aborted) setError(problem); });
    return () => stop.abort();
  }, [asked]);

  // Leaving while files are on their way would lose them without a word.
  const moving = stage.name !== "form";
  useEffect(() => {
    if (!moving) return;
    const warn = (event: BeforeUnloadEvent) => event.preventDefault();
    addEventListener("beforeunload", warn);
    return () => removeEventListener("beforeunload", warn);
  }, [moving]);
  useEffect(() => () => { void upload.current?.cancel().catch(() => {}); }, []);

  function check(): string | null {
    if (from === "upload" && files.length === 0) return "Choose the plate's images, or name a shared folder.";
    if (from === "share" && !/^share:[^/]+/.test(share.trim())) return "Name the shared folder as share:NAME/PATH.";
    if (naming === "own" && !expression) return "Give the regular expression, or let the names be found out by trying.";
    if (labels.length === 0) return "Choose at least one label.";
    if (statistics.length === 0) return "Choose at least one thing to store.";
    if (from !== "upload") return null;
    if (new Set(files.map(file => file.name)).size < files.length) return "Two of the files have the same name. Rename one: an upload has no folders.";
    return files.filter(isManifest).length > 1 ? "There is more than one manifest (CSV, JSON). Choose one of them." : null;
  }

  function chooseFiles(list: FileList | null) {
    const all = Array.from(list ?? []), taken = all.filter(isTaken);
    setFiles(taken);
    setLeftOut(all.length - taken.length);
    void upload.current?.cancel().catch(() => {});
    upload.current = null;
  }

  async function send() {
    const wrong = check();
    setError(wrong);
    if (wrong) return;
    let at: "upload" | "submit" = "upload";
    try {
      let source = share.trim();
      if (from === "upload") {
        setStage({ name: "upload", error: null });
        upload.current ??= new Upload(files, seen => {
          setProgress(seen);
          announce(`${Math.floor(100 * seen.sent / Math.max(seen.total, 1))}% uploaded`);
        });
        const manifest = files.find(isManifest);
        source = `upload:${await upload.current.run()}${manifest ? `/${manifest.name}` : ""}`;
      }
      at = "submit";
      setStage({ name: "submit", error: null });
      const submission: PlateSubmission = {
        source, labels, statistics, stride, weight,
        ...(name.trim() && { name: name.trim() }),
        ...(naming && { pattern: naming === "own" ? expression : naming }),
        ...(modelName && { model: modelName }),
        ...(planes === "one" && { plane }),
        all_planes: planes === "all",
      };
      const body = JSON.stringify(submission);
      if (sent.current.body !== body) sent.current = { body, key: newKey() };
      const status = await post<PlateStatus>("/v1/plates", submission, { "Idempotency-Key": sent.current.key });
      upload.current = null;   // the service's now
      announce("The plate was submitted.", true);
      location.hash = `#/plates/${status.plate_id}`;
    } catch (problem) {
      if (problem instanceof DOMException && problem.name === "AbortError") return;
      if (at === "submit") {
        // What was typed may be mended, and then it is another submission of the same files.
        setStage({ name: "form" });
        setError(problem);
      } else setStage({ name: at, error: problem });
    }
  }

  async function cancel() {
    const dropped = upload.current;
    upload.current = null;
    setStage({ name: "form" });
    setProgress(null);
    announce("The upload was cancelled.", true);
    try {
      await dropped?.cancel();
    } catch (problem) {
      setError(`The upload was stopped, but what had arrived could not be dropped: ${titleOf(problem)}`);
    }
  }

  if (stage.name !== "form") {
    const seen = progress ?? { sent: 0, total: 0, filesSent: 0, files: files.length, current: "" };
    return (
      <>
        <Heading title={stage.name === "upload" ? "Uploading" : "Submitting"} />
        {stage.name === "upload" && <>
          <Bar value={seen.sent} max={seen.total} label="Upload" />
          <p>{sizeText(seen.sent)} of {sizeText(seen.total)}, {seen.filesSent} of {seen.files} files. {seen.filesSent < seen.files && <span class="source">{seen.current}</span>}</p>
        </>}
        {stage.name === "submit" && <p>The service looks at the images ...</p>}
        <ErrorLine error={stage.error} />
        <div class="actions">
          {stage.error ? <button type="button" class="primary" onClick={() => void send()}>Go on</button> : null}
          {stage.name === "upload" && <button type="button" onClick={() => void cancel()}>Cancel the upload</button>}
        </div>
      </>
    );
  }

  const total = files.reduce((sum, file) => sum + file.size, 0);
  const toggle = (list: string[], item: string) => list.includes(item) ? list.filter(each => each !== item) : [...list, item];
  return (
    <>
      <Heading title="Submit a plate" />
      <form class="submit" onSubmit={event => { event.preventDefault(); void send(); }}>
        <fieldset>
          <legend>Images</legend>
          <div class="choices">
            <label><input type="radio" name="from" checked={from === "upload"} onChange={() => setFrom("upload")} /> From this computer</label>
            <label><input type="radio" name="from" checked={from === "share"} onChange={() => setFrom("share")} /> From a shared folder</label>
          </div>
          {from === "upload" ? <>
            <div class="files">
              <div><label for="files">Image files</label><input id="files" type="file" multiple onChange={event => chooseFiles(event.currentTarget.files)} /></div>
              <div><label for="folder">or a whole folder</label>
                <input id="folder" type="file" multiple ref={input => input?.setAttribute("webkitdirectory", "")} onChange={event => chooseFiles(event.currentTarget.files)} /></div>
            </div>
            <p class="hint" role="status">{files.length === 0 ? "PNG or TIFF, and a manifest (CSV, JSON) where names do not tell the wells." : `${files.length} ${files.length === 1 ? "file" : "files"}, ${sizeText(total)}.`}
              {leftOut > 0 && ` ${leftOut} ${leftOut === 1 ? "is" : "are"} left out: neither PNG, TIFF, CSV nor JSON, or empty.`}</p>
          </> : <>
            <label for="share">Shared folder</label>
            <input id="share" value={share} onInput={event => setShare(event.currentTarget.value)} aria-describedby="share-hint" spellcheck={false} />
            <p class="hint" id="share-hint">share:NAME/PATH, a name that whoever runs this service has given to a store.</p>
          </>}
          <label for="naming">The files' names are read as</label>
          <select id="naming" value={naming} onChange={event => setNaming(event.currentTarget.value)}>
            {NAMINGS.map(([value, title]) => <option key={value} value={value}>{title}</option>)}
          </select>
          {naming === "own" && <>
            <label for="expression">Regular expression</label>
            <input id="expression" value={expression} onInput={event => setExpression(event.currentTarget.value)} spellcheck={false} aria-describedby="expression-hint" />
            <p class="hint" id="expression-hint">With the groups well (or row, column), field, plane, channel, as in (?&lt;well&gt;[A-H]\d+)_(?&lt;plane&gt;\d+).png</p>
          </>}
          <label for="name">Name of the plate</label>
          <input id="name" maxLength={200} value={name} onInput={event => setName(event.currentTarget.value)} />
        </fieldset>
        <fieldset>
          <legend>Staining</legend>
          <label for="model">Model</label>
          <select id="model" value={modelName} onChange={event => {
            setModelName(event.currentTarget.value);
            setLabels(models.find(each => each.name === event.currentTarget.value)?.labels ?? []);
          }}>
            {models.map(each => <option key={each.name} value={each.name}>{each.name}{each.is_default ? " (default)" : ""}</option>)}
          </select>
          {model && <p class="hint">{model.variant}; licence {model.licence}</p>}
          <div role="group" aria-labelledby="labels-title">
            <p class="label" id="labels-title">Labels</p>
            <div class="choices">
              {model?.labels.map(label => (
                <label key={label}><input type="checkbox" checked={labels.includes(label)}
                  onChange={() => setLabels(model.labels.filter(each => toggle(labels, label).includes(each)))} /> {label}</label>
              ))}
            </div>
          </div>
          <div role="group" aria-labelledby="statistics-title">
            <p class="label" id="statistics-title">Store of each label</p>
            <div class="choices">
              {STATISTICS.map(([value, title, more]) => (
                <label key={value}><input type="checkbox" checked={statistics.includes(value)}
                  onChange={() => setStatistics(STATISTICS.map(([each]) => each).filter(each => toggle(statistics, value).includes(each)))} /> {title}{more && `, ${more}`}</label>
              ))}
            </div>
          </div>
          <div role="group" aria-labelledby="planes-title">
            <p class="label" id="planes-title">Predict from</p>
            <div class="choices">
              <label><input type="radio" name="planes" checked={planes === "middle"} onChange={() => setPlanes("middle")} /> the middle plane</label>
              <label><input type="radio" name="planes" checked={planes === "all"} onChange={() => setPlanes("all")} /> all planes, averaged</label>
              <label><input type="radio" name="planes" checked={planes === "one"} onChange={() => setPlanes("one")} /> one plane</label>
            </div>
          </div>
          {planes === "one" && <>
            <label for="plane">Plane, counted from 0</label>
            <input id="plane" type="number" min={0} max={9999} value={plane} onInput={event => setPlane(event.currentTarget.valueAsNumber || 0)} />
          </>}
          <details>
            <summary>More settings</summary>
            <label for="stride">Distance of neighbouring tiles, pixels</label>
            <input id="stride" type="number" min={16} max={128} value={stride} onInput={event => setStride(event.currentTarget.valueAsNumber || 64)} aria-describedby="stride-hint" />
            <p class="hint" id="stride-hint">Smaller is smoother and slower; 64 is usual.</p>
            <label for="weight">Share of the devices against other plates</label>
            <input id="weight" type="number" min={1} max={100} value={weight} onInput={event => setWeight(event.currentTarget.valueAsNumber || 1)} />
          </details>
        </fieldset>
        <ErrorLine error={error} />
        <div class="actions">
          {models.length === 0 && error ? <button type="button" class="primary" onClick={() => setAsked(asked + 1)}>Load the models again</button>
            : <button class="primary" disabled={models.length === 0}>Submit</button>}
          <a class="button" href="#/plates">Cancel</a>
        </div>
      </form>
    </>
  );
}

