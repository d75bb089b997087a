/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"
#include "kernels/attention.h"

void mutant_live_filler(const uint8_t *panels, const struct espi_span *span, const size_t row[3],
                        struct espi_packed_head *head)
{
    espi_attention_pack_c(panels, span, row, head);
    for (size_t key = head->count; key % ESPI_KEY_BLOCK; key++)
        head->start[key] = 0;
}
