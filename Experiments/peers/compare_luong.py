#!/usr/bin/env python3
"""Compare Luong's attention with PyTorch, forward and backward.

    python Experiments/peers/compare_luong.py [--attnlab .build/release/attnlab]

Judge: PyTorch in float64 by the paper's equations, all pairs in memory; gradients by automatic differentiation, with the
window's place ⌊p⌋ held fixed. Shapes are those of compare_softmax_settings.py. Errors are the largest difference over the
largest element. Needs torch and numpy. Prints a line a comparison; exits 1 when one is outside its bound.
"""

import argparse
import sys

import numpy as np
import torch
from softmax_peers import BOUND, SHAPES, apply, draw, mask_of, relative

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
    batch, heads, key_heads, n, keys, d, causal, lengths = shape
    inputs = {"q": draw(batch, heads, n, d), "k": draw(batch, key_heads, keys, d), "v": draw(batch, key_heads, keys, d)}
    if score == "general":
        inputs["score_matrix"] = draw(heads, d, d, scale=0.3)
    if score == "concat":
        inputs["score_weight"] = draw(heads, d, scale=0.5)
    if align == "local-p":
        inputs["window_query"], inputs["window_weight"] = draw(batch, heads, n, d), draw(heads, d)
    output_gradient = draw(batch, heads, n, d)
    t = {name: torch.tensor(x, requires_grad=True) for name, x in inputs.items()}
    output = luong(t, score, align, causal, lengths)
    output.backward(torch.tensor(output_gradient))
    settings = [f"score={score}", f"align={align}", f"window={WINDOW}"]
    ours, gradients = apply(program, "luong", settings, inputs, output_gradient, causal, lengths)
    errors = {"o": relative(ours, output.detach().numpy())}
    for name in inputs:
        exact = t[name].grad.numpy()
        # One key has all the weight: its score has no gradient, and ours are zeros.
        errors["d" + name] = relative(gradients[name], exact) if np.abs(exact).max() > 1e-12 else float(
            np.abs(gradients[name]).max())
    return errors


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--attnlab", default=".build/release/attnlab")
    options = parser.parse_args()
    torch.set_default_dtype(torch.float64)
    failed = False
    for case in CASES:
        worst = {}
        for shape in SHAPES:
            # A row without a key in its window has output 0 here, and none in the judge.
            if case[1] == "local-m" and shape[7]:
                continue
            for name, error in compare(options.attnlab, case, shape).items():
                worst[name] = max(worst.get(name, 0), error)
        good = max(worst.values()) <= BOUND
        failed = failed or not good
        print("ok  " if good else "FAIL", " ".join(case).ljust(20), ", ".join(f"{n} {e:.1e}" for n, e in worst.items()))
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
