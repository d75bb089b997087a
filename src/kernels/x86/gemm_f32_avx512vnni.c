/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/x86/dense_zmm.h"

void espi_gemm_f32_avx512vnni(const struct espi_float_quads *weights, const float *x, size_t width, size_t first,
                              size_t end, const struct espi_epilogue *epilogue)
{
    const struct dense dense = {weights->weights, (const uint8_t *)x, weights->rows, weights->columns, epilogue};
    dense_product(&dense, width, first, end, DOT_F32);
}
