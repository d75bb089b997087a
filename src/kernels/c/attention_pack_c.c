/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/c/head_c.h"

struct source {
    const uint8_t *panels;
    const struct espi_span *span;
    const size_t *row;
};

static uint8_t panel_value(const void *argument, int which, size_t feature, size_t token)
{
    const struct source *source = argument;
    size_t width, at = espi_span_at(source->span, token, &width);
    return source->panels[at + (source->row[which] + feature) * width];
}

void espi_attention_pack_c(const uint8_t *panels, const struct espi_span *span, const size_t row[3],
                           struct espi_packed_head *head)
{
    struct source source = {panels, span, row};
    pack_head(panel_value, &source, head);
}
