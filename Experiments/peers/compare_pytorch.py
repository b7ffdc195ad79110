#!/usr/bin/env python3
"""Compares `attnlab apply` with PyTorch in float64, over masks that `attnlab mask` exports.

Every variant, lengths 1, 2, 63, 257, 1000, head sizes 24 … 128, causal or not, grouped-query, cross lengths. An error is
max |ours − theirs| / max |theirs|, per tensor. Needs numpy and torch; --quick runs a part.

  python3 Experiments/peers/compare_pytorch.py --attnlab .build/release/attnlab
"""
import argparse, collections, json, os, subprocess, sys, tempfile
import numpy as np
import torch

FORWARD, GRADIENT = 2e-6, 1e-5
VARIANTS = [
    ("full", []),
    ("full-materialized", []),
    ("sliding-window", ["left=40", "right=9", "sinks=3"]),
    ("sliding-window", ["left=7", "right=5", "dilation=3"]),
    ("local-global", ["left=20", "right=12", "global_tokens=5"]),
    ("random-sparse", ["block_size=16", "random_blocks=2"]),
    ("chunked", ["chunk=50", "before=1"]),
    ("chunked", ["chunk=30", "overlap=7"]),
    ("lsh", ["buckets=8", "hashes=2", "chunk=32"]),
    ("lsh", ["buckets=4", "hashes=2", "shared_query_key=false"]),
]
# (length, key length, heads, key heads, head dim, value dim, causal)
SHAPES = [
    (1, 1, 1, 1, 24, 24, False), (1, 1, 2, 1, 64, 64, True), (2, 2, 2, 2, 40, 24, False), (2, 2, 1, 1, 128, 128, True),
    (63, 63, 2, 1, 80, 80, False), (63, 63, 2, 2, 96, 40, True), (257, 257, 4, 2, 64, 64, True),
    (257, 257, 2, 2, 128, 128, False), (257, 257, 1, 1, 24, 96, False), (1000, 1000, 2, 2, 64, 64, True),
    (1000, 1000, 2, 1, 40, 40, False), (1000, 1000, 1, 1, 96, 96, True), (1000, 1000, 1, 1, 128, 80, False),
    (63, 257, 2, 1, 64, 64, False), (63, 257, 2, 2, 64, 64, True), (257, 63, 1, 1, 40, 40, False),
    (1, 1000, 4, 2, 80, 80, True), (257, 100, 1, 1, 24, 24, True),
]


def run(*arguments):
    done = subprocess.run([ATTNLAB, *arguments], capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(done.stderr.strip() or done.stdout.strip())


def reference(q, k, v, mask, scale, shared):
    """mask: float64 multiplicities [batch or 1, heads, n, m]; returns output and LSE."""
    group = q.shape[1] // v.shape[1]
    if shared:
        norm = q.norm(dim=-1, keepdim=True)
        k = q / norm
    else:
        k = k.repeat_interleave(group, dim=1)
    # Rows without keys attend to all in this softmax, and are set to 0 after it: so no gradient is NaN.
    seen = (mask.sum(-1) > 0).expand(*q.shape[:3])
    scores = scale * q @ k.transpose(-1, -2) + torch.log(torch.where(seen[..., None], mask, 1.0))
    output = torch.softmax(scores, dim=-1) @ v.repeat_interleave(group, dim=1)
    lse = torch.logsumexp(scores, dim=-1)
    return torch.where(seen[..., None], output, 0.0), torch.where(seen, lse, -torch.inf)


def error(ours, theirs):
    ours, theirs = ours.astype(np.float64), theirs.detach().numpy()
    finite = np.isfinite(theirs)
    if not np.array_equal(finite, np.isfinite(ours)):
        return np.inf
    if not finite.any():
        return 0.0
    # A tensor that is zero but for rounding (the gradient of q when every row sees one key) is judged on the scale of 1.
    size = np.abs(theirs[finite]).max()
    return float(np.abs(ours[finite] - theirs[finite]).max() / (size if size > 1e-10 else 1.0))


def compare(variant, settings, shape, folder, batch):
    n, m, heads, key_heads, d, dv, causal = shape
    shared = variant == "lsh" and "shared_query_key=false" not in settings
    if shared and n != m:
        return None
    generator = torch.Generator().manual_seed(hash((n, m, d)) % 1000)
    draw = lambda *s: torch.randn(*s, generator=generator, dtype=torch.float32)
    arrays = dict(q=draw(batch, heads, n, d), k=draw(batch, key_heads, m, d), v=draw(batch, key_heads, m, dv),
                  do=draw(batch, heads, n, dv))
    path = lambda name: os.path.join(folder, name + ".npy")
    for name, tensor in arrays.items():
        np.save(path(name), tensor.numpy())
    common = [x for s in settings for x in ("--set", s)] + (["--causal"] if causal else [])
    if variant == "lsh":
        run("mask", variant, "--q", path("q"), "--k", path("k"), "--out", path("mask"), *common)
    else:
        run("mask", variant, "--n", str(n), "--key-length", str(m), "--heads", str(heads), "--out", path("mask"), *common)
    run("apply", variant, "--q", path("q"), "--k", path("k"), "--v", path("v"), "--out", path("o"), "--lse", path("lse"),
        "--grad-out", path("do"), "--dq", path("dq"), "--dk", path("dk"), "--dv", path("dv"), *common)
    mask = torch.from_numpy(np.load(path("mask")).astype(np.float64))
    mask = mask if mask.dim() == 4 else mask[None]
    q, k, v = (arrays[x].double().requires_grad_() for x in "qkv")
    output, lse = reference(q, k, v, mask, 1.0 if shared else d**-0.5, shared)
    gradients = torch.autograd.grad(output, (q, k, v), arrays["do"].double(), allow_unused=True)
    results = {"output": error(np.load(path("o")), output), "lse": error(np.load(path("lse")), lse)}
    for name, given, tensor in zip(("dq", "dk", "dv"), gradients, (q, k, v)):
        results[name] = error(np.load(path(name)), torch.zeros_like(tensor) if given is None else given)
    return results


def main():
    global ATTNLAB
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--attnlab", default=".build/release/attnlab")
    parser.add_argument("--quick", action="store_true", help="lengths up to 257 only")
    parser.add_argument("--verbose", action="store_true")
    options = parser.parse_args()
    ATTNLAB = options.attnlab
    worst = collections.defaultdict(lambda: collections.defaultdict(float))
    failures, count = [], 0
    with tempfile.TemporaryDirectory() as folder:
        for variant, settings in VARIANTS:
            for shape in SHAPES:
                if options.quick and max(shape[:2]) > 257:
                    continue
                results = compare(variant, settings, shape, folder, batch=2 if shape[0] < 500 else 1)
                if results is None:
                    continue
                count += 1
                for name, value in results.items():
                    bound = FORWARD if name in ("output", "lse") else GRADIENT
                    worst[variant][name] = max(worst[variant][name], value)
                    if not value <= bound:
                        failures.append(f"{variant} {' '.join(settings)} {shape}: {name} {value:.2e} > {bound:.0e}")
                if options.verbose:
                    print(variant, settings, shape, {k: f"{v:.1e}" for k, v in results.items()})
    print(f"{'variant':20}" + "".join(f"{x:>10}" for x in ("output", "lse", "dq", "dk", "dv")))
    for variant, values in worst.items():
        print(f"{variant:20}" + "".join(f"{values[x]:10.1e}" for x in ("output", "lse", "dq", "dk", "dv")))
    print(f"{count} comparisons, {len(failures)} beyond {FORWARD:.0e} forward, {GRADIENT:.0e} gradients")
    print("\n".join(failures))
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
