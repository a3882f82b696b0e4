// The page of the work's lead: policy, batches, and what is put in front of the queue. Promises that a
// refusal is said in the form that asked.
import { send } from "./api.js";

const api = document.querySelector("[data-api]").dataset.api;

function say(form, text, kind) {
  form.querySelector(".note")?.remove();
  const role = kind === "bad" ? "alert" : "status";
  form.prepend(Object.assign(document.createElement("p"), { className: `note ${kind}`, textContent: text, role }));
}

const share = (field) => Number(field.value) / 100;
const asked = (form) => {
  const { order, limit, class: of } = form.elements;
  return { order: order.value, limit: Number(limit.value), filter: of.value ? { class: of.value } : {} };
};

const requests = {
  policy(form) {
    const { double_check: check, blind, hide_model: hide, gold_rate: gold, gold_share: kept, keeps_share: keeps } = form.elements;
    const body = { double_check: check.value, blind: blind.checked, hide_model: hide.checked };
    Object.assign(body, { gold_rate: share(gold), gold_share: share(kept) });
    if (check.value === "keeps_share") body.keeps_share = share(keeps);
    return ["PUT", "policy", body];
  },
  batch(form) {
    const { name, owner, priority, due_on: due } = form.elements;
    const body = { ...asked(form), name: name.value.trim(), priority: Number(priority.value) };
    if (owner.value.trim()) body.owner = owner.value.trim();
    if (due.value) body.due_on = due.value;
    return ["POST", "batches", body];
  },
  fill: (form) => ["POST", "queue/fill", asked(form)],
};

for (const form of document.querySelectorAll("form[data-work]")) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const button = form.querySelector("button[type=submit]");
    button.disabled = true;
    const [method, path, body] = requests[form.dataset.work](form);
    try {
      const answer = await send(method, `${api}/${path}`, body);
      if (form.dataset.done) say(form, form.dataset.done.replace("{n}", answer.queued), "good");
      else location.reload();
    } catch (error) {
      say(form, error.message, "bad");
    } finally {
      button.disabled = false;
    }
  });
}

// a share is asked for only where it is used
const policy = document.querySelector('form[data-work="policy"]');
const extra = policy.querySelector("[data-with]");
const toggle = () => {
  extra.hidden = policy.elements.double_check.value !== extra.dataset.with;
  extra.querySelector("input").disabled = extra.hidden;
};
policy.addEventListener("change", toggle);
toggle();
