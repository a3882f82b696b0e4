// What is said without being asked: one quiet line on the screen, and one for screen readers alone.
const line = (id) => document.getElementById(id);

export function say(text) {
  const el = line("word");
  if (el) el.textContent = text;
}

// Twice the same words are still two pieces of news.
let odd = false;
export function announce(text) {
  const el = line("announce");
  odd = !odd;
  if (el) el.textContent = odd ? text : `${text}\u00a0`;
}
