#!/usr/bin/env python3
"""Compares the variants' conventions with Hugging Face transformers, number by number.

Reformer (rotations given), Longformer (with its global projections), sliding-window masks, and BigBird's counting of blocks
that are met twice. Errors are max |ours − theirs| / max |theirs|. With --time, Reformer's layer against ours.

  python3 Experiments/peers/compare_transformers.py --attnlab .build/release/attnlab
"""
import argparse, json, os, subprocess, sys, tempfile, time
import numpy as np
import torch
from transformers import BigBirdConfig, LongformerConfig, ReformerConfig
from transformers.models.big_bird.modeling_big_bird import BigBirdBlockSparseAttention
from transformers.models.longformer.modeling_longformer import LongformerSelfAttention
from transformers.models.reformer.modeling_reformer import LSHSelfAttention

BOUND = 5e-6
results = []


def attnlab(*arguments):
    done = subprocess.run([ATTNLAB, *arguments], capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(done.stderr.strip() or done.stdout.strip())
    return done.stdout


def save(folder, **arrays):
    paths = {}
    for name, array in arrays.items():
        paths[name] = os.path.join(folder, name + ".npy")
        np.save(paths[name], np.ascontiguousarray(np.asarray(array, dtype=np.float32)))
    return paths


def record(name, ours, theirs, bound=BOUND):
    ours, theirs = np.asarray(ours, dtype=np.float64), np.asarray(theirs.detach(), dtype=np.float64)
    error = np.abs(ours - theirs).max() / np.abs(theirs).max()
    results.append((name, error, bound))
    print(f"{name:64} {error:9.2e}  {'ok' if error <= bound else 'BEYOND ' + str(bound)}")


def reformer_layer(heads, d, n, hashes, buckets, chunk, causal, dtype=torch.float64, seed=3):
    config = ReformerConfig(
        hidden_size=heads * d, num_attention_heads=heads, attention_head_size=d, num_hashes=hashes, num_buckets=buckets,
        lsh_attn_chunk_length=chunk, lsh_num_chunks_before=1, lsh_num_chunks_after=0, is_decoder=causal,
        max_position_embeddings=n, axial_pos_embds=False, lsh_attention_probs_dropout_prob=0.0, hash_seed=seed)
    layer = LSHSelfAttention(config).to(dtype).eval()
    return layer


def reformer(folder):
    for heads, d, n, hashes, buckets, chunk, causal in [
        (2, 16, 256, 1, 8, 32, False), (2, 16, 256, 4, 16, 32, False), (2, 24, 512, 4, 16, 64, True),
        (4, 64, 1024, 8, 32, 64, False), (2, 32, 512, 2, [4, 8], 64, True),
    ]:
        layer = reformer_layer(heads, d, n, hashes, buckets, chunk, causal)
        torch.manual_seed(11)
        hidden = torch.randn(1, n, heads * d, dtype=torch.float32).double().requires_grad_()
        split = lambda x: x.view(1, n, heads, d).transpose(1, 2)
        # The weights round in float32, so both sides start from the same numbers: q and v as they enter the attention.
        q = split(hidden @ layer.query_key.weight.T).detach().float().double()
        v = split(hidden @ layer.value.weight.T).detach().float().double()
        q.requires_grad_(), v.requires_grad_()
        join = lambda x: x.transpose(1, 2).reshape(1, n, heads * d)
        layer.query_key = torch.nn.Identity()
        layer.value = torch.nn.Identity()
        # One call takes one hidden state for both; give it q and slip v in.
        layer.value.forward = lambda _: join(v)
        output = layer(hidden_states=join(q)).hidden_states
        size = sum(buckets) if isinstance(buckets, list) else buckets
        torch.manual_seed(3)
        rotations = torch.randn(heads, d, hashes, size // 2, dtype=torch.float64)
        upstream = torch.randn(1, heads, n, d, dtype=torch.float32)
        paths = save(folder, q=q.detach(), v=v.detach(), R=rotations, do=upstream)
        out = {x: os.path.join(folder, x + ".npy") for x in ("o", "dq", "dv")}
        product = int(np.prod(buckets))
        attnlab("apply", "lsh", "--q", paths["q"], "--v", paths["v"], "--rotations", paths["R"], "--out", out["o"],
                "--grad-out", paths["do"], "--dq", out["dq"], "--dv", out["dv"], *(["--causal"] if causal else []),
                *[x for s in (f"buckets={product}", f"hashes={hashes}", f"chunk={chunk}", "circular=true",
                              f"factor_above={product - 1 if isinstance(buckets, list) else product}")
                  for x in ("--set", s)])
        name = f"reformer n={n} heads={heads} d={d} hashes={hashes} buckets={buckets}{' causal' if causal else ''}"
        record(name + " output", np.load(out["o"]), split(output))
        # Their norm adds 1e-6 under the root, and their backward recomputes the forward pass by a layer of its own.
        dq, dv = torch.autograd.grad(split(output), (q, v), upstream.double())
        record(name + " dv", np.load(out["dv"]), dv, 1e-5)
        record(name + " dq", np.load(out["dq"]), dq, 2e-5)


def longformer(folder):
    heads, d, n, window = 2, 16, 256, 32
    config = LongformerConfig(
        hidden_size=heads * d, num_attention_heads=heads, attention_window=[window], attention_probs_dropout_prob=0.0,
        num_hidden_layers=1)
    torch.manual_seed(5)
    layer = LongformerSelfAttention(config, layer_id=0).double().eval()
    for separate in (False, True):
        hidden = torch.randn(1, n, heads * d).double()
        if not separate:
            for name in ("query", "key", "value"):
                getattr(layer, name + "_global").load_state_dict(getattr(layer, name).state_dict())
        else:
            torch.manual_seed(6)
            for name in ("query", "key", "value"):
                getattr(layer, name + "_global").weight.data.normal_(0, 0.3)
        positions = [0, 1, 77, 200]
        mask = torch.zeros(1, n).double()
        mask[0, positions] = 10000.0
        is_global = mask > 0
        output = layer(hidden, attention_mask=mask, is_index_masked=mask < 0,
                       is_index_global_attn=is_global, is_global_attn=True, output_attentions=False)[0]
        split = lambda x: x.view(1, n, heads, d).transpose(1, 2).detach()
        arrays = {x: split(getattr(layer, name)(hidden)) for x, name in (("q", "query"), ("k", "key"), ("v", "value"))}
        arrays |= {"g" + x: split(getattr(layer, name + "_global")(hidden))
                   for x, name in (("q", "query"), ("k", "key"), ("v", "value"))}
        paths = save(folder, **arrays)
        out = os.path.join(folder, "o.npy")
        extra = [x for y in "qkv" for x in (f"--global-{y}", paths["g" + y])] if separate else []
        attnlab("apply", "local-global", "--q", paths["q"], "--k", paths["k"], "--v", paths["v"], "--out", out, *extra,
                "--set", f"left={window // 2}", "--set", f"right={window // 2}", "--set", "global_tokens=0", "--set",
                "global_positions=" + ",".join(map(str, positions)))
        record(f"longformer n={n} window={window}, {'separate' if separate else 'tied'} global projections",
               np.load(out), split(output))


def sliding(folder):
    from transformers.masking_utils import sliding_window_causal_mask_function
    n, window = 100, 16
    theirs = np.array([[bool(sliding_window_causal_mask_function(window)(0, 0, torch.tensor(i), torch.tensor(j)))
                        for j in range(n)] for i in range(n)])
    path = os.path.join(folder, "m.npy")
    attnlab("mask", "sliding-window", "--n", str(n), "--causal", "--set", f"left={window - 1}", "--out", path)
    record(f"sliding-window mask, causal, w = {window} is left = {window - 1}", np.load(path)[0], torch.tensor(theirs).double(), 0)


def bigbird(folder):
    """What BigBird's block-sparse layer computes is one softmax over global, window and random blocks, repeated ones counted
    as often as they are met: what `draws=google` means here by a multiplicity of 2."""
    heads, d, n, block = 2, 16, 1024, 64
    config = BigBirdConfig(hidden_size=heads * d, num_attention_heads=heads, block_size=block, num_random_blocks=3,
                           attention_type="block_sparse", attention_probs_dropout_prob=0.0, max_position_embeddings=4096)
    torch.manual_seed(1)
    layer = BigBirdBlockSparseAttention(config, seed=0).double().train()
    seen = []
    original = layer._bigbird_block_rand_mask
    layer._bigbird_block_rand_mask = lambda *a, **k: seen.append(original(*a, **k)) or seen[-1]
    hidden = torch.randn(1, n, heads * d).double()
    ones = torch.ones(1, n).double()
    blocked = ones.view(1, n // block, block)
    band = torch.einsum("blq,blk->blqk", blocked[:, 2:-2],
                        torch.cat([blocked[:, 1:-3], blocked[:, 2:-2], blocked[:, 3:-1]], dim=2)).unsqueeze(1)
    output = layer(hidden, band, ones.view(1, 1, n, 1), ones.view(1, 1, 1, n), blocked, blocked)[0]
    split = lambda x: x.view(1, n, heads, d).transpose(1, 2)
    q, k, v = (split(getattr(layer, x)(hidden)) for x in ("query", "key", "value"))
    count = n // block
    blocks = torch.zeros(heads, count, count).double()
    for head in range(heads):
        random = seen[head][: count - 2]
        for row in range(count):
            if row in (0, count - 1):
                blocks[head, row] = 1
                continue
            for column in {0, count - 1, row - 1, row, row + 1}:
                blocks[head, row, column] = 1
            for column in random[row - 1]:
                blocks[head, row, int(column)] += 1
    mask = blocks.repeat_interleave(block, 1).repeat_interleave(block, 2)
    weights = torch.softmax(q @ k.transpose(-1, -2) / d**0.5 + torch.log(mask), dim=-1)
    record("bigbird n=1024: blocks met twice count twice", (weights @ v).detach().numpy(), split(output), 1e-9)
    candidates = {int(x) for table in seen for row in table[: count - 2] for x in row}
    assert candidates <= set(range(1, 16)), candidates
    print("bigbird n=1024: random blocks", sorted(candidates), f"; {int((blocks > 1).sum())} blocks counted twice")


def times(folder):
    torch.set_num_threads(2)
    for heads, d, n, hashes in [(8, 64, 4096, 1), (8, 64, 4096, 4), (8, 64, 4096, 8)]:
        layer = reformer_layer(heads, d, n, hashes, 128, 64, False, torch.float32)
        hidden = torch.randn(1, n, heads * d)
        with torch.no_grad():
            layer(hidden_states=hidden)
            spent = []
            for _ in range(5):
                start = time.perf_counter()
                layer(hidden_states=hidden)
                spent.append(time.perf_counter() - start)
            projections = []
            for _ in range(5):
                start = time.perf_counter()
                layer.query_key(hidden), layer.value(hidden)
                projections.append(time.perf_counter() - start)
        theirs = sorted(spent)[2] - sorted(projections)[2]
        row = json.loads(attnlab("measure", "lsh", "--n", str(n), "--heads", str(heads), "--head-dim", str(d), "--set",
                                 f"hashes={hashes}", "--set", "buckets=128", "--set", "circular=true", "--json",
                                 "--peak-gflops", "100"))
        ours = row["seconds_median"]
        print(f"reformer n={n} heads={heads} d={d} hashes={hashes}: theirs {1e3 * theirs:.0f} ms without projections, "
              f"ours {1e3 * ours:.1f} ms, {theirs / ours:.1f} times faster")


def main():
    global ATTNLAB
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--attnlab", default=".build/release/attnlab")
    parser.add_argument("--time", action="store_true", help="measure instead of comparing")
    options = parser.parse_args()
    ATTNLAB = options.attnlab
    with tempfile.TemporaryDirectory() as folder:
        if options.time:
            times(folder)
            return
        for part in (reformer, longformer, sliding, bigbird):
            part(folder)
    sys.exit(1 if any(not error <= bound for _, error, bound in results) else 0)


if __name__ == "__main__":
    main()
