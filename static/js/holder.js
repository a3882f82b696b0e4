// The name under which this tab holds samples. It outlives a reload; a duplicated tab, which begins
// with a copy of it, takes another.
import { uuid } from "./api.js";

const KEY = "tamis.holder";
const NAMESPACE = "tamis.holder.";

function fresh() {
  const id = uuid();
  sessionStorage.setItem(KEY, id);
  return id;
}

// Held until the tab closes; false when another tab has it.
function hold(id) {
  return new Promise((resolve) => {
    navigator.locks.request(NAMESPACE + id, { ifAvailable: true }, (lock) => {
      resolve(Boolean(lock));
      return lock ? new Promise(() => {}) : undefined;
    });
  });
}

const sleep = (ms) => new Promise((wake) => setTimeout(wake, ms));

async function byLock(id) {
  // after a reload the page before may still be going
  for (let i = 0; i < 5; i++) {
    if (await hold(id)) return id;
    await sleep(60);
  }
  const other = fresh();
  await hold(other);
  return other;
}

// Browsers have locks only over TLS or on the machine itself: elsewhere the tabs ask each other.
async function byAsking(id) {
  const tabs = new BroadcastChannel("tamis.holders");
  const me = uuid();
  let taken = false;
  let mine = id;
  tabs.onmessage = ({ data }) => {
    if (data.from === me || data.id !== mine) return;
    if (data.taken) taken = true;
    else tabs.postMessage({ id: mine, from: me, taken: true });
  };
  tabs.postMessage({ id, from: me });
  await sleep(120);
  if (taken) mine = fresh();
  return mine;
}

export function holder() {
  const known = sessionStorage.getItem(KEY);
  if (navigator.locks) return byLock(known ?? fresh());
  if (!known) {
    const id = fresh();
    if (typeof BroadcastChannel !== "undefined") byAsking(id);
    return Promise.resolve(id);
  }
  return typeof BroadcastChannel === "undefined" ? Promise.resolve(known) : byAsking(known);
}
