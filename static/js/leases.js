// The queue as this tab sees it: what it holds, the cards of the next few, and the keeping of leases.
//   draw -> items { lease_id, sample, purpose, blind, expires_at } -> their cards -> `next()`
import { post, send } from "./api.js";
import { fetchCard, insist } from "./deck.js";
import { holder } from "./holder.js";
import { waiting } from "./outbox.js";

const AHEAD = 2;
const MOST = 4; // that one draw may ask for
const KEEP_MS = 45000; // between two extensions
const RELEASED = "tamis.released"; // leases that this tab's page before gave back
const IDLE_MS = 5 * 60000; // without a key or a pointer: then nobody is looking

export class Leases extends EventTarget {
  // events: "waits" { error }, "gone" (the lease of the shown one ended), "open" { open }, "ahead" { ready }
  constructor(api, pages, batch) {
    super();
    Object.assign(this, { api, pages, batch });
    this.ahead = [];
    this.shown = null;
    this.decided = new Set(); // leases
    this.anew = new Set(); // samples decided since they were last taken back
    this.open = 0;
    this.holder = null;
    this.drawing = null;
    let seen = performance.now();
    let kept = seen;
    const here = () => (seen = performance.now());
    for (const kind of ["keydown", "pointerdown", "pointermove", "touchstart"]) addEventListener(kind, here, { passive: true });
    const keep = () => {
      const now = performance.now();
      if (document.hidden || now - seen > IDLE_MS || now - kept < KEEP_MS) return;
      kept = now;
      this.extend();
    };
    setInterval(keep, 5000);
    // back after a while: is the sample still this person's?
    for (const kind of ["focus", "pointerdown", "keydown"]) addEventListener(kind, keep, { passive: true });
    addEventListener("pagehide", () => this.release());
  }

  async start() {
    this.holder = await holder();
    for (const entry of await waiting()) if (entry.body?.lease_id) this.decided.add(entry.body.lease_id);
    // their release may still be under way: the server may name them once more
    const released = JSON.parse(sessionStorage.getItem(RELEASED) || "[]");
    sessionStorage.removeItem(RELEASED);
    for (const lease of released) this.decided.add(lease);
    await this.draw();
    if (released.length) setTimeout(() => this.draw().catch(() => {}), 500);
  }

  // Asks for as many as are wanted ahead; what is held already comes first.
  draw() {
    // one that is under way may have been asked before the last decision arrived
    this.again = Boolean(this.drawing);
    this.drawing ??= this.drawNow().finally(() => {
      this.drawing = null;
      if (this.again) this.draw().catch(() => {});
    });
    return this.drawing;
  }

  async drawNow() {
    const late = (await waiting()).filter((e) => e.body?.lease_id).length;
    const count = Math.min(MOST, 1 + AHEAD + late);
    const body = { holder: this.holder, count, ...(this.batch ? { batch: this.batch } : {}) };
    const answer = await insist(
      () => post(`${this.api}/queue/draw`, body, { keyed: false }),
      (error) => this.tell("waits", { error }),
    );
    this.open = answer.open;
    for (const item of answer.items) {
      const known = this.shown?.item.lease_id === item.lease_id || this.ahead.some((a) => a.item.lease_id === item.lease_id);
      if (!known && !this.decided.has(item.lease_id)) this.ahead.push(this.fetched(item));
    }
    this.tell("open", { open: answer.open });
  }

  fetched(item) {
    const made = { item, page: null };
    made.ready = fetchCard(`${this.pages}/review/${item.lease_id}`, (error) => this.tell("waits", { error })).then(
      (page) => {
        made.page = page;
        this.count();
      },
      (error) => {
        // 410, or a sample that was deleted: another takes its place
        this.ahead = this.ahead.filter((a) => a !== made);
        this.decided.add(item.lease_id);
        made.error = error;
      },
    );
    return made;
  }

  // The next one whose card is there now, else null: `coming()` says when.
  next() {
    if (!this.ahead[0]?.page?.card) return null;
    this.shown = this.ahead.shift();
    this.count();
    return this.shown;
  }

  // How many could be shown without the network.
  count() {
    this.tell("ahead", { ready: this.ahead.filter((a) => a.page?.card).length });
  }

  // Resolves when `next()` may have one: "ready", or "empty" when the queue has nothing more.
  async coming() {
    for (let tried = 0; tried < 2; tried++) {
      while (this.ahead.length) {
        await this.ahead[0].ready;
        if (this.ahead[0]?.page?.card) return "ready";
        if (this.ahead[0]?.page) this.ahead.shift();
      }
      await this.draw();
    }
    return this.ahead.length ? this.coming() : "empty";
  }

  // A sample came back by an undo and is next; with `now` it goes before what is shown.
  back(item, page, now = true) {
    this.decided.delete(item.lease_id);
    this.anew.delete(item.sample_id);
    this.ahead = this.ahead.filter((a) => a.item.lease_id !== item.lease_id);
    if (now && this.shown) {
      this.ahead.unshift(this.shown);
      this.shown = null;
    }
    this.ahead.unshift(page ? { item, page, ready: Promise.resolve(page) } : this.fetched(item));
  }

  // An undo that nobody waited for brought a sample back under a lease of its own.
  again(item) {
    const has = (a) => a?.item.sample_id === item.sample_id;
    const known = has(this.shown) ? this.shown : this.ahead.find(has);
    if (known) {
      // decided under it from now on
      known.item = item;
    } else if (this.anew.has(item.sample_id)) this.decided.add(item.lease_id);
    else this.back(item, null, false);
  }

  done(lease) {
    this.anew.add(this.shown?.item.sample_id);
    this.decided.add(lease);
    this.shown = null;
  }

  async skip() {
    const { item } = this.shown;
    this.done(item.lease_id);
    await insist(() => post(`${this.api}/queue/leases/${item.lease_id}/release`, { skip: true }, { keyed: false })).catch(() => {});
    await this.draw();
  }

  async extend() {
    for (const held of [this.shown, ...this.ahead.slice(0, AHEAD)].filter(Boolean)) {
      try {
        held.item = { ...held.item, ...(await post(`${this.api}/queue/leases/${held.item.lease_id}/extend`, {}, { keyed: false })) };
      } catch (error) {
        if (![404, 409, 410].includes(error.status)) continue;
        if (held === this.shown) this.tell("gone", held);
        else {
          this.ahead = this.ahead.filter((a) => a !== held);
          this.draw().catch(() => {});
        }
      }
    }
  }

  // Nobody needs to wait for what this person has not seen.
  release() {
    const all = this.ahead.splice(0);
    sessionStorage.setItem(RELEASED, JSON.stringify(all.map(({ item }) => item.lease_id)));
    for (const { item } of all)
      send("POST", `${this.api}/queue/leases/${item.lease_id}/release`, { skip: false }, { keepalive: true, keyed: false }).catch(() => {});
  }

  tell(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}
