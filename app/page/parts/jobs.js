// Jobs in words and colours.

import { h } from "../dom.js";
import { count } from "../numbers.js";

const TONES = { succeeded: "good", rejected: "warn", failed: "bad", cancelled: "", running: "busy", queued: "" };

export const badge = (status) => h("span", { class: `badge ${TONES[status] ?? ""}` }, status);

/** What a job is about. */
export function nameOf(job) {
  const names = {
    edit: `Edit of ${count(job.facts, "fact")}`,
    rollback: "Rollback",
    revert: job.facts ? `Revert of ${count(job.facts, "fact")}` : "Revert",
    export: "Export",
  };
  return names[job.kind] ?? job.kind ?? "Job";
}

/** A progress bar with its name. */
export function progressBar(share, name) {
  return h("progress", { max: "1", value: share, "aria-label": name });
}
