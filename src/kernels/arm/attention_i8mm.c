/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/arm/attention_neon.h"

void espi_attention_i8mm(const struct espi_packed_head *head, size_t first_block, size_t end_block,
                         const struct espi_attention *attention, void *scratch)
{
    attend_blocks(head, first_block, end_block, attention, scratch);
}
