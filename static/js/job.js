// Jobs, live: the list's open rows and the page of one job.
import { post } from "./api.js";
import { said, t } from "./messages.js";
import { follow, setBar } from "./progress.js";

for (const row of document.querySelectorAll("tr[data-job]")) {
  const state = row.querySelector("[data-job-state]");
  const bar = row.querySelector("[data-job-bar]");
  const text = row.querySelector("[data-job-text]");
  follow(row.dataset.job, {
    progress(p) {
      state.className = `state ${p.state}`;
      state.textContent = p.stateText;
      if (bar) setBar(bar, p);
      if (p.ended) bar?.remove();
      text.textContent = p.ended ? (p.error ?? p.countText) : [p.stageText, p.countText, p.left != null ? t("js.left", { time: p.leftText }) : ""].filter(Boolean).join(" · ");
    },
  });
}

const page = document.querySelector("[data-job-page]");
if (page?.dataset.open === "true") {
  const part = (name) => document.querySelector(`[data-job-${name}]`);
  const list = document.getElementById("log");
  const began = performance.now();
  let last = Number(list.lastElementChild?.dataset.line ?? 0);
  let spoken = "";
  let drawing = null;
  follow(page.dataset.jobPage, {
    progress(p) {
      part("state").className = `state ${p.state}`;
      part("state").textContent = p.stateText;
      setBar(part("bar"), p);
      part("stage").textContent = p.stageText;
      part("count").textContent = p.countText;
      part("rate").textContent = p.rateText;
      part("left").textContent = p.leftText;
      const tenth = p.total ? Math.floor((10 * p.done) / p.total) * 10 : "";
      const say = [p.stateText, p.stageText, tenth === "" ? "" : `${tenth}%`].filter(Boolean).join(" ");
      if (say !== spoken) part("say").textContent = spoken = say;
      // result, errors and links are the server's to word; a quick end is seen anyway
      if (p.ended) setTimeout(() => location.reload(), performance.now() - began < 1500 ? 1200 : 150);
    },
    // the curves are the server's to draw; once a second is enough
    epoch() {
      drawing ??= setTimeout(async () => {
        drawing = null;
        const answer = await fetch(`/jobs/${page.dataset.jobPage}/curves`).catch(() => null);
        if (!answer?.ok) return;
        const drawn = new DOMParser().parseFromString(await answer.text(), "text/html");
        document.getElementById("curves").replaceWith(...drawn.body.children);
      }, 1000);
    },
    log(line) {
      if (line.id <= last) return;
      last = line.id;
      document.getElementById("log-empty")?.remove();
      const item = document.createElement("li");
      item.className = line.level;
      const at = document.createElement("time");
      at.dateTime = line.at;
      at.textContent = new Date(line.at).toLocaleTimeString(document.documentElement.lang);
      item.append(at, " ", Object.assign(document.createElement("span"), { textContent: said(line.note, line.message) }));
      const low = list.scrollHeight - list.scrollTop - list.clientHeight < 40;
      list.append(item);
      if (low) list.scrollTop = list.scrollHeight;
    },
  });
  const cancel = document.querySelector("[data-cancel]");
  cancel?.addEventListener("click", async () => {
    cancel.disabled = true;
    try {
      await post(cancel.dataset.cancel);
      cancel.textContent = t("js.cancelling");
    } catch (error) {
      cancel.disabled = false;
      part("say").textContent = error.message;
    }
  });
}
