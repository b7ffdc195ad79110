"""What the comparisons of softmax settings share: shapes, draws, masks, and `attnlab apply` with its gradients."""

import os
import subprocess
import sys
import tempfile

import numpy as np
import torch

BOUND = 1e-5
# batch, heads, key heads, queries, keys, d, causal, key lengths
SHAPES = [
    (1, 2, 1, 1, 1, 16, False, None), (1, 2, 1, 2, 2, 8, True, None), (2, 4, 2, 63, 63, 24, True, None),
    (1, 3, 3, 64, 64, 40, False, None), (3, 2, 2, 65, 65, 16, False, [65, 33, 1]), (1, 6, 2, 257, 257, 64, True, None),
    (2, 4, 4, 35, 90, 40, True, [90, 61]),
]
random = np.random.default_rng(7)


def draw(*shape, scale=1):
    return (random.standard_normal(shape) * scale).astype(np.float32).astype(np.float64)


def apply(program, variant, settings, inputs, output_gradient, causal, lengths, further=()):
    """The output and the gradients of all inputs by `attnlab apply`."""
    with tempfile.TemporaryDirectory() as folder:
        def path(name):
            return os.path.join(folder, name + ".npy")
        np.save(path("do"), output_gradient.astype(np.float32))
        words = [program, "apply", variant, "--grad-out", path("do"), "--out", path("o")]
        for name, x in inputs.items():
            np.save(path(name), x.astype(np.float32))
            is_standard = name in ("q", "k", "v")
            words += [f"--{name}", path(name)] if is_standard else ["--in", f"{name}={path(name)}"]
            words += [f"--d{name}", path("d" + name)] if is_standard else ["--gradient", f"{name}={path('d' + name)}"]
        words += [word for setting in settings for word in ("--set", setting)]
        words += ["--causal"] if causal else []
        words += further
        words += ["--key-lengths", ",".join(map(str, lengths))] if lengths else []
        run = subprocess.run(words, capture_output=True, text=True)
        if run.returncode:
            sys.exit(" ".join(words) + "\n" + run.stderr)
        return np.load(path("o")), {name: np.load(path("d" + name)) for name in inputs}


def mask_of(batch, n, keys, causal, lengths, window):
    mask = torch.zeros(batch, 1, n, keys)
    i, j = torch.arange(n)[:, None] + keys - n, torch.arange(keys)[None]
    if causal:
        mask = mask.masked_fill((j > i)[None, None], -torch.inf)
    if window is not None:
        mask = mask.masked_fill((i - j > window)[None, None], -torch.inf)
    for sequence, length in enumerate(lengths or []):
        mask[sequence, :, :, length:] = -torch.inf
    return mask


def relative(a, b, floor=1e-30):
    return float(np.abs(a - b).max() / max(np.abs(b).max(), floor))
