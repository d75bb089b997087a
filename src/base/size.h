/* SPDX-License-Identifier: Apache-2.0
 * Checked arithmetic on sizes: every sum or product that comes from a file goes through here. */
#ifndef ESPI_BASE_SIZE_H
#define ESPI_BASE_SIZE_H

#include <stdbool.h>
#include <stddef.h>

#define ESPI_COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* True when the result fits; *out is set only then. */
static inline bool espi_size_add(size_t a, size_t b, size_t *out)
{
    return !__builtin_add_overflow(a, b, out);
}

static inline bool espi_size_mul(size_t a, size_t b, size_t *out)
{
    return !__builtin_mul_overflow(a, b, out);
}

static inline size_t espi_size_min(size_t a, size_t b)
{
    return a < b ? a : b;
}

static inline size_t espi_size_max(size_t a, size_t b)
{
    return a > b ? a : b;
}

/* `value` up to the next multiple of `multiple` (a power of two). The caller has checked that it fits. */
static inline size_t espi_round_up(size_t value, size_t multiple)
{
    return (value + multiple - 1) & ~(multiple - 1);
}

#endif
