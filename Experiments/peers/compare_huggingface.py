#!/usr/bin/env python3
"""Compare `attnlab swap` with Hugging Face transformers on the same weights and tokens.

    python Experiments/peers/compare_huggingface.py [--attnlab .build/release/attnlab]

Makes small randomly initialised GPT-2, BERT, RoBERTa and DistilBERT checkpoints from configurations (nothing is
downloaded), saves them as transformers does, and compares hidden states, logits, divergences and losses, first with
the attention left as it is, then with a sliding window and with chunks, which transformers gets as an explicit mask.
Needs torch, transformers and numpy. Prints a line a comparison; exits 1 when one is outside its bound.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile

import numpy as np
import torch
import transformers
from transformers import (
    BertConfig, BertForMaskedLM, BertModel, DistilBertConfig, DistilBertForMaskedLM, GPT2Config, GPT2LMHeadModel,
    GPT2Model, RobertaConfig, RobertaForMaskedLM)

BOUND = 1e-5
VOCABULARY, BATCH, LENGTH = 97, 3, 41
failures = []


def report(name, value, bound):
    good = bool(value <= bound)
    print(f"{'ok  ' if good else 'FAIL'} {name:<62} {value:.2e} (bound {bound:.0e})")
    if not good:
        failures.append(name)


def relative(a, b):
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    return np.linalg.norm(a - b) / np.linalg.norm(a)


def models():
    bert = dict(vocab_size=VOCABULARY, hidden_size=48, num_hidden_layers=3, num_attention_heads=4,
                intermediate_size=80, max_position_embeddings=64)
    gpt2 = dict(vocab_size=VOCABULARY, n_positions=64, n_embd=48, n_layer=3, n_head=4, bos_token_id=0, eos_token_id=0)
    yield "gpt2", GPT2LMHeadModel(GPT2Config(**gpt2)), {}
    yield "gpt2 inner width 100, relu", GPT2LMHeadModel(
        GPT2Config(n_inner=100, activation_function="relu", **gpt2)), {}
    yield "gpt2 untied", GPT2LMHeadModel(GPT2Config(tie_word_embeddings=False, **gpt2)), {}
    yield "gpt2 trunk", GPT2Model(GPT2Config(**gpt2)), {}
    yield "gpt2 in shards", GPT2LMHeadModel(GPT2Config(**gpt2)), {"max_shard_size": "60KB"}
    yield "bert", BertForMaskedLM(BertConfig(**bert)), {}
    yield "bert with old names", BertForMaskedLM(BertConfig(**bert)), {"old names": True}
    yield "bert trunk", BertModel(BertConfig(**bert)), {}
    yield "bert gelu_new", BertForMaskedLM(BertConfig(hidden_act="gelu_new", **bert)), {}
    yield "roberta", RobertaForMaskedLM(RobertaConfig(
        **{**bert, "max_position_embeddings": 66, "type_vocab_size": 1, "pad_token_id": 1})), {}
    yield "distilbert", DistilBertForMaskedLM(DistilBertConfig(
        vocab_size=VOCABULARY, dim=48, n_layers=3, n_heads=4, hidden_dim=80, max_position_embeddings=64)), {}
    yield "bert in half precision", BertForMaskedLM(BertConfig(**bert)).half(), {"half": True}


def allowed(variant, causal):
    """The pairs [query, key] that a variant lets see each other, from its definition."""
    i, j = np.arange(LENGTH)[:, None], np.arange(LENGTH)[None, :]
    if variant == "full":
        pairs = np.ones((LENGTH, LENGTH), bool)
    elif variant == "sliding-window":
        pairs = (j - i >= -5) & (j - i <= (0 if causal else 3))
    else:
        pairs = i // 8 == j // 8
    return pairs & (j <= i) if causal else pairs


def settings(variant, causal):
    if variant == "sliding-window":
        return ["--set", "left=5", "--set", "right=" + ("0" if causal else "3")]
    return ["--set", "chunk=8"] if variant == "chunked" else []


def reference(model, tokens, pairs):
    """Hidden states before the last norm, the last hidden state, and logits if there are any; in double precision."""
    model = model.double().eval()
    mask = torch.zeros(pairs.shape, dtype=torch.float64).masked_fill(~torch.from_numpy(pairs), -1e300)
    mask = mask[None, None].expand(tokens.shape[0], 1, *pairs.shape)
    with torch.no_grad():
        out = model(torch.from_numpy(tokens), attention_mask=mask, output_hidden_states=True)
    states = [h.numpy() for h in out.hidden_states]
    logits = out.logits.numpy() if "logits" in out else None
    return states, logits


def fixtures(folder):
    """Tiny checkpoints with the answers of transformers beside them, for the tests that run without Python."""
    from safetensors.numpy import save_file
    torch.manual_seed(11)
    bert = dict(vocab_size=13, hidden_size=8, num_hidden_layers=2, num_attention_heads=2, intermediate_size=12)
    tiny = {
        "gpt2": GPT2LMHeadModel(GPT2Config(vocab_size=13, n_positions=9, n_embd=8, n_layer=2, n_head=2, n_inner=12,
                                           bos_token_id=0, eos_token_id=0)),
        "bert": BertForMaskedLM(BertConfig(max_position_embeddings=9, **bert)),
        "roberta": RobertaForMaskedLM(RobertaConfig(max_position_embeddings=11, type_vocab_size=1, **bert)),
        "distilbert": DistilBertForMaskedLM(DistilBertConfig(
            vocab_size=13, dim=8, n_layers=2, n_heads=2, hidden_dim=12, max_position_embeddings=9)),
    }
    for name, model in tiny.items():
        model.config._attn_implementation = "eager"
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter) * 0.2)
        model.save_pretrained(f"{folder}/{name}")
        tokens = np.random.default_rng(1).integers(2, 13, (2, 7)).astype(np.int64)
        i, j = np.arange(7)[:, None], np.arange(7)[None, :]
        answers = {"tokens": tokens}
        for kind, pairs in [("full", np.ones((7, 7), bool)), ("window", (j - i >= -2) & (j - i <= 1))]:
            states, logits = reference(model, tokens, pairs & (j <= i) if name == "gpt2" else pairs)
            answers[f"{kind}.states"] = np.stack(states).astype(np.float32)
            answers[f"{kind}.logits"] = logits.astype(np.float32)
        save_file(answers, f"{folder}/{name}/answers.safetensors")
        if os.path.exists(f"{folder}/{name}/generation_config.json"):
            os.remove(f"{folder}/{name}/generation_config.json")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--attnlab", default=".build/release/attnlab")
    parser.add_argument("--fixtures", metavar="FOLDER", help="write the checkpoints of the Swift tests, and end")
    arguments = parser.parse_args()
    if arguments.fixtures:
        return fixtures(arguments.fixtures)
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    print(f"transformers {transformers.__version__}, torch {torch.__version__}; {BATCH} x {LENGTH} tokens")
    torch.manual_seed(5)
    tokens = np.random.default_rng(7).integers(2, VOCABULARY, (BATCH, LENGTH)).astype(np.int64)
    with tempfile.TemporaryDirectory() as folder:
        np.save(f"{folder}/tokens.npy", tokens)
        for name, model, options in models():
            model.config._attn_implementation = "eager"
            with torch.no_grad():
                for parameter in model.parameters():  # the initial weights are so small that attention hardly matters
                    parameter.add_(torch.randn_like(parameter) * 0.1)
            path = f"{folder}/{name.replace(' ', '-')}"
            model.save_pretrained(path, **{k: v for k, v in options.items() if k == "max_shard_size"})
            if options.get("old names"):
                from safetensors.torch import load_file, save_file
                file = path + "/model.safetensors"
                save_file({k.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): v
                           for k, v in load_file(file).items()}, file)
            causal = "gpt2" in name
            kept = {}
            for variant in ["full", "sliding-window", "chunked"]:
                out = subprocess.run(
                    [arguments.attnlab, "swap", "--checkpoint", path, "--variant", variant, *settings(variant, causal),
                     "--tokens", f"{folder}/tokens.npy", "--hidden", f"{folder}/hidden.npy", "--json"]
                    + ([] if "trunk" in name and not causal else ["--logits", f"{folder}/logits.npy"]),
                    capture_output=True, text=True)
                if out.returncode != 0:
                    print(out.stderr.strip())
                    failures.append(f"{name}, {variant}")
                    continue
                answer = json.loads(out.stdout)
                states, logits = reference(model, tokens, allowed(variant, causal))
                kept[variant] = states, logits
                found = np.load(f"{folder}/hidden.npy")
                # transformers shows GPT-2's last state after the last norm only.
                last = len(states) - 1 if causal else len(states)
                report(f"{name}, {variant}: hidden states", max(
                    relative(states[k], found[k]) for k in range(last)), BOUND)
                if logits is not None:
                    report(f"{name}, {variant}: logits", relative(logits, np.load(f"{folder}/logits.npy")), BOUND)
                base_states, base_logits = kept["full"]
                for layer in range(last - 1):
                    truth = relative(base_states[layer + 1], states[layer + 1])
                    report(f"{name}, {variant}: error after block {layer} ({truth:.3f})",
                           abs(answer["layers"][layer]["state_error"] - truth), BOUND)
                report(f"{name}, {variant}: error of the final state",
                       abs(answer["final_error"] - relative(base_states[-1], states[-1])), BOUND)
                if logits is None:
                    continue
                p, q = torch.from_numpy(base_logits).log_softmax(-1), torch.from_numpy(logits).log_softmax(-1)
                divergence = (p.exp() * (p - q)).sum(-1)
                report(f"{name}, {variant}: mean divergence ({divergence.mean():.4f} nats)",
                       abs(answer["kl_mean"] - divergence.mean().item()), BOUND)
                report(f"{name}, {variant}: largest divergence",
                       abs(answer["kl_largest"] - divergence.max().item()), 5 * BOUND)
                agreement = (p.argmax(-1) == q.argmax(-1)).double().mean().item()
                report(f"{name}, {variant}: agreement ({agreement:.3f})",
                       abs(answer["top1_agreement"] - agreement), BOUND)
                if causal:
                    for key, values in [("loss_original", p), ("loss_swapped", q)]:
                        truth = -values[:, :-1].gather(-1, torch.from_numpy(tokens)[:, 1:, None]).mean().item()
                        report(f"{name}, {variant}: {key} ({truth:.4f} nats)", abs(answer[key] - truth), BOUND)
    print("all within bounds" if not failures else f"{len(failures)} outside their bounds")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
