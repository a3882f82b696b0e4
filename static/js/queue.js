// The list of suspects: filters apply at once, J and K walk the rows, Enter opens.
import { onKey } from "./keys.js";

const filters = document.getElementById("filters");
filters?.addEventListener("change", () => filters.requestSubmit());
filters?.addEventListener("submit", (event) => {
  event.preventDefault();
  const query = new URLSearchParams([...new FormData(filters)].filter(([, value]) => value !== ""));
  location.assign(query.size ? `${filters.getAttribute("action")}?${query}` : filters.getAttribute("action"));
});

const links = [...document.querySelectorAll("#suspects a.title")];
onKey((key) => {
  const at = links.indexOf(document.activeElement);
  if (key === "j") links[Math.min(at + 1, links.length - 1)]?.focus();
  else if (key === "k") links[Math.max(at - 1, 0)]?.focus();
  else return false;
  return true;
});
