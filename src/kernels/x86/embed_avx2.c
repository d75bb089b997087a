/* SPDX-License-Identifier: Apache-2.0
 * Blocks of 8 tokens by 8 features, transposed in registers. */
#include "kernels/x86/panel_ymm.h"

#include <string.h>

/* Up to 8 features of a token's row; the rest 0. */
static __m256 load_features(const struct espi_table *table, size_t size, size_t token, size_t feature, size_t features)
{
    size_t id = table->ids[token], at = id * size + feature;
    if (table->kind == ESPI_TABLE_F32)
        return _mm256_maskload_ps((const float *)table->rows + at, first_lanes(features));
    if (table->kind == ESPI_TABLE_BF16) {
        uint16_t values[8] = {0};
        memcpy(values, (const uint16_t *)table->rows + at, features * sizeof(uint16_t));
        __m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)(const void *)values));
        return _mm256_castsi256_ps(_mm256_slli_epi32(wide, 16));
    }
    int8_t values[8] = {0};
    memcpy(values, (const int8_t *)table->rows + at, features);
    __m256i wide = _mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)values));
    return _mm256_mul_ps(_mm256_cvtepi32_ps(wide), _mm256_set1_ps(table->scale[id]));
}

static void embed_block(const struct espi_table *tables, size_t count, size_t size, size_t token, size_t tokens,
                        size_t feature, size_t width, float *out)
{
    size_t features = size - feature < 8 ? size - feature : 8;
    __m256 rows[8];
    for (size_t i = 0; i < 8; i++) {
        rows[i] = _mm256_setzero_ps();
        if (token + i >= tokens)
            continue;
        rows[i] = load_features(&tables[0], size, token + i, feature, features);
        for (size_t t = 1; t < count; t++)
            rows[i] = _mm256_add_ps(rows[i], load_features(&tables[t], size, token + i, feature, features));
    }
    transpose_8(rows);
    for (size_t i = 0; i < features; i++)
        _mm256_storeu_ps(out + (feature + i) * width + token, rows[i]);
}

void espi_embed_avx2(const struct espi_table *tables, size_t count, size_t size, size_t tokens, size_t width,
                     float *out)
{
    for (size_t token = 0; token < width; token += 8)
        for (size_t feature = 0; feature < size; feature += 8)
            embed_block(tables, count, size, token, tokens, feature, width, out);
}
