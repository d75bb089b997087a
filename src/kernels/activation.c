/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/activation.h"

#include <math.h>
#include <string.h>

enum { MAX_SHIFT = 6, ENTRIES = 128 };

/* max(x, 0) - f(x) for x >= 0; f(-x) = -that, so the bump is even. */
static double bump(enum espi_curve kind, double x)
{
    switch (kind) {
    case ESPI_CURVE_GELU:
        return x * 0.5 * erfc(x * M_SQRT1_2);
    case ESPI_CURVE_GELU_TANH:
        return x * 0.5 * (1 - tanh(M_2_SQRTPI * M_SQRT1_2 * (x + 0.044715 * x * x * x)));
    case ESPI_CURVE_RELU:
        break;
    }
    return 0;
}

/* Where the bump stops to matter for outputs of this step. The table's 127 buckets cover that far and no farther. */
static double bump_end(enum espi_curve kind, double step)
{
    double end = 4;
    while (end > 1.5 && bump(kind, end - 0.125) < step / 8)
        end -= 0.125;
    return end;
}

int espi_activation_gelu(esp_context *ctx, enum espi_curve kind, float step, int zero_point,
                         struct espi_activation_table *activation)
{
    memset(activation, 0, sizeof(*activation));
    if (!(step > 0) || !isfinite(step))
        return espi_fail(ctx, ESP_ERR_ARGUMENT, "activation: expected a positive step, found %g", (double)step);
    if (zero_point < 0 || zero_point > 127)
        return espi_fail(ctx, ESP_ERR_ARGUMENT, "activation: expected a zero point from 0 to 127, found %d",
                         zero_point);
    int shift = MAX_SHIFT;
    while ((zero_point << shift) + (1 << (shift - 1)) > UINT8_MAX) // never below 1: 127 * 2 + 1 fits
        shift--;
    double unit = (double)step / (1 << shift);
    double wanted = (ENTRIES - 1) * 65536.0 * unit / bump_end(kind, (double)step);
    activation->shift = (uint16_t)shift;
    activation->index_scale = (uint16_t)(wanted < UINT16_MAX ? wanted : UINT16_MAX);
    if (!activation->index_scale) // a step so small that every p of 16 bits is in the first bucket
        activation->index_scale = 1;
    for (int i = 0; i < ENTRIES; i++) {
        double x = (i + 0.5) * 65536.0 / activation->index_scale * unit; // the middle of the bucket
        double value = (zero_point << shift) + (1 << (shift - 1)) - (i < ENTRIES - 1 ? bump(kind, x) : 0) / unit;
        activation->table[i] = (uint8_t)(value > 0 ? lrint(value) : 0);
    }
    return ESP_OK;
}
