/* SPDX-License-Identifier: Apache-2.0
 * The seam to the CPU's architecture. What is declared here stands in the folder of each architecture, base/x86 and so on;
 * base/plain has it for those without one (cmake/arch.cmake). Nothing else outside such folders knows an instruction. */
#ifndef ESPI_BASE_ARCH_H
#define ESPI_BASE_ARCH_H

#include "base/cpu.h"

/* espi_cpu_features and espi_cpu_name, found anew. */
uint32_t espi_arch_features(void);
void espi_arch_name(char name[ESPI_CPU_NAME_BYTES]);

/* espi_crc32c where the CPU has ESPI_CPU_CRC32C. */
uint32_t espi_arch_crc32c(uint32_t before, const void *data, size_t bytes);

/* Tells the core that this thread waits in a loop. */
static inline void espi_arch_pause(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* A function compiled for the baseline and for wider vectors, of which the loader picks one. */
#if defined(__x86_64__) && defined(__linux__)
#define ESPI_ARCH_CLONES __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define ESPI_ARCH_CLONES // the baseline of others has vectors of 128 bits as it is
#endif

#endif
