#!/usr/bin/env python3
"""Compares trainings of attnlab on two tasks at once with PyTorch: the same first weights, the same batches, one body, two heads.

With weights the loss of a step is the main one plus weight times the other's; with shares a step is one task's, and which is read
from attnlab's steps.csv. Compared are the losses of every step (limit 1e-4, relative) and the weights after the last (limit 1e-4,
relative in the Euclidean norm), in float64 from attnlab's float32 weights.

    swift build -c release --product attnlab
    python Experiments/peers/compare_tasks.py --attnlab .build/release/attnlab

Exit code 1 when a limit is passed.
"""
import argparse, csv, os, subprocess, sys, tempfile
import numpy as np
import torch
import torch.nn.functional as F
from compare_transformer import DEFAULTS, TRAINING, Model, distance, read_safetensors

STEPS, BATCH = 8, 4
SHAPE = dict(width=32, layers=2, heads=4, hidden=48)
# A key's bias has next to no gradient: AdamW makes steps of what is rounding. So biases are compared with SGD.
# What is trained: kind, main task, other task, each with settings; weight or share; whether the main output is tied.
CASES = {
    "decoder: two language models, tied, weight": ("decoder", ("induction", dict(length=12, vocabulary=9)),
        ("echo", dict(length=10, vocabulary=14, distance=3)), "weight=0.5", True, {}),
    "decoder: text and the class of a text, share": ("decoder", ("induction", dict(length=12, vocabulary=9)),
        ("labelled-text", dict(length=40)), "share=0.5", False, {}),
    "decoder: text and the class of a text, weight, SGD": ("decoder", ("text", dict(length=24)),
        ("labelled-text", dict(length=40)), "weight=2", True, dict(optimizer="sgd", learning_rate=0.05)),
    "encoder: two classifications, weight, clipping": ("encoder", ("labelled-text", dict(length=40)),
        ("evidence", {}), "weight=0.3", False, dict(clip=0.3)),
}


class Body(Model):
    """The model of compare_transformer with a head for every task."""

    def predictions(self, batch, head):
        kind, lengths = self.c["kind"], batch["lengths"]
        h = self.stack(kind, self.embed(kind, batch["tokens"]), None, kind == "decoder", lengths, None)
        if batch["isClass"]:
            real = (torch.arange(h.shape[1])[None] < lengths[:, None])[..., None].to(h.dtype)
            return self.linear(head or "classifier", (h * real).sum(1) / lengths[:, None])
        if head: return F.linear(h, self.p[head + ".weight"])
        if not self.c["tied"]: return F.linear(h, self.p["output.weight"])
        return F.linear(h, self.p["embedding.weight"][: batch["outputs"]])

    def task_loss(self, batch, head):
        return F.cross_entropy(self.predictions(batch, head).flatten(0, -2), batch["targets"].flatten(), ignore_index=-100)


def run(*words):
    done = subprocess.run([str(w) for w in words], capture_output=True, text=True)
    if done.returncode: sys.exit(" ".join(map(str, words)) + "\n" + done.stderr)


def batches(attnlab, folder, task, settings, outputs):
    """The training batches of seed 0: the first examples of the training split, in their order."""
    path = os.path.join(folder, task + ".npz")
    run(attnlab, "task", task, "--split", "train", "--examples", STEPS * BATCH, "--out", path,
        *[w for k, v in settings.items() for w in ("--set", f"{k}={v}")])
    arrays = np.load(path)
    is_class = "labels" in arrays
    result = []
    for step in range(STEPS):
        rows = slice(step * BATCH, (step + 1) * BATCH)
        tokens = torch.from_numpy(arrays["inputs"][rows].astype(np.int64))
        lengths = torch.from_numpy(arrays["lengths"][rows].astype(np.int64)) if "lengths" in arrays else torch.full((BATCH,), tokens.shape[1])
        targets = torch.from_numpy(arrays["labels" if is_class else "targets"][rows].astype(np.int64))
        if not is_class:
            targets = targets.masked_fill(targets < 0, -100)
            targets[torch.arange(tokens.shape[1])[None] >= lengths[:, None]] = -100
        result.append(dict(tokens=tokens, lengths=lengths, targets=targets, isClass=is_class, outputs=outputs))
    return result


def compare(name, case, attnlab):
    kind, (main, own), (other, its), part, tied, changes = case
    training = {**TRAINING, **changes, "steps": STEPS}
    shape = {**SHAPE, "bias": training["optimizer"] == "sgd"}
    with tempfile.TemporaryDirectory() as folder:
        line = f"{other}({','.join(f'{k}={v}' for k, v in its.items())},name=other,{part})"
        command = [attnlab, "train", main, "--seed", 0, "--auxiliary", line, "--threads", 1, "--quiet",
                   "--set", f"model.kind={kind}", "--set", f"model.tied={str(tied).lower()}", "--set", f"training.batch={BATCH}",
                   "--set", "training.evaluate_every=0", "--set", "training.evaluation_batches=1"]
        for prefix, settings in [("task", own), ("model", shape)]:
            for k, v in settings.items(): command += ["--set", f"{prefix}.{k}={str(v).lower() if isinstance(v, bool) else v}"]

        def trained(name, settings):
            path = os.path.join(folder, name)
            run(*command, "--checkpoint", path, *[w for k, v in settings.items() for w in ("--set", f"training.{k}={v}")])
            return read_safetensors(path + "/model.safetensors"), list(csv.DictReader(open(path + "/steps.csv")))

        # A rate of 0 leaves the weights as they were drawn.
        first, _ = trained("first", {**training, "steps": 1, "learning_rate": 0})
        last, rows = trained("last", training)
        read = {}
        outputs = (first["classifier.weight"] if "classifier.weight" in first else first.get("output.weight")) if not tied else None
        count = len(outputs) if outputs is not None else {"induction": own.get("vocabulary", 0)}.get(main, 256)
        read["main"] = batches(attnlab, folder, main, own, count)
        read["auxiliary"] = batches(attnlab, folder, other, its, len(first["heads.other.weight"]))
        c = {**DEFAULTS, **shape, "kind": kind, "tied": tied, "vocabulary": len(first["embedding.weight"]),
             "classes": len(outputs) if "classifier.weight" in first else 0}
        model = Body(c, torch.float64)
        model.p = {k: v.double().requires_grad_() for k, v in first.items()}
        groups = [{"params": [p for p in model.p.values() if (p.dim() > 1) == decays],
                   "weight_decay": training["weight_decay"] if decays else 0.0} for decays in (True, False)]
        optimizer = (torch.optim.SGD(groups, lr=training["learning_rate"], momentum=training["momentum"])
                     if training["optimizer"] == "sgd" else
                     torch.optim.AdamW(groups, lr=training["learning_rate"], betas=(training["beta1"], training["beta2"]),
                                       eps=training["adam_epsilon"]))
        by_share, gap, drawn = part.startswith("share"), 0.0, set()
        for step in range(STEPS):
            now = {row["role"]: float(row["loss"]) for row in rows if int(row["step"]) == step + 1}
            assert set(now) == {"main", "auxiliary"} if not by_share else len(now) == 1, now
            drawn |= set(now)
            optimizer.zero_grad(set_to_none=False)
            # A step of one task has a gradient of 0 in the other's head, and AdamW's moments decay there.
            for p in model.p.values(): p.grad = torch.zeros_like(p)
            for role, found in now.items():
                loss = model.task_loss(read[role][step], "heads.other" if role == "auxiliary" else None)
                gap = max(gap, abs(loss.item() - found) / abs(loss.item()))
                factor = float(part.split("=")[1]) if role == "auxiliary" and not by_share else 1.0
                (factor * loss).backward()
            if training["clip"]: torch.nn.utils.clip_grad_norm_(model.p.values(), training["clip"])
            optimizer.step()
        assert drawn == {"main", "auxiliary"}, "the draw took one task alone"
        worst, which = max((distance(last[k].double(), p), k) for k, p in model.p.items())
        moved = distance(last["embedding.weight"], first["embedding.weight"])
        passed = gap < 1e-4 and worst < 1e-4 and moved > 1e-3
        print(f"{'ok  ' if passed else 'FAIL'} {name}: losses {gap:.1e}, weights {worst:.1e} ({which}), moved {moved:.1e}")
        return passed


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--attnlab", default=".build/release/attnlab")
    arguments = parser.parse_args()
    attnlab = os.path.abspath(arguments.attnlab)
    sys.exit(0 if all([compare(name, case, attnlab) for name, case in CASES.items()]) else 1)
