// A job, followed until it ends: over its stream of events, or by asking again and again where there is none.

import * as api from "./api.js";
import { pause } from "./dom.js";
import { eventsOf } from "./sse.js";

const POLL_MS = 300;
const RETRY_MS = 1000;
const MOST_BREAKS = 5;

export const ENDED = new Set(["succeeded", "rejected", "failed", "cancelled"]);

/** Calls `seen` with the job each time that it has changed; resolves to the job as it ended. */
export async function follow(id, seen, signal) {
  let job = await api.job(id, signal);
  seen(job);
  if (ENDED.has(job.status)) return job;
  const ended = await streamed(job, seen, signal);
  if (ended) return ended;
  while (!ENDED.has(job.status) && !signal.aborted) {
    await pause(POLL_MS, signal);
    job = await api.job(id, signal);
    seen(job);
  }
  return job;
}

/** The ended job, or null where events cannot be had. */
async function streamed(job, seen, signal) {
  const known = { job, last: null };
  for (let breaks = 0; breaks < MOST_BREAKS && !signal.aborted; breaks += 1) {
    try {
      const response = await api.events(job.id, known.last, signal);
      if (!response.headers.get("Content-Type")?.startsWith("text/event-stream")) return null;
      if (await read(response, known, seen)) return known.job;
    } catch (error) {
      if (signal.aborted) throw error;
      if (error instanceof api.ApiError && error.status >= 400 && error.status < 500) return null;
    }
    await pause(RETRY_MS, signal);
  }
  return null;
}

/** Whether the job ended; `known` goes on where a broken stream left off. */
async function read(response, known, seen) {
  for await (const { event, data, id } of eventsOf(response)) {
    known.last = id ?? known.last;
    const told = JSON.parse(data);
    if (event === "progress") known.job = { ...known.job, status: "running", progress: told };
    else if (event === "status") known.job = { ...known.job, ...told };
    else if (event === "end") known.job = told;
    else continue;
    seen(known.job);
    if (event === "end") return true;
  }
  return false;
}
