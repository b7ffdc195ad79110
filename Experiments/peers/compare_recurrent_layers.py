#!/usr/bin/env python3
"""Compares whole recurrent layers of attnlab with transformers' own, on the same weights.

The layers of transformers stand in the place of attention in a decoder that is written here: Qwen3NextGatedDeltaNet (`gated-delta` with
a short convolution and a SiLU gate), Mamba2Mixer (`mamba2`, whose gate stands before the norm) and KimiLinearDeltaAttention (`kda`, logistic gate).
Their code is run in float64: its text is read again with `float32` replaced. Logits, loss and the gradient of every parameter, relative in
the Euclidean norm: at most 1e-5, or where rows of norm 1 make the gradient less sure, twice what their own float32 is off by. Value heads are as many as key heads, B and C of every head its own, and the two matrices of Kimi's
gates are one.

    swift build -c release --product attnlab
    python Experiments/peers/compare_recurrent_layers.py --attnlab .build/release/attnlab

Tried with transformers 5.24.0 and torch 2.15. Exit code 1 when a limit is passed.
"""
import argparse, importlib, importlib.util, json, os, subprocess, sys, tempfile, types
import numpy as np
import torch
import torch.nn.functional as F
import transformers
from compare_latent import distance
from compare_transformer import read_safetensors, write_safetensors

BASE = dict(kind="decoder", vocabulary=61, maximum_length=256, width=48, layers=1, heads=4, hidden=40, position="none",
            feed_forward="gelu", norm="rms", residual="pre", epsilon=1e-6, bias=False, tied=False, scale_embedding=False, seed=1,
            short_convolution=4)


def in_double(family):
    """A module of transformers whose arithmetic is float64 where it asks for float32."""
    name = f"transformers.models.{family}.modeling_{family}"
    spec = importlib.util.find_spec(name)
    text = spec.loader.get_source(name).replace("torch.float32", "torch.float64").replace(".float()", ".double()")
    module = types.ModuleType(name)
    plain = importlib.import_module(name)
    module.__package__, module.__file__, module.__spec__ = f"transformers.models.{family}", spec.origin, spec
    # What it decorates looks its own module up.
    sys.modules[name] = module
    exec(compile(text, spec.origin, "exec"), module.__dict__)
    sys.modules[name] = plain
    return module


def qwen(c, module):
    from transformers import Qwen3NextConfig
    heads, d = c["heads"], c["width"] // c["heads"]
    config = Qwen3NextConfig(
        hidden_size=c["width"], linear_num_value_heads=heads, linear_num_key_heads=heads, linear_key_head_dim=d,
        linear_value_head_dim=d, linear_conv_kernel_dim=c["short_convolution"], rms_norm_eps=c["epsilon"],
        num_hidden_layers=2, layer_types=["linear_attention"] * 2)
    return module.Qwen3NextGatedDeltaNet(config, 0)


def qwen_names(c, t):
    heads, d = c["heads"], c["width"] // c["heads"]
    q, k, v, z = t["in_proj_qkvz.weight"].view(heads, 4, d, -1).unbind(1)
    b, a = t["in_proj_ba.weight"].view(heads, 2, -1).unbind(1)
    flat = lambda x: x.reshape(heads * d, -1)
    return {"query.weight": flat(q), "key.weight": flat(k), "value.weight": flat(v), "gate.weight": flat(z),
            "step.weight": a, "writing.weight": b, "decay_rate": t["A_log"], "step_bias": t["dt_bias"],
            "convolution.weight": t["conv1d.weight"][:, 0].T, "gateNorm.weight": t["norm.weight"],
            "output.weight": t["out_proj.weight"]}


def mamba(c, module):
    from transformers import Mamba2Config
    heads, d = c["heads"], c["width"] // c["heads"]
    config = Mamba2Config(
        hidden_size=c["width"], num_heads=heads, head_dim=d, state_size=d, n_groups=heads, expand=1,
        conv_kernel=c["short_convolution"], use_bias=False, use_conv_bias=False, layer_norm_epsilon=c["epsilon"],
        num_hidden_layers=2, chunk_size=32)
    layer = module.Mamba2Mixer(config, 0)
    # As with one group: over all heads.
    layer.norm.group_size = layer.intermediate_size
    return layer


def mamba_names(c, t):
    w = c["width"]
    gate, x, b, q, step = t["in_proj.weight"].split([w, w, w, w, c["heads"]])
    cx, cb, cq = t["conv1d.weight"][:, 0].split(w)
    return {"query.weight": q, "key.weight": b, "value.weight": x, "gate.weight": gate, "step.weight": step,
            "decay_rate": t["A_log"], "step_bias": t["dt_bias"], "skip_factor": t["D"],
            "convolution.weight": torch.cat([cq, cb, cx]).T, "gateNorm.weight": t["norm.weight"],
            "output.weight": t["out_proj.weight"]}


def kimi(c, module):
    from transformers import KimiLinearConfig
    heads, d = c["heads"], c["width"] // c["heads"]
    config = KimiLinearConfig(
        hidden_size=c["width"], linear_num_heads=heads, linear_head_dim=d, linear_conv_kernel_dim=c["short_convolution"],
        rms_norm_eps=c["epsilon"], num_hidden_layers=2, layer_types=["linear_attention"] * 2)
    layer = module.KimiLinearDeltaAttention(config, 0)
    for owner, name in [(layer.forget_gate, "f"), (layer, "g")]:
        setattr(owner, name + "_a_proj", torch.nn.Identity())
        setattr(owner, name + "_b_proj", torch.nn.Linear(c["width"], heads * d, bias=False))
    return layer


def kimi_names(c, t):
    heads = c["heads"]
    return {"query.weight": t["q_proj.weight"], "key.weight": t["k_proj.weight"], "value.weight": t["v_proj.weight"],
            "gate.weight": t["g_b_proj.weight"], "step.weight": t["forget_gate.f_b_proj.weight"],
            "writing.weight": t["b_proj.weight"], "decay_rate": t["forget_gate.A_log"].reshape(heads),
            "step_bias": t["forget_gate.dt_bias"].reshape(heads, -1), "convolution.weight": t["conv1d.weight"][:, 0].T,
            "gateNorm.weight": t["o_norm.weight"], "output.weight": t["o_proj.weight"]}


CASES = [("qwen3_next", "Qwen3NextGatedDeltaNet", qwen, qwen_names, dict(attention="gated-delta", output_gate="silu")),
         ("mamba2", "Mamba2Mixer", mamba, mamba_names, dict(attention="mamba2", output_gate="silu-first")),
         ("kimi_linear", "KimiLinearDeltaAttention", kimi, kimi_names, dict(attention="kda", output_gate="sigmoid"))]


class Decoder(torch.nn.Module):
    def __init__(self, c, make, module):
        super().__init__()
        self.c, w = c, c["width"]
        own = lambda *shape: torch.nn.Parameter(torch.empty(*shape))
        self.embedding, self.output, self.last = own(c["vocabulary"], w), own(c["vocabulary"], w), own(w)
        layers = range(c["layers"])
        self.mixers = torch.nn.ModuleList(make(c, module) for _ in layers)
        self.first = torch.nn.ParameterList(own(w) for _ in layers)
        self.second = torch.nn.ParameterList(own(w) for _ in layers)
        self.inner = torch.nn.ParameterList(own(c["hidden"], w) for _ in layers)
        self.outer = torch.nn.ParameterList(own(w, c["hidden"]) for _ in layers)

    def norm(self, x, gain): return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.c["epsilon"]) * gain

    def forward(self, tokens):
        x = F.embedding(tokens, self.embedding)
        for l in range(self.c["layers"]):
            x = x + self.mixers[l](self.norm(x, self.first[l]))
            x = x + F.gelu(self.norm(x, self.second[l]) @ self.inner[l].T) @ self.outer[l].T
        return self.norm(x, self.last) @ self.output.T


def pairs(c, names, t):
    """Ours by name, from theirs (weights or gradients)."""
    ours = {"embedding.weight": t["embedding"], "output.weight": t["output"], "decoder.norm.weight": t["last"]}
    for l in range(c["layers"]):
        n = f"decoder.layers.{l}."
        own = {name.removeprefix(f"mixers.{l}."): x for name, x in t.items() if name.startswith(f"mixers.{l}.")}
        for name, x in names(c, own).items(): ours[n + "attention." + name] = x
        for name, x in [("attention.norm", "first"), ("feedForward.norm", "second"), ("feedForward.inner", "inner"),
                        ("feedForward.outer", "outer")]:
            ours[n + name + ".weight"] = t[f"{x}.{l}"]
    return ours


def passes(model, c, names, tokens, targets):
    """Logits, loss and gradients by our names."""
    logits = model(tokens)
    loss = F.cross_entropy(logits.reshape(-1, c["vocabulary"]), targets.reshape(-1))
    loss.backward()
    return logits.detach(), loss.item(), pairs(c, names, {name: p.grad for name, p in model.named_parameters()})


def furthest(gradients, wanted):
    """The largest distance of all gradients that are not 0, and whose it is."""
    by_name = {n: distance(gradients[n], x) for n, x in wanted.items() if x.norm() > 0}
    return max((error, n) for n, error in by_name.items())


def compare(attnlab, c, family, make, names, length):
    torch.manual_seed(3)
    model = Decoder(c, make, in_double(family)).double()
    plain = Decoder(c, make, importlib.import_module(f"transformers.models.{family}.modeling_{family}"))
    with torch.no_grad():
        for name, p in model.named_parameters():
            scale = 0.3 if p.ndim == 1 or "A_log" in name else p.shape[-1] ** -0.5
            around = 1.0 if "norm" in name or name in ("last", "mixers.0.D", "mixers.1.D") or name[:5] in ("first", "secon") else 0.0
            # float32 numbers, as the file holds them.
            p.copy_((scale * torch.randn(p.shape, dtype=torch.float64) + around).float())
    tokens = torch.randint(0, c["vocabulary"], (2, length))
    targets = torch.randint(0, c["vocabulary"], (2, length))
    logits, loss, wanted = passes(model, c, names, tokens, targets)
    weights = pairs(c, names, dict(model.named_parameters()))
    plain.load_state_dict(model.state_dict())
    theirs = furthest(passes(plain, c, names, tokens, targets)[2], wanted)[0]
    with tempfile.TemporaryDirectory() as folder:
        at = lambda name: os.path.join(folder, name)
        write_safetensors(at("m.safetensors"), weights, {"format": "attnlab", **{
            f"model.{k}": str(v).lower() if isinstance(v, bool) else str(v) for k, v in c.items()}})
        np.save(at("t.npy"), tokens.numpy().astype(np.int32))
        np.save(at("y.npy"), targets.numpy().astype(np.int32))
        result = subprocess.run(
            [attnlab, "forward", "--checkpoint", at("m.safetensors"), "--json", "--tokens", at("t.npy"), "--targets",
             at("y.npy"), "--logits", at("l.npy"), "--grads", at("g.safetensors"), "--loss"],
            check=True, capture_output=True, text=True)
        found, gradients = json.loads(result.stdout), read_safetensors(at("g.safetensors"))
        ours = torch.from_numpy(np.load(at("l.npy")))
    assert set(wanted) == set(gradients), set(wanted) ^ set(gradients)
    # Where nothing flows (one token: the decays) both are 0.
    assert all(gradients[n].norm() == 0 for n, x in wanted.items() if x.norm() == 0)
    worst, name = furthest(gradients, wanted)
    errors = [distance(ours, logits), abs(found["loss"] - loss) / loss, worst]
    print("  %3d tokens: logits %.1e  loss %.1e  gradients %.1e (%s; theirs in float32 %.1e)" % (length, *errors, name, theirs))
    return max(errors) / max(1e-5, 2 * theirs)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--attnlab", default=".build/release/attnlab")
    options = parser.parse_args()
    print(f"transformers {transformers.__version__}, torch {torch.__version__}, numpy {np.__version__}")
    worst = 0.0
    for family, title, make, names, changes in CASES:
        print(title)
        for length in (1, 2, 65, 150):
            worst = max(worst, compare(options.attnlab, {**BASE, **changes}, family, make, names, length))
    print(f"largest {worst:.2f} of what is allowed")
    sys.exit(worst > 1)


if __name__ == "__main__":
    main()
