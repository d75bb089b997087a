/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/attention_ymm.h"

void espi_attention_avx2(const struct espi_packed_head *head, size_t first_block, size_t end_block,
                         const struct espi_attention *attention, void *scratch)
{
    attend(head, first_block, end_block, attention, scratch);
}
