// The clip: loop and speed remembered, frame strip and text lines that seek, stepping by frames.
const memory = {
  get: (key, fallback) => localStorage.getItem(`tamis.${key}`) ?? fallback,
  set: (key, value) => localStorage.setItem(`tamis.${key}`, value),
};
const SPEEDS = [0.5, 1, 1.5, 2];
const calm = matchMedia("(prefers-reduced-motion: reduce)");

export function player(root) {
  const video = root.querySelector("#player video");
  if (!video) return { play() {}, loop() {}, faster() {}, step() {}, seekShare() {} };
  const loopButton = root.querySelector("[data-loop]");
  const mark = root.querySelector(".head-mark");

  const setLoop = (on) => {
    video.loop = on;
    loopButton.setAttribute("aria-pressed", String(on));
    memory.set("loop", on ? "1" : "0");
  };
  const setSpeed = (speed) => {
    video.defaultPlaybackRate = video.playbackRate = speed;
    memory.set("speed", String(speed));
    for (const b of root.querySelectorAll("[data-speed]")) b.setAttribute("aria-pressed", String(Number(b.dataset.speed) === speed));
  };
  const seek = (seconds) => {
    video.currentTime = Math.max(0, Math.min(seconds, (video.duration || seconds + 1) - 0.001));
  };
  const start = () => video.play().catch(() => {});

  video.muted = true;
  setLoop(memory.get("loop", "1") === "1");
  setSpeed(Number(memory.get("speed", "1")) || 1);
  if (calm.matches) video.pause();
  else start();

  loopButton.addEventListener("click", () => setLoop(!video.loop));
  root.addEventListener("click", (event) => {
    const speed = event.target.closest("[data-speed]");
    if (speed) setSpeed(Number(speed.dataset.speed));
    const place = event.target.closest("[data-seek]");
    if (place) {
      seek(Number(place.dataset.seek));
      if (!calm.matches) start();
    }
  });
  for (const frame of root.querySelectorAll(".strip [data-seek]")) {
    frame.addEventListener("pointerenter", () => {
      video.pause();
      seek(Number(frame.dataset.seek));
    });
    frame.addEventListener("pointerleave", () => !calm.matches && start());
  }
  const follow = () => {
    if (!video.isConnected) return;
    if (video.duration) mark.style.insetInlineStart = `${(100 * video.currentTime) / video.duration}%`;
    requestAnimationFrame(follow);
  };
  requestAnimationFrame(follow);

  return {
    play: () => (video.paused ? start() : video.pause()),
    loop: () => setLoop(!video.loop),
    faster: (step) => {
      const at = SPEEDS.indexOf(video.playbackRate);
      setSpeed(SPEEDS[Math.max(0, Math.min(SPEEDS.length - 1, (at < 0 ? 1 : at) + step))]);
    },
    step: (frames) => {
      video.pause();
      seek(video.currentTime + frames / (Number(video.dataset.fps) || 25));
    },
    seekShare: (share) => seek(share * (video.duration || 0)),
  };
}
