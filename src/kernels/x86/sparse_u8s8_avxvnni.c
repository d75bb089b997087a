/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/x86/int8_avxvnni.h"

void espi_sparse_u8s8_avxvnni(const struct espi_quads *weights, const uint8_t *x, size_t width, size_t first,
                              size_t end, const struct espi_epilogue *epilogue)
{
    sparse_product(weights, x, width, first, end, epilogue);
}
