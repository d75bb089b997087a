/* SPDX-License-Identifier: Apache-2.0
 * Blocks of 8 rows by 8 lanes, transposed in registers. */
#include "kernels/x86/panel_ymm.h"

void espi_panel_to_rows_avx2(const float *panel, size_t rows, size_t width, size_t first, size_t count, float *out,
                             size_t stride)
{
    for (size_t lane = 0; lane < count; lane += 8) {
        size_t lanes = count - lane < 8 ? count - lane : 8;
        __m256i lane_mask = first_lanes(lanes);
        for (size_t row = 0; row < rows; row += 8) {
            size_t left = rows - row < 8 ? rows - row : 8;
            __m256 block[8];
            for (size_t i = 0; i < 8; i++)
                block[i] = i < left ? _mm256_maskload_ps(panel + (row + i) * width + first + lane, lane_mask)
                                    : _mm256_setzero_ps();
            transpose_8(block);
            for (size_t i = 0; i < lanes; i++)
                _mm256_maskstore_ps(out + (lane + i) * stride + row, first_lanes(left), block[i]);
        }
    }
}
