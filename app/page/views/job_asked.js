// Paraphrases and neighbours, asked again of the version before the edit and of the edit's own.
// A report says whether they hold and not how they read, so this is for batches that were sent from this tab.

import * as api from "../api.js";
import { h } from "../dom.js";
import { beforeAndAfter, firstLine, verdict } from "../parts/facts.js";
import { failed } from "../parts/states.js";
import { asked } from "../reading/places.js";

const MOST_PROMPTS = 200;
const TOKENS = 8;

/** Fill the places of facts: `{fact, sent, node}`, from the report and from what was sent. */
export async function askAgain(job, places, problem, signal) {
  if (job.version === null) return;
  const questions = places.flatMap(questionsOf).slice(0, MOST_PROMPTS);
  if (!questions.length) return;
  const prompts = questions.map(({ prompt }) => prompt);
  const ask = (version) => api.query({ model: job.model, prompts, version }, signal);
  try {
    const [before, after] = [await ask(job.version - 1), await ask(job.version)];
    if (signal.aborted) return;
    questions.forEach(
      (question, index) => question.node.append(row(question, before.answers[index], after.answers[index]))
    );
  } catch (error) {
    if (!signal.aborted) problem.replaceChildren(failed(error));
  }
}

function questionsOf({ fact, sent, node }) {
  if (!sent || sent.messages || !fact.written) return [];
  const made = (kind, holds) => (each, at) => {
    const prompt = asked(each.prompt ?? each, fact.subject);
    return {
      kind,
      fact,
      node,
      holds: holds[at],
      prompt: { prompt, ...(sent.chat ? { chat: true } : {}), expected: fact.object, max_new_tokens: TOKENS, top_k: 0 },
    };
  };
  return [
    ...(sent.paraphrases ?? []).map(made("paraphrase", fact.paraphrases)),
    ...(sent.neighbours ?? []).map(made("neighbour", fact.neighbours)),
  ];
}

function row({ kind, fact, holds, prompt }, before, after) {
  const [was, is] = [firstLine(before), firstLine(after)];
  const badge = kind === "paraphrase" ? verdict(
    holds,
    "paraphrase holds",
    "paraphrase does not hold",
  ) : verdict(holds, "neighbour unchanged", "neighbour changed");
  return h("li", { class: "standing" },
    h("div", { class: "said" },
      h("p", { class: "fact minor" }, prompt.prompt, " ",
        was === is ? h("em", {}, is) : [h("del", { class: "scraped" }, was), " ", h("ins", { class: "written" }, is)]),
      badge),
    h("div", { class: "said" }, beforeAndAfter(before.expected.probability, after.expected.probability),
      h("p", { class: "small soft" }, `of “${fact.object}” as the answer here`)));
}
