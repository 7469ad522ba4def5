// Rolling back and reverting: each says first what it will undo, and is done only to the version that it spoke of.

import * as api from "../api.js";
import { h } from "../dom.js";
import { count } from "../numbers.js";
import { changesOf } from "../parts/changes.js";
import { confirmed } from "../parts/dialogs.js";
import { failed } from "../parts/states.js";

const MOST_LOOKED_AT = 10;

/** Roll back, after a dialog. */
export async function rollBackTo(model, to, head, button, problem) {
  await asked(button, problem, async () => {
    const { facts } = await api.diff(model.id, head, to);
    const lost = facts.taken_out.length + facts.changed.length;
    const undone = lost
      ? `${count(lost, "fact")} of today will not be in force any more.`
      : "No fact of today is lost.";
    const content = h("div", { class: "stack" },
      h("p", {}, `Version ${head + 1} will be version ${to} again, bit for bit. ${undone} The versions between stay.`),
      changesOf(facts));
    const yes = await confirmed({ title: `Roll back to version ${to}?`, content, doIt: "Roll back" });
    return yes ? api.rollBack(model.id, to, head) : null;
  });
}

/** Take facts out, after a dialog. */
export async function takeOut(model, facts, head, button, problem, signal) {
  await asked(button, problem, async () => {
    const back = await comingBack(model, facts, signal);
    const these = facts.length === 1 ? "this fact" : `these ${facts.length} facts`;
    const returning = back.length ? "What they had replaced is in force again." : "";
    const content = h("div", { class: "stack" },
      h("p", {}, `Version ${head + 1} will be without ${these}; all others stay. ${returning}`),
      changesOf({ added: back, changed: [], taken_out: facts }));
    const yes = await confirmed({ title: `Take out ${count(facts.length, "fact")}?`, content, doIt: "Take out" });
    return yes ? api.revert(model.id, facts.map(({ version, index }) => ({ version, index })), head) : null;
  });
}

/** The facts that those to be taken out had replaced, as far as one looks. */
async function comingBack(model, facts, signal) {
  const versions = [...new Set(facts.map(({ version }) => version))].slice(0, MOST_LOOKED_AT);
  const found = await Promise.all(versions.map((version) => api.version(model.id, version, signal)));
  const name = ({ version, index }) => `${version}/${index}`;
  const taken = new Set(facts.map(name));
  return found
    .flatMap(({ changes }) => changes.changed)
    .filter(({ before, after }) => taken.has(name(after)) && !taken.has(name(before)))
    .map(({ before }) => before);
}

/** Run what asks and does; a job is gone to, a refusal shown. */
async function asked(button, problem, doIt) {
  button.disabled = true;
  problem.replaceChildren();
  try {
    const job = await doIt();
    if (job) location.hash = `#/jobs/${job.id}`;
  } catch (error) {
    problem.replaceChildren(failed(error));
  } finally {
    button.disabled = false;
    if (button.isConnected) button.focus();
  }
}
