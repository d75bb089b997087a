/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/kernel.h"

#include <arm_neon.h>

/* Rounded to nearest, ties to even, in the upper half of each dword; the lower half is not cleared. */
static uint32x4_t rounded(const float *x)
{
    uint32x4_t bits = vreinterpretq_u32_f32(vld1q_f32(x));
    uint32x4_t odd = vandq_u32(vshrq_n_u32(bits, 16), vdupq_n_u32(1));
    return vaddq_u32(vaddq_u32(bits, vdupq_n_u32(0x7fff)), odd);
}

void espi_interleave_bf16_dotprod(const float *panel, size_t columns, size_t width, uint16_t *out)
{
    for (size_t column = 0; column < columns; column += 2)
        for (size_t token = 0; token < width; token += 4, out += 8) {
            const float *x = panel + column * width + token;
            uint32x4_t second = column + 1 < columns ? rounded(x + width) : vdupq_n_u32(0);
            vst1q_u16(out, vreinterpretq_u16_u32(vsriq_n_u32(second, rounded(x), 16)));
        }
}
