// Ask: a completion or a chat, of two versions side by side.

import * as api from "../api.js";
import { announce, freshId, h } from "../dom.js";
import { topTokens } from "../parts/facts.js";
import { areaField, field, selectField } from "../parts/fields.js";
import { empty, failed, waiting } from "../parts/states.js";
import { differences } from "../reading/differences.js";
import { keep, kept } from "../store.js";

export const title = "Ask";
export const intro = "The same question to two versions of the model. What they say differently is marked.";

const TOP = 5;
/** A token that is less probable than this is not marked. */
const TELLING = 0.01;

export async function content({ model, signal }) {
  const state = kept("ask") ?? {};
  const { head } = await api.versions(model.id, signal, { limit: "1" });
  const names = Array.from(
    { length: head + 1 },
    (_, index) => head - index,
  ).map((version) => [String(version), nameOf(version, head)]);
  const usual = (given, otherwise) => (given !== undefined && Number(given) <= head ? given : String(otherwise));
  const prompt = areaField(
    "Question",
    state.prompt,
    {
      attributes: {
        class: "writing",
        rows: "3",
        placeholder: "Lyon is located in the country of",
        spellcheck: "false",
      },
    },
  );
  const sides = [
    selectField("Earlier version", names, usual(state.left, Math.max(0, head - 1))),
    selectField("Later version", names, usual(state.right === String(state.head) ? undefined : state.right, head)),
  ];
  const tokens = field(
    "Tokens at most",
    (tied) => h("input", { type: "number", min: "1", max: "512", value: state.tokens ?? "16", ...tied }),
  );
  const columns = h("div");
  const problem = h("div");
  const talk = { chat: Boolean(state.chat), turns: [[], []] };
  const forget = () => {
    talk.turns = [[], []];
    columns.replaceChildren(nothing(head));
  };
  const modes = h("fieldset", {}, h("legend", { class: "unseen" }, "How to ask"), h("div", { class: "choice" },
    [["Completion", false], ["Chat", true]].map(([text, chat]) => h("label", {},
      h(
        "input",
        {
          type: "radio",
          name: "mode",
          checked: talk.chat === chat,
          on: { change: () => ((talk.chat = chat), forget()) },
        },
      ), text))));

  const submit = async (event) => {
    event.preventDefault();
    const text = prompt.control.value;
    if (!text.trim()) return prompt.tell("Write something to ask."), prompt.control.focus();
    const versions = [...new Set(sides.map(({ control }) => Number(control.value)))];
    keep(
      "ask",
      {
        prompt: text,
        left: sides[0].control.value,
        right: sides[1].control.value,
        head,
        tokens: tokens.control.value,
        chat: talk.chat,
      },
    );
    problem.replaceChildren(waiting("The model is thinking …"));
    try {
      const turns = versions.map(
        (_, index) => [...(talk.chat ? talk.turns[index] : []), { role: "user", content: text }]
      );
      const answers = await Promise.all(
        versions.map(
          (version, index) => answered(model, version, turns[index], talk.chat, Number(tokens.control.value), signal)
        )
      );
      if (signal.aborted) return;
      problem.replaceChildren();
      if (talk.chat) talk.turns = turns.map(
        (turn, index) => [...turn, { role: "assistant", content: answers[index].text }]
      );
      columns.replaceChildren(shown(text, versions, answers, talk, head));
      announce(inWords(versions, answers));
      if (talk.chat) prompt.control.value = "";
    } catch (error) {
      if (!signal.aborted) problem.replaceChildren(failed(error));
    }
  };
  for (const { control } of sides) control.addEventListener("change", forget);
  const form = h("form", { class: "sheet", novalidate: true, on: { submit } }, modes, prompt.node,
    h("div", { class: "pair" }, sides[0].node, sides[1].node, tokens.node),
    h("div", { class: "actions" }, h("button", { type: "submit", class: "primary" }, "Ask both"),
      h("button", { type: "button", on: { click: () => (forget(), prompt.control.focus()) } }, "Start anew")),
    problem);
  prompt.control.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
  });
  columns.append(nothing(head));
  return [form, columns];
}

const nameOf = (version, head) => [
  `version ${version}`,
  version === head && "in service",
  version === 0 && "as it was loaded",
].filter(Boolean).join(", ");

const nothing = (head) => empty(head === 0
  ? "There is one version so far: the model as it was loaded. It can be asked all the same."
  : "Both answers appear here, side by side.");

async function answered(model, version, turns, chat, tokens, signal) {
  const asked = chat ? { messages: turns } : { prompt: turns[0].content };
  const reply = await api.query(
    { model: model.id, version, prompts: [{ ...asked, max_new_tokens: tokens, top_k: TOP }] },
    signal,
  );
  return reply.answers[0];
}

function inWords(versions, answers) {
  const said = versions.map((version, index) => `Version ${version}: ${answers[index].text.trim()}`).join(". ");
  if (versions.length < 2) return said;
  return `${answers[0].text === answers[1].text ? "Both say the same" : "They differ"}. ${said}`;
}

function shown(text, versions, answers, talk, head) {
  const parts = answers.length > 1 ? differences(answers[0].text, answers[1].text) : [[{
    text: answers[0].text,
    differs: false,
  }]];
  const tops = answers.map(({ top }) => new Set(top.map(({ token }) => token)));
  return h("div", { class: `columns ${versions.length > 1 ? "even" : ""}` }, versions.map((version, index) => {
    const [name, id] = [nameOf(version, head), freshId("version")];
    const other = tops[1 - index];
    const marked = new Set(
      other ? answers[index].top.filter(
        ({ token, probability }) => probability >= TELLING && !other.has(token)
      ).map(({ token }) => token) : []
    );
    return h("section", { class: "sheet", "aria-labelledby": id },
      h("h2", { id }, name[0].toUpperCase() + name.slice(1)),
      talk.chat && h("div", { class: "stack" }, talk.turns[index].slice(0, -2).map(turn)),
      talk.chat && turn({ role: "user", content: text }),
      h("p", { class: "answer" }, talk.chat ? null : h("span", { class: "asked-for" }, text),
        parts[index].flatMap(({ text: said, differs }) => (differs ? different(said) : said))),
      h("div", {}, h("h3", { class: "label" }, "Likeliest next tokens"), topTokens(answers[index].top, marked)));
  }));
}

const turn = ({ role, content }) => h(
  "div",
  { class: `turn ${role}` },
  h("p", { class: "who" }, role === "user" ? "You" : "Model"),
  h("p", {}, content),
);

/** What differs, marked without the space before it. */
function different(text) {
  const start = text.length - text.trimStart().length;
  return [text.slice(0, start), h("mark", { class: "differs" }, text.slice(start))];
}
