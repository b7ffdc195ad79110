#ifndef ATTNLAB_CGSL_SHIM_H
#define ATTNLAB_CGSL_SHIM_H
/* GSL's tables of methods are mutable globals, which Swift 6 refuses to touch; these inline functions
   choose from them in C, so that no Swift file names one. */
#include <gsl/gsl_cdf.h>
#include <gsl/gsl_errno.h>
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
#endif
