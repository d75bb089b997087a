/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"
#include "kernels/attention.h"

#include <stdlib.h>

void mutant_turned_distance(const struct espi_packed_head *head, size_t first_block, size_t end_block,
                            const struct espi_attention *attention, void *scratch)
{
    struct espi_attention turned = *attention;
    ptrdiff_t last = (ptrdiff_t)head->count - 1;
    int16_t *words = calloc(espi_distance_count(head->count), sizeof *words);
    if (!words)
        abort();
    for (ptrdiff_t i = -last; attention->distances && i <= last; i++)
        words[last + i] = attention->distances[-i];
    turned.distances = attention->distances ? words + last : NULL;
    espi_attention_c(head, first_block, end_block, &turned, scratch);
    free(words);
}
