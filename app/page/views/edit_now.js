// What the model says now, while one types.

import * as api from "../api.js";
import { h } from "../dom.js";
import { count, percent } from "../numbers.js";
import { bar, firstLine, topTokens } from "../parts/facts.js";
import { failed } from "../parts/states.js";
import { asked, misplaced, placed } from "../reading/places.js";

const MOST = 12;
const TOKENS = 8;

/** The panel: its node, and what asks the model about facts. */
export function nowPanel(model, signal) {
  const said = h("div", { class: "stack" });
  const spoken = h("p", { class: "unseen", "aria-live": "polite" });
  const node = h(
    "section",
    { class: "sheet", "aria-labelledby": "now" },
    h("h2", { id: "now" }, "What the model says now"),
    said,
    spoken,
  );
  let earlier = new AbortController();

  async function ask(facts) {
    earlier.abort();
    earlier = new AbortController();
    const mine = AbortSignal.any([signal, earlier.signal]);
    const questions = questionsOf(facts);
    if (!questions.length) return said.replaceChildren(
      h("p", { class: "soft" }, "Its own answer appears here as soon as the sentence has its subject.")
    );
    try {
      const reply = await api.query({ model: model.id, prompts: questions.map(({ prompt }) => prompt) }, mine);
      if (mine.aborted) return;
      const [first, ...rest] = reply.answers.map((answer, index) => ({ ...questions[index], answer }));
      said.replaceChildren(main(first, reply.version), ...(rest.length ? [others(rest)] : []));
      spoken.textContent = `Now: ${firstLine(first.answer)}`;
    } catch (error) {
      if (!mine.aborted) said.replaceChildren(failed(error, () => ask(facts)));
    }
  }
  return { node, ask };
}

/** What is asked: of one fact its paraphrases and neighbours too, of many the facts themselves. */
function questionsOf(facts) {
  const whole = facts.filter(
    (fact) => fact.messages || !misplaced(fact.relation ? `{} ${fact.relation}` : fact.prompt, fact.subject)
  );
  const questions = whole.map((fact) => ({ kind: "fact", fact, prompt: ofFact(fact) }));
  if (whole.length === 1) {
    const [fact] = whole;
    const chat = fact.chat ? { chat: true } : {};
    for (const kind of ["paraphrases", "neighbours"]) {
      for (const each of fact[kind] ?? []) {
        const text = asked(each.prompt ?? each, fact.subject);
        questions.push({ kind, fact, text, prompt: { prompt: text, ...chat, max_new_tokens: TOKENS, top_k: 1 } });
      }
    }
  }
  return questions.slice(0, MOST);
}

function ofFact(fact) {
  const { before, subject, after } = placed(fact);
  return {
    ...(
      fact.messages ? {
        messages: fact.messages.map(({ role, content }) => ({ role, content: asked(content, fact.subject) })),
      } : { prompt: before + subject + after }
    ),
    ...(fact.chat ? { chat: true } : {}),
    ...(fact.object ? { expected: fact.object } : {}),
    max_new_tokens: TOKENS,
    top_k: 5,
  };
}

function main({ fact, answer }, version) {
  const { before, subject, after } = placed(fact);
  const { expected } = answer;
  return h("div", { class: "stack" },
    h(
      "p",
      { class: "fact" },
      before,
      h("span", { class: "subject" }, subject),
      after,
      h("em", {}, ` ${firstLine(answer)}`),
    ),
    h("div", {}, h("p", { class: "label" }, "Likeliest next tokens"), topTokens(answer.top)),
    expected && h(
      "div",
      {},
      h("p", { class: "label" }, "The new object"),
      h("ul", { class: "bars" }, bar(expected.text.trim(), expected.probability, "new")),
    ),
    h(
      "p",
      { class: "small soft" },
      `Version ${version}${expected ? `, where the new object has rank ${expected.rank.toLocaleString("en")}` : ""}.`,
    ),
    expected?.greedy && h("p", { class: "notice warn" }, "The model says this already."),
  );
}

function others(questions) {
  return h("div", {}, h("p", { class: "label" }, `${count(questions.length, "more prompt")}, as answered now`),
    h("ul", { class: "changes" }, questions.map(({ text, fact, answer }) =>
      h("li", { class: "fact minor" }, text ?? asked(answer.prompt, fact.subject), h("em", {}, ` ${firstLine(answer)}`),
        answer.top[0] && h("span", { class: "small soft" }, `  ${percent(answer.top[0].probability)}`)))));
}
