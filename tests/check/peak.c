/* SPDX-License-Identifier: Apache-2.0
 * The rate at which this core does 8-bit dot products when nothing else is in the way: what a kernel is measured by. */
#include "check.h"

#include "base/clock.h"

#if defined(__x86_64__)

enum { ROUNDS = 20000, CHAINS = 12 }; // more chains than latency times throughput

#define EACH_CHAIN(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11)

static double gop(double operations, double seconds)
{
    return operations * 1e-9 / seconds;
}

static double peak_zmm(void)
{
#define DOT(chain) "vpdpbusd %%zmm30, %%zmm31, %%zmm" #chain "\n"
    double begun = espi_clock();
    for (int i = 0; i < ROUNDS; i++)
        __asm__ volatile(EACH_CHAIN(DOT)::
                             : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10",
                               "xmm11");
#undef DOT
    return gop(2.0 * 64 * CHAINS * ROUNDS, espi_clock() - begun);
}

static double peak_ymm(void)
{
#define DOT(chain) "%{vex%} vpdpbusd %%ymm14, %%ymm15, %%ymm" #chain "\n"
    double begun = espi_clock();
    for (int i = 0; i < ROUNDS; i++)
        __asm__ volatile(EACH_CHAIN(DOT)::
                             : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10",
                               "xmm11");
#undef DOT
    return gop(2.0 * 32 * CHAINS * ROUNDS, espi_clock() - begun);
}

double measure_peak(const char **name)
{
    if (espi_isa_available(ESPI_ISA_avx512vnni, espi_cpu_features())) {
        *name = "vpdpbusd zmm";
        return peak_zmm();
    }
    if (espi_isa_available(ESPI_ISA_avxvnni, espi_cpu_features())) {
        *name = "vpdpbusd ymm";
        return peak_ymm();
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

#endif
