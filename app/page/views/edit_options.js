// How an edit is computed, and what must hold for it to be written.

import { h } from "../dom.js";
import { field, selectField } from "../parts/fields.js";

const SHARES = { facts: "Facts", paraphrases: "Paraphrases", neighbours: "Neighbours" };

/** The options: their node, what they ask of the service, their state. */
export function options(model, state = {}) {
  const [card] = model.workers;
  const named = (names = [], usual = "") => [
    ["", usual ? `${usual} (usual)` : "usual"],
    ...names.filter((name) => name !== usual).map((name) => [name, name]),
  ];
  const selects = {
    method: selectField("Method", named(card?.methods, card?.default_method), state.method),
    plan: selectField("Plan", named(card?.plans, card?.default_plan), state.plan),
    unheld: selectField(
      "Facts that do not hold",
      [["", "leave the batch"], ["reject", "reject the whole batch"], ["keep", "are written all the same"]],
      state.unheld,
    ),
  };
  const number = (text, value, attributes, hint) =>
    field(
      text,
      (tied) => h(
        "input",
        { type: "number", inputmode: "decimal", step: "any", min: "0", value, ...attributes, ...tied },
      ),
      { hint },
    );
  const shares = Object.fromEntries(Object.entries(SHARES).map(([name, text]) =>
    [name, number(`${text}, % at least`, state[name], { max: "100" })]));
  const kl = number("KL on other text at most", state.kl, {}, "In nats a token.");
  const controls = { ...selects, ...shares, kl };

  return {
    node: h("details", {}, h("summary", {}, "Method and conditions"),
      h("div", { class: "stack" },
        h("div", { class: "pair" }, selects.method.node, selects.plan.node),
        selects.unheld.node,
        h("fieldset", {}, h("legend", {}, "Write only if these hold"),
          h("div", { class: "pair" }, ...Object.values(shares).map(({ node }) => node), kl.node)),
      )),
    state: () => Object.fromEntries(Object.entries(controls).map(([name, { control }]) => [name, control.value])),
    asked() {
      const given = (name) => controls[name].control.value.trim();
      const verify = {
        ...Object.fromEntries(Object.keys(shares).filter(given).map((name) => [name, Number(given(name)) / 100])),
        ...(given("kl") ? { kl: Number(given("kl")) } : {}),
      };
      return {
        ...Object.fromEntries(Object.keys(selects).filter(given).map((name) => [name, given(name)])),
        ...(Object.keys(verify).length ? { verify } : {}),
      };
    },
  };
}
