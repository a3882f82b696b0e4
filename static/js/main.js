// On every page: theme switch, times in the reader's zone, playing tiles, sortable tables, and
// decisions that still wait to be sent.
import { lang } from "./messages.js";
import "./tiles.js";
import { sortable } from "./tables.js";
import "./waiting.js";

document.documentElement.classList.add("scripted");

document.addEventListener("click", (event) => {
  const choice = event.target.closest("[data-theme-choice]");
  if (!choice || event.metaKey || event.ctrlKey) return;
  event.preventDefault();
  const theme = choice.dataset.themeChoice;
  document.documentElement.dataset.theme = theme;
  document.cookie = `theme=${theme}; Path=/; Max-Age=31536000; SameSite=Lax`;
  for (const other of document.querySelectorAll("[data-theme-choice]")) {
    if (other === choice) other.setAttribute("aria-current", "true");
    else other.removeAttribute("aria-current");
  }
});

const full = new Intl.DateTimeFormat(lang, { dateStyle: "medium", timeStyle: "short" });
const time = new Intl.DateTimeFormat(lang, { timeStyle: "medium" });

export function localTimes(root = document) {
  for (const el of root.querySelectorAll("time[datetime]")) {
    const at = new Date(el.dateTime);
    if (Number.isNaN(at.valueOf())) continue;
    el.title = el.dateTime;
    el.textContent = ("clock" in el.dataset ? time : full).format(at);
  }
}

localTimes();
for (const table of document.querySelectorAll("table[data-sortable]")) sortable(table);
