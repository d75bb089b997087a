/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/arm/panel_neon.h"

void espi_quantize_u8_dotprod(const float *x, size_t rows, size_t width, const struct espi_quantize *quantize)
{
    for (size_t token = 0; token < width; token += CHUNK) {
        struct extremes extremes = {0};
        for (size_t row = 0; row < rows; row++) {
            size_t at = row * width + token;
            float32x4_t values[4];
            load_floats(x + at, values);
            if (quantize->token_scale)
                extremes_add(&extremes, values, quantize->scale[row]);
            else
                quantize_fixed_row(quantize, values, row, quantize->out + at);
        }
        if (quantize->token_scale)
            quantize_tokens(quantize, x, rows, width, token, &extremes);
    }
}
