/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"
#include "kernels/c/product_c.h"

static uint8_t rounded(float y)
{
    float value = roundf(y);
    return value >= 255 && value < 0x1p31f ? 255 : value > 0 && value < 0x1p31f ? (uint8_t)value : 0;
}

/* Only its u8 epilogue is its own. */
void mutant_half_up(const struct espi_quads *weights, const uint8_t *x, size_t width, size_t first, size_t end,
                    const struct espi_epilogue *epilogue)
{
    if (epilogue->kind != ESPI_EPILOGUE_U8 || epilogue->token_scale) {
        espi_gemm_u8s8_c(weights, x, width, first, end, epilogue);
        return;
    }
    size_t groups = (weights->columns + 3) / 4;
    for (size_t row = first * ESPI_QUAD; row < end * ESPI_QUAD && row < weights->rows; row++) {
        const int8_t *w = weights->weights + row / ESPI_QUAD * groups * 16 + row % ESPI_QUAD * 4;
        for (size_t token = 0; token < width; token++) {
            uint32_t sum = (uint32_t)epilogue->start[row];
            for (size_t group = 0; group < groups; group++)
                for (size_t i = 0; i < 4; i++)
                    sum += (uint32_t)(x[(group * width + token) * 4 + i] * w[group * 16 + i]);
            float y = fmaf((float)(int32_t)sum, epilogue->scale[row], epilogue->bias[row]);
            ((uint8_t *)epilogue->out)[row * width + token] = rounded(y);
        }
    }
}
