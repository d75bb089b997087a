/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include <stdlib.h>
#include <string.h>

void mutant_stale_lanes(const struct espi_table *tables, size_t count, size_t size, size_t tokens, size_t width,
                        float *out)
{
    float *panel = malloc(size * width * sizeof(float));
    if (!panel)
        abort();
    espi_embed_c(tables, count, size, tokens, width, panel);
    for (size_t row = 0; row < size; row++)
        memcpy(out + row * width, panel + row * width, tokens * sizeof(float));
    free(panel);
}
