// Reviewing: one key, one decision, and the next clip is there. Two suspects ahead are fetched, with
// the next clip already loading; the decision is sent behind (see outbox.js).
import { uuid } from "./api.js";
import { onKey } from "./keys.js";
import { localTimes } from "./main.js";
import { lang, t } from "./messages.js";
import { add } from "./outbox.js";
import { classes, picker } from "./picker.js";
import { player } from "./player.js";

const AHEAD = 2;
const LAST = "tamis.last";

let review, card, clip, choice;
let shownAt = performance.now();
// from a decision until the next sample is there: a second key press must not decide this one again
let decided = false;
let turn = 0;
const ahead = new Map();

// ---- pages ahead -------------------------------------------------------------------------------

function fetchPage(url) {
  if (!ahead.has(url)) {
    const page = fetch(url, { headers: { Accept: "text/html" } })
      .then((r) => {
        if (!r.ok) throw new Error(String(r.status));
        return r.text();
      })
      .then((html) => {
        const doc = new DOMParser().parseFromString(html, "text/html");
        const video = doc.querySelector("#player video");
        let warm = null;
        if (video) {
          warm = document.importNode(video, true);
          warm.autoplay = false;
          warm.muted = true;
          warm.preload = "auto";
          warm.load();
        }
        for (const img of doc.querySelectorAll("#review img")) new Image().src = img.getAttribute("src");
        return { doc, warm };
      });
    page.catch(() => ahead.delete(url));
    ahead.set(url, page);
  }
  return ahead.get(url);
}

async function prefetch(depth = AHEAD, root = document) {
  const next = root.querySelector('#review a[rel="next"]')?.getAttribute("href");
  if (!next || depth === 0) return;
  try {
    const { doc } = await fetchPage(next);
    await prefetch(depth - 1, doc);
  } catch {
    // shown later by an ordinary navigation
  }
}

async function show(url, push = true) {
  const mine = ++turn;
  let page = null;
  while (!page) {
    try {
      page = await fetchPage(url);
    } catch (error) {
      // an answer that is no page is the browser's to show; no answer at all means: wait here
      if (!(error instanceof TypeError)) return location.assign(url);
      document.getElementById("last").textContent = t("js.waiting_for_next");
      await new Promise((wake) => {
        addEventListener("online", wake, { once: true });
        setTimeout(wake, 2000);
      });
    }
    if (mine !== turn) return;
  }
  ahead.delete(url);
  const { doc, warm } = page;
  if (!doc.getElementById("review")) {
    location.assign(url);
    return;
  }
  if (warm) doc.querySelector("#player video").replaceWith(warm);
  document.getElementById("main").replaceChildren(...doc.getElementById("main").childNodes);
  document.querySelector(".switches").replaceWith(doc.querySelector(".switches"));
  document.title = doc.title;
  if (push) history.pushState({}, "", url);
  scrollTo(0, 0);
  document.getElementById("main").focus({ preventScroll: true });
  begin();
}

addEventListener("popstate", () => {
  ahead.delete(location.pathname + location.search);
  show(location.pathname + location.search, false);
});

// ---- the decision ------------------------------------------------------------------------------

function words(entry) {
  const what = t(`decision.${entry.body.decision}`);
  return entry.name ? t("js.decided_as", { what, name: entry.name }) : t("js.decided", { what });
}

function showLast() {
  const line = document.getElementById("last");
  const entry = JSON.parse(sessionStorage.getItem(LAST) || "null");
  line.replaceChildren();
  if (!entry) return;
  // the page may have changed its language since
  if (entry.cls && entry.lang !== lang)
    classes(card.dataset.api)
      .then((list) => list.find((c) => c.id === entry.cls)?.name)
      .then((name) => name && remember({ ...entry, name, lang }))
      .catch(() => {});
  const link = Object.assign(document.createElement("a"), { href: entry.href, textContent: t("js.change") });
  link.dataset.change = "";
  line.append(
    Object.assign(document.createElement("span"), { className: "muted", textContent: entry.title }),
    ` ${words(entry)} `,
    link,
  );
}

function remember(entry) {
  sessionStorage.setItem(LAST, JSON.stringify(entry));
  showLast();
}

function decide(decision, cls, name, kept) {
  if (decided) return;
  decided = true;
  const here = location.pathname + location.search;
  const body = {
    client_id: uuid(),
    decision,
    comment: document.getElementById("comment")?.value.trim() || undefined,
    time_spent_ms: Math.min(Math.round(performance.now() - shownAt), 3600000),
  };
  if (cls) body.class = cls;
  if (card.dataset.scan) body.scan_id = card.dataset.scan;
  const entry = {
    client_id: body.client_id,
    url: `${card.dataset.api}/samples/${card.dataset.sample}/reviews`,
    body,
    name: decision === "keep" || decision === "relabel" ? name : "",
    cls: cls ?? kept,
    lang,
    title: card.dataset.title,
    href: here,
  };
  sessionStorage.setItem(LAST, JSON.stringify(entry));
  const sent = add(entry);
  ahead.delete(here);
  const next = review.querySelector('a[rel="next"]');
  if (next) {
    show(next.getAttribute("href"));
  } else {
    sent.then(() => show(here, false)).then(() => document.getElementById("last").append(` ${t("js.queue_end")}`));
  }
}

function press(selector) {
  const button = review.querySelector(selector);
  button?.click();
  return Boolean(button);
}

function begin() {
  review = document.getElementById("review");
  card = document.getElementById("card");
  shownAt = performance.now();
  decided = false;
  clip = player(review);
  choice = picker(review, card.dataset.api, (id, name) => decide("relabel", id, name));
  review.addEventListener("click", (event) => {
    const button = event.target.closest("[data-decision]");
    if (button) decide(button.dataset.decision, button.dataset.class, button.dataset.name, button.dataset.id);
    if (event.target.closest("[data-help]")) document.getElementById("keys").showModal();
    const walk = event.target.closest('a[rel="next"], a[rel="prev"], a[data-change]');
    if (walk && !event.metaKey && !event.ctrlKey && !event.shiftKey) {
      event.preventDefault();
      show(walk.getAttribute("href"));
    }
  });
  document.getElementById("comment")?.addEventListener("keydown", (event) => {
    if (event.isComposing || (event.key !== "Enter" && event.key !== "Escape")) return;
    event.preventDefault();
    event.target.blur();
  });
  localTimes(review);
  showLast();
  prefetch();
}

onKey((key, event) => {
  const inPlayer = event.target instanceof Element && event.target.closest("#player");
  if (inPlayer && /^[0-9]$/.test(key)) return clip.seekShare(Number(key) / 10), true;
  if (event.target instanceof HTMLVideoElement && key.startsWith("Arrow")) return false;
  switch (key) {
    case "k": return press('[data-decision="keep"]');
    case "s": return press("[data-suggestion]");
    case "u": return press('[data-decision="unsure"]');
    case "o": return press('[data-decision="out_of_taxonomy"]');
    case "b": return press('[data-decision="bad_media"]');
    case "j":
    case "ArrowRight": return press('a[rel="next"]');
    case "ArrowLeft": return press('a[rel="prev"]');
    case "z": return press("a[data-change]");
    case "/": return choice.open(), true;
    case "c": return document.getElementById("comment").focus(), true;
    case "p": return clip.play(), true;
    case "l": return clip.loop(), true;
    case "[": return clip.faster(-1), true;
    case "]": return clip.faster(1), true;
    case ",": return clip.step(-1), true;
    case ".": return clip.step(1), true;
    case "?": return document.getElementById("keys").showModal(), true;
    default: return false;
  }
});

begin();
(window.requestIdleCallback ?? setTimeout)(() => classes(card.dataset.api).catch(() => {}));
