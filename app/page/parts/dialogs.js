// Dialogs: the browser's own, which hold the focus and give it back.

import { h, freshId } from "../dom.js";

/** Ask for a confirmation; resolves to whether it was given. Cancel has the focus: Enter alone undoes nothing. */
export function confirmed({ title, content, doIt }) {
  return new Promise((resolve) => {
    const heading = freshId("dialog");
    const close = (answer) => {
      resolve(answer);
      dialog.close();
    };
    const cancel = h("button", { type: "button", on: { click: () => close(false) } }, "Cancel");
    const go = h("button", { type: "button", class: "primary", on: { click: () => close(true) } }, doIt);
    const dialog = h("dialog", { "aria-labelledby": heading },
      h(
        "div",
        { class: "inner" },
        h("h2", { id: heading }, title),
        content,
        h("div", { class: "actions end" }, cancel, go),
      ),
    );
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(false); // left with Escape
    });
    document.body.append(dialog);
    dialog.showModal();
    cancel.focus();
  });
}

/** Ask for an API key; resolves to it, "" for none at all, or null where nothing was chosen. */
export function askedKey({ refused, known }) {
  return new Promise((resolve) => {
    const [heading, id, hint] = [freshId("dialog"), freshId("key"), freshId("hint")];
    const input = h(
      "input",
      { type: "password", id, autocomplete: "off", spellcheck: "false", "aria-describedby": hint },
    );
    const end = (answer) => {
      resolve(answer);
      dialog.close();
    };
    const why = refused ? "The service did not take this key." : "It is kept in this tab until the tab is closed.";
    const form = h("form", {
      class: "inner",
      on: { submit: (event) => (event.preventDefault(), end(input.value.trim() || null)) },
    },
      h("h2", { id: heading }, known || refused ? "Another API key" : "An API key"),
      h(
        "div",
        { class: "field" },
        h("label", { for: id }, "Key"),
        input,
        h("p", { class: refused ? "fault" : "hint", id: hint }, why),
      ),
      h("div", { class: "actions end" },
        known && h("button", { type: "button", on: { click: () => end("") } }, "Forget the key"),
        h("button", { type: "button", on: { click: () => end(null) } }, "Cancel"),
        h("button", { type: "submit", class: "primary" }, "Use it"),
      ),
    );
    const dialog = h("dialog", { "aria-labelledby": heading }, form);
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(null);
    });
    document.body.append(dialog);
    dialog.showModal();
    input.focus();
  });
}
