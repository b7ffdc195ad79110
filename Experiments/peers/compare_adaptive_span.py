#!/usr/bin/env python3
"""Compare adaptive spans with the paper's own code, forward and backward.

    git clone https://github.com/facebookresearch/adaptive-span
    python Experiments/peers/compare_adaptive_span.py [--attnlab .build/release/attnlab] [--code adaptive-span/adaptive_span.py]

The judge is `AdaptiveMask` and the normalisation of `AdaptiveSpan.forward` in float64: with --code those of the file, else the same
equations written out here. They weigh a query's last S keys, in a window; the window is cut from all scores here. Shapes are the
causal ones of softmax_peers.py. Errors are the largest difference over the largest element. The ε of 1e-8 that the code adds to the
sum of masked weights is left out, for it is no rounding: where the ramp's keys have nearly all of a row's weight it changes results
by 1e-5 (`--epsilon 1e-8` shows it). Needs torch and numpy. Prints a line a comparison; exits 1 when one is outside its bound.
"""

import importlib.util
import sys

import torch
from softmax_peers import draw_inputs, errors, floored_error, mask_of, parser, random, walk

# span S, ramp R, whether a query sees its own key
CASES = [("span 40, ramp 8", 40, 8, True), ("span 300, ramp 32", 300, 32, True),
         ("span 40, ramp 8, current key left out", 40, 8, False)]


def equations(span, ramp, z):
    template = torch.linspace(1 - span, 0, span)
    return ((template + z * span) / ramp + 1).clamp(0, 1)


def original(code):
    spec = importlib.util.spec_from_file_location("adaptive_span", code)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    def weights(span, ramp, z):
        mask = module.AdaptiveMask(span, ramp, shape=z.shape)
        del mask.current_val
        mask.current_val = z
        return mask(torch.ones(z.shape[0], 1, span))
    return weights


def attend(t, shape, span, ramp, current, weights, epsilon):
    batch, heads, key_heads, n, keys, d, causal, lengths = shape
    q, k, v = t["q"], *(t[x].repeat_interleave(heads // key_heads, 1) for x in "kv")
    m = weights(span, ramp, t["attention_span"][:, None, None])[:, 0]
    i, j = torch.arange(n)[:, None] + keys - n, torch.arange(keys)[None]
    x = i - j - (0 if current else 1)
    inside = (x >= 0) & (x < span)
    m = torch.where(inside, m[:, (span - 1 - x).clamp(0, span - 1)], 0.0)
    s = q @ k.transpose(2, 3) * d ** -0.5 + mask_of(batch, n, keys, causal, lengths, None)
    s = s.masked_fill(~inside, -torch.inf)
    p = torch.softmax(s, -1).nan_to_num() * m
    return p / (p.sum(-1, keepdim=True) + epsilon).clamp(min=1e-300) @ v


def main():
    options = parser()
    options.add_argument("--code", help="adaptive_span.py of the paper's repository")
    options.add_argument("--epsilon", type=float, default=0, help="what the judge adds to a row's sum")
    options = options.parse_args()
    weights = original(options.code) if options.code else equations
    print("the paper's own code:", options.code or "not given")

    def compare(program, case, shape):
        _, span, ramp, current = case
        inputs = draw_inputs(shape)
        # No span stands at a kink.
        inputs["attention_span"] = (random.uniform(0.02, 0.9, shape[1])).astype("float32").astype("float64")
        settings = [f"span={span}", f"ramp={ramp}", f"current={str(current).lower()}"]
        return errors(
            program, "adaptive-span", settings, inputs, shape,
            lambda t: attend(t, shape, span, ramp, current, weights, options.epsilon), floored_error)

    sys.exit(0 if walk(options.attnlab, CASES, compare, takes=lambda case, shape: shape[6], width=40) else 1)


if __name__ == "__main__":
    main()
