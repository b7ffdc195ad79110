#!/usr/bin/env python3
"""Compare the settings of all softmax variants with their judges, forward and backward.

    python Experiments/peers/compare_softmax_settings.py [--attnlab .build/release/attnlab]

Judges: the eager attention of gpt-oss (learned sinks) and of Gemma 2 (soft cap) in transformers, called as they stand on
float64 tensors (Gemma's softmax is kept in float64); PyTorch in float64 by the equation for the sentinel, for settings
together and for additive scores (Bahdanau; for OpenNMT's global_attention `mlp` pass --onmt SITE-PACKAGES). Lengths are odd,
causal, padded, with grouped heads, and cross. Inputs are random. Errors are the largest difference over the largest element.
Needs torch, transformers and numpy. Prints a line a comparison; exits 1 when one is outside its bound.
"""

import importlib.util
import os
import sys
import types

import numpy as np
import torch
from softmax_peers import apply, draw, draw_inputs, errors, gradient_error, mask_of, parser, relative, said, walk
from transformers.models.gemma2 import modeling_gemma2 as gemma
from transformers.models.gpt_oss import modeling_gpt_oss as oss


def gpt_oss(t, mask, group, cap):
    module = types.SimpleNamespace(num_key_value_groups=group, sinks=t["sink_logit"], training=False)
    return oss.eager_attention_forward(module, t["q"], t["k"], t["v"], mask, t["q"].shape[-1] ** -0.5)[0].transpose(1, 2)


def gemma2(t, mask, group, cap):
    module = types.SimpleNamespace(num_key_value_groups=group, training=False)
    softmax = gemma.nn.functional.softmax
    gemma.nn.functional.softmax = lambda x, dim, dtype=None: softmax(x, dim=dim)
    try:
        return gemma.eager_attention_forward(
            module, t["q"], t["k"], t["v"], mask, scaling=t["q"].shape[-1] ** -0.5, softcap=cap)[0].transpose(1, 2)
    finally:
        gemma.nn.functional.softmax = softmax


def equation(t, mask, group, cap):
    """The page's equation, all pairs in memory."""
    q, k, v = t["q"], t["k"], t["v"]
    batch, heads, n, d = q.shape
    if "sentinel_key" in t:
        k = torch.cat([k, t["sentinel_key"][None, :, None].expand(batch, -1, 1, -1)], 2)
        v = torch.cat([v, t["sentinel_value"][None, :, None].expand(batch, -1, 1, -1)], 2)
        mask = torch.cat([mask, torch.zeros(batch, 1, n, 1)], 3)
    k, v = k.repeat_interleave(group, 1), v.repeat_interleave(group, 1)
    if "score_weight" in t:
        s = (torch.tanh(q[:, :, :, None] + k[:, :, None]) * t["score_weight"][None, :, None, None]).sum(-1)
    else:
        s = q @ k.transpose(2, 3) * d ** -0.5
    s = (cap * torch.tanh(s / cap) if cap else s) + mask
    if "sink_logit" in t:
        s = torch.cat([s, t["sink_logit"].reshape(1, -1, 1, 1).expand(batch, -1, n, 1)], 3)
        v = torch.cat([v, torch.zeros(batch, heads, 1, d)], 2)
    return torch.softmax(s, -1) @ v


CASES = [
    ("gpt-oss sinks", gpt_oss, "full", ["sink=learned"], None, None),
    ("gpt-oss sinks, stored scores", gpt_oss, "full-materialized", ["sink=learned"], None, None),
    ("gpt-oss sinks, causal window", gpt_oss, "sliding-window", ["sink=learned", "left=16"], None, 16),
    ("Gemma 2 soft cap", gemma2, "full", ["softcap=1.5"], 1.5, None),
    ("Gemma 2 soft cap, stored scores", gemma2, "full-materialized", ["softcap=50"], 50.0, None),
    ("sentinel and soft cap, torch", equation, "full", ["sink=sentinel", "softcap=2"], 2.0, None),
    ("sink and soft cap, torch", equation, "full-materialized", ["sink=learned", "softcap=3"], 3.0, None),
    ("additive, torch", equation, "full", ["score=additive"], None, None),
    ("additive, sink and soft cap, causal window, torch", equation, "sliding-window",
     ["score=additive", "sink=learned", "softcap=1", "left=20"], 1.0, 20),
]


def operands(settings, heads, key_heads, d):
    extra = {}
    if "score=additive" in settings:
        extra["score_weight"] = draw(heads, d, scale=0.5)
    if "sink=learned" in settings:
        extra["sink_logit"] = draw(heads)
    if "sink=sentinel" in settings:
        extra["sentinel_key"], extra["sentinel_value"] = draw(key_heads, d), draw(key_heads, d)
    return extra


def compare(program, case, shape):
    _, judge, variant, settings, cap, window = case
    batch, heads, key_heads, n, keys, d, causal, lengths = shape
    inputs = {**draw_inputs(shape, scale=2), **operands(settings, heads, key_heads, d)}
    return errors(
        program, variant, settings, inputs, shape,
        lambda t: judge(t, mask_of(batch, n, keys, causal, lengths, window), heads // key_heads, cap), gradient_error)


def onmt(program, packages):
    """OpenNMT-py's GlobalAttention(mlp): its projections give q and k, its v.weight is w; the memory bank is v."""
    place = os.path.join(packages, "onmt", "modules")
    sys.modules["onmt"] = types.ModuleType("onmt")
    for name, file in [("onmt.modules", None), ("onmt.utils", None), ("onmt.modules.sparse_activations", None),
                       ("onmt.utils.misc", None)]:
        sys.modules[name] = types.ModuleType(name)
    sys.modules["onmt.modules.sparse_activations"].sparsemax = None
    sys.modules["onmt.utils.misc"].sequence_mask = None
    spec = importlib.util.spec_from_file_location("onmt_attention", os.path.join(place, "global_attention.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    torch.manual_seed(3)
    batch, n, keys, d = 2, 7, 33, 24
    layer = module.GlobalAttention(d, attn_type="mlp").double()
    source, bank = torch.randn(batch, n, d), torch.randn(batch, keys, d)
    _, weights = layer(source, bank)
    expected = (weights @ bank).detach().numpy()
    q, k = layer.linear_query(source), layer.linear_context(bank)
    inputs = {"q": q.detach().numpy()[:, None], "k": k.detach().numpy()[:, None], "v": bank.numpy()[:, None],
              "score_weight": layer.v.weight.detach().numpy()}
    ours, _ = apply(program, "full", ["score=additive"], inputs, np.zeros((batch, 1, n, d)), False, None)
    return relative(ours[:, 0], expected)


def main():
    arguments = parser()
    arguments.add_argument("--onmt", help="a site-packages folder with OpenNMT-py 3.5.1")
    options = arguments.parse_args()
    good = walk(options.attnlab, CASES, compare, takes=lambda case, shape: case[5] is None or shape[6], width=52)
    if options.onmt:
        name = "OpenNMT-py 3.5.1 global_attention mlp"
        good = said(name, {"o": onmt(options.attnlab, options.onmt)}, 52) and good
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
