#ifndef ATTNLAB_REFERENCE_H
#define ATTNLAB_REFERENCE_H
#include <stddef.h>
#include <stdint.h>

#pragma clang assume_nonnull begin

/// The sums of the naive reference, term by term in Double. They are C because a build without optimisation, in which tests
/// run, takes ten times as long for the same loops in Swift.
///
/// Rows of a matrix are named by the place of row 0 and by what a row is further than the one before: 0 for the same row
/// again and again.

/// Whether every row `start + rows[n] · step`, of `dim` elements, lies inside an array of `size` elements.
int32_t attn_reference_fits(ptrdiff_t size, ptrdiff_t start, ptrdiff_t step, const ptrdiff_t *rows, ptrdiff_t count,
                            ptrdiff_t dim);

/// `sums[n] += factor · Σ_t a_t b_t` and `magnitudes[n] += |factor| Σ_t |a_t b_t|` for the rows `rows[0..<count]` of a and b.
void attn_reference_dots(double factor, const double *a, ptrdiff_t a_start, ptrdiff_t a_step, const double *b,
                         ptrdiff_t b_start, ptrdiff_t b_step, const ptrdiff_t *rows, ptrdiff_t count, ptrdiff_t dim,
                         double *sums, double *magnitudes);

/// `target_t += factor · factors[n] · source_t` for the rows `rows[0..<count]` of both, one after the other; of absolute values
/// of `source_t` when `is_absolute` is not 0.
void attn_reference_add(double factor, const double *factors, const double *source, ptrdiff_t source_start,
                        ptrdiff_t source_step, double *target, ptrdiff_t target_start, ptrdiff_t target_step,
                        const ptrdiff_t *rows, ptrdiff_t count, ptrdiff_t dim, int32_t is_absolute);

#pragma clang assume_nonnull end
#endif
