// Where a fact's subject stands in its prompt, as the service reads it.

export const SLOT = "{}";

/** The prompt with `{}` for the subject: as given, "{} relation", or with the subject's only occurrence replaced. */
export function slotted(fact) {
  if (fact.relation) return `${SLOT} ${fact.relation}`;
  const prompt = fact.prompt ?? (fact.messages ?? []).map((message) => message.content).join("\n");
  return prompt.includes(SLOT) || !fact.subject ? prompt : prompt.replace(fact.subject, () => SLOT);
}

/** What stands before the subject, the subject itself, and what follows; no subject where it is not found. */
export function placed(fact) {
  const prompt = slotted(fact);
  const at = prompt.indexOf(SLOT);
  if (at < 0) return { before: prompt, subject: "", after: "" };
  return { before: prompt.slice(0, at), subject: fact.subject, after: prompt.slice(at + SLOT.length) };
}

/** A text with the subject in its slot, if it has one: how it is asked. */
export const asked = (text, subject) => text.replace(SLOT, () => subject);

/** Why a subject cannot be found in a prompt, in words; "" if it can. */
export function misplaced(prompt, subject) {
  const times = (part) => prompt.split(part).length - 1;
  if (!prompt.trim()) return "Write the beginning of a sentence.";
  if (times(SLOT) > 1) return "There may be only one {}.";
  if (!subject.trim()) return "Mark the subject: select it in the sentence, or type it here.";
  if (times(SLOT) === 1) return "";
  const found = times(subject.trim());
  if (found === 0) return "The subject does not stand in the sentence.";
  return found > 1 ? "The subject stands in the sentence more than once: write {} where it is meant." : "";
}
