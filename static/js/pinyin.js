// How Chinese names are spelled: whole syllables and initials. The table is fetched when the first
// Chinese name or query asks for it.
const HAN = /[\u4e00-\u9fff]/;
const SPELLINGS = 6; // of one name, where characters have several readings

let table = null;

export const chinese = (text) => HAN.test(text);

// A function from a character to its readings, the commonest first; none for other characters.
export function readings() {
  table ??= import("./pinyin-table.js").then(({ FIRST, DIGITS, SETS, CODES }) => {
    const sets = SETS.split(",").map((set) => set.split(" ").filter(Boolean));
    const digit = new Map([...DIGITS].map((d, i) => [d, i]));
    return (char) => {
      const at = 2 * (char.charCodeAt(0) - FIRST);
      if (!(at >= 0 && at < CODES.length)) return [];
      return sets[digit.get(CODES[at]) * DIGITS.length + digit.get(CODES[at + 1])];
    };
  });
  table.catch(() => (table = null));
  return table;
}

// 音乐 -> [["yinle", "yl"], ["yinyue", "yy"]]; other letters stay as they are.
export function spell(name, read) {
  let all = [["", ""]];
  for (const char of name.toLowerCase()) {
    const known = read(char);
    const said = known.length ? known : [/[a-z0-9]/.test(char) ? char : ""];
    const more = said.flatMap((s) => all.map(([whole, first]) => [whole + s, first + s.slice(0, 1)]));
    // the first of each is made of the commonest readings
    all = more.length > SPELLINGS ? more.slice(0, Math.max(SPELLINGS, all.length)) : more;
  }
  return all.filter(([whole]) => whole);
}
