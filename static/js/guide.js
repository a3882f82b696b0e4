// A labelling guide: opens the editor, shows how the Markdown will look, and keeps a draft that was
// typed and not saved. Saving itself is people.js's.
import { post } from "./api.js";

const form = document.getElementById("edit");
const opener = document.querySelector('[data-open="edit"]');
const preview = document.getElementById("preview");
const texts = [form.elements.markdown, form.elements.boundary];
const slot = `guide-draft ${form.dataset.url}`;

function open() {
  form.hidden = false;
  opener.setAttribute("aria-expanded", "true");
}

opener.addEventListener("click", () => {
  if (!form.hidden) {
    form.hidden = true;
    opener.setAttribute("aria-expanded", "false");
    return;
  }
  open();
  texts[0].focus();
});

// a draft that is what was saved is no draft any more
const kept = JSON.parse(sessionStorage.getItem(slot) ?? "null");
if (kept && kept.some((text, i) => text !== texts[i].value)) {
  kept.forEach((text, i) => { texts[i].value = text; });
  open();
} else sessionStorage.removeItem(slot);

form.addEventListener("input", () => sessionStorage.setItem(slot, JSON.stringify(texts.map((t) => t.value))));

form.querySelector("[data-preview]").addEventListener("click", async (event) => {
  event.target.disabled = true;
  try {
    const shown = await Promise.all(texts.map((t) => post(form.dataset.previews, { markdown: t.value })));
    // the server lets only harmless HTML through
    texts.forEach((t, i) => { preview.querySelector(`[data-of="${t.name}"]`).innerHTML = shown[i].html; });
    preview.hidden = false;
  } finally {
    event.target.disabled = false;
  }
});
