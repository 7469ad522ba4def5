// Jobs: what waits, what runs, what became of the others.

import * as api from "../api.js";
import { h, pause } from "../dom.js";
import { ago } from "../numbers.js";
import { ENDED } from "../follow.js";
import { selectField } from "../parts/fields.js";
import { badge, nameOf, progressBar } from "../parts/jobs.js";
import { empty, failed } from "../parts/states.js";

export const title = "Jobs";
export const intro =
  "Everything that changes the model is a job: it waits its turn, runs, and leaves one version, or none.";

const BUSY_MS = 1000;
const IDLE_MS = 4000;
const STATUSES = ["queued", "running", "succeeded", "rejected", "failed", "cancelled"];

export async function content({ model, signal }) {
  const list = h("div");
  const filter = selectField("Show", [["", "all jobs"], ...STATUSES.map((status) => [status, status])], "");
  let shown = null;

  const look = async () => {
    const { jobs } = await api.jobs(model.id, filter.control.value, signal);
    const now = JSON.stringify(
      [filter.control.value, jobs.map(({ id, status, progress, position }) => [id, status, progress, position])]
    );
    if (now !== shown && !signal.aborted) render(list, jobs, filter.control.value);
    shown = now;
    return jobs.some(({ status }) => !ENDED.has(status));
  };
  const watch = async () => {
    while (!signal.aborted) {
      try {
        await pause((await look()) ? BUSY_MS : IDLE_MS, signal);
      } catch (error) {
        if (signal.aborted) return;
        shown = null;
        list.replaceChildren(failed(error));
        await pause(IDLE_MS, signal);
      }
    }
  };
  filter.control.addEventListener("change", () => look().catch((error) => list.replaceChildren(failed(error))));
  watch();
  return [h("section", { class: "sheet", "aria-label": "Jobs" }, filter.node, list)];
}

function render(list, jobs, status) {
  const focused = list.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
  list.replaceChildren(jobs.length ? h("ul", { class: "rows" }, jobs.map(row)) : nothing(status));
  if (focused) list.querySelector(`a[href="${CSS.escape(focused)}"]`)?.focus();
}

function row(job) {
  const { position } = job;
  const place = position === 0 ? "next" : position > 0 ? `${position} before it` : "";
  const times = [
    job.submitted && ago(job.submitted),
    job.by && `by ${job.by}`,
    place,
    job.error?.detail,
  ].filter(Boolean);
  return h("li", {},
    h("div", { class: "job-row" },
      h(
        "a",
        { class: "what", href: `#/jobs/${encodeURIComponent(job.id)}` },
        nameOf(job),
        job.version === null ? "" : ` → version ${job.version}`,
      ),
      badge(job.status)),
    h(
      "div",
      { class: "meta" },
      h("span", { class: "mono", title: job.id }, job.id.slice(0, 10)),
      ...times.map((text) => h("span", {}, text)),
    ),
    job.status === "running" && progressBar(job.progress?.share ?? 0, `Progress of ${nameOf(job)}`),
  );
}

function nothing(status) {
  if (status) return empty(`No job is ${status}.`);
  return empty(
    "Nothing has been written over yet. The first edit starts a job, and it is followed here.",
    h("a", { href: "#/edit" }, "Write a fact"),
  );
}
