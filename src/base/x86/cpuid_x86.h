/* SPDX-License-Identifier: Apache-2.0
 * What a CPU says of itself, apart from what follows from it, so that tests can ask about CPUs that are not there. */
#ifndef ESPI_BASE_CPUID_X86_H
#define ESPI_BASE_CPUID_X86_H

#include <stdint.h>

struct espi_cpuid {
    uint32_t c1;           // ecx of leaf 1
    uint32_t b7, c7, a7_1; // ebx and ecx of leaf 7, eax of its subleaf 1; 0 where the CPU has no such leaf
    uint64_t xcr0;         // the registers that the operating system keeps; 0 without OSXSAVE
};

uint32_t espi_cpuid_features(const struct espi_cpuid *cpuid); // a mask of enum espi_cpu_feature

#endif
