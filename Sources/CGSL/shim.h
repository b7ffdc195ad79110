#ifndef ATTNLAB_CGSL_SHIM_H
#define ATTNLAB_CGSL_SHIM_H
#include <gsl/gsl_errno.h>
#include <gsl/gsl_version.h>
#endif
