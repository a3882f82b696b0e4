// The map of the embeddings: move, come closer, colour by what is known, play what is pointed at, and draw
// round points to see them as a grid.
import { post } from "./api.js";
import { onKey } from "./keys.js";
import { count, number, t } from "./messages.js";
import { jobLine } from "./progress.js";
import { renderer } from "./map_canvas.js";
import { Cells, readMarks, readPoints, scattered, unknown } from "./map_points.js";

const root = document.getElementById("map-page");
const { api, dataset, map } = root.dataset;
const names = JSON.parse(document.getElementById("names").textContent);
const live = document.getElementById("live");
const el = (id) => document.getElementById(id);

// Okabe and Ito's colours, told apart by colour-blind people too; then ramps that also differ in lightness
const SET = ["#e69f00", "#0072b2", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#8a6fd1"];
const REST = { light: "#b9b7b0", dark: "#5c5a55" };
const RAMP = {
  light: ["#cfd3d6", "#9db4c9", "#6c80ad", "#7d4b8f", "#8a1c4e"],
  dark: ["#41464d", "#4d6f91", "#56a0a5", "#b4c066", "#ffe45c"],
};
const STATUS = ["open", "kept", "relabelled", "unsure", "other", "excluded"];
const STATUS_COLOUR = [null, "#0072b2", "#009e73", "#e69f00", "#cc79a7", "#d55e00"];
const MOST_ZOOM = 400;
// of a frame while the map moves: longer, and fewer points are drawn; shorter, and more
const [TOO_LONG_MS, WELL_MS] = [45, 22];
const FEWEST = 20000;
const RESTS_MS = 160;

const dark = () => getComputedStyle(document.documentElement).colorScheme.includes("dark") && (document.documentElement.dataset.theme === "dark" || matchMedia("(prefers-color-scheme: dark)").matches);
const rgb = (hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));

document.querySelector("[data-compute]")?.addEventListener("click", async (event) => {
  event.target.disabled = true;
  try {
    live.replaceChildren(jobLine(await post(`${api}/map`), (job) => job.state === "succeeded" && location.reload()));
  } catch (error) {
    live.replaceChildren(Object.assign(document.createElement("p"), { className: "note bad", textContent: error.message }));
    event.target.disabled = false;
  }
});

async function bytes(url) {
  const response = await fetch(url);
  if (!response.ok) throw new Error(t("js.failed"));
  return response.arrayBuffer();
}

async function begin() {
  let points, marks;
  try {
    const [a, b] = await Promise.all([bytes(`${api}/maps/${map}/points`), bytes(`${api}/maps/${map}/marks`)]);
    points = readPoints(a);
    marks = readMarks(b, points.n);
  } catch (error) {
    el("busy").textContent = error.message;
    return;
  }
  el("busy").remove();
  show(...scattered(points, marks));
}

function show(points, marks) {
  const { n } = points;
  const stage = el("stage");
  const canvas = el("points");
  const over = el("over");
  const pen = over.getContext("2d");
  const draw = renderer(canvas, n);
  const cells = new Cells(points);
  const colours = new Uint8Array(4 * n);
  const view = { left: 0, top: 0, scale: 1, fit: 1 };
  let width = 0, height = 0, ratio = 1;
  let groups = [], group = new Uint16Array(n), only = null, picked = null, tool = "move", wanted = false;

  stage.dataset.renderer = draw.kind;
  draw.place(points.x, points.y);
  draw.again = () => frame();

  // ---- frames ----
  // While the map moves no more points are drawn than this machine draws fluently; all of them when it rests.
  let fluent = n, moving = false, asked = 0, rest = null;

  function frame() {
    if (wanted) return;
    wanted = true;
    asked = performance.now();
    requestAnimationFrame(() => {
      wanted = false;
      const m = moving ? Math.min(n, fluent) : n;
      draw.draw(view, width, height, ratio, m);
      stage.dataset.frames = String(Number(stage.dataset.frames ?? 0) + 1);
      stage.dataset.drawn = String(m);
      if (!moving) return;
      // a frame that comes late waited for the one before it
      const took = performance.now() - asked;
      if (took > TOO_LONG_MS) fluent = Math.max(FEWEST, Math.round(m * 0.6));
      else if (took < WELL_MS && m === fluent) fluent = Math.min(n, Math.round(fluent * 1.3));
    });
  }

  function move() {
    moving = true;
    clearTimeout(rest);
    rest = setTimeout(() => {
      moving = false;
      frame();
    }, RESTS_MS);
    hide();
    frame();
  }

  function whole() {
    view.fit = view.scale = (Math.min(width, height) * 0.94) / 65535;
    view.left = 65535 / 2 - width / 2 / view.scale;
    view.top = 65535 / 2 - height / 2 / view.scale;
    frame();
  }

  function zoom(by, x = width / 2, y = height / 2) {
    const scale = Math.max(view.fit / 2, Math.min(view.fit * MOST_ZOOM, view.scale * by));
    view.left += x / view.scale - x / scale;
    view.top += y / view.scale - y / scale;
    view.scale = scale;
    move();
  }

  function pan(dx, dy) {
    view.left -= dx / view.scale;
    view.top -= dy / view.scale;
    move();
  }

  new ResizeObserver(() => {
    const first = width === 0;
    ({ clientWidth: width, clientHeight: height } = stage);
    ratio = Math.min(2, devicePixelRatio || 1);
    for (const c of [canvas, over]) [c.width, c.height] = [Math.round(width * ratio), Math.round(height * ratio)];
    if (first) whole();
    frame();
  }).observe(stage);

  // ---- colours and legend ----
  const className = (c) => names.classes[c]?.path ?? t("js.unlabelled");
  const clusterName = (c) => names.clusters[c] ?? t("js.no_cluster");

  // The commonest values get colours of their own.
  function byValue(values, name) {
    const counts = new Map();
    for (let i = 0; i < n; i++) counts.set(values[i], (counts.get(values[i]) ?? 0) + 1);
    const order = [...counts].sort((a, b) => unknown(a[0]) - unknown(b[0]) || b[1] - a[1] || a[0] - b[0]);
    const at = new Map(order.map(([value], k) => [value, k]));
    for (let i = 0; i < n; i++) group[i] = at.get(values[i]);
    groups = order.map(([value, m], k) => ({ name: name(value), n: m, colour: unknown(value) ? null : (SET[k] ?? null) }));
  }

  function bySuspicion() {
    const ramp = RAMP[dark() ? "dark" : "light"];
    const steps = ramp.map((colour, k) => ({ name: `${k * 20}–${k * 20 + 20} %`, n: 0, colour }));
    groups = [...steps.reverse(), { name: t("js.not_scanned"), n: 0, colour: null }];
    for (let i = 0; i < n; i++) {
      const s = marks.suspicion[i];
      group[i] = s === 255 ? 5 : 4 - Math.min(4, Math.floor((s / 254) * 5));
      groups[group[i]].n++;
    }
  }

  function byStatus() {
    groups = STATUS.map((status, k) => ({ name: t(`js.status_${status}`), n: 0, colour: STATUS_COLOUR[k] }));
    for (let i = 0; i < n; i++) {
      group[i] = marks.status[i];
      groups[group[i]].n++;
    }
  }

  function colour() {
    const by = el("colour").value;
    only = null;
    if (by === "class") byValue(marks.class, className);
    else if (by === "cluster") byValue(marks.cluster, clusterName);
    else if (by === "suspicion") bySuspicion();
    else byStatus();
    paint();
    legend();
  }

  function paint() {
    const rest = rgb(REST[dark() ? "dark" : "light"]);
    const of = groups.map((g, k) => (only !== null && only !== k ? rest : only === k ? rgb(g.colour ?? SET[5]) : rgb(g.colour ?? REST[dark() ? "dark" : "light"])));
    for (let i = 0; i < n; i++) {
      const c = picked && !picked[i] ? rest : of[group[i]];
      colours[4 * i] = c[0];
      colours[4 * i + 1] = c[1];
      colours[4 * i + 2] = c[2];
      colours[4 * i + 3] = 255;
    }
    draw.paint(colours);
    frame();
  }

  function legend() {
    el("legend-list").replaceChildren(
      ...groups.map((g, k) => [g, k]).filter(([g]) => g.n > 0).slice(0, 60).map(([g, k]) => {
        const item = document.createElement("li");
        const button = document.createElement("button");
        button.type = "button";
        button.setAttribute("aria-pressed", String(only === k));
        const dot = Object.assign(document.createElement("span"), { className: "dot" });
        dot.style.background = g.colour ?? REST[dark() ? "dark" : "light"];
        button.append(dot, Object.assign(document.createElement("span"), { className: "name", textContent: g.name, title: g.name }), Object.assign(document.createElement("span"), { className: "num muted", textContent: number(g.n) }));
        button.addEventListener("click", () => {
          only = only === k ? null : k;
          select(only === null ? null : (i) => group[i] === k);
          legend();
          el("legend-list").querySelectorAll("button")[[...el("legend-list").children].indexOf(item)]?.focus();
        });
        item.append(button);
        return item;
      }),
    );
  }

  // ---- selecting ----
  function select(test) {
    let m = 0;
    picked = null;
    if (test) {
      picked = new Uint8Array(n);
      for (let i = 0; i < n; i++) if (test(i)) {
        picked[i] = 1;
        m++;
      }
      if (!m) picked = null;
    }
    el("selected").textContent = m ? count("js.map_selected", m) : t("js.map_nothing");
    for (const button of document.querySelectorAll("[data-grid], [data-clear]")) button.disabled = !m;
    paint();
  }

  // What lies inside a drawn line, told by a picture of its inside.
  function inside(line) {
    const mask = new OffscreenCanvas(Math.ceil(width), Math.ceil(height)).getContext("2d", { willReadFrequently: true });
    mask.beginPath();
    line.forEach(([x, y], k) => (k ? mask.lineTo(x, y) : mask.moveTo(x, y)));
    mask.fill();
    const { data, width: w, height: h } = mask.getImageData(0, 0, Math.ceil(width), Math.ceil(height));
    select((i) => {
      const x = ((points.x[i] - view.left) * view.scale) | 0;
      const y = ((points.y[i] - view.top) * view.scale) | 0;
      return x >= 0 && y >= 0 && x < w && y < h && data[4 * (y * w + x) + 3] > 127;
    });
  }

  async function toGrid() {
    const samples = [];
    for (let i = 0; i < n; i++) if (picked[i]) samples.push(points.first + points.offset[i]);
    document.querySelector("[data-grid]").disabled = true;
    try {
      const { id } = await post(`${api}/selections`, { samples });
      location.assign(`${root.dataset.href}/grid?selection=${id}`);
    } catch (error) {
      el("selected").textContent = error.message;
      document.querySelector("[data-grid]").disabled = false;
    }
  }

  // ---- the card of what is pointed at ----
  const known = new Map();
  let shown = -1, waiting = null;

  function hide() {
    clearTimeout(waiting);
    if (shown < 0) return;
    shown = -1;
    el("hover").hidden = true;
    el("hover").querySelector(".tile").replaceChildren();
  }

  function point(x, y) {
    const i = cells.nearest(view.left + x / view.scale, view.top + y / view.scale, 9 / view.scale);
    canvas.style.cursor = i >= 0 && tool === "move" ? "pointer" : "";
    if (i === shown) return;
    hide();
    if (i < 0) return;
    shown = i;
    waiting = setTimeout(() => card(i), 90);
  }

  async function card(i) {
    const id = points.first + points.offset[i];
    if (!known.has(id)) known.set(id, fetch(`${api}/samples/${encodeURIComponent(`#${id}`)}`).then((r) => (r.ok ? r.json() : null)).catch(() => null));
    const sample = await known.get(id);
    if (shown !== i || !sample) return;
    const box = el("hover");
    const tile = box.querySelector(".tile");
    tile.hidden = sample.media_state !== "ready";
    if (!tile.hidden) {
      const at = (kind) => `/${kind}/${encodeURIComponent(dataset)}/${id}`;
      const video = document.createElement("video");
      Object.assign(video, { muted: true, loop: true, playsInline: true, src: at("media") });
      video.addEventListener("playing", () => tile.classList.add("on"), { once: true });
      tile.classList.remove("on");
      tile.replaceChildren(Object.assign(new Image(), { src: at("poster"), alt: "" }), video);
      video.play().catch(() => {});
    }
    const [title, about] = box.querySelectorAll("p");
    title.textContent = sample.title || sample.external_id;
    about.textContent = names.classes.find((c) => c.id === sample.current_class)?.path ?? t("js.unlabelled");
    box.hidden = false;
    const [x, y] = [(points.x[i] - view.left) * view.scale, (points.y[i] - view.top) * view.scale];
    box.style.left = `${Math.max(4, Math.min(width - box.offsetWidth - 4, x + 14))}px`;
    box.style.top = `${Math.max(4, y + box.offsetHeight + 14 > height ? y - box.offsetHeight - 14 : y + 14)}px`;
  }

  const open = (i) => location.assign(`${root.dataset.href}/samples/${encodeURIComponent(`#${points.first + points.offset[i]}`)}`);

  // ---- pointer, touch, keys ----
  const place = (event) => {
    const box = canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  const held = new Map();
  let line = null, moved = false;

  function outline() {
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, width, height);
    if (!line) return;
    const ink = getComputedStyle(document.documentElement).getPropertyValue("--focus");
    pen.strokeStyle = ink;
    pen.fillStyle = ink;
    pen.lineWidth = 1.5;
    pen.beginPath();
    path().forEach(([x, y], k) => (k ? pen.lineTo(x, y) : pen.moveTo(x, y)));
    pen.closePath();
    pen.stroke();
    pen.globalAlpha = 0.08;
    pen.fill();
    pen.globalAlpha = 1;
  }

  const path = () => {
    if (tool !== "box") return line;
    const [[x0, y0], [x1, y1]] = [line[0], line.at(-1)];
    return [[x0, y0], [x1, y0], [x1, y1], [x0, y1]];
  };

  canvas.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    canvas.setPointerCapture(event.pointerId);
    held.set(event.pointerId, place(event));
    moved = false;
    line = held.size === 1 && (tool !== "move" || event.shiftKey) ? [place(event)] : null;
  });
  canvas.addEventListener("pointermove", (event) => {
    const at = place(event);
    const before = held.get(event.pointerId);
    if (!before) return point(...at);
    if (Math.hypot(at[0] - before[0], at[1] - before[1]) > 2) moved = true;
    else if (!moved) return;
    if (line) {
      line.push(at);
      outline();
      return;
    }
    const other = [...held].find(([id]) => id !== event.pointerId)?.[1];
    if (other) {
      const apart = (p) => Math.hypot(p[0] - other[0], p[1] - other[1]);
      zoom(apart(at) / Math.max(1, apart(before)), (at[0] + other[0]) / 2, (at[1] + other[1]) / 2);
    } else pan(at[0] - before[0], at[1] - before[1]);
    held.set(event.pointerId, at);
  });
  const up = (event) => {
    const at = held.get(event.pointerId);
    if (!held.delete(event.pointerId)) return;
    if (line) {
      if (line.length > 2) inside(path());
      line = null;
      only = null;
      outline();
      legend();
    } else if (!moved && event.type === "pointerup" && shown >= 0 && at) open(shown);
  };
  canvas.addEventListener("pointerup", up);
  canvas.addEventListener("pointercancel", up);
  canvas.addEventListener("pointerleave", () => held.size || hide());
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    const lines = event.deltaMode === 1 ? 16 : 1;
    zoom(Math.exp(-event.deltaY * lines * 0.0016), ...place(event));
  }, { passive: false });

  function use(next) {
    tool = next;
    stage.classList.toggle("drawing", tool !== "move");
    for (const button of document.querySelectorAll("[data-tool]")) button.setAttribute("aria-pressed", String(button.dataset.tool === tool));
  }

  onKey((key) => {
    const at = document.activeElement === canvas;
    switch (key) {
      case "l": use(tool === "lasso" ? "move" : "lasso"); return true;
      case "r": use(tool === "box" ? "move" : "box"); return true;
      case "0": whole(); return true;
      case "+":
      case "=": zoom(1.6); return true;
      case "-": zoom(0.625); return true;
      case "Escape":
        line = null;
        only = null;
        outline();
        select(null);
        legend();
        use("move");
        return true;
      case "ArrowLeft": return at && (pan(60, 0), true);
      case "ArrowRight": return at && (pan(-60, 0), true);
      case "ArrowUp": return at && (pan(0, 60), true);
      case "ArrowDown": return at && (pan(0, -60), true);
      default: return false;
    }
  });

  document.addEventListener("click", (event) => {
    const control = event.target.closest("[data-tool], [data-zoom], [data-grid], [data-clear]");
    if (!control) return;
    if (control.dataset.tool) use(control.dataset.tool);
    else if (control.dataset.zoom) Number(control.dataset.zoom) ? zoom(Number(control.dataset.zoom)) : whole();
    else if ("grid" in control.dataset) toGrid();
    else {
      only = null;
      select(null);
      legend();
    }
  });
  el("colour").addEventListener("change", colour);
  // the theme decides what lies in the background
  new MutationObserver(colour).observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", colour);
  colour();
}

if (map) begin();
