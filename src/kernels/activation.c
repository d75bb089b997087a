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

/* Where the bump stops to matter for outputs of this scale. The table's 127 buckets cover that far and no farther. */
static double bump_end(enum espi_curve kind, double scale)
{
    double end = 4;
    while (end > 1.5 && bump(kind, end - 0.125) < scale / 8)
        end -= 0.125;
    return end;
}

int espi_activation_gelu(esp_context *ctx, enum espi_curve kind, float scale, int zero_point,
                         struct espi_activation_table *activation)
{
    memset(activation, 0, sizeof(*activation));
    if (!(scale > 0) || !isfinite(scale))
        return espi_fail(ctx, ESP_ERR_ARGUMENT, "activation: expected a positive scale, found %g", (double)scale);
    if (zero_point < 0 || zero_point > 127)
        return espi_fail(ctx, ESP_ERR_ARGUMENT, "activation: expected a zero point from 0 to 127, found %d",
                         zero_point);
    int shift = MAX_SHIFT;
    while ((zero_point << shift) + (1 << (shift - 1)) > UINT8_MAX) // never below 1: 127 * 2 + 1 fits
        shift--;
    double unit = (double)scale / (1 << shift);
    double wanted = (ENTRIES - 1) * 65536.0 * unit / bump_end(kind, (double)scale);
    activation->shift = (uint16_t)shift;
    activation->index_scale = (uint16_t)(wanted < UINT16_MAX ? wanted : UINT16_MAX);
    if (!activation->index_scale) // a scale so small that every p of 16 bits is in the first bucket
        activation->index_scale = 1;
    for (int i = 0; i < ENTRIES; i++) {
        double x = (i + 0.5) * 65536.0 / activation->index_scale * unit; // the middle of the bucket
        double value = (zero_point << shift) + (1 << (shift - 1)) - (i < ENTRIES - 1 ? bump(kind, x) : 0) / unit;
        activation->table[i] = (uint8_t)(value > 0 ? lrint(value) : 0);
    }
    return ESP_OK;
}

/* Minimax fits of a * P(s(a^2)) to Φ(a) - 1/2, errors weighted by a; `limit` is where Q ends at 0. */
const struct espi_activation_curve *espi_activation_curve(enum espi_curve kind)
{
    static const struct espi_activation_curve curves[] = {
        [ESPI_CURVE_GELU] = {4.84800005f,
                             0.0868055522f,
                             {0.147212788f, -0.0729797557f, 0.0529040992f, -0.0405659266f, 0.0307208151f,
                              -0.0221875403f, 0.0138641167f, -0.00744337309f, 0.00539232651f, -0.00419462007f,
                              0.00144374592f}},
        [ESPI_CURVE_GELU_TANH] = {4.64599991f,
                                  0.0945179611f,
                                  {0.153572246f, -0.0758655667f, 0.0542628951f, -0.0403697789f, 0.0290422197f,
                                   -0.0195703935f, 0.0114208991f, -0.00591104012f, 0.00435503945f, -0.00339602632f,
                                   0.00115515094f}},
        [ESPI_CURVE_RELU] = {1, 0, {1e30f}}, // Q is 0 for every a above 0
    };
    return &curves[kind];
}
