/* SPDX-License-Identifier: Apache-2.0
 * The rates this core reaches when nothing else is in the way: what kernels are measured by. */
#ifndef ESPI_KERNELS_PEAK_H
#define ESPI_KERNELS_PEAK_H

#include "kernels/kernel.h"

enum espi_peak_kind {
    ESPI_PEAK_INT8, // products of 8-bit weights and activations with exact 32-bit sums; a multiply-add is two operations
    ESPI_PEAK_F32,  // fused multiply-adds of floats
    ESPI_PEAK_BF16, // of bf16 values to float sums; of floats where the CPU has no such instruction
    ESPI_PEAK_COPY, // bytes read and written in place in a float panel of 768 rows
    ESPI_PEAK_COUNT,
};

struct espi_peak {
    enum espi_peak_kind kind;
    enum espi_isa isa;
    const char *name;        // "vpdpbusd zmm"
    double (*measure)(void); // 10^9 operations or bytes a second, of the calling thread's core, now; well below 1 ms
};

/* Those of this architecture, the strongest of each kind first (kernels/x86/peaks_x86.c and so on). */
extern const struct espi_peak *const espi_peaks;
extern const size_t espi_peak_count;

/* The strongest of its kind that `features` and `cap` allow (as espi_kernels_choose); NULL: there is none. */
const struct espi_peak *espi_peak_find(enum espi_peak_kind kind, uint32_t features, enum espi_isa cap);

const char *espi_peak_kind_name(enum espi_peak_kind kind); // "int8", "fp32", "bf16", "copy"

#endif
