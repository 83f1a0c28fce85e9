// main.js -- the console: who is signed in, which page is shown, and the frame around it.
import { render } from "preact";
import { useEffect } from "preact/hooks";
import "./style.css";
import { may, session, signOut, whoAmI } from "./lib/api.js";
import { route } from "./lib/route.js";
import { Empty, Loading, Questions, Toasts, attempt, html } from "./lib/ui.js";
import { SignIn } from "./pages/signin.js";
import { Jobs } from "./pages/jobs.js";
import { Keys } from "./pages/keys.js";
import { Models } from "./pages/models.js";
import { NewJob } from "./pages/new.js";
import { Storage } from "./pages/storage.js";
import { System } from "./pages/system.js";
import { Tables } from "./pages/tables.js";

// The pages by the first step of the address: [name, component, least role].
const pages = {
  jobs: ["Jobs", Jobs, "viewer"],
  new: ["New job", NewJob, "user"],
  storage: ["Storage", Storage, "viewer"],
  tables: ["Tables", Tables, "viewer"],
  models: ["Models", Models, "viewer"],
  system: ["System", System, "viewer"],
  keys: ["Keys", Keys, "admin"],
};

const Nowhere = () => html`<${Empty} title="There is no such page"><p><a href="#/jobs">All jobs</a></p></${Empty}>`;

function Frame() {
  const at = route.value.path[0] || "jobs";
  const [name, Page] = pages[at] && may(pages[at][2]) ? pages[at] : ["", Nowhere];
  useEffect(() => {
    document.title = name ? `${name} · tranche` : "tranche";
  }, [name]);
  return html`
    <a class="skip" href="#main" onClick=${(e) => (e.preventDefault(), document.getElementById("main").focus())}>Skip to the page</a>
    <header class="top">
      <a class="brand" href="#/jobs"><img src="/console/icon.svg" alt="" width="24" height="24" />tranche</a>
      <nav aria-label="Pages">${Object.entries(pages).filter(([, [, , role]]) => may(role)).map(([id, [title]]) =>
        html`<a href=${`#/${id}`} aria-current=${id === at ? "page" : undefined}>${title}</a>`)}</nav>
      <div class="who"><span title="Project">${session.value.project}</span>
        ${!session.value.open && html`<button class="plain" onClick=${() => attempt(signOut)}>Sign out</button>`}</div>
    </header>
    <main id="main" tabindex="-1"><${Page} /></main>`;
}

function App() {
  useEffect(() => {
    const ask = () => whoAmI().catch(() => setTimeout(ask, 2000));
    ask();
  }, []);
  const who = session.value;
  return html`${who === undefined ? html`<${Loading} />` : who ? html`<${Frame} />` : html`<${SignIn} />`}
    <${Questions} /><${Toasts} />`;
}

render(html`<${App} />`, document.getElementById("app"));
