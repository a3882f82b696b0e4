// Reviewing: one key, one decision, and the next clip is there. The decision is kept in the browser
// before the next sample is shown, and sent behind (outbox.js). On the reviewing screen samples come from
// the queue (leases.js); on a sample's page they are those of the list one came from (walk.js).
import { post, uuid } from "./api.js";
import { announce, say } from "./announce.js";
import { changes, HELP, actionOf } from "./bindings.js";
import { classes } from "./classes.js";
import { frame } from "./frame.js";
import { onKey } from "./keys.js";
import { Leases } from "./leases.js";
import { localTimes } from "./main.js";
import { t } from "./messages.js";
import { add, outbox } from "./outbox.js";
import { picker, remember } from "./picker.js";
import { player } from "./player.js";
import { label, openSheet, sheet } from "./sheet.js";
import { swipe } from "./swipe.js";
import { Trail } from "./trail.js";
import { Undoing } from "./undoing.js";
import { Walk } from "./walk.js";

const root = document.getElementById("review");
const main = document.getElementById("main");
const first = document.getElementById("card");
const { api } = (first ?? root).dataset;
const pages = api.replace("/api/v1", "");
const queue = first ? null : new Leases(api, pages, new URLSearchParams(location.search).get("batch"));
const walk = queue ? null : new Walk();

let now = null; // what is shown: { card, page, clip, choice, since }
let busy = false; // from a decision until the next sample is there: a second key must not decide this one again
let turn = 0;

const trail = new Trail(api, pages, { ...frame(root), again: (decided) => undoing.undo(decided) });

// ---- showing -----------------------------------------------------------------------------------

function begin(card, page) {
  const clip = player(card);
  const offered = [...card.querySelectorAll('[data-decision="keep"], [data-decision="relabel"]')].map((b) => b.dataset.class ?? b.dataset.id).filter(Boolean);
  const choice = picker(card, api, {
    first: [...new Set(offered)],
    choose: (chosen) => decide(chosen.length > 1 ? "ambiguous" : "relabel", chosen),
  });
  now = { card, page, clip, choice, since: performance.now(), away: 0 };
  label(document);
  localTimes(card);
  swipe(card, ways);
  // Enter and Escape lead back from the comment to the keys
  card.querySelector("#comment")?.addEventListener("keydown", (event) => {
    if (event.isComposing || event.keyCode === 229 || (event.key !== "Enter" && event.key !== "Escape")) return;
    event.preventDefault();
    event.target.blur();
  });
  announce(t("js.shown", { title: card.dataset.title, question: question(card) }));
}

function question(card) {
  const keep = card.querySelector('[data-decision="keep"]')?.dataset.name;
  const take = card.querySelector("[data-suggestion]")?.dataset.name;
  if (keep && take) return t("js.question", { given: keep, suggested: take });
  return keep ? t("js.question_given", { given: keep }) : t("js.question_none");
}

// Puts a sample of the queue, or a whole page of the walk, on the screen.
function show(page, push = true) {
  const old = document.querySelector("#player video");
  const shown = page.used ? { ...page, ...page.again() } : page;
  page.used = true;
  if (queue) {
    root.querySelector("#place").replaceChildren(shown.card);
    root.dataset.state = "card";
  } else {
    const fresh = document.importNode(shown.doc.getElementById("review"), true);
    fresh.querySelector("#card").replaceWith(shown.card);
    document.getElementById("review").replaceWith(fresh);
    document.querySelector(".switches").replaceWith(document.importNode(shown.doc.querySelector(".switches"), true));
    document.title = shown.doc.title;
    if (push) history.pushState({}, "", page.url);
    trail.put(frame(document.getElementById("review")));
  }
  // what is not seen any more need not hold a decoder
  old?.removeAttribute("src");
  old?.load();
  scrollTo(0, 0);
  main.focus({ preventScroll: true });
  begin(shown.card, page);
}

let waited = false;
function waits({ status }) {
  waited = true;
  say(t(status === 401 ? "js.next_after_sign_in" : "js.waiting_for_next"));
}

async function advance() {
  const mine = ++turn;
  const ready = queue.next();
  if (ready) return show(ready.page);
  now = null;
  root.dataset.state = "waiting";
  const what = await queue.coming().catch(() => "failed");
  if (mine !== turn) return;
  const next = queue.next();
  if (waited) say("");
  waited = false;
  if (next) return show(next.page);
  root.dataset.state = what === "failed" ? "failed" : queue.open > 0 ? "others" : "empty";
  announce(root.querySelector(`[data-when="${root.dataset.state}"]`)?.textContent.trim() ?? "");
}

async function go(url, push = true) {
  const mine = ++turn;
  try {
    const page = walk.ready(url) ?? (await walk.fetch(url, waits));
    if (mine !== turn) return;
    walk.forget(url);
    // a page without a card is the browser's to show
    if (!page.card) return location.assign(url);
    show(page, push);
    walk.ahead();
  } catch {
    location.assign(url);
  }
}

// ---- deciding ----------------------------------------------------------------------------------

const comment = () => now?.card.querySelector("#comment")?.value.trim() || undefined;

async function decide(decision, chosen = []) {
  if (!now || busy) return;
  busy = true;
  const { card, page } = now;
  const data = card.dataset;
  const url = `${api}/samples/${data.sample}`;
  const body = {
    client_id: uuid(),
    decision,
    comment: comment(),
    time_spent_ms: Math.max(0, Math.min(Math.round(performance.now() - now.since - now.away), 3600000)),
  };
  if (decision === "relabel") body.class = chosen[0].id;
  if (decision === "ambiguous") body.classes = chosen.map((c) => c.id);
  if (data.scan) body.scan_id = data.scan;
  const lease = queue?.shown?.item.lease_id;
  if (lease) body.lease_id = lease;
  const { client_id } = body;
  const about = { title: data.title, href: `${pages}/samples/${data.sample}` };
  const said = { ...about, decision, classes: decision === "keep" ? [] : chosen.map((c) => c.id), name: chosen[0]?.name, at: new Date().toISOString() };
  const entry = { client_id, kind: "review", url: `${url}/reviews`, undo_url: `${api}/reviews/${client_id}/undo`, body, ...about, said };
  try {
    await add(entry);
  } catch {
    // a browser that keeps nothing: then the answer is waited for
    try {
      await post(entry.url, body);
    } catch (error) {
      busy = false;
      return say(error.message);
    }
  }
  trail.add({ ...said, client_id, waits: true });
  undoing.remember(client_id, { item: queue?.shown?.item, page });
  if (decision === "relabel" || decision === "ambiguous") remember(api, body.classes ?? [body.class]);
  say("");
  if (queue) {
    queue.done(lease);
    advance().finally(() => (busy = false));
  } else await after(card);
}

// On a sample's page: the next of the list, or this one with its new history.
async function after() {
  const here = location.pathname + location.search;
  walk.forget(here);
  const next = main.querySelector('a[rel="next"]')?.getAttribute("href");
  if (next) await go(next);
  else {
    await sent();
    await go(here, false);
    say(t("js.queue_end"));
  }
  busy = false;
}

const sent = () =>
  new Promise((resolve) => {
    for (const kind of ["sent", "refused"]) outbox.addEventListener(kind, resolve, { once: true });
  });

// What was typed stays, also where nothing is decided.
function keepComment() {
  const text = comment();
  if (!text) return;
  const { sample, title } = now.card.dataset;
  const client_id = uuid();
  add({ client_id, kind: "comment", url: `${api}/samples/${sample}/comments`, body: { client_id, text }, title, href: `${pages}/samples/${sample}` });
}

function skip() {
  if (!now || busy || !queue) return;
  busy = true;
  keepComment();
  say(t("js.skipped", { title: now.card.dataset.title }));
  queue.skip().catch(() => {});
  advance().finally(() => (busy = false));
}

const undoing = new Undoing({
  trail,
  queue,
  freeze: (on) => (busy = on),
  shown: () => advance(),
  go,
});

// ---- hands -------------------------------------------------------------------------------------

function press(selector) {
  const button = (now?.card ?? document).querySelector(selector) ?? main.querySelector(selector);
  button?.click();
  return Boolean(button);
}

const chosen = ({ dataset }) => (dataset.class ? [{ id: dataset.class, name: dataset.name }] : []);

document.addEventListener("click", (event) => {
  const on = (selector) => event.target.closest(selector);
  const button = on("#card [data-decision]");
  if (button) decide(button.dataset.decision, chosen(button));
  else if (on("[data-ambiguous]")) now?.choice.open(true);
  else if (on("[data-help]")) openSheet();
  else if (on("[data-skip]")) skip();
  else if (on("[data-undo]")) undoing.undo();
  const link = on('#main a[rel="next"], #main a[rel="prev"]');
  if (walk && link && !event.metaKey && !event.ctrlKey && !event.shiftKey && event.button === 0) {
    event.preventDefault();
    go(link.getAttribute("href"));
  }
});

function ways() {
  const keep = now?.card.querySelector('[data-decision="keep"]');
  const take = now?.card.querySelector("[data-suggestion]");
  return {
    right: keep && { words: t("js.swipe_keep", { name: keep.dataset.name ?? "" }), act: () => keep.click() },
    left: take && { words: t("js.swipe_take", { name: take.dataset.name ?? "" }), act: () => take.click() },
    up: queue && { words: t("js.swipe_skip"), act: skip },
  };
}

const DO = {
  search: () => now?.choice.open(),
  comment: () => now?.card.querySelector("#comment")?.focus(),
  undo: () => undoing.undo(),
  recent: () => {
    const box = document.getElementById("recent");
    box.open = !box.open;
    if (box.open) box.querySelector("summary").focus();
  },
  skip,
  play: () => now?.clip.play(),
  loop: () => now?.clip.loop(),
  captions: () => now?.clip.captions(),
  slower: () => now?.clip.faster(-1),
  faster: () => now?.clip.faster(1),
  frame_back: () => now?.clip.step(-1),
  frame_on: () => now?.clip.step(1),
};
// keys that may be held down
const HELD = ["slower", "faster", "frame_back", "frame_on", "next"];

onKey((key, event) => {
  const inPlayer = event.target instanceof Element && event.target.closest("#player");
  if (/^[0-9]$/.test(key)) {
    if (inPlayer) return now?.clip.seekShare(Number(key) / 10), true;
    return !event.repeat && press(`[data-candidate="${key}"]`);
  }
  if (key === HELP) return openSheet(), true;
  if (walk && !(event.target instanceof HTMLVideoElement)) {
    if (key === "ArrowRight") return press('a[rel="next"]');
    if (key === "ArrowLeft") return press('a[rel="prev"]');
  }
  const action = actionOf(key);
  if (!action || (action.only === "queue" && walk) || (action.only === "walk" && queue)) return false;
  if (event.repeat && !HELD.includes(action.name)) return true;
  if (action.name in DO) return DO[action.name](), true;
  return press(action.presses);
});

// time that nobody looked is no time spent
let hidden = 0;
document.addEventListener("visibilitychange", () => {
  if (document.hidden) hidden = performance.now();
  else if (now) now.away += performance.now() - Math.max(hidden, now.since);
});

changes.addEventListener("change", () => {
  label(document);
  trail.draw();
});

// ---- the beginning -----------------------------------------------------------------------------

sheet(queue ? "queue" : "walk");
trail.load();
(window.requestIdleCallback ?? setTimeout)(() => classes(api).catch(() => {}));

if (queue) {
  queue.addEventListener("waits", ({ detail: { error } }) => !now && waits(error));
  queue.addEventListener("open", ({ detail: { open } }) => {
    const count = root.querySelector("[data-open]");
    if (count) count.textContent = t("js.queue_open", { n: open });
    if (!["empty", "others"].includes(root.dataset.state)) return;
    // somebody gave one back, or a new scan filled the queue
    if (queue.ahead.length) advance();
    else root.dataset.state = open > 0 ? "others" : "empty";
  });
  queue.addEventListener("ahead", ({ detail: { ready } }) => (root.dataset.ahead = ready));
  queue.addEventListener("gone", () => {
    if (busy) return;
    keepComment();
    queue.shown = null;
    say(t("js.lease_gone", { title: now.card.dataset.title }));
    busy = true;
    advance().finally(() => (busy = false));
  });
  outbox.addEventListener("sent", ({ detail: { entry } }) => queue.decided.has(entry.body.lease_id) && queue.draw().catch(() => {}));
  setInterval(() => !document.hidden && !now && !busy && queue.draw().catch(() => {}), 15000);
  addEventListener("pageshow", (event) => event.persisted && queue.draw().catch(() => {}));
  busy = true;
  queue
    .start()
    .catch(() => {})
    .then(advance)
    .finally(() => (busy = false));
} else {
  begin(first, { url: location.pathname + location.search });
  walk.ahead();
  addEventListener("popstate", () => {
    const here = location.pathname + location.search;
    walk.forget(here);
    go(here, false);
  });
}
