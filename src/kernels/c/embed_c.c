/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/kernel.h"

#include <string.h>

static float table_value(const struct espi_table *table, size_t size, size_t token, size_t feature)
{
    size_t id = table->ids[token], at = id * size + feature;
    if (table->kind == ESPI_TABLE_F32)
        return ((const float *)table->rows)[at];
    if (table->kind == ESPI_TABLE_S8)
        return (float)((const int8_t *)table->rows)[at] * table->scale[id];
    uint32_t bits = (uint32_t)((const uint16_t *)table->rows)[at] << 16;
    float value;
    memcpy(&value, &bits, sizeof(value));
    return value;
}

void espi_embed_c(const struct espi_table *tables, size_t count, size_t size, size_t tokens, size_t width, float *out)
{
    for (size_t feature = 0; feature < size; feature++)
        for (size_t token = 0; token < width; token++) {
            float sum = token < tokens ? table_value(&tables[0], size, token, feature) : 0;
            for (size_t i = 1; i < count && token < tokens; i++)
                sum += table_value(&tables[i], size, token, feature);
            out[feature * width + token] = sum;
        }
}
