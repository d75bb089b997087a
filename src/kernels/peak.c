/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/peak.h"

const char *espi_peak_kind_name(enum espi_peak_kind kind)
{
    static const char *const names[ESPI_PEAK_COUNT] = {"int8", "fp32", "bf16", "copy"};
    return names[kind];
}

const struct espi_peak *espi_peak_find(enum espi_peak_kind kind, uint32_t features, enum espi_isa cap)
{
    for (size_t i = 0; i < espi_peak_count; i++)
        if (espi_peaks[i].kind == kind && espi_peaks[i].isa <= cap && espi_isa_available(espi_peaks[i].isa, features))
            return &espi_peaks[i];
    return NULL;
}
