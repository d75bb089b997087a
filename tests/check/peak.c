/* SPDX-License-Identifier: Apache-2.0
 * The rate at which this core does dot products when nothing else is in the way: what a kernel is measured by. */
#include "check.h"

#include "base/clock.h"

#if defined(__x86_64__)

enum { ROUNDS = 20000, CHAINS = 12 }; // more chains than latency times throughput

#define EACH_CHAIN(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11)

/* One instruction over and over, on independent chains of registers. */
#define MEASURE(operations, DOT)                                                                                       \
    double begun = espi_clock();                                                                                       \
    for (int i = 0; i < ROUNDS; i++)                                                                                   \
        __asm__ volatile(EACH_CHAIN(DOT)::                                                                             \
                             : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9",         \
                               "xmm10", "xmm11");                                                                      \
    return (operations)*1e-9 * CHAINS * ROUNDS / (espi_clock() - begun)

#define DOT_ZMM(chain) "vpdpbusd %%zmm30, %%zmm31, %%zmm" #chain "\n"
#define DOT_YMM(chain) "%{vex%} vpdpbusd %%ymm14, %%ymm15, %%ymm" #chain "\n"
#define FMA_ZMM(chain) "vfmadd231ps %%zmm30, %%zmm31, %%zmm" #chain "\n"
#define FMA_YMM(chain) "vfmadd231ps %%ymm14, %%ymm15, %%ymm" #chain "\n"

static double dot_zmm(void)
{
    MEASURE(2.0 * 64, DOT_ZMM);
}

static double dot_ymm(void)
{
    MEASURE(2.0 * 32, DOT_YMM);
}

static double fma_zmm(void)
{
    MEASURE(2.0 * 16, FMA_ZMM);
}

static double fma_ymm(void)
{
    MEASURE(2.0 * 8, FMA_YMM);
}

double measure_float_peak(void)
{
    if (espi_isa_available(ESPI_ISA_avx512vnni, espi_cpu_features()))
        return fma_zmm();
    return espi_isa_available(ESPI_ISA_avx2, espi_cpu_features()) ? fma_ymm() : 0;
}

double measure_peak(const char **name)
{
    if (espi_isa_available(ESPI_ISA_avx512vnni, espi_cpu_features())) {
        *name = "vpdpbusd zmm";
        return dot_zmm();
    }
    if (espi_isa_available(ESPI_ISA_avxvnni, espi_cpu_features())) {
        *name = "vpdpbusd ymm";
        return dot_ymm();
    }
    *name = "none";
    return 0;
}

#else

double measure_peak(const char **name)
{
    *name = "none";
    return 0;
}

double measure_float_peak(void)
{
    return 0;
}

#endif
