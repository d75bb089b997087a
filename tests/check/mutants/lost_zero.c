/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

void mutant_lost_zero(enum espi_activation activation, float *x, size_t count)
{
    espi_activate_c(activation, x, count);
    for (size_t i = 0; i < count; i++)
        x[i] += 0.0f;
}
