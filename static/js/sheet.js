// The sheet of keys (`?`): what each does, and giving it another: record, conflict, swap, reset.
import { ACTIONS, HELP, actionOf, anyChosen, bind, changes, free, keyOf, load, reset, shown } from "./bindings.js";
import { t } from "./messages.js";

const GROUPS = [
  ["keys.of_decisions", ["keep", "take", "search", "ambiguous", "exclude", "unsure", "out_of_taxonomy", "bad_media", "comment", "undo", "recent", "skip", "next"]],
  ["keys.of_player", ["play", "loop", "captions", "slower", "faster", "frame_back", "frame_on"]],
];
// not to be given away
const FIXED = { "keys.of_decisions": [["1–9", "keys.candidate"], ["← →", "keys.walk"], [HELP, "keys.help"]], "keys.of_player": [["0–9", "keys.seek"]] };

const make = (tag, set, ...inside) => {
  const el = Object.assign(document.createElement(tag), set);
  el.append(...inside);
  return el;
};
const button = (text, act, className = "button quiet") => {
  const el = make("button", { type: "button", className, textContent: text });
  el.addEventListener("click", act);
  return el;
};

let dialog = null;
let mode = "queue";
let recording = null; // name of the action
let conflict = null; // the key that is wanted and taken
let said = "";

const words = (name) => t(`keys.${name}`);

function row(action) {
  const line = make("div", { className: "key-row" });
  line.dataset.action = action.name;
  const listening = recording === action.name;
  const kbd = make("kbd", { textContent: listening && !conflict ? "…" : shown(keyOf(action.name)) });
  const change = button(t(listening ? "keys.cancel" : "keys.change"), () => {
    recording = listening ? null : action.name;
    conflict = null;
    said = recording ? t("keys.press", { what: words(action.name) }) : "";
    draw();
  });
  change.setAttribute("aria-label", `${t(listening ? "keys.cancel" : "keys.change")}: ${words(action.name)}`);
  line.append(make("dt", {}, kbd), make("dd", {}, make("span", { textContent: words(action.name) }), change));
  line.classList.toggle("recording", listening);
  return line;
}

const fixed = ([key, what]) => make("div", { className: "key-row" }, make("dt", {}, make("kbd", { textContent: key })), make("dd", { textContent: t(what) }));

function draw() {
  const note = make("p", { className: "keys-note", role: "status", textContent: said });
  if (conflict) {
    const swap = button(t("keys.swap"), () => give(conflict), "button main");
    const no = button(t("keys.cancel"), () => stop(""));
    note.append(" ", swap, " ", no);
  }
  note.classList.toggle("warn", Boolean(conflict));
  const parts = GROUPS.map(([title, list]) => {
    const actions = list.map((name) => ACTIONS.find((a) => a.name === name)).filter((a) => !a.only || a.only === mode);
    return make("section", {}, make("h3", { textContent: t(title) }), make("dl", { className: "keys" }, ...actions.map(row), ...FIXED[title].filter(([, what]) => what !== "keys.walk" || mode === "walk").map(fixed)));
  });
  const close = button(t("keys.close"), () => dialog.close(), "button main");
  const again = button(t("keys.reset"), () => {
    reset();
    stop(t("keys.was_reset"));
  });
  again.disabled = !anyChosen();
  const at = document.activeElement?.closest?.("[data-action]")?.dataset.action;
  dialog.replaceChildren(make("h2", { id: "keys-title", textContent: t("keys.title") }), ...parts, note, make("p", { className: "keys-end" }, again, close));
  if (conflict) note.querySelector("button").focus();
  else (at ? dialog.querySelector(`[data-action="${at}"] button`) : close).focus();
}

function stop(words) {
  recording = conflict = null;
  said = words;
  draw();
}

function give(key) {
  const name = recording;
  bind(name, key);
  stop(t("keys.changed", { what: words(name), key: shown(key) }));
}

function record(event) {
  if (!recording || conflict || event.isComposing || event.keyCode === 229) return;
  if (["Tab", "Shift", "Control", "Alt", "Meta", "CapsLock"].includes(event.key) || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  event.stopPropagation();
  if (event.key === "Escape") return stop("");
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  const taken = free(key) ? actionOf(key) : null;
  if (!free(key)) said = t("keys.not_free", { key: shown(key) });
  else if (taken && taken.name !== recording) {
    conflict = key;
    said = t("keys.conflict", { key: shown(key), what: words(taken.name) });
  } else return give(key);
  draw();
}

export function openSheet() {
  recording = conflict = null;
  said = "";
  dialog.showModal();
  draw();
}

// `kind`: "queue" or "walk".
export function sheet(kind) {
  mode = kind;
  dialog = make("dialog", { id: "keys" });
  dialog.setAttribute("aria-labelledby", "keys-title");
  dialog.addEventListener("keydown", record, true);
  dialog.addEventListener("cancel", (event) => recording && event.preventDefault());
  document.body.append(dialog);
  changes.addEventListener("change", () => dialog.open && draw());
  load();
}

// Writes each action's key where the card shows one.
export function label(root) {
  const put = (el, key) => {
    if (!el) return;
    el.setAttribute("aria-keyshortcuts", key);
    const kbd = el.querySelector("kbd") ?? (el.matches("button") ? el.appendChild(document.createElement("kbd")) : null);
    if (kbd) kbd.textContent = shown(key);
  };
  for (const action of ACTIONS) if (action.presses) put(root.querySelector(action.presses), keyOf(action.name));
  for (const [id, name] of [["pick", "search"], ["comment", "comment"]]) {
    const field = root.querySelector(`#${id}`);
    field?.setAttribute("aria-keyshortcuts", keyOf(name));
    const kbd = field?.closest("label, .picker")?.querySelector("kbd");
    if (kbd) kbd.textContent = shown(keyOf(name));
  }
}
