// Elements built from data. Text becomes text nodes and nothing else, so that whatever a chain says stays text; attributes that could run
// something are refused.

const REFUSED = /^(?:on|style$|src|action$|formaction$|innerhtml$)/i;
const BOOLEAN = new Set(["disabled", "checked", "selected", "required", "hidden", "open"]);

/** An element: `h("a", {class: "x", href: "#/"}, "text", child, [more])`. `on: {click: fn}` listens. Nothing comes of null and false. */
export function h(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props ?? {})) {
    if (name === "on") {
      for (const [event, listener] of Object.entries(value)) element.addEventListener(event, listener);
    } else if (value !== null && value !== undefined && value !== false) {
      element.setAttribute(name, checkAttribute(name, value));
    }
  }
  append(element, children);
  return element;
}

/** The text of an attribute. Throws for one that data must never reach. */
export function checkAttribute(name, value) {
  if (REFUSED.test(name)) throw new Error(`the attribute ${name} is not for data`);
  if (name === "href" && !/^(?:#|methods$)/.test(String(value))) throw new Error("links stay on this page");
  return BOOLEAN.has(name) && value === true ? "" : String(value);
}

function append(element, children) {
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    element.append(typeof child === "object" ? child : document.createTextNode(String(child)));
  }
}

/** Put these in place of what an element holds. */
export function fill(element, ...children) {
  element.replaceChildren();
  append(element, children);
  return element;
}

/** A titled part of a page. */
export const card = (title, ...children) => h("section", { class: "card" }, title && h("h2", {}, title), ...children);

/** Names and values. Rows of null are left out. */
export const facts = (rows) =>
  h("dl", { class: "facts" }, rows.filter(Boolean).map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));

/** A figure with its name. */
export const figure = (name, value, detail) =>
  h("div", { class: "figure" }, h("span", { class: "name" }, name), h("span", { class: "value" }, value), detail && h("span", { class: "detail" }, detail));

export const note = (text, kind = "info") => h("p", { class: `note ${kind}` }, text);
export const badge = (text, kind = "") => h("span", { class: `badge ${kind}` }, text);

/** A table that scrolls by itself on a narrow screen. A column is {title, cell(row), num, grow}. */
export function table(caption, columns, rows, empty = "Nothing yet.") {
  if (!rows.length) return h("p", { class: "empty" }, empty);
  const cells = (row) => columns.map((column) => h("td", { class: column.num ? "num" : null }, column.cell(row)));
  const head = columns.map((column) => h("th", { scope: "col", class: column.num ? "num" : null }, column.title));
  return h("div", { class: "scroll", role: "region", tabindex: "0", "aria-label": caption },
    h("table", {}, h("caption", { class: "hidden" }, caption), h("thead", {}, h("tr", {}, head)),
      h("tbody", {}, rows.map((row) => h("tr", {}, cells(row))))));
}

/** A share as a bar with its text beside it. */
export const bar = (ppm, text, label) =>
  h("span", { class: "bar-cell" }, h("progress", { max: 1_000_000, value: Math.max(0, Math.min(1_000_000, ppm)), "aria-label": label }), h("span", {}, text));

/** A field of a form with its label. */
export function field(label, input) {
  return h("label", { class: "field" }, h("span", {}, label), input);
}
