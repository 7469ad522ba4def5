// What became of a job: before and after of its facts, what was dropped and why, what other text suffered.

import { h } from "../dom.js";
import { count, figure, percent, total } from "../numbers.js";
import { beforeAndAfter, sentence, verdict } from "../parts/facts.js";
import { harmSheet } from "../parts/harm.js";
import { kept } from "../store.js";
import { askAgain } from "./job_asked.js";

const SHOWN = 20;

/** The sheets below an ended job. */
export function outcome(job, signal) {
  return [
    job.error && h(
      "div",
      { class: "notice bad" },
      h("strong", {}, job.error.title),
      h("p", {}, job.error.detail),
      h("p", { class: "small" }, "Code ", h("code", {}, job.error.code)),
    ),
    job.report?.rejected && h(
      "div",
      { class: "notice warn" },
      h("strong", {}, "Nothing was written"),
      h("p", {}, job.report.rejected),
    ),
    job.status === "cancelled" && h(
      "div",
      { class: "notice" },
      h("p", {}, "The job was cancelled. Nothing of it stays."),
    ),
    job.report && summary(job.report),
    job.report && factsSheet(job, signal),
    job.report?.harm && harmSheet(job.report.harm),
    job.in_force && inForce(job.in_force),
    job.exported && exported(job.exported),
  ].filter(Boolean);
}

function summary(report) {
  const dropped = report.facts.filter(({ written }) => !written).length;
  return figures("In short", [
    ["Facts hold", percent(report.facts_hold), `of ${report.facts.length.toLocaleString("en")}`],
    report.paraphrases_hold !== null && ["Paraphrases hold", percent(report.paraphrases_hold), "asked, not taught"],
    report.taught_hold !== null && report.taught_hold !== undefined && [
      "Taught paraphrases",
      percent(report.taught_hold),
      "",
    ],
    report.neighbours_keep !== null && ["Neighbours keep", percent(report.neighbours_keep), "their answer"],
    dropped > 0 && ["Dropped", dropped.toLocaleString("en"), "not written"],
    report.companions > 0 && [
      "Companions",
      report.companions.toLocaleString("en"),
      `${percent(report.companions_hold)} hold`,
    ],
    [
      "Norm",
      figure(total(report.update_norms)),
      `${report.method}, ${report.plan}, layers ${report.layers.join(", ")}`,
    ],
    ["Seconds", figure(report.seconds), report.attempts > 1 ? count(report.attempts, "attempt") : ""],
  ]);
}

function figures(name, entries) {
  return h("section", { class: "sheet", "aria-label": name }, h("h2", {}, name),
    h(
      "dl",
      { class: "figures" },
      entries.filter(Boolean).map(
        ([term, value, note]) => h("div", {}, h("dt", {}, term), h("dd", {}, value, note && h("small", {}, note)))
      ),
    ));
}

function factsSheet(job, signal) {
  const sent = kept(`batch-${job.id}`) ?? [];
  const list = h("ul", { class: "rows" });
  const more = h("button", { type: "button", class: "slight" }, "Show more");
  const problem = h("div");
  // What does not hold comes first: it is what one looks for.
  const facts = [...job.report.facts].sort((a, b) => Number(a.holds) - Number(b.holds));
  const show = () => {
    const next = facts.slice(list.children.length, list.children.length + SHOWN);
    const places = next.map((fact) => ({ fact, sent: sent[fact.index], node: h("ul", { class: "asked" }) }));
    list.append(...places.map((place) => factRow(place.fact, place.sent, place.node)));
    more.hidden = list.children.length >= facts.length;
    askAgain(job, places, problem, signal);
  };
  more.addEventListener("click", show);
  show();
  return h(
    "section",
    { class: "sheet", "aria-labelledby": "facts" },
    h("h2", { id: "facts" }, "Before and after"),
    problem,
    list,
    more,
  );
}

function factRow(fact, sent, asked) {
  const verdictOf = fact.written ? verdict(fact.holds, "holds", "does not hold") : h(
    "span",
    { class: "badge warn" },
    "dropped",
  );
  return h("li", { class: `fact-report ${fact.written ? "" : "dropped"}` },
    h("div", { class: "standing" },
      h("div", { class: "said" }, sentence({ ...fact, previous: fact.previous ?? sent?.previous }), verdictOf),
      h("div", { class: "said" }, beforeAndAfter(fact.before.probability, fact.after.probability),
        h(
          "p",
          { class: "small soft" },
          `Rank ${fact.before.rank.toLocaleString("en")} before, ${fact.after.rank.toLocaleString("en")} after.`,
        ))),
    fact.why && h("p", { class: "notice warn" }, fact.why),
    ...fact.warnings.map((text) => h("p", { class: "notice" }, text)),
    !(sent && fact.written) && marks(fact),
    asked,
    fact.tried.length > 0 && tried(fact.tried),
  );
}

function marks({ paraphrases, taught, neighbours }) {
  if (!paraphrases.length && !neighbours.length) return null;
  const each = (holds, name, yes, no) => verdict(holds, `${name} ${yes}`, `${name} ${no}`);
  return h("div", { class: "actions" },
    paraphrases.map(
      (holds, index) => each(
        holds,
        `${taught.includes(index) ? "taught paraphrase" : "paraphrase"} ${index + 1}`,
        "holds",
        "does not",
      )
    ),
    neighbours.map((keeps, index) => each(keeps, `neighbour ${index + 1}`, "unchanged", "changed")));
}

function tried(attempts) {
  const head = ["Steps", "Rate", "Bound", "Weight", "Loss", "Rank"];
  return h("details", {}, h("summary", {}, `What was tried: ${count(attempts.length, "attempt")}`),
    h("div", { class: "table-wrap", tabindex: "0", role: "group", "aria-label": "Attempts" }, h("table", {},
      h("thead", {}, h("tr", {}, head.map((name) => h("th", { class: "number", scope: "col" }, name)))),
      h("tbody", {}, attempts.map((attempt) => h("tr", {},
        [
          attempt.steps,
          attempt.rate,
          attempt.clamp,
          attempt.weight,
          attempt.loss,
          attempt.rank,
        ].map((value) => h("td", { class: "number" }, figure(value)))))))));
}

function inForce(report) {
  return h("div", { class: "stack" },
    figures("Facts in force", [
      ["In force", report.facts.toLocaleString("en"), ""],
      ["Hold", percent(report.facts_hold), report.held_before === null ? "" : `${percent(report.held_before)} before`],
      ["Norm", figure(total(report.update_norms)), "of the change"],
      ["Seconds", figure(report.seconds), ""],
    ]),
    report.lost.length > 0 && h("section", { class: "sheet", "aria-labelledby": "lost" }, h(
      "h2",
      { id: "lost" },
      "Held before, and do not now",
    ),
      h("ul", { class: "rows" }, report.lost.map((fact) => factRow(fact)))));
}

const exported = (report) => figures("What was exported", [
  ["Format", report.format, `version ${report.version}`],
  ["Bytes", report.bytes.toLocaleString("en"), report.path],
  ["Largest difference", figure(report.max_logit_difference), "of a logit, loaded again"],
  ...report.facts_held === null
    ? []
    : [["Facts lost", report.facts_lost.length.toLocaleString("en"), `of ${report.facts_held.toLocaleString("en")}`]],
]);
