// Forward and backward of one tile against a naive double loop, and the buckets of rows against their definition, for the
// instruction sets that a build can run: what arm64.sh, sixteen-lanes.sh and avx512.sh compile.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "CKernels.h"
#include "dense.h"

static float *draw(size_t count) {
  float *p = aligned_alloc(64, (count * 4 + 63) / 64 * 64);
  for (size_t i = 0; i < count; i++) p[i] = (float)(rand() / (double)RAND_MAX * 4 - 2);
  return p;
}

static double error(const float *got, const double *want, size_t count) {
  double difference = 0, norm = 0;
  for (size_t i = 0; i < count; i++) {
    difference += (got[i] - want[i]) * (got[i] - want[i]);
    norm += want[i] * want[i];
  }
  return sqrt(difference / norm);
}

/// Keys in a band, or, for `mask` ATTN_FULL, all.
static int check_scaled(int isa, int rows, int keys, int d, int e, int mask, float scale) {
  const int low = mask == ATTN_FULL ? -10000 : -30, high = mask == ATTN_FULL ? 10000 : 50;
  float *q = draw((size_t)rows * d), *k = draw((size_t)keys * d), *v = draw((size_t)keys * e);
  float *g = draw((size_t)rows * e), *o = draw((size_t)rows * e), *lse = draw((size_t)rows);
  const int blocks = (keys + 63) / 64;
  float *dq = calloc((size_t)rows * d, 4), *dk = calloc((size_t)blocks * 64 * d, 4);
  float *dv = calloc((size_t)blocks * 64 * e, 4);
  float **dks = malloc(sizeof *dks * (size_t)blocks), **dvs = malloc(sizeof *dvs * (size_t)blocks);
  for (int b = 0; b < blocks; b++) {
    dks[b] = dk + (size_t)b * 64 * d;
    dvs[b] = dv + (size_t)b * 64 * e;
  }
  attn_head head = {q, k, v, d, d, e, d, e, keys, 0, scale};
  attn_gradient gradient = {o, g, lse, e, e, dq, d, dks, dvs};
  attn_list tile = {0, 0, 1, rows};
  attn_run run = {{0, 0, 1, keys}, mask, low, high, 0};
  void *scratch = aligned_alloc(64, (attn_scratch_bytes(isa, d, e, 0) + attn_scratch_bytes(isa, d, e, 1)) / 64 * 64 + 64);
  attn_forward_begin(isa, scratch, &head, tile);
  attn_forward_run(isa, scratch, &run);
  attn_forward_end(isa, scratch, o, e, lse, 1, 0);
  attn_backward_begin(isa, scratch, &head, &gradient, tile);
  attn_backward_run(isa, scratch, &run);
  attn_backward_end(isa, scratch, dq, d, 1, 1);
  double *wo = calloc((size_t)rows * e, 8), *wq = calloc((size_t)rows * d, 8), *wk = calloc((size_t)keys * d, 8);
  double *wv = calloc((size_t)keys * e, 8), *p = calloc((size_t)keys, 8);
  for (int i = 0; i < rows; i++) {
    double sum = 0, delta = 0;
    for (int j = 0; j < keys; j++) {
      double s = 0;
      for (int c = 0; c < d; c++) s += (double)q[i * d + c] * k[j * d + c];
      p[j] = i - j >= low && i - j <= high ? exp(scale * s) : 0;
      sum += p[j];
    }
    for (int j = 0; j < keys; j++)
      for (int c = 0; c < e; c++) wo[i * e + c] += p[j] / sum * v[j * e + c];
    for (int c = 0; c < e; c++) delta += wo[i * e + c] * g[i * e + c];
    for (int j = 0; j < keys; j++) {
      double slope = 0;
      for (int c = 0; c < e; c++) {
        slope += (double)g[i * e + c] * v[j * e + c];
        wv[j * e + c] += p[j] / sum * g[i * e + c];
      }
      slope = p[j] / sum * (slope - delta) * scale;
      for (int c = 0; c < d; c++) {
        wq[i * d + c] += slope * k[j * d + c];
        wk[j * d + c] += slope * q[i * d + c];
      }
    }
  }
  const double worst = fmax(
      fmax(error(o, wo, (size_t)rows * e), error(dq, wq, (size_t)rows * d)),
      fmax(error(dk, wk, (size_t)keys * d), error(dv, wv, (size_t)keys * e)));
  printf(
      "%s isa %d rows %d keys %d d %d e %d %s: %.1e\n", worst < 5e-6 ? "ok  " : "FAIL", isa, rows, keys, d, e,
      mask == ATTN_FULL ? "full" : "band", worst);
  return worst < 5e-6;
}

static int check(int isa, int rows, int keys, int d, int e, int mask) {
  return check_scaled(isa, rows, keys, d, e, mask, 0.3f);
}

/// argmax over [x·R, −x·R] of one factor of a round, of sums of fused products; the first of equals.
static int bucket(const float *x, const float *rotations, int dim, int width, int first, int half) {
  int high_at = 0, low_at = 0;
  float high = -INFINITY, low = INFINITY;
  for (int c = 0; c < half; c++) {
    float sum = 0;
    for (int k = 0; k < dim; k++) sum = fmaf(rotations[(size_t)k * width + first + c], x[k], sum);
    if (sum > high) high = sum, high_at = c;
    if (sum < low) low = sum, low_at = c;
  }
  return -low > high ? low_at + half : high_at;
}

static int check_hash(int isa, int rows, int dim, int hashes, int first_half, int second_half) {
  const int halves = first_half + second_half, width = hashes * halves;
  float *x = draw((size_t)rows * dim), *rotations = draw((size_t)dim * width), *packed = draw((size_t)dim * width);
  float *scratch = draw(64 * ((size_t)dim + 16));
  int32_t *found = calloc((size_t)rows * hashes, sizeof *found);
  attn_hash_pack(packed, rotations, dim, hashes, first_half, second_half);
  attn_hash_rows(isa, x, dim, rows, dim, packed, hashes, first_half, second_half, found, rows, scratch);
  int wrong = 0;
  for (int hash = 0; hash < hashes; hash++)
    for (int i = 0; i < rows; i++) {
      const int first = hash * halves;
      int want = bucket(x + (size_t)i * dim, rotations, dim, width, first, first_half);
      if (second_half > 0)
        want += 2 * first_half * bucket(x + (size_t)i * dim, rotations, dim, width, first + first_half, second_half);
      wrong += want != found[hash * rows + i];
    }
  printf(
      "%s isa %d rows %d d %d hashes %d buckets %d, %d: %d wrong\n", wrong ? "FAIL" : "ok  ", isa, rows, dim, hashes,
      2 * first_half, 2 * second_half, wrong);
  return wrong == 0;
}

#ifndef FIRST_ISA
#define FIRST_ISA 0
#define LAST_ISA 0
#endif

int main(void) {
  int good = 1;
  for (int isa = FIRST_ISA; isa <= LAST_ISA; isa++) {
    for (int mask = ATTN_FULL; mask <= ATTN_BAND; mask++) {
      good &= check(isa, 64, 150, 64, 64, mask);
      good &= check(isa, 33, 97, 40, 24, mask);
      good &= check(isa, 9, 300, 48, 80, mask);
      good &= check(isa, 17, 5, 1, 3, mask);
      good &= check(isa, 64, 230, 128, 96, mask);
    }
    for (int rows = 1; rows <= 13; rows++) {
      good &= check(isa, rows, 1200, 64, 128, ATTN_FULL);
      good &= check(isa, rows, 701, 43, 30, ATTN_FULL);
      good &= check_scaled(isa, rows, 600, 128, 64, ATTN_FULL, 0.2f);
      good &= check(isa, rows, 130, 16, 17, ATTN_BAND);
    }
    good &= check_hash(isa, 500, 64, 4, 64, 0);
    good &= check_hash(isa, 77, 43, 3, 7, 0);
    good &= check_hash(isa, 130, 40, 2, 8, 5);
    good &= check_hash(isa, 5, 1, 1, 1, 0);
  }
  return good ? 0 : 1;
}
