// The clip: loop, speed and captions remembered, frame strip and text lines that seek, stepping by the
// clip's own frames.
const memory = {
  get: (key, fallback) => localStorage.getItem(`tamis.${key}`) ?? fallback,
  set: (key, value) => localStorage.setItem(`tamis.${key}`, value),
};
const SPEEDS = [0.5, 1, 1.5, 2];
const FPS = 25; // where the clip's is unknown
const calm = matchMedia("(prefers-reduced-motion: reduce)");
const nothing = { play() {}, loop() {}, faster() {}, step() {}, seekShare() {}, captions() {} };

export function player(root) {
  const video = root.querySelector("#player video");
  if (!video) return nothing;
  const loopButton = root.querySelector("[data-loop]");
  const captions = root.querySelector(".captions");
  const mark = root.querySelector(".head-mark");

  const setLoop = (on) => {
    video.loop = on;
    loopButton?.setAttribute("aria-pressed", String(on));
    memory.set("loop", on ? "1" : "0");
  };
  const setSpeed = (speed) => {
    video.defaultPlaybackRate = video.playbackRate = speed;
    memory.set("speed", String(speed));
    for (const b of root.querySelectorAll("[data-speed]")) b.setAttribute("aria-pressed", String(Number(b.dataset.speed) === speed));
  };
  const setCaptions = (on) => {
    if (!captions) return;
    captions.open = on;
    memory.set("captions", on ? "1" : "0");
  };
  const seek = (seconds) => {
    video.currentTime = Math.max(0, Math.min(seconds, (video.duration || seconds + 1) - 0.001));
  };
  const start = () => video.play().catch(() => {});

  video.muted = true;
  setLoop(memory.get("loop", "1") === "1");
  setSpeed(Number(memory.get("speed", "1")) || 1);
  setCaptions(memory.get("captions", "1") === "1");
  if (calm.matches) video.pause();
  else start();

  loopButton?.addEventListener("click", () => setLoop(!video.loop));
  captions?.addEventListener("toggle", () => memory.set("captions", captions.open ? "1" : "0"));
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
    frame.addEventListener("pointerenter", (event) => {
      if (event.pointerType === "touch") return;
      video.pause();
      seek(Number(frame.dataset.seek));
    });
    frame.addEventListener("pointerleave", (event) => event.pointerType !== "touch" && !calm.matches && start());
  }
  const follow = () => {
    if (!video.isConnected) return;
    if (video.duration && mark) mark.style.insetInlineStart = `${(100 * video.currentTime) / video.duration}%`;
    requestAnimationFrame(follow);
  };
  requestAnimationFrame(follow);

  // The moment of the frame that is on the screen, which `currentTime` only comes near.
  let on = null;
  const seen = (_, frame) => {
    on = frame.mediaTime;
    if (video.isConnected) video.requestVideoFrameCallback(seen);
  };
  video.requestVideoFrameCallback?.(seen);
  const fps = Number(video.dataset.fps) || FPS;

  return {
    play: () => (video.paused ? start() : video.pause()),
    loop: () => setLoop(!video.loop),
    faster: (step) => {
      const at = SPEEDS.indexOf(video.playbackRate);
      setSpeed(SPEEDS[Math.max(0, Math.min(SPEEDS.length - 1, (at < 0 ? SPEEDS.indexOf(1) : at) + step))]);
    },
    step: (frames) => {
      const from = video.paused && video.seeking ? video.currentTime : (on ?? video.currentTime);
      video.pause();
      // into the middle of the frame: its edges are not exact in any clip
      seek((Math.floor(from * fps + 0.01) + frames + 0.5) / fps);
    },
    seekShare: (share) => seek(share * (video.duration || 0)),
    captions: () => setCaptions(!captions?.open),
  };
}
