/* SPDX-License-Identifier: Apache-2.0
 * A dense product, of whatever values: weights in groups of 4 rows times a dword, inputs in dwords of a token. A dword is 4
 * columns of bytes, one of floats or 2 of bf16. dense_zmm.h, dense_ymm.h and int8_avxvnni.h have each a
 *     dense_product(const struct dense *dense, size_t width, size_t first, size_t end, enum dot dot)
 * for output rows 4 * first .. min(4 * end, rows) - 1. */
#ifndef ESPI_KERNELS_DENSE_H
#define ESPI_KERNELS_DENSE_H

#include "kernels/kernel.h"

#define ESPI_INLINE static inline __attribute__((always_inline))

enum dot { DOT_U8S8, DOT_F32, DOT_BF16 };

struct dense {
    const int8_t *weights; // (quads, groups, 16)
    const uint8_t *x;      // (groups, width, 4)
    size_t rows, groups;
    const struct espi_epilogue *epilogue;
};

#endif
