/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/head_ymm.h"

static float find_step(const struct source *source, const struct espi_span *span, const struct espi_packed_head *head)
{
    const __m256 sign = _mm256_set1_ps(-0.0f);
    __m256 largest = _mm256_set1_ps(0x1p-100f);
    for (size_t token = 0; token < head->count; token += BLOCK) {
        struct part part = find_part(span, token);
        for (size_t row = 0; row < head->size; row++) {
            float buffer[BLOCK];
            if (part.count[0] != BLOCK)
                memset(buffer, 0, sizeof(buffer));
            const float *values = gather(source, &part, row, buffer);
            for (int i = 0; i < BLOCK; i += 8)
                largest = _mm256_max_ps(_mm256_andnot_ps(sign, _mm256_loadu_ps(values + i)), largest);
        }
    }
    float lanes[8], step = 0;
    _mm256_storeu_ps(lanes, largest);
    for (int i = 0; i < 8; i++)
        step = lanes[i] > step ? lanes[i] : step;
    return step * (1.0f / 127);
}

void espi_attention_pack_f32_avx2(const float *panels, const struct espi_span *span, const size_t row[3],
                                  struct espi_packed_head *head)
{
    struct source source[3];
    for (int i = 0; i < 3; i++) {
        source[i] = (struct source){.panels = panels, .element = sizeof(float), .row = row[i]};
        head->step[i] = find_step(&source[i], span, head);
        source[i].inverse = 1.0f / head->step[i];
    }
    pack_head(source, span, head);
}
