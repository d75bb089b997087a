/* SPDX-License-Identifier: Apache-2.0
 * What this process may use of the CPU: instruction sets and cores. */
#ifndef ESPI_BASE_CPU_H
#define ESPI_BASE_CPU_H

#include "base/status.h"

/* Instruction-set bits, each including the operating system's support for the registers. */
enum espi_cpu_feature {
    ESPI_CPU_AVX2 = 1u << 0, // with FMA
    ESPI_CPU_AVX_VNNI = 1u << 1,
    ESPI_CPU_AVX512 = 1u << 2, // F, BW, DQ, VL
    ESPI_CPU_AVX512_VNNI = 1u << 3,
    ESPI_CPU_AVX512_VBMI = 1u << 4,
    ESPI_CPU_AVX512_BF16 = 1u << 5,
    ESPI_CPU_CRC32C = 1u << 6,  // an instruction for this checksum (x86: SSE 4.2)
    ESPI_CPU_DOTPROD = 1u << 7, // ARM: sdot, udot
    ESPI_CPU_I8MM = 1u << 8,    // ARM: usdot
};

/* Mask of enum espi_cpu_feature. Read once, then cached; safe from any thread. */
uint32_t espi_cpu_features(void);

/* Cores this process may use: the affinity mask (which a cpuset sets) capped by the cgroup v1/v2 CPU quota, rounded
 * down, at least 1. Never the machine's core count. */
size_t espi_cpu_cores(void);

/* The same from given files, for tests: `root` stands for "/" (root/proc/self/cgroup, root/sys/fs/cgroup/...). */
size_t espi_cpu_cores_at(const char *root, size_t affinity_cores);

/* "AMD EPYC 9754 128-Core Processor"; empty when the CPU does not say. */
enum { ESPI_CPU_NAME_BYTES = 49 };
void espi_cpu_name(char name[ESPI_CPU_NAME_BYTES]);

/* The CPUs of the calling thread's affinity mask, one of every physical core first, then their siblings. Writes at most
 * `capacity` and returns how many it wrote. */
size_t espi_cpu_list(size_t *cpus, size_t capacity);

/* Brings a list in ascending order into that order, by root/sys/devices/system/cpu/cpuN/topology; for tests. */
void espi_cpu_spread_at(const char *root, size_t *cpus, size_t count);

/* From now on the calling thread, and threads it starts, run on these CPUs only. False: the system refused. */
bool espi_cpu_pin(const size_t *cpus, size_t count);

#endif
