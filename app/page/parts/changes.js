// Facts added, changed and taken out, as sentences with a sign.

import { h } from "../dom.js";
import { sentence } from "./facts.js";

const SHOWN = 6;

/** What lies between two versions; a sentence of its own where nothing does. */
export function changesOf({ added, changed, taken_out: gone }) {
  const all = [
    ...added.map((fact) => change("+", "Added", sentence(fact, { size: "minor" }))),
    ...changed.map(
      ({ before, after }) => change("~", "Changed", sentence(after, { size: "minor", scraped: before.object }))
    ),
    ...gone.map((fact) => change("−", "Taken out", sentence(fact, { size: "minor", gone: true }), "gone")),
  ];
  if (!all.length) return h("p", { class: "soft" }, "The same facts are in force.");
  const rest = all.slice(SHOWN);
  return h("div", { class: "stack" }, h("ul", { class: "changes" }, all.slice(0, SHOWN)),
    rest.length > 0 && h(
      "details",
      {},
      h("summary", {}, `${rest.length.toLocaleString("en")} more`),
      h("ul", { class: "changes" }, rest),
    ));
}

function change(sign, name, content, kind = "") {
  return h(
    "li",
    { class: `change ${kind}` },
    h(
      "span",
      { class: "sign" },
      h("span", { "aria-hidden": "true" }, sign),
      h("span", { class: "unseen" }, `${name}: `),
    ),
    content,
  );
}
