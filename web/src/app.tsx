import { render } from "preact";
import { useEffect, useState } from "preact/hooks";
import { me, onLocked, lock, signIn, signOut, type Me } from "./api";
import { ErrorLine, Heading, LiveRegion, useAction } from "./common";
import { PlateView } from "./plate";
import { Plates } from "./plates";
import { Submit } from "./submit";
import { FieldView } from "./viewer";

function useHash(): string {
  const [hash, setHash] = useState(location.hash);
  useEffect(() => {
    const changed = () => setHash(location.hash);
    addEventListener("hashchange", changed);
    return () => removeEventListener("hashchange", changed);
  }, []);
  return hash;
}

function View({ hash, who }: { hash: string; who: Me }) {
  const [path, query] = hash.replace(/^#\/?/, "").split("?");
  const parts = path.split("/").map(decodeURIComponent);
  if (parts[0] === "submit")
    return maySubmit(who) ? <Submit /> : <><Heading title="Submit a plate" /><p>Your key may look at plates, not submit them. Ask whoever runs this service for one that may.</p></>;
  if (parts[0] === "plates" && parts[1] && parts[2] === "fields" && parts.length === 6)
    return <FieldView key={path} plateId={parts[1]} path={parts.slice(3).join("/")} />;
  if (parts[0] === "plates" && parts[1])
    return <PlateView key={parts[1]} plateId={parts[1]} well={parts[2] === "wells" ? parts[3] ?? null : null} mayAct={maySubmit(who)} />;
  if (parts[0] === "" || parts[0] === "plates") return <Plates query={query ?? ""} maySubmit={maySubmit(who)} />;
  return <><Heading title="Not found" /><p>There is no such view. <a href="#/plates">All plates</a></p></>;
}

const maySubmit = (who: Me) => who.roles.includes("submit") || who.roles.includes("operate");

function SignIn({ again, onSignedIn }: { again: boolean; onSignedIn: (who: Me) => void }) {
  const [key, setKey] = useState("");
  const action = useAction(async () => {
    if (key.trim() === "") throw "Give your API key.";
    onSignedIn(await signIn(key.trim()));
  });
  return (
    <section class="sign-in">
      <Heading title="Sign in" />
      <p>{again ? "Your session has ended. Sign in to go on where you were." : "Sign in with an API key. Whoever runs this service can give you one."}</p>
      <form onSubmit={event => { event.preventDefault(); void action.run(); }}>
        <label for="key">API key</label>
        <input id="key" name="key" type="password" autocomplete="current-password" value={key} spellcheck={false}
          onInput={event => setKey(event.currentTarget.value)} aria-describedby="key-hint" />
        <p class="hint" id="key-hint">It starts with sgk_.</p>
        <ErrorLine error={action.error} />
        <button class="primary" disabled={action.busy}>{action.busy ? "Signing in ..." : "Sign in"}</button>
      </form>
    </section>
  );
}

function App() {
  const hash = useHash();
  const [who, setWho] = useState<Me | null | undefined>(undefined);
  const [locked, setLocked] = useState(false);
  const [error, setError] = useState<unknown>(null);
  useEffect(() => onLocked(setLocked), []);

  async function load() {
    setError(null);
    try {
      const known = await me();
      if (!known) lock();
      setWho(known);
    } catch (problem) {
      setError(problem);
    }
  }

  useEffect(() => { void load(); }, []);
  const leave = useAction(async () => {
    await signOut();
    setWho(null);
    lock();
  });

  return (
    <>
      <a class="skip" href="#main" onClick={event => { event.preventDefault(); document.querySelector<HTMLElement>("main h1")?.focus(); }}>Skip to the content</a>
      <header class="bar">
        <a class="brand" href="#/plates"><img src="icon.svg" alt="" width="24" height="24" />StainGrid</a>
        {who && !locked && (
          <nav aria-label="Main">
            <a href="#/plates" aria-current={hash.startsWith("#/submit") ? undefined : "page"}>Plates</a>
            {maySubmit(who) && <a href="#/submit" aria-current={hash.startsWith("#/submit") ? "page" : undefined}>Submit</a>}
          </nav>
        )}
        {who && !locked && who.authentication !== "none" && (
          <div class="who"><span title={`${who.tenant}: ${who.roles.join(", ")}`}>{who.name}</span>
            <button type="button" onClick={() => void leave.run()} disabled={leave.busy}>Sign out</button></div>
        )}
      </header>
      <LiveRegion />
      <main id="main">
        <ErrorLine error={leave.error} />
        {error ? <><Heading title="StainGrid" /><ErrorLine error={error} /><button type="button" onClick={() => void load()}>Try again</button></> : null}
        {!error && who === undefined && <p>Loading ...</p>}
        {locked && who !== undefined && <SignIn again={who !== null} onSignedIn={setWho} />}
        {/* Hidden, not gone: what was typed and uploaded is still there after signing in again. */}
        {who && <div hidden={locked}><View hash={hash} who={who} /></div>}
      </main>
      <footer class="bar"><a href="licences.txt">Licences</a><a href="/openapi/v1.json">API</a></footer>
    </>
  );
}

render(<App />, document.getElementById("app")!);
