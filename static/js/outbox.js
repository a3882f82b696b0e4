// Decisions on their way to the server. Each is kept in the browser until the server has said that it
// has it; the server takes the same `client_id` only once, so sending again is safe. An undo of what is
// not sent yet takes it out; of what may have arrived it is sent after it.
import { backOff, passing, post, Problem, uuid } from "./api.js";
import * as kept from "./kept.js";
import { renew, who } from "./session.js";

const LOCK = `tamis.outbox.${who}`;
const news = typeof BroadcastChannel === "undefined" ? null : new BroadcastChannel("tamis.outbox");

// "sent" { entry, answer }, "undone" { entry, answer }, "refused" { entry } and "changed" (see `state`)
export const outbox = new EventTarget();

// "fine", "waiting" (no answer, or a busy server), "nobody" (signed out), "other" (another person now)
export let state = "fine";

let tries = 0;
let timer = null;
let running = null;

const hear = (name, detail) => outbox.dispatchEvent(new CustomEvent(name, { detail }));

// In every tab: one of them sends for all.
function tell(name, detail) {
  hear(name, detail);
  news?.postMessage({ name, detail, who });
}

function changed(next = state) {
  state = next;
  tell("changed");
}

// This person's entries, oldest first.
export const waiting = async () => (await kept.all()).filter((e) => e.who === who);

// Entries that somebody else made in this browser.
export const ofOthers = async () => (await kept.all()).filter((e) => e.who !== who);

// { client_id, kind: "review" | "undo" | "comment", url, body, undo_url?, title, href }; resolves once it is kept.
let last = 0;
export async function add(entry) {
  last = Math.max(Date.now(), last + 0.001);
  await kept.put({ ...entry, who, at: last });
  changed();
  flush();
}

// Undoes a decision, by `url` where the server may have it. True when it had not been sent for certain.
export async function undo(client_id, url, about) {
  const was = await kept.change(client_id, (e) => ({ ...e, undo: true, refused: undefined }));
  if (was) flush();
  else await add({ client_id: uuid(), kind: "undo", of: client_id, url, body: {}, ...about });
  return Boolean(was);
}

export async function dismiss(client_id) {
  await kept.change(client_id, () => null);
  changed();
}

// Sends what waits, oldest first; one tab at a time.
export function flush() {
  running ??= (navigator.locks ? navigator.locks.request(LOCK, sendAll) : sendAll())
    .catch((error) => later(error))
    .finally(() => {
      running = null;
      // what came in while the lock was given back
      if (!timer) waiting().then((list) => list.some((e) => !e.refused) && later(null, 50));
    });
  return running;
}

function later(error, wait = backOff(tries, error)) {
  clearTimeout(timer);
  timer = setTimeout(() => {
    timer = null;
    flush();
  }, wait);
}

async function sendAll() {
  for (;;) {
    const entry = (await waiting()).find((e) => !e.refused);
    if (!entry) {
      tries = 0;
      return changed("fine");
    }
    try {
      await sendOne(entry);
      tries = 0;
      if (state !== "fine") changed("fine");
    } catch (error) {
      const next = await after(error, entry);
      if (next === "again") continue;
      tries += 1;
      changed(next);
      return later(error);
    }
  }
}

async function sendOne(entry) {
  if (entry.undo) {
    let answer = null;
    if (entry.tried) {
      try {
        answer = await post(entry.undo_url, {}, { keepalive: true, keyed: false });
      } catch (error) {
        // it never arrived
        if (error.status !== 404) throw error;
      }
    }
    await kept.change(entry.client_id, () => null);
    // decided anew meanwhile: under the lease that the undo gave
    const lease_id = answer?.lease?.lease_id;
    if (lease_id)
      for (const e of await waiting())
        if (e.url === entry.url && e.body.lease_id) await kept.change(e.client_id, (now) => ({ ...now, body: { ...now.body, lease_id } }));
    return tell("undone", { entry, answer });
  }
  // from here on the server may have it, whatever happens to the answer
  const was = await kept.change(entry.client_id, (e) => ({ ...e, tried: true }));
  if (!was || was.undo) return;
  const answer = await post(entry.url, entry.body, { keepalive: true, keyed: false });
  await kept.change(entry.client_id, (e) => (e.undo ? e : null));
  tell(entry.kind === "undo" ? "undone" : "sent", { entry, answer });
  changed();
}

// What a failure means: "again" at once, or the state to wait in.
async function after(error, entry) {
  if (passing(error)) return "waiting";
  if (error.status === 401) return "nobody";
  if (error.code === "form_token") {
    const now = await renew().catch(() => "waiting");
    return now === "same" && tries++ < 3 ? "again" : now === "same" ? "reload" : now;
  }
  await kept.change(entry.client_id, (e) => (e.undo ? null : { ...e, refused: error.message }));
  tell("refused", { entry: { ...entry, refused: error.message } });
  changed();
  return "again";
}

function soon() {
  tries = 0;
  if (!running) {
    clearTimeout(timer);
    timer = null;
    flush();
  }
}
addEventListener("online", soon);
addEventListener("focus", () => state !== "fine" && soon());
document.addEventListener("visibilitychange", () => !document.hidden && state !== "fine" && soon());
if (news) news.onmessage = ({ data }) => (data.name === "changed" || data.who === who) && hear(data.name, data.detail);
