/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"
#include "kernels/attention.h"

void mutant_next_sequence(const struct espi_packed_head *head, size_t first_block, size_t end_block,
                          const struct espi_attention *attention, void *scratch)
{
    size_t width, at = espi_span_at(&attention->span, head->count - 1, &width);
    espi_attention_c(head, first_block, end_block, attention, scratch);
    if (attention->kind != ESPI_EPILOGUE_U8 || (at + 1) % width == 0)
        return;
    for (size_t row = attention->row; row < attention->row + head->size; row++)
        ((uint8_t *)attention->out)[at + 1 + row * width] ^= 1;
}
