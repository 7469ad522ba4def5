// Facts as sentences, and how probable things are.

import { h } from "../dom.js";
import { percent } from "../numbers.js";
import { placed } from "../reading/places.js";

/** A fact as a sentence: its subject underlined, what is scraped off struck out, what is written over it. */
export function sentence(fact, { size = "", scraped = fact.previous, gone = false } = {}) {
  const { before, subject, after } = placed(fact);
  const object = gone ? h("del", { class: "scraped" }, fact.object) : h("ins", { class: "written" }, fact.object);
  return h("p", { class: `fact ${size}` },
    before, subject && h("span", { class: "subject" }, subject), after, " ",
    scraped && !gone && [h("del", { class: "scraped" }, scraped), " "],
    fact.object ? object : h("span", { class: "blank" }, h("span", { class: "unseen" }, "nothing yet")),
  );
}

/** One probability: a name, a bar, a number. kind: "new" for what is being written. */
export function bar(name, probability, kind = "") {
  const fill = h("span", { class: "bar-fill" });
  fill.style.width = `${Math.min(1, Math.max(0, probability)) * 100}%`;
  return h("li", { class: `bar ${kind}` },
    h("span", { class: "bar-name", title: typeof name === "string" ? name : null }, name),
    h("span", { class: "bar-track", "aria-hidden": "true" }, fill),
    h("span", { class: "bar-number" }, percent(probability)),
  );
}

/** Two bars for one thing. */
export const beforeAndAfter = (before, after) => h(
  "ul",
  { class: "bars" },
  bar("before", before),
  bar("after", after, "new"),
);

/** A token, its leading space made visible. */
export function token(text) {
  const spaces = /^\s*/.exec(text)[0];
  const seen = [...spaces].map((space) => (space === "\n" ? "⏎" : "␣")).join("");
  return [spaces && h("span", { class: "space", "aria-hidden": "true" }, seen), text.slice(spaces.length) || ""];
}

/** The likeliest next tokens; `marked`: those that another version does not have. */
export function topTokens(top, marked = new Set()) {
  return h("ul", { class: "bars" }, top.map(({ token: text, probability }) => {
    const name = h("span", { class: marked.has(text) ? "differs" : null }, token(text));
    return bar(name, probability, marked.has(text) ? "new" : "");
  }));
}

/** What an answer begins with: models go on as long as one lets them. */
export const firstLine = ({ text }) => text.trim().split("\n")[0];

/** Whether something holds, as a badge. */
export function verdict(holds, yes, no) {
  return h("span", { class: `badge ${holds ? "good" : "bad"}` }, holds ? `✓ ${yes}` : `✗ ${no}`);
}
