/* SPDX-License-Identifier: Apache-2.0 */
#include "base/cpu.h"

#include "base/arch.h"
#include "base/file.h"
#include "base/size.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_CPUS = 1 << 20 };

/* ---- instruction sets -------------------------------------------------------------------------------------------- */

void espi_cpu_name(char name[ESPI_CPU_NAME_BYTES])
{
    espi_arch_name(name);
}

uint32_t espi_cpu_features(void)
{
    static _Atomic uint32_t cached; // features + 1; every thread computes the same value
    uint32_t value = cached;
    if (!value)
        cached = value = espi_arch_features() + 1;
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

/* The calling thread's affinity mask, `bytes` long; NULL when the system does not tell. Release with CPU_FREE. */
static cpu_set_t *affinity(size_t *bytes)
{
    /* The fixed cpu_set_t holds 1024 CPUs; a larger machine needs a larger mask. */
    for (size_t cpus = 1024; cpus <= MOST_CPUS; cpus *= 4) {
        cpu_set_t *set = CPU_ALLOC(cpus);
        *bytes = CPU_ALLOC_SIZE(cpus);
        if (!set)
            return NULL;
        if (!sched_getaffinity(0, *bytes, set))
            return set;
        CPU_FREE(set);
    }
    return NULL;
}

size_t espi_cpu_cores(void)
{
    size_t bytes;
    cpu_set_t *set = affinity(&bytes);
    if (!set)
        return 1;
    size_t count = (size_t)CPU_COUNT_S(bytes, set);
    CPU_FREE(set);
    return espi_cpu_cores_at("", count);
}

/* ---- which CPUs --------------------------------------------------------------------------------------------------- */

/* The lowest CPU of the same physical core; the CPU itself when the system does not tell. */
static size_t first_sibling(const char *root, size_t cpu)
{
    char path[ESPI_PATH_BYTES], line[256], *end;
    snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%zu/topology/thread_siblings_list", cpu);
    if (!read_line(root, path, line))
        return cpu;
    unsigned long first = strtoul(line, &end, 10); // "0,64" or "0-1"
    return end == line ? cpu : first;
}

struct place {
    size_t rank, cpu; // rank: how many of the list stand before it on the same core
};

static int by_rank(const void *a, const void *b)
{
    const struct place *x = a, *y = b;
    if (x->rank != y->rank)
        return x->rank < y->rank ? -1 : 1;
    return (x->cpu > y->cpu) - (x->cpu < y->cpu);
}

void espi_cpu_spread_at(const char *root, size_t *cpus, size_t count)
{
    struct place *places = calloc(count + 1, sizeof *places);
    size_t *cores = calloc(count + 1, sizeof *cores);
    for (size_t i = 0; places && cores && i < count; i++) {
        places[i].cpu = cpus[i];
        cores[i] = first_sibling(root, cpus[i]);
        for (size_t before = 0; before < i; before++)
            places[i].rank += cores[before] == cores[i];
    }
    if (places && cores) { // without memory for it the list stays as it is
        qsort(places, count, sizeof *places, by_rank);
        for (size_t i = 0; i < count; i++)
            cpus[i] = places[i].cpu;
    }
    free(places);
    free(cores);
}

size_t espi_cpu_list(size_t *cpus, size_t capacity)
{
    size_t bytes, count = 0;
    cpu_set_t *set = affinity(&bytes);
    for (size_t cpu = 0; set && cpu < bytes * 8 && count < capacity; cpu++)
        if (CPU_ISSET_S(cpu, bytes, set))
            cpus[count++] = cpu;
    if (set)
        CPU_FREE(set);
    espi_cpu_spread_at("", cpus, count);
    return count;
}

bool espi_cpu_pin(const size_t *cpus, size_t count)
{
    cpu_set_t *set = CPU_ALLOC(MOST_CPUS);
    size_t bytes = CPU_ALLOC_SIZE(MOST_CPUS);
    if (!set)
        return false;
    CPU_ZERO_S(bytes, set);
    for (size_t i = 0; i < count; i++)
        CPU_SET_S(cpus[i], bytes, set);
    bool pinned = !sched_setaffinity(0, bytes, set);
    CPU_FREE(set);
    return pinned;
}
