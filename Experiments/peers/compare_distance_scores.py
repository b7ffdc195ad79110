#!/usr/bin/env python3
"""Compare T5's relative bias and Transformer-XL's relative score with their judges, forward and backward.

    python Experiments/peers/compare_distance_scores.py [--attnlab .build/release/attnlab]

Judges: T5's own buckets (transformers' T5Attention, `compute_bias`) in a float64 softmax without scale; the relative score of
Transformer-XL's code in float64: its positional embedding [sin | cos], r_net, u, v and its shift of rows. Shapes are those of
softmax_peers.py. Errors are the largest difference over the largest element. Needs torch, transformers and numpy. Prints a
line a comparison; exits 1 when one is outside its bound.
"""

import argparse
import sys

import torch
from softmax_peers import BOUND, SHAPES, apply, draw, mask_of, relative
from transformers.models.t5.configuration_t5 import T5Config
from transformers.models.t5.modeling_t5 import T5Attention


def t5(t, mask, causal, buckets, distance):
    q, k, v = t["q"], t["k"], t["v"]
    heads, n, keys = q.shape[1], q.shape[2], k.shape[2]
    k, v = (x.repeat_interleave(heads // x.shape[1], 1) for x in (k, v))
    config = T5Config(num_heads=heads, relative_attention_num_buckets=buckets, relative_attention_max_distance=distance)
    config.is_decoder = causal
    module = T5Attention(config, has_relative_attention_bias=True).double()
    table = t["position_bias"].T
    module.relative_attention_bias.weight = torch.nn.Parameter(table.detach().clone())
    i = torch.arange(n)[:, None] + (keys - n if causal else 0)
    number = T5Attention._relative_position_bucket(
        torch.arange(keys)[None] - i, bidirectional=not causal, num_buckets=buckets, max_distance=distance)
    bias = table[number].permute(2, 0, 1)[None]
    if n == keys:
        # Its own way to the same numbers.
        assert torch.equal(bias.detach(), module.compute_bias(n, keys).detach())
    return torch.softmax(q @ k.transpose(2, 3) + bias + mask, -1) @ v


def transformer_xl(t, mask, causal, *_):
    q, k, v = t["q"], t["k"], t["v"]
    batch, heads, n, d = q.shape
    keys = k.shape[2]
    k, v = (x.repeat_interleave(heads // x.shape[1], 1) for x in (k, v))
    width = heads * d
    frequency = 1 / (10000 ** (torch.arange(0.0, width, 2.0) / width))
    first = keys - n if causal else 0
    # Distances from the largest to the smallest, one a column, as in PositionalEmbedding.
    distances = torch.arange(first + n - 1, first - keys, -1.0)
    angles = distances[:, None] * frequency[None]
    r = torch.cat([angles.sin(), angles.cos()], -1) @ t["relative_weight"].reshape(width, width).T
    r = r.reshape(-1, heads, d)
    content = (q + t["relative_content"][None, :, None]) @ k.transpose(2, 3)
    shifted = torch.einsum("bhid,jhd->bhij", q + t["relative_position"][None, :, None], r)
    # Row i begins n − 1 − i columns further right.
    columns = torch.arange(keys)[None] + (n - 1 - torch.arange(n))[:, None]
    position = shifted.gather(3, columns.expand(batch, heads, n, keys))
    return torch.softmax((content + position) * d ** -0.5 + mask, -1) @ v


CASES = [
    ("T5, 32 buckets", t5, "full", ["bias=t5"], None, (32, 128)),
    ("T5, 8 buckets, causal window", t5, "sliding-window",
     ["bias=t5", "bias_buckets=8", "bias_distance=20", "left=30"], 30, (8, 20)),
    ("Transformer-XL", transformer_xl, "full", ["score=relative"], None, (0, 0)),
    ("Transformer-XL, causal window", transformer_xl, "sliding-window", ["score=relative", "left=30"], 30, (0, 0)),
]


def compare(program, case, shape):
    _, judge, variant, settings, window, (buckets, distance) = case
    batch, heads, key_heads, n, keys, d, causal, lengths = shape
    inputs = {"q": draw(batch, heads, n, d), "k": draw(batch, key_heads, keys, d), "v": draw(batch, key_heads, keys, d)}
    scale = []
    if judge is t5:
        inputs["position_bias"] = draw(heads, buckets)
        scale = ["--scale", "1"]
    else:
        inputs["relative_content"], inputs["relative_position"] = draw(heads, d), draw(heads, d)
        inputs["relative_weight"] = draw(heads, d, heads * d, scale=(heads * d) ** -0.5)
    output_gradient = draw(batch, heads, n, d)
    t = {name: torch.tensor(x, requires_grad=True) for name, x in inputs.items()}
    output = judge(t, mask_of(batch, n, keys, causal, lengths, window), causal, buckets, distance)
    output.backward(torch.tensor(output_gradient))
    ours, gradients = apply(program, variant, settings, inputs, output_gradient, causal, lengths, scale)
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
    for case in CASES:
        worst = {}
        for shape in SHAPES:
            if case[4] is not None and not shape[6]:
                continue
            for name, error in compare(options.attnlab, case, shape).items():
                worst[name] = max(worst.get(name, 0), error)
        good = max(worst.values()) <= BOUND
        failed = failed or not good
        print("ok  " if good else "FAIL", case[0].ljust(32), ", ".join(f"{n} {e:.1e}" for n, e in worst.items()))
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
