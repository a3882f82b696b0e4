#!/usr/bin/env python3
"""The plain Python way to embed clips, for comparison: OpenCV decodes, onnxruntime embeds.

Same model file, same eight mid-segment frames, same centre crop to 224 px. Prints clips, the
share that could be decoded, wall and CPU seconds as JSON.

    pip install opencv-python-headless onnxruntime numpy
    python3 benches/python_loop.py CLIPS_DIR [--threads 1] [--workers 1]
"""
import argparse
import json
import os
import resource
import time
from multiprocessing import Pool
from pathlib import Path

import cv2
import numpy as np
import onnxruntime as ort

MODEL = Path(__file__).resolve().parent.parent / "models" / "efficientnet-lite0-int8.onnx"
SESSION = None


def session(threads):
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return ort.InferenceSession(str(MODEL), options, providers=["CPUExecutionProvider"])


def start(threads):
    global SESSION
    cv2.setNumThreads(1)
    SESSION = session(threads)


def frames(path):
    capture = cv2.VideoCapture(str(path))
    all_frames = []
    while True:
        ok, image = capture.read()
        if not ok:
            break
        all_frames.append(image)
    if not all_frames:
        return None
    picked = [all_frames[min(len(all_frames) - 1, (2 * k + 1) * len(all_frames) // 16)] for k in range(8)]
    out = []
    for image in picked:
        height, width = image.shape[:2]
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        square = cv2.resize(image[top : top + side, left : left + side], (224, 224), interpolation=cv2.INTER_AREA)
        out.append(cv2.cvtColor(square, cv2.COLOR_BGR2RGB))
    return ((np.stack(out).astype(np.float32) - 127.0) / 128.0).transpose(0, 3, 1, 2)


def embed(path):
    batch = frames(path)
    if batch is None:
        return None
    return SESSION.run(["feat"], {"input": np.ascontiguousarray(batch)})[0].mean(axis=0)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("clips", type=Path)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    arguments = parser.parse_args()
    paths = sorted(arguments.clips.glob("*.mp4"))
    began = time.perf_counter()
    with Pool(arguments.workers, start, (arguments.threads,)) as pool:
        vectors = pool.map(embed, paths, chunksize=8)
    wall = time.perf_counter() - began
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    decoded = sum(v is not None for v in vectors)
    print(
        json.dumps(
            {
                "clips": len(paths),
                "decoded": decoded,
                "wall_s": round(wall, 2),
                "cpu_s": round(usage.ru_utime + usage.ru_stime, 2),
                "clips_per_s": round(decoded / wall, 1),
                "peak_mib_of_one_worker": usage.ru_maxrss // 1024,
            }
        )
    )


if __name__ == "__main__":
    main()
