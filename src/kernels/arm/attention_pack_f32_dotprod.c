/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/arm/head_neon.h"

static float find_scale(const struct source *source, const struct espi_span *span, const struct espi_packed_head *head)
{
    float32x4_t largest[4];
    for (int v = 0; v < 4; v++)
        largest[v] = vdupq_n_f32(0x1p-100f);
    for (size_t token = 0; token < head->count; token += CHUNK) {
        const struct part part = find_part(span, token);
        uint32x4_t real[4]; // bytes of a mask, four times each
        const uint8x16_t pairs[2] = {vzip1q_u8(part.real, part.real), vzip2q_u8(part.real, part.real)};
        for (int v = 0; v < 4; v++) {
            uint16x8_t words = vreinterpretq_u16_u8(pairs[v / 2]);
            real[v] = vreinterpretq_u32_u16(v % 2 ? vzip2q_u16(words, words) : vzip1q_u16(words, words));
        }
        for (size_t row = 0; row < head->size; row++) {
            float buffer[CHUNK] = {0};
            float32x4_t x[4];
            load_floats(find_row(source, &part, row, sizeof(float), buffer), x);
#pragma GCC unroll 4
            for (int v = 0; v < 4; v++) {
                uint32x4_t magnitude = vandq_u32(vreinterpretq_u32_f32(vabsq_f32(x[v])), real[v]);
                largest[v] = vmaxnmq_f32(vreinterpretq_f32_u32(magnitude), largest[v]);
            }
        }
    }
    return vmaxnmvq_f32(vmaxnmq_f32(vmaxnmq_f32(largest[0], largest[1]), vmaxnmq_f32(largest[2], largest[3]))) *
           (1.0f / 127);
}

void espi_attention_pack_f32_dotprod(const float *panels, const struct espi_span *span, const size_t row[3],
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
