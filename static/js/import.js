// The upload form: sends files with progress, follows the job, shows the rows it refused.
import { get, upload } from "./api.js";
import { t } from "./messages.js";
import { jobLine } from "./progress.js";

const form = document.getElementById("import");
const box = document.getElementById("import-progress");
const errors = document.getElementById("import-errors");

const chosen = (name) => form.querySelector(`[name=${name}]:checked`)?.value;
const file = (name) => form.querySelector(`[name=${name}][type=file]`)?.files[0];

// picking a file picks its choice too
for (const [input, group, value] of [["taxonomy", "taxonomy_from", "file"], ["media", "media_from", "zip"], ["features", "media_from", "features"]]) {
  form.querySelector(`[name=${input}][type=file]`)?.addEventListener("change", () => {
    form.querySelector(`[name=${group}][value=${value}]`).checked = true;
  });
}

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
  if (media === "dir") data.append("media_dir", form.media_dir.value);
  data.append("annotations", need(file("annotations"), t("js.need_annotations"), "#annotations"));
  if (media === "zip" && file("media")) data.append("media", file("media"));
  if (media === "features" && file("features")) data.append("features", file("features"));
  return data;
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  errors.hidden = true;
  const name = form.name;
  const input = form.querySelector("#name");
  if (!input.checkValidity()) {
    say(t("js.bad_name"), true);
    input.focus();
    return;
  }
  const button = form.querySelector("button[type=submit]");
  button.disabled = true;
  try {
    const data = collect();
    say("");
    const bar = Object.assign(document.createElement("progress"), { max: 1, value: 0 });
    bar.setAttribute("aria-label", t("js.uploading"));
    box.replaceChildren(Object.assign(document.createElement("p"), { textContent: t("js.uploading") }), bar);
    const url = `/api/v1/datasets/${encodeURIComponent(input.value)}/imports`;
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
  const page = await get(`/api/v1/jobs/${job.id}/import-errors?limit=100`).catch(() => ({ items: [] }));
  const rows = page.items ?? page;
  if (!rows.length) return;
  errors.hidden = false;
  errors.querySelector(".download").href = `/api/v1/jobs/${job.id}/import-errors.jsonl`;
  errors.querySelector("tbody").replaceChildren(
    ...rows.map((e) => {
      const row = document.createElement("tr");
      const cell = (text, kind = "") => row.append(Object.assign(document.createElement("td"), { textContent: text, className: kind }));
      cell(e.file, "code");
      cell(e.line || "–", "num");
      cell(e.field ?? "–", "code");
      cell(e.message);
      return row;
    }),
  );
}
