/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "base/simd.h"

#include <math.h>

void mutant_fused_lanes(const struct espi_lanes *p, size_t first, size_t end)
{
    for (size_t row = first; row < end; row++)
        for (size_t lane = 0; lane < p->lanes; lane++) {
            float sum = 0;
            for (size_t i = 0, at = row * p->columns; i < p->columns; i++, at++) {
                float weight = p->bf16 ? espi_float_of_bits((uint32_t)p->bf16[at] << 16) : p->weights[at];
                sum = fmaf(weight, p->x[i * p->stride + lane], sum);
            }
            p->out[row * p->out_row + lane * p->out_lane] = sum + p->bias[row];
        }
}
