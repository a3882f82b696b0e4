"""A small dataset for the browser test: 56 drawn clips of four classes, four of them labelled wrongly.

Clips come from ffmpeg's own sources, varied by hue, speed and place; titles in English and Chinese. All is
decided by the index of a clip, so two runs make the same dataset.
"""

import json
import os
import shutil
import subprocess
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

NAME = "shapes"  # of the dataset
FOLDS_NEED = 14  # clips of a class: enough for five folds, wrong labels included

# id, parent, English, Chinese
NODES = [
    ("patterns", None, "Patterns", "图案"),
    ("bars", "patterns", "Colour bars", "彩条"),
    ("gradient", "patterns", "Gradients", "渐变"),
    ("mathematics", None, "Mathematics", "数学"),
    ("mandelbrot", "mathematics", "Mandelbrot sets", "曼德博集合"),
    ("cells", "mathematics", "Cell automata", "元胞自动机"),
]
CLASSES = [node[0] for node in NODES if node[1]]
NAMES = {node[0]: {"en": node[2], "zh-CN": node[3]} for node in NODES}

# clip -> the label it is given instead of its own
WRONG = {"bars-03": "cells", "gradient-05": "mandelbrot", "mandelbrot-08": "bars", "cells-11": "gradient"}

TITLES = {
    "bars": "Colour bars on a test card 测试卡上的彩条 {i}",
    "gradient": "Soft gradient flowing slowly 缓慢流动的柔和渐变 {i}",
    "mandelbrot": "Zoom into the Mandelbrot fractal 放大曼德博分形 {i}",
    "cells": "Cells live and die on a grid 网格上的细胞生与死 {i}",
}


def source(name: str, i: int) -> str:
    """The ffmpeg source that draws clip `i` of class `name`."""
    size, rate = "192x144", 12
    return {
        "bars": f"smptehdbars=s={size}:r={rate},hue=h={i * 5}:s={1 - i * 0.03:.2f},rotate=0.02*{i}*t",
        "gradient": f"gradients=s={size}:r={rate}:seed={i + 1}:speed=0.05:n=3",
        "mandelbrot": f"mandelbrot=s={size}:r={rate}:start_scale={0.9 - i * 0.05:.2f}:end_pts=60:maxiter=300,hue=h={i * 4}",
        "cells": f"life=s=48x36:r={rate}:seed={i + 1}:ratio=0.3{i % 5}:mold=8:life_color=#{20 + i * 5:02x}ff40,scale={size}:flags=neighbor",
    }[name]


def draw(ffmpeg: str, folder: Path, name: str, i: int) -> None:
    target = folder / f"{name}-{i:02}.mp4"
    if target.exists():
        return
    command = [ffmpeg, "-v", "error", "-nostdin", "-y", "-threads", "1", "-f", "lavfi", "-i", source(name, i)]
    command += ["-t", "2", "-c:v", "libx264", "-preset", "ultrafast", "-crf", "30", "-pix_fmt", "yuv420p"]
    part = target.with_suffix(".part.mp4")
    subprocess.run([*command, "-movflags", "+faststart", str(part)], check=True)
    part.rename(target)


def ids() -> list[str]:
    return [f"{name}-{i:02}" for i in range(FOLDS_NEED) for name in CLASSES]


def row(clip: str, video: bool = True) -> dict:
    name, i = clip.split("-")
    made = {"id": clip, "title": TITLES[name].format(i=int(i)), "label": WRONG.get(clip, name)}
    if video:
        made["video"] = f"{clip}.mp4"
    if int(i) % 2 == 0:
        made["asr"] = f"this is clip {int(i)}, 这是第 {int(i)} 段"
    if int(i) % 3 == 0:
        made["ocr"] = [{"time": 0.5, "text": f"no. {int(i)}"}, {"time": 1.5, "text": "完"}]
    return made


def write_lines(path: Path, rows: list[dict]) -> Path:
    path.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows), encoding="utf-8")
    return path


def make(folder: Path) -> dict[str, Path]:
    """Writes everything below `folder`; returns the paths of taxonomy, annotations, media and the bad rows."""
    ffmpeg = os.environ.get("TAMIS_FFMPEG") or shutil.which("ffmpeg")
    if not ffmpeg:
        raise SystemExit("no ffmpeg: set TAMIS_FFMPEG or run scripts/setup")
    clips = folder / "clips"
    clips.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(max_workers=2) as pool:
        list(pool.map(lambda clip: draw(ffmpeg, clips, clip.split("-")[0], int(clip.split("-")[1])), ids()))
    media = folder / "clips.zip"
    with zipfile.ZipFile(media, "w", zipfile.ZIP_STORED) as z:
        for clip in ids():
            z.write(clips / f"{clip}.mp4", f"{clip}.mp4")
    taxonomy = folder / "taxonomy.json"
    nodes = [{"id": n, "parent": parent, "name": en, "name_zh": zh} for n, parent, en, zh in NODES]
    taxonomy.write_text(json.dumps({"nodes": nodes}, ensure_ascii=False, indent=1), encoding="utf-8")
    good = [row(clip) for clip in ids()]
    bad = [row(clip, video=False) for clip in ids()[:6]]
    bad[2]["label"] = "no-such-class"
    return {
        "taxonomy": taxonomy,
        "annotations": write_lines(folder / "annotations.jsonl", good),
        "media": media,
        "bad": write_lines(folder / "bad rows.jsonl", bad),
    }
