// The aliases of a model, each with a form that moves it: only from where it was shown, and after a dialog.

import * as api from "../api.js";
import { announce, h } from "../dom.js";
import { ago } from "../numbers.js";
import { confirmed } from "../parts/dialogs.js";
import { field, textField } from "../parts/fields.js";
import { empty, failed } from "../parts/states.js";

/** The sheet. */
export function aliasSheet(model, aliases, servers, newest, reload) {
  const rows = aliases.map((alias) => row(alias, { model, servers, newest, reload }));
  return h("section", { class: "sheet", "aria-labelledby": "aliases" },
    h("h2", { id: "aliases" }, "Aliases"),
    rows.length ? h("ul", { class: "rows" }, rows) : empty("No alias points to a version of this model yet."),
    h("details", {}, h("summary", {}, "A new alias"), made(model, newest, reload)));
}

function row(alias, { model, servers, newest, reload }) {
  const { name, id, version, by, moved } = alias;
  const proven = servers.filter(({ versions }) => versions.includes(version)).length;
  const problem = h("div");
  const target = versionField("Move to version", version, newest);
  const button = h("button", { type: "submit" }, "Move …");
  const submit = async (event) => {
    event.preventDefault();
    await tried(button, problem, async () => {
      const to = Number(target.control.value);
      const content = h("p", {},
        `Whoever asks for ${id} is answered from version ${to}, and no longer from version ${version}.`);
      if (!(await confirmed({ title: `Move ${name} to version ${to}?`, content, doIt: "Move" }))) return;
      await api.moveAlias(model.id, name, to, version);
      announce(`${name} points to version ${to}.`);
      reload();
    });
  };
  return h("li", {},
    h("div", { class: "sheet-head" },
      h("h3", { class: "alias-name" }, name),
      h("span", { class: "badge" }, `version ${version}`)),
    h("p", { class: "meta" },
      h("code", {}, id),
      h("time", { datetime: moved, title: moved }, ago(moved)),
      by && h("span", {}, `by ${by}`),
      servers.length > 0 && h("span", {}, `on ${proven} of ${servers.length} servers`)),
    h("form", { class: "alias-move", "aria-label": `Move ${name}`, on: { submit } }, target.node, button),
    problem);
}

function made(model, newest, reload) {
  const problem = h("div");
  const attributes = { required: true, pattern: "[a-z][a-z0-9\\-]*", maxlength: 63, spellcheck: "false" };
  const name = textField("Name", "", { attributes, hint: "Lower-case letters, digits and hyphens." });
  const target = versionField("Version", newest, newest);
  const button = h("button", { type: "submit" }, "Make it");
  const submit = async (event) => {
    event.preventDefault();
    await tried(button, problem, async () => {
      await api.moveAlias(model.id, name.control.value, Number(target.control.value), null);
      reload();
    });
  };
  return h("form", { class: "stack", "aria-label": "A new alias", on: { submit } },
    name.node, target.node, problem, h("div", { class: "actions" }, button));
}

const versionField = (text, value, newest) =>
  field(text, (tied) => h("input", { type: "number", min: 0, max: newest, step: 1, required: true, value, ...tied }));

/** Run what asks and does; a refusal is shown, such as that the key may not, or that somebody else has moved it. */
async function tried(button, problem, doIt) {
  button.disabled = true;
  problem.replaceChildren();
  try {
    await doIt();
  } catch (error) {
    problem.replaceChildren(failed(error));
  } finally {
    button.disabled = false;
    if (button.isConnected) button.focus();
  }
}
