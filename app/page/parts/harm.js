// What an edit does to text that has nothing to do with it.

import { h } from "../dom.js";
import { figure, percent } from "../numbers.js";

/** A sheet: against the version before, and against version 0. */
export function harmSheet(harm) {
  const row = (name, drift) => h("tr", {}, h("th", { scope: "row" }, name),
    h("td", { class: "number" }, figure(drift.kl)), h("td", { class: "number" }, percent(drift.top1)), h("td", { class: "number" }, `× ${drift.perplexity.toFixed(4)}`));
  const head = ["Against", "KL a token", "Same likeliest token", "Perplexity"];
  return h("section", { class: "sheet", "aria-labelledby": "harm" },
    h("h2", { id: "harm" }, "Harm"),
    h("p", { class: "soft" }, `What it did to text that has nothing to do with it, over ${harm.tokens.toLocaleString("en")} places.`),
    h("div", { class: "table-wrap", tabindex: "0", role: "group", "aria-label": "Harm" }, h("table", {},
      h("thead", {}, h("tr", {}, head.map((name, index) => h("th", { scope: "col", class: index ? "number" : null }, name)))),
      h("tbody", {}, row("the version before", harm.before), row("version 0", harm.base)))));
}

/** The same in one line. */
export const harmLine = (harm) =>
  `Harm: KL ${figure(harm.before.kl)}, ${percent(harm.before.top1)} of likeliest tokens unchanged, perplexity × ${harm.before.perplexity.toFixed(3)}`;
