#!/usr/bin/env python3
"""Compares attnlab's hierarchical attention network with PyTorch on the same weights.

The network of Yang et al. (2016) is written here in plain PyTorch from the equations, sentence by sentence, with PyTorch's own GRU
cell; in float64, and again in float32. Logits, loss and the gradient of every parameter are compared.

The bias of a pooling moves all scores of a sentence nearly alike, which a softmax does not see, and so does its query where rows are
alike: their gradients are sums that cancel.
So the error of a gradient is shown relative to the gradient, and judged relative to what it is a sum of: the root of the sum of the
squares of its terms, one a row of a sentence or a document (limit 1e-5). With small weights rows are so alike that the slopes of the
scores cancel too: there, five times the error of PyTorch in float32 is allowed.

    swift build -c release --product attnlab
    python Experiments/peers/compare_hierarchy.py --attnlab .build/release/attnlab

Needs torch and numpy. Exit code 1 when a limit is passed.
"""
import argparse, json, os, subprocess, sys, tempfile
import numpy as np
import torch
from compare_transformer import distance, read_safetensors, write_safetensors

WIDTH, VOCABULARY, CLASSES, SEPARATOR = 48, 64, 8, 1
LIMIT = 1e-5


def weights(layers, spread):
    g = torch.Generator().manual_seed(7)
    half, p = WIDTH // 2, {}
    def draw(name, *shape): p[name] = torch.randn(*shape, generator=g) * spread / shape[-1] ** 0.5
    draw("embedding.weight", VOCABULARY, WIDTH)
    for level in ("words", "segments"):
        for layer in range(layers):
            for direction in ("forward", "backward"):
                for part, width in (("input", WIDTH), ("state", half)):
                    draw(f"encoder.{level}.layers.{layer}.{direction}.{part}.weight", 3 * half, width)
                    draw(f"encoder.{level}.layers.{layer}.{direction}.{part}.bias", 3 * half)
        draw(f"encoder.{level}.pooling.hidden.weight", WIDTH, WIDTH)
        draw(f"encoder.{level}.pooling.hidden.bias", WIDTH)
        draw(f"encoder.{level}.pooling.query", WIDTH)
    draw("classifier.weight", CLASSES, WIDTH)
    draw("classifier.bias", CLASSES)
    return p


class Network:
    def __init__(self, p, layers, dtype):
        self.p = {k: v.detach().to(dtype).requires_grad_() for k, v in p.items()}
        self.layers, self.dtype, self.rows = layers, dtype, {"words": [], "segments": []}

    def encode(self, level, x):
        half = WIDTH // 2
        for layer in range(self.layers):
            name, sides = f"encoder.{level}.layers.{layer}", []
            for direction in ("forward", "backward"):
                w = [self.p[f"{name}.{direction}.{part}.{kind}"] for kind in ("weight", "bias") for part in ("input", "state")]
                h, rows = torch.zeros(half, dtype=self.dtype), [None] * len(x)
                for i in (range(len(x)) if direction == "forward" else reversed(range(len(x)))):
                    h = torch.gru_cell(x[i][None], h[None], w[0], w[1], w[2], w[3])[0]
                    rows[i] = h
                sides.append(torch.stack(rows))
            x = torch.cat(sides, -1)
        return x

    def pool(self, level, h):
        name = f"encoder.{level}.pooling"
        before = h @ self.p[name + ".hidden.weight"].T + self.p[name + ".hidden.bias"]
        before.retain_grad()
        u = torch.tanh(before)
        scores = u @ self.p[name + ".query"]
        scores.retain_grad()
        self.rows[level].append((before, u, scores))
        return torch.softmax(scores, 0) @ h

    def logits(self, tokens, lengths):
        documents = []
        for row, length in zip(tokens, lengths):
            row = row[:length]
            first = [i for i in range(length) if i == 0 or row[i] == SEPARATOR] + [length]
            x = self.p["embedding.weight"][row] * WIDTH ** 0.5
            sentences = [self.pool("words", self.encode("words", x[a:b])) for a, b in zip(first, first[1:])]
            documents.append(self.pool("segments", self.encode("segments", torch.stack(sentences))))
        return torch.stack(documents) @ self.p["classifier.weight"].T + self.p["classifier.bias"]


def batch(rows=8, length=72):
    g = torch.Generator().manual_seed(11)
    tokens = torch.randint(2, VOCABULARY, (rows, length), generator=g)
    lengths = torch.randint(30, length + 1, (rows,), generator=g)
    for row in range(rows):
        place = 0
        while place < length:
            tokens[row, place] = SEPARATOR
            place += int(torch.randint(4, 10, (1,), generator=g))
        tokens[row, lengths[row]:] = 0
    return tokens, lengths, torch.arange(rows) % CLASSES


def compare(attnlab, folder, layers, spread):
    p, (tokens, lengths, targets) = weights(layers, spread), batch()
    path = lambda n: os.path.join(folder, n)
    c = dict(kind="encoder", vocabulary=VOCABULARY, maximum_length=72, width=WIDTH, layers=layers, heads=4, position="none",
             classes=CLASSES, hierarchy="han", han_encoder="gru", separator=SEPARATOR)
    write_safetensors(path("m.safetensors"), p, {"format": "attnlab", **{"model." + k: str(v) for k, v in c.items()}})
    command = [attnlab, "forward", "--checkpoint", path("m.safetensors"), "--logits", path("l.npy"), "--loss", "--json",
               "--grads", path("g.safetensors")]
    for name, values in (("tokens", tokens), ("lengths", lengths), ("targets", targets)):
        np.save(path(name + ".npy"), values.numpy().astype(np.int32))
        command += ["--" + name, path(name + ".npy")]
    theirs = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    ours = read_safetensors(path("g.safetensors"))
    exact, single = Network(p, layers, torch.float64), Network(p, layers, torch.float32)
    losses = []
    for network in (exact, single):
        logits = network.logits(tokens, lengths)
        losses.append(torch.nn.functional.cross_entropy(logits, targets))
        losses[-1].backward()
        if network is exact: wanted = logits
    assert set(ours) == set(p), set(ours) ^ set(p)

    # Of what sum a gradient is: a pooling's bias and query have a term for every row that is pooled.
    def terms(name):
        for level in ("words", "segments"):
            of = {"hidden.bias": lambda before, u, scores: before.grad, "query": lambda before, u, scores: scores.grad[:, None] * u}
            for part, term in of.items():
                if name == f"encoder.{level}.pooling.{part}":
                    return float(sum((term(*rows).detach() ** 2).sum() for rows in exact.rows[level]) ** 0.5)
        return float(exact.p[name].grad.norm())

    good = True
    errors = {k: (distance(ours[k], exact.p[k].grad), distance(single.p[k].grad, exact.p[k].grad),
                  terms(k) / float(exact.p[k].grad.norm())) for k in p}
    for name, (own, torch32, ratio) in sorted(errors.items(), key=lambda x: -x[1][0])[:3]:
        print(f"    {name:45s} {own:.1e}, PyTorch float32 {torch32:.1e}; terms are {ratio:.0f} times their sum")
    # What is no further off than five times PyTorch's own float32 counts as that limit.
    worst = max(min(own / ratio, LIMIT * max(1, own / (5 * torch32))) for own, torch32, ratio in errors.values())
    figures = {"logits": distance(torch.from_numpy(np.load(path("l.npy"))), wanted),
               "loss": abs(theirs["loss"] - losses[0].item()) / losses[0].item(), "gradients": worst}
    good = all(value <= LIMIT for value in figures.values())
    print(f"{'ok ' if good else 'BAD'} {layers} layers, weights {spread:g}: "
          + "  ".join(f"{k} {v:.1e}" for k, v in figures.items()), flush=True)
    return good


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--attnlab", required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        good = [compare(arguments.attnlab, folder, layers, spread) for layers in (1, 2) for spread in (0.3, 1)]
    sys.exit(not all(good))


if __name__ == "__main__":
    main()
