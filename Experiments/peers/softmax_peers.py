"""What the comparisons of softmax settings share: shapes, draws, masks, `attnlab apply` with its gradients, and the walk over cases."""

import argparse
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


def draw_inputs(shape, scale=1):
    """q, of a given size, k and v."""
    batch, heads, key_heads, n, keys, d = shape[:6]
    return {"q": draw(batch, heads, n, d, scale=scale), "k": draw(batch, key_heads, keys, d),
            "v": draw(batch, key_heads, keys, d)}


def gradient_error(a, b, floor):
    """The relative error, or what `a` is where `b` is 0: one key has all the weight, and its score no gradient."""
    return relative(a, b) if np.abs(b).max() > 1e-12 else float(np.abs(a).max())


def floored_error(a, b, floor):
    """The relative error of a gradient that may be no larger than rounding, where one key has nearly all the weight."""
    return relative(a, b, floor)


def rounding_floor(inputs, output_gradient, scale):
    """The size of a gradient of q or k from which BOUND asks for no more than single precision has.

    A score's gradient is p (dP - D). Where p is nearly 1, dP and D = dO·o are nearly equal, and the two sums are each off by a
    unit of the sum of their absolute terms, whatever is left of them: D comes from the stored output, so that no row of weights
    need be kept or made twice. (PyTorch keeps the row and sums p dP over it, whose roundings cancel; for tiles of keys that
    would take a second walk over them.) What is left reaches q and k times scale and the largest of k and q.
    """
    v = np.repeat(np.abs(inputs["v"]), output_gradient.shape[1] // inputs["v"].shape[1], 1)
    terms = (np.abs(output_gradient) @ v.swapaxes(2, 3)).max()
    return 2 * 2.0**-24 * terms * scale * max(np.abs(inputs["k"]).max(), np.abs(inputs["q"]).max()) / BOUND


def errors(program, variant, settings, inputs, shape, judge, gradient_error, further=()):
    """The errors of the output and of every input's gradient against `judge(tensors)`."""
    batch, heads, _, n, _, d, causal, lengths = shape
    output_gradient = draw(batch, heads, n, d)
    t = {name: torch.tensor(x, requires_grad=True) for name, x in inputs.items()}
    output = judge(t)
    output.backward(torch.tensor(output_gradient))
    ours, gradients = apply(program, variant, settings, inputs, output_gradient, causal, lengths, further)
    scale = float(further[further.index("--scale") + 1]) if "--scale" in further else d ** -0.5
    floor = rounding_floor(inputs, output_gradient, scale)
    return {"o": relative(ours, output.detach().numpy()),
            **{"d" + name: gradient_error(gradients[name], t[name].grad.numpy(), floor) for name in inputs}}


def parser():
    result = argparse.ArgumentParser()
    result.add_argument("--attnlab", default=".build/release/attnlab")
    return result


def said(name, worst, width):
    """Prints a comparison's line; whether it is within the bound."""
    good = max(worst.values()) <= BOUND
    print("ok  " if good else "FAIL", name.ljust(width), ", ".join(f"{n} {e:.1e}" for n, e in worst.items()))
    return good


def walk(program, cases, compare, takes=lambda case, shape: True, name=lambda case: case[0], width=32):
    """Compares all cases on all shapes that they take; whether all are within the bound."""
    torch.set_default_dtype(torch.float64)
    good = True
    for case in cases:
        worst = {}
        for shape in SHAPES:
            if takes(case, shape):
                for part, error in compare(program, case, shape).items():
                    worst[part] = max(worst.get(part, 0), error)
        good = said(name(case), worst, width) and good
    return good
