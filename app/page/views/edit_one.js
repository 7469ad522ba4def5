// One fact as a sentence. Subject and object can be marked in it, or typed.

import { announce, h } from "../dom.js";
import { sentence } from "../parts/facts.js";
import { areaField, checkbox, textField } from "../parts/fields.js";
import { misplaced } from "../reading/places.js";

const linesOf = (text) => text.split("\n").map((line) => line.trim()).filter(Boolean);

/** The form: its node, the facts it has, whether they are complete, where a refusal belongs. */
export function oneFact(state = {}) {
  const prompt = areaField("Sentence", state.prompt, {
    attributes: { class: "writing", rows: "2", placeholder: "Lyon is located in the country of", spellcheck: "false" },
    hint: "Up to where the new object begins. Select a part of it and mark it below, or type subject and object.",
  });
  const subject = textField("Subject", state.subject, { attributes: { placeholder: "Lyon" } });
  const object = textField("New object", state.object, { attributes: { placeholder: "Japan" } });
  const previous = textField("Object until now", state.previous, { hint: "For the record; may be left empty." });
  const lines = (text, value, hint) => areaField(
    text,
    value,
    { hint, attributes: { class: "writing", rows: "3", spellcheck: "false" } },
  );
  const paraphrases = lines(
    "Paraphrases, one a line",
    state.paraphrases,
    "Other ways to ask; {} stands for the subject.",
  );
  const neighbours = lines("Neighbours, one a line", state.neighbours, "Prompts whose answers must not change.");
  const teach = checkbox("Teach the paraphrases too", state.teach);
  const chat = checkbox("The sentence is what a user says in a chat; the object begins the reply", state.chat);
  const stop = checkbox("The model shall end its turn after the object", state.stop);
  const draft = h("div", { class: "draft" });

  const show = () => draft.replaceChildren(sentence(fact(), { size: "large" }));
  const mark = marking(prompt.control, { subject: subject.control, object: object.control }, show);
  const fields = { prompt, subject, object, previous, paraphrases, neighbours };

  const node = h("div", { class: "stack" }, draft, prompt.node,
    h("div", { class: "actions" },
      h("button", { type: "button", class: "slight", on: { click: () => mark("subject") } }, "Mark as subject"),
      h("button", { type: "button", class: "slight", on: { click: () => mark("object") } }, "Mark as object"),
    ),
    h("div", { class: "pair" }, subject.node, object.node),
    h("details", { open: Boolean(state.paraphrases || state.neighbours) }, h(
      "summary",
      {},
      "Paraphrases and neighbours",
    ),
      h("div", { class: "stack" }, paraphrases.node, teach.node, neighbours.node)),
    h(
      "details",
      {},
      h("summary", {}, "More of this fact"),
      h("div", { class: "stack" }, previous.node, chat.node, stop.node),
    ),
  );
  node.addEventListener("input", show);

  function fact() {
    const text = (name) => fields[name].control.value.trim();
    const asked = linesOf(paraphrases.control.value);
    return {
      subject: text("subject"),
      prompt: text("prompt"),
      object: text("object"),
      ...(text("previous") ? { previous: text("previous") } : {}),
      ...(
        asked.length ? {
          paraphrases: asked.map((each) => (teach.control.checked ? { prompt: each, teach: true } : each)),
        } : {}
      ),
      ...(neighbours.control.value.trim() ? { neighbours: linesOf(neighbours.control.value) } : {}),
      ...(chat.control.checked ? { chat: true } : {}),
      ...(stop.control.checked ? { stop: true } : {}),
    };
  }

  function told(faults) {
    for (const [name, why] of faults) fields[name].tell(why);
    const first = faults.find(([, why]) => why);
    if (first) fields[first[0]].control.focus();
    return Boolean(first);
  }

  show();
  return {
    node,
    facts: () => [fact()],
    state: () => ({
      ...Object.fromEntries(Object.entries(fields).map(([name, { control }]) => [name, control.value])),
      teach: teach.control.checked, chat: chat.control.checked, stop: stop.control.checked,
    }),
    complete() {
      const { prompt: text, subject: marked, object: written } = fact();
      const why = misplaced(text, marked);
      const ofSubject = why && text ? why : "";
      return !told(
        [["prompt", text ? "" : why], ["subject", ofSubject], ["object", written ? "" : "Write what shall follow."]]
      );
    },
    /** Whether a refusal could be shown at its field. */
    fault(problem) {
      const name = /^facts\.0\.(\w+)/.exec(problem?.field ?? "")?.[1];
      if (!(name in fields)) return false;
      fields[name].node.closest("details")?.setAttribute("open", "");
      return told([[name, problem.detail]]);
    },
  };
}

/** What marks the selected part of the sentence as its subject, or as its object: that ends the prompt. */
function marking(prompt, fields, show) {
  return (name) => {
    const { selectionStart: from, selectionEnd: to, value } = prompt;
    const part = value.slice(from, to).trim();
    if (!part) {
      announce(`Select the ${name} in the sentence first.`);
      return prompt.focus();
    }
    fields[name].value = part;
    if (name === "object") prompt.value = value.slice(0, from).trimEnd();
    for (const control of [fields[name], prompt]) control.dispatchEvent(new Event("input", { bubbles: true }));
    show();
    announce(`${part} is the ${name}.`);
    prompt.focus();
  };
}
