#!/usr/bin/env python3
"""Compare attention over blocks that are selected by data with its judges, forward and backward.

    python Experiments/peers/compare_selection.py [--attnlab .build/release/attnlab]

Judges, in float64, written from the naive code of others:

- `moba`: `moba_attn_varlen_naive` of MoonshotAI/MoBA (moba/moba_naive.py): mean keys, the own block first, past blocks alone, top-k.
  Its chunked `parallel_moba` in flash-linear-attention (fla/ops/moba/parallel.py) chooses the same blocks. Without causality it says
  nothing; here every block is a candidate then, which is judged too.
- `nsa`: `naive_nsa` of flash-linear-attention (fla/ops/nsa/naive.py): `naive_nsa_topk`, `naive_nsa_selection`,
  `naive_nsa_compression` and a window, with gates after σ. It has one block size and compresses by means; that is judged at
  these weights. With strides and weights of blocks the judge is the paper's equations 7 to 10, the same code where all sizes are one.
- `quest`: written from the paper (Tang et al., 2024, algorithm 1), every row with the keys that it sees: pages by
  `Σ_t max(q_t·min_t, q_t·max_t)`, then the exact softmax over the chosen ones.
- `dsa`: the indexer of transformers' `deepseek_v32` from its projections on (`index_scores`: its docstring leaves out the
  ReLU that its code has), top-k keys for all heads, softmax over them. What the indexer reads has no gradient outside a training.

Shapes are those of softmax_peers.py. Errors are the largest difference over the largest element. Needs torch and numpy. Prints a
line a comparison; exits 1 when one is outside its bound.
"""

import math
import sys

import numpy as np
import torch
from softmax_peers import draw, draw_inputs, errors, floored_error, parser, walk


def spread(x, heads):
    return x.repeat_interleave(heads // x.shape[1], 1)


def softmax_over(q, k, v, seen):
    """Rows that see nothing give 0, and no gradient."""
    some = seen.any(-1, keepdim=True)
    s = (q @ k.transpose(2, 3) * q.shape[-1] ** -0.5).masked_fill(~seen & some, -torch.inf).masked_fill(~some, 0.0)
    return (torch.softmax(s, -1) * some) @ v


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


def quest(t, shape, size, count):
    batch, heads, _, n, keys, _, causal, lengths = shape
    k, v = spread(t["k"], heads), spread(t["v"], heads)
    seen = torch.zeros(batch, heads, n, keys, dtype=torch.bool)
    for sequence in range(batch):
        valid = lengths[sequence] if lengths else keys
        for row in range(n):
            end = min(valid, row + keys - n + 1) if causal else valid
            if end <= 0:
                continue
            pages = [k[sequence, :, first:min(end, first + size)].detach() for first in range(0, end, size)]
            q = t["q"][sequence, :, row].detach()
            bounds = torch.stack(
                [torch.maximum(q * page.amin(1), q * page.amax(1)).sum(-1) for page in pages], -1)
            for head in range(heads):
                for page in bounds[head].topk(min(count, len(pages))).indices:
                    seen[sequence, head, row, page * size:min(end, (page + 1) * size)] = True
    return softmax_over(t["q"], k, v, seen)


QUEST_CASES = [
    (f"quest, {count} pages of {size}", lambda t, shape, size=size, count=count: quest(t, shape, size, count), "quest",
     [f"page_size={size}", f"pages={count}"])
    for size, count in [(16, 3), (12, 2), (8, 50)]
]


def dsa_inputs(shape, heads, dim):
    batch, _, _, n, keys, _ = shape[:6]
    return {**draw_inputs(shape), "indexer_query": draw(batch, n, heads * dim), "indexer_key": draw(batch, keys, dim),
            "indexer_weight": draw(batch, n, heads)}


def dsa(t, shape, count, heads, dim):
    batch, own, _, n, keys, _, causal, lengths = shape
    q = t["indexer_query"].reshape(batch, n, heads, dim).transpose(1, 2)
    scores = torch.relu(q @ t["indexer_key"].unsqueeze(1).transpose(2, 3) * dim ** -0.5)
    weights = t["indexer_weight"] * heads ** -0.5
    index_scores = (weights.transpose(1, 2).unsqueeze(-1) * scores).sum(1)
    seen = visible(n, keys, causal).expand(batch, n, keys).clone()
    for sequence, length in enumerate(lengths or []):
        seen[sequence, :, length:] = False
    # Keys whose products are all negative score 0 alike: of equal ones the first, which a topk does not promise.
    order = index_scores.detach().masked_fill(~seen, -torch.inf).sort(dim=-1, descending=True, stable=True).indices
    taken = torch.zeros_like(seen).scatter_(-1, order[:, :, :count], True) & seen
    output = softmax_over(t["q"], spread(t["k"], own), spread(t["v"], own), taken.unsqueeze(1))
    return output + 0 * index_scores.sum()


DSA_CASES = [
    (f"dsa, {count} keys by {heads} heads of {dim}",
     lambda t, shape, count=count, heads=heads, dim=dim: dsa(t, shape, count, heads, dim), "dsa",
     [f"keys={count}", f"indexer_heads={heads}", f"indexer_dim={dim}"],
     lambda shape, heads=heads, dim=dim: dsa_inputs(shape, heads, dim))
    for count, heads, dim in [(5, 2, 8), (40, 3, 5), (900, 1, 4)]
]


def nsa_compressed(x, weights, length, stride):
    """`[heads, blocks, d]` of `[heads, n, d]`."""
    blocks = (x.shape[1] - length) // stride + 1 if x.shape[1] >= length else 0
    rows = [(weights * x[:, c * stride:c * stride + length]).sum(1) for c in range(blocks)]
    return torch.stack(rows, 1) if rows else x[:, :0]


def nsa_blocks(probs, positions, keys, length, stride, size, count):
    """Which blocks every row takes, `[n, blocks]`, as naive_nsa_topk finds them from the weights `[group, n, c]` of a group."""
    blocks = math.ceil(keys / size)
    scores = torch.zeros(len(positions), blocks)
    for c in range(probs.shape[2]):
        for unit in range(c, c + length // stride):
            scores[:, unit * stride // size] += probs[:, :, c].sum(0)
    own = (positions // size)[:, None]
    numbers = torch.arange(blocks)[None]
    forced = (numbers == 0) | (numbers == own) | (numbers == own - 1)
    scores = torch.where(forced, torch.inf, scores).masked_fill(numbers > own, -1.0)
    # Of equal scores the first, which a topk does not promise.
    order = scores.sort(dim=-1, descending=True, stable=True).indices[:, :count]
    taken = torch.zeros(len(positions), blocks, dtype=torch.bool)
    taken.scatter_(-1, order, True)
    return taken & (numbers <= own)


def nsa(t, shape, length, stride, size, count, window):
    batch, heads, key_heads, n, keys, d, _, _ = shape
    group, positions = heads // key_heads, torch.arange(n) + keys - n
    gates = torch.sigmoid(t["gates"])
    outputs = []
    for b in range(batch):
        k_short = nsa_compressed(t["k"][b], t["compress_key"], length, stride)
        v_short = nsa_compressed(t["v"][b], t["compress_value"], length, stride)
        ends = torch.arange(k_short.shape[1]) * stride + length - 1
        seen_short = ends[None] <= positions[:, None]
        i, j = positions[:, None], torch.arange(keys)[None]
        near = (j <= i) & (i - j < window)
        for h in range(key_heads):
            own = slice(h * group, (h + 1) * group)
            q = t["q"][b:b + 1, own]
            s = (q[0] @ k_short[h].T * d ** -0.5).masked_fill(~seen_short, -torch.inf)
            probs = torch.nan_to_num(torch.softmax(s, -1), nan=0.0).detach()
            taken = nsa_blocks(probs, positions, keys, length, stride, size, count)
            chosen = taken.repeat_interleave(size, -1)[:, :keys] & (j <= i)
            parts = [softmax_over(q, x[None, None], y[None, None], mask)
                     for x, y, mask in [(k_short[h], v_short[h], seen_short), (t["k"][b, h], t["v"][b, h], chosen),
                                        (t["k"][b, h], t["v"][b, h], near)]]
            outputs.append(sum(gates[b:b + 1, own, :, i:i + 1] * part for i, part in enumerate(parts)))
    # Weights of blocks that no row has get a gradient of 0.
    return torch.cat(outputs, 1).reshape(batch, heads, n, d) + 0 * (t["compress_key"].sum() + t["compress_value"].sum())


def nsa_inputs(shape, length, learned):
    """With weights of blocks that are means, or drawn."""
    batch, heads, key_heads, n, _, d = shape[:6]
    weights = {name: draw(key_heads, length, d) if learned else np.full((key_heads, length, d), 1 / length)
               for name in ("compress_key", "compress_value")}
    return {**draw_inputs(shape), "gates": draw(batch, heads, n, 3), **weights}


def nsa_case(length, stride, size, count, window, learned):
    name = f"nsa, {length} by {stride}, {count} of {size}, window {window}, {'weights' if learned else 'means'}"
    settings = [f"compress_block={length}", f"compress_stride={stride}", f"block_size={size}", f"blocks={count}",
                f"window={window}"]
    return (name, lambda t, shape: nsa(t, shape, length, stride, size, count, window), "nsa", settings,
            lambda shape: nsa_inputs(shape, length, learned))


NSA_CASES = [nsa_case(16, 16, 16, 4, 20, False), nsa_case(8, 4, 16, 4, 9, True), nsa_case(6, 2, 4, 30, 300, True),
             nsa_case(32, 16, 64, 3, 1, True)]
CASES = [
    (f"moba, {count} blocks of {size}", lambda t, shape, size=size, count=count: moba(t, shape, size, count), "moba",
     [f"block_size={size}", f"blocks={count}"])
    for size, count in [(16, 3), (12, 2), (32, 1), (8, 50)]
]


def compare(program, case, shape):
    _, judge, variant, settings, *inputs = case
    given = inputs[0](shape) if inputs else draw_inputs(shape)
    return errors(program, variant, settings, given, shape, lambda t: judge(t, shape), floored_error)


def takes(case, shape):
    """nsa is causal; padding only leaves keys out, and the judge has none."""
    return case[2] != "nsa" or (shape[6] and not shape[7])


def main():
    options = parser().parse_args()
    sys.exit(0 if walk(options.attnlab, CASES + NSA_CASES + QUEST_CASES + DSA_CASES, compare, takes, width=56) else 1)


if __name__ == "__main__":
    main()
