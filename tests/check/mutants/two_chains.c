/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include <math.h>

void mutant_two_chains(const struct espi_strips *strips)
{
    for (size_t row = 0; row < strips->rows; row++)
        for (size_t column = 0; column < strips->columns; column++) {
            const float *source = strips->source + row * strips->inner;
            const float *right = strips->right + column / ESPI_STRIP * strips->pitch + column % ESPI_STRIP;
            float *target = &strips->target[row * strips->columns + column];
            float sums[2] = {strips->add ? *target : 0, 0};
            for (size_t i = 0; i < strips->inner; i++)
                sums[i % 2] = fmaf(source[i], right[i * ESPI_STRIP], sums[i % 2]);
            *target = sums[0] + sums[1];
        }
}
