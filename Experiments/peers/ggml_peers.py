"""llama.cpp's operations of ggml for time_peers.py, through the program that ggml_ops.cpp makes.

Its recurrences go token by token, forward alone, and read gates and normalised keys that other operations have made: those
are made here beforehand and not timed, while ours makes them in its time. One process a round, warm within it.
"""

import json
import os
import subprocess
import tempfile

import numpy as np
import torch
from judged import draws, last_row_errors
from recurrent_peers import beta, decay, operands_of, unit
from softmax_peers import apply, relative

program = None  # time_peers.py --ggml


class GgmlBody:
    """An operation on given arrays; `call` runs it once and returns its output, `[rows, heads, d]`."""

    def __init__(self, op, operands, arrays, heads, n, d, threads, further=(), token=False):
        self.operands, self.token, self.heads, self.d = operands, token, heads, d
        self.folder = tempfile.TemporaryDirectory()
        for name, x in arrays.items():
            np.ascontiguousarray(x, np.float32).tofile(os.path.join(self.folder.name, name + ".f32"))
        self.words = [program, op, self.folder.name, "--heads", str(heads), "--n", str(n), "--d", str(d), "--threads",
                      str(threads), *further] + (["--token"] if token else [])

    def samples(self, repeats):
        run = subprocess.run(self.words + ["--repeats", str(repeats)], capture_output=True, text=True)
        if run.returncode:
            raise RuntimeError(run.stderr.strip() or f"{self.words[0]} ended with {run.returncode}")
        self.said = json.loads(run.stdout)
        return [x * 1e-6 for x in self.said["microseconds"]]

    def __call__(self):
        self.samples(1)
        return np.fromfile(os.path.join(self.folder.name, "o.f32"), np.float32).reshape(-1, self.heads, self.d)

    def errors(self, options, variant, settings, found):
        if len(found) == 1:
            return last_row_errors(options, variant, settings, self.operands, found.reshape(-1))
        ours, _ = apply(options.attnlab, variant, [f"{name}={value}" for name, value in settings.items()], self.operands,
                        np.zeros_like(self.operands["q"]), True, None, ["--threads", str(options.threads)])
        return {"o": relative(ours[0], found.swapaxes(0, 1))}


def tokens_first(x):
    """`[n, heads, …]` of `[1, heads, n, …]`."""
    return x[0].swapaxes(0, 1)


def recurrence(op, variant):
    def make(heads, n, d, causal, direction):
        operands = operands_of(variant, heads, n, d)
        operands.pop("skip_factor", None)
        arrays = {name: tokens_first(operands[name]) for name in "qkv"}
        t = {name: torch.from_numpy(x).transpose(1, 2) if x.ndim == 4 else torch.from_numpy(x) for name, x in operands.items()}
        if variant in ("gated-delta", "kda"):
            arrays.update(q=unit(t["q"])[0].numpy(), k=unit(t["k"])[0].numpy(), g=decay(t)[0].numpy(), beta=beta(t)[0].numpy())
        elif variant == "gla":
            arrays["g"] = torch.sigmoid(t["step"] + t["step_bias"])[0].numpy() ** np.float32(1 / 16)
        else:
            arrays.update(step=(t["step"][0, ..., 0] + t["step_bias"]).numpy(), rate=-np.exp(operands["decay_rate"]))
        return GgmlBody(op, operands, arrays, heads, n, d, torch.get_num_threads(), token=direction == "decode")
    return make


def flash(kind, key_heads):
    """One row over a cache."""
    def make(heads, n, d, causal, direction):
        operands = {"q": draws(1, heads, n, d, seed=0), "k": draws(1, key_heads, n, d, seed=1),
                    "v": draws(1, key_heads, n, d, seed=2)}
        arrays = {"q": operands["q"][0, :, -1], "k": operands["k"][0], "v": operands["v"][0]}
        body = GgmlBody("flash", operands, arrays, heads, n, d, torch.get_num_threads(),
                        ["--type", kind, "--key-heads", str(key_heads)])
        if kind == "f16":  # its sums have 16 bits, too
            body.bound = 1e-2
        return body
    return make


OPS = [("gated-delta", "gated-delta", {}), ("kda", "gated-delta", {}), ("gla", "gla", {}),
       ("mamba2", "ssm-scan", dict(skip="false"))]


def experiments():
    """As `time_peers.experiments`; none without a program."""
    if not program:
        return
    for variant, op, settings in OPS:
        for d in (64, 128):
            for n in (4096, 16384):
                yield (f"{variant}-ggml", dict(heads=8, n=n, d=d, causal=True), ("forward",), (variant, settings), "ggml",
                       recurrence(op, variant))
            yield (f"{variant}-token-ggml", dict(heads=32, n=1024, d=d, causal=True), ("decode",), (variant, settings), "ggml",
                   recurrence(op, variant))
    for d in (64, 128):
        for n in (4096, 16384):
            for kind in ("f32", "f16"):
                yield (f"full-token-{kind}", dict(heads=32, key_heads=8, n=n, d=d, causal=True), ("decode",), ("full", {}),
                       f"ggml-flash-{kind}", flash(kind, 8))
