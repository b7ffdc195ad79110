"""Bodies to be timed that are first compared with `attnlab apply` on the same operands.

A ratio of times means something only where both compute the same. `errors` gives the largest difference over the largest element,
of the output and, of a backward pass, of the gradient of every operand for the same gradient of the output.
"""

import os
import resource
import time

import numpy as np
import torch
from softmax_peers import apply, relative


def draws(*shape, seed):
    """Normal numbers in float32, of which float64 arithmetic with `softmax_peers` makes no others."""
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


def tokens_first(x):
    """`[batch, n, heads, …]` of `[batch, heads, n, …]`, as most peers read it; else the same."""
    return x.transpose(1, 2).contiguous() if x.dim() == 4 else x


class Judged:
    """What a peer makes of operands.

    Args:
        operands: arrays as `attnlab apply` reads them, by name: q, k, v and others.
        call: of tensors by name to the output.
        direction: forward or backward.
        lay: how a tensor is laid for the peer; its inverse lays outputs and gradients back.
        causal: whether ours is told so.
    """

    def __init__(self, operands, call, direction, lay=tokens_first, causal=True):
        self.operands, self.call, self.direction, self.lay, self.causal = operands, call, direction, lay, causal
        self.tensors = {name: lay(torch.from_numpy(x)).requires_grad_(direction == "backward") for name, x in operands.items()}
        self.output_gradient = draws(*operands["q"].shape[:-1], operands["v"].shape[-1], seed=99)
        if direction == "backward":
            self.output = call(self.tensors)
            self.gradient = lay(torch.from_numpy(self.output_gradient))

    def __call__(self):
        if self.direction == "forward":
            with torch.no_grad():
                return self.call(self.tensors)
        return torch.autograd.grad(self.output, list(self.tensors.values()), self.gradient, retain_graph=True,
                                   allow_unused=True)

    def errors(self, options, variant, settings, found):
        """Against `found`, what a call returned."""
        ours, gradients = self.ours(options, variant, settings)
        if self.direction == "forward":
            return {"o": relative(ours, self.lay(found).numpy())}
        return {"o": relative(ours, self.lay(self.output.detach()).numpy()), **self.gradient_errors(gradients, found)}

    def ours(self, options, variant, settings):
        """The output and the gradients of `attnlab apply`."""
        return apply(options.attnlab, variant, [f"{name}={value}" for name, value in settings.items()], self.operands,
                     self.output_gradient, self.causal, None, ["--threads", str(options.threads)])

    def gradient_errors(self, gradients, found):
        return {"d" + name: relative(gradients[name], self.lay(x).numpy())
                for name, x in zip(self.tensors, found) if x is not None}


class JudgedToken:
    """One token behind a state that the peer made of those before it; judged by the last row of `attnlab apply`."""

    def __init__(self, operands, step, past):
        """`past`: of tensors to the state; `step`: of tensors of one token and the state to the output, `[1, 1, heads, d]`."""
        self.operands, self.step = operands, step
        tensors = {name: tokens_first(torch.from_numpy(x)) for name, x in operands.items()}
        with torch.no_grad():
            self.state = past({name: x[:, :-1] if x.dim() == 4 else x for name, x in tensors.items()})
        self.token = {name: x[:, -1:].contiguous() if x.dim() == 4 else x for name, x in tensors.items()}

    def __call__(self):
        with torch.no_grad():
            return self.step(self.token, self.state)

    def errors(self, options, variant, settings, found):
        return last_row_errors(options, variant, settings, self.operands, found.reshape(-1).numpy())


def last_row_errors(options, variant, settings, operands, row):
    """Of one row, all heads of it, against ours with the last row of q alone."""
    asked = {name: np.ascontiguousarray(x[:, :, -1:]) if name == "q" else x for name, x in operands.items()}
    gradient = np.zeros((*asked["q"].shape[:-1], operands["v"].shape[-1]), np.float32)
    ours, _ = apply(options.attnlab, variant, [f"{name}={value}" for name, value in settings.items()], asked, gradient, True,
                    None, ["--threads", str(options.threads)])
    return {"o": relative(ours.reshape(-1), row)}


def samples_of(body, repeats, budget, slow):
    """Seconds of up to `repeats` calls: no more once `budget` is spent; of a fast body after one that warms it."""
    if hasattr(body, "samples"):
        return body.samples(repeats)
    if not slow:
        body()
    samples = []
    while len(samples) < repeats and (not samples or sum(samples) < budget):
        start = time.perf_counter()
        body()
        samples.append(time.perf_counter() - start)
    return samples


class Others:
    """What other programs have taken of the processors since this was made, from 0 to 1; 0 where the system does not say."""

    def __init__(self):
        self.begin = self.now()

    @staticmethod
    def now():
        """Seconds on the clock; of all processors' work; of this process's and its ended children's."""
        try:
            with open("/proc/stat") as file:
                ticks = [int(x) for x in file.readline().split()[1:]]
        except OSError:
            return time.perf_counter(), 0, 0
        return time.perf_counter(), (sum(ticks[:8]) - ticks[3] - ticks[4]) / os.sysconf("SC_CLK_TCK"), sum(os.times()[:4])

    def share(self):
        wall, all_work, own = (b - a for a, b in zip(self.begin, self.now()))
        return max(0.0, all_work - own) / (wall * os.cpu_count())


def limit_memory(gib):
    """What asks for more than this fails, and takes nothing else with it."""
    resource.setrlimit(resource.RLIMIT_AS, (int(gib * 2**30), int(gib * 2**30)))
