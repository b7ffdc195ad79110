#!/usr/bin/env python3
"""Time PyTorch and Hugging Face attention and this lab's, interleaved, on the same shapes and threads.

    python Experiments/peers/time_peers.py [--attnlab .build/release/attnlab] [--out results/peers] [--threads N]
        [--only NAME] [--rounds 3] [--repeats 3]

In every round each contender of an experiment is warmed and measured: the lab through `attnlab measure --json`, a peer
here. A row has the median over rounds of the rounds' medians, the lowest 20th and the highest 80th percentile. Rows have
the columns of measurements.csv with the peer's name as `variant`; an experiment that was measured before is replaced, so
that a long comparison may be run in pieces with --only. What is compared is attention alone: the layers of Hugging Face
get their q, k and v given, not projected. Inputs are normal, never zeros. Backward is the gradient of q, k and v, the
forward pass not counted. Peers have no error figure here: compare_pytorch.py and compare_huggingface.py compare numbers.
Needs torch and transformers; FlexAttention a C++ compiler (its compilation is not timed).
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

import peers

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
    for d in (64, 128):
        for n in (4096, 16384):
            shape = dict(heads=8, n=n, d=d, causal=True)
            yield ("gated-delta", shape, both, ("gated-delta", {}), "hf-qwen3-next", peers.gated_delta)
            yield ("kda", shape, both, ("kda", {}), "hf-kimi-linear", peers.kda)
    for d in (64, 128):
        # The length does not matter: a state has been made of these tokens, and one more is timed.
        yield ("gated-delta-token", dict(heads=32, n=1024, d=d, causal=True), ("decode",), ("gated-delta", {}),
               "hf-qwen3-next", peers.gated_delta_token)
    for hashes in (1, 4):
        yield (f"reformer-{hashes}", layer, both, ("lsh", dict(chunk=64, hashes=hashes)), "hf-reformer",
               lambda *a, h=hashes, **b: peers.reformer(*a, **b, hashes=h))


def quantiles(samples):
    ordered = sorted(samples)
    return ordered[len(ordered) // 5], statistics.median(ordered), ordered[-1 - len(ordered) // 5]


def time_peer(body, repeats):
    body()
    samples = []
    for _ in range(repeats):
        start = time.perf_counter()
        body()
        samples.append(time.perf_counter() - start)
    return quantiles(samples)


def measure_ours(options, shape, direction, variant, settings, peak):
    command = [options.attnlab, "measure", variant, "--n", str(shape["n"]), "--heads", str(shape["heads"]),
               "--head-dim", str(shape["d"]), "--pass", direction, "--threads", str(options.threads),
               "--repeats", str(options.repeats), "--warmup", "1", "--peak-gflops", str(peak), "--json"]
    for name, value in settings.items():
        command += ["--set", f"{name}={value}"]
    if shape["causal"]:
        command.append("--causal")
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def merge(row, rounds, repeats):
    lows, medians, highs = zip(*rounds)
    row.update(repeats=repeats * len(rounds), seconds_median=statistics.median(medians), seconds_p20=min(lows),
               seconds_p80=max(highs))
    if row["flops"]:
        row["gflops"] = row["flops"] / row["seconds_median"] / 1e9
    return row


def peer_row(options, name, shape, direction):
    row = dict.fromkeys(options.columns, "")
    row.update(variant=name, batch=1, query_heads=shape["heads"], key_heads=shape["heads"], query_length=shape["n"],
               key_length=shape["n"], head_dim=shape["d"], value_dim=shape["d"], threads=options.threads, input="gaussian",
               seed=1, status="ok", causal=str(shape["causal"]).lower(),
               cell_id=f"{name}-{direction}-{shape['heads']}-{shape['n']}-{shape['d']}-{shape['causal']}",
               started_at=datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"))
    row["pass"] = direction
    return row


def compare(options, shape, direction, variant, settings, name, make, peak):
    """The rows of one shape and pass: ours and the peer's, measured in turn."""
    mine, theirs, found = [], [], None
    peer = peer_row(options, name, shape, direction)
    try:
        body = make(shape["heads"], shape["n"], shape["d"], causal=shape["causal"], direction=direction)
        body()
    except Exception as error:  # a peer that does not run is a row that says why
        body = None
        peer.update(status="error", reason=(str(error).splitlines() or [type(error).__name__])[0])
    for _ in range(options.rounds):
        found = measure_ours(options, shape, direction, variant, settings, peak)
        mine.append((found["seconds_p20"], found["seconds_median"], found["seconds_p80"]))
        if body:
            theirs.append(time_peer(body, options.repeats))
    ours = {column: "" if found.get(column) is None else found[column] for column in options.columns}
    ours["causal"] = str(ours["causal"]).lower()
    ours = merge(ours, mine, options.repeats)
    if ours["gflops"]:
        ours["fraction_of_peak"] = ours["gflops"] / peak
    # The peer ran here, too.
    peer.update({name: ours[name] for name in ("machine", "host", "commit")})
    if theirs:
        peer["flops"] = ours["flops"]
        merge(peer, theirs, options.repeats)
        peer["fraction_of_peak"] = peer["gflops"] / peak
    return ours, peer


def report(experiment, ours, peer):
    shape = f"{experiment:18} {ours['pass']:8} n={ours['query_length']} d={ours['head_dim']} causal={ours['causal']:5}"
    if peer["status"] != "ok":
        print(f"{shape} {peer['variant']} failed: {peer['reason']}", flush=True)
        return
    print(f"{shape} {peer['variant']} {peer['seconds_median'] * 1e3:8.1f} ms "
          f"({peer['seconds_p20'] * 1e3:.1f} … {peer['seconds_p80'] * 1e3:.1f}), {ours['variant']} "
          f"{ours['seconds_median'] * 1e3:7.1f} ms ({ours['seconds_p20'] * 1e3:.1f} … {ours['seconds_p80'] * 1e3:.1f}): "
          f"{peer['seconds_median'] / ours['seconds_median']:.2f} x", flush=True)


def environment(options, doctor):
    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True).stdout.strip()
    return {
        "preset": "peers", "machine": doctor["machine"], "processor": doctor["machine"]["processor"],
        "isa": doctor["isa"], "threads": options.threads, "peak_gflops": doctor["peak_gflops"],
        "bandwidth_gb_per_s": doctor["bandwidth_gb_per_s"], "commit": commit,
        "versions": {"attnlab": doctor["attnlab"], "python": platform.python_version(), **peers.versions()},
        "rounds": options.rounds, "repeats": options.repeats,
    }


def write(options, rows, record):
    os.makedirs(options.out, exist_ok=True)
    with open(os.path.join(options.out, "measurements.csv"), "w", newline="") as file:
        writer = csv.DictWriter(file, options.columns)
        writer.writeheader()
        writer.writerows(rows)
    with open(os.path.join(options.out, "environment.json"), "w") as file:
        json.dump(record, file, indent=2)
        file.write("\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--attnlab", default=".build/release/attnlab")
    parser.add_argument("--out", default="results/peers")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", default="", help="experiments with these names, separated by commas")
    parser.add_argument("--pass", dest="direction", default="", help="forward or backward alone")
    options = parser.parse_args()
    options.columns = columns(options.attnlab)
    peers.prepare(options.threads)
    chosen = [name for name in options.only.split(",") if name]
    doctor = json.loads(subprocess.run([options.attnlab, "doctor", "--threads", str(options.threads), "--json"],
                                       capture_output=True, text=True, check=True).stdout)
    path = os.path.join(options.out, "measurements.csv")
    rows = list(csv.DictReader(open(path, newline=""))) if os.path.exists(path) else []
    for experiment, shape, passes, (variant, settings), name, make in experiments():
        if chosen and experiment not in chosen:
            continue
        for direction in passes:
            if options.direction and direction != options.direction:
                continue
            pair = compare(options, shape, direction, variant, settings, name, make, doctor["peak_gflops"])
            for row in pair:
                row.update(preset="peers", experiment=experiment)
            report(experiment, *pair)
            same = ("experiment", "variant", "pass", "query_length", "key_length", "head_dim", "causal")
            measured = {tuple(str(row[column]) for column in same) for row in pair}
            rows = [row for row in rows if tuple(str(row[column]) for column in same) not in measured] + list(pair)
            write(options, rows, environment(options, doctor))


if __name__ == "__main__":
    main()
