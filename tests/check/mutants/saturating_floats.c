/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include <math.h>

void mutant_saturating_floats(const float *x, size_t rows, size_t width, const struct espi_quantize *quantize)
{
    if (quantize->token_scale) {
        espi_quantize_u8_c(x, rows, width, quantize);
        return;
    }
    for (size_t i = 0; i < rows * width; i++) {
        float y = rintf(fmaf(x[i], quantize->scale[i / width], (float)quantize->zero_point));
        quantize->out[i] = y >= 255 ? 255 : y > 0 ? (uint8_t)y : 0;
    }
}
