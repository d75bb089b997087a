/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/arm/dense_neon.h"

void espi_gemm_f32_dotprod(const struct espi_float_quads *weights, const float *x, size_t width, size_t first,
                           size_t end, const struct espi_epilogue *epilogue)
{
    float_product(weights, x, weights->columns, width, first, end, epilogue, false);
}
