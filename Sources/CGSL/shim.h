#ifndef ATTNLAB_CGSL_SHIM_H
#define ATTNLAB_CGSL_SHIM_H
/* GSL's tables of methods are mutable globals, which Swift 6 refuses to touch; these inline functions
   choose from them in C, so that no Swift file names one. */
#include <gsl/gsl_cdf.h>
#include <gsl/gsl_blas.h>
#include <gsl/gsl_errno.h>
#include <gsl/gsl_linalg.h>
#include <gsl/gsl_multifit_nlinear.h>
#include <gsl/gsl_version.h>

/* GSL's default handler aborts the process; errors are to come back as status codes. */
static inline void attnlab_gsl_return_errors(void) { gsl_set_error_handler_off(); }

static inline const char *attnlab_gsl_version(void) { return GSL_VERSION; }

/* method: 0 Levenberg-Marquardt with geodesic acceleration, 1 Levenberg-Marquardt, 2 double dogleg.
   scale: 0 More (invariant to units), 1 Levenberg, 2 Marquardt. The linear solver is QR. */
static inline gsl_multifit_nlinear_workspace *attnlab_nlinear_alloc(int method, int scale, size_t n,
                                                                    size_t p) {
  gsl_multifit_nlinear_parameters parameters = gsl_multifit_nlinear_default_parameters();
  parameters.trs = method == 0   ? gsl_multifit_nlinear_trs_lmaccel
                   : method == 1 ? gsl_multifit_nlinear_trs_lm
                                 : gsl_multifit_nlinear_trs_ddogleg;
  parameters.scale = scale == 0   ? gsl_multifit_nlinear_scale_more
                     : scale == 1 ? gsl_multifit_nlinear_scale_levenberg
                                  : gsl_multifit_nlinear_scale_marquardt;
  parameters.solver = gsl_multifit_nlinear_solver_qr;
  parameters.fdtype = GSL_MULTIFIT_NLINEAR_CTRDIFF;
  return gsl_multifit_nlinear_alloc(gsl_multifit_nlinear_trust, &parameters, n, p);
}

/* Factorisations of arrays in row order, in place. All return GSL's status, 0 when done. */

/* A = D^-1 (L L^T) D^-1 with D = scale, which makes the diagonal one before ridge is added to it. Pivots up to
   least count as not positive. */
static inline int attnlab_cholesky(double *a, double *scale, size_t n, double ridge, double least) {
  if (n == 0) return GSL_SUCCESS;
  gsl_matrix_view m = gsl_matrix_view_array(a, n, n);
  gsl_vector_view s = gsl_vector_view_array(scale, n);
  for (size_t i = 0; i < n; i++)
    if (!(a[i * n + i] > 0)) return GSL_EDOM;
  int status = gsl_linalg_cholesky_scale(&m.matrix, &s.vector);
  if (status == GSL_SUCCESS) status = gsl_linalg_cholesky_scale_apply(&m.matrix, &s.vector);
  if (status != GSL_SUCCESS) return status;
  for (size_t i = 0; i < n; i++) a[i * n + i] += ridge;
  status = gsl_linalg_cholesky_decomp1(&m.matrix);
  for (size_t i = 0; status == GSL_SUCCESS && i < n; i++)
    if (!(a[i * n + i] * a[i * n + i] > least)) status = GSL_EDOM;
  return status;
}

static inline int attnlab_cholesky_solve(const double *factor, const double *scale, double *x, size_t n) {
  if (n == 0) return GSL_SUCCESS;
  gsl_matrix_const_view m = gsl_matrix_const_view_array(factor, n, n);
  gsl_vector_const_view s = gsl_vector_const_view_array(scale, n);
  gsl_vector_view v = gsl_vector_view_array(x, n);
  return gsl_linalg_cholesky_svx2(&m.matrix, &s.vector, &v.vector);
}

static inline int attnlab_cholesky_inverse(double *factor, const double *scale, size_t n) {
  if (n == 0) return GSL_SUCCESS;
  gsl_matrix_view m = gsl_matrix_view_array(factor, n, n);
  int status = gsl_linalg_cholesky_invert(&m.matrix);
  for (size_t i = 0; i < n; i++)
    for (size_t j = 0; j < n; j++) factor[i * n + j] *= scale[i] * scale[j];
  return status;
}

/* inverse = A^-1 by LU with pivoting of A with each column divided by its largest element; GSL_EDOM when a pivot
   is not above least. A is overwritten. */
static inline int attnlab_lu_inverse(double *a, double *inverse, size_t n, double least) {
  if (n == 0) return GSL_SUCCESS;
  gsl_matrix_view m = gsl_matrix_view_array(a, n, n);
  gsl_matrix_view v = gsl_matrix_view_array(inverse, n, n);
  gsl_permutation *order = gsl_permutation_alloc(n);
  gsl_vector *scale = gsl_vector_alloc(n);
  int sign = 0, status = order && scale ? GSL_SUCCESS : GSL_ENOMEM;
  for (size_t k = 0; status == GSL_SUCCESS && k < n; k++) {
    gsl_vector_view column = gsl_matrix_column(&m.matrix, k);
    double size = fabs(gsl_vector_get(&column.vector, gsl_blas_idamax(&column.vector)));
    if (!(size > 0)) status = GSL_EDOM;
    else gsl_vector_scale(&column.vector, 1 / size);
    gsl_vector_set(scale, k, size);
  }
  if (status == GSL_SUCCESS) status = gsl_linalg_LU_decomp(&m.matrix, order, &sign);
  for (size_t k = 0; status == GSL_SUCCESS && k < n; k++)
    if (!(fabs(a[k * n + k]) > least)) status = GSL_EDOM;
  if (status == GSL_SUCCESS) status = gsl_linalg_LU_invert(&m.matrix, order, &v.matrix);
  for (size_t k = 0; status == GSL_SUCCESS && k < n; k++) {
    gsl_vector_view row = gsl_matrix_row(&v.matrix, k);
    gsl_vector_scale(&row.vector, 1 / gsl_vector_get(scale, k));
  }
  if (scale) gsl_vector_free(scale);
  if (order) gsl_permutation_free(order);
  return status;
}

/* A[rows, p] diag(1/norms) = Q R and R = left diag(singular) right^T; b becomes Q^T b. A is overwritten.
   Needs rows >= p > 0. */
static inline int attnlab_tall_factor(double *a, double *b, size_t rows, size_t p, double *norms, double *left,
                                      double *right, double *singular) {
  gsl_matrix_view m = gsl_matrix_view_array(a, rows, p);
  gsl_matrix_view u = gsl_matrix_view_array(left, p, p);
  gsl_matrix_view v = gsl_matrix_view_array(right, p, p);
  gsl_vector_view s = gsl_vector_view_array(singular, p);
  gsl_vector_view rhs = gsl_vector_view_array(b, rows);
  gsl_vector *tau = gsl_vector_alloc(p);
  if (!tau) return GSL_ENOMEM;
  for (size_t k = 0; k < p; k++) {
    gsl_vector_view column = gsl_matrix_column(&m.matrix, k);
    norms[k] = gsl_blas_dnrm2(&column.vector);
    if (norms[k] > 0)
      for (size_t i = 0; i < rows; i++) a[i * p + k] /= norms[k];
  }
  int status = gsl_linalg_QR_decomp(&m.matrix, tau);
  if (status == GSL_SUCCESS) status = gsl_linalg_QR_QTvec(&m.matrix, tau, &rhs.vector);
  for (size_t i = 0; i < p; i++)
    for (size_t k = 0; k < p; k++) left[i * p + k] = k >= i ? a[i * p + k] : 0;
  if (status == GSL_SUCCESS) status = gsl_linalg_SV_decomp_jacobi(&u.matrix, &v.matrix, &s.vector);
  gsl_vector_free(tau);
  return status;
}
#endif
