// Facts out of pasted text: JSON (ours, CounterFact's), JSON lines, or lines with tabs.

const MOST_ASKED = 20;
const COLUMNS = ["subject", "prompt", "object", "previous"];
const NAMES = new Set([...COLUMNS, "relation", "id", "paraphrases", "neighbours"]);
const LISTS = new Set(["paraphrases", "neighbours"]);

/** The facts that a text has, and what could not be read: `{facts, faults: [{where, why}], form}`. */
export function readFacts(text) {
  const trimmed = text.trim();
  if (!trimmed) return { facts: [], faults: [], form: "" };
  return /^[[{]/.test(trimmed) ? fromJson(trimmed) : fromTable(text);
}

function fromJson(text) {
  try {
    const given = JSON.parse(text);
    const records = Array.isArray(given) ? given : Array.isArray(given.facts) ? given.facts : [given];
    return gathered(records.map((record, index) => [`record ${index + 1}`, () => fact(record)]), "JSON");
  } catch (error) {
    const lines = text.split(/\r?\n/);
    if (lines.length > 1 && isJson(lines[0])) {
      return gathered(numbered(lines).map(([where, line]) => [where, () => fact(JSON.parse(line))]), "JSON lines");
    }
    return { facts: [], faults: [{ where: "the text", why: `not JSON: ${error.message}` }], form: "JSON" };
  }
}

function isJson(line) {
  try {
    return typeof JSON.parse(line) === "object";
  } catch {
    return false;
  }
}

function fromTable(text) {
  const lines = numbered(text.split(/\r?\n/));
  const head = cells(lines[0][1]).map((cell) => cell.toLowerCase());
  const named = head.length > 1 && head.every((name) => NAMES.has(name));
  const columns = named ? head : COLUMNS;
  return gathered(
    (named ? lines.slice(1) : lines).map(([where, line]) => [where, () => row(cells(line), columns)]),
    "lines with tabs",
  );
}

const numbered = (lines) =>
  lines.map((line, index) => [`line ${index + 1}`, line]).filter(([, line]) => line.trim());
const cells = (line) => line.split("\t").map((cell) => cell.trim());

function row(values, columns) {
  if (values.length < 3) throw new Error("needs subject, prompt and object, with tabs between them");
  if (values.length > columns.length) throw new Error(`has ${values.length} columns, and ${columns.length} are known`);
  const read = {};
  columns.forEach((name, index) => {
    if (!values[index]) return;
    read[name] = LISTS.has(name) ? values[index].split("|").map((part) => part.trim()).filter(Boolean) : values[index];
  });
  return fact(read);
}

/** A record as a fact of the service. */
function fact(record) {
  if (record === null || typeof record !== "object") throw new Error("is no record");
  const read = "requested_rewrite" in record ? counterFact(record) : record;
  for (const name of ["subject", "object"]) {
    if (typeof read[name] !== "string" || !read[name].trim()) throw new Error(`has no ${name}`);
  }
  if (!read.prompt && !read.relation && !read.messages) throw new Error("has no prompt");
  return read;
}

function counterFact(record) {
  const rewrite = record.requested_rewrite;
  return {
    subject: rewrite.subject,
    prompt: rewrite.prompt,
    object: rewrite.target_new?.str ?? rewrite.target_new,
    ...(rewrite.target_true ? { previous: rewrite.target_true.str ?? rewrite.target_true } : {}),
    paraphrases: (record.paraphrase_prompts ?? []).slice(0, MOST_ASKED),
    neighbours: (record.neighborhood_prompts ?? []).slice(0, MOST_ASKED),
    ...(record.case_id === undefined ? {} : { id: String(record.case_id) }),
  };
}

function gathered(readers, form) {
  const [facts, faults] = [[], []];
  for (const [where, read] of readers) {
    try {
      facts.push(read());
    } catch (error) {
      faults.push({ where, why: error.message });
    }
  }
  return { facts, faults, form };
}
