// One job: its progress while it runs, what became of it once it has ended.

import * as api from "../api.js";
import { announce, h } from "../dom.js";
import { ENDED, follow } from "../follow.js";
import { ago } from "../numbers.js";
import { badge, nameOf } from "../parts/jobs.js";
import { failed } from "../parts/states.js";
import { progressPanel } from "./job_progress.js";
import { outcome } from "./job_report.js";

export const title = "Job";
export const intro = "";

export async function content({ argument: id, signal, heading }) {
  const top = h("div", { class: "sheet" });
  const progress = progressPanel();
  const below = h("div", { class: "stack" });
  let last = null;

  const seen = (job) => {
    if (signal.aborted) return;
    if (job.status !== last) {
      heading.textContent = nameOf(job);
      document.title = `${nameOf(job)}, ${job.status} · Palimpsest`;
      top.replaceChildren(...head(job, below));
      if (last !== null) announce(`The job ${ENDED.has(job.status) ? "has ended" : "goes on"}: ${job.status}.`);
      last = job.status;
    }
    progress.see(job);
  };
  const watched = follow(id, seen, signal).then((job) => {
    if (signal.aborted) return;
    progress.end();
    below.replaceChildren(...outcome(job, signal));
  });
  watched.catch((error) => !signal.aborted && below.replaceChildren(failed(error)));
  return [h("p", {}, h("a", { href: "#/jobs" }, "← All jobs")), top, progress.node, below];
}

function head(job, below) {
  const facts = [
    job.submitted && ["Submitted", ago(job.submitted)],
    job.by && ["By", job.by],
    job.started && job.ended && ["Took", `${((Date.parse(job.ended) - Date.parse(job.started)) / 1000).toFixed(1)} s`],
    ["Model", job.model],
  ].filter(Boolean);
  return [
    h("div", { class: "sheet-head" }, h(
      "div",
      { class: "actions" },
      badge(job.status),
      h("span", { class: "mono small soft" }, job.id),
    ),
      job.version !== null && h("a", { href: "#/history" }, `It is version ${job.version}`)),
    h("dl", { class: "figures" }, facts.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value)))),
    !ENDED.has(job.status) && h(
      "div",
      { class: "actions" },
      h(
        "button",
        { type: "button", class: "slight", on: { click: (event) => stop(job, event.target, below) } },
        "Cancel this job",
      ),
    ),
  ].filter(Boolean);
}

async function stop(job, button, below) {
  button.disabled = true;
  try {
    await api.cancel(job.id);
    announce("The job is told to stop.");
  } catch (error) {
    below.replaceChildren(failed(error));
  }
}
