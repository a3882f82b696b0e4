// A poster plays while it, or its row, is pointed at or has the focus.
let playing = null;

function tileOf(target) {
  if (!(target instanceof Element)) return null;
  return target.closest(".tile[data-video]") ?? target.closest("tr")?.querySelector(".tile[data-video]") ?? null;
}

function stop() {
  if (!playing) return;
  const { video, tile } = playing;
  playing = null;
  tile.classList.remove("on");
  video.removeAttribute("src");
  video.load();
  video.remove();
}

function play(tile) {
  if (playing?.tile === tile) return;
  stop();
  const video = document.createElement("video");
  Object.assign(video, { muted: true, loop: true, playsInline: true, src: tile.dataset.video });
  video.tabIndex = -1;
  video.setAttribute("aria-hidden", "true");
  video.addEventListener("playing", () => tile.classList.add("on"), { once: true });
  tile.append(video);
  playing = { tile, video };
  video.play().catch(() => {});
}

function changed(event) {
  const tile = tileOf(event.target);
  if (tile) play(tile);
  else stop();
}

document.addEventListener("pointerover", changed);
document.addEventListener("focusin", changed);
document.addEventListener("focusout", (event) => {
  if (!event.relatedTarget) stop();
});
