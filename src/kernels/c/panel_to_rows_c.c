/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/kernel.h"

void espi_panel_to_rows_c(const float *panel, size_t rows, size_t width, size_t first, size_t count, float *out,
                          size_t stride)
{
    for (size_t i = 0; i < count; i++)
        for (size_t row = 0; row < rows; row++)
            out[i * stride + row] = panel[row * width + first + i];
}
