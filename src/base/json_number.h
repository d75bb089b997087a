/* SPDX-License-Identifier: Apache-2.0
 * Numbers as text: the shortest digits that read back as the same number (a float also through a double), the nearest of
 * these, in the form of Python's repr (0.1, 100.0, 1e-05, 1e+16). Independent of the locale. */
#ifndef ESPI_BASE_JSON_NUMBER_H
#define ESPI_BASE_JSON_NUMBER_H

#include <stddef.h>

enum { ESPI_NUMBER_BYTES = 32 };

/* Write a finite number to `out`, which has room for ESPI_NUMBER_BYTES, without a zero at the end; return its length. */
size_t espi_format_float(char *out, float value);
size_t espi_format_double(char *out, double value);

#endif
