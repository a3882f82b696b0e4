// Which key does what, and how each person has it. Digits and arrows are not given away: digits choose
// candidates (or places in the clip, while the player has the focus), arrows walk.
import { get, send } from "./api.js";
import { who } from "./session.js";

const KEY = `tamis.keys.${who}`;

// name, key, and what it presses on the card; those without do something of their own
export const ACTIONS = [
  { name: "keep", key: "k", presses: '[data-decision="keep"]' },
  { name: "take", key: "s", presses: "[data-suggestion]" },
  { name: "search", key: "/" },
  { name: "ambiguous", key: "a", presses: "[data-ambiguous]" },
  { name: "exclude", key: "x", presses: '[data-decision="exclude"]' },
  { name: "unsure", key: "u", presses: '[data-decision="unsure"]' },
  { name: "out_of_taxonomy", key: "o", presses: '[data-decision="out_of_taxonomy"]' },
  { name: "bad_media", key: "b", presses: '[data-decision="bad_media"]' },
  { name: "comment", key: "c" },
  { name: "undo", key: "z" },
  { name: "recent", key: "h" },
  { name: "skip", key: "n", presses: "[data-skip]", only: "queue" },
  { name: "next", key: "j", presses: 'a[rel="next"]', only: "walk" },
  { name: "play", key: "p" },
  { name: "loop", key: "l", presses: "[data-loop]" },
  { name: "captions", key: "t" },
  { name: "slower", key: "[" },
  { name: "faster", key: "]" },
  { name: "frame_back", key: "," },
  { name: "frame_on", key: "." },
];
export const HELP = "?";

const names = new Set(ACTIONS.map((a) => a.name));
const clean = (chosen) =>
  Object.fromEntries(Object.entries(chosen ?? {}).filter(([name, key]) => names.has(name) && typeof key === "string" && free(key)));

// A key that may be given to an action: one sign, no digit, no blank, not the key of the sheet itself.
export const free = (key) => key.length === 1 && !/[\d\s]/.test(key) && key !== HELP;

export const shown = (key) => (key.length === 1 ? key.toUpperCase() : key);

let chosen = {};
try {
  chosen = clean(JSON.parse(localStorage.getItem(KEY) || "{}"));
} catch {
  // what cannot be read is as good as nothing chosen
}

export const changes = new EventTarget();

export const keyOf = (name) => chosen[name] ?? ACTIONS.find((a) => a.name === name).key;
export const actionOf = (key) => ACTIONS.find((a) => keyOf(a.name) === key) ?? null;
export const anyChosen = () => Object.keys(chosen).length > 0;

function take(next) {
  const own = Object.entries(next).filter(([name, key]) => key !== ACTIONS.find((a) => a.name === name).key);
  chosen = Object.fromEntries(own);
  try {
    localStorage.setItem(KEY, JSON.stringify(chosen));
  } catch {
    // then they hold until the page is left
  }
  changes.dispatchEvent(new Event("change"));
}

const keep = (next) => {
  take(next);
  // kept with the account too, so that another browser has them
  send("PUT", "/api/v1/account/settings", { keys: chosen }).catch(() => {});
};

// Gives `key` to `name`; the action that had it gets the other's.
export function bind(name, key) {
  const had = actionOf(key);
  const next = { ...chosen, [name]: key };
  if (had && had.name !== name) next[had.name] = keyOf(name);
  keep(next);
}

export const reset = () => keep({});

addEventListener("storage", (e) => {
  if (e.key === KEY) take(clean(JSON.parse(e.newValue || "{}")));
});

// What the account has, chosen perhaps in another browser.
export async function load() {
  const settings = await get("/api/v1/account/settings").catch(() => null);
  if (settings?.keys) take(clean(settings.keys));
}
