// What this person decided last: the line that says so, the list of the last ten, and undoing, back
// through samples and reloads.
import { get } from "./api.js";
import { classes } from "./classes.js";
import { keyOf, shown } from "./bindings.js";
import { localTimes } from "./main.js";
import { t } from "./messages.js";
import { outbox, undo, waiting } from "./outbox.js";

const SHOWN = 10;
const READ = 50; // decisions of one page of the past

const make = (tag, set, ...inside) => {
  const el = Object.assign(document.createElement(tag), set);
  el.append(...inside);
  return el;
};

export class Trail {
  // `box` is where the list is shown, `line` where the last decision is
  constructor(api, pages, { box, line, again }) {
    Object.assign(this, { api, pages, box, line, again });
    this.list = []; // newest first: { client_id, id?, decision, classes, title, href, at, undone, refused }
    this.more = true;
    this.names = new Map();
    outbox.addEventListener("sent", ({ detail: { entry, answer } }) => this.change(entry.client_id, { id: answer?.id, waits: false }));
    outbox.addEventListener("refused", ({ detail: { entry } }) => this.change(entry.of ?? entry.client_id, { refused: entry.refused, undone: false }));
    outbox.addEventListener("undone", ({ detail: { entry } }) => this.change(entry.of ?? entry.client_id, { undone: true }));
  }

  // A new page of the walk has brought its own places.
  put({ box, line }) {
    Object.assign(this, { box, line });
    this.draw();
  }

  async load() {
    const kept = (await waiting()).filter((e) => e.kind === "review" && e.url.startsWith(`${this.api}/`));
    this.list = kept.reverse().map((e) => ({ ...e.said, client_id: e.client_id, refused: e.refused, undone: Boolean(e.undo), waits: true }));
    this.draw();
    this.classes().catch(() => {});
    await this.readOn().catch(() => {});
  }

  async classes() {
    const { byId } = await classes(this.api);
    for (const [id, c] of byId) this.names.set(id, c.name);
    this.draw();
  }

  async readOn() {
    const oldest = this.list.findLast((d) => d.id)?.id;
    const { items } = await get(`${this.api}/reviews?author=me&limit=${READ}${oldest ? `&before=${oldest}` : ""}`);
    this.more = items.length === READ;
    const known = new Set(this.list.map((d) => d.client_id));
    for (const r of items) {
      if (known.has(r.client_id)) continue;
      this.list.push({
        client_id: r.client_id,
        id: r.id,
        decision: r.decision,
        classes: r.classes,
        title: r.title || r.sample,
        href: `${this.pages}/samples/${encodeURIComponent(r.sample)}`,
        at: r.created_at,
        undone: Boolean(r.undone_at),
      });
    }
    this.draw();
  }

  add(decided) {
    this.list.unshift(decided);
    this.draw();
  }

  change(client_id, what) {
    this.list = this.list.map((d) => (d.client_id === client_id ? { ...d, ...what } : d));
    this.draw();
  }

  // The decision that the next undo takes back; null when there is none.
  async last() {
    for (;;) {
      const found = this.list.find((d) => !d.undone);
      if (found || !this.more) return found ?? null;
      await this.readOn();
    }
  }

  // True when the decision had not been sent for certain.
  async undo(decided) {
    this.change(decided.client_id, { undone: true });
    return undo(decided.client_id, `${this.api}/reviews/${decided.client_id}/undo`, { title: decided.title, href: decided.href });
  }

  words(d) {
    const what = t(`decision.${d.decision}`);
    const name = (d.classes ?? []).map((id) => this.names.get(id) ?? d.name ?? id).join(t("js.and_class"));
    return name && d.decision !== "keep" ? t("js.decided_as", { what, name }) : what;
  }

  state(d) {
    if (d.undone) return t("js.was_undone");
    if (d.refused) return t("js.was_refused", { why: d.refused });
    return d.waits ? t("js.not_sent_yet") : "";
  }

  draw() {
    const last = this.list.find((d) => !d.undone);
    this.line.replaceChildren();
    if (last) {
      const back = make("button", { type: "button", className: "button quiet" }, t("js.undo"), " ", make("kbd", { textContent: shown(keyOf("undo")) }));
      back.dataset.undo = "";
      this.line.append(make("span", { className: "muted", textContent: last.title }), ` ${t("js.decided", { what: this.words(last) })} `, back);
    }
    this.box.hidden = !this.list.length;
    const rows = this.list.slice(0, SHOWN).map((d) => {
      const row = make("li", { className: d.undone ? "undone" : d.refused ? "refused" : "" });
      row.dataset.of = d.client_id;
      row.append(
        make("a", { href: d.href, className: "title", textContent: d.title }),
        make("span", { className: "what", textContent: this.words(d) }),
        make("span", { className: "muted", textContent: this.state(d) }),
      );
      if (d.at) row.append(make("time", { className: "muted", dateTime: d.at }));
      if (!d.undone) {
        const back = make("button", { type: "button", className: "button quiet", textContent: t("js.undo") });
        back.setAttribute("aria-label", `${t("js.undo")}: ${d.title}`);
        back.addEventListener("click", () => this.again(d));
        row.append(back);
      }
      return row;
    });
    const list = this.box.querySelector("ol");
    list.replaceChildren(...rows);
    localTimes(list);
  }
}
