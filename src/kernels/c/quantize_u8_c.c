/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/c/quantize_c.h"

void espi_quantize_u8_c(const float *x, size_t rows, size_t width, const struct espi_quantize *quantize)
{
    for (size_t token = 0; token < width; token++)
        quantize_token(quantize, x + token, rows, width, token);
}
