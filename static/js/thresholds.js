// A class's precision-recall curve with a threshold to pick: by the slider, or by the precision that is wanted.
import { get } from "./api.js";
import { t } from "./messages.js";

const section = document.querySelector("[data-thresholds]");
const part = (name) => section.querySelector(`[data-${name}]`);
const SIDE = 220;
const three = (n) => n.toFixed(3);

function place(p) {
  return `${(p.recall * SIDE).toFixed(1)},${((1 - p.precision) * SIDE).toFixed(1)}`;
}

if (section) {
  const { curves } = await get(section.dataset.thresholds);
  let curve = null;

  const show = (index) => {
    const p = curve.points[index];
    if (!p) return;
    const f1 = p.precision + p.recall > 0 ? (2 * p.precision * p.recall) / (p.precision + p.recall) : 0;
    const found = Math.round(p.recall * curve.support);
    const called = p.precision > 0 ? Math.round(found / p.precision) : 0;
    part("said").textContent = t("js.threshold", { threshold: three(p.threshold), precision: three(p.precision), recall: three(p.recall), f1: three(f1), found, support: curve.support, called });
    const [x, y] = place(p).split(",");
    part("at").setAttribute("cx", x);
    part("at").setAttribute("cy", y);
    part("slider").value = index;
    part("slider").setAttribute("aria-valuetext", part("said").textContent);
  };
  const choose = (number) => {
    curve = curves[number];
    part("line").setAttribute("points", curve.points.map(place).join(" "));
    part("slider").max = Math.max(0, curve.points.length - 1);
    const best = curve.best ? curve.points.findIndex((p) => p.threshold <= curve.best.threshold) : 0;
    show(Math.max(0, best));
  };
  part("class").addEventListener("change", (event) => choose(Number(event.target.value)));
  part("slider").addEventListener("input", (event) => show(Number(event.target.value)));
  part("least").addEventListener("input", (event) => {
    const least = Number(event.target.value);
    if (!event.target.value || !(least >= 0 && least <= 1)) return;
    // the most recall at that precision: the last point that has it
    const index = curve.points.findLastIndex((p) => p.precision >= least);
    event.target.setCustomValidity(index < 0 ? t("js.no_threshold") : "");
    event.target.reportValidity();
    if (index >= 0) show(index);
  });
  if (part("class").options.length) {
    choose(Number(part("class").value));
    part("picker").hidden = false;
  }
}
