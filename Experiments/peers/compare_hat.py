#!/usr/bin/env python3
"""Compares attnlab's hierarchical attention transformer (HAT) with PyTorch on the same weights.

The encoder of Chalkidis et al. (2022), interleaved, is written here in plain PyTorch from the equations, segment by segment: blocks
inside segments, and behind some of them a block across the first tokens of a document's segments, whose results take these tokens'
places. In float64, and again in float32. Logits, loss and the gradient of every parameter are compared (limit 1e-5, relative in the
Euclidean norm).

    swift build -c release --product attnlab
    python Experiments/peers/compare_hat.py --attnlab .build/release/attnlab

Needs torch and numpy. Exit code 1 when a limit is passed.
"""
import argparse, os, sys, tempfile
import torch
from paper_layers import Blocks, compare

BASE = dict(kind="encoder", vocabulary=61, maximum_length=40, width=32, layers=2, heads=4, hidden=48, position="learned",
            feed_forward="gelu", norm="layer", residual="pre", epsilon=1e-5, attention="full", classes=5, pooling="mean",
            hierarchy="hat", segment_length=6, separator=-1, segment_layers=0)


class Network(Blocks):
    def __init__(self, c, tokens, lengths):
        super().__init__(c)
        d, upper = c["width"], c["segment_layers"] or c["layers"]
        self.tokens, self.lengths, self.upper = tokens, lengths, upper
        self.add("embedding.weight", c["vocabulary"], d)
        if c["position"] == "learned": self.add("encoder.positions.weight", c["maximum_length"], d, scale=0.3)
        most = c["maximum_length"] if c["separator"] >= 0 else -(-c["maximum_length"] // c["segment_length"])
        for j in range(upper):
            if c["position"] == "learned": self.add(f"encoder.segments.layers.{j}.positions.weight", most, d, scale=0.3)
            self.add_block(f"encoder.segments.layers.{j}")
        for l in range(c["layers"]): self.add_block(f"encoder.layers.{l}")
        if c["residual"] == "pre": self.add_norm("encoder.norm")
        if c["pooling"] == "attention":
            self.add_linear("pooling.hidden", d, d)
            self.add("pooling.query", d)
        self.add_linear("classifier", d, c["classes"])

    def segments(self, row):
        cuts, c = [0], self.c
        for i in range(1, len(row)):
            full = c["segment_length"] > 0 and i - cuts[-1] == c["segment_length"]
            if row[i] == c["separator"] or full: cuts.append(i)
        return [row[a:b] for a, b in zip(cuts, cuts[1:] + [len(row)])]

    def document(self, row):
        """The rows of every segment."""
        layers, upper = self.c["layers"], self.upper
        parts = [self.embed("encoder.positions.weight", segment) for segment in self.segments(row)]
        for l in range(layers):
            parts = [self.block(f"encoder.layers.{l}", x) for x in parts]
            for j in range(upper):
                # The j-th upper block, from 0, comes behind ⌈(j + 1)·L/U⌉ lower ones.
                if -(-(j + 1) * layers // upper) != l + 1: continue
                name = f"encoder.segments.layers.{j}"
                firsts = self.positioned(name + ".positions.weight", torch.stack([x[0] for x in parts]))
                firsts = self.block(name, firsts)
                parts = [torch.cat([first[None], x[1:]]) for first, x in zip(firsts, parts)]
        return [self.norm("encoder.norm", x) for x in parts] if self.c["residual"] == "pre" else parts

    def pooled(self, parts):
        rows, kind = torch.cat(parts), self.c["pooling"]
        if kind == "mean": return rows.mean(0)
        if kind == "first": return rows[0]
        if kind == "segments": return torch.stack([x[0] for x in parts]).mean(0)
        u = torch.tanh(self.linear("pooling.hidden", rows))
        return (u @ self.p["pooling.query"]).softmax(0) @ rows

    def logits(self):
        documents = [self.pooled(self.document(row[:n])) for row, n in zip(self.tokens, self.lengths)]
        return self.linear("classifier", torch.stack(documents))


CASES = {
    "segments of 6, blocks in turn, learned positions": {},
    "separators, first tokens pooled": dict(separator=1, segment_length=0, pooling="segments"),
    "separators and at most 5, one upper of three, sinusoidal": dict(
        separator=1, segment_length=5, layers=3, segment_layers=1, position="sinusoidal", pooling="first"),
    "three upper above two lower, rotations, two key heads": dict(segment_layers=3, position="rope", key_heads=2, pooling="attention"),
    "post-norm, no positions": dict(residual="post", position="none", separator=1, segment_length=0),
    "a window inside and across": dict(attention="sliding-window(left=2, right=2)", window=2, segment_length=9),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--attnlab", default=".build/release/attnlab")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    good = []
    with tempfile.TemporaryDirectory() as folder:
        for label, changes in CASES.items():
            c, g = {**BASE, **changes}, torch.Generator().manual_seed(11)
            tokens = torch.randint(2, c["vocabulary"], (5, c["maximum_length"]), generator=g)
            tokens[torch.rand(tokens.shape, generator=g) < 0.15] = 1
            lengths = torch.tensor([40, 29, 1, 40, 7])
            network = Network(c, tokens, lengths)
            good.append(compare(label, network, os.path.abspath(arguments.attnlab), folder,
                                dict(tokens=tokens, lengths=lengths), torch.arange(5) % c["classes"]))
    sys.exit(not all(good))


if __name__ == "__main__":
    main()
