// Starts the page: the model that is looked at, the key, and one view at a time by the address after the #.

import * as api from "./api.js";
import { announce, h } from "./dom.js";
import { askedKey } from "./parts/dialogs.js";
import { empty, failed, waiting } from "./parts/states.js";
import { keep, kept } from "./store.js";
import * as ask from "./views/ask.js";
import * as edit from "./views/edit.js";
import * as history from "./views/history.js";
import * as job from "./views/job.js";
import * as jobs from "./views/jobs.js";
import * as serving from "./views/serving.js";

const VIEWS = { edit, jobs, ask, history, serving };
const main = document.getElementById("main");
const choice = document.getElementById("model");
let leaving = new AbortController();

/** The view that an address names, what follows its name, and its parameters. */
function route() {
  const [path, parameters] = location.hash.replace(/^#\/?/, "").split("?");
  const [name, argument] = path.split("/").map(decodeURIComponent);
  const view = name === "jobs" && argument ? job : VIEWS[name];
  return { name: view ? name : "edit", view: view ?? edit, argument, parameters: new URLSearchParams(parameters) };
}

/** Show what the address names. first: nothing had the focus before, so it stays where it is. */
async function show(first = false) {
  leaving.abort();
  leaving = new AbortController();
  const { signal } = leaving;
  const { name, view, argument, parameters } = route();
  mark(name);
  document.title = `${view.title} · Palimpsest`;
  const heading = h("h1", { tabindex: "-1" }, view.title);
  const intro = h("header", { class: "heading" }, heading, h("p", {}, view.intro));
  const body = h("div", { class: "stack" }, waiting("Reading …"));
  main.replaceChildren(intro, body);
  if (!first) {
    scrollTo(0, 0);
    heading.focus();
  }
  const again = () => show();
  try {
    const model = await chosenModel(signal);
    if (signal.aborted) return;
    if (!model) return body.replaceChildren(noModel(again));
    const content = await view.content({ model, argument, parameters, signal, heading, reload: again });
    if (!signal.aborted) body.replaceChildren(...content);
  } catch (error) {
    if (!signal.aborted) body.replaceChildren(failed(error, again));
  }
}

function mark(name) {
  for (const link of document.querySelectorAll(".nav a")) {
    if (link.getAttribute("href") === `#/${name}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}

/** The model that was chosen, or the first that is live; the choice is shown where there is one. */
async function chosenModel(signal) {
  const { models } = await api.models(signal);
  const sorted = [...models].sort((a, b) => Number(b.live) - Number(a.live));
  const model = sorted.find(({ id }) => id === kept("model")) ?? sorted[0];
  choice.replaceChildren(
    ...sorted.map(
      ({ id, live }) => h("option", { value: id, selected: id === model.id }, live ? id : `${id} (not live)`)
    )
  );
  choice.parentElement.hidden = sorted.length < 2;
  document.getElementById("served").textContent = model
    ? `${model.id}${model.live ? "" : " is not served now"}.`
    : "";
  return model;
}

const noModel = (again) =>
  empty(
    "No model is served here yet. Start a worker, and this page will find it.",
    h("button", { type: "button", on: { click: again } }, "Look again"),
  );

let asking = null;

/** Ask for a key, once for all requests that wait for one; true where there is a new one. */
async function newKey(refused) {
  if (kept("key") !== refused && kept("key")) return true; // another request has asked meanwhile
  asking ??= askedKey({ refused: Boolean(refused), known: Boolean(refused) }).finally(() => (asking = null));
  const key = await asking;
  if (key === null) return false;
  keep("key", key || null);
  return Boolean(key);
}

document.getElementById("key").addEventListener("click", async () => {
  const key = await askedKey({ refused: false, known: Boolean(kept("key")) });
  if (key === null) return;
  keep("key", key || null);
  announce(key ? "The key is kept in this tab." : "The key is forgotten.");
  show();
});
choice.addEventListener("change", () => {
  keep("model", choice.value);
  show(true);
});
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});
addEventListener("hashchange", () => show());
api.onUnauthenticated(newKey);
show(true);
