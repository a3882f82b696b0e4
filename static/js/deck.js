// Cards ahead of the person: fetched, and their clips loading, before they are needed.
import { backOff, page, passing } from "./api.js";

const sleep = (ms) =>
  new Promise((wake) => {
    addEventListener("online", wake, { once: true });
    setTimeout(wake, ms);
  });

// Runs `what` until it succeeds or fails for good; `waits` hears of each passing failure.
export async function insist(what, waits = () => {}) {
  for (let tries = 0; ; tries++) {
    try {
      return await what();
    } catch (error) {
      // somebody signing in again ends a 401
      if (!passing(error) && error.status !== 401) throw error;
      waits(error);
      await sleep(error.status === 401 ? 2000 : backOff(tries, error));
    }
  }
}

// A card that is put on the page once, its clip and pictures loading from now on; `again` makes another of
// the same.
function cardOf(doc) {
  const parsed = doc.getElementById("card");
  if (!parsed) return null;
  const video = parsed.querySelector("#player video");
  if (video) {
    // it plays when it is shown; until then it only loads
    video.removeAttribute("autoplay");
    video.preload = "auto";
  }
  // elements of a parsed page load nothing: those of this page do
  const card = document.importNode(parsed, true);
  const clip = card.querySelector("#player video");
  if (clip) clip.muted = true;
  if (clip?.poster) new Image().src = clip.poster;
  return { card, again: () => cardOf(doc) };
}

// { doc, url, card, again } with everything in it on its way; `card` is missing from a page without one.
export async function fetchCard(url, waits) {
  const doc = await insist(() => page(url), waits);
  return { doc, url, ...cardOf(doc) };
}
