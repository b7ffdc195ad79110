#!/usr/bin/env python3
"""Compares attnlab's co-attention of two sequences with PyTorch on the same weights.

The layers of Lu et al. (2016), parallel and alternating, and the means of both sequences are written here in plain PyTorch from the
equations, pair by pair, above blocks that read each sequence; in float64, and again in float32. Logits, loss and the gradient of
every parameter are compared (limit 1e-5, relative in the Euclidean norm).

    swift build -c release --product attnlab
    python Experiments/peers/compare_coattention.py --attnlab .build/release/attnlab

Needs torch and numpy. Exit code 1 when a limit is passed.
"""
import argparse, os, sys, tempfile
import torch
from paper_layers import Blocks, compare

BASE = dict(kind="pair", vocabulary=53, maximum_length=24, width=32, layers=1, encoder_layers=0, heads=4, hidden=48, position="learned",
            feed_forward="gelu", norm="layer", residual="pre", epsilon=1e-5, attention="full", classes=6, co_attention="parallel")


class Network(Blocks):
    def __init__(self, c, question, source):
        """Pairs of sequences: lists of tensors of tokens."""
        super().__init__(c)
        d = c["width"]
        self.question, self.source = question, source
        self.stacks = {"question": c["layers"], "encoder": c["encoder_layers"] or c["layers"]}
        self.add("embedding.weight", c["vocabulary"], d)
        for stack, layers in self.stacks.items():
            if c["position"] == "learned": self.add(stack + ".positions.weight", c["maximum_length"], d, scale=0.3)
            for l in range(layers): self.add_block(f"{stack}.layers.{l}")
            if c["residual"] == "pre": self.add_norm(stack + ".norm")
        if c["co_attention"] == "parallel":
            for part in ["affinity", "question", "source"]: self.add_linear("pair." + part, d, d, bias=False)
            for part in ["question", "source"]: self.add(f"pair.{part}.query", d)
        if c["co_attention"] == "alternating":
            for part in ["first", "source", "second"]:
                self.add_linear(f"pair.{part}.hidden", d, d, bias=False)
                if part != "first": self.add_linear(f"pair.{part}.guide", d, d, bias=False)
                self.add(f"pair.{part}.query", d)
        self.add_linear("pair.join", d, d)
        self.add_linear("classifier", d, c["classes"])

    def read(self, stack, tokens):
        x = self.embed(stack + ".positions.weight", tokens)
        for l in range(self.stacks[stack]): x = self.block(f"{stack}.layers.{l}", x)
        return self.norm(stack + ".norm", x) if self.c["residual"] == "pre" else x

    def guided(self, part, x, guide=None):
        """H = tanh(W_x X + (W_g g) 1ᵀ), a = softmax(wᵀ H), x̂ = Σ a_i x_i (equation 4)."""
        h = self.linear(f"pair.{part}.hidden", x)
        if guide is not None: h = h + self.linear(f"pair.{part}.guide", guide)
        return (torch.tanh(h) @ self.p[f"pair.{part}.query"]).softmax(0) @ x

    def both(self, q, v):
        """q̂ and v̂ of rows q [T, d] and v [N, d]."""
        kind = self.c["co_attention"]
        if kind == "mean": return q.mean(0), v.mean(0)
        if kind == "alternating":
            s = self.guided("first", q)
            attended = self.guided("source", v, s)
            return self.guided("second", q, attended), attended
        # C = tanh(Q W_b V); H_v = tanh(W_v V + (W_q Q) C), H_q = tanh(W_q Q + (W_v V) Cᵀ) (equations 1 to 3, rows for columns).
        affinity = torch.tanh(self.linear("pair.affinity", q) @ v.T)
        own, other = self.linear("pair.question", q), self.linear("pair.source", v)
        h_v, h_q = torch.tanh(other + affinity.T @ own), torch.tanh(own + affinity @ other)
        return ((h_q @ self.p["pair.question.query"]).softmax(0) @ q, (h_v @ self.p["pair.source.query"]).softmax(0) @ v)

    def logits(self):
        rows = []
        for question, source in zip(self.question, self.source):
            q, v = self.both(self.read("question", question), self.read("encoder", source))
            rows.append(torch.tanh(self.linear("pair.join", q + v)))
        return self.linear("classifier", torch.stack(rows))


CASES = {
    "parallel": {},
    "alternating": dict(co_attention="alternating"),
    "means": dict(co_attention="mean"),
    "parallel, two layers and three, post-norm, rotations": dict(layers=2, encoder_layers=3, residual="post", position="rope"),
    "alternating, sinusoidal, two key heads": dict(co_attention="alternating", position="sinusoidal", key_heads=2),
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
            tokens, source = (torch.randint(0, c["vocabulary"], (5, n), generator=g) for n in (11, 24))
            lengths, source_lengths = torch.tensor([11, 3, 1, 9, 11]), torch.tensor([24, 24, 7, 1, 13])
            network = Network(c, [t[:n] for t, n in zip(tokens, lengths)], [t[:n] for t, n in zip(source, source_lengths)])
            arrays = {"tokens": tokens, "lengths": lengths, "source": source, "source-lengths": source_lengths}
            good.append(compare(label, network, os.path.abspath(arguments.attnlab), folder, arrays,
                                torch.arange(5) % c["classes"]))
    sys.exit(not all(good))


if __name__ == "__main__":
    main()
