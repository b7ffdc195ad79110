"""Recurrences of others for time_peers.py, on the operands of ours: transformers, flash-linear-attention, attn-gym.

Of flash-linear-attention (`fla-core`) and attn-gym these are the pure PyTorch references: their kernels need a GPU. What ours
makes of operands, gates and norms, the peer's time has too. fla's chunked code for a decay a head is its `simple_gla`.
"""

import inspect
import math

import torch
import torch.nn.functional as F
from judged import Judged, JudgedToken, draws

BIAS = -4.6  # softplus of it is 0.01, a step of trained models


def operands_of(variant, heads, n, d):
    """Arrays as `attnlab apply` reads them. Of mamba2 q is C, k is B, v is x."""
    operands = {name: draws(1, heads, n, d, seed=i) for i, name in enumerate("qkv")}
    if variant in ("gated-delta", "kda", "mamba2", "gla"):
        channels = d if variant in ("kda", "gla") else 1
        operands["step"] = draws(1, heads, n, channels, seed=3)
        bias = draws(heads, channels, seed=4) * 0.1 + (0 if variant == "gla" else BIAS)
        operands["step_bias"] = bias if channels > 1 else bias[:, 0]
    if variant in ("gated-delta", "kda"):
        operands["writing"] = draws(1, heads, n, 1, seed=5)
    if variant in ("gated-delta", "kda", "mamba2"):
        operands["decay_rate"] = draws(heads, seed=6) * 0.5
    if variant == "mamba2":
        operands["skip_factor"] = draws(heads, seed=7)
    return operands


def unit(x):
    return x * torch.rsqrt((x * x).sum(-1, keepdim=True) + 1e-6)


def decay(t):
    """The logarithm of what is kept, `[1, n, heads]`, or of kda `[1, n, heads, d]`."""
    rate = -torch.exp(t["decay_rate"])
    if t["step"].shape[-1] == 1:
        return rate * F.softplus(t["step"][..., 0] + t["step_bias"])
    return rate[:, None] * F.softplus(t["step"] + t["step_bias"])


def beta(t):
    return torch.sigmoid(t["writing"][..., 0])


def plain(rule):
    """transformers' own PyTorch code, which it replaces by fla's kernels where that is installed."""
    return inspect.unwrap(rule)


def hf_gated_delta(t):
    from transformers.models.qwen3_next.modeling_qwen3_next import torch_chunk_gated_delta_rule as rule
    return plain(rule)(t["q"], t["k"], t["v"], g=decay(t), beta=beta(t), use_qk_l2norm_in_kernel=True)[0]


def hf_kda(t):
    from transformers.models.kimi_linear.modeling_kimi_linear import chunk_kimi_delta_attention as rule
    return plain(rule)(t["q"], t["k"], t["v"], g=decay(t), beta=beta(t), initial_state=None, output_final_state=False,
                       use_qk_l2norm_in_kernel=True)[0]


def hf_mamba2(t, **further):
    from transformers.models.mamba2.modeling_mamba2 import mamba2_chunk_scan
    return plain(mamba2_chunk_scan)(t["v"], t["step"][..., 0], -torch.exp(t["decay_rate"]), t["k"], t["q"], chunk_size=64,
                                    D=t["skip_factor"], dt_bias=t["step_bias"], dt_softplus=True, **further)


def fla_gated_delta(t):
    from fla.ops.gated_delta_rule.naive import naive_chunk_gated_delta_rule as rule
    return rule(unit(t["q"]), unit(t["k"]), t["v"], g=decay(t), beta=beta(t))[0]


def fla_kda(t):
    from fla.ops.kda.naive import naive_chunk_kda as rule
    return rule(unit(t["q"]), unit(t["k"]), t["v"], g=decay(t), beta=beta(t))[0]


def fla_mamba2(t):
    from fla.ops.simple_gla.naive import naive_chunk_simple_gla as rule
    step = F.softplus(t["step"] + t["step_bias"][:, None])
    written = t["v"] * step
    g = -step[..., 0] * torch.exp(t["decay_rate"])
    return rule(t["q"], t["k"], written, g, scale=1.0)[0] + t["skip_factor"][:, None] * t["v"]


def fla_gla(t):
    from fla.ops.gla.naive import naive_recurrent_gla as rule
    return rule(t["q"], t["k"], t["v"], F.logsigmoid(t["step"] + t["step_bias"]) / 16)[0]


def fla_retention(t):
    from fla.ops.simple_gla.naive import naive_chunk_simple_gla as rule
    n, heads = t["q"].shape[1:3]
    g = torch.log1p(-(2.0 ** (-5 - torch.arange(heads)))).expand(1, n, heads)
    return rule(t["q"], t["k"], t["v"], g)[0]


def fla_linear(t):
    from fla.ops.linear_attn.naive import naive_chunk_linear_attn as rule
    return rule(F.elu(t["q"]) + 1, F.elu(t["k"]) + 1, t["v"], normalize=True)


def gym_gated_delta(t):
    from attn_gym.linear.gdn.impl.reference import chunk_forward as rule
    return rule(unit(t["q"]), unit(t["k"]), t["v"], decay(t), beta(t), scale=t["q"].shape[-1] ** -0.5, initial_state=None,
                output_final_state=False)[0]


def gym_kda(t):
    from attn_gym.linear.kda.naive import naive_chunk_kda as rule
    return rule(unit(t["q"]), unit(t["k"]), t["v"], decay(t) / math.log(2), beta(t))[0]


def hf_gated_delta_state(t, state=None):
    from transformers.models.qwen3_next.modeling_qwen3_next import torch_recurrent_gated_delta_rule as rule
    return plain(rule)(t["q"], t["k"], t["v"], g=decay(t), beta=beta(t), initial_state=state, output_final_state=True,
                       use_qk_l2norm_in_kernel=True)


def hf_kda_state(t, state=None):
    from transformers.models.kimi_linear.modeling_kimi_linear import recurrent_kimi_delta_attention as rule
    return plain(rule)(t["q"], t["k"], t["v"], g=decay(t), beta=beta(t), initial_state=state, output_final_state=True,
                       use_qk_l2norm_in_kernel=True)


def hf_mamba2_token(t, state):
    """The state is moved where it lies; the first call is the one that is judged, so that begins from a copy."""
    from transformers.models.mamba2.modeling_mamba2 import mamba2_selective_state_update as update
    heads, d = t["v"].shape[2:]
    return plain(update)(
        state.clone(), t["v"][:, 0], t["step"][:, 0].expand(1, heads, d),
        -torch.exp(t["decay_rate"])[:, None, None].expand(heads, d, d), t["k"][:, 0], t["q"][:, 0],
        D=t["skip_factor"][:, None].expand(heads, d), dt_bias=t["step_bias"][:, None].expand(heads, d), dt_softplus=True)


def fla_gla_state(t, state=None):
    from fla.ops.gla.naive import naive_recurrent_gla as rule
    return rule(t["q"], t["k"], t["v"], F.logsigmoid(t["step"] + t["step_bias"]) / 16, state, True)


def chunked(variant, call):
    """A maker of bodies."""
    return lambda heads, n, d, causal, direction: Judged(operands_of(variant, heads, n, d), call, direction)


def token(variant, rule):
    return lambda heads, n, d, causal, direction: JudgedToken(
        operands_of(variant, heads, n, d), lambda t, state: rule(t, state)[0], lambda t: rule(t)[1])


def mamba2_token(heads, n, d, causal, direction):
    return JudgedToken(operands_of("mamba2", heads, n, d), hf_mamba2_token,
                       lambda t: hf_mamba2(t, return_final_states=True)[1])


# experiment, variant, peer, its code. fla's `naive_retention`, all pairs at once, overflows to NaN from some 2800 tokens on.
CHUNKED = [
    ("gated-delta", "gated-delta", "hf-qwen3-next", hf_gated_delta),
    ("gated-delta-fla", "gated-delta", "fla-naive", fla_gated_delta),
    ("gated-delta-gym", "gated-delta", "attn-gym", gym_gated_delta), ("kda", "kda", "hf-kimi-linear", hf_kda),
    ("kda-fla", "kda", "fla-naive", fla_kda), ("kda-gym", "kda", "attn-gym", gym_kda),
    ("mamba2", "mamba2", "hf-mamba2", hf_mamba2), ("mamba2-fla", "mamba2", "fla-naive", fla_mamba2),
    ("gla-fla", "gla", "fla-naive", fla_gla), ("retention-fla", "retention", "fla-naive", fla_retention),
    ("linear-fla", "linear", "fla-naive", fla_linear),
]
TOKENS = [
    ("gated-delta-token", "gated-delta", "hf-qwen3-next", token("gated-delta", hf_gated_delta_state)),
    ("kda-token", "kda", "hf-kimi-linear", token("kda", hf_kda_state)), ("mamba2-token", "mamba2", "hf-mamba2", mamba2_token),
    ("gla-token", "gla", "fla-naive", token("gla", fla_gla_state)),
]


def experiments():
    """As `time_peers.experiments`."""
    for name, variant, peer, call in CHUNKED:
        for d in (64, 128):
            for n in (4096, 16384):
                yield (name, dict(heads=8, n=n, d=d, causal=True), ("forward", "backward"), (variant, {}), peer,
                       chunked(variant, call))
    for name, variant, peer, make in TOKENS:
        for d in (64, 128):
            # The length does not matter: a state has been made of these tokens, and one more is timed.
            yield (name, dict(heads=32, n=1024, d=d, causal=True), ("decode",), (variant, {}), peer, make)
