"""Writes static/js/pinyin-table.js: how each Chinese character is read, without tones.

    python3 -m pip install --target DIR pypinyin==0.55.0
    PYTHONPATH=DIR python3 scripts/pinyin_table.py

The readings are those of the package pypinyin (MIT; its licence is copied into the file). Characters
U+4E00 to U+9FFF each have two printable characters that number a set of readings, commonest reading
first; sets are listed once. About 65 KB, 30 KB compressed. The same package gives the same bytes.
"""

import unicodedata
from collections import Counter
from importlib.metadata import distribution
from pathlib import Path

from pypinyin.pinyin_dict import pinyin_dict

FIRST, LAST = 0x4E00, 0x9FFF
READINGS = 3  # of a character in GB 2312; rare ones have their first reading only
# printable, and nothing that a string or a template would escape
DIGITS = "".join(chr(c) for c in range(0x23, 0x7F) if chr(c) not in "\\`$\"'")
TARGET = Path(__file__).parent.parent / "static/js/pinyin-table.js"


def plain(reading: str) -> str:
    """`lǜ` -> `lv`, `zhōng` -> `zhong`, `ê̄` -> `e`."""
    letters = unicodedata.normalize("NFD", "".join("v" if c in "üǖǘǚǜ" else c for c in reading))
    return "".join(c for c in letters if "a" <= c <= "z")


def common(char: int) -> bool:
    try:
        return bool(chr(char).encode("gb2312"))
    except UnicodeEncodeError:
        return False


def readings(char: int) -> str:
    found = dict.fromkeys(plain(r) for r in pinyin_dict.get(char, "").split(","))
    return " ".join([r for r in found if r][: READINGS if common(char) else 1])


def main() -> None:
    of_char = [readings(c) for c in range(FIRST, LAST + 1)]
    sets = [s for s, _ in sorted(Counter(of_char).items(), key=lambda kv: (-kv[1], kv[0]))]
    assert len(sets) <= len(DIGITS) ** 2, len(sets)
    number = {s: DIGITS[i // len(DIGITS)] + DIGITS[i % len(DIGITS)] for i, s in enumerate(sets)}
    package = distribution("pypinyin")
    licence = next(f for f in package.files if "LICENSE" in f.name).read_text(encoding="utf-8")
    notice = "".join(f"// {line}".rstrip() + "\n" for line in licence.strip().splitlines())
    TARGET.write_text(
        f"// Readings of Chinese characters without tones, made by scripts/pinyin_table.py from pypinyin {package.version}:\n//\n"
        f"{notice}\n"
        f"export const FIRST = {FIRST};\n"
        f'export const DIGITS = "{DIGITS}";\n'
        f'export const SETS = "{",".join(sets)}";\n'
        f'export const CODES = "{"".join(number[s] for s in of_char)}";\n',
        encoding="utf-8",
    )
    print(f"{TARGET.stat().st_size} bytes, {len(sets)} sets")


if __name__ == "__main__":
    main()
