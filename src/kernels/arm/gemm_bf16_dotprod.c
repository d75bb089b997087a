/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/arm/dense_neon.h"

void espi_gemm_bf16_dotprod(const struct espi_float_quads *weights, const uint16_t *x, size_t width, size_t first,
                            size_t end, const struct espi_epilogue *epilogue)
{
    float_product(weights, (const float *)(const void *)x, (weights->columns + 1) / 2, width, first, end, epilogue,
                  true);
}
