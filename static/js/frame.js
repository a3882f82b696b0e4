// What the scripts add to the bar above a sample: the last decisions, the quiet line, the sheet of keys.
import { keyOf, shown } from "./bindings.js";
import { t } from "./messages.js";

const make = (tag, set, ...inside) => {
  const el = Object.assign(document.createElement(tag), set);
  el.append(...inside);
  return el;
};

// For screen readers alone; it outlives every sample.
document.body.append(Object.assign(make("p", { id: "announce", className: "hush" }), { ariaLive: "polite" }));

// Returns { box, line }: the list of the last decisions and the line of the last one.
export function frame(root) {
  const line = root.querySelector("#last");
  line.removeAttribute("aria-live");
  const box = make(
    "details",
    { id: "recent", className: "recent", hidden: true },
    make("summary", { className: "button quiet" }, t("js.recent"), " ", make("kbd", { textContent: shown(keyOf("recent")) })),
    make("div", { className: "recent-list sheet" }, make("h2", { textContent: t("js.recent_title") }), make("ol", {})),
  );
  box.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    box.open = false;
    box.querySelector("summary").focus();
  });
  box.addEventListener("focusout", (event) => {
    if (event.relatedTarget && !box.contains(event.relatedTarget)) box.open = false;
  });
  line.after(box);
  root.querySelector(".review-bar").after(make("p", { id: "word", className: "word", role: "status" }));
  return { box, line };
}
