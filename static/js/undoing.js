// Taking decisions back, one after the other, however fast the key is pressed: the sample comes back to
// this person and is shown, with its lease where the server had the decision already.
import { say } from "./announce.js";
import { t } from "./messages.js";
import { outbox, state } from "./outbox.js";

const CARDS = 12; // whose page is kept for an undo without a network
const PATIENCE = 5000; // ms; then the undo goes on behind

export class Undoing {
  // `freeze(on)` while it is not clear what is shown, `shown()` shows the next of the queue, `go(url)` a page
  constructor(way) {
    Object.assign(this, way);
    this.cards = new Map();
    this.mine = new Set(); // what this tab takes back
    this.line = Promise.resolve();
    this.wanted = 0;
    // those that nobody waits for any more: the sample is next
    outbox.addEventListener("undone", ({ detail: { entry, answer } }) => {
      const id = entry.of ?? entry.client_id;
      if (this.mine.delete(id) && id !== this.current && answer?.lease) this.queue?.again(answer.lease);
    });
  }

  // `known` is { item, page } as they were when it was decided
  remember(client_id, known) {
    this.cards.set(client_id, known);
    if (this.cards.size > CARDS) this.cards.delete(this.cards.keys().next().value);
  }

  undo(decided = null) {
    this.wanted += 1;
    this.line = this.line
      .then(() => this.one(decided))
      .catch((error) => say(error.message))
      .finally(() => (this.wanted -= 1));
    return this.line;
  }

  async one(which) {
    this.freeze(true);
    try {
      const decided = which ?? (await this.trail.last());
      if (!decided) return say(t("js.nothing_to_undo"));
      this.current = decided.client_id;
      this.mine.add(decided.client_id);
      const result = this.outcome(decided.client_id);
      const here = await this.trail.undo(decided);
      // without a network the sample is shown as it was; what the server had is undone before the next
      const early = here && state !== "fine" && this.cards.has(decided.client_id);
      if (early) this.current = null;
      await this.after(decided, early ? { type: "undone" } : await result);
    } finally {
      this.current = null;
      this.freeze(false);
    }
  }

  outcome(client_id) {
    return new Promise((resolve) => {
      const done = (result) => {
        clearTimeout(timer);
        for (const kind of ["undone", "refused"]) outbox.removeEventListener(kind, hear);
        resolve(result);
      };
      const hear = ({ type, detail }) => {
        const entry = detail?.entry;
        if (entry && (entry.of ?? entry.client_id) === client_id) done({ type, ...detail });
      };
      for (const kind of ["undone", "refused"]) outbox.addEventListener(kind, hear);
      const timer = setTimeout(() => done({ type: "late" }), PATIENCE);
    });
  }

  async after({ client_id, title, href }, { type, answer, entry }) {
    if (type === "refused") return say(t("js.undo_refused", { title, why: entry.refused }));
    if (type === "late") return say(t("js.undo_late", { title }));
    say(t("js.undone", { title }));
    const kept = this.cards.get(client_id);
    if (!this.queue) return this.go(kept?.page.url ?? href);
    // never sent: it is still held as it was
    const item = answer ? answer.lease : kept?.item;
    if (!item) return say(t("js.undone_elsewhere", { title }));
    this.queue.back(item, answer ? null : kept.page);
    // the last of several is the one to look at
    if (this.wanted <= 1) await this.shown();
  }
}
