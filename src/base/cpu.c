/* SPDX-License-Identifier: Apache-2.0 */
#include "base/cpu.h"

#include "base/file.h"
#include "base/size.h"

#include <cpuid.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

/* ---- instruction sets -------------------------------------------------------------------------------------------- */

/* XCR0: bits 1-2 SSE and AVX state, 5-7 the mask and zmm state. */
enum { XCR0_AVX = 0x06, XCR0_AVX512 = 0xe6 };

static uint64_t enabled_registers(void)
{
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
}

static uint32_t detect_features(void)
{
    uint32_t a, b, c, d, features = 0;
    if (!__get_cpuid(1, &a, &b, &c, &d))
        return 0;
    bool fma = c & bit_FMA;
    if (!(c & bit_OSXSAVE) || (enabled_registers() & XCR0_AVX) != XCR0_AVX || !__get_cpuid_count(7, 0, &a, &b, &c, &d))
        return 0;
    if ((b & bit_AVX2) && fma)
        features |= ESPI_CPU_AVX2;
    bool avx512 = (b & bit_AVX512F) && (b & bit_AVX512BW) && (b & bit_AVX512DQ) && (b & bit_AVX512VL) &&
                  (enabled_registers() & XCR0_AVX512) == XCR0_AVX512;
    if (avx512)
        features |= ESPI_CPU_AVX512;
    if (avx512 && (c & bit_AVX512VNNI))
        features |= ESPI_CPU_AVX512_VNNI;
    if (avx512 && (c & bit_AVX512VBMI))
        features |= ESPI_CPU_AVX512_VBMI;
    if (!__get_cpuid_count(7, 1, &a, &b, &c, &d))
        return features;
    if ((features & ESPI_CPU_AVX2) && (a & 1u << 4))
        features |= ESPI_CPU_AVX_VNNI;
    if (avx512 && (a & 1u << 5))
        features |= ESPI_CPU_AVX512_BF16;
    return features;
}

uint32_t espi_cpu_features(void)
{
    static _Atomic uint32_t cached; // features + 1; every thread computes the same value
    uint32_t value = cached;
    if (!value)
        cached = value = detect_features() + 1;
    return value - 1;
}

/* ---- cores ------------------------------------------------------------------------------------------------------- */

/* The first line of a small file, without its line end; false when there is none. */
static bool read_line(const char *root, const char *path, char line[256])
{
    char full[ESPI_PATH_BYTES];
    int length = snprintf(full, sizeof full, "%s%s", root, path);
    FILE *stream = length > 0 && length < (int)sizeof full ? fopen(full, "re") : NULL;
    if (!stream)
        return false;
    bool read = fgets(line, 256, stream) != NULL;
    fclose(stream);
    if (read)
        line[strcspn(line, "\n")] = 0;
    return read;
}

/* quota / period in whole cores, at least 1; SIZE_MAX for "max", -1 or anything unreadable. */
static size_t quota_cores(const char *quota, const char *period)
{
    char *end;
    long long q = strtoll(quota, &end, 10);
    if (end == quota || q <= 0)
        return SIZE_MAX;
    long long p = strtoll(period, &end, 10);
    if (end == period || p <= 0)
        return SIZE_MAX;
    return espi_size_max((size_t)(q / p), 1);
}

static size_t quota_v2(const char *root, const char *group)
{
    char path[ESPI_PATH_BYTES], line[256];
    snprintf(path, sizeof path, "/sys/fs/cgroup%s/cpu.max", group);
    if (!read_line(root, path, line))
        return SIZE_MAX;
    char *space = strchr(line, ' ');
    return space ? quota_cores(line, space + 1) : SIZE_MAX;
}

static size_t quota_v1(const char *root, const char *group)
{
    char path[ESPI_PATH_BYTES], quota[256], period[256];
    snprintf(path, sizeof path, "/sys/fs/cgroup/cpu%s/cpu.cfs_quota_us", group);
    if (!read_line(root, path, quota))
        return SIZE_MAX;
    snprintf(path, sizeof path, "/sys/fs/cgroup/cpu%s/cpu.cfs_period_us", group);
    return read_line(root, path, period) ? quota_cores(quota, period) : SIZE_MAX;
}

/* The smallest quota of a group and all its ancestors: each of them limits. In a container the path may be the host's
 * while only its last part is mounted; the walk ends at the mount's root, which is then the container's own group. */
static size_t quota_of_group(const char *root, char *group, size_t (*quota)(const char *, const char *))
{
    size_t cores = SIZE_MAX;
    for (;;) {
        size_t length = strlen(group);
        while (length && group[length - 1] == '/')
            group[--length] = 0;
        cores = espi_size_min(cores, quota(root, group));
        char *slash = strrchr(group, '/');
        if (!slash)
            return cores;
        *slash = 0;
    }
}

/* True when the comma-separated controller list names "cpu". */
static bool lists_cpu(const char *list, size_t length)
{
    for (const char *p = list, *end = list + length; p < end;) {
        size_t part = strcspn(p, ",:");
        if (part == 3 && memcmp(p, "cpu", 3) == 0)
            return true;
        p += part + 1;
    }
    return false;
}

size_t espi_cpu_cores_at(const char *root, size_t affinity_cores)
{
    char path[ESPI_PATH_BYTES], line[ESPI_PATH_BYTES];
    size_t cores = espi_size_max(affinity_cores, 1);
    snprintf(path, sizeof path, "%s/proc/self/cgroup", root);
    FILE *stream = fopen(path, "re");
    while (stream && fgets(line, sizeof line, stream)) { // "number:controllers:/group"
        line[strcspn(line, "\n")] = 0;
        char *controllers = strchr(line, ':'), *group = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!group)
            continue;
        size_t length = (size_t)(group - controllers - 1);
        if (length == 0)
            cores = espi_size_min(cores, quota_of_group(root, group + 1, quota_v2));
        else if (lists_cpu(controllers + 1, length))
            cores = espi_size_min(cores, quota_of_group(root, group + 1, quota_v1));
    }
    if (stream)
        fclose(stream);
    return cores;
}

size_t espi_cpu_cores(void)
{
    /* The fixed cpu_set_t holds 1024 CPUs; a larger machine needs a larger mask. */
    for (size_t cpus = 1024; cpus <= 1u << 20; cpus *= 4) {
        cpu_set_t *set = CPU_ALLOC(cpus);
        size_t bytes = CPU_ALLOC_SIZE(cpus);
        if (!set)
            break;
        int failed = sched_getaffinity(0, bytes, set);
        size_t count = failed ? 0 : (size_t)CPU_COUNT_S(bytes, set);
        CPU_FREE(set);
        if (!failed)
            return espi_cpu_cores_at("", count);
    }
    return 1;
}
