#!/usr/bin/env python3
"""Compare Luong's attention with PyTorch, forward and backward.

    python Experiments/peers/compare_luong.py [--attnlab .build/release/attnlab]

Judge: PyTorch in float64 by the paper's equations, all pairs in memory; gradients by automatic differentiation, with the
window's place ⌊p⌋ held fixed. Shapes are those of softmax_peers.py. Errors are the largest difference over the
largest element. Needs torch and numpy. Prints a line a comparison; exits 1 when one is outside its bound.
"""

import sys

import torch
from softmax_peers import draw, draw_inputs, errors, gradient_error, mask_of, parser, walk

WINDOW = 5
CASES = [(score, align) for score in ("dot", "general", "concat") for align in ("global", "local-m", "local-p")]


def luong(t, score, align, causal, lengths):
    q, k, v = t["q"], t["k"], t["v"]
    batch, heads, n, _ = q.shape
    keys = k.shape[2]
    k, v = (x.repeat_interleave(heads // x.shape[1], 1) for x in (k, v))
    if score == "general":
        s = torch.einsum("bhid,hde,bhje->bhij", q, t["score_matrix"], k)
    elif score == "concat":
        s = (torch.tanh(q[:, :, :, None] + k[:, :, None]) * t["score_weight"][None, :, None, None]).sum(-1)
    else:
        s = q @ k.transpose(2, 3)
    mask = mask_of(batch, n, keys, causal, lengths, None).expand(batch, heads, n, keys).clone()
    i, j = torch.arange(n)[:, None] + (keys - n if causal else 0), torch.arange(keys)[None]
    factor = torch.ones(())
    if align == "local-m":
        mask = mask.masked_fill((i - j).abs() > WINDOW, -torch.inf)
    if align == "local-p":
        seen = (mask == 0).sum(-1, keepdim=True)
        z = (torch.tanh(t["window_query"]) * t["window_weight"][None, :, None]).sum(-1, keepdim=True)
        p = seen * torch.sigmoid(z)
        mask = mask.masked_fill((j - p.detach().floor()).abs() > WINDOW, -torch.inf)
        factor = torch.exp(-(j - p) ** 2 / (2 * (WINDOW / 2) ** 2))
    return (torch.softmax(s + mask, -1) * factor) @ v


def compare(program, case, shape):
    score, align = case
    batch, heads, _, n, _, d, causal, lengths = shape
    inputs = draw_inputs(shape)
    if score == "general":
        inputs["score_matrix"] = draw(heads, d, d, scale=0.3)
    if score == "concat":
        inputs["score_weight"] = draw(heads, d, scale=0.5)
    if align == "local-p":
        inputs["window_query"], inputs["window_weight"] = draw(batch, heads, n, d), draw(heads, d)
    settings = [f"score={score}", f"align={align}", f"window={WINDOW}"]
    return errors(
        program, "luong", settings, inputs, shape, lambda t: luong(t, score, align, causal, lengths), gradient_error)


def main():
    options = parser().parse_args()
    # A row without a key in its window has output 0 here, and none in the judge.
    good = walk(
        options.attnlab, CASES, compare, takes=lambda case, shape: case[1] != "local-m" or not shape[7], name=" ".join, width=20)
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
