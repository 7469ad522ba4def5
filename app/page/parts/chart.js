// The loss by step: a line for each layer.

import { h, s } from "../dom.js";
import { figure } from "../numbers.js";

const [WIDTH, HEIGHT] = [560, 190];
const [LEFT, RIGHT, TOP, BOTTOM] = [40, 10, 10, 26];
const KINDS = ["", "second", "third"];

/** losses: by layer, rounds of steps with their loss; a fact that does not hold is tried again in a further round. */
export function lossChart(losses) {
  const lines = [...losses].map(
    ([layer, rounds], index) => ({ layer, rounds, last: rounds.at(-1), kind: KINDS[index % KINDS.length] })
  );
  const all = lines.flatMap(({ rounds }) => rounds.flat());
  const most = Math.max(...all.map(({ loss }) => loss), 1e-9);
  const steps = Math.max(...all.map(({ step }) => step), 2);
  const x = (step) => LEFT + ((step - 1) / (steps - 1)) * (WIDTH - LEFT - RIGHT);
  const y = (loss) => TOP + (1 - Math.max(0, loss) / most) * (HEIGHT - TOP - BOTTOM);
  const path = (points) => points.map(({ step, loss }) => `${x(step).toFixed(1)},${y(loss).toFixed(1)}`).join(" ");
  const drawn = lines.flatMap(({ rounds, last, kind }) => [
    ...rounds.map(
      (points) => s("polyline", { class: `line ${kind} ${points === last ? "" : "past"}`, points: path(points) })
    ),
    s("circle", { class: "dot", cx: x(last.at(-1).step), cy: y(last.at(-1).loss), r: "2.5" }),
  ]);
  const summary = lines.map(({ layer, rounds, last }) =>
    `layer ${layer}: from ${figure(last[0].loss)} to ${figure(last.at(-1).loss)}` +
    (rounds.length > 1 ? ` in round ${rounds.length}` : ""));
  return h("figure", { class: "stack" },
    s("svg", {
      class: "chart",
      viewBox: `0 0 ${WIDTH} ${HEIGHT}`,
      role: "img",
      "aria-label": `Loss by step. ${summary.join("; ")}.`,
    },
      s("line", { class: "axis", x1: LEFT, y1: HEIGHT - BOTTOM, x2: WIDTH - RIGHT, y2: HEIGHT - BOTTOM }),
      s("line", { class: "axis", x1: LEFT, y1: TOP, x2: LEFT, y2: HEIGHT - BOTTOM }),
      s("text", { x: LEFT - 6, y: TOP + 8, "text-anchor": "end" }, figure(most)),
      s("text", { x: LEFT - 6, y: HEIGHT - BOTTOM, "text-anchor": "end" }, "0"),
      s("text", { x: LEFT, y: HEIGHT - 8 }, "step 1"),
      s("text", { x: WIDTH - RIGHT, y: HEIGHT - 8, "text-anchor": "end" }, `step ${steps}`),
      ...drawn),
    h("figcaption", { class: "legend" }, summary.map((text) => h("span", {}, text))));
}
