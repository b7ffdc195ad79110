#!/usr/bin/env python3
"""Compares attnlab with Hugging Face transformers on small checkpoints of decoders, as transformers saves them.

    swift build -c release --product attnlab
    python Experiments/peers/compare_checkpoints.py [--attnlab .build/release/attnlab] [--only WORD]

Every case makes a model with random weights from a configuration (nothing is downloaded), saves it as transformers does, and compares
what `attnlab forward`, `swap` and `generate` make of the folder: logits (limit 1e-4, relative in the Euclidean norm; transformers runs in
float64, but for norms and softmax that most families do in float32), the loss, the gradient of every parameter (limit 1e-4), and the
tokens that both continue a prompt with greedily, ours with and without a cache. `swap` to other attention must move the logits.

`--fixtures FOLDER` writes the checkpoints of the Swift tests instead, each with transformers' answers beside it.

Tried with transformers 5.24.0 and torch 2.15. Prints a line a case; exit code 1 when a limit is passed or a token differs.
"""
import argparse, json, os, shutil, subprocess, sys, tempfile
from copy import deepcopy as copy_of
import numpy as np
import torch
import torch.nn.functional as F
import transformers
from compare_recurrent_layers import in_double as code_in_double
from compare_transformer import read_safetensors

LIMIT = 1e-4
LENGTH = 41

# Sizes that all cases share; a head is not as wide as width/heads, and four heads share one of keys.
COMMON = dict(vocab_size=61, hidden_size=24, intermediate_size=20, num_hidden_layers=3, num_attention_heads=4,
              num_key_value_heads=1, head_dim=10, max_position_embeddings=64, bos_token_id=None, eos_token_id=None,
              pad_token_id=None, attn_implementation="eager")
# What families without these heads have in their place.
LATENT = dict(head_dim=None, num_key_value_heads=4, kv_lora_rank=14, qk_rope_head_dim=4, qk_nope_head_dim=8, v_head_dim=8,
              moe_intermediate_size=12, num_experts_per_tok=3, experts_implementation="eager")
OWN = {
    "GptOss": dict(num_local_experts=6, num_experts_per_tok=2, sliding_window=6, experts_implementation="eager"),
    "DeepseekV3": dict(LATENT, q_lora_rank=None, n_routed_experts=8, n_group=4, topk_group=2, first_k_dense_replace=1, num_mtp_layers=0),
    "Mamba2": dict(num_heads=6, head_dim=8, state_size=10, n_groups=2, expand=2, chunk_size=16, intermediate_size=None,
                   num_attention_heads=None, num_key_value_heads=None, max_position_embeddings=None),
    "Qwen3Next": dict(head_dim=8, num_key_value_heads=2, linear_key_head_dim=6, linear_value_head_dim=10, linear_num_key_heads=2,
                      linear_num_value_heads=4, moe_intermediate_size=12, shared_expert_intermediate_size=14, num_experts=6,
                      num_experts_per_tok=2, num_hidden_layers=4, experts_implementation="eager"),
    "KimiLinear": dict(LATENT, num_local_experts=6, linear_head_dim=8, linear_num_heads=3, num_hidden_layers=5,
                       routed_scaling_factor=1.7),
}


def rope(kind, **more): return {"rope_parameters": {"rope_type": kind, "rope_theta": 1000.0, **more}}


def cases():
    """Title, class of transformers, changes to the common configuration, how it is saved."""
    yield "llama", "Llama", {}, {}
    yield "llama tied, biases, 2 heads of keys", "Llama", dict(
        tie_word_embeddings=True, attention_bias=True, mlp_bias=True, num_key_value_heads=2), {}
    yield "llama width/heads, as many heads of keys", "Llama", dict(head_dim=6, num_key_value_heads=4), {}
    yield "llama linear", "Llama", rope("linear", factor=4.0), {}
    yield "llama dynamic, longer than before", "Llama", dict(max_position_embeddings=16, **rope("dynamic", factor=2.0)), {}
    yield "llama dynamic, not longer", "Llama", rope("dynamic", factor=2.0), {}
    yield "llama yarn", "Llama", rope("yarn", factor=8.0, original_max_position_embeddings=16), {}
    yield "llama yarn, mscale, no whole pairs", "Llama", rope(
        "yarn", factor=8.0, original_max_position_embeddings=16, mscale=0.7, mscale_all_dim=0.4, beta_fast=8.0, beta_slow=2.0,
        truncate=False), {}
    yield "llama3", "Llama", rope(
        "llama3", factor=8.0, original_max_position_embeddings=16, low_freq_factor=1.0, high_freq_factor=4.0), {}
    yield "llama in bfloat16", "Llama", {}, {"dtype": torch.bfloat16}
    yield "llama in shards", "Llama", {}, {"max_shard_size": "9KB"}
    yield "mistral", "Mistral", dict(sliding_window=7), {}
    yield "mistral without a window", "Mistral", dict(sliding_window=None), {}
    yield "qwen2", "Qwen2", dict(head_dim=6, tie_word_embeddings=True), {}
    yield "qwen2, windows above", "Qwen2", dict(head_dim=6, use_sliding_window=True, sliding_window=5, max_window_layers=1), {}
    yield "qwen3", "Qwen3", {}, {}
    yield "qwen3 yarn, biases, windows by layer_types", "Qwen3", dict(
        attention_bias=True, use_sliding_window=True, sliding_window=6,
        layer_types=["sliding_attention", "full_attention", "sliding_attention"],
        **rope("yarn", factor=4.0, original_max_position_embeddings=16)), {}
    yield "gemma", "Gemma", {}, {}
    yield "gemma2", "Gemma2", dict(
        sliding_window=6, query_pre_attn_scalar=13, attn_logit_softcapping=2.0, final_logit_softcapping=3.0), {}
    yield "gemma2 without caps", "Gemma2", dict(
        sliding_window=6, attn_logit_softcapping=None, final_logit_softcapping=None, tie_word_embeddings=False), {}
    yield "gemma3", "Gemma3", dict(
        num_hidden_layers=4, sliding_window=6, query_pre_attn_scalar=13,
        layer_types=["sliding_attention", "sliding_attention", "sliding_attention", "full_attention"]), {}
    yield "gemma3, far layers stretched, capped", "Gemma3", dict(
        sliding_window=6, final_logit_softcapping=4.0, layer_types=["sliding_attention", "full_attention", "sliding_attention"],
        rope_parameters={"full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1e6},
                         "sliding_attention": {"rope_type": "default", "rope_theta": 1e4}}), {}
    yield "gpt_oss", "GptOss", {}, {}
    yield "gpt_oss, cut off early, plain positions", "GptOss", dict(
        swiglu_limit=0.5, swiglu_alpha=1.1, tie_word_embeddings=True, **rope("default")), {}
    yield "gpt_oss in shards", "GptOss", {}, {"max_shard_size": "30KB"}
    yield "mamba2", "Mamba2", {}, {}
    yield "mamba2, one group, biases", "Mamba2", dict(
        n_groups=1, use_bias=True, use_conv_bias=False, tie_word_embeddings=True, conv_kernel=3), {}
    yield "deepseek_v3", "DeepseekV3", {}, {}
    yield "deepseek_v3, latent queries, values of 6", "DeepseekV3", dict(
        q_lora_rank=9, v_head_dim=6, attention_bias=True, rope_interleave=False, n_shared_experts=2, norm_topk_prob=False), {}
    yield "deepseek_v3 yarn", "DeepseekV3", dict(rms_norm_eps=1e-5, **rope(
        "yarn", factor=8.0, original_max_position_embeddings=16, mscale=1.0, mscale_all_dim=0.6)), {}
    yield "qwen3_next", "Qwen3Next", {}, {}
    yield "qwen3_next, dense layers, half turned", "Qwen3Next", dict(
        linear_num_key_heads=4, mlp_only_layers=[1], decoder_sparse_step=2, norm_topk_prob=False,
        layer_types=["full_attention", "linear_attention", "full_attention", "linear_attention"],
        rope_parameters={"rope_type": "default", "rope_theta": 1000.0, "partial_rotary_factor": 0.5}), {}
    yield "kimi_linear", "KimiLinear", {}, {}
    yield "kimi_linear, values of 6, groups", "KimiLinear", dict(
        v_head_dim=6, n_group=3, topk_group=2, num_hidden_layers=2, layer_types=["full_attention", "linear_attention"],
        mlp_layer_types=["sparse", "dense"]), {}


def net(family, changes, seed=3):
    """A model with weights that are drawn wide enough to matter."""
    torch.manual_seed(seed)
    name = family + ("Text" if family == "Gemma3" else "")
    settings = {**COMMON, **OWN.get(family, {}), **changes}
    config = getattr(transformers, name + "Config")(**{k: v for k, v in settings.items() if v is not None or k in (
        "sliding_window", "attn_logit_softcapping", "final_logit_softcapping", "q_lora_rank", "bos_token_id", "eos_token_id",
        "pad_token_id")})
    model = getattr(transformers, family + "ForCausalLM")(config).float().eval()
    centred = family.startswith("Gemma") or family == "Qwen3Next"
    with torch.no_grad():
        for name, p in list(model.named_parameters()) + [x for x in model.named_buffers() if "correction" in x[0]]:
            scale = 0.2 if p.ndim == 1 or "A_log" in name or "conv" in name else 1.3 * p.shape[-1] ** -0.5
            around = 1.0 if "norm" in name and (not centred or "linear_attn" in name) or name.endswith(".D") else 0.0
            p.copy_(scale * torch.randn(p.shape) + around)
    return model


def in_double(family, model):
    """The same model in float64; of families with recurrences and sigmoid routers from code that asks for no other arithmetic."""
    if family not in ("Mamba2", "DeepseekV3", "Qwen3Next", "KimiLinear"): return model.double()
    exact = getattr(code_in_double(model.config.model_type), family + "ForCausalLM")(model.config).double().eval()
    exact.load_state_dict(model.state_dict())
    return exact


def heads_of(x, *widths):
    """Rows of groups of rows, cut in parts, those of a part below each other."""
    groups = x.shape[0] // sum(widths)
    return [part.reshape(groups * width, *x.shape[1:]) for part, width in zip(x.view(groups, sum(widths), *x.shape[1:]).split(widths, 1), widths)]


def experts(prefix, rest, x, family):
    """Those of one tensor of all experts."""
    result = {}
    for e in range(x.shape[0]):
        own = f"{prefix}feedForward.experts.{e}."
        if family == "GptOss":
            kind = "bias" if rest.endswith("bias") else "weight"
            if "gate_up" in rest:
                for mine, part in [("gate", x[e][..., 0::2]), ("up", x[e][..., 1::2])]: result[f"{own}{mine}.{kind}"] = part.movedim(0, -1)
            else: result[f"{own}outer.{kind}"] = x[e].movedim(0, -1)
        elif "gate_up" in rest: result[own + "gate.weight"], result[own + "up.weight"] = x[e].chunk(2)
        else: result[own + "outer.weight"] = x[e]
    return result


def ours(family, tensors, config):
    """Gradients by our names, from theirs."""
    result = {}
    sandwich = family in ("Gemma2", "Gemma3")
    names = {
        "input_layernorm.weight": "attention.norm.weight",
        "post_attention_layernorm.weight": "attention.outputNorm.weight" if sandwich else "feedForward.norm.weight",
        "pre_feedforward_layernorm.weight": "feedForward.norm.weight",
        "post_feedforward_layernorm.weight": "feedForward.outputNorm.weight",
        "self_attn.q_norm.weight": "attention.queryHeadNorm.weight", "self_attn.k_norm.weight": "attention.keyHeadNorm.weight",
        "self_attn.sinks": "attention.sink_logit", "self_attn.q_a_layernorm.weight": "attention.queryNorm.weight",
        "self_attn.kv_a_layernorm.weight": "attention.latentNorm.weight", "mlp.shared_expert_gate.weight": "feedForward.shared.scale.weight",
        "self_attn.b_proj.weight": "attention.writing.weight", "self_attn.forget_gate.dt_bias": "attention.step_bias",
        "self_attn.forget_gate.A_log": "attention.decay_rate", "self_attn.o_norm.weight": "attention.gateNorm.weight",
        "norm.weight": "attention.norm.weight"}
    for layer in ("linear_attn", "mixer"):
        for theirs, mine in [("A_log", "decay_rate"), ("dt_bias", "step_bias"), ("D", "skip_factor"), ("norm.weight", "gateNorm.weight"),
                             ("out_proj.weight", "output.weight"), ("out_proj.bias", "output.bias")]:
            names[f"{layer}.{theirs}"] = "attention." + mine
    for kind in ("weight", "bias"):
        names[f"mlp.router.{kind}"] = names[f"mlp.gate.{kind}"] = f"feedForward.router.{kind}"
        names[f"self_attn.q_a_proj.{kind}"] = f"attention.queryLatent.{kind}"
        for mine, code in [("query", "q"), ("key", "k"), ("value", "v"), ("output", "o")]:
            names[f"self_attn.{code}_proj.{kind}"] = f"attention.{mine}.{kind}"
        for mine, code in [("gate", "gate"), ("up", "up"), ("outer", "down")]:
            names[f"mlp.{code}_proj.{kind}"] = f"feedForward.{mine}.{kind}"
            for shared in ("shared_expert", "shared_experts"): names[f"mlp.{shared}.{code}_proj.{kind}"] = f"feedForward.shared.{mine}.{kind}"
    ends = {"model.embed_tokens.weight": "embedding.weight", "model.norm.weight": "decoder.norm.weight", "lm_head.weight": "output.weight",
            "backbone.embeddings.weight": "embedding.weight", "backbone.norm_f.weight": "decoder.norm.weight"}
    for name, x in tensors.items():
        if name in ends:
            result[ends[name]] = x
            continue
        _, _, layer, rest = name.split(".", 3)
        prefix = f"decoder.layers.{layer}."
        def put(**parts): result.update({prefix + "attention." + mine.replace("_", "."): part for mine, part in parts.items()})
        if rest.startswith("mlp.experts."): result.update(experts(prefix, rest, x, family))
        elif rest in ("self_attn.q_b_proj.weight", "self_attn.q_proj.weight") and family in ("DeepseekV3", "KimiLinear") and (
                family == "DeepseekV3" or config.layer_types[int(layer)] == "full_attention"):
            query, rope = heads_of(x, config.qk_nope_head_dim, config.qk_rope_head_dim)
            put(query_weight=query, queryRope_weight=rope)
        elif rest.startswith("self_attn.kv_a_proj_with_mqa"):
            latent, rope = x.split([config.kv_lora_rank, config.qk_rope_head_dim])
            kind = rest.split(".")[-1]
            put(**{f"latent_{kind}": latent, f"keyRope_{kind}": rope})
        elif rest == "self_attn.kv_b_proj.weight":
            key, value = heads_of(x, config.qk_nope_head_dim, config.v_head_dim)
            put(key_weight=key, value_weight=value)
        elif rest.startswith("self_attn.q_proj") and family == "Qwen3Next":
            query, gate = heads_of(x, config.head_dim, config.head_dim)
            put(query_weight=query, gate_weight=gate)
        elif rest == "linear_attn.in_proj_qkvz.weight":
            value = config.linear_num_value_heads // config.linear_num_key_heads * config.linear_value_head_dim
            q, k, v, z = heads_of(x, config.linear_key_head_dim, config.linear_key_head_dim, value, value)
            put(query_weight=q, key_weight=k, value_weight=v, gate_weight=z)
        elif rest == "linear_attn.in_proj_ba.weight":
            each = config.linear_num_value_heads // config.linear_num_key_heads
            b, a = heads_of(x, each, each)
            put(writing_weight=b, step_weight=a)
        elif rest in ("linear_attn.conv1d.weight", "self_attn.conv1d.weight"): put(convolution_weight=x[:, 0].T)
        elif rest.startswith("mixer.in_proj"):
            inner, keys = config.num_heads * config.head_dim, config.n_groups * config.state_size
            kind = rest.split(".")[-1]
            parts = x.split([inner, inner, keys, keys, config.num_heads])
            put(**{f"{mine}_{kind}": part for mine, part in zip(["gate", "value", "key", "query", "step"], parts)})
        elif rest.startswith("mixer.conv1d"):
            inner, keys = config.num_heads * config.head_dim, config.n_groups * config.state_size
            v, k, q = x.split([inner, keys, keys])
            whole = torch.cat([q, k, v])
            put(**{"convolution_" + rest.split(".")[-1]: whole[:, 0].T if whole.ndim == 3 else whole})
        # Ours is the product of both.
        elif rest.split(".")[-2] in ("f_a_proj", "f_b_proj", "g_a_proj", "g_b_proj"): pass
        else: result[prefix + names[rest]] = x
    return result


def distance(a, b): return (a.double() - b.double()).norm().item() / max(b.double().norm().item(), 1e-30)


def save(model, path, options):
    copy = model
    if "dtype" in options:
        with torch.no_grad():
            for p in model.parameters(): p.copy_(p.to(options["dtype"]).float())
        # Angles of rotary positions stay as they are.
        copy = copy_of(model).to(options["dtype"])
    copy.save_pretrained(path, **{k: v for k, v in options.items() if k == "max_shard_size"})


def compare(attnlab, title, family, changes, options):
    model = net(family, changes)
    generator = torch.Generator().manual_seed(11)
    tokens = torch.randint(0, 61, (2, LENGTH), generator=generator)
    targets = torch.randint(0, 61, (2, LENGTH), generator=generator)
    targets[torch.rand(2, LENGTH, generator=generator) < 0.2] = -100
    prompt, count = tokens[:1, :9], 16
    with tempfile.TemporaryDirectory() as folder:
        at = lambda name: os.path.join(folder, name)
        save(model, at("m"), options)
        if options.get("max_shard_size"):
            assert os.path.exists(at("m/model.safetensors.index.json")), "one shard only"
        model = in_double(family, model)
        logits = model(tokens, use_cache=False).logits
        loss = F.cross_entropy(logits.reshape(-1, 61), targets.reshape(-1), ignore_index=-100)
        loss.backward()
        wanted = ours(family, {name: p.grad for name, p in model.named_parameters() if p.grad is not None}, model.config)
        with torch.no_grad():
            theirs = model.generate(prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=count, do_sample=False,
                                    pad_token_id=0, use_cache=True)[0, 9:]
        for name, x in [("t", tokens), ("y", targets), ("p", prompt)]: np.save(at(name + ".npy"), x.numpy().astype(np.int32))

        def run(*words):
            result = subprocess.run([attnlab, *words, "--checkpoint", at("m"), "--json"], capture_output=True, text=True)
            if result.returncode != 0: raise RuntimeError(result.stderr.strip())
            return json.loads(result.stdout)

        found = run("forward", "--tokens", at("t.npy"), "--targets", at("y.npy"), "--logits", at("l.npy"), "--grads",
                    at("g.safetensors"), "--loss")
        mine, gradients = torch.from_numpy(np.load(at("l.npy"))), read_safetensors(at("g.safetensors"))
        run("generate", "--tokens", at("p.npy"), "--count", str(count), "--out", at("o.npy"))
        made = torch.from_numpy(np.load(at("o.npy")))[0]
        run("generate", "--tokens", at("p.npy"), "--count", str(count), "--out", at("o.npy"), "--no-cache")
        again = torch.from_numpy(np.load(at("o.npy")))[0]
        # Layers of attention are replaced; recurrences have other maps.
        kept = {"Qwen3Next": "linear_attention", "KimiLinear": "linear_attention"}.get(family)
        layers = [l for l, kind in enumerate(getattr(model.config, "layer_types", None) or []) if kind != kept] if kept else []
        words = ["--variant", "mamba2", "--set", "skip=false"] if family == "Mamba2" else ["--variant", "chunked", "--set", "chunk=8"]
        swap = run("swap", *words, *(["--layers", ",".join(map(str, layers))] if layers else []), "--tokens", at("t.npy"))
    # A correction has no gradient; the two maps of Kimi's gates are one here.
    missing = {n for n in set(wanted) ^ set(gradients) if not n.endswith("router.correction") and not (
        family == "KimiLinear" and (n.endswith("step.weight") or n.endswith("attention.gate.weight")))}
    worst, name = max((distance(gradients[n].reshape(-1), x.reshape(-1)), n) for n, x in wanted.items() if n in gradients and x.norm() > 0)
    errors = [distance(mine, logits.detach()), abs(found["loss"] - loss.item()) / loss.item(), worst]
    largest = (mine - logits.detach()).abs().max().item()
    # Rotary positions that go by length turn kept keys as they were when they were read.
    same = bool((made == theirs).all()) and ("dynamic, longer" in title or bool((again == theirs).all()))
    good = max(errors) <= LIMIT and same and not missing and swap["logits_error"] > 0
    print("%s %-46s logits %.1e (largest difference %.1e)  loss %.1e  gradients %.1e (%s)  tokens %s%s" % (
        "ok  " if good else "FAIL", title, errors[0], largest, errors[1], worst, name, "the same" if same else "DIFFER",
        f"  not compared: {sorted(missing)}" if missing else ""), flush=True)
    return good


def fixtures(folder):
    tiny = dict(vocab_size=13, hidden_size=8, intermediate_size=6, num_hidden_layers=2, head_dim=4, max_position_embeddings=32)
    latent = dict(head_dim=None, kv_lora_rank=6, qk_rope_head_dim=2, qk_nope_head_dim=4, v_head_dim=3, moe_intermediate_size=4,
                  num_attention_heads=2, num_key_value_heads=2, num_experts_per_tok=2)
    small = {
        "gpt_oss": dict(num_local_experts=3, intermediate_size=4, sliding_window=3), "mamba2": dict(head_dim=4, num_heads=4, state_size=3),
        "deepseek_v3": dict(latent, n_routed_experts=4, n_group=2, topk_group=1),
        "qwen3_next": dict(head_dim=8, num_attention_heads=2, num_key_value_heads=1, linear_key_head_dim=3, linear_value_head_dim=2,
                           moe_intermediate_size=4, shared_expert_intermediate_size=3, num_experts=3,
                           layer_types=["linear_attention", "full_attention"]),
        "kimi_linear": dict(latent, num_local_experts=4, num_experts_per_tok=2, linear_head_dim=4, linear_num_heads=2,
                            layer_types=["linear_attention", "full_attention"])}
    chosen = {"llama": "llama3", "mistral": "mistral", "qwen2": "qwen2", "qwen3": "qwen3 yarn, biases, windows by layer_types",
              "gemma": "gemma", "gemma2": "gemma2", "gemma3_text": "gemma3, far layers stretched, capped", "gpt_oss": "gpt_oss",
              "mamba2": "mamba2", "deepseek_v3": "deepseek_v3", "qwen3_next": "qwen3_next", "kimi_linear": "kimi_linear"}
    by_title = {title: rest for title, *rest in cases()}
    for name, title in chosen.items():
        family, changes, options = by_title[title]
        own = {**changes, **tiny, **small.get(name, {})}
        if family == "Qwen2": own["head_dim"] = 2
        if family == "Mamba2": own["intermediate_size"] = own["max_position_embeddings"] = None
        if "layer_types" in own: own["layer_types"] = own["layer_types"][-2:]
        model = net(family, own)
        path = os.path.join(folder, name)
        shutil.rmtree(path, ignore_errors=True)
        more = {"dtype": torch.bfloat16} if name == "mistral" else {"max_shard_size": "3KB"} if name == "qwen2" else {}
        save(model, path, {**options, **more})
        tokens = torch.randint(0, 13, (2, 9), generator=torch.Generator().manual_seed(1))
        model = model.double()
        with torch.no_grad():
            logits = model(tokens, use_cache=False).logits
            made = model.generate(tokens[:1, :4], attention_mask=torch.ones(1, 4, dtype=torch.long), max_new_tokens=8,
                                  do_sample=False, pad_token_id=0)[:, 4:]
        from safetensors.numpy import save_file
        save_file({"tokens": tokens.numpy(), "logits": logits.float().numpy(), "made": made.numpy()}, path + "/answers.safetensors")
        for extra in ["generation_config.json"]:
            if os.path.exists(f"{path}/{extra}"): os.remove(f"{path}/{extra}")
        print(name, sum(os.path.getsize(os.path.join(path, f)) for f in os.listdir(path)), "bytes")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--attnlab", default=".build/release/attnlab")
    parser.add_argument("--only", default="", help="cases whose title has this word")
    parser.add_argument("--fixtures", metavar="FOLDER", help="write the checkpoints of the Swift tests, and end")
    options = parser.parse_args()
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    if options.fixtures: return fixtures(options.fixtures)
    print(f"transformers {transformers.__version__}, torch {torch.__version__}; 2 x {LENGTH} tokens")
    bad = 0
    for title, family, changes, how in cases():
        if options.only not in title: continue
        try: good = compare(options.attnlab, title, family, changes, how)
        except RuntimeError as error:
            good = False
            print("FAIL", title + ":", error, flush=True)
        bad += not good
    print("all within bounds" if not bad else f"{bad} outside their bounds")
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
