// History: the versions as layers, the newest on top; what lies between two; the facts in force.

import * as api from "../api.js";
import { h } from "../dom.js";
import { ago, count, figure, percent, total } from "../numbers.js";
import { changesOf } from "../parts/changes.js";
import { bar } from "../parts/facts.js";
import { harmLine } from "../parts/harm.js";
import { failed, waiting } from "../parts/states.js";
import { comparing } from "./history_diff.js";
import { inForce } from "./history_facts.js";
import { rollBackTo } from "./history_undo.js";

export const title = "History";
export const intro =
  "Layer upon layer: an earlier version can be gone back to, a fact taken out again; both are further layers.";

const SHOWN = 10;
/** Versions that are asked for at once. */
const ASKED = "100";

export async function content({ model, signal, parameters }) {
  const { versions, head, has_more } = await api.versions(model.id, signal, { limit: ASKED });
  let older = has_more;
  const { facts } = await api.facts(model.id, signal);
  const newest = [...versions].reverse();
  const most = Math.max(...versions.map(({ update_norms: norms }) => total(norms)), 1e-9);
  const list = h("ol", { class: "timeline", "aria-label": "Versions, newest first" });
  const more = h("button", { type: "button" }, "Show earlier versions");
  const problem = h("div");
  const show = () => {
    const next = newest.slice(list.children.length, list.children.length + SHOWN);
    list.append(...next.map((version) => layer(version, { model, head, most, signal, problem })));
    more.hidden = list.children.length >= newest.length && !older;
  };
  const showMore = async () => {
    more.disabled = true;
    try {
      if (older && list.children.length + SHOWN > newest.length) {
        const page = await api.versions(model.id, signal, { limit: ASKED, before: newest.at(-1).version });
        newest.push(...page.versions.reverse());
        older = page.has_more;
      }
      problem.replaceChildren();
      show();
    } catch (error) {
      if (!signal.aborted) problem.replaceChildren(failed(error, showMore));
    } finally {
      more.disabled = false;
    }
  };
  more.addEventListener("click", showMore);
  show();
  return [problem, h("div", { class: "columns" },
    h("section", { class: "stack", "aria-labelledby": "layers" }, h("h2", { id: "layers" }, "Versions"), list, more),
    h("div", { class: "stack" }, comparing(model, head, signal, parameters), inForce(model, head, facts, signal)))];
}

const NAMES = { base: "as it was loaded", edit: "edit", revert: "revert", rollback: "rollback" };

function layer(version, { model, head, most, signal, problem }) {
  const { version: number, kind, update_norms: norms } = version;
  const base = kind === "base";
  const changes = h("div", {}, base ? soft("The model before anything was written over.") : waiting("Reading …"));
  const by = h("span");
  const back = (event) => rollBackTo(model, number, head, event.target, problem);
  const button = () =>
    h("button", { type: "button", class: "slight", on: { click: back } }, `Roll back to version ${number} …`);
  const actions = h("div", { class: "actions" }, number !== head && button());
  if (!base) tell(model, number, { changes, by, actions }, signal);
  return h("li", { class: `layer ${number === head ? "head" : ""}` },
    h("article", { class: "sheet", "aria-labelledby": `version-${number}` },
      h("div", { class: "sheet-head" },
        h("h3", { id: `version-${number}` }, `Version ${number}`),
        number === head && h("span", { class: "badge good" }, "in service")),
      meta(version, by),
      changes,
      total(norms) > 0 && normBar(total(norms), most),
      actions));
}

const soft = (text) => h("p", { class: "soft" }, text);

function meta({ kind, job, created, facts, facts_hold: hold }, by) {
  const whose = kind === "edit" ? "of those sent hold" : "of those in force hold";
  return h("p", { class: "meta" },
    h("span", {}, NAMES[kind] ?? kind),
    h("time", { datetime: created, title: created }, ago(created)),
    by,
    facts > 0 && h("span", {}, count(facts, "fact")),
    hold !== null && h("span", {}, `${percent(hold)} ${whose}`),
    job && h("a", { href: `#/jobs/${encodeURIComponent(job)}` }, "job"));
}

function normBar(norm, most) {
  const row = bar("norm", norm / most);
  row.querySelector(".bar-number").textContent = figure(norm);
  return h("ul", { class: "bars" }, row);
}

/** Ask for what a list of versions does not have, and put it in its places. */
async function tell(model, number, { changes, by, actions }, signal) {
  try {
    const { by: whom, to, changes: made, report, compacted } = await api.version(model.id, number, signal);
    if (whom) by.textContent = `by ${whom}`;
    if (compacted) actions.replaceChildren(soft("Its weights were removed: it cannot be gone back to."));
    const parts = [
      Number.isInteger(to) && soft(`Version ${to} again.`),
      changesOf(made),
      report?.harm && h("p", { class: "small soft" }, harmLine(report.harm)),
    ];
    changes.replaceChildren(...parts.filter(Boolean));
  } catch (error) {
    if (!signal.aborted) changes.replaceChildren(failed(error));
  }
}
