// What an edit does to text that has nothing to do with it.

import { h } from "../dom.js";
import { figure, percent } from "../numbers.js";

/** A sheet: against the version before, and against version 0. */
export function harmSheet(harm) {
  const number = (text) => h("td", { class: "number" }, text);
  const row = (name, { kl, top1, perplexity }) => h("tr", {},
    h("th", { scope: "row" }, name), number(figure(kl)), number(percent(top1)), number(`× ${perplexity.toFixed(4)}`));
  const head = ["Against", "KL a token", "Same likeliest token", "Perplexity"];
  const places = harm.tokens.toLocaleString("en");
  return h("section", { class: "sheet", "aria-labelledby": "harm" },
    h("h2", { id: "harm" }, "Harm"),
    h("p", { class: "soft" }, `What it did to text that has nothing to do with it, over ${places} places.`),
    h("div", { class: "table-wrap", tabindex: "0", role: "group", "aria-label": "Harm" },
      h("table", {},
        h("thead", {},
          h("tr", {}, head.map((name, at) => h("th", { scope: "col", class: at ? "number" : null }, name)))),
        h("tbody", {}, row("the version before", harm.before), row("version 0", harm.base)))));
}

/** The same in one line. */
export function harmLine({ before }) {
  const kept = `${percent(before.top1)} of likeliest tokens unchanged`;
  return `Harm: KL ${figure(before.kl)}, ${kept}, perplexity × ${before.perplexity.toFixed(3)}`;
}
