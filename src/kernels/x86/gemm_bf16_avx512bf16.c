/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/x86/dense_zmm.h"

void espi_gemm_bf16_avx512bf16(const struct espi_float_quads *weights, const uint16_t *x, size_t width, size_t first,
                               size_t end, const struct espi_epilogue *epilogue)
{
    const struct dense dense = {weights->weights, (const uint8_t *)x, weights->rows, (weights->columns + 1) / 2,
                                epilogue};
    dense_product(&dense, width, first, end, DOT_BF16);
}
