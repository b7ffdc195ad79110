#!/usr/bin/env python3
"""Compare top-k softmax and hard attention with their judges, forward and backward.

    python Experiments/peers/compare_chosen_keys.py [--attnlab .build/release/attnlab]

Judges, in float64: PyTorch's topk and softmax; the straight-through weights one_hot + soft − detach(soft), as x-transformers'
`hard=True` has them (its own functions where x-transformers is installed: `one_hot_straight_through`). Shapes are those of
softmax_peers.py. Errors are the largest difference over the largest element. Needs torch and numpy. Prints a line a
comparison; exits 1 when one is outside its bound.
"""

import sys

import torch
from softmax_peers import draw_inputs, errors, floored_error, mask_of, parser, walk

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
    batch, _, _, n, keys, _, causal, lengths = shape
    return errors(
        program, variant, settings, draw_inputs(shape), shape,
        lambda t: judge(t, mask_of(batch, n, keys, causal, lengths, None)), floored_error)


def main():
    options = parser().parse_args()
    print("x-transformers' own straight-through weights:", "yes" if one_hot_straight_through else "not installed")
    sys.exit(0 if walk(options.attnlab, CASES, compare, width=24) else 1)


if __name__ == "__main__":
    main()
