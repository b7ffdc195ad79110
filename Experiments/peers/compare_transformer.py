#!/usr/bin/env python3
"""Compares attnlab's Transformer with PyTorch on the same weights.

For a decoder, an encoder (classifier with padding) and an encoder-decoder, written here in plain PyTorch from the
equations alone: logits, loss and the gradient of every parameter (limit 1e-5, relative in the Euclidean norm), and the
weights and the losses of ten training steps (limit 1e-4): AdamW, and by turns SGD with momentum, every schedule with its
warm-up, clipping, accumulation, label smoothing beside ignored targets, BatchNorm with its running moments. Local-global attention with separate global projections is also compared with
Hugging Face's LongformerSelfAttention in the place of the layer written here.

    swift build -c release --product attnlab
    python Experiments/peers/compare_transformer.py --attnlab .build/release/attnlab

Exit code 1 when a limit is passed. With --speed it times training steps of both on the same shapes instead.
"""
import argparse, json, math, os, re, struct, subprocess, sys, tempfile, time
import numpy as np
import torch
import torch.nn.functional as F


def write_safetensors(path, tensors, metadata):
    header, offset, blobs = {"__metadata__": metadata}, 0, []
    for name, tensor in tensors.items():
        data = tensor.detach().float().contiguous().numpy().tobytes()
        header[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": [offset, offset + len(data)]}
        offset += len(data)
        blobs.append(data)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + b"".join(blobs))


def read_safetensors(path):
    with open(path, "rb") as file:
        (size,) = struct.unpack("<Q", file.read(8))
        header, body = json.loads(file.read(size)), file.read()
    header.pop("__metadata__", None)
    return {
        name: torch.from_numpy(np.frombuffer(body[e["data_offsets"][0]:e["data_offsets"][1]], "<f4").reshape(e["shape"]).copy())
        for name, e in header.items()
    }


# What a case trains with unless it says otherwise; the names are attnlab's.
TRAINING = dict(steps=10, optimizer="adamw", learning_rate=1e-3, schedule="constant", warmup=0, final_fraction=0.1,
                decay_factor=0.5, decay_every=3, accumulation=1, beta1=0.9, beta2=0.95, adam_epsilon=1e-8, weight_decay=0.01,
                momentum=0.9, clip=0, label_smoothing=0)

DEFAULTS = dict(kind="decoder", vocabulary=97, maximum_length=64, width=64, layers=2, encoder_layers=0, heads=4, key_heads=0,
                hidden=0, attention="full", global_projections="tied", position="rope", feed_forward="gelu", norm="layer", placement="pre", epsilon=1e-5,
                dropout=0.0, bias=True, tied=True, scale_embedding=True, embedding_norm=False, token_types=0, classes=0, seed=1)


def rope(x, interleaved):
    length, dim = x.shape[-2:]
    angle = torch.arange(length)[:, None].double() * (10000.0 ** (-2 * torch.arange(dim // 2).double() / dim))[None]
    c, s = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
    if interleaved:
        a, b = x[..., 0::2], x[..., 1::2]
        return torch.stack([a * c - b * s, b * c + a * s], -1).flatten(-2)
    a, b = x[..., : dim // 2], x[..., dim // 2:]
    return torch.cat([a * c - b * s, b * c + a * s], -1)


def alibi_slopes(heads):
    powers = lambda n: [2.0 ** (-8 * (i + 1) / n) for i in range(n)]
    lower = 2 ** int(math.log2(heads))
    return powers(lower) + powers(2 * lower)[0::2][: heads - lower]


def sees(c, layer, rows, keys):
    """Which keys a layer's rows see before causality and padding, and which rows are global; all and none in full."""
    parts = re.findall(r"([\w-]+)(?:\(([^)]*)\))?(?:,|$)", c["attention"].replace(" ", ""))
    name, text = parts[layer % len(parts)]
    if name == "full": return torch.ones(rows, keys, dtype=torch.bool), torch.zeros(rows, dtype=torch.bool)
    assert name == "local-global", name
    s = {"global_positions": "[]", **dict(part.split("=") for part in text.split(","))}
    positions = {int(x) for x in s["global_positions"].strip("[]").split("|") if x} | set(range(int(s["global_tokens"])))
    i, j = torch.arange(rows)[:, None], torch.arange(keys)[None]
    is_global = torch.tensor([n in positions for n in range(max(rows, keys))])
    near = (i - j <= int(s["left"])) & (j - i <= int(s["right"]))
    return near | is_global[:rows, None] | is_global[None, :keys], is_global[:rows]


class Model:
    """Parameters by attnlab's names; the equations of Vaswani et al. (2017) and successors."""

    def __init__(self, c, dtype=torch.float32, longformer=False):
        self.longformer = longformer
        # Running moments of BatchNorm: evaluation reads them, and training moves them.
        self.buffers, self.training = {}, False
        self.c, self.p, generator = c, {}, torch.Generator().manual_seed(7)
        d, h = c["width"], c["hidden"] or 4 * c["width"]
        kv = (c["key_heads"] or c["heads"]) * d // c["heads"]

        def add(name, *shape, scale=None, around=0.0):
            scale = scale if scale is not None else 1 / math.sqrt(shape[-1])
            self.p[name] = (around + scale * torch.randn(*shape, generator=generator)).to(dtype).requires_grad_()

        def linear(name, i, o, bias=c["bias"]):
            add(name + ".weight", o, i)
            if bias: add(name + ".bias", o, scale=0.1)

        def norm(name):
            add(name + ".weight", d, scale=0.1, around=1.0)
            if c["norm"] != "rms": add(name + ".bias", d, scale=0.1)
            if c["norm"] == "batch":
                self.buffers[name + ".running_mean"] = 0.3 * torch.randn(d, generator=generator).to(dtype)
                self.buffers[name + ".running_var"] = (0.5 + torch.rand(d, generator=generator)).to(dtype)

        def stack(name, layers, cross):
            for l in range(layers):
                for part in ["attention"] + (["cross"] if cross else []):
                    n = f"{name}.layers.{l}.{part}"
                    for q, o in [("query", d), ("key", kv), ("value", kv), ("output", d)]: linear(f"{n}.{q}", d, o)
                    if part == "attention" and c["global_projections"] == "separate" and sees(c, l, 8, 8)[1].any():
                        for q, o in [("query", d), ("key", kv), ("value", kv)]: linear(f"{n}.{q}_global", d, o)
                    norm(n + ".norm")
                n = f"{name}.layers.{l}.feedForward"
                for q in ["gate", "up"] if c["feed_forward"] == "swiglu" else ["inner"]: linear(f"{n}.{q}", d, h)
                linear(n + ".outer", h, d)
                norm(n + ".norm")
            if c["placement"] == "pre": norm(name + ".norm")

        add("embedding.weight", c["vocabulary"], d)
        stacks = {"decoder": ["decoder"], "encoder": ["encoder"], "encoder-decoder": ["encoder", "decoder"]}[c["kind"]]
        for s in stacks:
            if c["position"] == "learned": add(s + ".positions.weight", c["maximum_length"], d, scale=0.1)
            stack(s, c["layers"], s == "decoder" and len(stacks) == 2)
        if c["classes"]: linear("classifier", d, c["classes"], bias=True)
        elif not c["tied"]: add("output.weight", c["vocabulary"], d)

    def linear(self, name, x): return F.linear(x, self.p[name + ".weight"], self.p.get(name + ".bias"))

    def norm(self, name, x, lengths=None):
        if self.c["norm"] == "rms":
            return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.c["epsilon"]) * self.p[name + ".weight"]
        if self.c["norm"] == "batch":
            moments = (self.buffers[name + ".running_mean"], self.buffers[name + ".running_var"])
            rows = x.flatten(0, -2)
            # Moments are of real rows; what becomes of padded ones is nothing to any result.
            real = slice(None) if lengths is None or not self.training else (torch.arange(x.shape[1])[None] < lengths[:, None]).flatten()
            y = torch.zeros_like(rows)
            y[real] = F.batch_norm(rows[real], *moments, self.p[name + ".weight"], self.p[name + ".bias"],
                                   training=self.training, momentum=0.1, eps=self.c["epsilon"])
            return y.view(x.shape)
        return F.layer_norm(x, x.shape[-1:], self.p[name + ".weight"], self.p[name + ".bias"], self.c["epsilon"])

    def attend(self, name, x, memory, causal, lengths):
        c, own = self.c, memory is x
        if self.longformer: return self.linear(name + ".output", self.hugging_face(name, x, lengths))
        heads, groups = c["heads"], c["key_heads"] or c["heads"]
        split = lambda y, n: y.unflatten(-1, (n, -1)).transpose(1, 2)
        i, j = torch.arange(x.shape[1])[:, None], torch.arange(memory.shape[1])[None]
        mask, is_global = torch.ones_like(i * j, dtype=torch.bool), None
        if own: mask, is_global = sees(c, int(name.split(".")[2]), x.shape[1], x.shape[1])

        def projected(suffix):
            q = split(self.linear(f"{name}.query{suffix}", x), heads)
            k, v = (split(self.linear(f"{name}.{n}{suffix}", memory), groups) for n in ["key", "value"])
            if c["position"].startswith("rope") and own:
                q, k = (rope(t, c["position"] == "rope-interleaved") for t in (q, k))
            k, v = (t.repeat_interleave(heads // groups, 1) for t in (k, v))
            scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
            if c["position"] == "alibi" and own:
                scores = scores - torch.tensor(alibi_slopes(heads), dtype=scores.dtype)[:, None, None] * (i - j)
            scores = scores.masked_fill(~mask, -torch.inf)
            if causal: scores = scores.masked_fill(j > i, -torch.inf)
            if lengths is not None:
                scores = scores.masked_fill(j[None, None] >= lengths[:, None, None, None], -torch.inf)
            # A padded local row can see padded keys alone; no result depends on it.
            empty = torch.isinf(scores).all(-1, keepdim=True)
            return torch.where(empty, 0, scores.masked_fill(empty, 0).softmax(-1)) @ v

        y = projected("")
        if name + ".query_global.weight" in self.p: y = torch.where(is_global[:, None], projected("_global"), y)
        return self.linear(name + ".output", y.transpose(1, 2).flatten(-2))

    def hugging_face(self, name, x, lengths):
        """LongformerSelfAttention of transformers, with this layer's weights."""
        from transformers import LongformerConfig
        from transformers.models.longformer.modeling_longformer import LongformerSelfAttention
        c, layer = self.c, int(name.split(".")[2])
        window = int(re.search(r"left=(\d+)", c["attention"]).group(1))
        config = LongformerConfig(hidden_size=c["width"], num_attention_heads=c["heads"], attention_window=[2 * window],
                                  attention_probs_dropout_prob=0.0, num_hidden_layers=1)
        module = LongformerSelfAttention(config, layer_id=0).to(x.dtype).eval()
        is_global = sees(c, layer, x.shape[1], x.shape[1])[1].expand(x.shape[0], -1)
        padded = torch.arange(x.shape[1])[None] >= (lengths if lengths is not None else torch.full((x.shape[0],), x.shape[1]))[:, None]
        mask = torch.where(padded, -10000.0, torch.where(is_global, 10000.0, 0.0)).to(x.dtype)
        weights = {n: self.p[f"{name}.{n}"] for n, _ in module.named_parameters()}
        return torch.func.functional_call(module, weights, (x,), dict(
            attention_mask=mask, is_index_masked=mask < 0, is_index_global_attn=mask > 0, is_global_attn=True,
            output_attentions=False))[0]

    def feed(self, name, x):
        kind = self.c["feed_forward"]
        if kind == "swiglu": y = F.silu(self.linear(name + ".gate", x)) * self.linear(name + ".up", x)
        else:
            f = {"relu": F.relu, "gelu": F.gelu, "gelu-tanh": lambda t: F.gelu(t, approximate="tanh")}[kind]
            y = f(self.linear(name + ".inner", x))
        return self.linear(name + ".outer", y)

    def stack(self, name, x, memory, causal, lengths, memory_lengths):
        pre = self.c["placement"] == "pre"
        for l in range(self.c["layers"]):
            steps = [("attention", lambda n, y: self.attend(n, y, y, causal, lengths))]
            if memory is not None:
                steps.append(("cross", lambda n, y: self.attend(n, y, memory, False, memory_lengths)))
            steps.append(("feedForward", self.feed))
            for part, f in steps:
                n = f"{name}.layers.{l}.{part}"
                normed = lambda y: self.norm(n + ".norm", y, lengths)
                x = x + f(n, normed(x)) if pre else normed(x + f(n, x))
        return self.norm(name + ".norm", x, lengths) if pre else x

    def embed(self, name, tokens):
        c, d = self.c, self.c["width"]
        x = self.p["embedding.weight"][tokens] * (math.sqrt(d) if c["scale_embedding"] else 1)
        length = tokens.shape[1]
        if c["position"] == "learned": x = x + self.p[name + ".positions.weight"][:length]
        if c["position"] == "sinusoidal":
            angle = torch.arange(length)[:, None].double() * 10000.0 ** (-2 * (torch.arange(d) // 2).double() / d)
            x = x + torch.where(torch.arange(d) % 2 == 0, angle.sin(), angle.cos()).to(x.dtype)
        return x

    def logits(self, b):
        c, kind = self.c, self.c["kind"]
        lengths = b.get("lengths")
        if kind == "encoder-decoder":
            memory = self.stack("encoder", self.embed("encoder", b["source"]), None, False, b["source_lengths"], None)
            h = self.stack("decoder", self.embed("decoder", b["tokens"]), memory, True, None, b["source_lengths"])
        else:
            h = self.stack(kind, self.embed(kind, b["tokens"]), None, kind == "decoder", lengths, None)
        if c["classes"]:
            mask = (torch.arange(h.shape[1])[None] < lengths[:, None])[..., None].to(h.dtype)
            return self.linear("classifier", (h * mask).sum(1) / lengths[:, None])
        return F.linear(h, self.p["embedding.weight" if c["tied"] else "output.weight"])

    def loss(self, b, smoothing=0.0):
        return F.cross_entropy(self.logits(b).flatten(0, -2), b["targets"].flatten(), ignore_index=-100,
                               label_smoothing=smoothing)

    def copy(self, dtype):
        other = Model(self.c, dtype, self.longformer)
        other.p = {k: v.detach().to(dtype).clone().requires_grad_() for k, v in self.p.items()}
        other.buffers = {k: v.to(dtype).clone() for k, v in self.buffers.items()}
        return other


def rates(optimizer, t, width):
    """PyTorch's own schedulers. The first step after the warm-up is already one step into the decay."""
    lr, w = torch.optim.lr_scheduler, t["warmup"]
    if t["schedule"] == "noam":
        return lr.LambdaLR(optimizer, lambda e: width ** -0.5 * min((e + 1) ** -0.5, (e + 1) * w ** -1.5))
    after = {
        "constant": lambda: lr.ConstantLR(optimizer, factor=1),
        "step": lambda: lr.StepLR(optimizer, t["decay_every"], t["decay_factor"]),
        "exponential": lambda: lr.ExponentialLR(optimizer, t["decay_factor"] ** (1 / t["decay_every"])),
        "cosine": lambda: lr.CosineAnnealingLR(optimizer, t["steps"] - w, t["final_fraction"] * t["learning_rate"]),
    }[t["schedule"]]
    assert w > 1 or t["schedule"] == "constant", "LinearLR needs two steps"
    if w == 0: return after()
    warm = lr.LinearLR(optimizer, 1 / w, total_iters=w - 1)
    return lr.SequentialLR(optimizer, [warm, after()], milestones=[w - 1])


def train(model, b, t):
    """The losses before every step; the model is changed."""
    groups = [{"params": [p for n, p in model.p.items() if (p.dim() > 1 and "positions" not in n) == decays],
               "weight_decay": t["weight_decay"] if decays else 0.0} for decays in (True, False)]
    if t["optimizer"] == "sgd": optimizer = torch.optim.SGD(groups, lr=t["learning_rate"], momentum=t["momentum"])
    else:
        optimizer = torch.optim.AdamW(groups, lr=t["learning_rate"], betas=(t["beta1"], t["beta2"]), eps=t["adam_epsilon"])
    schedule, losses, passes = rates(optimizer, t, model.c["width"]), [], t["accumulation"]
    parts = [{k: v.chunk(passes)[i] for k, v in b.items()} for i in range(passes)]
    model.training = True
    for _ in range(t["steps"]):
        optimizer.zero_grad()
        total, counted = 0.0, 0
        for part in parts:
            loss, count = model.loss(part, t["label_smoothing"]), int((part["targets"] >= 0).sum())
            (loss / passes).backward()
            total, counted = total + loss.item() * count, counted + count
        if t["clip"]: torch.nn.utils.clip_grad_norm_(model.p.values(), t["clip"])
        optimizer.step()
        schedule.step()
        losses.append(total / counted)
    return losses


CASES = {
    "decoder": {},
    "decoder, 2 key heads, SwiGLU, RMSNorm": dict(key_heads=2, feed_forward="swiglu", norm="rms", bias=False),
    "decoder, ALiBi, ReLU, untied": dict(position="alibi", feed_forward="relu", tied=False),
    "decoder, RoPE interleaved, tanh GELU": dict(position="rope-interleaved", feed_forward="gelu-tanh"),
    "encoder, classifier, padding": dict(kind="encoder", classes=5, position="learned"),
    "encoder, post-norm, masked tokens": dict(kind="encoder", placement="post", position="learned", scale_embedding=False),
    "encoder-decoder, padding": dict(kind="encoder-decoder", position="sinusoidal"),
    "decoder, local-global, tied": dict(attention="local-global(left=5,right=0,global_tokens=2,global_positions=[9|30]), full"),
    "decoder, local-global, separate": dict(
        attention="local-global(left=5,right=0,global_tokens=2,global_positions=[9|30]), full", global_projections="separate", key_heads=2),
    "decoder, local-global, separate, ALiBi": dict(
        attention="local-global(left=9,right=0,global_tokens=3)", global_projections="separate", position="alibi", bias=False),
    "encoder, local-global, separate, padding": dict(
        kind="encoder", classes=5, position="rope", key_heads=1, global_projections="separate",
        attention="local-global(left=3,right=6,global_tokens=1,global_positions=[3|33])"),
    "encoder, separate, against LongformerSelfAttention": dict(
        kind="encoder", classes=5, position="learned", global_projections="separate", longformer=True,
        attention="local-global(left=4,right=4,global_tokens=1,global_positions=[3])"),
    "encoder-decoder, local-global, separate": dict(
        kind="encoder-decoder", position="sinusoidal", global_projections="separate",
        attention="local-global(left=4,right=4,global_tokens=1,global_positions=[7]), full"),
    "encoder-decoder, post-norm": dict(kind="encoder-decoder", position="sinusoidal", placement="post", feed_forward="relu"),
}

# How it is trained: the same models, ten steps each.
SGD = dict(optimizer="sgd", learning_rate=0.05)
CASES |= {
    "SGD with momentum": dict(training=SGD),
    "SGD without momentum, weight decay 0.1": dict(training={**SGD, "momentum": 0, "weight_decay": 0.1}),
    "warm-up, constant": dict(training=dict(warmup=4)),
    "warm-up, step": dict(training=dict(warmup=3, schedule="step", decay_every=2)),
    "warm-up, exponential": dict(training=dict(warmup=3, schedule="exponential")),
    "warm-up, cosine": dict(training=dict(warmup=3, schedule="cosine")),
    "Noam": dict(training=dict(warmup=4, schedule="noam", learning_rate=0.05)),
    "SGD, cosine": dict(training={**SGD, "warmup": 2, "schedule": "cosine"}),
    "clipping": dict(training=dict(clip=0.3)),
    "SGD, clipping": dict(training={**SGD, "clip": 0.3}),
    "accumulation of 4": dict(training=dict(accumulation=4)),
    "SGD, accumulation of 2, clipping": dict(training={**SGD, "accumulation": 2, "clip": 0.5}),
    "label smoothing, ignored targets": dict(training=dict(label_smoothing=0.1)),
    "label smoothing, classifier": dict(kind="encoder", classes=5, position="learned", training=dict(label_smoothing=0.2)),
    # A BatchNorm's mean follows the biases before it, which have no gradient: under Adam, noise. So without biases there.
    "BatchNorm": dict(norm="batch", bias=False),
    "BatchNorm, SGD": dict(norm="batch", training=SGD),
    "BatchNorm, SGD, post-norm": dict(norm="batch", placement="post", training=SGD),
    "BatchNorm, encoder, padding, accumulation": dict(
        norm="batch", kind="encoder", classes=5, position="learned", bias=False, training=dict(accumulation=2)),
    "BatchNorm, encoder-decoder, SGD": dict(norm="batch", kind="encoder-decoder", position="sinusoidal", training=SGD),
    "post-norm decoder, SGD": dict(placement="post", training=SGD),
    "post-norm, RMSNorm, Noam": dict(placement="post", norm="rms", training=dict(warmup=3, schedule="noam", learning_rate=0.05)),
    # GELU: a ReLU whose input rounds to the other side of 0 moves the weights by 3e-5.
    "everything at once": dict(
        placement="post", norm="batch", kind="encoder-decoder", position="sinusoidal",
        training={**SGD, "warmup": 3, "schedule": "exponential", "clip": 1.0, "accumulation": 2, "label_smoothing": 0.1}),
}


def batch(c, rows=4, length=48):
    g = torch.Generator().manual_seed(11)
    draw = lambda *shape: torch.randint(0, c["vocabulary"], shape, generator=g)
    b = {"tokens": draw(rows, length)}
    if c["classes"]: b["targets"] = torch.arange(rows) % c["classes"]
    else:
        b["targets"] = draw(rows, length)
        b["targets"][:, ::5] = -100
    if c["kind"] == "encoder":
        b["lengths"] = torch.tensor([length, length - 7, 5, length])
        # attnlab scores no padding, whatever its target.
        if not c["classes"]: b["targets"][torch.arange(length)[None] >= b["lengths"][:, None]] = -100
    if c["kind"] == "encoder-decoder":
        b["source"], b["source_lengths"] = draw(rows, 40), torch.tensor([40, 13, 40, 29])
    return b


def distance(a, b):
    a, b = a.detach().double(), b.detach().double()
    return float((a - b).norm() / b.norm().clamp_min(1e-12))


def compare(name, changes, attnlab, folder):
    changes = dict(changes)
    longformer, training = changes.pop("longformer", False), {**TRAINING, **changes.pop("training", {})}
    c = {**DEFAULTS, **changes}
    model, b = Model(c, longformer=longformer), batch(c)
    # Moments as after some training on these rows, or the softmax would be too sharp to compare anything.
    model.training = bool(model.buffers)
    for _ in range(10 if model.buffers else 0): model.loss(b)
    model.training = False
    text = lambda v: str(v).lower() if isinstance(v, bool) else str(v).replace("|", " ")
    path = lambda n: os.path.join(folder, n)
    write_safetensors(path("m.safetensors"), {**model.p, **model.buffers},
                      {"format": "attnlab", **{"model." + k: text(v) for k, v in c.items()}})
    command = [attnlab, "forward", "--checkpoint", path("m.safetensors")]
    for flag, key in [("tokens",) * 2, ("targets",) * 2, ("source",) * 2, ("lengths",) * 2, ("source-lengths", "source_lengths")]:
        if b.get(key) is not None:
            np.save(path(key + ".npy"), b[key].numpy().astype(np.int32))
            command += ["--" + flag, path(key + ".npy")]
    command += ["--logits", path("l.npy"), "--loss", "--json", "--grads", path("g.safetensors"), "--save", path("s.safetensors"),
                "--steps", str(training["steps"])]
    for key, value in training.items():
        if key != "steps": command += ["--set", f"{key}={value}"]
    theirs = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    logits, gradients, stepped = torch.from_numpy(np.load(path("l.npy"))), read_safetensors(path("g.safetensors")), read_safetensors(path("s.safetensors"))
    # The reference in float64 on the same float32 weights; PyTorch's own float32 error beside it.
    exact, trained, own = model.copy(torch.float64), model.copy(torch.float64), model.copy(torch.float32)
    loss = exact.loss(b)
    loss.backward()
    model.loss(b).backward()
    assert set(gradients) == set(model.p), set(gradients) ^ set(model.p)
    # A key bias shifts all scores of a row alike where k is not rotated: its gradient is 0, what rounding leaves of it is
    # noise in both programs, and Adam scales noise up to full steps. Such parameters are not compared. (Hugging Face's
    # layer takes its softmax in float32 whatever its inputs are, so that its noise is larger.)
    # In training a BatchNorm takes the mean off what it reads, so that biases before it have no gradient either.
    noise = 1e-6 if longformer else 1e-9
    moving = [k for k, v in exact.p.items() if v.grad.norm() > noise]
    probe = model.copy(torch.float64)
    probe.training = True
    probe.loss(b).backward()
    trainable = [k for k in moving if probe.p[k].grad.norm() > noise]
    still = set(model.p) - set(trainable)
    assert all(re.search(r"bias$" if c["norm"] == "batch" else r"key(_global)?\.bias$", k) for k in still), still
    losses = train(trained, b, training)
    train(own, b, training)
    everything = lambda m: {**m.p, **m.buffers}
    compared = trainable + list(model.buffers)
    figures = {
        "logits": distance(logits, exact.logits(b)), "loss": abs(theirs["loss"] - loss.item()) / loss.item(),
        "gradients": max(distance(gradients[k], exact.p[k].grad) for k in moving),
        "weights": max(distance(stepped[k], everything(trained)[k]) for k in compared),
        "losses": max(abs(x - y) / y for x, y in zip(theirs["losses"], losses, strict=True)),
        "PyTorch_float32_gradients": max(distance(model.p[k].grad, exact.p[k].grad) for k in moving),
        "moved": min(distance(everything(model)[k], everything(trained)[k]) for k in compared),
        "PyTorch_float32_weights": max(distance(everything(own)[k], everything(trained)[k]) for k in compared),
    }
    limits = {"logits": 1e-5, "loss": 1e-5, "gradients": 1e-5, "weights": 1e-4, "losses": 1e-4}
    good = all(figures[k] <= limit for k, limit in limits.items())
    print(f"{'ok ' if good else 'BAD'} {name:50s} " + "  ".join(f"{k} {v:.1e}" for k, v in figures.items()), flush=True)
    return good


class Eager(torch.nn.Module):
    """The same decoder as PyTorch users write it: modules, fused attention, fused QKV."""

    def __init__(self, vocabulary, d, layers, heads, length):
        super().__init__()
        nn = torch.nn
        self.embedding, self.heads = nn.Embedding(vocabulary, d), heads
        self.positions = nn.Embedding(length, d)
        self.blocks = nn.ModuleList([nn.ModuleDict(dict(
            n1=nn.LayerNorm(d), qkv=nn.Linear(d, 3 * d), out=nn.Linear(d, d), n2=nn.LayerNorm(d),
            up=nn.Linear(d, 4 * d), down=nn.Linear(4 * d, d))) for _ in range(layers)])
        self.norm = nn.LayerNorm(d)

    def forward(self, t):
        x = self.embedding(t) + self.positions(torch.arange(t.shape[1]))
        for b in self.blocks:
            q, k, v = b["qkv"](b["n1"](x)).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
            x = x + b["out"](F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(-2))
            x = x + b["down"](F.gelu(b["up"](b["n2"](x))))
        return F.linear(self.norm(x), self.embedding.weight)


def speed(a):
    """The same decoder in both programs, in turn: a few warm steps of one, then of the other, `rounds` times."""
    torch.set_num_threads(a.threads)
    model = Eager(256, a.width, a.layers, a.width // 64, a.length)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.9, 0.95))
    tokens = torch.randint(0, 256, (a.batch, a.length + 1))
    command = [a.attnlab, "train", "text", "--time", str(a.steps), "--json", "--threads", str(a.threads)]
    for setting in [f"model.width={a.width}", f"model.layers={a.layers}", f"model.heads={a.width // 64}",
                    "model.position=learned", f"task.length={a.length}", f"training.batch={a.batch}"]:
        command += ["--set", setting]
    ours, theirs, fractions, allocations = [], [], [], 0
    for round in range(a.rounds):
        for step in range(a.steps + (2 if round == 0 else 1)):
            start = time.perf_counter()
            optimizer.zero_grad()
            F.cross_entropy(model(tokens[:, :-1]).flatten(0, 1), tokens[:, 1:].flatten()).backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            if step >= (2 if round == 0 else 1): theirs.append(time.perf_counter() - start)
        timing = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        ours += timing["seconds"]
        fractions.append(timing["fraction_of_peak"])
        allocations += timing["allocations"]
    quantile = lambda values, q: sorted(values)[int(q * (len(values) - 1))]
    median = {name: quantile(values, 0.5) for name, values in [("attnlab", ours), ("pytorch", theirs)]}
    print(f"width {a.width} layers {a.layers} batch {a.batch}x{a.length} threads {a.threads}, torch {torch.__version__}")
    for name, values in [("attnlab", ours), ("pytorch", theirs)]:
        print(f"  {name:8s} {median[name]:.4f} s a step ({quantile(values, 0.2):.4f} to {quantile(values, 0.8):.4f}, "
              f"{len(values)} steps), {a.batch * a.length / median[name]:.0f} tokens/s")
    print(f"  attnlab is {median['pytorch'] / median['attnlab']:.2f} times as fast, at {100 * np.median(fractions):.0f} % of the "
          f"measured peak; {allocations} allocations in the timed steps", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--attnlab", default=".build/release/attnlab")
    parser.add_argument("--speed", action="store_true")
    parser.add_argument("--only", default="", help="cases whose name contains this")
    for name, value in [("width", 256), ("layers", 4), ("batch", 8), ("length", 256), ("steps", 5), ("rounds", 3), ("threads", 2)]:
        parser.add_argument("--" + name, type=int, default=value)
    arguments = parser.parse_args()
    if arguments.speed:
        speed(arguments)
        sys.exit(0)
    with tempfile.TemporaryDirectory() as folder:
        results = [compare(n, c, os.path.abspath(arguments.attnlab), folder) for n, c in CASES.items()
                   if arguments.only in n]
    sys.exit(0 if all(results) else 1)
