// Browsing the suspects of a filter on the sample page: the next ones are the links of each page.
import { fetchCard } from "./deck.js";

const AHEAD = 2;

export class Walk {
  constructor() {
    this.known = new Map();
  }

  fetch(url, waits) {
    if (!this.known.has(url)) {
      const made = fetchCard(url, waits);
      made.catch(() => this.known.delete(url));
      made.then((page) => (made.page = page)).catch(() => {});
      this.known.set(url, made);
    }
    return this.known.get(url);
  }

  // The page behind `url` if it is there already.
  ready(url) {
    return this.known.get(url)?.page ?? null;
  }

  forget(url) {
    this.known.delete(url);
  }

  async ahead(root = document, depth = AHEAD) {
    const next = root.querySelector('#main a[rel="next"]')?.getAttribute("href");
    if (!next || depth === 0) return;
    const page = await this.fetch(next).catch(() => null);
    if (page) await this.ahead(page.doc, depth - 1);
  }
}
