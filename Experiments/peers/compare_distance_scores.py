#!/usr/bin/env python3
"""Compare T5's relative bias and Transformer-XL's relative score with their judges, forward and backward.

    python Experiments/peers/compare_distance_scores.py [--attnlab .build/release/attnlab]

Judges: T5's own buckets (transformers' T5Attention, `compute_bias`) in a float64 softmax without scale; the relative score of
Transformer-XL's code in float64: its positional embedding [sin | cos], clamped or not, r_net, u, v and its shift of rows. Shapes are those of
softmax_peers.py. Errors are the largest difference over the largest element. Needs torch, transformers and numpy. Prints a
line a comparison; exits 1 when one is outside its bound.
"""

import sys

import torch
from softmax_peers import draw, draw_inputs, errors, floored_error, mask_of, parser, walk
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


def transformer_xl(t, mask, causal, clamp, _):
    q, k, v = t["q"], t["k"], t["v"]
    batch, heads, n, d = q.shape
    keys = k.shape[2]
    k, v = (x.repeat_interleave(heads // x.shape[1], 1) for x in (k, v))
    width = heads * d
    frequency = 1 / (10000 ** (torch.arange(0.0, width, 2.0) / width))
    first = keys - n if causal else 0
    # Distances from the largest to the smallest, one a column, as in PositionalEmbedding.
    distances = torch.arange(first + n - 1, first - keys, -1.0)
    if clamp > 0: distances = distances.clamp(-clamp, clamp)
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
    ("Transformer-XL, clamped at 7", transformer_xl, "full", ["score=relative", "clamp_length=7"], None, (7, 0)),
    ("Transformer-XL, clamped at 7, causal window", transformer_xl, "sliding-window",
     ["score=relative", "clamp_length=7", "left=30"], 30, (7, 0)),
]


def compare(program, case, shape):
    _, judge, variant, settings, window, (buckets, distance) = case
    batch, heads, _, n, keys, d, causal, lengths = shape
    inputs = draw_inputs(shape)
    scale = []
    if judge is t5:
        inputs["position_bias"] = draw(heads, buckets)
        scale = ["--scale", "1"]
    else:
        inputs["relative_content"], inputs["relative_position"] = draw(heads, d), draw(heads, d)
        inputs["relative_weight"] = draw(heads, d, heads * d, scale=(heads * d) ** -0.5)
    return errors(
        program, variant, settings, inputs, shape,
        lambda t: judge(t, mask_of(batch, n, keys, causal, lengths, window), causal, buckets, distance), floored_error, scale)


def main():
    options = parser().parse_args()
    good = walk(options.attnlab, CASES, compare, takes=lambda case, shape: case[4] is None or shape[6])
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
