// What lies between two versions.

import * as api from "../api.js";
import { announce, h } from "../dom.js";
import { figure } from "../numbers.js";
import { changesOf } from "../parts/changes.js";
import { selectField } from "../parts/fields.js";
import { failed, waiting } from "../parts/states.js";

/** The sheet; parameters: `from` and `to` of the address, which are compared at once. */
export function comparing(model, head, signal, parameters) {
  const names = Array.from({ length: head + 1 }, (_, index) => [String(head - index), `version ${head - index}`]);
  const from = selectField("From", names, parameters.get("from") ?? String(Math.max(0, head - 1)));
  const to = selectField("To", names, parameters.get("to") ?? String(head));
  const result = h("div");
  const compare = async () => {
    result.replaceChildren(waiting("Comparing …"));
    try {
      const found = await api.diff(model.id, from.control.value, to.control.value, signal);
      if (signal.aborted) return;
      result.replaceChildren(h("div", { class: "stack" }, changesOf(found.facts), norms(found.update_norms)));
      const { added, changed, taken_out: gone } = found.facts;
      announce(`${added.length} added, ${changed.length} changed, ${gone.length} taken out.`);
    } catch (error) {
      if (!signal.aborted) result.replaceChildren(failed(error, compare));
    }
  };
  if (parameters.has("from")) compare();
  return h("section", { class: "sheet", "aria-labelledby": "compare" }, h("h2", { id: "compare" }, "Compare"),
    h("form", { class: "stack", on: { submit: (event) => (event.preventDefault(), compare()) } },
      h("div", { class: "pair" }, from.node, to.node), h(
        "div",
        { class: "actions" },
        h("button", { type: "submit" }, "Compare"),
      )),
    result);
}

function norms(found) {
  if (!found || !Object.keys(found).length) return null;
  const byLayer = Object.entries(found).map(([layer, norm]) => `${layer}: ${figure(norm)}`);
  return h("p", { class: "small soft" }, `Norm of the change by layer: ${byLayer.join(", ")}.`);
}
