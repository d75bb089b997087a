/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/x86/int8_avxvnni.h"

void espi_gemm_u8s8_avxvnni(const struct espi_quads *weights, const uint8_t *x, size_t width, size_t first, size_t end,
                            const struct espi_epilogue *epilogue)
{
    const struct dense dense = {weights->weights, x, weights->rows, (weights->columns + 3) / 4, epilogue};
    dense_product(&dense, width, first, end, DOT_U8S8);
}
