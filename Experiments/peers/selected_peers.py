"""Selection by data and masks of others for time_peers.py: flash-linear-attention's naive code and attn-gym's masks.

fla's `naive_nsa` as a whole needs flash-attn for its window. So its three parts are called, with a window of one key, whose output
is that key's value. Its `moba` needs flash-attn throughout; here MoBA's blocks are chosen by a product with their mean keys, and
fla's naive code for selected blocks attends to them. attn-gym's masks go through FlexAttention, which has no backward pass on a CPU. Its `natten` moves the windows of places at the edge
inwards, which ours cuts, and its gather attention has keys that are their values: no variant of ours means these.
"""

import numpy as np
import torch
from judged import Judged, draws
from softmax_peers import relative


def three(heads, key_heads, n, d):
    return {"q": draws(1, heads, n, d, seed=0), "k": draws(1, key_heads, n, d, seed=1), "v": draws(1, key_heads, n, d, seed=2)}


def means(x, size):
    """`[1, blocks, heads, d]`, whole blocks only."""
    return x.reshape(1, -1, size, *x.shape[2:]).mean(2)


def nsa(t, size=64, count=16):
    from fla.ops.nsa.naive import naive_nsa_compression, naive_nsa_selection, naive_nsa_topk
    q, k, v, scale = t["q"], t["k"], t["v"], t["q"].shape[-1] ** -0.5
    short_k, short_v = means(k, size), means(v, size)
    compressed, _ = naive_nsa_compression(q, short_k, short_v, size, scale)
    with torch.no_grad():
        blocks = naive_nsa_topk(q, short_k, count, size, scale)
    selected = naive_nsa_selection(q, k, v, blocks, size, scale)
    gates = torch.sigmoid(t["gates"])
    return gates[..., :1] * compressed + gates[..., 1:2] * selected + gates[..., 2:] * v.repeat_interleave(
        q.shape[2] // k.shape[2], 2)


def moba(t, size=128, count=8):
    from fla.ops.nsa.naive import naive_nsa_selection
    q, k = t["q"], t["k"]
    with torch.no_grad():
        gate = torch.einsum("bthd,bchd->bthc", q, means(k, size))
        own = torch.arange(q.shape[1])[:, None] // size
        block = torch.arange(gate.shape[-1])[None]
        gate = gate.masked_fill((block > own)[None, :, None], -torch.inf).masked_fill((block == own)[None, :, None], torch.inf)
        best = gate.topk(min(count, gate.shape[-1]), -1)
        blocks = best.indices.masked_fill(best.values == -torch.inf, -1)
    return naive_nsa_selection(q, k, t["v"], blocks, size)


def dsa(t):
    from fla.ops.dsa.naive import naive_dsa
    n = t["q"].shape[1]
    return naive_dsa(t["q"], t["k"], t["v"], t["indexer_query"].reshape(1, n, 4, 32), t["indexer_key"], t["indexer_weight"],
                     topk=64)


def nsa_body(heads, n, d, causal, direction, key_heads=2):
    operands = {**three(heads, key_heads, n, d), "gates": draws(1, heads, n, 3, seed=3)}
    return MeansOfBlocks(operands, nsa, direction, key_heads)


class Chosen(Judged):
    """A selection, whose last chosen key or block may be another one where two scores are equal or differ by a rounding.

    The rows where it is are counted, `rows_apart`, and neither output nor gradient of them is compared.
    """

    def errors(self, options, variant, settings, found):
        ours, _ = self.ours(options, variant, settings)
        theirs = self.lay(found if self.direction == "forward" else self.output.detach()).numpy()
        apart = np.abs(ours - theirs).max(-1) > options.bound * np.abs(theirs).max()
        self.rows_apart = float(apart.mean())
        ours[apart] = theirs[apart] = 0
        errors = {"o": relative(ours, theirs)}
        if self.direction == "backward":
            self.output_gradient[apart] = 0
            self.gradient = self.lay(torch.from_numpy(self.output_gradient))
            _, gradients = self.ours(options, variant, settings)
            errors.update(self.gradient_errors(gradients, self() if apart.any() else found))
        return errors


class MeansOfBlocks(Chosen):
    """`nsa` whose weights of compressed blocks are means; the peer has no such weights."""

    def __init__(self, operands, call, direction, key_heads):
        super().__init__(operands, call, direction)
        for name in ("compress_key", "compress_value"):
            self.operands[name] = np.full((key_heads, 64, operands["q"].shape[-1]), 1 / 64, np.float32)


def moba_body(heads, n, d, causal, direction):
    return Chosen(three(heads, heads, n, d), moba, direction)


def dsa_body(heads, n, d, causal, direction):
    """Weights of the indexer's heads above 0, so that keys whose products are all negative, scores of 0 alike, are the last."""
    operands = {**three(heads, heads, n, d), "indexer_query": draws(1, n, 128, seed=3), "indexer_key": draws(1, n, 32, seed=4),
                "indexer_weight": np.abs(draws(1, n, 4, seed=5))}
    return Chosen(operands, dsa, direction)


def masked(mask_of):
    """A mask of attn-gym through FlexAttention, compiled."""
    def make(heads, n, d, causal, direction):
        from torch.nn.attention.flex_attention import create_block_mask, flex_attention
        mask = create_block_mask(mask_of(n), None, None, n, n, device="cpu")
        compiled = torch.compile(flex_attention, dynamic=False)
        return Judged(three(heads, heads, n, d), lambda t: compiled(t["q"], t["k"], t["v"], block_mask=mask), direction,
                      lay=lambda x: x, causal=causal)
    return make


def window(n):
    from attn_gym.masks import generate_sliding_window
    return generate_sliding_window(512)


def dilated(n):
    from attn_gym.masks import generate_dilated_sliding_window
    return generate_dilated_sliding_window(1024, 4)


def with_globals(n):
    from attn_gym.masks.global_sliding_window import generate_global_sliding_window
    return generate_global_sliding_window(256, torch.arange(n) < 32)


MASKS = [
    ("window-gym", True, ("sliding-window", dict(left=512)), window),
    ("dilated-gym", False, ("sliding-window", dict(left=256, right=256, dilation=4)), dilated),
    ("globals-gym", False, ("local-global", dict(left=256, right=256, global_tokens=32)), with_globals),
]


def experiments():
    """As `time_peers.experiments`.

    fla's loop over rows keeps the keys that each row gathers, 16 GB of them for a backward pass at 4096, so 2048 tokens are what
    goes; and every row clears the gradient of all keys.
    """
    for d in (64, 128):
        for n in (2048, 4096, 16384):
            passes = ("backward",) if n == 2048 else ("forward",)
            yield ("nsa-fla", dict(heads=8, key_heads=2, n=n, d=d, causal=True), passes,
                   ("nsa", dict(compress_block=64, compress_stride=64, block_size=64, blocks=16, window=1)), "fla-naive", nsa_body)
            yield ("moba-fla", dict(heads=8, n=n, d=d, causal=True), passes, ("moba", dict(block_size=128, blocks=8)),
                   "fla-naive", moba_body)
        # At 16384 a tensor of all scores has 8.6 GB.
        yield ("dsa-fla", dict(heads=8, n=4096, d=d, causal=True), ("forward", "backward"),
               ("dsa", dict(keys=64, indexer_heads=4, indexer_dim=32)), "fla-naive", dsa_body)
        for name, causal, ours, mask_of in MASKS:
            for n in (4096, 16384):
                yield (name, dict(heads=8, n=n, d=d, causal=causal), ("forward",), ours, "attn-gym", masked(mask_of))
