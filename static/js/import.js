// The upload form: sends files with progress, follows the job, shows the rows it refused.
import { post, upload } from "./api.js";
import { t } from "./messages.js";
import { jobLine } from "./progress.js";

const form = document.getElementById("import");
const box = document.getElementById("import-progress");
const errors = document.getElementById("import-errors");

const chosen = (name) => form.querySelector(`[name=${name}]:checked`)?.value;
const file = (name) => form.querySelector(`[name=${name}][type=file]`)?.files[0];

// The browser words its own file button in its own language: ours speaks the page's.
for (const input of form.querySelectorAll("input[type=file]")) {
  const box = Object.assign(document.createElement("label"), { className: "file" });
  const name = Object.assign(document.createElement("span"), { textContent: t("js.no_file") });
  const button = Object.assign(document.createElement("span"), { className: "button", textContent: t("js.choose_file") });
  if (input.dataset.from) box.dataset.from = input.dataset.from;
  delete input.dataset.from;
  input.replaceWith(box);
  box.append(input, button, name);
  input.addEventListener("change", () => (name.textContent = input.files[0]?.name ?? t("js.no_file")));
}

// picking a file picks its choice too
for (const [input, group, value] of [["taxonomy", "taxonomy_from", "file"], ["media", "media_from", "zip"], ["features", "media_from", "features"]]) {
  form.querySelector(`[name=${input}][type=file]`)?.addEventListener("change", () => {
    form.querySelector(`[name=${group}][value=${value}]`).checked = true;
  });
}

// files of one's own, or files that the server can read
form.addEventListener("change", (event) => {
  if (event.target.name !== "source") return;
  for (const part of form.querySelectorAll("[data-from]")) part.hidden = part.dataset.from !== event.target.value;
});

function say(text, bad = false) {
  box.hidden = false;
  box.replaceChildren(Object.assign(document.createElement("p"), { className: bad ? "note bad" : "", textContent: text }));
}

function collect() {
  const data = new FormData();
  const need = (f, message, control) => {
    if (f) return f;
    form.querySelector(control)?.focus();
    throw new Error(message);
  };
  const from = chosen("taxonomy_from");
  if (from === "file") data.append("taxonomy", need(file("taxonomy"), t("js.need_taxonomy"), "[name=taxonomy]"));
  else if (from === "wechat2022") data.append("taxonomy_builtin", from);
  if (form.partial.checked) data.append("partial", "true");
  const media = chosen("media_from");
  data.append("annotations", need(file("annotations"), t("js.need_annotations"), "#annotations"));
  if (media === "zip" && file("media")) data.append("media", file("media"));
  if (media === "features" && file("features")) data.append("features", file("features"));
  return data;
}

// The same as paths on the server.
function paths() {
  const text = (name) => form.querySelector(`[name=${name}]`).value.trim() || undefined;
  const from = chosen("taxonomy_from");
  const body = { annotations_path: text("annotations_path"), media_dir: text("media_dir"), partial: form.partial.checked };
  if (!body.annotations_path) throw new Error(t("js.need_annotations"));
  if (from === "wechat2022") body.taxonomy_builtin = from;
  if (from === "file") {
    body.taxonomy_path = text("taxonomy_path");
    if (!body.taxonomy_path) throw new Error(t("js.need_taxonomy"));
  }
  return body;
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  errors.hidden = true;
  const input = form.querySelector("#name");
  if (!input.checkValidity()) {
    say(t("js.bad_name"), true);
    input.focus();
    return;
  }
  const button = form.querySelector("button[type=submit]");
  button.disabled = true;
  try {
    const url = `/api/v1/datasets/${encodeURIComponent(input.value)}/imports`;
    if (chosen("source") === "server") {
      const job = await post(url, paths());
      box.hidden = false;
      box.replaceChildren(jobLine(job, (end, line) => finished(end, line, input.value)));
      return;
    }
    const data = collect();
    box.hidden = false;
    const bar = Object.assign(document.createElement("progress"), { max: 1, value: 0 });
    bar.setAttribute("aria-label", t("js.uploading"));
    box.replaceChildren(Object.assign(document.createElement("p"), { textContent: t("js.uploading") }), bar);
    const job = await upload(url, data, (share) => (bar.value = share));
    box.replaceChildren(jobLine(job, (end, line) => finished(end, line, input.value)));
  } catch (error) {
    say(error.message, true);
  } finally {
    button.disabled = false;
  }
});

async function finished(job, line, name) {
  if (job.state === "succeeded") {
    line.append(Object.assign(document.createElement("a"), { className: "button main", textContent: t("js.see_dataset"), href: `/datasets/${encodeURIComponent(name)}` }));
  }
  // the job's page has the refused rows already, worded in the reader's language
  const html = await fetch(`/jobs/${job.id}`).then((r) => r.text());
  const rows = new DOMParser().parseFromString(html, "text/html").querySelectorAll("#refused tbody tr");
  if (!rows.length) return;
  errors.hidden = false;
  errors.querySelector(".download").href = `/api/v1/jobs/${job.id}/import-errors.jsonl`;
  errors.querySelector("tbody").replaceChildren(...rows);
}
