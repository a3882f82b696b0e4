// What every page says about decisions that are not with the server yet: a line in the header, and a
// banner where the person has to do something.
import { count, t } from "./messages.js";
import { dismiss, flush, ofOthers, outbox, state, waiting } from "./outbox.js";
import { signIn } from "./session.js";

const make = (tag, set, ...inside) => {
  const el = Object.assign(document.createElement(tag), set);
  el.append(...inside);
  return el;
};

function banner(n) {
  const el = document.getElementById("banner");
  if (!el) return;
  const ways = {
    nobody: () => [
      n ? count("js.signed_out", n) : t("js.signed_out.none"),
      make("a", { className: "button", href: signIn(), textContent: t("js.sign_in") }),
      make("a", { className: "button quiet", href: signIn(), target: "_blank", rel: "noopener", textContent: t("js.sign_in_beside") }),
    ],
    other: () => [count("js.other_person", n), make("a", { className: "button", href: signIn(), textContent: t("js.sign_in") })],
    reload: () => {
      const button = make("button", { type: "button", className: "button", textContent: t("js.reload") });
      button.addEventListener("click", () => location.reload());
      return [count("js.stale_page", n), button];
    },
  };
  const said = ways[state]?.() ?? [];
  // not said again while nothing changed: it is an alert
  const text = said.map((x) => x.textContent ?? x).join(" ");
  if (el.dataset.said === text) return;
  el.dataset.said = text;
  el.hidden = !said.length;
  el.replaceChildren(...(said.length ? [make("p", {}, ...said)] : []));
}

async function show() {
  const line = document.getElementById("outbox");
  if (!line) return;
  const [mine, others] = await Promise.all([waiting(), ofOthers()]);
  const refused = mine.filter((e) => e.refused);
  const n = mine.length - refused.length;
  banner(n);
  line.classList.toggle("bad", refused.length > 0);
  line.replaceChildren();
  if (n) line.append(navigator.onLine ? count("js.waiting", n) : count("js.waiting_offline", n));
  for (const e of refused.slice(0, 1)) {
    const drop = make("button", { type: "button", className: "button quiet", textContent: t("js.dismiss") });
    drop.addEventListener("click", () => dismiss(e.client_id));
    line.append(` ${t("js.refused", { why: e.refused })} `, make("a", { href: e.href, textContent: e.title }), drop);
  }
  if (!mine.length && others.length) line.append(count("js.waiting_of_others", others.length));
  line.hidden = !line.childNodes.length;
}

outbox.addEventListener("changed", show);
addEventListener("online", show);
addEventListener("offline", show);
show();
flush();
