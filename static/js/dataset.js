// Buttons of a dataset or of one of its trainings: start a job, follow it in place.
import { post } from "./api.js";
import { t } from "./messages.js";
import { jobLine } from "./progress.js";

const live = document.getElementById("live");
const api = document.querySelector("[data-api]").dataset.api;

function note(text, kind) {
  live.hidden = false;
  live.prepend(Object.assign(document.createElement("p"), { className: `note ${kind}`, textContent: text }));
}

async function start(url, body, control) {
  if (control) control.disabled = true;
  try {
    const answer = await post(url, body);
    if (answer?.kind && answer?.state) {
      live.hidden = false;
      live.prepend(jobLine(answer, finished));
    } else {
      location.reload();
    }
  } catch (error) {
    note(error.message, "bad");
  } finally {
    if (control) control.disabled = false;
  }
}

function finished(job, line) {
  if (job.state !== "succeeded") return;
  const link = (text, href) => line.append(Object.assign(document.createElement("a"), { textContent: text, href, className: "button" }));
  const page = location.pathname;
  if (job.kind === "scan") link(t("js.see_suspects"), `${page}/suspects?status=open`);
  if (job.kind === "train" && job.result?.training_id) link(t("js.see_training"), `${page}/trainings/${job.result.training_id}`);
  if (job.kind === "ablate") link(t("js.see_ledger"), `${page}/ledger`);
  if (job.kind === "export" && job.result?.export_id) link(t("js.download"), `${api}/exports/${job.result.export_id}/download`);
  if (job.kind === "bundle") link(t("js.download_bundle"), `${api}/trainings/${job.result.training_id}/bundle.onnx`);
  link(t("js.refresh"), page);
}

document.addEventListener("click", (event) => {
  const job = event.target.closest("[data-post]");
  if (job) start(`${api}/${job.dataset.post}`, {}, job);
  const open = event.target.closest("[data-open]");
  if (open) {
    const form = document.getElementById(open.dataset.open);
    form.hidden = !form.hidden;
    open.setAttribute("aria-expanded", String(!form.hidden));
    if (!form.hidden) form.querySelector("input, select").focus();
  }
});

for (const form of document.querySelectorAll("[data-post-form]")) {
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    // the empty choice of a list is none
    const body = {};
    for (const [name, value] of new FormData(form)) {
      const list = name.endsWith("[]") ? name.slice(0, -2) : null;
      if (list) (body[list] ??= []).push(value);
      else if (form.elements[name].type === "checkbox") body[name] = true;
      // an empty choice or field is none
      else if (value || !["select-one", "text"].includes(form.elements[name].type)) body[name] = value;
    }
    const button = event.submitter ?? form.querySelector("button");
    start(button.getAttribute("formaction") ?? form.dataset.postForm, body, button);
    form.hidden = true;
  });
}
