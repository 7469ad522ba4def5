// Edit: one fact as a sentence, or many pasted; what the model says now, and what will be checked.

import * as api from "../api.js";
import { announce, debounced, h } from "../dom.js";
import { failed } from "../parts/states.js";
import { keep, kept } from "../store.js";
import { checksOf } from "./edit_checks.js";
import { manyFacts } from "./edit_many.js";
import { nowPanel } from "./edit_now.js";
import { oneFact } from "./edit_one.js";
import { options } from "./edit_options.js";

export const title = "Write a fact";
export const intro =
  "Say what the model shall believe. It is written into its weights as a new version; the earlier ones stay readable.";

const TYPING_MS = 350;
const MOST_KEPT = 200;

export async function content({ model, signal }) {
  const draft = kept("draft") ?? { many: false };
  const now = nowPanel(model, signal);
  const checks = h("ul", { class: "checked" });
  const chosen = options(model, draft.options);
  const forms = { one: oneFact(draft.one), many: manyFacts(draft.many_text) };
  const problem = h("div");
  const place = h("div", { class: "stack" });
  let [form, key] = [null, freshKey()];

  const ask = debounced(() => !signal.aborted && now.ask(form.facts()), TYPING_MS);
  const changed = () => {
    key = freshKey();
    keep(
      "draft",
      { many: form === forms.many, one: forms.one.state(), many_text: forms.many.state(), options: chosen.state() },
    );
    checks.replaceChildren(...checksOf(form.facts(), chosen.asked()).map((line) => h("li", {}, line)));
    ask();
  };
  const use = (name) => {
    form = forms[name];
    place.replaceChildren(form.node);
    problem.replaceChildren();
    changed();
  };

  const send = async (event) => {
    event.preventDefault();
    if (!form.complete()) return;
    const button = event.submitter ?? whole.querySelector("button.primary");
    button.disabled = true;
    problem.replaceChildren();
    try {
      const batch = { model: model.id, facts: form.facts(), ...chosen.asked() };
      const job = await api.submitEdit(batch, key);
      if (batch.facts.length <= MOST_KEPT) keep(`batch-${job.id}`, batch.facts);
      announce("The edit is accepted.");
      location.hash = `#/jobs/${job.id}`;
    } catch (error) {
      if (!form.fault(error.problem)) problem.replaceChildren(failed(error));
    } finally {
      button.disabled = false;
    }
  };

  const whole = h("form", { class: "sheet", novalidate: true, on: { submit: send, input: changed, change: changed } },
    modes(draft.many, use), place, chosen.node, problem,
    h("div", { class: "actions" }, h("button", { type: "submit", class: "primary" }, "Write it into the model")),
  );
  use(draft.many ? "many" : "one");
  const checked = h(
    "section",
    { class: "sheet", "aria-labelledby": "checks" },
    h("h2", { id: "checks" }, "What will be checked"),
    checks,
  );
  return [h("div", { class: "columns" }, whole, h("div", { class: "stack" }, now.node, checked))];
}

function modes(many, use) {
  const choose = (value, text, checked) =>
    h("label", {}, h("input", { type: "radio", name: "mode", value, checked, on: { change: () => use(value) } }), text);
  return h("fieldset", {}, h("legend", { class: "unseen" }, "How many facts"),
    h("div", { class: "choice" }, choose("one", "One fact", !many), choose("many", "Many facts", many)),
  );
}

/** For Idempotency-Key: the same batch sent again is the same job. */
function freshKey() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
