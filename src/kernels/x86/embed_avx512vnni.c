/* SPDX-License-Identifier: Apache-2.0
 * Blocks of 16 tokens by 16 features, transposed in registers. */
#include "kernels/x86/panel_zmm.h"

ESPI_INLINE __m512 load_features(const struct espi_table *table, size_t size, size_t token, size_t feature,
                                 __mmask16 mask)
{
    size_t id = table->ids[token], at = id * size + feature;
    if (table->kind == ESPI_TABLE_F32)
        return _mm512_maskz_loadu_ps(mask, (const float *)table->rows + at);
    if (table->kind == ESPI_TABLE_BF16) {
        __m256i values = _mm256_maskz_loadu_epi16(mask, (const uint16_t *)table->rows + at);
        return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(values), 16));
    }
    __m512i values = _mm512_cvtepi8_epi32(_mm_maskz_loadu_epi8(mask, (const int8_t *)table->rows + at));
    return _mm512_mul_ps(_mm512_cvtepi32_ps(values), _mm512_set1_ps(table->scale[id]));
}

ESPI_INLINE void embed_block(const struct espi_table *tables, size_t count, size_t size, size_t token, size_t tokens,
                             size_t feature, size_t width, float *out)
{
    size_t features = size - feature < 16 ? size - feature : 16;
    __mmask16 mask = (__mmask16)((1u << features) - 1);
    __m512 rows[16];
#pragma GCC unroll 16
    for (size_t i = 0; i < 16; i++) {
        rows[i] = _mm512_setzero_ps();
        if (token + i >= tokens)
            continue;
        rows[i] = load_features(&tables[0], size, token + i, feature, mask);
        for (size_t t = 1; t < count; t++)
            rows[i] = _mm512_add_ps(rows[i], load_features(&tables[t], size, token + i, feature, mask));
    }
    transpose_16(rows);
    out += feature * width + token;
#pragma GCC unroll 16
    for (size_t i = 0; i < 16; i++)
        if (i < features)
            _mm512_storeu_ps(out + i * width, rows[i]);
}

void espi_embed_avx512vnni(const struct espi_table *tables, size_t count, size_t size, size_t tokens, size_t width,
                           float *out)
{
    for (size_t token = 0; token < width; token += 16)
        for (size_t feature = 0; feature < size; feature += 16)
            embed_block(tables, count, size, token, tokens, feature, width, out);
}
