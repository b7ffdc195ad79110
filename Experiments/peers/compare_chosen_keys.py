#!/usr/bin/env python3
"""Compare top-k softmax and hard attention with their judges, forward and backward.

    python Experiments/peers/compare_chosen_keys.py [--attnlab .build/release/attnlab]

Judges, in float64: PyTorch's topk and softmax; the straight-through weights one_hot + soft − detach(soft), as x-transformers'
`hard=True` has them (its own functions where x-transformers is installed: `one_hot_straight_through`). Shapes are those of
softmax_peers.py. Errors are the largest difference over the largest element. Needs torch and numpy. Prints a line a
comparison; exits 1 when one is outside its bound.
"""

import argparse
import sys

import torch
from softmax_peers import BOUND, SHAPES, apply, draw, mask_of, relative

try:
    from x_transformers.attend import one_hot_straight_through
except ImportError:
    one_hot_straight_through = None


def scores(t, mask):
    q, k = t["q"], t["k"].repeat_interleave(t["q"].shape[1] // t["k"].shape[1], 1)
    return q @ k.transpose(2, 3) * q.shape[-1] ** -0.5 + mask


def values(t):
    return t["v"].repeat_interleave(t["q"].shape[1] // t["v"].shape[1], 1)


def top_k(t, mask):
    s = scores(t, mask)
    count = min(5, s.shape[-1])
    least = s.topk(count, -1).values[..., -1:]
    return torch.softmax(s.masked_fill(s < least, -torch.inf), -1) @ values(t)


def hard(t, mask):
    s = scores(t, mask)
    if one_hot_straight_through:
        return one_hot_straight_through(s, 1.0) @ values(t)
    soft = torch.softmax(s, -1)
    one_hot = torch.nn.functional.one_hot(s.argmax(-1), s.shape[-1]).to(s)
    return (one_hot + soft - soft.detach()) @ values(t)


CASES = [("top-k, 5 keys", top_k, "top-k", ["keys=5"]), ("hard, straight-through", hard, "hard", [])]


def compare(program, case, shape):
    _, judge, variant, settings = case
    batch, heads, key_heads, n, keys, d, causal, lengths = shape
    inputs = {"q": draw(batch, heads, n, d), "k": draw(batch, key_heads, keys, d), "v": draw(batch, key_heads, keys, d)}
    output_gradient = draw(batch, heads, n, d)
    t = {name: torch.tensor(x, requires_grad=True) for name, x in inputs.items()}
    output = judge(t, mask_of(batch, n, keys, causal, lengths, None))
    output.backward(torch.tensor(output_gradient))
    ours, gradients = apply(program, variant, settings, inputs, output_gradient, causal, lengths)
    errors = {"o": relative(ours, output.detach().numpy())}
    for name in inputs:
        # Where one key has nearly all the weight, scores have a gradient of the size of rounding.
        errors["d" + name] = relative(gradients[name], t[name].grad.numpy(), floor=0.05)
    return errors


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--attnlab", default=".build/release/attnlab")
    options = parser.parse_args()
    torch.set_default_dtype(torch.float64)
    failed = False
    print("x-transformers' own straight-through weights:", "yes" if one_hot_straight_through else "not installed")
    for case in CASES:
        worst = {}
        for shape in SHAPES:
            for name, error in compare(options.attnlab, case, shape).items():
                worst[name] = max(worst.get(name, 0), error)
        good = max(worst.values()) <= BOUND
        failed = failed or not good
        print("ok  " if good else "FAIL", case[0].ljust(24), ", ".join(f"{n} {e:.1e}" for n, e in worst.items()))
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
