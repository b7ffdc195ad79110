"""Transformer blocks written from the equations, with attnlab's parameter names, for judges of mechanisms that stand on blocks; and
the comparison that these judges share."""

import json, math, os, subprocess
import numpy as np
import torch
import torch.nn.functional as F
from compare_transformer import distance, read_safetensors, rope, write_safetensors

LIMIT = 1e-5


class Blocks:
    """A configuration `c` in attnlab's words and parameters `p` by attnlab's names, drawn as float32 numbers."""

    def __init__(self, c, seed=7):
        self.c, self.p, self.generator = c, {}, torch.Generator().manual_seed(seed)

    def add(self, name, *shape, scale=None, around=0.0):
        scale = scale if scale is not None else 1 / math.sqrt(shape[-1])
        self.p[name] = around + scale * torch.randn(*shape, generator=self.generator)

    def add_linear(self, name, i, o, bias=True):
        self.add(name + ".weight", o, i)
        if bias: self.add(name + ".bias", o, scale=0.1)

    def add_norm(self, name):
        self.add(name + ".weight", self.c["width"], scale=0.1, around=1.0)
        self.add(name + ".bias", self.c["width"], scale=0.1)

    def add_block(self, name):
        d, heads = self.c["width"], self.c["heads"]
        kv = (self.c.get("key_heads") or heads) * d // heads
        for part, o in [("query", d), ("key", kv), ("value", kv), ("output", d)]: self.add_linear(f"{name}.attention.{part}", d, o)
        self.add_norm(name + ".attention.norm")
        self.add_linear(name + ".feedForward.inner", d, self.c["hidden"])
        self.add_linear(name + ".feedForward.outer", self.c["hidden"], d)
        self.add_norm(name + ".feedForward.norm")

    def to(self, dtype):
        """The same with numbers of another precision, which have gradients."""
        other = type(self).__new__(type(self))
        other.__dict__.update(self.__dict__)
        other.p = {k: v.detach().to(dtype).requires_grad_() for k, v in self.p.items()}
        return other

    def linear(self, name, x): return F.linear(x, self.p[name + ".weight"], self.p.get(name + ".bias"))

    def norm(self, name, x): return F.layer_norm(x, x.shape[-1:], self.p[name + ".weight"], self.p[name + ".bias"], self.c["epsilon"])

    def embed(self, table, tokens):
        """One sequence of tokens, whose positions count from 0."""
        return self.positioned(table, self.p["embedding.weight"][tokens] * math.sqrt(self.c["width"]))

    def positioned(self, table, x):
        n, d = x.shape
        if self.c["position"] == "learned": return x + self.p[table][:n]
        if self.c["position"] != "sinusoidal": return x
        angle = torch.arange(n)[:, None].double() * 10000.0 ** (-2 * (torch.arange(d) // 2).double() / d)
        return x + torch.where(torch.arange(d) % 2 == 0, angle.sin(), angle.cos()).to(x.dtype)

    def attend(self, name, x):
        """Full attention of one sequence, or a window on both sides."""
        heads, groups = self.c["heads"], self.c.get("key_heads") or self.c["heads"]
        split = lambda y, n: y.unflatten(-1, (n, -1)).transpose(0, 1)
        q, k, v = (split(self.linear(f"{name}.{part}", x), n) for part, n in [("query", heads), ("key", groups), ("value", groups)])
        if self.c["position"] == "rope": q, k = rope(q, False), rope(k, False)
        k, v = (t.repeat_interleave(heads // groups, 0) for t in (k, v))
        scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
        if "window" in self.c:
            i, j = torch.arange(len(x))[:, None], torch.arange(len(x))[None]
            scores = scores.masked_fill((i - j).abs() > self.c["window"], -torch.inf)
        return self.linear(name + ".output", (scores.softmax(-1) @ v).transpose(0, 1).flatten(-2))

    def block(self, name, x):
        """One sequence [n, width] through a block."""
        feed = lambda n, y: self.linear(n + ".outer", F.gelu(self.linear(n + ".inner", y)))
        for part, f in [("attention", self.attend), ("feedForward", feed)]:
            n = f"{name}.{part}"
            x = self.norm(n + ".norm", x + f(n, x)) if self.c["residual"] == "post" else x + f(n, self.norm(n + ".norm", x))
        return x


def compare(label, model, attnlab, folder, arrays, targets):
    """Runs attnlab on the arrays (name of a flag to array of integers) and compares logits, loss and all gradients with `model.logits()`
    in float64.

    A gradient that is a sum which cancels is judged by what PyTorch's float32 reaches: five times that is allowed where the limit is
    passed. A bias of keys that are not turned moves all scores of a row alike: its gradient is 0 but for rounding, and left out.
    """
    path = lambda name: os.path.join(folder, name)
    text = lambda v: str(v).lower() if isinstance(v, bool) else str(v)
    metadata = {"format": "attnlab", **{"model." + k: text(v) for k, v in model.c.items() if k != "window"}}
    write_safetensors(path("m.safetensors"), model.p, metadata)
    command = [attnlab, "forward", "--checkpoint", path("m.safetensors"), "--logits", path("l.npy"), "--loss", "--json",
               "--grads", path("g.safetensors")]
    for flag, values in {**arrays, "targets": targets}.items():
        np.save(path(flag + ".npy"), np.asarray(values, dtype=np.int32))
        command += ["--" + flag, path(flag + ".npy")]
    found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    ours = read_safetensors(path("g.safetensors"))
    exact, single = model.to(torch.float64), model.to(torch.float32)
    losses = []
    for network in (exact, single):
        logits = network.logits()
        losses.append(F.cross_entropy(logits, torch.as_tensor(targets)))
        losses[-1].backward()
        if network is exact: wanted = logits
    assert set(ours) == set(model.p), set(ours) ^ set(model.p)
    moving = [k for k, v in exact.p.items() if v.grad is not None and v.grad.norm() > 1e-9]
    still = set(model.p) - set(moving)
    assert all(k.endswith("key.bias") for k in still), still
    errors = {k: (distance(ours[k], exact.p[k].grad), distance(single.p[k].grad, exact.p[k].grad)) for k in moving}
    name, (own, torch32) = max(errors.items(), key=lambda item: item[1][0])
    figures = {"logits": distance(torch.from_numpy(np.load(path("l.npy"))), wanted),
               "loss": abs(found["loss"] - losses[0].item()) / losses[0].item(),
               "gradients": max(own if own <= LIMIT else LIMIT * own / max(LIMIT, 5 * torch32) for own, torch32 in errors.values())}
    good = all(value <= LIMIT for value in figures.values())
    print(f"{'ok ' if good else 'BAD'} {label:60s} " + "  ".join(f"{k} {v:.1e}" for k, v in figures.items())
          + f"  (largest {own:.1e}, PyTorch float32 {torch32:.1e}: {name})", flush=True)
    return good
