// Lists the operations of openapi.json by tag, with parameters, schemas and a form to try each GET.
// No dependencies, no inline code or styles: it runs under this service's own content policy.
import { t } from "./messages.js";

const METHODS = ["get", "post", "put", "patch", "delete"];

/** An element with attributes and children; text becomes text nodes, never HTML. */
function el(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === true) node.setAttribute(key, "");
    else if (value !== false && value != null) node.setAttribute(key, value);
  }
  node.append(...children.flat().filter((c) => c != null));
  return node;
}

function resolve(doc, ref) {
  return ref.replace(/^#\//, "").split("/").reduce((at, key) => at?.[key.replaceAll("~1", "/").replaceAll("~0", "~")], doc);
}

/** A schema in a few words: `string (uuid)`, `Job`, `array of Sample`. */
function brief(schema) {
  if (!schema) return "";
  if (schema.$ref) return schema.$ref.split("/").pop();
  const any = schema.oneOf ?? schema.anyOf;
  if (any) return any.map(brief).join(" or ");
  if (schema.allOf) return schema.allOf.map(brief).join(" and ");
  if (schema.enum) return schema.enum.map((v) => JSON.stringify(v)).join(" | ");
  const type = [schema.type ?? "any"].flat().join(" or ");
  if (schema.items) return `array of ${brief(schema.items)}`;
  return schema.format ? `${type} (${schema.format})` : type;
}

/** An example value for a schema, references followed to a depth that ends recursion. */
function sample(doc, schema, depth = 0) {
  if (!schema || depth > 6) return null;
  if (schema.example !== undefined) return schema.example;
  if (schema.default !== undefined) return schema.default;
  if (schema.$ref) return sample(doc, resolve(doc, schema.$ref), depth + 1);
  if (schema.allOf) return Object.assign({}, ...schema.allOf.map((s) => sample(doc, s, depth + 1)));
  const any = schema.oneOf ?? schema.anyOf;
  if (any) return sample(doc, any.find((s) => s.type !== "null") ?? any[0], depth + 1);
  if (schema.enum) return schema.enum[0];
  const type = [schema.type].flat().find((kind) => kind !== "null");
  if (type === "array") return [sample(doc, schema.items, depth + 1)];
  if (type === "object" || schema.properties) {
    const entries = Object.entries(schema.properties ?? {});
    return Object.fromEntries(entries.map(([k, s]) => [k, sample(doc, s, depth + 1)]));
  }
  if (type === "integer" || type === "number") return 0;
  if (type === "boolean") return false;
  if (type === "string") return schema.format === "uuid" ? "00000000-0000-0000-0000-000000000000" : "string";
  return null;
}

function pre(value) {
  return el("pre", { tabindex: "0" }, typeof value === "string" ? value : JSON.stringify(value, null, 2));
}

/** The fields of an object schema with what is said of them. */
function fields(doc, schema) {
  const target = schema.$ref ? resolve(doc, schema.$ref) : schema;
  const parts = target.allOf ?? [target];
  const rows = parts.flatMap((part) => {
    const s = part.$ref ? resolve(doc, part.$ref) : part;
    return Object.entries(s.properties ?? {}).map(([name, p]) =>
      el("tr", {},
        el("td", {}, el("code", { class: s.required?.includes(name) ? "required" : "" }, name)),
        el("td", {}, brief(p)),
        el("td", {}, p.description ?? "")));
  });
  return rows.length ? el("table", {}, el("tbody", {}, rows)) : null;
}

function parameters(list) {
  if (!list.length) return null;
  const head = ["parameter", "in", "type", "meaning"].map((k) => el("th", { scope: "col" }, t(`js.docs_${k}`)));
  const rows = list.map((p) =>
    el("tr", {},
      el("td", {}, el("code", { class: p.required ? "required" : "" }, p.name)),
      el("td", {}, p.in),
      el("td", {}, brief(p.schema)),
      el("td", {}, p.description ?? "")));
  return el("table", {}, el("thead", {}, el("tr", {}, head)), el("tbody", {}, rows));
}

function contents(doc, content) {
  return Object.entries(content ?? {}).map(([type, { schema, example }]) => {
    const shown = schema && schema.format !== "binary" && type.includes("json");
    return el("div", {},
      el("p", {}, el("code", {}, type), " ", brief(schema)),
      schema ? fields(doc, schema) : null,
      shown ? pre(example ?? sample(doc, schema)) : null);
  });
}

/** The form that sends a GET and shows what comes back. */
function tryIt(path, list) {
  const inputs = list.filter((p) => p.in === "path" || p.in === "query").map((p) => {
    const input = el("input", { name: p.name, required: p.required, autocomplete: "off", spellcheck: "false" });
    return { p, input, label: el("label", {}, el("span", { class: p.required ? "required" : "" }, p.name), input) };
  });
  const out = el("div", { "aria-live": "polite" });
  const form = el("form", {}, inputs.map((i) => i.label), el("button", { class: "button" }, t("js.docs_try")), out);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    let address = path;
    const query = new URLSearchParams();
    for (const { p, input } of inputs) {
      if (p.in === "path") address = address.replace(`{${p.name}}`, encodeURIComponent(input.value));
      else if (input.value) query.set(p.name, input.value);
    }
    if (query.size) address += `?${query}`;
    out.replaceChildren(el("p", {}, "…"));
    try {
      const response = await fetch(address);
      const type = response.headers.get("content-type") ?? "";
      const head = el("p", {}, el("code", {}, `GET ${address}`), ` ${response.status} ${type}`);
      if (/json/.test(type) && !/ndjson/.test(type)) out.replaceChildren(head, pre(await response.json()));
      else if (/^text\/(?!event-stream)|ndjson/.test(type)) out.replaceChildren(head, pre(await response.text()));
      else {
        await response.body?.cancel();
        out.replaceChildren(head, el("p", {}, el("a", { href: address }, t("js.docs_open"))));
      }
    } catch (error) {
      out.replaceChildren(el("p", {}, String(error)));
    }
  });
  return form;
}

function operation(doc, path, method, op) {
  const list = op.parameters ?? [];
  const head = el("summary", {}, el("span", { class: `method ${method}` }, method), el("code", {}, path), ` ${op.summary ?? ""}`);
  const details = el("details", { id: op.operationId }, head);
  details.dataset.words = `${method} ${path} ${op.summary ?? ""} ${op.description ?? ""}`.toLowerCase();
  details.addEventListener("toggle", () => {
    if (details.open && details.childElementCount === 1) details.append(body(doc, path, method, op, list));
  });
  return details;
}

function body(doc, path, method, op, list) {
  const responses = Object.entries(op.responses ?? {}).map(([status, r]) =>
    el("div", {}, el("h4", {}, `${status} ${r.description ?? ""}`),
      /^2/.test(status) ? contents(doc, r.content) : null));
  return el("div", {},
    op.description ? prose(op.description) : null,
    parameters(list),
    op.requestBody ? [el("h4", {}, t("js.docs_body")), contents(doc, op.requestBody.content)] : null,
    el("h4", {}, t("js.docs_answers")), responses,
    method === "get" ? [el("h4", {}, t("js.docs_try")), tryIt(path, list)] : null);
}

/** Paragraphs of plain text; `**words**` and `` `code` `` are the only marks the document uses. */
function prose(text) {
  return text.split("\n\n").map((paragraph) =>
    el("p", {}, paragraph.split(/(\*\*[^*]+\*\*|`[^`]+`)/).map((part) => {
      if (part.startsWith("**")) return el("strong", {}, part.slice(2, -2));
      if (part.startsWith("`")) return el("code", {}, part.slice(1, -1));
      return part;
    })));
}

function render(doc, into) {
  const groups = new Map((doc.tags ?? []).map((t) => [t.name, { about: t.description, items: [] }]));
  for (const [path, item] of Object.entries(doc.paths)) {
    for (const method of METHODS.filter((m) => item[m])) {
      const tag = item[method].tags?.[0] ?? "other";
      if (!groups.has(tag)) groups.set(tag, { about: "", items: [] });
      groups.get(tag).items.push(operation(doc, path, method, item[method]));
    }
  }
  const sections = [...groups].filter(([, g]) => g.items.length).map(([name, g]) =>
    el("section", {}, el("h2", {}, name), el("p", {}, g.about ?? ""), g.items));
  into.replaceChildren(...prose(doc.info.description ?? ""), ...sections);
}

function filter(into, words) {
  const wanted = words.toLowerCase().split(/\s+/).filter(Boolean);
  for (const section of into.querySelectorAll("section")) {
    let any = false;
    for (const d of section.querySelectorAll("details")) {
      d.hidden = !wanted.every((w) => d.dataset.words.includes(w));
      any ||= !d.hidden;
    }
    section.hidden = !any;
  }
}

const main = document.getElementById("doc");
const response = await fetch("/api/openapi.json");
render(await response.json(), main);
const box = document.getElementById("filter");
box.addEventListener("input", () => filter(main, box.value));
const named = location.hash && document.getElementById(location.hash.slice(1));
if (named) {
  named.open = true;
  named.scrollIntoView();
}
