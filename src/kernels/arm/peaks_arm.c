/* SPDX-License-Identifier: Apache-2.0
 * The loops are assembler text, which needs no compiler flags: a row is only called where the CPU has its instructions. */
#include "kernels/peak.h"

#include "base/clock.h"

#include <stdlib.h>
#include <string.h>

/* ---- one instruction over and over, on independent chains of registers -------------------------------------------- */

enum { ROUNDS = 20000, CHAINS = 16 }; // more chains than latency times throughput

#define EACH_CHAIN(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(16) X(17) X(18) X(19) X(20) X(21) X(22) X(23)

#define MEASURE(operations, DOT)                                                                                       \
    double begun = espi_clock();                                                                                       \
    for (int i = 0; i < ROUNDS; i++)                                                                                   \
        __asm__ volatile(EACH_CHAIN(DOT)::                                                                             \
                             : "v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7", "v16", "v17", "v18", "v19", "v20",      \
                               "v21", "v22", "v23");                                                                   \
    return (operations)*1e-9 * CHAINS * ROUNDS / (espi_clock() - begun)

/* Of v24.16b and v25.4b[0], in numbers, since each assembler wants to be told of newer instructions in its own way. */
#define USDOT(chain) ".inst 0x4f99f300 + " #chain "\n"
#define UDOT(chain)  ".inst 0x6f99e300 + " #chain "\n"
#define FMLA(chain)  "fmla v" #chain ".4s, v24.4s, v25.s[0]\n"

static double dot_usdot(void)
{
    MEASURE(2.0 * 16, USDOT);
}

static double dot_udot(void)
{
    MEASURE(2.0 * 16, UDOT);
}

static double fmla(void)
{
    MEASURE(2.0 * 4, FMLA);
}

/* ---- loads and stores ---------------------------------------------------------------------------------------------- */

enum { COPY_BYTES = 768 * ESPI_PANEL_TOKENS * 4, COPY_PASSES = 8 };

static double copy(void)
{
    char *data = aligned_alloc(64, COPY_BYTES);
    if (!data)
        return 0;
    memset(data, 0, COPY_BYTES);
    double begun = espi_clock();
    for (int pass = 0; pass < COPY_PASSES; pass++)
        for (char *p = data; p < data + COPY_BYTES; p += 64)
            __asm__ volatile("ldp q0, q1, [%0]\nldp q2, q3, [%0, 32]\nstp q0, q1, [%0]\nstp q2, q3, [%0, 32]\n" ::"r"(p)
                             : "memory", "v0", "v1", "v2", "v3");
    double seconds = espi_clock() - begun;
    free(data);
    return 2e-9 * COPY_PASSES * COPY_BYTES / seconds;
}

/* ---- the table ------------------------------------------------------------------------------------------------------ */

/* The strongest of each kind first. */
static const struct espi_peak peaks[] = {
    {ESPI_PEAK_INT8, ESPI_ISA_i8mm, "usdot 4s", dot_usdot}, {ESPI_PEAK_INT8, ESPI_ISA_dotprod, "udot 4s", dot_udot},
    {ESPI_PEAK_F32, ESPI_ISA_dotprod, "fmla 4s", fmla},     {ESPI_PEAK_BF16, ESPI_ISA_dotprod, "fmla 4s", fmla},
    {ESPI_PEAK_COPY, ESPI_ISA_dotprod, "ldp, stp q", copy},
};
const struct espi_peak *const espi_peaks = peaks;
const size_t espi_peak_count = sizeof(peaks) / sizeof(peaks[0]);
