// Decisions on their way to the server. Each is kept in the browser until the server has said that
// it has it; the server takes the same `client_id` only once, so sending again is safe.
import { post, Problem } from "./api.js";
import { count, t } from "./messages.js";

// each person's own: whoever signs in next in this browser must not sign what another decided
const who = document.querySelector('meta[name="who"]')?.content;
const KEY = who ? `tamis.outbox.${who}` : "tamis.outbox";
const read = () => JSON.parse(localStorage.getItem(KEY) || "[]");
const write = (list) => localStorage.setItem(KEY, JSON.stringify(list));

let wait = 0;
let timer = null;
let running = null;

// { client_id, url, body, title, href }
export function add(entry) {
  write([...read(), entry]);
  return flush();
}

// Sends what waits, oldest first; one tab at a time.
export function flush() {
  running ??= (navigator.locks ? navigator.locks.request(KEY, send) : send()).finally(() => {
    running = null;
    show();
    if (!timer && read().some((e) => !e.refused)) flushLater();
  });
  return running;
}

function flushLater() {
  timer = setTimeout(() => {
    timer = null;
    flush();
  }, wait || 50);
}

async function send() {
  for (;;) {
    const entry = read().find((e) => !e.refused);
    if (!entry) return;
    try {
      await post(entry.url, entry.body, { keepalive: true });
      write(read().filter((e) => e.client_id !== entry.client_id));
      wait = 0;
    } catch (error) {
      const again = !(error instanceof Problem) || error.status === 0 || error.status >= 500 || [401, 408, 409, 425, 429].includes(error.status) || error.code === "form_token";
      if (!again) {
        write(read().map((e) => (e.client_id === entry.client_id ? { ...e, refused: error.message } : e)));
        continue;
      }
      wait = Math.min(30000, (wait || 500) * 2);
      if (!timer) flushLater();
      return;
    }
  }
}

function show() {
  const el = document.getElementById("outbox");
  if (!el) return;
  const all = read();
  const refused = all.filter((e) => e.refused);
  const waiting = all.length - refused.length;
  el.hidden = all.length === 0;
  el.classList.toggle("bad", refused.length > 0);
  el.replaceChildren();
  if (waiting) el.append(navigator.onLine ? count("js.waiting", waiting) : count("js.waiting_offline", waiting));
  for (const e of refused.slice(0, 1)) {
    const link = Object.assign(document.createElement("a"), { href: e.href, textContent: e.title });
    const drop = Object.assign(document.createElement("button"), { type: "button", className: "button quiet", textContent: t("js.dismiss") });
    drop.addEventListener("click", () => {
      write(read().filter((x) => x.client_id !== e.client_id));
      show();
    });
    el.append(` ${t("js.refused", { why: e.refused })} `, link, drop);
  }
}

addEventListener("online", () => {
  wait = 0;
  flush();
});
addEventListener("storage", (e) => e.key === KEY && show());
