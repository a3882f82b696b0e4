// The grid: pick tiles by mouse or keyboard, see what a decision would change, make it, take it back. More
// tiles come as the page is scrolled; what is picked stays picked.
import { post, uuid } from "./api.js";
import { classes } from "./classes.js";
import { onKey } from "./keys.js";
import { localTimes } from "./main.js";
import { count, number, t } from "./messages.js";
import { picker, remember } from "./picker.js";
import { jobLine } from "./progress.js";

const root = document.getElementById("grid-page");
const { api } = root.dataset;
const total = Number(root.dataset.n);
const grid = document.getElementById("grid");
const bar = document.getElementById("bulk");
const live = document.getElementById("live");
const dialog = document.getElementById("confirm");
const LISTED_MOST = 10000;

// either these, or all of the set but those
let all = false;
const named = new Set();
let anchor = null;
let last = null;

const boxes = () => [...(grid?.querySelectorAll("input[type=checkbox]") ?? [])];
const isPicked = (id) => named.has(id) !== all;
const size = () => (all ? total - named.size : named.size);

function pick(box, yes) {
  box.checked = yes;
  if (yes !== all) named.add(Number(box.value));
  else named.delete(Number(box.value));
}

function tell() {
  if (!bar) return;
  const n = size();
  document.getElementById("picked").textContent = n ? count("js.picked", n) : t("js.picked_none");
  for (const button of bar.querySelectorAll("[data-action], #pick, [data-none]")) button.disabled = n === 0;
  bar.querySelector("[data-all]").disabled = all && named.size === 0;
}

function pickAll(yes) {
  all = yes;
  named.clear();
  for (const box of boxes()) box.checked = yes;
  tell();
}

// From the tile picked last to this one: all as this one.
function range(box, yes) {
  const list = boxes();
  const [from, to] = [list.indexOf(anchor ?? box), list.indexOf(box)].sort((a, b) => a - b);
  for (const other of list.slice(Math.max(0, from), to + 1)) pick(other, yes);
}

function changed(box, shift) {
  if (shift && anchor) range(box, box.checked);
  else pick(box, box.checked);
  anchor = box;
  tell();
}

function rove(box) {
  for (const other of boxes()) other.tabIndex = other === box ? 0 : -1;
}

function adopt(box) {
  box.checked = isPicked(Number(box.value));
  box.tabIndex = -1;
}

let shifted = false;
grid?.addEventListener("click", (event) => {
  const tile = event.target.closest("label.tile");
  const box = tile?.querySelector("input");
  if (!box) return;
  shifted = event.shiftKey;
  if (event.target === box) return;
  event.preventDefault();
  box.checked = !box.checked;
  box.focus();
  changed(box, event.shiftKey);
});
grid?.addEventListener("change", (event) => {
  changed(event.target, shifted);
  shifted = false;
});
grid?.addEventListener("focusin", (event) => {
  if (event.target.matches("input[type=checkbox]")) rove(event.target);
});

// ---- moving ------------------------------------------------------------------------------------

function move(key, event) {
  const list = boxes();
  const at = list.indexOf(document.activeElement);
  if (at < 0) {
    if (!list.length) return false;
    list[0].focus();
    return true;
  }
  const tops = list.map((b) => b.closest("li").offsetTop);
  const columns = Math.max(1, tops.filter((top) => top === tops[0]).length);
  const by = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns }[key];
  const next = list[Math.max(0, Math.min(list.length - 1, at + by))];
  if (event.shiftKey) {
    anchor ??= list[at];
    range(next, true);
    tell();
  }
  next.focus();
  next.closest("li").scrollIntoView({ block: "nearest" });
  return true;
}

const choice = bar && picker(bar, api, {
  choose([chosen]) {
    remember(api, [chosen.id]);
    act("relabel", chosen.id, chosen.name);
  },
});
if (bar) (window.requestIdleCallback ?? setTimeout)(() => classes(api).catch(() => {}));

onKey((key, event) => {
  if (!bar) return false;
  if (key.startsWith("Arrow")) return move(key, event);
  switch (key) {
    case "Home": boxes()[0]?.focus(); return true;
    case "End": boxes().at(-1)?.focus(); return true;
    case "Enter": {
      const link = document.activeElement.closest?.("li.cell")?.querySelector("a");
      if (!link || document.activeElement === link) return false;
      location.assign(link.href);
      return true;
    }
    case "a": pickAll(true); return true;
    case "Escape": pickAll(false); return true;
    case "k": press("keep"); return true;
    case "e": press("exclude"); return true;
    case "/": if (size()) choice.open(); return true;
    case "z": if (last) undo(last); return true;
    case "?": document.getElementById("keys").showModal(); return true;
    default: return false;
  }
});

const press = (action) => size() > 0 && act(action);

document.addEventListener("click", (event) => {
  const control = event.target.closest("[data-action], [data-all], [data-none], [data-help], [data-undo]");
  if (!control) return;
  if ("all" in control.dataset) pickAll(true);
  else if ("none" in control.dataset) pickAll(false);
  else if ("help" in control.dataset) document.getElementById("keys").showModal();
  else if (control.dataset.undo) undo({ id: control.dataset.undo, tiles: null }, control);
  else act(control.dataset.action);
});

// ---- deciding ----------------------------------------------------------------------------------

function note(text, kind, ...more) {
  const line = Object.assign(document.createElement("p"), { className: `note ${kind}` });
  line.append(Object.assign(document.createElement("span"), { textContent: text }), ...more);
  live.replaceChildren(line);
  return line;
}

// A send that got no answer is sent again, with the id it had.
async function surely(url, body) {
  for (let wait = 500; ; wait = Math.min(wait * 2, 8000)) {
    try {
      return await post(url, body);
    } catch (error) {
      if (!(error instanceof TypeError)) throw error;
      note(t("js.offline"), "warn");
      await new Promise((wake) => setTimeout(wake, wait));
    }
  }
}

const verb = (action, name, n) => t(`js.bulk_${action}`, { name: name ?? "", n: count("js.bulk_n", n) });

async function ask(action, name, preview) {
  const labels = new Map((await classes(api)).leaves.map((c) => [c.id, [c.above, c.name].filter(Boolean).join(" / ")]));
  document.getElementById("confirm-title").textContent = verb(action, name, preview.samples);
  const notes = [t("js.bulk_changes", { n: number(preview.changes) })];
  if (preview.settled) notes.push(count("js.bulk_settled", preview.settled));
  document.getElementById("confirm-note").textContent = notes.join(" ");
  const cell = (text, className) => Object.assign(document.createElement("td"), { textContent: text, className });
  document.getElementById("confirm-classes").replaceChildren(
    ...preview.classes.slice(0, 30).map((c) => {
      const row = document.createElement("tr");
      row.append(cell(c.class === null ? t("js.unlabelled") : (labels.get(c.class) ?? c.class), ""), cell(number(c.samples), "num"), cell(number(c.changes), "num"));
      return row;
    }),
  );
  const rest = preview.classes.length - 30;
  document.getElementById("confirm-more").textContent = rest > 0 ? count("js.bulk_more", rest) : "";
  document.getElementById("confirm-yes").textContent = verb(action, name, preview.samples);
  dialog.returnValue = "no";
  dialog.showModal();
  document.getElementById("confirm-yes").focus();
  return new Promise((resolve) => dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true }));
}

let busy = false;
async function act(action, cls, name) {
  if (busy || size() === 0) return;
  if (!all && named.size > LISTED_MOST) return void note(t("js.bulk_too_many", { n: number(LISTED_MOST) }), "bad");
  busy = true;
  const set = all ? JSON.parse(root.dataset.set) : { of: "listed", samples: [...named] };
  const body = { client_id: uuid(), action, set, except: all ? [...named] : [] };
  if (cls) body.class = cls;
  try {
    const { preview } = await surely(`${api}/bulk`, { ...body, dry_run: true });
    if (!(await ask(action, name, preview))) return;
    const answer = await surely(`${api}/bulk`, { ...body, expected: preview.samples });
    const tiles = mark(action, name);
    pickAll(false);
    last = { id: answer.bulk.id, tiles };
    const button = Object.assign(document.createElement("button"), { className: "button", type: "button", textContent: t("js.undo") });
    button.addEventListener("click", () => undo({ id: answer.bulk.id, tiles }, button));
    if (answer.job) {
      note(verb(action, name, preview.samples), "", jobLine(answer.job, (job, line) => job.state === "succeeded" && line.append(button)));
    } else {
      note(t(`js.bulk_done_${action}`, { name: name ?? "", n: count("js.bulk_n", answer.bulk.n_samples) }), "good", button);
    }
  } catch (error) {
    note(error.message, "bad");
  } finally {
    busy = false;
  }
}

// Shows on the picked tiles what they are now; returns what they were.
function mark(action, name) {
  const kind = { keep: "kept", relabel: "relabelled", exclude: "excluded" }[action];
  return boxes()
    .filter((box) => box.checked)
    .map((box) => {
      const cell = box.closest("li");
      const before = { cell, className: cell.className, labels: cell.querySelector(".labels").innerHTML, state: cell.querySelector(".state-line").innerHTML };
      cell.className = `cell ${kind}`;
      if (action === "relabel") cell.querySelector(".class").textContent = name;
      cell.querySelector(".suggested")?.remove();
      const status = cell.querySelector(".status");
      status.className = `status ${kind}`;
      status.textContent = t(`js.status_${kind}`);
      return before;
    });
}

async function undo(what, control) {
  if (control) control.disabled = true;
  try {
    const answer = await surely(`${api}/bulk/${what.id}/undo`, {});
    if (last?.id === what.id) last = null;
    if (!what.tiles && !answer.job) return location.reload();
    for (const { cell, className, labels, state } of what.tiles ?? []) {
      cell.className = className;
      cell.querySelector(".labels").innerHTML = labels;
      cell.querySelector(".state-line").innerHTML = state;
    }
    if (answer.job) note(t("js.bulk_undoing"), "", jobLine(answer.job));
    else note(t("js.bulk_undone", { n: count("js.bulk_n", answer.bulk.n_samples) }), "good");
  } catch (error) {
    note(error.message, "bad");
    if (control) control.disabled = false;
  }
}

// ---- more tiles --------------------------------------------------------------------------------

async function more(link) {
  const response = await fetch(link.href, { headers: { Accept: "text/html" } });
  if (!response.ok) return;
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  const cells = [...(page.getElementById("grid")?.children ?? [])];
  grid.append(...cells);
  for (const cell of cells) {
    const box = cell.querySelector("input[type=checkbox]");
    if (box) adopt(box);
  }
  const next = page.querySelector('.pager a[rel="next"]');
  if (next) link.href = next.getAttribute("href");
  else link.remove();
}

const next = root.querySelector('.pager a[rel="next"]');
if (next) {
  let loading = false;
  new IntersectionObserver(async ([seen]) => {
    // until the end of what is there is out of sight again
    while (seen.isIntersecting && !loading && next.isConnected && next.getBoundingClientRect().top < innerHeight + 800) {
      loading = true;
      await more(next).catch(() => {});
      loading = false;
    }
  }, { rootMargin: "800px" }).observe(next);
}

for (const box of boxes()) adopt(box);
const firstBox = boxes()[0];
if (firstBox) firstBox.tabIndex = 0;
for (const row of document.querySelectorAll("[data-open-job]")) note("", "", jobLine({ id: row.dataset.openJob, kind: "bulk", state: "queued" }, () => location.reload()));
localTimes(root);
tell();
