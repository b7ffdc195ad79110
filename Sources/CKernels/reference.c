#include "CKernels.h"
#include <math.h>

int32_t attn_reference_fits(ptrdiff_t size, ptrdiff_t start, ptrdiff_t step, const ptrdiff_t *rows, ptrdiff_t count,
                            ptrdiff_t dim) {
  if (start < 0 || step < 0 || dim < 0) return 0;
  for (ptrdiff_t n = 0; n < count; n++)
    if (rows[n] < 0 || start + rows[n] * step + dim > size) return 0;
  return 1;
}

void attn_reference_dots(double factor, const double *a, ptrdiff_t a_start, ptrdiff_t a_step, const double *b,
                         ptrdiff_t b_start, ptrdiff_t b_step, const ptrdiff_t *rows, ptrdiff_t count, ptrdiff_t dim,
                         double *sums, double *magnitudes) {
  for (ptrdiff_t n = 0; n < count; n++) {
    const double *x = a + a_start + rows[n] * a_step, *y = b + b_start + rows[n] * b_step;
    double sum = 0, magnitude = 0;
    for (ptrdiff_t t = 0; t < dim; t++) {
      const double product = x[t] * y[t];
      sum += product;
      magnitude += __builtin_fabs(product);
    }
    sums[n] += factor * sum;
    magnitudes[n] += fabs(factor) * magnitude;
  }
}

void attn_reference_add(double factor, const double *factors, const double *source, ptrdiff_t source_start,
                        ptrdiff_t source_step, double *target, ptrdiff_t target_start, ptrdiff_t target_step,
                        const ptrdiff_t *rows, ptrdiff_t count, ptrdiff_t dim, int32_t is_absolute) {
  for (ptrdiff_t n = 0; n < count; n++) {
    const double *x = source + source_start + rows[n] * source_step;
    double *y = target + target_start + rows[n] * target_step;
    const double f = factor * factors[n];
    if (is_absolute)
      for (ptrdiff_t t = 0; t < dim; t++) y[t] += f * __builtin_fabs(x[t]);
    else
      for (ptrdiff_t t = 0; t < dim; t++) y[t] += f * x[t];
  }
}
