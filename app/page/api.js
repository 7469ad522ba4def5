// Every call to the service. Paths are relative to the page, so that it works below a prefix too.

import { kept } from "./store.js";

/** What the service refused, or why it could not be reached. `problem`: its problem details. */
export class ApiError extends Error {
  constructor(problem) {
    super(problem.detail);
    this.problem = problem;
    this.status = problem.status;
    this.code = problem.code;
  }
}

let askForKey = async () => false;

/** Set what asks for an API key after a 401: resolves to whether there is a new one. */
export function onUnauthenticated(ask) {
  askForKey = ask;
}

/** A request; its response, if that is a success. Asks for a key and goes on, as often as it takes. */
async function send(method, path, { body, headers = {}, signal } = {}) {
  for (;;) {
    const key = kept("key");
    const response = await reached(method, path, {
      ...headers,
      ...(body === undefined ? {} : { "Content-Type": "application/json" }),
      ...(key ? { Authorization: `Bearer ${key}` } : {}),
    }, body, signal);
    if (response.ok) return response;
    const problem = await problemOf(response);
    if (response.status !== 401 || !(await askForKey(key))) throw new ApiError(problem);
  }
}

async function reached(method, path, headers, body, signal) {
  try {
    return await fetch(new URL(path, document.baseURI), {
      method,
      headers,
      signal,
      body: body === undefined ? undefined : JSON.stringify(body),
      credentials: "omit",
      cache: "no-store",
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(
      { title: "No answer", status: 0, code: "unreachable", detail: "The service cannot be reached." }
    );
  }
}

async function problemOf(response) {
  const told = await response.json().catch(() => ({}));
  return {
    title: response.statusText || "Error",
    status: response.status,
    code: "unknown",
    detail: "No details.",
    ...told,
  };
}

const json = async (...request) => (await send(...request)).json();
const segment = encodeURIComponent;
const atVersion = (version) => ({ "If-Match": `"${version}"` });

export const models = (signal) => json("GET", "models", { signal });
export const query = (body, signal) => json("POST", "query", { body, signal });

/** key: sent as Idempotency-Key, so that the same batch sent twice is one job. */
export const submitEdit = (batch, key) => json("POST", "edits", { body: batch, headers: { "Idempotency-Key": key } });

export const jobs = (model, status, signal) => {
  const asked = new URLSearchParams({ limit: "50", model, ...(status ? { status } : {}) });
  return json("GET", `jobs?${asked}`, { signal });
};
export const job = (id, signal) => json("GET", `jobs/${segment(id)}`, { signal });
export const cancel = (id) => json("POST", `jobs/${segment(id)}/cancel`);
export const events = (id, last, signal) =>
  send("GET", `jobs/${segment(id)}/events`, {
    signal,
    headers: { Accept: "text/event-stream", ...(last ? { "Last-Event-ID": last } : {}) },
  });

const ofModel = (model, rest) => `models/${segment(model)}/${rest}`;
/** The newest versions, oldest first: so many (all in one answer, as many as it may have), or those before one. */
export const versions = (model, signal, asked = {}) =>
  json("GET", ofModel(model, `versions?${new URLSearchParams(asked)}`), { signal });
export const version = (model, number, signal) => json("GET", ofModel(model, `versions/${number}`), { signal });
export const diff = (model, from, to, signal) =>
  json("GET", ofModel(model, `versions/diff?from=${from}&to=${to}`), { signal });
export const facts = (model, signal) => json("GET", ofModel(model, "facts"), { signal });

export const aliases = (model, signal) => json("GET", ofModel(model, "aliases"), { signal });
export const serving = (model, signal) => json("GET", ofModel(model, "serving"), { signal });

/** Only while the alias points to version `from`; null: only while there is none of that name. */
export const moveAlias = (model, name, version, from) =>
  json("PUT", ofModel(model, `aliases/${segment(name)}`), {
    body: { version },
    headers: from === null ? { "If-None-Match": "*" } : atVersion(from),
  });

/** Both only while the model is at version `head`: what was confirmed is what is done. */
export const rollBack = (model, to, head) =>
  json("POST", ofModel(model, "rollback"), { body: { to }, headers: atVersion(head) });
export const revert = (model, taken, head) =>
  json("POST", ofModel(model, "revert"), { body: { facts: taken }, headers: atVersion(head) });
