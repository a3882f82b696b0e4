// Choosing a class by typing: every language's names and the id are searched, the whole path shown.
import { get } from "./api.js";
import { lang, t } from "./messages.js";

const SHOWN = 40;
const loaded = new Map();

// Classes of a dataset with their paths and the text that is searched.
export function classes(api) {
  if (!loaded.has(api)) {
    const list = get(`${api}/taxonomy`).then((answer) => index(answer.nodes ?? answer));
    list.catch(() => loaded.delete(api));
    loaded.set(api, list);
  }
  return loaded.get(api);
}

function index(nodes) {
  const byId = new Map(nodes.map((n) => [n.id, n]));
  const inner = new Set(nodes.map((n) => n.parent).filter((p) => p != null));
  const name = (n) => n.names?.[lang] || n.names?.en || n.id;
  return nodes
    .filter((n) => !inner.has(n.id))
    .map((n) => {
      const path = [];
      for (let at = n; at; at = byId.get(at.parent)) path.unshift(at);
      const own = [name(n), ...Object.values(n.names ?? {}), n.id].map((s) => s.toLowerCase());
      const above = path.slice(0, -1);
      return {
        id: n.id,
        name: name(n),
        above: above.map(name).join(" / "),
        own,
        text: [...own, ...above.flatMap((a) => [...Object.values(a.names ?? {}), a.id])].join("\n").toLowerCase(),
      };
    });
}

function search(list, typed) {
  const words = typed.toLowerCase().split(/\s+/).filter(Boolean);
  if (!words.length) return list.slice(0, SHOWN);
  const whole = words.join(" ");
  const score = (c) => {
    if (c.own.some((o) => o === whole)) return 0;
    if (c.own.some((o) => o.startsWith(whole))) return 1;
    if (c.own.some((o) => words.every((w) => o.includes(w)))) return 2;
    return 3;
  };
  return list
    .filter((c) => words.every((w) => c.text.includes(w)))
    .map((c) => [score(c), c])
    .sort((a, b) => a[0] - b[0])
    .slice(0, SHOWN)
    .map(([, c]) => c);
}

export function picker(root, api, choose) {
  const input = root.querySelector("#pick");
  const list = root.querySelector("#pick-list");
  let all = [];
  let shown = [];
  let at = 0;

  const close = () => {
    list.hidden = true;
    input.setAttribute("aria-expanded", "false");
    input.removeAttribute("aria-activedescendant");
  };
  const point = (i) => {
    at = Math.max(0, Math.min(shown.length - 1, i));
    [...list.children].forEach((li, k) => li.setAttribute("aria-selected", String(k === at)));
    const chosen = shown.length ? list.children[at] : null;
    chosen?.scrollIntoView({ block: "nearest" });
    if (chosen) input.setAttribute("aria-activedescendant", chosen.id);
    else input.removeAttribute("aria-activedescendant");
  };
  const draw = () => {
    shown = search(all, input.value);
    list.replaceChildren(
      ...shown.map((c, i) => {
        const li = document.createElement("li");
        li.id = `pick-${i}`;
        li.role = "option";
        li.append(
          Object.assign(document.createElement("span"), { className: "class", textContent: c.name }),
          Object.assign(document.createElement("span"), { className: "muted", textContent: c.above }),
        );
        li.addEventListener("pointerdown", (e) => {
          e.preventDefault();
          take(c);
        });
        return li;
      }),
    );
    if (!shown.length) list.append(Object.assign(document.createElement("li"), { className: "muted", textContent: t("js.no_class") }));
    list.hidden = false;
    input.setAttribute("aria-expanded", "true");
    point(0);
  };
  const take = (c) => {
    close();
    input.value = "";
    input.blur();
    choose(c.id, c.name);
  };

  input.addEventListener("focus", async () => {
    try {
      all = await classes(api);
      if (document.activeElement === input) draw();
    } catch (error) {
      list.replaceChildren(Object.assign(document.createElement("li"), { className: "muted", textContent: error.message }));
      list.hidden = false;
    }
  });
  input.addEventListener("input", draw);
  input.addEventListener("blur", close);
  input.addEventListener("keydown", (event) => {
    if (event.isComposing || event.keyCode === 229) return;
    if (event.key === "ArrowDown") point(at + 1);
    else if (event.key === "ArrowUp") point(at - 1);
    else if (event.key === "Enter" && shown[at] && !list.hidden) take(shown[at]);
    else if (event.key === "Escape") {
      input.value = "";
      input.blur();
    } else return;
    event.preventDefault();
  });
  return { open: () => input.focus() };
}
