#!/usr/bin/env python3
"""Compares attnlab's memory of segments (Transformer-XL) with PyTorch on the same weights.

A decoder reads rows in segments; every layer keeps the rows that its attention read. Logits of all segments (limit 1e-5,
relative in the Euclidean norm), the loss and the gradient of every parameter (limit 1e-5) are compared with

- the equations of Dai et al. (2019), written here in float64: pre-norm and post-norm, one memory shorter than a segment, one
  longer than the text, absent or of zeros at the start, relative scores, RoPE and ALiBi, a window that moves with the query;
- those of Wu et al. (2022), Memorizing Transformers, likewise: one layer looks up the nearest of the keys that it stored of earlier
  segments, and a gate of every head mixes what it finds with what it sees of its own segment;
- with --authors FOLDER the authors' own code (pytorch/mem_transformer.py of github.com/kimiyoung/transformer-xl), also in
  float64, whose feed-forward biases are 0 here.

    swift build -c release --product attnlab
    python Experiments/peers/compare_memory.py --attnlab .build/release/attnlab --authors transformer-xl/pytorch

Exit code 1 when a limit is passed.
"""
import argparse, json, math, os, re, subprocess, sys, tempfile, types
import numpy as np
import torch
import torch.nn.functional as F
from compare_transformer import alibi_slopes, read_safetensors, write_safetensors

BASE = dict(kind="decoder", vocabulary=23, maximum_length=8, width=32, layers=3, heads=4, hidden=48, attention="full(score=relative)",
            position="none", feed_forward="relu", norm="layer", residual="post", epsilon=1e-5, bias=False, tied=True,
            scale_embedding=True, memory=12, empty_memory="absent", seed=1)


def rope(x, first):
    length, dim = x.shape[-2:]
    angle = (first + torch.arange(length))[:, None].double() * (10000.0 ** (-2 * torch.arange(dim // 2).double() / dim))[None]
    c, s = angle.cos(), angle.sin()
    a, b = x[..., : dim // 2], x[..., dim // 2:]
    return torch.cat([a * c - b * s, b * c + a * s], -1)


class Model:
    """Parameters by attnlab's names."""

    def __init__(self, c):
        self.c, self.p, generator = c, {}, torch.Generator().manual_seed(5)
        d, h, heads = c["width"], c["hidden"], c["heads"]

        def add(name, *shape, scale=None, around=0.0):
            scale = scale if scale is not None else 1 / math.sqrt(shape[-1])
            # float32 numbers, as the file holds them.
            self.p[name] = (around + scale * torch.randn(*shape, generator=generator)).double().requires_grad_()

        def linear(name, i, o):
            add(name + ".weight", o, i)
            if c["bias"]: add(name + ".bias", o, scale=0.1)

        def norm(name):
            add(name + ".weight", d, scale=0.1, around=1.0)
            add(name + ".bias", d, scale=0.1)

        self.relative = "relative" in c["attention"]
        add("embedding.weight", c["vocabulary"], d)
        if self.relative:
            for name in ["content", "position"]: add(f"decoder.relative_{name}", heads, d // heads, scale=0.5)
        for l in range(c["layers"]):
            n = f"decoder.layers.{l}.attention"
            for q in ["query", "key", "value", "output"]: linear(f"{n}.{q}", d, d)
            if self.relative: add(f"{n}.relative_weight", heads, d // heads, d, scale=1 / math.sqrt(d))
            if c.get("stored") and l + 1 == c.get("stored_layer", c["layers"]): add(n + ".stored_gate", heads, scale=0.5)
            norm(n + ".norm")
            n = f"decoder.layers.{l}.feedForward"
            linear(n + ".inner", d, h)
            linear(n + ".outer", h, d)
            norm(n + ".norm")
        if c["residual"] == "pre": norm("decoder.norm")
        self.store, self.left = None, None

    def look_up(self, n, rows, seen):
        """What a layer sees of its own segment [batch, heads, rows, dim], mixed with what it finds in its store; leaves new pairs."""
        if n + ".stored_gate" not in self.p: return seen
        heads, dim = seen.shape[1], seen.shape[3]
        q, k, v = (self.linear(f"{n}.{part}", rows).unflatten(-1, (heads, dim)).transpose(1, 2) for part in ["query", "key", "value"])
        self.left = (k.detach(), v.detach())
        if self.store is None: return seen
        keys, values = self.store
        s, nearest = q @ keys.transpose(-1, -2) / math.sqrt(dim), self.c["stored_nearest"]
        if 0 < nearest < s.shape[-1]:
            s = s.masked_fill(s < s.topk(nearest, -1).values[..., -1:], -math.inf)
        g = self.p[n + ".stored_gate"].sigmoid()[:, None, None]
        return g * (s.softmax(-1) @ values) + (1 - g) * seen

    def end_segment(self):
        """Stores what the segment left, and forgets the oldest."""
        if self.left is None: return
        joined = self.left if self.store is None else [torch.cat(pair, 2) for pair in zip(self.store, self.left)]
        self.store = [x[:, :, max(0, x.shape[2] - self.c["stored"]):] for x in joined]

    def linear(self, name, x): return F.linear(x, self.p[name + ".weight"], self.p.get(name + ".bias"))

    def norm(self, name, x):
        return F.layer_norm(x, x.shape[-1:], self.p[name + ".weight"], self.p[name + ".bias"], self.c["epsilon"])

    def attend(self, n, whole, own):
        """whole [batch, past + own, d]: the past, then the segment's rows, of which the last `own` have queries."""
        c, p = self.c, self.p
        batch, total, d = whole.shape
        heads, dim, past = c["heads"], d // c["heads"], total - own
        split = lambda x: x.view(batch, -1, heads, dim).transpose(1, 2)
        q = split(self.linear(n + ".query", whole[:, past:]))
        k, v = split(self.linear(n + ".key", whole)), split(self.linear(n + ".value", whole))
        if c["position"] == "rope": q, k = rope(q, past), rope(k, 0)
        i, j = torch.arange(past, total)[:, None], torch.arange(total)[None]
        if self.relative:
            u, w = p["decoder.relative_content"], p["decoder.relative_position"]
            clamp = re.search(r"clamp_length=(\d+)", c["attention"])
            distance = (i - j).clamp(max=int(clamp[1])) if clamp else i - j
            angle = distance[..., None].double() * 10000.0 ** (-torch.arange(0, d, 2).double() / d)
            waves = torch.einsum("hdw,ijw->hijd", p[n + ".relative_weight"], torch.cat([angle.sin(), angle.cos()], -1))
            s = (q + u[:, None]) @ k.transpose(-1, -2) + torch.einsum("bhid,hijd->bhij", q + w[:, None], waves)
        else:
            s = q @ k.transpose(-1, -2)
        s = s / math.sqrt(dim)
        if c["position"] == "alibi":
            s = s - torch.tensor(alibi_slopes(heads), dtype=s.dtype)[:, None, None] * (i - j).double()
        sees = j <= i
        if "left=" in c["attention"]: sees = sees & (i - j <= int(c["attention"].split("left=")[1].split(",")[0].rstrip(")")))
        o = self.look_up(n, whole[:, past:], s.masked_fill(~sees, -math.inf).softmax(-1) @ v)
        return self.linear(n + ".output", o.transpose(1, 2).reshape(batch, own, d))

    def segment(self, tokens, memory, capacity):
        """Logits, and what every layer keeps."""
        c, (batch, own) = self.c, tokens.shape
        x = self.p["embedding.weight"][tokens] * math.sqrt(c["width"])
        kept = []
        for l in range(c["layers"]):
            whole = torch.cat([memory[l], x], 1)
            kept.append(whole[:, max(0, whole.shape[1] - capacity):].detach())
            n = f"decoder.layers.{l}.attention"
            if c["residual"] == "pre":
                x = x + self.attend(n, self.norm(n + ".norm", whole), own)
            else:
                x = self.norm(n + ".norm", x + self.attend(n, whole, own))
            n = f"decoder.layers.{l}.feedForward"
            f = lambda x: self.linear(n + ".outer", F.relu(self.linear(n + ".inner", x)))
            x = x + f(self.norm(n + ".norm", x)) if c["residual"] == "pre" else self.norm(n + ".norm", x + f(x))
        if c["residual"] == "pre": x = self.norm("decoder.norm", x)
        self.end_segment()
        return x @ self.p["embedding.weight"].T, kept

    def start(self, batch, capacity):
        rows = capacity if self.c["empty_memory"] == "zeros" else 0
        return [torch.zeros(batch, rows, self.c["width"], dtype=torch.float64) for _ in range(self.c["layers"])]


class Authors:
    """MemTransformerLM with the weights of a `Model`."""

    def __init__(self, folder, model):
        sys.path.insert(0, os.path.join(folder, "utils"))
        # Sampled softmax is not used, and its module asks for more than is needed.
        stub = types.ModuleType("log_uniform_sampler")
        stub.LogUniformSampler = stub.sample_logits = None
        sys.modules["log_uniform_sampler"] = stub
        # Masks of bytes are refused by today's PyTorch, and scores went through float32.
        with open(os.path.join(folder, "mem_transformer.py")) as file:
            source = file.read().replace(".byte()", ".bool()").replace("attn_score.float()", "attn_score")
        module = types.ModuleType("mem_transformer")
        exec(compile(source, "mem_transformer.py", "exec"), module.__dict__)
        c, p = model.c, model.p
        d, heads = c["width"], c["heads"]
        self.net = net = module.MemTransformerLM(
            c["vocabulary"], c["layers"], heads, d, d // heads, c["hidden"], 0.0, 0.0, pre_lnorm=c["residual"] == "pre",
            tgt_len=8, ext_len=0, mem_len=c["memory"],
            clamp_len=int((re.findall(r"clamp_length=(\d+)", c["attention"]) or [-1])[0])).double()
        self.model, pairs = model, {}
        pairs["embedding.weight"] = net.word_emb.emb_layers[0].weight
        pairs["decoder.relative_content"], pairs["decoder.relative_position"] = net.r_w_bias, net.r_r_bias
        for l, layer in enumerate(net.layers):
            a, f, n = layer.dec_attn, layer.pos_ff, f"decoder.layers.{l}"
            pairs[f"{n}.attention.qkv"] = a.qkv_net.weight
            pairs[f"{n}.attention.output.weight"] = a.o_net.weight
            pairs[f"{n}.attention.relative_weight"] = a.r_net.weight
            for part, norm in [("attention", a.layer_norm), ("feedForward", f.layer_norm)]:
                pairs[f"{n}.{part}.norm.weight"], pairs[f"{n}.{part}.norm.bias"] = norm.weight, norm.bias
            inner, outer = f.CoreNet[0], f.CoreNet[3]
            pairs[f"{n}.feedForward.inner.weight"], pairs[f"{n}.feedForward.outer.weight"] = inner.weight, outer.weight
            with torch.no_grad():
                inner.bias.zero_(), outer.bias.zero_()
        self.pairs = pairs
        with torch.no_grad():
            for name, tensor in pairs.items():
                if name.endswith(".qkv"):
                    tensor.copy_(torch.cat([p[name[:-3] + q + ".weight"] for q in ["query", "key", "value"]]))
                else:
                    tensor.copy_(p[name].reshape(tensor.shape))

    def run(self, tokens, targets, length, scored):
        mems, logits, loss = self.net.init_mems(), [], 0.0
        for start in range(0, tokens.shape[1], length):
            h, mems = self.net._forward(tokens[:, start:start + length].T, mems=mems)
            out = (h @ self.net.word_emb.emb_layers[0].weight.T).transpose(0, 1)
            logits.append(out.detach())
            part = F.cross_entropy(out.reshape(-1, out.shape[-1]), targets[:, start:start + length].reshape(-1),
                                   ignore_index=-100, reduction="sum") / scored
            part.backward()
            loss += part.item()
        gradients = {}
        for name, tensor in self.pairs.items():
            if name.endswith(".qkv"):
                for q, part in zip(["query", "key", "value"], tensor.grad.chunk(3)): gradients[name[:-3] + q + ".weight"] = part
            else:
                gradients[name] = tensor.grad.reshape(self.model.p[name].shape)
        return torch.cat(logits, 1), loss, gradients


def distance(a, b, floor=0.0):
    return (a.double() - b.double()).norm().item() / max(b.double().norm().item(), floor)


def compare(attnlab, c, length, authors, memory=None):
    model = Model(c)
    capacity = c["memory"] if memory is None else memory
    generator = torch.Generator().manual_seed(11)
    tokens = torch.randint(0, c["vocabulary"], (2, 37), generator=generator)
    targets = torch.randint(0, c["vocabulary"], (2, 37), generator=generator)
    targets[torch.rand(2, 37, generator=generator) < 0.2] = -100
    scored = (targets >= 0).sum()
    kept, logits, loss = model.start(2, capacity), [], 0.0
    for start in range(0, 37, length):
        out, kept = model.segment(tokens[:, start:start + length], kept, capacity)
        logits.append(out.detach())
        part = F.cross_entropy(out.reshape(-1, c["vocabulary"]), targets[:, start:start + length].reshape(-1),
                               ignore_index=-100, reduction="sum") / scored
        part.backward()
        loss += part.item()
    judges = {"equations": (torch.cat(logits, 1), loss, {n: t.grad for n, t in model.p.items()})}
    if authors and model.relative and "left=" not in c["attention"] and not c["bias"] and "stored" not in c and c["empty_memory"] == "absent" \
            and memory is None and c["residual"] == "post":
        judges["authors"] = Authors(authors, model).run(tokens, targets, length, scored)
    with tempfile.TemporaryDirectory() as folder:
        at = lambda name: os.path.join(folder, name)
        write_safetensors(at("m.safetensors"), model.p, {"format": "attnlab", **{
            f"model.{k}": str(v).lower() if isinstance(v, bool) else str(v) for k, v in c.items()}})
        np.save(at("t.npy"), tokens.numpy().astype(np.int32))
        np.save(at("y.npy"), targets.numpy().astype(np.int32))
        command = [attnlab, "forward", "--checkpoint", at("m.safetensors"), "--tokens", at("t.npy"), "--targets", at("y.npy"),
                   "--segment", str(length), "--logits", at("l.npy"), "--grads", at("g.safetensors"), "--loss", "--json"]
        if memory is not None: command += ["--memory", str(memory)]
        found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        ours, gradients = torch.from_numpy(np.load(at("l.npy"))), read_safetensors(at("g.safetensors"))
    worst = 0.0
    for judge, (logits, loss, wanted) in judges.items():
        assert set(wanted) == set(gradients), set(wanted) ^ set(gradients)
        # A bias of keys moves all scores of a row alike: its gradient is 0 but for rounding, and measured by that of the keys.
        floor = lambda n: wanted[n.replace("key.bias", "key.weight")].norm().item() if n.endswith("key.bias") else 0
        errors = [distance(ours, logits), abs(found["loss"] - loss) / loss,
                  max(distance(gradients[n], wanted[n], floor(n)) for n in wanted)]
        print("  %-10s logits %.1e  loss %.1e  gradients %.1e" % (judge, *errors))
        worst = max(worst, *errors)
    return worst


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--attnlab", default=".build/release/attnlab")
    parser.add_argument("--authors", help="the folder pytorch of github.com/kimiyoung/transformer-xl")
    options = parser.parse_args()
    cases = [({}, 8, None), ({}, 37, None), ({"memory": 3}, 8, None), ({"memory": 64}, 5, None), ({"residual": "pre"}, 8, None),
             ({"residual": "pre", "bias": True, "empty_memory": "zeros"}, 8, None), ({"empty_memory": "zeros"}, 8, None),
             ({"attention": "full", "position": "rope"}, 8, None), ({"attention": "full", "position": "alibi", "bias": True}, 8, None),
             ({"attention": "sliding-window(left=5, score=relative)"}, 8, None), ({}, 8, 30), ({}, 8, 0),
             ({"attention": "full(score=relative, clamp_length=5)"}, 8, None),
             ({"attention": "sliding-window(left=9, score=relative, clamp_length=5)", "memory": 30}, 8, None),
             ({"attention": "full", "position": "rope", "memory": 0, "stored": 64, "stored_nearest": 0}, 8, None),
             ({"attention": "full", "position": "rope", "memory": 0, "stored": 20, "stored_nearest": 3, "bias": True}, 8, None),
             ({"memory": 6, "stored": 64, "stored_nearest": 5, "stored_layer": 2, "residual": "pre"}, 8, None)]
    worst = 0.0
    for changes, length, memory in cases:
        words = ", ".join(f"{k} {v}" for k, v in changes.items()) or "as in the paper"
        print(f"{words}; segments of {length}" + (f", memory {memory} in evaluation" if memory is not None else ""))
        worst = max(worst, compare(options.attnlab, {**BASE, **changes}, length, options.authors, memory))
    print(f"largest {worst:.1e}, limit 1e-5")
    sys.exit(worst > 1e-5)


if __name__ == "__main__":
    main()
