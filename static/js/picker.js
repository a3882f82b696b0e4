// Choosing classes by typing (see classes.js for what is found): one, or, for ambiguous samples, several.
import { classes, search } from "./classes.js";
import { count, t } from "./messages.js";

const RECENT = 12;

const recentKey = (api) => `tamis.recent.${api}`;
function recent(api) {
  try {
    return JSON.parse(localStorage.getItem(recentKey(api)) || "[]");
  } catch {
    return [];
  }
}
export function remember(api, ids) {
  try {
    localStorage.setItem(recentKey(api), JSON.stringify([...new Set([...ids, ...recent(api)])].slice(0, RECENT)));
  } catch {
    // only a convenience
  }
}

const make = (tag, set, ...inside) => {
  const el = Object.assign(document.createElement(tag), set);
  el.append(...inside);
  return el;
};

// `choose(classes)` gets one class { id, name }, or several when `open(true)` asked for several. `first`
// are ids that are listed before anything is typed.
export function picker(root, api, { choose, first = [] }) {
  const input = root.querySelector("#pick");
  const list = root.querySelector("#pick-list");
  if (!input || !list) return { open() {}, close() {} };
  const field = input.closest(".picker");
  let all = null;
  let shown = [];
  let at = 0;
  let several = false;
  let picked = [];
  const chips = make("div", { className: "picked", hidden: true });
  input.before(chips);

  const close = () => {
    list.hidden = true;
    input.setAttribute("aria-expanded", "false");
    input.removeAttribute("aria-activedescendant");
  };
  const stop = () => {
    several = false;
    picked = [];
    input.value = "";
    field.classList.remove("several");
    drawPicked();
    close();
    input.blur();
  };
  const point = (i) => {
    at = Math.max(0, Math.min(shown.length - 1, i));
    [...list.children].forEach((li, k) => li.role === "option" && li.setAttribute("aria-selected", String(k === at)));
    const chosen = shown.length ? list.children[at] : null;
    chosen?.scrollIntoView({ block: "nearest" });
    if (chosen) input.setAttribute("aria-activedescendant", chosen.id);
    else input.removeAttribute("aria-activedescendant");
  };
  function drawPicked() {
    chips.hidden = !several;
    chips.replaceChildren();
    if (!several) return;
    for (const c of picked) {
      const chip = make("button", { type: "button", className: "chip" }, c.name, make("span", { textContent: " ×", ariaHidden: "true" }));
      chip.setAttribute("aria-label", t("js.take_out", { name: c.name }));
      chip.addEventListener("click", () => {
        picked = picked.filter((p) => p !== c);
        drawPicked();
        input.focus();
      });
      chips.append(chip);
    }
    const done = make("button", { type: "button", className: "button main", disabled: picked.length < 2, textContent: count("js.ambiguous_between", picked.length) });
    done.dataset.confirm = "";
    done.addEventListener("click", confirm);
    chips.append(make("span", { className: "muted", textContent: t(picked.length < 2 ? "js.pick_several" : "js.pick_confirm") }), done);
  }
  function confirm() {
    if (picked.length < 2) return;
    const chosen = picked;
    stop();
    choose(chosen);
  }
  function take(c) {
    if (several) {
      picked = picked.some((p) => p.id === c.id) ? picked.filter((p) => p.id !== c.id) : [...picked, c];
      input.value = "";
      drawPicked();
      draw();
      return;
    }
    stop();
    choose([c]);
  }
  const draw = () => {
    if (!all) return;
    const before = input.value.trim() ? recent(api) : [...new Set([...(several ? first : []), ...recent(api)])];
    shown = search(all, input.value, before);
    const known = new Set(recent(api));
    list.replaceChildren(
      ...shown.map((c, i) => {
        const li = make("li", { id: `pick-${i}`, role: "option" }, make("span", { className: "class", textContent: c.name }), make("span", { className: "muted", textContent: c.above }));
        if (known.has(c.id)) li.firstChild.append(make("span", { className: "tag plain", textContent: t("js.recent_class") }));
        if (picked.some((p) => p.id === c.id)) li.classList.add("picked-class");
        li.addEventListener("pointerdown", (e) => e.preventDefault());
        li.addEventListener("click", () => take(c));
        return li;
      }),
    );
    if (!shown.length) list.append(make("li", { className: "muted", role: "presentation", textContent: t("js.no_class") }));
    list.hidden = false;
    input.setAttribute("aria-expanded", "true");
    point(0);
  };

  input.addEventListener("focus", async () => {
    try {
      all = await classes(api);
      if (document.activeElement === input) draw();
    } catch (error) {
      list.replaceChildren(make("li", { className: "muted", role: "presentation", textContent: error.message }));
      list.hidden = false;
    }
  });
  input.addEventListener("input", draw);
  field.addEventListener("focusout", (event) => {
    if (!field.contains(event.relatedTarget)) close();
  });
  input.addEventListener("keydown", (event) => {
    if (event.isComposing || event.keyCode === 229) return;
    if (event.key === "ArrowDown") point(at + 1);
    else if (event.key === "ArrowUp") point(at - 1);
    else if (event.key === "Enter") {
      // nothing typed: what is picked is meant, not the first of the list
      if (several && !input.value.trim() && picked.length > 1 && at === 0) confirm();
      else if (shown[at] && !list.hidden) take(shown[at]);
    } else if (event.key === "Backspace" && several && !input.value && picked.length) {
      picked = picked.slice(0, -1);
      drawPicked();
      draw();
    } else if (event.key === "Escape") stop();
    else return;
    event.preventDefault();
  });
  return {
    open(forSeveral = false) {
      several = forSeveral;
      picked = [];
      field.classList.toggle("several", several);
      drawPicked();
      if (document.activeElement === input) draw();
      else input.focus();
    },
    close: stop,
  };
}
