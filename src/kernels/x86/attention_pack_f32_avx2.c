/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/x86/head_ymm.h"

/* The largest |x| so far and of 16 values, of those that exist. */
ESPI_INLINE void take_larger(__m256 largest[2], const float *values, const __m256 magnitude[2])
{
    largest[0] = _mm256_max_ps(_mm256_and_ps(magnitude[0], _mm256_loadu_ps(values)), largest[0]);
    largest[1] = _mm256_max_ps(_mm256_and_ps(magnitude[1], _mm256_loadu_ps(values + 8)), largest[1]);
}

/* Masks of the magnitudes of 16 values, 0 for those that do not exist. */
ESPI_INLINE void find_magnitude(__m128i real, __m256 magnitude[2])
{
    const __m256i all = _mm256_set1_epi32(INT32_MAX);
    magnitude[0] = _mm256_castsi256_ps(_mm256_and_si256(_mm256_cvtepi8_epi32(real), all));
    magnitude[1] = _mm256_castsi256_ps(_mm256_and_si256(_mm256_cvtepi8_epi32(_mm_srli_si128(real, 8)), all));
}

static float find_scale(const struct source *source, const struct espi_span *span, const struct espi_packed_head *head)
{
    __m256 largest[2] = {_mm256_set1_ps(0x1p-100f), _mm256_set1_ps(0x1p-100f)};
    float buffer[BLOCK] = {0};
    for (size_t token = 0; token < head->count; token += BLOCK) {
        const struct part part = find_part(span, token);
        __m256 magnitude[BLOCK / CHUNK][2];
        for (size_t i = 0; i < BLOCK / CHUNK; i++)
            find_magnitude(part.real[i], magnitude[i]);
        for (size_t row = 0; row < head->size; row++) {
            const float *values = find_row(source, &part, row, sizeof(float), buffer);
#pragma GCC unroll 4
            for (size_t lane = 0; lane < BLOCK; lane += CHUNK)
                if (lane < part.lanes)
                    take_larger(largest, values + lane, magnitude[lane / CHUNK]);
        }
    }
    float lanes[8], most = 0;
    _mm256_storeu_ps(lanes, _mm256_max_ps(largest[0], largest[1]));
    for (int i = 0; i < 8; i++)
        most = lanes[i] > most ? lanes[i] : most;
    return most * (1.0f / 127);
}

void espi_attention_pack_f32_avx2(const float *panels, const struct espi_span *span, const size_t row[3],
                                  struct espi_packed_head *head)
{
    struct source source[3];
    for (int i = 0; i < 3; i++) {
        source[i] = (struct source){.panels = panels, .row = row[i]};
        head->scale[i] = find_scale(&source[i], span, head);
        source[i].inverse = 1.0f / head->scale[i];
    }
    pack_head(source, sizeof(float), span, head);
}
