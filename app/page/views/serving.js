// Serving: which version each alias points to, and the inference servers that have it.

import * as api from "../api.js";
import { h } from "../dom.js";
import { empty } from "../parts/states.js";
import { aliasSheet } from "./serving_aliases.js";

export const title = "Serving";
export const intro =
  "An alias is a name that others ask, such as production; moving it is a rollout, moving it back a rollback.";

export async function content({ model, signal, reload }) {
  const [{ aliases }, serving] = await Promise.all([api.aliases(model.id, signal), api.serving(model.id, signal)]);
  const servers = serving.followers.flatMap((follower) => follower.servers);
  return [h("div", { class: "columns" },
    aliasSheet(model, aliases, servers, serving.version, reload),
    serverSheet(aliases, servers, serving.version))];
}

function serverSheet(aliases, servers, newest) {
  return h("section", { class: "sheet", "aria-labelledby": "servers" },
    h("div", { class: "sheet-head" },
      h("h2", { id: "servers" }, "Inference servers"),
      h("span", { class: "small soft" }, `newest version ${newest}`)),
    servers.length
      ? h("ul", { class: "rows" }, servers.map((server) => row(server, aliases)))
      : empty("No inference server follows this model: its workers answer."));
}

const BADGES = { serving: "good", behind: "warn", unreachable: "bad", refused: "bad" };

function row({ url, state, versions, problem }, aliases) {
  const here = aliases.filter(({ version }) => versions.includes(version)).map(({ name }) => name);
  return h("li", {},
    h("div", { class: "sheet-head" }, h("code", {}, url), h("span", { class: `badge ${BADGES[state] ?? ""}` }, state)),
    h("p", { class: "meta" },
      h("span", {}, versions.length ? `proven: ${shortened(versions)}` : "nothing proven"),
      here.length > 0 && h("span", {}, `has ${here.join(", ")}`)),
    problem && h("p", { class: "small soft" }, problem));
}

const SHOWN = 6;

/** The newest of the versions. */
const shortened = (versions) =>
  (versions.length > SHOWN ? "…, " : "") + versions.slice(-SHOWN).join(", ");
