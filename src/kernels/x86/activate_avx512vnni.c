/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/c/lanes_c.h"

void espi_activate_avx512vnni(enum espi_activation activation, float *x, size_t count)
{
    activate_floats(activation, x, count);
}
