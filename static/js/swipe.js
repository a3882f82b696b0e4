// A finger's way to decide: right keeps, left takes the suggestion, up (from the clip) skips. What a
// release would do is said while dragging; dragging back does nothing. The clip moves along.
const calm = matchMedia("(prefers-reduced-motion: reduce)");
const LEAST = 72; // px that are meant
const SHARE = 0.28; // of the width
const START = 12; // px before a direction is made out

// `ways` is { right, left, up }: each null or { words, act }; asked when a finger goes down.
export function swipe(card, ways) {
  let from = null;
  let going = null;
  const word = Object.assign(document.createElement("p"), { className: "swipe-word", hidden: true });
  word.setAttribute("aria-hidden", "true");
  card.append(word);
  const moves = card.querySelector("#player") ?? card;

  const far = (way) => (way === "up" ? LEAST : Math.max(LEAST, Math.min(160, card.clientWidth * SHARE)));
  const rest = () => {
    from = going = null;
    word.hidden = true;
    card.classList.remove("swiping", "meant");
    moves.style.transform = "";
  };

  card.addEventListener("pointerdown", (event) => {
    const own = event.target.closest("input, select, textarea, .strip, .picker, .scroll, dialog, [data-no-swipe]");
    if (event.pointerType === "mouse" || !event.isPrimary || own) return;
    from = { x: event.clientX, y: event.clientY, id: event.pointerId, clip: Boolean(event.target.closest("#player")), ways: ways() };
  });
  card.addEventListener("pointermove", (event) => {
    if (!from || event.pointerId !== from.id) return;
    const x = event.clientX - from.x;
    const y = event.clientY - from.y;
    if (!going) {
      if (Math.hypot(x, y) < START) return;
      const flat = Math.abs(x) > 1.5 * Math.abs(y);
      const up = from.clip && -y > 1.5 * Math.abs(x);
      const way = flat ? (x > 0 ? "right" : "left") : up ? "up" : null;
      if (!way || !from.ways[way]) {
        from = null;
        return;
      }
      going = way;
      card.setPointerCapture(event.pointerId);
      card.classList.add("swiping");
      word.dataset.way = way;
      word.textContent = from.ways[way].words;
      word.hidden = false;
    }
    const gone = going === "up" ? -y : going === "right" ? x : -x;
    card.classList.toggle("meant", gone >= far(going));
    if (!calm.matches) moves.style.transform = going === "up" ? `translateY(${Math.min(0, y)}px)` : `translateX(${going === "right" ? Math.max(0, x) : Math.min(0, x)}px)`;
  });
  card.addEventListener("pointerup", (event) => {
    if (!from || event.pointerId !== from.id) return;
    const meant = going && card.classList.contains("meant") ? from.ways[going] : null;
    rest();
    meant?.act();
  });
  card.addEventListener("pointercancel", rest);
}
