#!/usr/bin/env python3
"""Time PyTorch and Hugging Face attention and this lab's, interleaved, on the same shapes and threads.

    python Experiments/peers/time_peers.py [--attnlab .build/release/attnlab] [--out results/peers] [--threads N]
        [--flex]

Each round measures every contender once for every shape: the lab's through `attnlab measure --json` (median of its
own repeats), the peers' here (median of as many). Rows have the columns of measurements.csv, with the peer's name as
the variant; peers have no error figure. Needs torch, transformers and numpy; --flex adds compiled FlexAttention (a C++ compiler; the compile takes
half a minute and is not counted). Then: attnlab compare results/peers/measurements.csv
"""

import argparse
import csv
import datetime
import json
import os
import statistics
import subprocess
import time

import torch
import torch.nn.functional as F

COLUMNS = ("preset,experiment,variant,configuration,pass,batch,query_heads,key_heads,query_length,key_length,head_dim,"
           "value_dim,causal,threads,isa,input,seed,status,reason,repeats,seconds_median,seconds_p20,seconds_p80,"
           "flops,gflops,fraction_of_peak,density,plan_seconds,plan_bytes,workspace_bytes,peak_rss_bytes,"
           "predicted_bytes,error_rel,cell_id,started_at,memory_bytes").split(",")


def median_time(body, repeats):
    body()
    samples = []
    for _ in range(repeats):
        start = time.perf_counter()
        body()
        samples.append(time.perf_counter() - start)
    return samples


def draws(heads, n, d, gradient=False):
    return [torch.randn(1, heads, n, d, requires_grad=gradient) for _ in range(3)]


def sdpa(heads, n, d, causal, direction):
    q, k, v = draws(heads, n, d, direction == "backward")
    if direction == "forward":
        def body():
            with torch.no_grad():
                F.scaled_dot_product_attention(q, k, v, is_causal=causal)
        return body
    out = F.scaled_dot_product_attention(q, k, v, is_causal=causal)
    g = torch.randn_like(out)
    return lambda: torch.autograd.grad(out, (q, k, v), g, retain_graph=True)


def flex(heads, n, d, window):
    from torch.nn.attention.flex_attention import create_block_mask, flex_attention
    q, k, v = draws(heads, n, d)
    mask = create_block_mask(lambda b, h, i, j: (i - j).abs() <= window, None, None, n, n, device="cpu")
    compiled = torch.compile(flex_attention)

    def body():
        with torch.no_grad():
            compiled(q, k, v, block_mask=mask)
    return body


def longformer(heads, n, d, window):
    """The self-attention of a Longformer layer without its projections' biases: projections are part of the layer."""
    from transformers import LongformerConfig
    from transformers.models.longformer.modeling_longformer import LongformerSelfAttention
    config = LongformerConfig(hidden_size=heads * d, num_attention_heads=heads, attention_window=[2 * window],
                              attention_probs_dropout_prob=0.0)
    layer = LongformerSelfAttention(config, layer_id=0).eval()
    x = torch.randn(1, n, heads * d)
    mask = torch.zeros(1, n)
    flags = torch.zeros(1, n, dtype=torch.bool)

    def body():
        with torch.no_grad():
            layer(x, attention_mask=mask, is_index_masked=flags, is_index_global_attn=flags, is_global_attn=False)
    return body


def bigbird(heads, n, d):
    from transformers import BigBirdConfig
    from transformers.models.big_bird.modeling_big_bird import BigBirdBlockSparseAttention, BigBirdModel
    config = BigBirdConfig(hidden_size=heads * d, num_attention_heads=heads, block_size=64, num_random_blocks=3,
                           max_position_embeddings=n)
    layer = BigBirdBlockSparseAttention(config, seed=0).eval()
    x = torch.randn(1, n, heads * d)
    blocked, band, source, target = BigBirdModel.create_masks_for_block_sparse_attn(torch.ones(1, n), 64)

    def body():
        with torch.no_grad():
            layer(x, band_mask=band, from_mask=source, to_mask=target, from_blocked_mask=blocked,
                  to_blocked_mask=blocked)
    return body


def reformer(heads, n, d, hashes):
    from transformers import ReformerConfig
    from transformers.models.reformer.modeling_reformer import LSHSelfAttention
    config = ReformerConfig(hidden_size=heads * d, num_attention_heads=heads, attention_head_size=d,
                            num_buckets=n // 32, num_hashes=hashes, lsh_attn_chunk_length=64, is_decoder=False,
                            lsh_num_chunks_before=1, lsh_num_chunks_after=0, axial_pos_embds=False,
                            max_position_embeddings=n)
    layer = LSHSelfAttention(config).eval()
    x = torch.randn(1, n, heads * d)

    def body():
        with torch.no_grad():
            layer(x, num_hashes=hashes)
    return body


def contenders(options):
    """(experiment, shape, ours: variant and settings, peers: name → maker)"""
    for direction in ("forward", "backward"):
        for d in (64, 128):
            for causal in (False, True):
                yield ("sdpa", dict(heads=4, n=4096, d=d, causal=causal, direction=direction), ("full", []),
                       {"torch-sdpa": lambda d=d, c=causal, p=direction: sdpa(4, 4096, d, c, p)})
    window = dict(heads=8, n=16384, d=64, causal=False, direction="forward")
    if options.flex:
        yield ("flex", window, ("sliding-window", ["left=256", "right=256"]),
               {"torch-flex": lambda: flex(8, 16384, 64, 256)})
    layer = dict(heads=8, n=4096, d=64, causal=False, direction="forward")
    yield ("longformer", layer, ("sliding-window", ["left=256", "right=256"]),
           {"hf-longformer": lambda: longformer(8, 4096, 64, 256)})
    yield ("bigbird", layer, ("random-sparse", ["blockSize=64", "randomBlocks=3"]),
           {"hf-bigbird": lambda: bigbird(8, 4096, 64)})
    for hashes in (1, 4):
        yield (f"reformer-{hashes}", layer, ("lsh", ["chunk=64", f"hashes={hashes}"]),
               {"hf-reformer": lambda h=hashes: reformer(8, 4096, 64, h)})


def row(experiment, shape, variant, threads, samples=None, status="ok", reason=""):
    values = dict.fromkeys(COLUMNS, "")
    values.update(preset="peers", experiment=experiment, variant=variant, batch=1, query_heads=shape["heads"],
                  key_heads=shape["heads"], query_length=shape["n"], key_length=shape["n"], head_dim=shape["d"],
                  value_dim=shape["d"], causal=str(shape["causal"]).lower(), threads=threads, input="gaussian", seed=1,
                  status=status, reason=reason, cell_id=f"{experiment}-{variant}-{shape}",
                  started_at=datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"))
    values["pass"] = shape["direction"]
    if samples:
        ordered = sorted(samples)
        values.update(repeats=len(samples), seconds_median=statistics.median(samples),
                      seconds_p20=ordered[len(ordered) // 5], seconds_p80=ordered[-1 - len(ordered) // 5])
    return values


def ours(options, experiment, shape, variant, settings):
    command = [options.attnlab, "measure", variant, "--n", str(shape["n"]), "--heads", str(shape["heads"]),
               "--head-dim", str(shape["d"]), "--pass", shape["direction"], "--threads", str(options.threads),
               "--repeats", str(options.repeats), "--warmup", "1", "--json"]
    for setting in settings:
        command += ["--set", setting]
    if shape["causal"]:
        command.append("--causal")
    result = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    values = {name: "" if result.get(name) is None else result[name] for name in COLUMNS}
    values["causal"] = str(values["causal"]).lower()
    values.update(preset="peers", experiment=experiment)
    return values


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--attnlab", default=".build/release/attnlab")
    parser.add_argument("--out", default="results/peers")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--only", default="", help="experiments whose name starts with this")
    parser.add_argument("--flex", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(1)
    os.makedirs(options.out, exist_ok=True)
    with open(os.path.join(options.out, "measurements.csv"), "w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        for experiment, shape, (variant, settings), peers in contenders(options):
            if not experiment.startswith(options.only):
                continue
            mine = ours(options, experiment, shape, variant, settings)
            writer.writerow(mine)
            seconds = float(mine["seconds_median"])
            for name, make in peers.items():
                try:
                    samples = median_time(make(), options.repeats)
                    writer.writerow(row(experiment, shape, name, options.threads, samples))
                    peer = statistics.median(samples)
                    print(f"{experiment:12} {shape['direction']:8} n={shape['n']} d={shape['d']} "
                          f"causal={shape['causal']!s:5} {name} {peer * 1e3:8.1f} ms, {variant} {seconds * 1e3:8.1f} ms: "
                          f"{peer / seconds:.2f} x", flush=True)
                except Exception as error:  # a peer that does not run is a row that says why
                    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
                    writer.writerow(row(experiment, shape, name, options.threads, status="error", reason=reason))
                    print(f"{experiment}: {name} failed: {reason}", flush=True)
            file.flush()


if __name__ == "__main__":
    main()
