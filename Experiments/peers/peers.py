"""The contenders of time_peers.py: every function returns a body to be timed, attention alone on given q, k and v.

`direction` is "forward" (no gradient is recorded) or "backward" (the gradient of q, k and v from a graph that was
recorded once). Shapes are [1, heads, n, d].
"""

import contextlib
from importlib import metadata

import torch
import torch.nn.functional as F


def versions():
    """Of the peers' packages; none of one that is not installed."""
    found = {"torch": torch.__version__}
    for name in ("transformers", "fla-core", "attn-gym"):
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def prepare(threads):
    torch.set_num_threads(threads)
    torch.manual_seed(1)


def body_of(call, inputs, direction):
    """A body that runs `call`, or the gradient of its result with respect to the inputs."""
    if direction == "forward":
        def body():
            with torch.no_grad():
                call()
        return body
    result = call()
    gradient = torch.randn_like(result)
    return lambda: torch.autograd.grad(result, inputs, gradient, retain_graph=True)


def draws(shape, count, direction):
    return [torch.randn(shape, requires_grad=direction == "backward") for _ in range(count)]


def sdpa(heads, n, d, causal, direction):
    inputs = draws((1, heads, n, d), 3, direction)
    return body_of(lambda: F.scaled_dot_product_attention(*inputs, is_causal=causal), inputs, direction)


def flex(heads, n, d, causal, direction, window=256):
    from torch.nn.attention.flex_attention import create_block_mask, flex_attention
    inputs = draws((1, heads, n, d), 3, direction)
    mask = create_block_mask(lambda b, h, i, j: (i - j).abs() <= window, None, None, n, n, device="cpu")
    compiled = torch.compile(flex_attention)
    return body_of(lambda: compiled(*inputs, block_mask=mask), inputs, direction)


class Given(torch.nn.Module):
    """Stands where a layer has a projection: returns what it was given, copied, for some layers scale in place."""

    def __init__(self, rows):
        super().__init__()
        self.rows = rows

    def forward(self, _):
        return self.rows.clone()


def longformer(heads, n, d, causal, direction, window=256, globals=0):
    from transformers import LongformerConfig
    from transformers.models.longformer.modeling_longformer import LongformerSelfAttention
    config = LongformerConfig(hidden_size=heads * d, num_attention_heads=heads, attention_window=[2 * window],
                              attention_probs_dropout_prob=0.0)
    layer = LongformerSelfAttention(config, layer_id=0).eval()
    inputs = draws((n, 1, heads * d), 3, direction)
    layer.query, layer.key, layer.value = map(Given, inputs)
    if globals:  # the second set of projections is tied to the first
        query, key, value = inputs
        layer.query_global, layer.key_global, layer.value_global = Given(query[:globals]), Given(key), Given(value)
    mask = torch.zeros(1, n)
    mask[:, :globals] = 10000
    x = torch.randn(1, n, heads * d)

    def call():
        return layer(x, attention_mask=mask, is_index_masked=mask < 0, is_index_global_attn=mask > 0,
                     is_global_attn=globals > 0)[0]
    return body_of(call, inputs, direction)


def bigbird(heads, n, d, causal, direction):
    from transformers import BigBirdConfig
    from transformers.models.big_bird.modeling_big_bird import BigBirdBlockSparseAttention, BigBirdModel
    config = BigBirdConfig(hidden_size=heads * d, num_attention_heads=heads, block_size=64, num_random_blocks=3,
                           max_position_embeddings=n)
    layer = BigBirdBlockSparseAttention(config, seed=0).eval()
    inputs = draws((1, n, heads * d), 3, direction)
    layer.query, layer.key, layer.value = map(Given, inputs)
    blocked, band, source, target = BigBirdModel.create_masks_for_block_sparse_attn(torch.ones(1, n), 64)
    x = torch.randn(1, n, heads * d)

    def call():
        return layer(x, band_mask=band, from_mask=source, to_mask=target, from_blocked_mask=blocked,
                     to_blocked_mask=blocked)[0]
    return body_of(call, inputs, direction)


def reformer(heads, n, d, causal, direction, hashes=4):
    from transformers import ReformerConfig
    from transformers.models.reformer.modeling_reformer import LSHSelfAttention
    config = ReformerConfig(hidden_size=heads * d, num_attention_heads=heads, attention_head_size=d,
                            num_buckets=n // 32, num_hashes=hashes, lsh_attn_chunk_length=64, is_decoder=causal,
                            lsh_num_chunks_before=1, lsh_num_chunks_after=0, axial_pos_embds=False,
                            lsh_attention_probs_dropout_prob=0.0, max_position_embeddings=n)
    layer = LSHSelfAttention(config).eval()
    inputs = draws((1, n, heads * d), 2, direction)
    layer.query_key, layer.value = map(Given, inputs)
    x = torch.randn(1, n, heads * d)
    return body_of(lambda: layer(x, num_hashes=hashes).hidden_states, inputs, direction)
