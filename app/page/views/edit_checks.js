// What will be checked after an edit, in words.

import { count, percent } from "../numbers.js";

const UNHELD = {
  drop: "What does not hold is tried again with more effort; what still does not leaves the batch.",
  keep: "All facts are written, whether they hold or not.",
  reject: "If one fact does not hold after further tries, nothing is written.",
};
const BOUNDS = {
  facts: (share) => `Nothing is written unless ${percent(share)} of the facts hold.`,
  paraphrases: (share) => `Nothing is written unless ${percent(share)} of the paraphrases that are not taught hold.`,
  neighbours: (share) => `Nothing is written unless ${percent(share)} of the neighbours keep their answer.`,
  neighbours_right: (share) => `Nothing is written unless ${percent(share)} of the neighbours stay right.`,
  kl: (most) => `Nothing is written if other text moves by more than ${most} nats a token (KL).`,
  top1: (share) => `Nothing is written unless ${percent(share)} of the likeliest tokens elsewhere stay.`,
  perplexity: (most) => `Nothing is written if the perplexity of other text grows more than ${most}-fold.`,
};

/** One line for each thing that is looked at. */
export function checksOf(facts, { unheld = "drop", verify = {} }) {
  const listed = (name) => facts.flatMap((fact) => fact[name] ?? []);
  const paraphrases = listed("paraphrases");
  const taught = paraphrases.filter((each) => each.teach).length;
  const asked = paraphrases.length - taught;
  const neighbours = listed("neighbours").length;
  return [
    facts.length === 1
      ? "The new object must be what the model says by itself after the sentence."
      : `Each of ${count(facts.length, "fact")} must be what the model says by itself.`,
    taught && `${count(taught, "paraphrase is", "paraphrases are")} taught, and asked afterwards.`,
    asked && `${count(asked, "paraphrase is", "paraphrases are")} asked, and not taught.`,
    neighbours && `${count(neighbours, "neighbour")} must answer as before.`,
    "Text that has nothing to do with it is measured before and after.",
    UNHELD[unheld],
    ...Object.entries(verify).map(([name, bound]) => BOUNDS[name](bound)),
  ].filter(Boolean);
}
