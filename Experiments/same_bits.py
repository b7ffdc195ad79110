#!/usr/bin/env python3
"""Whether two builds of attnlab compute the same bits.

    same_bits.py BEFORE AFTER [--only WORD] [--steps N]

Runs `apply` of every variant with both programs (forward and backward; float32 and bfloat16; causal, grouped queries, keys of
another length, padding, one query row) and compares the files byte by byte; then trains a small model of every kind with both
and compares all tensors of the saved checkpoints. Prints one line for every case that differs and a sum; exits 1 when one does.
Needs Python 3.9 and nothing else.
"""
import argparse
import json
import os
import random
import struct
import subprocess
import sys
import tempfile

SETTINGS = {
    "full": [[]],
    "full-materialized": [[]],
    "sliding-window": [["left=16", "right=8"], ["left=5", "right=5", "dilation=3", "sinks=2"], ["left=70"]],
    "local-global": [
        ["left=16", "right=8", "global_tokens=3"],
        ["left=9", "right=30", "global_tokens=1", "global_positions=[40,5,61]"],
    ],
    "random-sparse": [["block_size=16", "random_blocks=2"], ["block_size=24", "global_blocks=first", "seed=4"]],
    "lsh": [
        ["buckets=8", "hashes=2", "chunk=16"],
        ["buckets=8", "hashes=3", "chunk=20", "duplicates=drop", "circular=true"],
        ["buckets=4", "hashes=2", "shared_query_key=false"],
        ["buckets=16", "factor_above=8", "same_bucket_only=true"],
    ],
    "chunked": [["chunk=32"], ["chunk=24", "before=1", "after=1"], ["chunk=16", "before=1", "circular=true"]],
}
# name, (batch, heads, key heads, rows, keys, head dim, value dim), flags
SHAPES = [
    ("plain", (1, 2, 2, 150, 150, 24, 24), []),
    ("causal", (2, 2, 2, 150, 150, 16, 40), ["--causal"]),
    ("grouped", (2, 4, 2, 100, 100, 32, 32), []),
    ("grouped causal", (1, 6, 2, 130, 130, 64, 64), ["--causal"]),
    ("longer keys", (1, 2, 1, 70, 150, 16, 16), []),
    ("longer keys causal", (1, 2, 1, 70, 150, 16, 16), ["--causal"]),
    ("padding", (2, 2, 2, 120, 120, 16, 16), ["--key-lengths", "120,77"]),
    ("padding causal", (2, 2, 2, 120, 120, 16, 16), ["--key-lengths", "120,77", "--causal"]),
    ("one row", (2, 4, 2, 1, 300, 64, 64), ["--causal"]),
    ("long", (1, 1, 1, 1100, 1100, 64, 64), []),
    ("long causal", (1, 2, 1, 1100, 1100, 32, 32), ["--causal"]),
]
LOCAL_GLOBAL = "local-global(left=3, global_tokens=2)"
TRAININGS = [
    ("induction", []),
    ("induction", ["model.attention=sliding-window(left=3), full", "model.layers=2", "model.key_heads=1"]),
    ("induction", ["model.attention=" + LOCAL_GLOBAL, "model.position=alibi"]),
    ("induction", ["model.attention=" + LOCAL_GLOBAL + ", full", "model.layers=2", "model.global_projections=separate"]),
    ("induction", ["model.attention=" + LOCAL_GLOBAL, "model.position=alibi", "model.global_projections=separate",
                   "model.key_heads=1", "model.bias=false"]),
    ("induction", ["model.attention=lsh(chunk=4, hashes=2)", "model.dropout=0.1"]),
    ("induction", ["model.attention=random-sparse(block_size=4)", "model.norm=rms", "model.feed_forward=swiglu"]),
    ("induction", ["model.attention=chunked(chunk=8)", "model.placement=post", "model.position=learned"]),
    ("induction", ["model.attention=full-materialized", "model.position=sinusoidal"]),
    ("reversal", ["model.attention=local-global(left=2)", "model.global_projections=separate"]),
    ("listops", ["model.attention=" + LOCAL_GLOBAL, "model.global_projections=separate", "task.maximum=60",
                 "task.minimum=20", "task.depth=3"]),
]


def write(path, shape, seed):
    draw = random.Random(seed)
    count = 1
    for extent in shape:
        count *= extent
    text = "{'descr': '<f4', 'fortran_order': False, 'shape': %s, }" % (tuple(shape),)
    text += " " * (-(10 + len(text) + 1) % 64) + "\n"
    with open(path, "wb") as file:
        file.write(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode())
        file.write(struct.pack("<%df" % count, *(draw.gauss(0, 1) for _ in range(count))))


def run(program, arguments, folder):
    result = subprocess.run([program] + arguments, cwd=folder, capture_output=True, text=True)
    return result.returncode, result.stderr.strip().splitlines()[-1:]


def read(path):
    try:
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        return None


def tensors(path):
    """The bytes of every tensor by name; metadata may say the same in other words."""
    data = read(path)
    if data is None:
        return None
    size = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + size])
    header.pop("__metadata__", None)
    body = data[8 + size :]
    return {name: (entry["shape"], body[slice(*entry["data_offsets"])]) for name, entry in header.items()}


class Comparison:
    def __init__(self, before, after):
        self.programs = [os.path.abspath(before), os.path.abspath(after)]
        self.equal = self.refused = 0
        self.different = []

    def apply(self, variant, settings, name, shape, flags, precision, work, more=()):
        batch, heads, key_heads, rows, keys, dim, value_dim = shape
        for letter, extents in [
            ("q", (batch, heads, rows, dim)), ("k", (batch, key_heads, keys, dim)),
            ("v", (batch, key_heads, keys, value_dim)), ("do", (batch, heads, rows, value_dim)),
        ]:
            write(os.path.join(work, letter + ".npy"), extents, letter + name)
        outputs = ["o", "lse", "dq", "dk", "dv"]
        results = []
        for index, program in enumerate(self.programs):
            arguments = ["apply", variant, "--q", "q.npy", "--k", "k.npy", "--v", "v.npy", "--grad-out", "do.npy",
                         "--precision", precision] + flags + list(more)
            for setting in settings:
                arguments += ["--set", setting]
            for output, flag in zip(outputs, ["--out", "--lse", "--dq", "--dk", "--dv"]):
                arguments += [flag, "%s%d.npy" % (output, index)]
            code, error = run(program, arguments, work)
            files = [read(os.path.join(work, "%s%d.npy" % (output, index))) for output in outputs] if code == 0 else []
            results.append((code, files))
            for output in outputs:
                path = os.path.join(work, "%s%d.npy" % (output, index))
                if os.path.exists(path):
                    os.remove(path)
        label = " ".join([variant] + settings + [name, precision] + list(more)[:1])
        self.note(label, results, outputs)

    def note(self, label, results, names):
        (code, before), (other, after) = results
        if code != other:
            self.differ(label, "exit %d and %d" % (code, other))
        elif code != 0:
            self.refused += 1
        else:
            wrong = [n for n, a, b in zip(names, before, after) if a is None or a != b]
            if wrong:
                self.differ(label, ", ".join(wrong))
            else:
                self.equal += 1

    def differ(self, label, what):
        self.different.append(label)
        print("differs: %s: %s" % (label, what), flush=True)

    def train(self, task, settings, steps, work):
        found = []
        for index, program in enumerate(self.programs):
            folder = os.path.join(work, "run%d" % index)
            arguments = ["train", task, "--steps", str(steps), "--checkpoint", folder, "--threads", "2"]
            base = {"model.width": "16", "model.heads": "2", "model.hidden": "16", "training.batch": "4"}
            if task == "induction":
                base.update({"task.length": "24", "task.vocabulary": "8"})
            if task == "reversal":
                base.update({"task.minimum": "6", "task.maximum": "12", "task.vocabulary": "8"})
            for setting in settings:
                key, value = setting.split("=", 1)
                base[key] = value
            base.setdefault("model.layers", "1")
            for key, value in base.items():
                arguments += ["--set", "%s=%s" % (key, value)]
            code, error = run(program, arguments, work)
            found.append((code, tensors(os.path.join(folder, "model.safetensors")), error))
            subprocess.run(["rm", "-rf", folder])
        label = "train %s %s" % (task, " ".join(settings))
        (code, before, error), (other, after, other_error) = found
        if code or other:
            self.differ(label, "exit %d and %d: %s %s" % (code, other, error, other_error))
        elif before is None or after is None or before.keys() != after.keys():
            self.differ(label, "other tensors")
        else:
            wrong = [name for name in before if before[name] != after[name]]
            if wrong:
                self.differ(label, ", ".join(sorted(wrong)[:4]))
            else:
                self.equal += 1


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before")
    parser.add_argument("after")
    parser.add_argument("--only", default="", help="cases whose label holds this word")
    parser.add_argument("--steps", type=int, default=8)
    arguments = parser.parse_args()
    comparison = Comparison(arguments.before, arguments.after)
    with tempfile.TemporaryDirectory() as work:
        for variant, choices in SETTINGS.items():
            for settings in choices:
                for name, shape, flags in SHAPES:
                    for precision in ["float32", "bfloat16"]:
                        label = " ".join([variant] + settings + [name, precision])
                        if arguments.only in label:
                            comparison.apply(variant, settings, name, shape, flags, precision, work)
        # Longformer's second projections, and rotations from outside, by the flags that both builds know.
        for name, shape, flags in SHAPES:
            if arguments.only not in "local-global separate":
                break
            batch, heads, key_heads, rows, keys, dim, value_dim = shape
            write(os.path.join(work, "gq.npy"), (batch, heads, rows, dim), "gq")
            write(os.path.join(work, "gk.npy"), (batch, key_heads, keys, dim), "gk")
            write(os.path.join(work, "gv.npy"), (batch, key_heads, keys, value_dim), "gv")
            comparison.apply(
                "local-global", ["left=16", "right=8", "global_tokens=3"], name, shape, flags, "float32", work,
                ["--global-q", "gq.npy", "--global-k", "gk.npy", "--global-v", "gv.npy"])
        for name, shape, flags in SHAPES[:4]:
            if arguments.only not in "lsh rotations":
                break
            write(os.path.join(work, "R.npy"), (shape[1], shape[5], 2, 4), "R")
            comparison.apply(
                "lsh", ["buckets=8", "hashes=2", "chunk=16"], name, shape, flags, "float32", work,
                ["--rotations", "R.npy"])
        for task, settings in TRAININGS:
            if arguments.only in "train %s %s" % (task, " ".join(settings)):
                comparison.train(task, settings, arguments.steps, work)
    print("%d cases equal, %d refused by both, %d different"
          % (comparison.equal, comparison.refused, len(comparison.different)))
    sys.exit(1 if comparison.different or comparison.equal == 0 else 0)


if __name__ == "__main__":
    main()
