// Fields with their label, hint and fault, tied together for those who hear them.

import { freshId, h } from "../dom.js";

/** A labelled control. make: gets the attributes that tie it to the label. */
export function field(text, make, { hint = "", after = null } = {}) {
  const id = freshId("field");
  const fault = h("p", { class: "fault", id: `${id}-fault` });
  const described = hint ? `${id}-hint ${id}-fault` : `${id}-fault`;
  const control = make({ id, "aria-describedby": described });
  const node = h("div", { class: "field" }, h("label", { for: id }, text), control, after,
    hint && h("p", { class: "hint", id: `${id}-hint` }, hint), fault);
  const tell = (why) => {
    fault.textContent = why;
    if (why) control.setAttribute("aria-invalid", "true");
    else control.removeAttribute("aria-invalid");
  };
  control.addEventListener("input", () => tell(""));
  return { node, control, tell };
}

export const textField = (text, value, given = {}) =>
  field(
    text,
    (tied) => h("input", { type: "text", class: "writing", autocomplete: "off", value, ...given.attributes, ...tied }),
    given,
  );

export const areaField = (text, value, given = {}) =>
  field(text, (tied) => h("textarea", { ...given.attributes, ...tied }, value ?? ""), given);

/** choices: values and their texts. */
export const selectField = (text, choices, value, given = {}) =>
  field(
    text,
    (tied) => h(
      "select",
      tied,
      choices.map(([key, name]) => h("option", { value: key, selected: key === value }, name)),
    ),
    given,
  );

export function checkbox(text, checked, attributes = {}) {
  const control = h("input", { type: "checkbox", checked, ...attributes });
  return { control, node: h("label", { class: "check" }, control, h("span", {}, text)) };
}
