/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/arm/int8_neon.h"

void espi_gemm_u8s8_dotprod(const struct espi_quads *weights, const uint8_t *x, size_t width, size_t first, size_t end,
                            const struct espi_epilogue *epilogue)
{
    dense_product(weights, x, width, first, end, epilogue);
}
