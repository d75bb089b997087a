/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/arm/head_neon.h"

void espi_attention_pack_dotprod(const uint8_t *panels, const struct espi_span *span, const size_t row[3],
                                 struct espi_packed_head *head)
{
    struct source source[3];
    for (int i = 0; i < 3; i++)
        source[i] = (struct source){.panels = panels, .row = row[i]};
    pack_head(source, sizeof(uint8_t), span, head);
}
