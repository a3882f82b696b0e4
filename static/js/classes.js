// The classes of a dataset as one searches them: by Chinese, pinyin, initials, English and id, words in
// any order, with gaps, slips and swapped letters at the end of the list. 10,000 classes take a few
// milliseconds a key.
import { get } from "./api.js";
import { lang } from "./messages.js";
import { chinese, readings, spell } from "./pinyin.js";

const GUESSED = 6; // what fits worse than this has gaps: then slips may have been meant as well
const loaded = new Map();
const indexed = new Map();

// { all, leaves, byId }; read once for each dataset and page, indexed once for each taxonomy.
export function classes(api) {
  if (!loaded.has(api)) {
    const made = get(`${api}/taxonomy`).then(async ({ hash, nodes }) => {
      const key = `${hash} ${nodes.length} ${lang}`;
      if (!indexed.has(key)) {
        const han = nodes.some((n) => Object.values(n.names ?? {}).some(chinese));
        // without the table everything but pinyin is found
        const read = han ? await readings().catch(() => null) : null;
        indexed.set(key, await index(nodes, read));
      }
      return indexed.get(key);
    });
    made.catch(() => loaded.delete(api));
    loaded.set(api, made);
  }
  return loaded.get(api);
}

// One bit for each Latin letter, and one for everything else.
function mask(text) {
  let bits = 0;
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i);
    if (c >= 97 && c <= 122) bits |= 1 << (c - 97);
    else if (c !== 10 && c !== 32) bits |= 1 << 26;
  }
  return bits;
}

// The same for everything that is no Latin letter: several share a bit.
function signs(text) {
  let bits = 0;
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i);
    if (c > 127) bits |= 1 << (Math.imul(c, 0x9e3779b1) >>> 27);
  }
  return bits;
}

const lines = (list) => `\n${list.join("\n")}\n`;

// Time for others, after so many classes.
const SLICE = 400;
const pause = () => new Promise((go) => setTimeout(go));

export async function index(nodes, read) {
  const byId = new Map(nodes.map((n) => [n.id, n]));
  const inner = new Set(nodes.map((n) => n.parent).filter((p) => p != null));
  const name = (n) => n.names?.[lang] || n.names?.en || n.id;
  const cache = new Map();
  const spelled = (n) => {
    if (!cache.has(n.id)) {
      const names = Object.values(n.names ?? {}).filter(chinese);
      cache.set(n.id, read ? [...new Set(names.flatMap((s) => spell(s, read)).flat())] : []);
    }
    return cache.get(n.id);
  };
  const paths = new Map();
  // what stands above the children of a node
  const above = (id) => {
    if (!paths.has(id)) {
      const path = [];
      for (let at = byId.get(id); at && path.length < 32; at = byId.get(at.parent)) path.unshift(at);
      const names = path.flatMap((a) => [...Object.values(a.names ?? {}), a.id]).map((s) => s.toLowerCase());
      const words = lines([...names, ...path.flatMap(spelled)]);
      paths.set(id, { path: path.map(name).join(" / "), words, mask: mask(words), signs: signs(words) });
    }
    return paths.get(id);
  };
  const leafOf = (n, order) => {
    const own = [...new Set([name(n), ...Object.values(n.names ?? {}), n.id].map((s) => s.normalize("NFKC").toLowerCase()))];
    const pinyin = spelled(n);
    const over = above(n.parent);
    const parts = [...own, ...pinyin];
    const masks = parts.map(mask);
    return {
      id: n.id,
      order,
      name: name(n),
      above: over.path,
      own: lines(own),
      pinyin: lines(pinyin),
      // above this class, names and pinyin alike
      over: over.words,
      text: parts.join("\n") + over.words,
      mask: masks.reduce((all, one) => all | one, over.mask),
      signs: signs(own.join("")) | over.signs,
      parts,
      masks,
      length: name(n).length,
    };
  };
  const leaves = [];
  for (const n of nodes) {
    if (inner.has(n.id)) continue;
    leaves.push(leafOf(n, leaves.length));
    if (leaves.length % SLICE === 0) await pause();
  }
  return { leaves, byId: new Map(leaves.map((c) => [c.id, c])) };
}

// The letters of `word` in this order within `text`: how much wider than the word, else -1.
function within(word, text) {
  let first = -1;
  let at = -1;
  for (let i = 0; i < word.length; i++) {
    at = text.indexOf(word[i], at + 1);
    if (at < 0) return -1;
    if (i === 0) first = at;
  }
  return at - first + 1 - word.length + (first === 0 ? 0 : 4);
}

// `word` begins `text` but for at most `most` slips: a letter too many, missing, wrong, or swapped.
function slips(word, text, most) {
  const wide = Math.min(text.length, word.length + most);
  let before = null;
  let row = Array.from({ length: wide + 1 }, (_, j) => j);
  for (let i = 1; i <= word.length; i++) {
    const next = [i];
    let least = i;
    for (let j = 1; j <= wide; j++) {
      const same = word[i - 1] === text[j - 1];
      let cost = Math.min(row[j] + 1, next[j - 1] + 1, row[j - 1] + (same ? 0 : 1));
      if (before && word[i - 1] === text[j - 2] && word[i - 2] === text[j - 1]) cost = Math.min(cost, before[j - 2] + 1);
      next.push(cost);
      if (cost < least) least = cost;
    }
    if (least > most) return false;
    before = row;
    row = next;
  }
  return Math.min(...row) <= most;
}

const sorted = (text) => [...text].sort().join("");

function bits(n) {
  let count = 0;
  for (let left = n; left; left &= left - 1) count += 1;
  return count;
}

// Smaller fits better; Infinity does not fit.
function fit(c, word) {
  // most classes are done with here: they lack one of the letters
  if ((word.mask & ~c.mask) !== 0 || (word.signs & ~c.signs) !== 0) return Infinity;
  if (c.text.includes(word.text)) {
    if (c.own.includes(word.line)) return c.own.includes(word.alone) ? 0 : 1;
    if (c.pinyin.includes(word.line)) return c.pinyin.includes(word.alone) ? 1 : 2;
    if (c.own.includes(word.text)) return c.own.includes(word.inside) ? 2 : 3;
    if (c.over.includes(word.line)) return 4;
    return word.text.length > 2 && c.pinyin.includes(word.text) ? 4 : 5;
  }
  if (word.text.length < 2) return Infinity;
  let best = Infinity;
  for (let i = 0; i < c.parts.length; i++) {
    if ((word.mask & ~c.masks[i]) !== 0) continue;
    const gap = within(word.text, c.parts[i]);
    if (gap >= 0 && gap < best) best = gap;
  }
  return best === Infinity ? Infinity : 6 + Math.min(best, 12) / 6;
}

// What may have been meant: slips of the fingers, then the same letters in any order.
function guess(c, word) {
  const n = word.text.length;
  // of a Chinese word every sign counts
  if (n < 3 || word.signs) return Infinity;
  const most = n < 4 ? 0 : n < 8 ? 1 : 2;
  let best = Infinity;
  for (let i = 0; i < c.parts.length; i++) {
    const strange = bits(word.mask & ~c.masks[i]);
    if (most && strange <= most)
      for (const part of c.parts[i].split(/[\s/_-]+/)) {
        if (part.length >= n - most && slips(word.text, part, most)) return 9;
      }
    if (strange === 0 && Math.abs(c.parts[i].length - n) <= 1) {
      const letters = sorted(c.parts[i]);
      if (within(word.letters, letters) >= 0) best = 10;
    }
  }
  return best;
}

// The best `limit` classes for what was typed; recent ones (ids, newest first) come first among equals.
export function search({ leaves, byId }, typed, recent = [], limit = 40) {
  const texts = typed.normalize("NFKC").toLowerCase().split(/[\s/,，、]+/).filter(Boolean);
  const place = new Map(recent.map((id, i) => [id, i]));
  if (!texts.length) {
    const first = recent.map((id) => byId.get(id)).filter(Boolean);
    return [...first, ...leaves.slice(0, limit + first.length).filter((c) => !place.has(c.id))].slice(0, limit);
  }
  const word = (text) => ({ text, line: `\n${text}`, alone: `\n${text}\n`, inside: ` ${text}`, mask: mask(text), signs: signs(text), letters: sorted(text) });
  const words = texts.map(word);
  const whole = words.length > 1 ? word(texts.join(" ")) : null;
  const rank = (how, among) => {
    const found = [];
    for (const c of among) {
      let score = whole && c.own.includes(whole.line) ? -2 : 0;
      for (const w of words) {
        score += how(c, w);
        if (score === Infinity) break;
      }
      if (score !== Infinity) found.push([score, c]);
    }
    return found;
  };
  let found = rank(fit, leaves);
  if (!found.some(([score]) => score < GUESSED * words.length))
    found = rank((c, w) => {
      const fits = fit(c, w);
      return fits < GUESSED ? fits : Math.min(fits, guess(c, w));
    }, leaves);
  if (found.length > 4 * limit) {
    const worst = Float64Array.from(found, ([score]) => score).sort()[limit - 1];
    found = found.filter(([score]) => score <= worst);
  }
  const last = recent.length;
  found.sort(
    ([a, x], [b, y]) => a - b || (place.get(x.id) ?? last) - (place.get(y.id) ?? last) || x.length - y.length || x.order - y.order,
  );
  return found.slice(0, limit).map(([, c]) => c);
}
