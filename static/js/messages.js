// Words of the page's language, sent with the page.
const all = JSON.parse(document.getElementById("messages")?.textContent || "{}");

export const lang = document.documentElement.lang || "en";

export function t(key, parameters = {}) {
  return (all[key] ?? key).replace(/\{(\w+)\}/g, (whole, name) => parameters[name] ?? whole);
}

// The words for a code that may be newer than the catalogue.
export const known = (key, otherwise) => all[key] ?? otherwise;

// What a job says: a code with parameters (those with @ are keys themselves); else the text as written.
export function said(note, written) {
  const text = note && all[`note.${note.code}`];
  if (!text) return written;
  const worded = Object.entries(note.args ?? {}).map(([name, value]) => [name, value.startsWith("@") ? known(value.slice(1), value.slice(1)) : value]);
  return t(`note.${note.code}`, Object.fromEntries(worded));
}

// A counted noun: `key.one` or `key.other`.
export function count(key, n) {
  return t(`${key}.${n === 1 ? "one" : "other"}`, { n: number(n) });
}

const numbers = new Intl.NumberFormat("en");
export const number = (n) => numbers.format(n);

export function clock(seconds) {
  const s = Math.max(0, Math.round(seconds));
  const two = (n) => String(n).padStart(2, "0");
  return s >= 3600
    ? `${Math.floor(s / 3600)}:${two(Math.floor(s / 60) % 60)}:${two(s % 60)}`
    : `${Math.floor(s / 60)}:${two(s % 60)}`;
}
