# pip install onnxruntime numpy pillow tokenizers jieba
import json
import numpy as np
import onnxruntime as ort
from PIL import Image, ImageOps
from tokenizers import Tokenizer

model = ort.InferenceSession("BUNDLE_FILE")
meta = model.get_modelmeta().custom_metadata_map
about = json.loads(meta["bundle"])
# one clip: its pictures in order of time, and its texts
pictures = []  # ["frame1.jpg", "frame2.jpg"]
texts = {"title": "ollie in the park", "asr": "", "ocr": ""}

def square(path, side, resize):
    image, size = Image.open(path).convert("RGB"), (side, side)
    if resize == "crop":
        return ImageOps.fit(image, size, Image.Resampling.BILINEAR)
    if resize == "pad":
        return ImageOps.pad(image, size, Image.Resampling.BILINEAR)
    return image.resize(size, Image.Resampling.BILINEAR)

def is_han(c):
    spans = ("\u3400\u4dbf", "\u4e00\u9fff", "\uf900\ufaff", "\U00020000\U000323af")
    return any(a <= c <= b for a, b in spans)

def runs(text):
    """Runs of Han characters and of other letters and digits."""
    found, open_ = [], False
    for c in text[:20000]:
        c = chr(ord(c) - 0xFEE0) if "\uff01" <= c <= "\uff5e" else c
        for c in c.lower():
            if not c.isalnum():
                open_ = False
            elif open_ and is_han(found[-1][-1]) == is_han(c):
                found[-1] += c
            else:
                found.append(c)
                open_ = True
    return found

def pieces(text, unit):
    for run in runs(text):
        if unit == "word" and is_han(run[0]):
            import jieba
            yield from jieba.cut(run)
        elif unit == "word":
            yield run
        else:
            for i, c in enumerate(run):
                yield c if i == 0 or is_han(c) else "##" + c

def tokens(text):
    """Ids and kinds of what the budget lets through."""
    vocabulary, budget = text["vocabulary"], text["budget"]
    ids = {p: i for i, p in enumerate(vocabulary["pieces"])}
    fields = ("title", "asr", "ocr")
    cut = [list(pieces(texts.get(f, ""), vocabulary["unit"])) if budget[f] else [] for f in fields]
    n = [len(c) for c in cut]
    rest = sum(budget.values())
    title = min(n[0], rest)
    rest -= title
    asr = min(n[1], budget["asr"], rest)
    ocr = min(n[2], budget["ocr"], rest - asr)
    more = min(rest - asr - ocr, n[1] - asr)
    asr, ocr = asr + more, ocr + min(rest - asr - ocr - more, n[2] - ocr)
    head = (asr + 1) // 2
    kept = [cut[0][:title], cut[1][:head] + cut[1][n[1] - asr + head :], cut[2][n[2] - ocr :]]
    row = [(ids.get(p, 1), kind) for kind, part in enumerate(kept) for p in part]
    return np.array([row or [(0, 0)]], np.int64).transpose(2, 0, 1)

x = {}
for p in about["pictures"]:
    n, side = p["frames"], p["side"]
    chosen = pictures
    if len(chosen) > n:  # an even spread
        chosen = [chosen[(2 * i + 1) * len(chosen) // (2 * n)] for i in range(n)]
    pixels = np.zeros((1, n, side, side, 3), np.uint8)
    live = np.zeros((1, n), np.float32)
    for i, path in enumerate(chosen):
        pixels[0, i] = np.asarray(square(path, side, p["resize"]))
        live[0, i] = 1
    x[p["pixels"]], x[p["live"]] = pixels, live
for s in about["sentences"]:
    cutter = Tokenizer.from_str(meta[s["tokenizer"]])
    cutter.no_padding()
    cutter.enable_truncation(s["max_tokens"])
    rows = [texts.get(f, "").strip() for f in s["fields"]]
    rows = [cutter.encode(s["prefix"] + r).ids if r else [] for r in rows]
    ids = np.zeros((1, len(rows), max(1, *map(len, rows))), np.int64)
    for i, row in enumerate(rows):
        ids[0, i, : len(row)] = row
    x[s["ids"]] = ids
    x[s["lengths"]] = np.array([[len(r) for r in rows]], np.int64)
for t in about["tokens"]:
    x[t["ids"]], x[t["kinds"]] = tokens(json.loads(meta[t["text"]]))
for v in about["vectors"]:
    # only Tamis makes these; zeros count as missing
    x[v["input"]] = np.zeros((1, v["dimension"]), np.float32)
p = model.run(["probabilities"], x)[0][0]
classes = json.loads(meta["classes"])
for i in p.argsort()[::-1][:5]:
    print(classes[i], f"{p[i]:.6f}")
