#!/usr/bin/env python3
"""Compare recurrences with PyTorch, forward and backward.

    python Experiments/peers/compare_recurrences.py [--attnlab .build/release/attnlab]

Judge: the recurrence written token by token in PyTorch, float64; gradients by automatic differentiation. Shapes are those of
softmax_peers.py, longer ones among them; variants whose state has a direction take the causal ones. Errors are the largest
difference over the largest element. Needs torch and numpy. Prints a line a comparison; exits 1 when one is outside its bound.
"""

import sys

import torch
import torch.nn.functional as F
from softmax_peers import SHAPES, draw, errors, draw_inputs, floored_error, gradient_error, parser, relative, said, walk

# batch, heads, key heads, queries, keys, d, causal, key lengths
SHAPES += [(1, 2, 1, 1, 1, 8, True, None), (1, 2, 2, 500, 500, 32, True, None), (2, 2, 1, 130, 130, 64, True, [130, 77])]
CASES = ["linear", "linear normalized=false", "retention", "retention decays=spread", "mamba2", "mamba2 skip=false", "gla",
         "gla temperature=0.3", "gated-delta", "kda"]
DELTA = ("gated-delta", "kda")


def log_decays(case, heads):
    h = torch.arange(heads, dtype=torch.float64)
    if case == "retention":
        return torch.log1p(-(2 ** (-5 - h)))
    if case == "retention decays=spread":
        ends = torch.log(torch.tensor([1 / 32, 1 / 512], dtype=torch.float64))
        x = torch.linspace(ends[0], ends[1], heads, dtype=torch.float64) if heads > 1 else ends[:1]
        return torch.log1p(-torch.exp(x))
    return torch.zeros(heads, dtype=torch.float64)


def recurrence(t, case, causal, lengths):
    q, k, v = t["q"], t["k"], t["v"]
    (batch, heads, n, d), (_, key_heads, keys, _) = q.shape, k.shape
    scale = d ** -0.5
    if case.startswith("linear"):
        q, k = F.elu(q) + 1, F.elu(k) + 1
        if case == "linear":
            scale = 1
            v = torch.cat([v, torch.ones_like(v[..., :1])], -1)
    # Of one number a head or one a channel: [batch, heads, keys, 1 or d].
    decay = torch.exp(log_decays(case, key_heads))[None, :, None, None].expand(batch, key_heads, keys, 1)
    if case.startswith("mamba2"):
        scale = 1
        step = F.softplus(t["step"][..., 0] + t["step_bias"][:, None])
        decay = torch.exp(-step * torch.exp(t["decay_rate"])[:, None])[..., None]
        written = step[..., None] * v
    elif case.startswith("gla"):
        tau = 0.3 if "temperature" in case else 16
        decay, written = torch.exp(F.logsigmoid(t["step"] + t["step_bias"][:, None]) / tau), v
    elif case in DELTA:
        q, k = (x * torch.rsqrt((x * x).sum(-1, keepdim=True) + 1e-6) for x in (q, k))
        bias = t["step_bias"].reshape(key_heads, 1, -1)
        decay = torch.exp(-F.softplus(t["step"] + bias) * torch.exp(t["decay_rate"])[:, None, None])
        beta, written = torch.sigmoid(t["writing"]), v
    else:
        written = v
    offset = keys - n if causal else 0
    rows = []
    for b in range(batch):
        valid = lengths[b] if lengths else keys
        state, states = torch.zeros(key_heads, d, v.shape[-1], dtype=torch.float64), []
        for j in range(valid):
            state = decay[b, :, j, :, None] * state
            if case in DELTA:
                held = (k[b, :, j, None] @ state)[:, 0]
                state = state + k[b, :, j, :, None] * (beta[b, :, j] * (v[b, :, j] - held))[:, None]
                states.append(state)
                continue
            state = state + k[b, :, j, :, None] * written[b, :, j, None, :]
            states.append(state)
        out = []
        for i in range(n):
            last = min(i + offset if causal else keys, valid - 1)
            if last < 0:
                out.append(torch.zeros(heads, v.shape[-1], dtype=torch.float64))
                continue
            read = states[last].repeat_interleave(heads // key_heads, 0)
            row = scale * (q[b, :, i, None] @ read)[:, 0]
            if case == "mamba2" and i + offset < valid:
                row = row + t["skip_factor"][:, None] * v[b, :, i + offset].repeat_interleave(heads // key_heads, 0)
            out.append(row)
        rows.append(torch.stack(out, 1))
    o = torch.stack(rows)
    return o[..., :-1] / (o[..., -1:] + 1e-6) if case == "linear" else o


def compare(program, case, shape):
    variant, *settings = case.split()
    causal, lengths = shape[6:]
    inputs = draw_inputs(shape)
    if variant == "mamba2":
        batch, heads, key_heads, _, keys, _ = shape[:6]
        inputs["step"] = draw(batch, key_heads, keys, 1)
        inputs["decay_rate"], inputs["step_bias"] = draw(key_heads), draw(key_heads)
        if "skip=false" not in settings:
            inputs["skip_factor"] = draw(heads)
    batch, _, key_heads, _, keys, d = shape[:6]
    if variant == "gated-delta":
        inputs["step"], inputs["step_bias"] = draw(batch, key_heads, keys, 1), draw(key_heads)
    if variant in ("gla", "kda"):
        inputs["step"], inputs["step_bias"] = draw(batch, key_heads, keys, d), draw(key_heads, d)
    if variant in DELTA:
        inputs["writing"], inputs["decay_rate"] = draw(batch, key_heads, keys, 1), draw(key_heads)
    return errors(
        program, variant, settings, inputs, shape, lambda t: recurrence(t, case, causal, lengths),
        # Of a mean over one key or few the gradient of q and k is what is left of nearly equal sums.
        floored_error if case == "linear" else gradient_error)


def agrees_with_transformers():
    """The judge above against transformers' own recurrences, which keep float32."""
    from transformers.models.kimi_linear.modeling_kimi_linear import recurrent_kimi_delta_attention
    from transformers.models.qwen3_next.modeling_qwen3_next import torch_recurrent_gated_delta_rule
    shape, good = (2, 2, 2, 130, 130, 32, True, None), True
    rules = {"gated-delta": torch_recurrent_gated_delta_rule, "kda": recurrent_kimi_delta_attention}
    for case, rule in rules.items():
        channels = 32 if case == "kda" else 1
        t = {name: torch.tensor(x) for name, x in draw_inputs(shape).items()}
        t["step"], t["writing"] = torch.tensor(draw(2, 2, 130, channels)), torch.tensor(draw(2, 2, 130, 1))
        t["decay_rate"] = torch.tensor(draw(2))
        t["step_bias"] = torch.tensor(draw(2, 32) if case == "kda" else draw(2))
        g = -torch.exp(t["decay_rate"])[:, None, None] * F.softplus(t["step"] + t["step_bias"].reshape(2, 1, -1))
        g = g if case == "kda" else g[..., 0]
        q, k, v, g, beta = (
            x.transpose(1, 2).float() for x in (t["q"], t["k"], t["v"], g, torch.sigmoid(t["writing"][..., 0])))
        theirs = rule(q, k, v, g, beta, None, False, use_qk_l2norm_in_kernel=True)[0].transpose(1, 2).double()
        error = relative(recurrence(t, case, True, None).numpy(), theirs.numpy())
        good = said(f"transformers, {case}", {"o": error}, 26) and good
    return good


def main():
    options = parser().parse_args()
    good = walk(
        options.attnlab, CASES, compare, takes=lambda case, shape: case.startswith("linear") or shape[6], name=str,
        width=26)
    good = agrees_with_transformers() and good
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
