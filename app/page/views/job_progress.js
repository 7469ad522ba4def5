// A running job: where it is, and its loss by step and layer.

import { h } from "../dom.js";
import { ENDED } from "../follow.js";
import { figure } from "../numbers.js";
import { lossChart } from "../parts/chart.js";
import { progressBar } from "../parts/jobs.js";

const STAGES = ["targets", "solve", "write", "verify", "commit", "publish"];

/** The panel; its loss stays to be looked at when the job has ended. */
export function progressPanel() {
  const bar = progressBar(0, "Progress of the job");
  const stages = h("ol", { class: "stages" }, STAGES.map((stage) => h("li", {}, stage)));
  const now = h("p", { class: "soft" });
  const chart = h("div");
  const told = h("p", { class: "unseen", "aria-live": "polite" });
  const running = h("div", { class: "stack" }, bar, stages, now);
  const node = h(
    "section",
    { class: "sheet", "aria-labelledby": "progress", hidden: true },
    h("h2", { id: "progress" }, "Progress"),
    running,
    chart,
    told,
  );
  const losses = new Map();

  function see(job) {
    if (ENDED.has(job.status)) return;
    node.hidden = false;
    const { progress } = job;
    if (!progress) {
      now.textContent = job.status === "queued" ? waitingText(job) : "It begins.";
      return;
    }
    bar.value = progress.share;
    [...stages.children].forEach(
      (item, index) => item.toggleAttribute("aria-current", STAGES[index] === progress.stage)
    );
    now.textContent = inWords(progress);
    const place = progress.layer === null ? progress.stage : `${progress.stage}, layer ${progress.layer}`;
    if (told.textContent !== place) told.textContent = place;
    if (progress.loss !== null && progress.loss !== undefined) noted(progress);
  }

  function noted({ layer, step, loss }) {
    const rounds = losses.get(layer) ?? losses.set(layer, []).get(layer);
    const last = rounds.at(-1)?.at(-1);
    if (last?.step === step && last.loss === loss) return;
    if (!last || step <= last.step) rounds.push([]);
    rounds.at(-1).push({ step, loss });
    chart.replaceChildren(lossChart(losses));
  }

  return {
    node,
    see,
    /** Only the loss stays, if there is any. */
    end() {
      running.remove();
      node.hidden = losses.size === 0;
      node.querySelector("h2").textContent = "Loss while it ran";
    },
  };
}

function waitingText({ position }) {
  if (position === null || position === undefined) return "It waits for its turn.";
  return position === 0 ? "It is the next one." : `${position} before it in the queue.`;
}

function inWords({ stage, layer, step, steps, loss, facts_done: done, facts }) {
  return [
    {
      targets: "Finding targets",
      solve: "Solving",
      write: "Writing",
      verify: "Measuring what it did",
      commit: "Committing",
      publish: "Putting it in service",
    }[stage] ?? stage,
    layer !== null && layer !== undefined && `layer ${layer}`,
    step && `step ${step} of ${steps}`,
    loss !== null && loss !== undefined && `loss ${figure(loss)}`,
    facts && facts > 1 && `${done ?? 0} of ${facts} facts`,
  ].filter(Boolean).join(", ");
}
