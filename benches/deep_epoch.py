#!/usr/bin/env python3
"""CPU seconds of one epoch in PyTorch, on one thread: the networks of benches/deep_epoch.rs, beside which it is run.

    python3 benches/deep_epoch.py [ROWS] [CLIPS]

AdamW, dropout 0.1, the same sizes, batches and losses; the single-stream is made of the same blocks (pre-norm, ReLU),
with PyTorch's own fused attention. Nothing is measured but the epochs: the data lie ready as tensors.
"""

import sys
import time

import torch
from torch import nn
from torch.nn import functional as F

torch.set_num_threads(1)
torch.manual_seed(1)
K, DIM = 200, 512


def epochs(name, model, batches, rate):
    print(name)
    optimiser = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.01)
    model.train()
    for epoch in range(2):
        cpu, wall = time.process_time(), time.perf_counter()
        for x, y in batches():
            optimiser.zero_grad(set_to_none=True)
            loss = F.cross_entropy(model(*x), y)
            loss.backward()
            optimiser.step()
        print(f"epoch {epoch}: {time.process_time() - cpu:.2f} CPU-s, {time.perf_counter() - wall:.2f} s", flush=True)


class Block(nn.Module):
    def __init__(self, d, hidden, heads):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(d), nn.LayerNorm(d)
        self.q, self.k, self.v, self.o = (nn.Linear(d, d) for _ in range(4))
        self.ff1, self.ff2 = nn.Linear(d, hidden), nn.Linear(hidden, d)
        self.heads = heads

    def forward(self, x):
        n, s, d = x.shape
        y = self.norm1(x)
        q, k, v = (f(y).view(n, s, self.heads, -1).transpose(1, 2) for f in (self.q, self.k, self.v))
        read = F.scaled_dot_product_attention(q, k, v, dropout_p=0.1 if self.training else 0.0)
        x = x + F.dropout(self.o(read.transpose(1, 2).reshape(n, s, d)), 0.1, self.training)
        return x + F.dropout(self.ff2(F.relu(self.ff1(self.norm2(x)))), 0.1, self.training)


class Single(nn.Module):
    def __init__(self, d=128, layers=2, heads=4, hidden=256, frames=8, tokens=64, vocabulary=8000):
        super().__init__()
        self.proj, self.embed = nn.Linear(DIM, d), nn.Embedding(vocabulary, d)
        self.frame_at, self.token_at = nn.Parameter(torch.zeros(frames, d)), nn.Parameter(torch.zeros(tokens, d))
        self.kinds = nn.Parameter(torch.zeros(4, d))
        self.cls, self.sep = nn.Parameter(torch.zeros(d)), nn.Parameter(torch.zeros(d))
        self.first, self.last = nn.LayerNorm(d), nn.LayerNorm(d)
        self.blocks = nn.ModuleList(Block(d, hidden, heads) for _ in range(layers))
        self.head = nn.Linear(2 * d, K)

    def forward(self, frames, ids):
        n = len(ids)
        f = self.proj(frames) + self.frame_at + self.kinds[0]
        t = self.embed(ids) + self.token_at + self.kinds[1]
        cls, sep = (v.expand(n, 1, -1) for v in (self.cls, self.sep))
        x = F.dropout(self.first(torch.cat([cls, f, sep, t], 1)), 0.1, self.training)
        for block in self.blocks:
            x = block(x)
        x = self.last(x)
        return self.head(F.dropout(torch.cat([x[:, 0], x.mean(1)], 1), 0.1, self.training))


def main():
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    clips = int(sys.argv[2]) if len(sys.argv) > 2 else 10_000
    if rows:
        x, y = torch.randn(rows, DIM), torch.arange(rows) * 7919 % K
        model = nn.Sequential(nn.Linear(DIM, 256), nn.ReLU(), nn.Dropout(0.1), nn.Linear(256, K))

        def dense():
            for part in torch.randperm(rows).split(1024):
                yield (x[part],), y[part]

        epochs(f"mlp 512-256-200, {rows} rows", model, dense, 0.001)
    if clips:
        frames = torch.randn(4096, DIM)
        ids = torch.stack([5 + (i * 31 + torch.arange(64) * 17) % 7995 for i in range(clips)])
        y = torch.arange(clips) % K

        def sequences():
            for part in torch.randperm(clips).split(64):
                at = (part[:, None] * 8 + torch.arange(8)) % 4096
                yield (frames[at], ids[part]), y[part]

        epochs(f"single, 8 frames and 64 tokens, d 128, 2 layers, {clips} clips, batch 64", Single(), sequences, 5e-4)


if __name__ == "__main__":
    main()
