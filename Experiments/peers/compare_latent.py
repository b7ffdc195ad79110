#!/usr/bin/env python3
"""Compares attnlab's models with latent rows (MLA) with DeepSeek's in Hugging Face transformers, on the same weights.

Whole models, in float64 there: logits, loss and the gradient of every parameter (limit 1e-5, relative in the Euclidean norm), then
what both generate greedily from a prompt, theirs with its cache of latents, ours absorbed, and the bytes of both caches.
DeepseekV3ForCausalLM with and without a queries' latent, interleaved and half-split rotary positions, biases; DeepseekV2ForCausalLM,
whose rotation is one of complex numbers. All its feed-forward layers are dense.

    swift build -c release --product attnlab
    python Experiments/peers/compare_latent.py --attnlab .build/release/attnlab

Tried with transformers 5.24.0 and torch 2.15. Exit code 1 when a limit is passed or a token differs.
"""
import argparse, json, os, subprocess, sys, tempfile
import numpy as np
import torch
import torch.nn.functional as F
import transformers
from compare_transformer import read_safetensors, write_safetensors

BASE = dict(kind="decoder", vocabulary=61, maximum_length=64, width=48, layers=2, heads=4, latent=20, query_latent=0, rope_width=8,
            hidden=40, attention="full", position="rope-interleaved", feed_forward="swiglu", norm="rms", residual="pre",
            epsilon=1e-6, bias=False, tied=False, scale_embedding=False, seed=1)


def net(c, family):
    """A model of transformers of these sizes, with weights that are drawn wide enough to matter."""
    torch.manual_seed(3)
    dim = c["width"] // c["heads"]
    sizes = dict(
        vocab_size=c["vocabulary"], hidden_size=c["width"], intermediate_size=c["hidden"], num_hidden_layers=c["layers"],
        num_attention_heads=c["heads"], num_key_value_heads=c["heads"], kv_lora_rank=c["latent"],
        q_lora_rank=c["query_latent"] or None, qk_rope_head_dim=c["rope_width"], qk_nope_head_dim=dim, v_head_dim=dim,
        first_k_dense_replace=c["layers"], n_routed_experts=2, n_group=1, topk_group=1, num_experts_per_tok=1,
        max_position_embeddings=c["maximum_length"], rms_norm_eps=c["epsilon"], bos_token_id=None, eos_token_id=None,
        attention_bias=c["bias"], attn_implementation="eager")
    if family == "V3":
        from transformers import DeepseekV3Config as Config, DeepseekV3ForCausalLM as Net
        sizes.update(rope_interleave=c["position"] == "rope-interleaved", num_mtp_layers=0)
    else:
        from transformers import DeepseekV2Config as Config, DeepseekV2ForCausalLM as Net
    model = Net(Config(**sizes)).double()
    with torch.no_grad():
        for name, p in model.named_parameters():
            scale = 0.1 if p.ndim == 1 else p.shape[-1] ** -0.5
            draw = scale * torch.randn(p.shape, dtype=torch.float64)
            # float32 numbers, as the file holds them.
            p.copy_((draw + (1.0 if "norm" in name else 0.0)).float())
    for module in model.modules():
        # Their norms go through float32.
        if type(module).__name__.endswith("RMSNorm"):
            def norm(x, m=module):
                return m.weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + m.variance_epsilon))
            module.forward = norm
    return model


def pairs(c, tensors):
    """Ours by name, from theirs (weights or gradients)."""
    d, r, heads, latent = c["width"] // c["heads"], c["rope_width"], c["heads"], c["latent"]
    ours = {"embedding.weight": tensors["model.embed_tokens.weight"], "output.weight": tensors["lm_head.weight"],
            "decoder.norm.weight": tensors["model.norm.weight"]}

    def heads_of(x, first, second):
        """Rows of every head, cut in two, the heads below each other."""
        a, b = x.view(heads, first + second, -1).split([first, second], 1)
        return a.reshape(heads * first, -1), b.reshape(heads * second, -1)

    for l in range(c["layers"]):
        h, n = f"model.layers.{l}.", f"decoder.layers.{l}."
        at, a = h + "self_attn.", n + "attention."
        wide = "q_b_proj" if c["query_latent"] else "q_proj"
        ours[a + "query.weight"], ours[a + "queryRope.weight"] = heads_of(tensors[at + wide + ".weight"], d, r)
        if c["query_latent"]:
            ours[a + "queryLatent.weight"] = tensors[at + "q_a_proj.weight"]
            ours[a + "queryNorm.weight"] = tensors[at + "q_a_layernorm.weight"]
            if c["bias"]: ours[a + "queryLatent.bias"] = tensors[at + "q_a_proj.bias"]
        ours[a + "latent.weight"], ours[a + "keyRope.weight"] = tensors[at + "kv_a_proj_with_mqa.weight"].split([latent, r])
        if c["bias"]:
            ours[a + "latent.bias"], ours[a + "keyRope.bias"] = tensors[at + "kv_a_proj_with_mqa.bias"].split([latent, r])
            ours[a + "output.bias"] = tensors[at + "o_proj.bias"]
        ours[a + "latentNorm.weight"] = tensors[at + "kv_a_layernorm.weight"]
        ours[a + "key.weight"], ours[a + "value.weight"] = heads_of(tensors[at + "kv_b_proj.weight"], d, d)
        ours[a + "output.weight"] = tensors[at + "o_proj.weight"]
        ours[a + "norm.weight"] = tensors[h + "input_layernorm.weight"]
        f = n + "feedForward."
        for mine, theirs in [("gate", "gate_proj"), ("up", "up_proj"), ("outer", "down_proj")]:
            ours[f + mine + ".weight"] = tensors[h + "mlp." + theirs + ".weight"]
            if c["bias"]: ours[f + mine + ".bias"] = torch.zeros(ours[f + mine + ".weight"].shape[0])
        ours[f + "norm.weight"] = tensors[h + "post_attention_layernorm.weight"]
    return ours


def distance(a, b): return (a.double() - b.double()).norm().item() / b.double().norm().item()


def cache_bytes(cache):
    """Elements of what the cache holds, as float32."""
    return sum(4 * t.numel() for layer in cache.layers for t in (layer.keys, layer.values))


def compare(attnlab, c, family):
    model = net(c, family)
    weights = pairs(c, dict(model.named_parameters()))
    generator = torch.Generator().manual_seed(11)
    tokens = torch.randint(0, c["vocabulary"], (2, 37), generator=generator)
    targets = torch.randint(0, c["vocabulary"], (2, 37), generator=generator)
    targets[torch.rand(2, 37, generator=generator) < 0.2] = -100
    logits = model(tokens, use_cache=False).logits
    loss = F.cross_entropy(logits.reshape(-1, c["vocabulary"]), targets.reshape(-1), ignore_index=-100)
    loss.backward()
    wanted = pairs(c, {name: p.grad for name, p in model.named_parameters()})
    prompt, count = tokens[:1, :9], 20
    with torch.no_grad():
        out = model.generate(prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=count, do_sample=False,
                             pad_token_id=0, return_dict_in_generate=True)
        theirs, held = out.sequences[0, 9:], cache_bytes(out.past_key_values)
    with tempfile.TemporaryDirectory() as folder:
        at = lambda name: os.path.join(folder, name)
        write_safetensors(at("m.safetensors"), weights, {"format": "attnlab", **{
            f"model.{k}": str(v).lower() if isinstance(v, bool) else str(v) for k, v in c.items()}})
        np.save(at("t.npy"), tokens.numpy().astype(np.int32))
        np.save(at("y.npy"), targets.numpy().astype(np.int32))
        np.save(at("p.npy"), prompt.numpy().astype(np.int32))

        def run(*words):
            result = subprocess.run([attnlab, *words, "--checkpoint", at("m.safetensors"), "--json"], check=True,
                                    capture_output=True, text=True)
            return json.loads(result.stdout)

        found = run("forward", "--tokens", at("t.npy"), "--targets", at("y.npy"), "--logits", at("l.npy"), "--grads",
                    at("g.safetensors"), "--loss")
        made = run("generate", "--tokens", at("p.npy"), "--count", str(count), "--out", at("o.npy"))
        ours, gradients = torch.from_numpy(np.load(at("l.npy"))), read_safetensors(at("g.safetensors"))
        own = torch.from_numpy(np.load(at("o.npy")))[0]
    assert set(wanted) == set(gradients), set(wanted) ^ set(gradients)
    # Their feed-forward layers have no biases: ours are 0, and their gradients have nothing beside them.
    judged = [n for n in wanted if not (".feedForward." in n and n.endswith("bias"))]
    errors = [distance(ours, logits.detach()), abs(found["loss"] - loss.item()) / loss.item(),
              max(distance(gradients[n], wanted[n]) for n in judged)]
    same = bool((own == theirs).all())
    ours_held = made["rows"][0]["cache_bytes"]
    print("  logits %.1e  loss %.1e  gradients %.1e  tokens %s  cache %d and %d bytes" % (
        *errors, "the same" if same else "DIFFER", ours_held, held))
    return max(*errors, 0 if same and ours_held == held else 1)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--attnlab", default=".build/release/attnlab")
    options = parser.parse_args()
    print(f"transformers {transformers.__version__}, torch {torch.__version__}, numpy {np.__version__}")
    cases = [("V3", {}), ("V3", {"query_latent": 28}), ("V3", {"position": "rope", "query_latent": 28}),
             ("V3", {"query_latent": 28, "bias": True}), ("V3", {"latent": 64, "rope_width": 2, "heads": 2}), ("V2", {}),
             ("V2", {"query_latent": 12})]
    worst = 0.0
    for family, changes in cases:
        print(f"DeepseekV{family[1]}: " + (", ".join(f"{k} {v}" for k, v in changes.items()) or "queries from the input"))
        worst = max(worst, compare(options.attnlab, {**BASE, **changes}, family))
    print(f"largest {worst:.1e}, limit 1e-5")
    sys.exit(worst > 1e-5)


if __name__ == "__main__":
    main()
