#!/usr/bin/env python3
"""Compares attnlab's Transformers over images and videos with timm and transformers on the same weights and pixels.

    swift build -c release --product attnlab
    python Experiments/peers/compare_vit.py --attnlab .build/release/attnlab

Makes small randomly initialised ViT (timm and transformers) and TimeSformer (transformers) models from configurations (nothing is
downloaded), saves them as these programs do, and lets `attnlab forward` read the folders. Logits, loss and the gradient of every
parameter are compared with those in float64 (limit 1e-5, relative in the Euclidean norm). With --fixtures FOLDER the tiny models of the
tests are written instead, with their logits. Needs torch, timm, transformers, safetensors and numpy. Exit code 1 when a limit is passed.
"""
import argparse, json, os, subprocess, sys, tempfile

import numpy as np
import safetensors.numpy
import safetensors.torch
import timm
import torch
from transformers import TimesformerConfig, TimesformerForVideoClassification, ViTConfig, ViTForImageClassification

LIMIT = 1e-5


def relative(a, b):
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    return np.linalg.norm(a - b) / max(np.linalg.norm(b), 1e-300)


def randomise(model):
    """Weights of a size that matters: what starts as 0 or 1 (norms, class tokens, the time layers) is drawn, too."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            drawn = torch.randn(parameter.shape, generator=generator)
            scale = 0.3 / max(1, parameter[0].numel()) ** 0.5 if parameter.dim() > 1 else 0.2
            parameter.copy_(parameter.round() + (scale * 3 if parameter.dim() > 1 else scale) * drawn)
    return model.eval()


def models(tiny=False):
    """Name, model, the shape of its pixels [batch, (frames,) channels, height, width], and how it is saved."""
    sizes = dict(hidden_size=8 if tiny else 48, num_hidden_layers=1 if tiny else 3, num_attention_heads=2 if tiny else 4,
                 intermediate_size=12 if tiny else 80, image_size=8 if tiny else 24, patch_size=4, num_labels=3 if tiny else 7)
    side = sizes["image_size"]
    yield "vit", ViTForImageClassification(ViTConfig(**sizes)), (2, 3, side, side)
    if not tiny:
        yield "vit gelu_new, one channel, epsilon 1e-6", ViTForImageClassification(ViTConfig(
            hidden_act="gelu_new", num_channels=1, layer_norm_eps=1e-6, **sizes)), (3, 1, side, side)
    yield "timesformer", TimesformerForVideoClassification(TimesformerConfig(num_frames=2 if tiny else 3, **sizes)), \
        (2, 2 if tiny else 3, 3, side, side)
    if not tiny:
        yield "timesformer joint", TimesformerForVideoClassification(TimesformerConfig(
            num_frames=3, attention_type="joint_space_time", **sizes)), (2, 3, 3, side, side)
    arguments = dict(img_size=side, patch_size=4, embed_dim=sizes["hidden_size"], depth=sizes["num_hidden_layers"],
                     num_heads=sizes["num_attention_heads"])
    yield "timm", timm.create_model("vit_tiny_patch16_224", num_classes=sizes["num_labels"], **arguments), \
        (2, 3, side, side), arguments


def save(model, folder, arguments):
    if arguments is None:
        model.save_pretrained(folder)
        return
    os.makedirs(folder, exist_ok=True)
    safetensors.torch.save_file(model.state_dict(), os.path.join(folder, "model.safetensors"), metadata={"format": "pt"})
    with open(os.path.join(folder, "config.json"), "w") as file:
        json.dump({"architecture": "vit_tiny_patch16_224", "num_classes": model.num_classes, "num_features": model.num_features,
                   "global_pool": "token", "model_args": arguments}, file, indent=2)


def logits_of(model, pixels):
    result = model(pixels)
    return result if torch.is_tensor(result) else result.logits


def theirs(name, grads):
    """The gradient of a stored tensor that is one of ours, by our name; None: it is none."""
    stored = {}
    for key, value in grads.items():
        stored[key.removeprefix("vit.").removeprefix("timesformer.")] = value.numpy()
    result = {}
    def third(ours, key):
        for kind in ("weight", "bias"):
            for part, word in zip(np.split(stored[f"{key}.{kind}"], 3), ("query", "key", "value")):
                result[f"{ours}.{word}.{kind}"] = part
    def whole(ours, *keys):
        for key in keys:
            if f"{key}.weight" in stored:
                for kind in ("weight", "bias"): result[f"{ours}.{kind}"] = stored[f"{key}.{kind}"]
                return
        raise KeyError(keys)
    def table(ours, *keys):
        for key in keys:
            if key in stored: result[ours] = stored[key][0]
    whole("encoder.patches", "patch_embed.proj", "embeddings.patch_embeddings.projection")
    kernel = result["encoder.patches.weight"]
    result["encoder.patches.weight"] = kernel.transpose(0, 2, 3, 1).reshape(kernel.shape[0], -1)
    table("encoder.class", "cls_token", "embeddings.cls_token")
    table("encoder.positions.weight", "pos_embed", "embeddings.position_embeddings")
    table("encoder.times.weight", "embeddings.time_embeddings")
    whole("encoder.norm", "norm", "layernorm")
    whole("classifier", "head", "classifier")
    layer = 0
    while True:
        ours = f"encoder.layers.{layer}"
        candidates = [f"blocks.{layer}", f"encoder.layer.{layer}", f"layers.{layer}"]
        found = [c for c in candidates if any(key.startswith(c + ".") for key in stored)]
        if not found: break
        base = found[0]
        if base.startswith("blocks"):
            third(f"{ours}.attention", f"{base}.attn.qkv")
        elif f"{base}.attention.attention.qkv.weight" in stored:
            third(f"{ours}.attention", f"{base}.attention.attention.qkv")
        else:
            for word, short in (("query", "q_proj"), ("key", "k_proj"), ("value", "v_proj")):
                whole(f"{ours}.attention.{word}", f"{base}.attention.attention.{word}", f"{base}.attention.{short}")
        whole(f"{ours}.attention.output", f"{base}.attn.proj", f"{base}.attention.output.dense", f"{base}.attention.o_proj")
        whole(f"{ours}.attention.norm", f"{base}.norm1", f"{base}.layernorm_before")
        whole(f"{ours}.feedForward.inner", f"{base}.mlp.fc1", f"{base}.intermediate.dense")
        whole(f"{ours}.feedForward.outer", f"{base}.mlp.fc2", f"{base}.output.dense")
        whole(f"{ours}.feedForward.norm", f"{base}.norm2", f"{base}.layernorm_after")
        if f"{base}.temporal_dense.weight" in stored:
            third(f"{ours}.time", f"{base}.temporal_attention.attention.qkv")
            whole(f"{ours}.time.output", f"{base}.temporal_attention.output.dense")
            whole(f"{ours}.time.norm", f"{base}.temporal_layernorm")
            whole(f"{ours}.time.dense", f"{base}.temporal_dense")
        layer += 1
    return result


def compare(name, model, pixels, targets, folder, program):
    model = model.double()
    logits = logits_of(model, pixels.double())
    loss = torch.nn.functional.cross_entropy(logits, targets)
    loss.backward()
    # Where there is a choice of joint attention, parameters of time have no gradient.
    grads = {key: p.grad for key, p in model.named_parameters() if p.grad is not None}
    channels_last = pixels.movedim(-3, -1).contiguous().numpy().astype(np.float32)
    files = {key: os.path.join(folder, key) for key in ("x.npy", "y.npy", "l.npy", "g.safetensors")}
    np.save(files["x.npy"], channels_last)
    np.save(files["y.npy"], targets.numpy().astype(np.int32))
    answer = subprocess.run(
        [program, "forward", "--checkpoint", folder, "--images", files["x.npy"], "--targets", files["y.npy"], "--json",
         "--logits", files["l.npy"], "--grads", files["g.safetensors"]], capture_output=True, text=True)
    if answer.returncode != 0:
        print(f"FAIL {name}: {answer.stderr.strip()}")
        return False
    good = True
    def report(what, value):
        nonlocal good
        good &= bool(value <= LIMIT)
        print(f"{'ok  ' if value <= LIMIT else 'FAIL'} {name + ', ' + what:<66} {value:.2e} (limit {LIMIT:.0e})")
    report("logits", relative(np.load(files["l.npy"]), logits.detach().numpy()))
    report("loss", abs(json.loads(answer.stdout)["loss"] - loss.item()) / loss.item())
    found = safetensors.numpy.load_file(files["g.safetensors"])
    expected = theirs(name, grads)
    missing = set(found) ^ set(expected)
    if missing:
        print(f"FAIL {name}: gradients of one side only: {sorted(missing)}")
        return False
    # A key's bias changes no softmax, and its gradient is 0: what rounding leaves of it is measured by the query's bias.
    def size(key):
        return np.linalg.norm(expected[key.replace(".key.bias", ".query.bias")])
    worst = max((np.linalg.norm(found[key] - expected[key]) / size(key), key) for key in found)
    report(f"{len(found)} gradients, worst {worst[1]}", worst[0])
    return good


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--attnlab", default=".build/release/attnlab")
    parser.add_argument("--fixtures", help="write the tiny models of the tests here and stop")
    arguments = parser.parse_args()
    torch.manual_seed(1)
    good = True
    with tempfile.TemporaryDirectory() as scratch:
        for number, (name, model, shape, *how) in enumerate(models(tiny=arguments.fixtures is not None)):
            randomise(model)
            folder = os.path.join(arguments.fixtures or scratch, name if arguments.fixtures else str(number))
            save(model, folder, how[0] if how else None)
            pixels = torch.randn(shape, generator=torch.Generator().manual_seed(number))
            classes = logits_of(model, pixels).shape[-1]
            targets = torch.arange(shape[0]) % classes
            if arguments.fixtures:
                answer = logits_of(model.double(), pixels.double()).detach().numpy()
                np.save(os.path.join(folder, "images.npy"), pixels.movedim(-3, -1).contiguous().numpy())
                np.save(os.path.join(folder, "logits.npy"), answer)
            else:
                good &= compare(name, model, pixels, targets, folder, arguments.attnlab)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
