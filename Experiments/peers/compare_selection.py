#!/usr/bin/env python3
"""Compare attention over blocks that are selected by data with its judges, forward and backward.

    python Experiments/peers/compare_selection.py [--attnlab .build/release/attnlab]

Judges, in float64, written from the naive code of others:

- `moba`: `moba_attn_varlen_naive` of MoonshotAI/MoBA (moba/moba_naive.py): mean keys, the own block first, past blocks alone, top-k.
  Its chunked `parallel_moba` in flash-linear-attention (fla/ops/moba/parallel.py) chooses the same blocks. Without causality it says
  nothing; here every block is a candidate then, which is judged too.

Shapes are those of softmax_peers.py. Errors are the largest difference over the largest element. Needs torch and numpy. Prints a
line a comparison; exits 1 when one is outside its bound.
"""

import math
import sys

import torch
from softmax_peers import draw_inputs, errors, floored_error, parser, walk


def spread(x, heads):
    return x.repeat_interleave(heads // x.shape[1], 1)


def softmax_over(q, k, v, seen):
    """Rows that see nothing give 0."""
    s = (q @ k.transpose(2, 3) * q.shape[-1] ** -0.5).masked_fill(~seen, -torch.inf)
    return torch.where(seen.any(-1, keepdim=True), torch.softmax(s, -1), 0.0) @ v


def visible(n, keys, causal):
    i, j = torch.arange(n)[:, None] + (keys - n if causal else 0), torch.arange(keys)[None]
    return (j <= i) if causal else torch.ones(n, keys, dtype=torch.bool)


def moba_blocks(q, k, size, count, causal, positions):
    """Which blocks every row of one sequence takes, `[heads, n, blocks]`, as moba_attn_varlen_naive finds them."""
    blocks = math.ceil(k.shape[1] / size)
    means = torch.stack([k[:, b * size:(b + 1) * size].mean(1) for b in range(blocks)], 1)
    gate = torch.einsum("hsd,hnd->hsn", q, means)
    own = positions // size
    for b in range(blocks):
        if causal:
            gate[:, own < b, b] = -torch.inf
        gate[:, own == b, b] = torch.inf
    taken = torch.zeros_like(gate, dtype=torch.bool)
    taken.scatter_(-1, gate.topk(min(count, blocks), -1).indices, True)
    return taken & (gate > -torch.inf)


def moba(t, shape, size, count):
    batch, heads, _, n, keys, _, causal, lengths = shape
    k, v = spread(t["k"], heads), spread(t["v"], heads)
    seen = torch.zeros(batch, heads, n, keys, dtype=torch.bool)
    positions = torch.arange(n) + (keys - n if causal else 0)
    for sequence in range(batch):
        valid = lengths[sequence] if lengths else keys
        with torch.no_grad():
            taken = moba_blocks(t["q"][sequence], k[sequence, :, :valid], size, count, causal, positions)
        seen[sequence, :, :, :valid] = taken.repeat_interleave(size, -1)[:, :, :valid]
    return softmax_over(t["q"], k, v, seen & visible(n, keys, causal))


CASES = [
    (f"moba, {count} blocks of {size}", lambda t, shape, size=size, count=count: moba(t, shape, size, count), "moba",
     [f"block_size={size}", f"blocks={count}"])
    for size, count in [(16, 3), (12, 2), (32, 1), (8, 50)]
]


def compare(program, case, shape):
    _, judge, variant, settings = case
    return errors(program, variant, settings, draw_inputs(shape), shape, lambda t: judge(t, shape), floored_error)


def main():
    options = parser().parse_args()
    sys.exit(0 if walk(options.attnlab, CASES, compare, width=24) else 1)


if __name__ == "__main__":
    main()
