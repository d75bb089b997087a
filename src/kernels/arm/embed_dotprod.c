/* SPDX-License-Identifier: Apache-2.0
 * Blocks of 4 tokens by 4 features, transposed in registers. */
#include "kernels/arm/panel_neon.h"

#include <string.h>

/* Up to 4 features of a token's row; the rest 0. */
static float32x4_t load_features(const struct espi_table *table, size_t size, size_t token, size_t feature,
                                 size_t features)
{
    static const size_t elements[] = {
        [ESPI_TABLE_F32] = sizeof(float), [ESPI_TABLE_BF16] = sizeof(uint16_t), [ESPI_TABLE_S8] = sizeof(int8_t)};
    const size_t id = table->ids[token], element = elements[table->kind];
    uint32_t values[4] = {0};
    memcpy(values, (const uint8_t *)table->rows + (id * size + feature) * element, features * element);
    if (table->kind == ESPI_TABLE_F32)
        return vreinterpretq_f32_u32(vld1q_u32(values));
    if (table->kind == ESPI_TABLE_BF16)
        return vreinterpretq_f32_u32(vshll_n_u16(vreinterpret_u16_u32(vld1_u32(values)), 16));
    int16x4_t words = vget_low_s16(vmovl_s8(vreinterpret_s8_u32(vld1_u32(values))));
    return vmulq_n_f32(vcvtq_f32_s32(vmovl_s16(words)), table->scale[id]);
}

static void embed_block(const struct espi_table *tables, size_t count, size_t size, size_t token, size_t tokens,
                        size_t feature, size_t width, float *out)
{
    size_t features = size - feature < 4 ? size - feature : 4;
    float32x4_t rows[4];
    for (size_t i = 0; i < 4; i++) {
        rows[i] = vdupq_n_f32(0);
        if (token + i >= tokens)
            continue;
        rows[i] = load_features(&tables[0], size, token + i, feature, features);
        for (size_t t = 1; t < count; t++)
            rows[i] = vaddq_f32(rows[i], load_features(&tables[t], size, token + i, feature, features));
    }
    transpose_4(rows);
    for (size_t i = 0; i < features; i++)
        vst1q_f32(out + (feature + i) * width + token, rows[i]);
}

void espi_embed_dotprod(const struct espi_table *tables, size_t count, size_t size, size_t tokens, size_t width,
                        float *out)
{
    for (size_t token = 0; token < width; token += 4)
        for (size_t feature = 0; feature < size; feature += 4)
            embed_block(tables, count, size, token, tokens, feature, width, out);
}
