// Many facts, pasted or out of a file, with what could be read of them and what not.

import { h } from "../dom.js";
import { count } from "../numbers.js";
import { sentence } from "../parts/facts.js";
import { areaField, field } from "../parts/fields.js";
import { readFacts } from "../reading/many.js";

const SHOWN = 8;

/** As of one fact. */
export function manyFacts(text = "") {
  const area = areaField("Facts", text, {
    attributes: {
      class: "data",
      spellcheck: "false",
      wrap: "off",
      placeholder: "Lyon\t{} is located in the country of\tJapan",
    },
    hint:
      "Lines with tabs (subject, prompt with {}, object, and what it was until now), JSON as the API takes it, JSON " +
      "lines, or CounterFact records.",
  });
  const file = field("Or a file", (tied) => h("input", { type: "file", accept: ".tsv,.txt,.json,.jsonl", ...tied }));
  const seen = h("div", { class: "stack", "aria-live": "polite" });
  let read = readFacts(text);

  const show = () => {
    read = readFacts(area.control.value);
    seen.replaceChildren(...preview(read));
  };
  file.control.addEventListener("change", async () => {
    const [chosen] = file.control.files;
    if (!chosen) return;
    area.control.value = await chosen.text();
    area.control.dispatchEvent(new Event("input", { bubbles: true }));
  });
  const node = h("div", { class: "stack" }, area.node, file.node, seen);
  area.control.addEventListener("input", show);
  show();
  return {
    node,
    facts: () => read.facts,
    state: () => area.control.value,
    complete() {
      const faulty = read.faults.length ? "Mend or remove what could not be read." : "";
      const why = read.facts.length ? faulty : "There is no fact in it yet.";
      area.tell(why);
      if (why) area.control.focus();
      return !why;
    },
    fault(problem) {
      const index = /^facts\.(\d+)/.exec(problem?.field ?? "")?.[1];
      if (index === undefined) return false;
      area.tell(
        `Fact ${Number(index) + 1}, ${problem.field.split(".").slice(2).join(".") || "as a whole"}: ${problem.detail}`
      );
      area.control.focus();
      return true;
    },
  };
}

function preview({ facts, faults, form }) {
  if (!facts.length && !faults.length) return [];
  const more = facts.length - SHOWN;
  return [
    h("p", {}, h("strong", {}, count(facts.length, "fact")), ` read as ${form}.`),
    faults.length > 0 && h("div", { class: "notice warn" }, h(
      "strong",
      {},
      `${count(faults.length, "thing")} could not be read`,
    ),
      h("ul", {}, faults.slice(0, SHOWN).map(({ where, why }) => h("li", { class: "small" }, `${where}: ${why}`)))),
    facts.length > 0 && h(
      "ul",
      { class: "changes" },
      facts.slice(0, SHOWN).map((fact) => h("li", {}, sentence(fact, { size: "minor" }))),
    ),
    more > 0 && h("p", { class: "soft small" }, `and ${more.toLocaleString("en")} more`),
  ].filter(Boolean);
}
