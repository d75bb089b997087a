/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

/* Right results, one stray read: only the forbidden pages notice. */
void mutant_wide_load(const struct espi_quads *weights, const uint8_t *x, size_t width, size_t first, size_t end,
                      const struct espi_epilogue *epilogue)
{
    for (size_t i = (size_t)weights->starts[first] * 4; i < (size_t)weights->starts[end] * 4; i++)
        (void)*(const volatile uint8_t *)(x + weights->indices[i] * width + 63);
    espi_sparse_u8s8_c(weights, x, width, first, end, epilogue);
}
