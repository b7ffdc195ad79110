#!/usr/bin/env python3
"""Compare the ways around attention with code that nobody here wrote: BM25, TF-IDF, TextRank.

    python Experiments/peers/compare_text.py [--attnlab .build/release/attnlab] [FILE …]

Judges, in float64: rank_bm25's BM25Okapi with Lucene's logarithm in the place of its own, and bm25s' "lucene" scores (float32);
scikit-learn's TfidfVectorizer; networkx' pagerank on a graph whose weights are summa's overlap where summa is installed. The texts are
this repository's documents, or the files that are named. Words are found by the same regular expression in both. Sentences are those
that attnlab cuts: what is compared is their scores, the largest difference over the largest score. Needs rank_bm25, scikit-learn,
networkx and numpy; prints a line a comparison; exits 1 when one is above 1e-9 (bm25s: 1e-5).
"""

import argparse
import collections
import json
import math
import pathlib
import re
import subprocess
import sys
import tempfile

import networkx
import numpy as np
from rank_bm25 import BM25Okapi
from sklearn.feature_extraction.text import TfidfVectorizer

try:
    import bm25s
except ImportError:
    bm25s = None
try:
    from summa.summarizer import _count_common_words
except ImportError:
    _count_common_words = None

QUESTION = "Which attention is the fastest for a long text, and what does it lose?"


def words(text):
    return [w.decode("latin-1") for w in re.findall(rb"[A-Za-z0-9_\x80-\xff]+", text.encode().lower())]


class Lucene(BM25Okapi):
    """rank_bm25's own sum over documents, with a logarithm that is never negative."""

    def _calc_idf(self, nd):
        self.idf = {w: math.log1p((self.corpus_size - n + 0.5) / (n + 0.5)) for w, n in nd.items()}


def found(program, file, way, question, key):
    command = [program, "text", file, "--way", way, "--json"] + (["--question", question] if question else [])
    rows = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)[key]
    return [row["text"] for row in rows], np.array([row["score"] for row in rows])


def passages(sentences, most=256):
    """Sentences put together as long as they fit; one that is longer is cut."""
    found, open_ = [], b""
    for sentence in (s.encode() for s in sentences):
        if open_ and len(open_) + len(sentence) > most:
            found, open_ = found + [open_], b""
        while len(sentence) > most:
            found, sentence = found + [sentence[:most]], sentence[most:]
        open_ += sentence
    return [p.decode(errors="replace") for p in found + [open_] if p]


def error(scores, judged):
    return float(np.abs(scores - judged).max() / np.abs(judged).max())


def bm25(program, file, key, way):
    texts, scores = found(program, file, way, QUESTION, key)
    # All sentences, also those that score 0 and are not kept: TextRank keeps every one.
    every, _ = found(program, file, "extract(method=textrank, tokens=16777216)", None, "sentences")
    if key == "passages":
        every = passages(every)
    corpus = [words(t) for t in every]
    judge = Lucene(corpus, k1=1.5, b=0.75).get_scores(words(QUESTION))
    yield "rank_bm25", error(scores, judge[judge > 0]), 1e-9
    if bm25s:
        index = bm25s.BM25(method="lucene", k1=1.5, b=0.75)
        index.index(corpus, show_progress=False)
        judge = index.get_scores(words(QUESTION)).astype(float) * 2.5
        yield "bm25s", error(scores, judge[judge > 0]), 1e-5


def tfidf(program, file, question):
    texts, scores = found(program, file, "extract(method=tfidf, tokens=16777216, part=1048576)", question, "sentences")
    every, _ = found(program, file, "extract(method=textrank, tokens=16777216)", None, "sentences")
    vectors = TfidfVectorizer(analyzer=words)
    x = vectors.fit_transform(every)
    if question:
        judge = (x @ vectors.transform([question]).T).toarray()[:, 0]
        # Words that no sentence has lengthen our vector of the question; scikit-learn drops them.
        counts = collections.Counter(words(question))
        weights = {w: n * vectors.idf_[vectors.vocabulary_[w]] for w, n in counts.items() if w in vectors.vocabulary_}
        missing = [n * (math.log(1 + len(every)) + 1) for w, n in counts.items() if w not in vectors.vocabulary_]
        known = np.linalg.norm(list(weights.values()))
        judge *= known / math.hypot(known, np.linalg.norm(missing))
    else:
        sum_ = np.asarray(x.sum(0))[0]
        judge = x @ (sum_ / np.linalg.norm(sum_))
    yield "scikit-learn", error(scores, judge[judge > 0]), 1e-9


def text_rank(program, file):
    texts, scores = found(
        program, file, "extract(method=textrank, tokens=16777216, part=1048576)", None, "sentences")
    tokens = [words(t) for t in texts]
    graph = networkx.Graph()
    graph.add_nodes_from(range(len(texts)))
    for i, one in enumerate(tokens):
        for j, other in enumerate(tokens[:i]):
            shared = _count_common_words(one, other) if _count_common_words else len(set(one) & set(other))
            scale = math.log(max(1, len(one))) + math.log(max(1, len(other)))
            if shared and scale:
                graph.add_edge(i, j, weight=shared / scale)
    ranks = networkx.pagerank(graph, alpha=0.85, tol=1e-17, max_iter=1000)
    yield "networkx", error(scores, np.array([ranks[i] * len(texts) for i in range(len(texts))])), 1e-9


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--attnlab", default=".build/release/attnlab")
    parser.add_argument("files", nargs="*")
    options = parser.parse_args()
    root = pathlib.Path(__file__).parents[2]
    files = options.files or [root / "README.md", root / "Experiments/README.md"]
    good = True
    for file in files:
        with tempfile.TemporaryDirectory() as folder:
            # TextRank ranks at most 1024 sentences together.
            copy = pathlib.Path(folder) / "text.txt"
            copy.write_bytes(pathlib.Path(file).read_bytes()[:60_000])
            program = options.attnlab
            for name, rows in [
                ("BM25, sentences", bm25(program, copy, "sentences", "extract(method=bm25, tokens=16777216)")),
                ("BM25, passages", bm25(program, copy, "passages", "retrieve(count=65536, passage=256)")),
                ("TF-IDF, question", tfidf(program, copy, QUESTION)),
                ("TF-IDF, centroid", tfidf(program, copy, None)),
                ("TextRank", text_rank(program, copy)),
            ]:
                for judge, off, bound in rows:
                    good &= off <= bound
                    print(f"{pathlib.Path(file).parent.name + '/' + pathlib.Path(file).name:24} {name:18} {judge:14} {off:.1e}" + ("" if off <= bound else "  FAILED"))
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
