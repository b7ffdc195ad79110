#!/usr/bin/env python3
"""Time attention of others and this lab's, interleaved, on the same shapes and threads.

    python Experiments/peers/time_peers.py [--attnlab .build/release/attnlab] [--out results/peers] [--threads N]
        [--only NAME] [--pass forward] [--n 4096] [--d 64] [--rounds 3] [--repeats 3] [--quiet 0.05] [--ggml ./ggml_ops]

Peers: PyTorch's and transformers' attention (peers.py), recurrences of transformers, flash-linear-attention and attn-gym
(recurrent_peers.py), selection and masks of the last two (selected_peers.py), llama.cpp's operations (ggml_peers.py).
In every round each contender of an experiment is warmed and measured: the lab through `attnlab measure --json`, a peer
here. A row has the median over rounds of the rounds' medians, the lowest 20th and the highest 80th percentile. Rows have
the columns of measurements.csv with the peer's name as `variant`; an experiment that was measured before is replaced, so
that a long comparison may be run in pieces with --only. What is compared is attention alone: the layers of Hugging Face
get their q, k and v given, not projected. Inputs are normal, never zeros. Backward is the gradient of q, k and v,
of recurrences and selection of all operands, the forward pass not counted. A pass of a peer that lasts over 2 s is not warmed again.

Recurrences, selection, attn-gym's masks and llama.cpp's operations are first compared with `attnlab apply` on the same operands, at
the very shape that is timed: the largest difference over the largest element is printed and kept in agreement.json, of a backward
pass for the gradient of every operand; what differs by more than --bound is not timed. Of a selection `rows apart` is the share of
rows that chose otherwise where two scores are equal or differ by a rounding; those are not compared. The older peers have no error figure here:
compare_pytorch.py and compare_huggingface.py compare numbers.

Needs torch and transformers; for names with -fla fla-core and einops, with -gym attn-gym (pip install --no-deps); for FlexAttention
a C++ compiler (its compilation is not timed); for names with -ggml and full-token-… the program that ggml_ops.cpp tells how to make.
Then: attnlab compare results/peers/measurements.csv
"""

import argparse
import csv
import datetime
import json
import os
import platform
import statistics
import subprocess
import time

import ggml_peers
import judged
import peers
import recurrent_peers
import selected_peers


def columns(attnlab, table="measurements.csv"):
    """The names of a table's columns, as the program declares them."""
    listed = subprocess.run([attnlab, "list", "columns", "--json"], capture_output=True, text=True, check=True).stdout
    return [c["name"] for t in json.loads(listed)["tables"] if t["name"] == table for c in t["columns"]]


def experiments():
    """(name, shape, passes, ours: variant and settings, peer's name, maker of a timed body)"""
    for d in (64, 128):
        for causal in (False, True):
            yield ("sdpa", dict(heads=4, n=4096, d=d, causal=causal), ("forward", "backward"), ("full", {}),
                   "torch-sdpa", peers.sdpa)
    yield ("flex", dict(heads=8, n=16384, d=64, causal=False), ("forward",),
           ("sliding-window", dict(left=256, right=256)), "torch-flex", peers.flex)
    layer = dict(heads=8, n=4096, d=64, causal=False)
    both = ("forward", "backward")
    yield ("longformer", layer, both, ("sliding-window", dict(left=256, right=256)), "hf-longformer", peers.longformer)
    yield ("longformer-global", layer, both, ("local-global", dict(left=256, right=256, global_tokens=32)),
           "hf-longformer", lambda *a, **b: peers.longformer(*a, **b, globals=32))
    yield ("bigbird", layer, both, ("random-sparse", dict(block_size=64, random_blocks=3)), "hf-bigbird", peers.bigbird)
    for hashes in (1, 4):
        yield (f"reformer-{hashes}", layer, both, ("lsh", dict(chunk=64, hashes=hashes)), "hf-reformer",
               lambda *a, h=hashes, **b: peers.reformer(*a, **b, hashes=h))
    for module in (recurrent_peers, selected_peers, ggml_peers):
        yield from module.experiments()


def quantiles(samples):
    ordered = sorted(samples)
    return ordered[len(ordered) // 5], statistics.median(ordered), ordered[-1 - len(ordered) // 5]


def measure_ours(options, shape, direction, variant, settings, peak):
    command = [options.attnlab, "measure", variant, "--n", str(shape["n"]), "--heads", str(shape["heads"]),
               "--key-heads", str(shape.get("key_heads", shape["heads"])), "--head-dim", str(shape["d"]),
               "--pass", direction, "--threads", str(options.threads),
               "--repeats", str(options.repeats), "--warmup", "1", "--peak-gflops", str(peak), "--json"]
    for name, value in settings.items():
        command += ["--set", f"{name}={value}"]
    if shape["causal"]:
        command.append("--causal")
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def merge(row, rounds, repeats):
    lows, medians, highs = zip(*rounds)
    row.update(repeats=repeats, seconds_median=statistics.median(medians), seconds_p20=min(lows),
               seconds_p80=max(highs))
    if row["flops"]:
        row["gflops"] = row["flops"] / row["seconds_median"] / 1e9
    return row


def peer_row(options, name, shape, direction):
    row = dict.fromkeys(options.columns, "")
    row.update(variant=name, batch=1, query_heads=shape["heads"], key_heads=shape.get("key_heads", shape["heads"]),
               query_length=1 if direction == "decode" else shape["n"], key_length=shape["n"], head_dim=shape["d"],
               value_dim=shape["d"], threads=options.threads, input="gaussian",
               seed=1, status="ok", causal=str(shape["causal"]).lower(),
               cell_id=f"{name}-{direction}-{shape['heads']}-{shape['n']}-{shape['d']}-{shape['causal']}",
               started_at=datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"))
    row["pass"] = direction
    return row


def prepared(options, shape, direction, variant, settings, make):
    """A peer's body, how far it is from ours (none: it is not judged), and whether it is too slow to be warmed often."""
    body = make(shape["heads"], shape["n"], shape["d"], causal=shape["causal"], direction=direction)
    start = time.perf_counter()
    found = body()
    slow = time.perf_counter() - start > 2
    errors = body.errors(options, variant, settings, found) if hasattr(body, "errors") else {}
    worst = max(errors.values(), default=0)
    apart = getattr(body, "rows_apart", 0)
    if not (worst <= max(options.bound, getattr(body, "bound", 0)) and apart <= 0.002):
        raise ValueError(f"differs from ours: {agreement(errors)}, {apart:.1e} of the rows apart")
    return body, {**errors, "rows apart": apart} if apart else errors, slow


def agreement(errors):
    return ", ".join(f"{name} {error:.1e}" for name, error in errors.items())


def compare(options, shape, direction, variant, settings, name, make, peak):
    """The rows of one shape and pass, ours and the peer's, measured in turn; how far their numbers are apart; what others took."""
    mine, theirs, found, body, errors, taken = [], [], None, None, {}, 0
    peer = peer_row(options, name, shape, direction)
    try:
        body, errors, slow = prepared(options, shape, direction, variant, settings, make)
    except Exception as error:  # a peer that does not run is a row that says why
        peer.update(status="error", reason=(str(error).splitlines() or [type(error).__name__])[0])
    disturbed, most = 0, 0
    while len(mine) < options.rounds:
        others = judged.Others()
        found = measure_ours(options, shape, direction, variant, settings, peak)
        samples = []
        if body and max((median for _, median, _ in theirs), default=0) < options.budget:
            samples = judged.samples_of(body, options.repeats, options.budget, slow)
        share = others.share()
        if share > options.quiet and disturbed < 2 * options.rounds:
            disturbed += 1
            continue
        most = max(most, share)
        mine.append((found["seconds_p20"], found["seconds_median"], found["seconds_p80"]))
        if samples:
            taken += len(samples)
            theirs.append(quantiles(samples))
    ours = {column: "" if found.get(column) is None else found[column] for column in options.columns}
    ours["causal"] = str(ours["causal"]).lower()
    ours = merge(ours, mine, options.repeats * len(mine))
    if ours["gflops"]:
        ours["fraction_of_peak"] = ours["gflops"] / peak
    # The peer ran here, too.
    peer.update({name: ours[name] for name in ("machine", "host", "commit")})
    if theirs:
        peer["flops"] = ours["flops"]
        merge(peer, theirs, taken)
        peer["fraction_of_peak"] = peer["gflops"] / peak
    return (ours, peer), errors, most


def report(experiment, ours, peer, errors, others):
    shape = f"{experiment:18} {ours['pass']:8} n={ours['key_length']} d={ours['head_dim']} causal={ours['causal']:5}"
    if peer["status"] != "ok":
        print(f"{shape} {peer['variant']} failed: {peer['reason']}", flush=True)
        return
    print(f"{shape} {peer['variant']} {timed(peer)}, {ours['variant']} {timed(ours)}: "
          f"{peer['seconds_median'] / ours['seconds_median']:.2f} x" + (f"; {agreement(errors)}" if errors else "") + (f"; others {others:.0%}" if others >= 0.01 else ""), flush=True)


def timed(row):
    """The median and the spread, in milliseconds or microseconds."""
    scale, unit = (1e3, "ms") if row["seconds_median"] >= 1e-3 else (1e6, "µs")
    low, middle, high = (row[f"seconds_{name}"] * scale for name in ("p20", "median", "p80"))
    return f"{middle:.1f} {unit} ({low:.1f} … {high:.1f})"


def environment(options, doctor):
    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True).stdout.strip()
    return {
        "preset": "peers", "machine": doctor["machine"], "processor": doctor["machine"]["processor"],
        "isa": doctor["isa"], "threads": options.threads, "peak_gflops": doctor["peak_gflops"],
        "bandwidth_gb_per_s": doctor["bandwidth_gb_per_s"], "commit": commit,
        "versions": {"attnlab": doctor["attnlab"], "python": platform.python_version(), **peers.versions()},
        "rounds": options.rounds, "repeats": options.repeats,
    }


def write(options, rows, agreements, record):
    os.makedirs(options.out, exist_ok=True)
    with open(os.path.join(options.out, "measurements.csv"), "w", newline="") as file:
        writer = csv.DictWriter(file, options.columns)
        writer.writeheader()
        writer.writerows(rows)
    for name, content in (("environment", record), ("agreement", agreements)):
        if content:
            with open(os.path.join(options.out, name + ".json"), "w") as file:
                json.dump(content, file, indent=1 if name == "agreement" else 2)
                file.write("\n")


def without(rows, measured):
    """The rows of other experiments, passes and shapes than those just measured."""
    same = ("experiment", "variant", "pass", "query_length", "key_length", "head_dim", "causal", "threads")
    again = {tuple(str(row[column]) for column in same) for row in measured}
    return [row for row in rows if tuple(str(row[column]) for column in same) not in again]


def selected(options):
    """The experiments and passes that the options ask for."""
    names = [name for name in options.only.split(",") if name]
    for experiment, shape, passes, ours, name, make in experiments():
        if names and experiment not in names:
            continue
        if shape["n"] in (options.n or [shape["n"]]) and shape["d"] in (options.d or [shape["d"]]):
            for direction in passes:
                if options.direction in ("", direction):
                    yield experiment, shape, direction, ours, name, make


def read(path, otherwise, reader):
    """What a file of an earlier piece of the comparison holds."""
    if not os.path.exists(path):
        return otherwise
    with open(path, newline="") as file:
        return reader(file)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--attnlab", default=".build/release/attnlab")
    parser.add_argument("--out", default="results/peers")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", default="", help="experiments with these names, separated by commas")
    parser.add_argument("--pass", dest="direction", default="", help="forward, backward or decode alone")
    parser.add_argument("--n", type=int, nargs="*", help="these lengths alone")
    parser.add_argument("--d", type=int, nargs="*", help="these head dims alone")
    parser.add_argument("--budget", type=float, default=10, help="seconds of a peer's passes in a round after which it makes no more")
    parser.add_argument("--quiet", type=float, default=1, help="a round is repeated when other programs take more of the processors")
    parser.add_argument("--bound", type=float, default=1e-4, help="the largest relative difference of what is compared")
    parser.add_argument("--ggml", default="", help="the program made of ggml_ops.cpp; without it its experiments are left out")
    parser.add_argument("--memory", type=float, default=0, help="GiB of address space that a peer may take; 0: no limit")
    options = parser.parse_args()
    options.columns = columns(options.attnlab)
    peers.prepare(options.threads)
    ggml_peers.program = options.ggml and os.path.abspath(options.ggml)
    if options.memory:
        judged.limit_memory(options.memory)
    doctor = json.loads(subprocess.run([options.attnlab, "doctor", "--threads", str(options.threads), "--json"],
                                       capture_output=True, text=True, check=True).stdout)
    rows = read(os.path.join(options.out, "measurements.csv"), [], lambda file: list(csv.DictReader(file)))
    agreements = read(os.path.join(options.out, "agreement.json"), [], json.load)
    for experiment, shape, direction, (variant, settings), name, make in selected(options):
        pair, errors, others = compare(options, shape, direction, variant, settings, name, make, doctor["peak_gflops"])
        for row in pair:
            row.update(preset="peers", experiment=experiment)
        report(experiment, *pair, errors, others)
        rows = without(rows, pair) + list(pair)
        if errors:
            said = {"experiment": experiment, "variant": name, "pass": direction, "query_length": pair[1]["query_length"],
                    "key_length": shape["n"], "head_dim": shape["d"], "causal": pair[1]["causal"], "threads": options.threads}
            agreements = without(agreements, [said]) + [{**said, "relative_error": errors, "others": round(others, 3)}]
        write(options, rows, agreements, environment(options, doctor))


if __name__ == "__main__":
    main()
