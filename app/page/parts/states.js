// What is shown where there is nothing yet, nothing at all, or something went wrong.

import { h } from "../dom.js";

/** Something is on its way. */
export const waiting = (text) => h("p", { class: "waiting" }, text);

/** There is nothing, and what could be done about it. */
export function empty(text, ...actions) {
  const lines = h("div", { class: "lines", "aria-hidden": "true" }, h("span"), h("span"), h("span"));
  return h("div", { class: "empty" }, lines, h("p", {}, text), ...actions);
}

/** What went wrong, in the service's words. */
export function failed(error, again) {
  const problem = error.problem ?? { title: "An error of the page", detail: String(error.message ?? error) };
  return h("div", { class: "notice bad", role: "alert" },
    h("strong", {}, problem.title),
    h("p", {}, problem.detail),
    problem.field && h("p", { class: "small" }, "At ", h("code", {}, problem.field)),
    again && h("button", { type: "button", class: "slight", on: { click: again } }, "Try again"),
  );
}
