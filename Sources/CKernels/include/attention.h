#ifndef ATTNLAB_ATTENTION_H
#define ATTNLAB_ATTENTION_H
#include <stddef.h>
#include <stdint.h>

#pragma clang assume_nonnull begin

/// The most query rows of a tile: the lanes of the transposed products, the bits of a mask word.
#define ATTN_LANES 64
/// The most keys that are computed at once.
#define ATTN_BLOCK 96
/// Tiles of at most so many rows, unless these are gathered, take the decode (GEMV) path: row by row, with lanes along the
/// head dimension.
#define ATTN_GEMV_ROWS 12

/// What a mask of a run of keys is.
enum { ATTN_FULL = 0, ATTN_BAND = 1, ATTN_NOT_SELF = 2, ATTN_BITS = 3 };

/// Query rows of a tile, or keys of a run: index[0..count) when index is not NULL, else start + t·stride.
typedef struct {
  const int32_t *_Nullable index;
  int32_t start, stride, count;
} attn_list;

/// A run of keys and which pairs of it count; i − j in [low, high] for a band, bit `lane` of bits[t] for bits.
typedef struct {
  attn_list keys;
  int32_t mask, low, high;
  const uint64_t *_Nullable bits;
} attn_run;

/// One (batch, head): row 0 of each tensor and the floats between rows. A key's position is its row; a query's is its
/// row + query_offset. Keys at or beyond key_limit are dropped.
typedef struct {
  const float *query, *key, *value;
  int64_t query_stride, key_stride, value_stride;
  int32_t head_dim, value_dim, key_limit, query_offset;
  float scale;
  /// c of a soft cap, c·tanh(score/c), before masks; 0: none.
  float softcap;
  /// w of an additive score, Σ_t w_t·tanh(q_t + k_t), head_dim floats; NULL: the score is scale·q·k. The scale is 1 then.
  const float *_Nullable energy;
  /// What is added to the score of a pair before any soft cap, log2(e) times: bias[i − j], readable up to ATTN_LANES floats behind
  /// the largest distance; NULL: nothing.
  const float *_Nullable bias;
  /// Which of `sums` numbers of its row the slope of a pair is added to: bucket[i − j].
  const int32_t *_Nullable bucket;
  /// Numbers that every row sums going back; they stand behind its row of dQ, and behind what it adds to dw.
  int32_t sums;
  /// Floats of the first-level cache for the keys of a block that several strips read.
  int32_t near_floats;
  /// How many rows further a tile of a few rows asks for keys and values while it computes; 0: for none.
  int32_t ahead;
} attn_head;

/// What backward needs beyond the head: rows of output, its gradient and LSE, and where gradients go.
typedef struct {
  const float *output, *output_gradient, *lse;
  int64_t output_stride, output_gradient_stride;
  float *query_gradient;
  int64_t query_gradient_stride;
  /// Pointer to the rows of every 64-key block, head_dim and value_dim floats apart; added to.
  float *_Nonnull const *_Nonnull key_gradient;
  float *_Nonnull const *_Nonnull value_gradient;
} attn_gradient;

/// Prefetches the first `bytes` of rows, `stride` bytes apart: to the first-level cache if they will be written (`writes`),
/// else to the second, since other work comes first.
void attn_prefetch_rows(const void *base, int64_t stride, attn_list rows, int32_t bytes, int32_t writes);
/// Sequential cache warm-up: reads the first `bytes` of rows, `stride` bytes apart, a line after the other, so that they come
/// at the rate of memory, which the order in which a tile reads them does not reach.
void attn_warm_rows(const void *base, int64_t stride, attn_list rows, int32_t bytes);

/// Bytes of scratch, 64-byte aligned, that a tile's forward or backward pass needs.
size_t attn_scratch_bytes(int32_t isa, int32_t head_dim, int32_t value_dim, int32_t backward);

/// What the end of a tile finds in its rows: nothing; output and LSE; an LSE whose output is 0, whatever is stored there.
enum { ATTN_MERGE_NOTHING = 0, ATTN_MERGE_ROWS = 1, ATTN_MERGE_LSE = 2 };

/// Query rows of a strip of a tile, which are computed side by side.
int32_t attn_strip_rows(int32_t isa);

/// Starts a tile of 1 … ATTN_LANES rows: packs scale·log2(e)·Qᵀ, clears the running maximum, sum and Oᵀ.
void attn_forward_begin(int32_t isa, void *scratch, const attn_head *head, attn_list rows);
/// Adds keys to the tile. Keys wait in the scratch until a block is full, across runs.
void attn_forward_run(int32_t isa, void *scratch, const attn_run *run);
/// Ends the tile: writes rows of output (head_dim apart by output_stride) and natural-log LSE: −∞ of a row without keys,
/// NaN of one with a score that is not finite. With `in_place` 0 the
/// tile's t-th row goes to row t, else to its own row; `merge` says what it is combined with by LSE (`ATTN_MERGE_…`).
void attn_forward_end(
    int32_t isa, void *scratch, float *output, int64_t output_stride, float *lse, int32_t in_place, int32_t merge);

/// Combines a row and its LSE with a partial result's: o, lse ← softmax-weighted mean, log-sum-exp.
void attn_merge_row(int32_t isa, float *output, float *lse, const float *partial, float partial_lse, int32_t value_dim);

/// Starts a tile of the backward pass: packs Qᵀ, dOᵀ, and rows of Q and dO, and D = rowsum(dO ∘ O).
void attn_backward_begin(
    int32_t isa, void *scratch, const attn_head *head, const attn_gradient *gradient, attn_list rows);
/// Prefetches the keys, the values and their gradients' rows of a run that comes after others, to the second-level cache.
void attn_backward_prefetch(const attn_head *head, const attn_gradient *gradient, attn_list keys);
/// Warms the cache with them (`attn_warm_rows`).
void attn_backward_warm(const attn_head *head, const attn_gradient *gradient, attn_list keys);
/// Adds keys: gradients of keys and values are added through the block tables.
void attn_backward_run(int32_t isa, void *scratch, const attn_run *run);
/// Computes the keys that wait for a block to be full.
void attn_backward_flush(int32_t isa, void *scratch);
/// Ends the tile: writes dQ to the rows of `target`, or with `adds` adds it; with `in_place` 0 the t-th row goes to row t.
void attn_backward_end(
    int32_t isa, void *scratch, float *target, int64_t target_stride, int32_t in_place, int32_t adds);

/// y[i] = most·tanh(x[i]·by), the soft cap of scores; NaN where x[i] is not finite.
void attn_cap(int32_t isa, const float *x, float *y, int64_t count, float by, float most);
/// y[i] *= 1 − tanh²(x[i]·by).
void attn_uncap(int32_t isa, const float *x, float *y, int64_t count, float by);

/// target[i] += source[i]
void attn_add(int32_t isa, float *target, const float *source, int64_t count);

#pragma clang assume_nonnull end
#endif
