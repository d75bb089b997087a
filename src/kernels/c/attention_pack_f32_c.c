/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/c/head_c.h"
#include "kernels/c/quantize_c.h"

struct source {
    const float *panels;
    const struct espi_span *span;
    const size_t *row;
    float inverse[3];
};

static float panel_float(const struct source *source, int which, size_t feature, size_t token)
{
    size_t width, at = espi_span_at(source->span, token, &width);
    return source->panels[at + (source->row[which] + feature) * width];
}

static uint8_t panel_value(const void *argument, int which, size_t feature, size_t token)
{
    const struct source *source = argument;
    float y = fmaf(panel_float(source, which, feature, token), source->inverse[which], 128);
    return (uint8_t)clamp(round_to_int(y), 1, 255);
}

void espi_attention_pack_f32_c(const float *panels, const struct espi_span *span, const size_t row[3],
                               struct espi_packed_head *head)
{
    struct source source = {.panels = panels, .span = span, .row = row};
    for (int which = 0; which < 3; which++) {
        float largest = 0x1p-100f;
        for (size_t feature = 0; feature < head->size; feature++)
            for (size_t token = 0; token < head->count; token++)
                largest = larger(fabsf(panel_float(&source, which, feature, token)), largest);
        head->scale[which] = largest * (1.0f / 127);
        source.inverse[which] = 1.0f / head->scale[which];
    }
    pack_head(panel_value, &source, head);
}
