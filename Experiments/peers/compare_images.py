#!/usr/bin/env python3
"""Compares attnlab's networks on images with PyTorch and timm on the same weights.

A residual network (kind cnn) in evaluation: logits, loss and the gradient of every parameter; and after three training steps, where
BatchNorm takes the moments of the batch: every weight and every running moment. Convolutions with strides, padding, groups and
windows of 1, 3, 5 and 7 places are PyTorch's, so are pooling, BatchNorm and bilinear interpolation. Squeeze and excitation and CBAM
with the mean first are timm's modules; CBAM with the largest first (the authors' code), residual attention (Wang et al., 2017) and
dual attention (Fu et al., 2019, γ ≠ 0) are written here from the papers, for no package has them. All in float64, and in float32.

Limit: 1e-5 relative in the Euclidean norm, or five times what PyTorch is off in float32 where sums cancel. The gradient of the bias of
position attention's keys is 0, for a softmax does not see it: its error is taken relative to the gradient of their weights.

    swift build -c release --product attnlab
    python Experiments/peers/compare_images.py --attnlab .build/release/attnlab

Needs torch, timm and numpy. Exit code 1 when a limit is passed.
"""
import argparse, json, os, subprocess, sys, tempfile
import numpy as np
import torch
import torch.nn.functional as F
from timm.layers import SqueezeExcite
from timm.layers.cbam import CbamModule
from torch.func import functional_call
from compare_transformer import distance, read_safetensors, write_safetensors

LIMIT = 1e-5
DEFAULTS = dict(kind="cnn", vocabulary=2, maximum_length=64, features=3, classes=5, channels=16, stages=2, blocks=1, groups=1,
                stem_window=3, stem_stride=1, stem_pooling="none", channel_attention="none", squeeze=16, gate_bias="true",
                cbam_order="mean-max", cbam_norm="true", cbam_window=7, mask_depth=1)


class Network:
    """The network of the papers, reading parameters by attnlab's names; makes those that it has not met."""

    def __init__(self, c, dtype, p=None):
        self.c, self.dtype, self.g = c, dtype, torch.Generator().manual_seed(7)
        self.p = {} if p is None else {k: v.to(dtype).clone() for k, v in p.items()}
        self.isDrawn, self.training = p is None, False
        for k, v in self.p.items():
            if "running" not in k: v.requires_grad_()

    def get(self, name, *shape, kind="weight"):
        if name not in self.p and self.isDrawn:
            drawn = torch.randn(*shape, generator=self.g)
            fan = max(1, int(np.prod(shape[1:])))
            self.p[name] = {"weight": drawn / fan ** 0.5, "gain": 1 + 0.2 * drawn, "shift": 0.2 * drawn,
                            "mean": 0.3 * drawn, "variance": 0.5 + torch.rand(*shape, generator=self.g)}[kind].to(self.dtype)
        return self.p[name]

    def conv(self, name, x, out, size=1, stride=1, groups=1, bias=False):
        w = self.get(name + ".weight", out, size, size, x.shape[1] // groups).permute(0, 3, 1, 2)
        b = self.get(name + ".bias", out, kind="shift") if bias else None
        return F.conv2d(x, w, b, stride, size // 2, groups=groups)

    def norm(self, name, x):
        n = x.shape[1]
        w, b = self.get(name + ".weight", n, kind="gain"), self.get(name + ".bias", n, kind="shift")
        m, v = self.get(name + ".running_mean", n, kind="mean"), self.get(name + ".running_var", n, kind="variance")
        return F.batch_norm(x, m, v, w, b, self.training, 0.1, 1e-5)

    def normed(self, name, x, out, size=1, stride=1, groups=1):
        return self.norm(name + ".norm", self.conv(name, x, out, size, stride, groups))

    def linear(self, name, x, out, bias=True):
        w = self.get(name + ".weight", out, x.shape[-1])
        return x @ w.T + (self.get(name + ".bias", out, kind="shift") if bias else 0)

    def unit(self, name, x, out, stride=1, attention=lambda name, y: y):
        y = F.relu(self.normed(name + ".first", x, out, 3, stride, self.c["groups"]))
        y = attention(name + ".attention", self.normed(name + ".second", y, out, 3, 1, self.c["groups"]))
        past = x if stride == 1 and x.shape[1] == out else self.normed(name + ".shortcut", x, out, 1, stride)
        return F.relu(past + y)

    # A gate's two layers as timm's 1×1 convolutions.
    def gates(self, name, n, hidden):
        bias = self.c["gate_bias"] == "true"
        result = {}
        for own, theirs, out, width in ((".inner", "fc1", hidden, n), (".outer", "fc2", n, hidden)):
            result[theirs + ".weight"] = self.get(name + own + ".weight", out, width)[:, :, None, None]
            if bias: result[theirs + ".bias"] = self.get(name + own + ".bias", out, kind="shift")
        return result, bias

    def attention(self, name, x):
        n, ratio = x.shape[1], self.c["squeeze"]
        if self.c["channel_attention"] == "se":
            module = SqueezeExcite(n, rd_ratio=1 / ratio, bias=self.c["gate_bias"] == "true").to(self.dtype)
            weights, _ = self.gates(name, n, module.fc1.out_channels)
            return functional_call(module, weights, (x,))
        if self.c["channel_attention"] != "cbam": return x
        if self.c["cbam_order"] == "mean-max" and self.c["cbam_norm"] == "true": return self.timmBlock(name, x, n, ratio)
        # The authors' code, in its order.
        hidden = max(1, int(n / ratio + 0.5))
        bias = self.c["gate_bias"] == "true"
        g = lambda z: self.linear(name + ".channels.outer", F.relu(self.linear(name + ".channels.inner", z, hidden, bias)), n, bias)
        x = x * torch.sigmoid(g(F.avg_pool2d(x, x.shape[2:]).flatten(1)) + g(F.max_pool2d(x, x.shape[2:]).flatten(1)))[:, :, None, None]
        maps = [x.max(1, keepdim=True)[0], x.mean(1, keepdim=True)]
        if self.c["cbam_order"] == "mean-max": maps.reverse()
        y = self.conv(name + ".places", torch.cat(maps, 1), 1, self.c["cbam_window"])
        return x * torch.sigmoid(self.norm(name + ".places.norm", y) if self.c["cbam_norm"] == "true" else y)

    def timmBlock(self, name, x, n, ratio):
        module = CbamModule(n, rd_ratio=1 / ratio, spatial_kernel_size=self.c["cbam_window"], mlp_bias=self.c["gate_bias"] == "true")
        module.to(self.dtype).train(self.training)
        weights, _ = self.gates(name + ".channels", n, module.channel.fc1.out_channels)
        weights = {"channel." + k: v for k, v in weights.items()}
        size = self.c["cbam_window"]
        weights["spatial.conv.conv.weight"] = self.get(name + ".places.weight", 1, size, size, 2).permute(0, 3, 1, 2)
        for theirs, own, kind in (("weight", "weight", "gain"), ("bias", "bias", "shift"), ("running_mean", "running_mean", "mean"),
                                  ("running_var", "running_var", "variance")):
            weights["spatial.conv.bn." + theirs] = self.get(f"{name}.places.norm.{own}", 1, kind=kind)
        return functional_call(module, weights, (x,))

    def hourglass(self, name, x, depth):
        n, unit = x.shape[1], lambda part, y: self.unit(f"{name}.{part}", y, x.shape[1])
        h = unit("down", F.max_pool2d(x, 3, 2, 1))
        if depth > 1: h = unit("skip", h) + self.hourglass(name + ".further", h, depth - 1)
        return F.interpolate(unit("up", h), size=x.shape[2:], mode="bilinear", align_corners=True)

    def masked(self, name, x, trunk):
        h = self.hourglass(name + ".mask", x, self.c["mask_depth"])
        h = F.relu(self.normed(name + ".mask.inner", h, x.shape[1]))
        return (1 + torch.sigmoid(self.conv(name + ".mask.outer", h, x.shape[1], bias=True))) * trunk(x)

    def positions(self, name, x):
        b, n, h, w = x.shape
        rows = x.flatten(2).transpose(1, 2)
        q, k = (self.linear(f"{name}.{part}", rows, max(1, n // 8)) for part in ("query", "key"))
        o = torch.softmax(q @ k.transpose(1, 2), -1) @ self.linear(name + ".value", rows, n)
        return x + self.get(name + ".gamma", 1) * o.transpose(1, 2).reshape(x.shape)

    def channels(self, name, x):
        rows = x.flatten(2)
        energy = rows @ rows.transpose(1, 2)
        weights = torch.softmax(energy.max(-1, keepdim=True)[0] - energy, -1)
        return x + self.get(name + ".gamma", 1) * (weights @ rows).reshape(x.shape)

    def dual(self, name, x):
        width, sum = max(1, x.shape[1] // 4), 0
        for part, attend in (("position", self.positions), ("channel", self.channels)):
            y = F.relu(self.normed(f"{name}.{part}.first", x, width, 3))
            y = attend(f"{name}.{part}", y)
            sum = sum + F.relu(self.normed(f"{name}.{part}.second", y, width, 3))
        return sum

    def __call__(self, images):
        c, x = self.c, images.to(self.dtype).permute(0, 3, 1, 2)
        x = F.relu(self.normed("network.stem", x, c["channels"], c["stem_window"], c["stem_stride"]))
        if c["stem_pooling"] == "max": x = F.max_pool2d(x, 3, 2, 1)
        if c["stem_pooling"] == "mean": x = F.avg_pool2d(x, 3, 2, 1, count_include_pad=False)
        for stage in range(c["stages"]):
            name, n = f"network.stages.{stage}", c["channels"] << stage
            unit = lambda u, y: self.unit(f"{name}.{u}", y, n, 2 if u == 0 and stage > 0 else 1, self.attention)
            x = unit(0, x)
            def trunk(y):
                for u in range(1, c["blocks"]): y = unit(u, y)
                return y
            x = self.masked(name + ".attention", x, trunk) if c["channel_attention"] == "residual" else trunk(x)
        if c["channel_attention"] == "dual": x = self.dual("network.dual", x)
        return self.linear("classifier", x.mean((2, 3)), c["classes"])


def compare(attnlab, folder, name, grid=(9, 8), batch=4, **changes):
    c, path = {**DEFAULTS, **changes}, lambda n: os.path.join(folder, n)
    g = torch.Generator().manual_seed(11)
    images = torch.randn(batch, *grid, c["features"], generator=g)
    targets = torch.arange(batch) % c["classes"]
    drawn = Network(c, torch.float32)
    with torch.no_grad(): drawn(images)
    p = drawn.p
    metadata = {"format": "attnlab", **{"model." + k: str(v) for k, v in c.items()}}
    write_safetensors(path("m.safetensors"), p, metadata)
    np.save(path("x.npy"), images.numpy())
    np.save(path("y.npy"), targets.numpy().astype(np.int32))
    command = [attnlab, "forward", "--checkpoint", path("m.safetensors"), "--images", path("x.npy"), "--targets", path("y.npy"), "--json"]
    run = lambda *more: json.loads(subprocess.run(command + list(more), check=True, capture_output=True, text=True).stdout)
    theirs = run("--logits", path("l.npy"), "--loss", "--grads", path("g.safetensors"))
    ours = read_safetensors(path("g.safetensors"))
    exact, single = Network(c, torch.float64, p), Network(c, torch.float32, p)
    logits, losses = [], []
    for network in (exact, single):
        logits.append(network(images))
        losses.append(F.cross_entropy(logits[-1], targets))
        losses[-1].backward()
    learned = [k for k in p if "running" not in k]
    assert set(ours) == set(learned), set(ours) ^ set(learned)

    def off(name, a, b):
        if not name.endswith("position.key.bias"): return distance(a, b)
        return float((a - b).norm() / exact.p[name.replace("bias", "weight")].grad.norm())
    errors = {k: (off(k, ours[k].double(), exact.p[k].grad), off(k, single.p[k].grad.double(), exact.p[k].grad)) for k in learned}
    for k, (own, torch32) in sorted(errors.items(), key=lambda x: -x[1][0])[:2]:
        print(f"    {k:50s} {own:.1e}, PyTorch float32 {torch32:.1e}")
    worst = max(min(own, LIMIT * own / (5 * torch32)) if torch32 > 0 else own for own, torch32 in errors.values())

    # Three steps with the batch's own moments.
    steps, rate = 3, 0.05
    settings = dict(optimizer="sgd", momentum=0, learning_rate=rate, schedule="constant", warmup=0, weight_decay=0, clip=0)
    run("--steps", str(steps), "--save", path("after.safetensors"), *[w for k, v in settings.items() for w in ("--set", f"{k}={v}")])
    after, trained = read_safetensors(path("after.safetensors")), {}
    for dtype in (torch.float64, torch.float32):
        network = trained[dtype] = Network(c, dtype, p)
        network.training = True
        for _ in range(steps):
            parameters = [network.p[k] for k in learned]
            gradients = torch.autograd.grad(F.cross_entropy(network(images), targets), parameters)
            with torch.no_grad():
                for w, d in zip(parameters, gradients): w -= rate * d
    moved = {k: (distance(after[k].double(), trained[torch.float64].p[k].detach()),
                 distance(trained[torch.float32].p[k].detach().double(), trained[torch.float64].p[k].detach())) for k in p}
    weights = max(min(own, LIMIT * own / (5 * torch32)) if torch32 > 0 else own for own, torch32 in moved.values())
    figures = {"logits": distance(torch.from_numpy(np.load(path("l.npy"))).double(), logits[0].detach()),
               "loss": abs(theirs["loss"] - losses[0].item()) / losses[0].item(), "gradients": worst, "trained": weights}
    good = all(value <= LIMIT for value in figures.values())
    print(f"{'ok ' if good else 'BAD'} {name}: " + "  ".join(f"{k} {v:.1e}" for k, v in figures.items()), flush=True)
    return good


CASES = {
    "none": dict(),
    "none, groups 4, window 7 with stride 2, largest": dict(groups=4, stem_window=7, stem_stride=2, stem_pooling="max", blocks=2, grid=(19, 16)),
    "none, a group for every channel": dict(groups=16, blocks=2, grid=(9, 14)),
    "none, window 5 with stride 3, means, three stages": dict(stem_window=5, stem_stride=3, stem_pooling="mean", stages=3, grid=(23, 31), features=1),
    "none, window 1, one channel": dict(stem_window=1, channels=1, features=1),
    "se (timm)": dict(channel_attention="se", blocks=2),
    "se without biases (timm), ratio 2": dict(channel_attention="se", squeeze=2, gate_bias="false"),
    "cbam, the mean first (timm)": dict(channel_attention="cbam", gate_bias="false"),
    "cbam, the mean first (timm), biases, window 3": dict(channel_attention="cbam", squeeze=4, cbam_window=3),
    "cbam, the largest first (authors)": dict(channel_attention="cbam", cbam_order="max-mean"),
    "cbam, the largest first, no norm": dict(channel_attention="cbam", cbam_order="max-mean", cbam_norm="false"),
    "residual": dict(channel_attention="residual", blocks=2),
    "residual, mask of depth 3": dict(channel_attention="residual", mask_depth=3, grid=(17, 13)),
    "dual": dict(channel_attention="dual", channels=32),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--attnlab", required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        results = [compare(arguments.attnlab, folder, name, **changes) for name, changes in CASES.items()]
    sys.exit(0 if all(results) else 1)


if __name__ == "__main__":
    main()
