// The facts in force, and which of them to take out again.

import { announce, h } from "../dom.js";
import { count } from "../numbers.js";
import { sentence } from "../parts/facts.js";
import { textField } from "../parts/fields.js";
import { empty } from "../parts/states.js";
import { takeOut } from "./history_undo.js";

const SHOWN = 50;

/** The sheet. */
export function inForce(model, head, facts, signal) {
  const heading = h("h2", { id: "in-force" }, "Facts in force");
  const sheet = (...content) => h("section", { class: "sheet", "aria-labelledby": "in-force" }, heading, ...content);
  if (!facts.length) return sheet(
    empty("No fact is in force: the model says what it was trained to say.", h("a", { href: "#/edit" }, "Write one"))
  );

  const chosen = new Set();
  const list = h("ul");
  const problem = h("div");
  const button = h("button", { type: "button", disabled: true }, "Take out …");
  const find = textField("Find", "", { attributes: { type: "search" } });
  const told = h("p", { class: "small soft" });
  const choose = (fact, on) => {
    if (on) chosen.add(fact);
    else chosen.delete(fact);
    button.disabled = chosen.size === 0;
    button.textContent = chosen.size ? `Take out ${count(chosen.size, "fact")} …` : "Take out …";
  };
  const show = () => {
    const wanted = find.control.value.trim().toLowerCase();
    const found = facts.filter(
      (fact) => `${fact.prompt.replace("{}", () => fact.subject)} ${fact.object}`.toLowerCase().includes(wanted)
    );
    list.replaceChildren(...found.slice(0, SHOWN).map((fact) => row(fact, chosen, choose)));
    const all = count(found.length, "fact");
    told.textContent = found.length > SHOWN ? `${SHOWN} of ${all}; find the others by a word.` : all;
  };
  find.control.addEventListener("input", () => {
    show();
    announce(told.textContent);
  });
  button.addEventListener("click", () => takeOut(model, [...chosen], head, button, problem, signal));
  show();
  return sheet(facts.length > 5 && find.node, told, list, problem, h("div", { class: "actions" }, button));
}

function row(fact, chosen, choose) {
  const box = h(
    "input",
    { type: "checkbox", checked: chosen.has(fact), on: { change: (event) => choose(fact, event.target.checked) } },
  );
  return h(
    "li",
    {},
    h(
      "label",
      { class: "held" },
      box,
      h("span", {}, sentence(fact, { size: "minor" }), h("span", { class: "small soft" }, `version ${fact.version}`)),
    ),
  );
}
