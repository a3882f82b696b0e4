// Accounts, tokens and teams: every control says in its data what it sends where.
//   data-send  method          data-url   address         data-url-field  its value ends the address
//   data-body  JSON            data-sure  asked first     data-done       said afterwards
//   data-shows field of the answer that is shown once     data-list, data-lines, data-number, data-flag, data-optional  how a field is sent
import { send } from "./api.js";

const note = (form, text, kind) => {
  form.querySelector(".note")?.remove();
  const role = kind === "bad" ? "alert" : "status";
  const p = Object.assign(document.createElement("p"), { className: `note ${kind}`, textContent: text, role });
  form.prepend(p);
};

function body(form) {
  const out = {};
  for (const field of form.elements) {
    const { name, value } = field;
    if (!name || name === form.dataset.urlField) continue;
    if ("list" in field.dataset) {
      out[name] ??= [];
      if (field.checked) out[name].push(value);
    } else if ("flag" in field.dataset) out[name] = field.checked;
    else if ("lines" in field.dataset) out[name] = value.split("\n").map((line) => line.trim()).filter(Boolean);
    else if ("number" in field.dataset) out[name] = Number(value);
    else if (value || !("optional" in field.dataset)) out[name] = value;
  }
  return out;
}

for (const form of document.querySelectorAll("form[data-send]")) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const button = form.querySelector("button");
    button.disabled = true;
    try {
      const tail = form.dataset.urlField ? encodeURIComponent(form.elements[form.dataset.urlField].value.trim()) : "";
      const answer = await send(form.dataset.send, form.dataset.url + tail, body(form));
      const secret = form.dataset.shows && answer?.[form.dataset.shows];
      if (secret) {
        const shown = form.querySelector("[data-secret]");
        shown.hidden = false;
        shown.querySelector("code").textContent = secret;
        form.querySelector(".note")?.remove();
      } else if (form.dataset.done) {
        form.reset();
        note(form, form.dataset.done, "good");
      } else location.reload();
    } catch (error) {
      note(form, error.message, "bad");
    } finally {
      button.disabled = false;
    }
  });
}

async function sendControl(control, data) {
  try {
    await send(control.dataset.send, control.dataset.url, data);
    location.reload();
  } catch (error) {
    note(document.querySelector("main > div"), error.message, "bad");
    if (control.type === "checkbox") control.checked = !control.checked;
  }
}

for (const control of document.querySelectorAll("button[data-send]")) {
  control.addEventListener("click", () => {
    if (control.dataset.sure && !confirm(control.dataset.sure)) return;
    sendControl(control, control.dataset.body && JSON.parse(control.dataset.body));
  });
}
for (const control of document.querySelectorAll("input[data-send], select[data-send]")) {
  control.addEventListener("change", () =>
    sendControl(control, { [control.name]: control.type === "checkbox" ? control.checked : control.value }),
  );
}
