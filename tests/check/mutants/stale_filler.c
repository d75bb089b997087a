/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

void mutant_stale_filler(const uint8_t *panel, size_t columns, size_t width, uint8_t *out)
{
    for (size_t column = 0; column < columns; column++)
        for (size_t token = 0; token < width; token++)
            out[(column / 4 * width + token) * 4 + column % 4] = panel[column * width + token];
}
