/* SPDX-License-Identifier: Apache-2.0
 * The loops are assembler text, which needs no compiler flags: a row is only called where the CPU has its instructions. */
#include "kernels/peak.h"

#include "base/clock.h"

#include <stdlib.h>
#include <string.h>

/* ---- one instruction over and over, on independent chains of registers -------------------------------------------- */

enum { ROUNDS = 20000, CHAINS = 12 }; // more chains than latency times throughput

#define EACH_CHAIN(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11)

#define MEASURE(operations, DOT)                                                                                       \
    double begun = espi_clock();                                                                                       \
    for (int i = 0; i < ROUNDS; i++)                                                                                   \
        __asm__ volatile(EACH_CHAIN(DOT)::                                                                             \
                             : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9",         \
                               "xmm10", "xmm11", "xmm12");                                                             \
    return (operations)*1e-9 * CHAINS * ROUNDS / (espi_clock() - begun)

#define DOT_ZMM(chain) "vpdpbusd %%zmm30, %%zmm31, %%zmm" #chain "\n"
#define DOT_YMM(chain) "%{vex%} vpdpbusd %%ymm14, %%ymm15, %%ymm" #chain "\n"
#define PAIRS_YMM(chain)                                                                                               \
    "vpmaddubsw %%ymm14, %%ymm15, %%ymm12\nvpmaddwd %%ymm13, %%ymm12, %%ymm12\nvpaddd %%ymm12, %%ymm" #chain           \
    ", %%ymm" #chain "\n"
#define FMA_ZMM(chain)  "vfmadd231ps %%zmm30, %%zmm31, %%zmm" #chain "\n"
#define FMA_YMM(chain)  "vfmadd231ps %%ymm14, %%ymm15, %%ymm" #chain "\n"
#define BF16_ZMM(chain) "vdpbf16ps %%zmm30, %%zmm31, %%zmm" #chain "\n"

static double dot_zmm(void)
{
    MEASURE(2.0 * 64, DOT_ZMM);
}

static double dot_ymm(void)
{
    MEASURE(2.0 * 32, DOT_YMM);
}

/* Without a dot product: three instructions, of which two share two ports. */
static double pairs_ymm(void)
{
    MEASURE(2.0 * 32, PAIRS_YMM);
}

static double fma_zmm(void)
{
    MEASURE(2.0 * 16, FMA_ZMM);
}

static double fma_ymm(void)
{
    MEASURE(2.0 * 8, FMA_YMM);
}

static double bf16_zmm(void)
{
    MEASURE(2.0 * 32, BF16_ZMM);
}

/* ---- loads and stores ---------------------------------------------------------------------------------------------- */

enum { COPY_BYTES = 768 * ESPI_PANEL_TOKENS * 4, COPY_PASSES = 8 };

#define MOVE_ZMM(i) "vmovaps 64*" #i "(%0), %%zmm" #i "\nvmovaps %%zmm" #i ", 64*" #i "(%0)\n"
#define MOVE_YMM(i) "vmovaps 32*" #i "(%0), %%ymm" #i "\nvmovaps %%ymm" #i ", 32*" #i "(%0)\n"

#define MEASURE_COPY(bytes, MOVE)                                                                                      \
    char *data = aligned_alloc(64, COPY_BYTES);                                                                        \
    if (!data)                                                                                                         \
        return 0;                                                                                                      \
    memset(data, 0, COPY_BYTES);                                                                                       \
    double begun = espi_clock();                                                                                       \
    for (int pass = 0; pass < COPY_PASSES; pass++)                                                                     \
        for (char *p = data; p < data + COPY_BYTES; p += 8 * (bytes))                                                  \
            __asm__ volatile(MOVE(0) MOVE(1) MOVE(2) MOVE(3) MOVE(4) MOVE(5) MOVE(6) MOVE(7)::"r"(p)                   \
                             : "memory", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7");              \
    double seconds = espi_clock() - begun;                                                                             \
    free(data);                                                                                                        \
    return 2e-9 * COPY_PASSES * COPY_BYTES / seconds

static double copy_zmm(void)
{
    MEASURE_COPY(64, MOVE_ZMM);
}

static double copy_ymm(void)
{
    MEASURE_COPY(32, MOVE_YMM);
}

/* ---- the table ------------------------------------------------------------------------------------------------------ */

/* The strongest of each kind first. */
static const struct espi_peak peaks[] = {
    {ESPI_PEAK_INT8, ESPI_ISA_avx512vnni, "vpdpbusd zmm", dot_zmm},
    {ESPI_PEAK_INT8, ESPI_ISA_avxvnni, "vpdpbusd ymm", dot_ymm},
    {ESPI_PEAK_INT8, ESPI_ISA_avx2, "vpmaddubsw, vpmaddwd, vpaddd ymm", pairs_ymm},
    {ESPI_PEAK_F32, ESPI_ISA_avx512vnni, "vfmadd231ps zmm", fma_zmm},
    {ESPI_PEAK_F32, ESPI_ISA_avx2, "vfmadd231ps ymm", fma_ymm},
    {ESPI_PEAK_BF16, ESPI_ISA_avx512bf16, "vdpbf16ps zmm", bf16_zmm},
    {ESPI_PEAK_BF16, ESPI_ISA_avx512vnni, "vfmadd231ps zmm", fma_zmm},
    {ESPI_PEAK_BF16, ESPI_ISA_avx2, "vfmadd231ps ymm", fma_ymm},
    {ESPI_PEAK_COPY, ESPI_ISA_avx512vnni, "vmovaps zmm", copy_zmm},
    {ESPI_PEAK_COPY, ESPI_ISA_avx2, "vmovaps ymm", copy_ymm},
};
const struct espi_peak *const espi_peaks = peaks;
const size_t espi_peak_count = sizeof(peaks) / sizeof(peaks[0]);
