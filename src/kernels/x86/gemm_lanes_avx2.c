/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/c/lanes_c.h"

void espi_gemm_lanes_avx2(const struct espi_lanes *lanes, size_t first, size_t end)
{
    lanes_product(lanes, first, end);
}
