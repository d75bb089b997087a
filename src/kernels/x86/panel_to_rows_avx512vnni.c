/* SPDX-License-Identifier: Apache-2.0
 * Blocks of 16 rows by 16 lanes, transposed in registers. */
#include "kernels/x86/panel_zmm.h"

void espi_panel_to_rows_avx512vnni(const float *panel, size_t rows, size_t width, size_t first, size_t count,
                                   float *out, size_t stride)
{
    for (size_t lane = 0; lane < count; lane += 16) {
        size_t lanes = count - lane < 16 ? count - lane : 16;
        __mmask16 lane_mask = (__mmask16)((1u << lanes) - 1);
        for (size_t row = 0; row < rows; row += 16) {
            size_t left = rows - row < 16 ? rows - row : 16;
            __mmask16 row_mask = (__mmask16)((1u << left) - 1);
            __m512 block[16];
#pragma GCC unroll 16
            for (size_t i = 0; i < 16; i++)
                block[i] = i < left ? _mm512_maskz_loadu_ps(lane_mask, panel + (row + i) * width + first + lane)
                                    : _mm512_setzero_ps();
            transpose_16(block);
#pragma GCC unroll 16
            for (size_t i = 0; i < 16; i++)
                if (i < lanes)
                    _mm512_mask_storeu_ps(out + (lane + i) * stride + row, row_mask, block[i]);
        }
    }
}
