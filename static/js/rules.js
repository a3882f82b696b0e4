// Rules: keep the draft, save it, apply it after asking, undo runs, follow their jobs in place.
import { post, send } from "./api.js";
import { jobLine } from "./progress.js";
import { onKey } from "./keys.js";

const root = document.getElementById("rules");
const { api, page } = root.dataset;
const form = document.getElementById("editor");
const text = form.elements.rule;
const name = form.elements.name;
const live = document.getElementById("live");
const refused = document.getElementById("refused");
const dialog = document.getElementById("confirm");
const help = document.getElementById("help");

// what was typed and neither tried nor saved outlives a slip
const slot = `rule-draft ${page}`;
const previewed = text.value;
if (!text.value && !form.dataset.rule && sessionStorage.getItem(slot)) {
  [name.value, text.value] = JSON.parse(sessionStorage.getItem(slot));
}
form.addEventListener("input", () => {
  if (!form.dataset.rule) sessionStorage.setItem(slot, JSON.stringify([name.value, text.value]));
  const stale = text.value !== previewed;
  const apply = document.querySelector("[data-apply]");
  if (apply) apply.disabled = stale;
  const note = document.getElementById("stale");
  if (note) note.hidden = !stale;
});

function refuse(error) {
  refused.textContent = error.message;
  refused.hidden = false;
  const field = error.errors?.[0]?.field;
  if (field === "name") name.focus();
  if (field === "rule") text.focus();
}

function ask(question) {
  document.getElementById("confirm-text").textContent = question;
  dialog.returnValue = "no";
  dialog.showModal();
  return new Promise((resolve) => dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true }));
}

// Keeps the draft; answers with the rule's id.
async function save() {
  const { rule, kept } = form.dataset;
  if (rule && text.value === kept) return rule;
  const answer = rule
    ? await send("PUT", `${api}/rules/${rule}`, { rule: text.value })
    : await post(`${api}/rules`, { name: name.value, rule: text.value });
  sessionStorage.removeItem(slot);
  form.dataset.rule = answer.id;
  form.dataset.kept = answer.text;
  name.value = answer.name;
  name.readOnly = true;
  return answer.id;
}

function show(job) {
  live.hidden = false;
  live.prepend(jobLine(job, (ended) => ended.state === "succeeded" && location.assign(page)));
}

async function act(control, work) {
  refused.hidden = true;
  control.disabled = true;
  try {
    await work();
  } catch (error) {
    refuse(error);
  } finally {
    control.disabled = false;
  }
}

document.addEventListener("click", async (event) => {
  const control = event.target.closest("[data-save], [data-apply], [data-post], [data-help], [data-new]");
  if (!control) return;
  if ("new" in control.dataset) sessionStorage.removeItem(slot);
  else if ("help" in control.dataset) showHelp();
  else if ("save" in control.dataset) await act(control, async () => { await save(); location.assign(page); });
  else if (await ask(control.dataset.confirm)) {
    await act(control, async () => {
      const job = "apply" in control.dataset ? await post(`${api}/rules/${await save()}/runs`) : await post(`${api}/${control.dataset.post}`);
      if (job.kind && job.state) show(job);
      else location.assign(page);
    });
  }
});

function showHelp() {
  help.open = true;
  help.scrollIntoView({ block: "start" });
  help.querySelector("summary").focus({ preventScroll: true });
}

onKey((key) => {
  if (key !== "?") return false;
  showHelp();
  return true;
});

for (const row of document.querySelectorAll("[data-open-job]")) show({ id: row.dataset.openJob, kind: "rule", state: "queued" });
