/* SPDX-License-Identifier: Apache-2.0
 * The floating-point environment: rounding, flushing of small numbers to zero, exceptions that trap. A program that links
 * the library may have changed it (fesetround, feenableexcept, -ffast-math); results must not depend on that. */
#ifndef ESPI_BASE_FLOATS_H
#define ESPI_BASE_FLOATS_H

#include <fenv.h>

/* For a thread that is ours. */
static inline void espi_floats_default(void)
{
    fesetenv(FE_DFL_ENV);
}

/* Around each call from outside that computes with floats: the caller's environment is kept in `caller`, … */
static inline void espi_floats_enter(fenv_t *caller)
{
    fegetenv(caller);
    fesetenv(FE_DFL_ENV);
}

/* … and comes back, without exceptions that were raised meanwhile. */
static inline void espi_floats_leave(const fenv_t *caller)
{
    fesetenv(caller);
}

#endif
