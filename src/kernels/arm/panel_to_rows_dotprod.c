/* SPDX-License-Identifier: Apache-2.0
 * Blocks of 4 rows by 4 lanes, transposed in registers; what is left over one by one. */
#include "kernels/arm/panel_neon.h"

void espi_panel_to_rows_dotprod(const float *panel, size_t rows, size_t width, size_t first, size_t count, float *out,
                                size_t stride)
{
    const size_t whole_rows = rows / 4 * 4, whole_lanes = count / 4 * 4;
    for (size_t lane = 0; lane < whole_lanes; lane += 4)
        for (size_t row = 0; row < whole_rows; row += 4) {
            float32x4_t block[4];
            for (size_t i = 0; i < 4; i++)
                block[i] = vld1q_f32(panel + (row + i) * width + first + lane);
            transpose_4(block);
            for (size_t i = 0; i < 4; i++)
                vst1q_f32(out + (lane + i) * stride + row, block[i]);
        }
    for (size_t lane = 0; lane < count; lane++)
        for (size_t row = lane < whole_lanes ? whole_rows : 0; row < rows; row++)
            out[lane * stride + row] = panel[row * width + first + lane];
}
