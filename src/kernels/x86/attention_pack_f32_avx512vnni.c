/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/x86/head_zmm.h"

static float find_scale(const struct source *source, const struct espi_span *span, const struct espi_packed_head *head)
{
    __m512 largest[4];
    for (int v = 0; v < 4; v++)
        largest[v] = _mm512_set1_ps(0x1p-100f);
    for (size_t token = 0; token < head->count; token += 64) {
        struct part part = find_part(span, token);
        for (size_t row = 0; row < head->size; row++)
#pragma GCC unroll 4
            for (int v = 0; v < 4; v++)
                largest[v] = _mm512_max_ps(_mm512_abs_ps(load_floats(source, &part, row, v)), largest[v]);
    }
    return _mm512_reduce_max_ps(
               _mm512_max_ps(_mm512_max_ps(largest[0], largest[1]), _mm512_max_ps(largest[2], largest[3]))) *
           (1.0f / 127);
}

void espi_attention_pack_f32_avx512vnni(const float *panels, const struct espi_span *span, const size_t row[3],
                                        struct espi_packed_head *head)
{
    struct source source[3];
    for (int i = 0; i < 3; i++) {
        source[i] = (struct source){.floats = panels, .row = row[i]};
        head->scale[i] = find_scale(&source[i], span, head);
        source[i].inverse = 1.0f / head->scale[i];
    }
    pack_head(source, span, head, true);
}
