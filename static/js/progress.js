// Following a job: events from the server while it is open, with rate and time left from the last
// ten seconds. Falls back to asking every two seconds when the stream cannot be had.
import { get } from "./api.js";
import { clock, known, number, said, t } from "./messages.js";

const ended = (job) => !["queued", "running"].includes(job.state);
const WINDOW = 10000;

export function follow(id, { progress, log, epoch }) {
  const marks = [];
  let stage = null;
  const tell = (job) => {
    const now = performance.now();
    if (job.stage !== stage) {
      stage = job.stage;
      marks.length = 0;
    }
    marks.push([now, job.done]);
    while (marks.length > 2 && now - marks[0][0] > WINDOW) marks.shift();
    const [t0, d0] = marks[0];
    const rate = now - t0 > 800 ? ((job.done - d0) / (now - t0)) * 1000 : 0;
    const left = rate > 0 && job.total != null ? (job.total - job.done) / rate : null;
    progress({
      ...job,
      ended: ended(job),
      error: said(job.error_note, job.error),
      rate,
      left,
      stageText: job.stage && !ended(job) ? known(`stage.${job.stage}`, job.stage) : "",
      stateText: t(`job_state.${job.state}`),
      countText: job.total != null ? `${number(job.done)} / ${number(job.total)}` : job.done ? number(job.done) : "",
      rateText: rate > 0 ? t("js.per_second", { n: rate >= 10 ? number(Math.round(rate)) : rate.toFixed(1) }) : "–",
      leftText: left != null ? clock(left) : "–",
    });
    return ended(job);
  };
  const poll = async () => {
    try {
      if (tell(await get(`/api/v1/jobs/${id}`))) return;
    } catch {
      // the server may be restarting: ask again
    }
    setTimeout(poll, 2000);
  };
  const events = new EventSource(`/api/v1/jobs/${id}/events`);
  events.addEventListener("progress", (e) => {
    if (tell(JSON.parse(e.data))) events.close();
  });
  if (log) events.addEventListener("log", (e) => log(JSON.parse(e.data)));
  if (epoch) events.addEventListener("epoch", (e) => epoch(JSON.parse(e.data)));
  events.onerror = () => {
    if (events.readyState === EventSource.CLOSED) poll();
  };
}

// A line with a bar for a job, live; `done` is called once with the ended job.
export function jobLine(job, done) {
  const line = document.createElement("div");
  line.className = "job-line";
  const name = Object.assign(document.createElement("a"), { href: `/jobs/${job.id}`, textContent: t(`job_kind.${job.kind}`) });
  const state = Object.assign(document.createElement("span"), { className: `state ${job.state}`, textContent: t(`job_state.${job.state}`) });
  const bar = document.createElement("progress");
  bar.setAttribute("aria-label", t("js.progress"));
  const text = Object.assign(document.createElement("span"), { className: "muted" });
  line.append(name, state, bar, text);
  follow(job.id, {
    progress(p) {
      state.className = `state ${p.state}`;
      state.textContent = p.stateText;
      setBar(bar, p);
      text.textContent = p.ended ? (p.error ?? p.countText) : [p.stageText, p.countText, p.rate > 0 ? p.rateText : "", p.left != null ? t("js.left", { time: p.leftText }) : ""].filter(Boolean).join(" · ");
      if (p.ended) {
        bar.remove();
        done?.(p, line);
      }
    },
  });
  return line;
}

export function setBar(bar, job) {
  if (job.total) {
    bar.max = job.total;
    bar.value = job.done;
  } else {
    bar.removeAttribute("value");
  }
}
