/* SPDX-License-Identifier: Apache-2.0
 * Core counts from made-up cgroup files; loops on thread teams. */
#include "support.h"

#include "base/cpu.h"
#include "base/size.h"
#include "base/team.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static char root[ESPI_PATH_BYTES];

/* Writes root/path, making the directories on the way. */
static void put(const char *path, const char *text)
{
    char full[ESPI_PATH_BYTES];
    assert_int_equal(espi_path_join(NULL, full, root, path), ESP_OK);
    for (char *slash = full + strlen(root) + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = 0;
        mkdir(full, 0700);
        *slash = '/';
    }
    FILE *stream = fopen(full, "w");
    assert_non_null(stream);
    fputs(text, stream);
    fclose(stream);
}

static int setup(void **state)
{
    (void)state;
    snprintf(root, sizeof root, "%s", test_scratch());
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    test_scratch_remove(root);
    return 0;
}

static void test_no_cgroup(void **state)
{
    (void)state;
    assert_int_equal(espi_cpu_cores_at(root, 8), 8);
    assert_int_equal(espi_cpu_cores_at(root, 0), 1);
}

static void test_cgroup_v2(void **state)
{
    (void)state;
    put("proc/self/cgroup", "0::/a/b\n");
    put("sys/fs/cgroup/a/b/cpu.max", "max 100000\n");
    assert_int_equal(espi_cpu_cores_at(root, 8), 8);
    put("sys/fs/cgroup/a/b/cpu.max", "250000 100000\n");
    assert_int_equal(espi_cpu_cores_at(root, 8), 2);
    put("sys/fs/cgroup/a/b/cpu.max", "50000 100000\n");
    assert_int_equal(espi_cpu_cores_at(root, 8), 1);
    put("sys/fs/cgroup/a/b/cpu.max", "400000 100000\n");
    put("sys/fs/cgroup/a/cpu.max", "300000 100000\n"); // a parent's quota limits too
    assert_int_equal(espi_cpu_cores_at(root, 8), 3);
    assert_int_equal(espi_cpu_cores_at(root, 2), 2);
    put("sys/fs/cgroup/a/b/cpu.max", "rubbish\n");
    put("sys/fs/cgroup/a/cpu.max", "100000 0\n");
    assert_int_equal(espi_cpu_cores_at(root, 8), 8);
}

static void test_cgroup_v2_in_container(void **state)
{
    (void)state;
    put("proc/self/cgroup", "0::/\n");
    put("sys/fs/cgroup/cpu.max", "150000 50000\n");
    assert_int_equal(espi_cpu_cores_at(root, 64), 3);
}

static void test_cgroup_v1(void **state)
{
    (void)state;
    put("proc/self/cgroup", "5:memory:/x\n4:cpuset:/x\n3:cpu,cpuacct:/docker/77\n");
    put("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "590000\n"); // the container's own group is mounted at the root
    put("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
    assert_int_equal(espi_cpu_cores_at(root, 64), 5);
    put("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n");
    assert_int_equal(espi_cpu_cores_at(root, 64), 64);
}

struct counted {
    _Atomic unsigned seen[1000];
    _Atomic unsigned outside;
    size_t threads;
};

static void count_index(void *argument, size_t index, size_t thread)
{
    struct counted *counted = argument;
    counted->seen[index]++;
    counted->outside += thread >= counted->threads;
}

static void test_team_covers_every_index_once(void **state)
{
    (void)state;
    static const size_t sizes[] = {1, 2, 3, 7};
    for (size_t s = 0; s < 4; s++) {
        struct espi_team *team;
        assert_int_equal(espi_team_new(NULL, sizes[s], &team), ESP_OK);
        assert_int_equal(espi_team_size(team), sizes[s]);
        for (size_t count = 0; count <= 1000; count += count < 20 ? 1 : 163) {
            struct counted *counted = calloc(1, sizeof *counted);
            counted->threads = sizes[s];
            espi_team_run(team, count, count_index, counted);
            for (size_t i = 0; i < 1000; i++)
                assert_int_equal(counted->seen[i], i < count);
            assert_int_equal(counted->outside, 0);
            free(counted);
        }
        espi_team_free(team);
    }
    espi_team_free(NULL);
    assert_int_equal(espi_team_size(NULL), 1);
}

static double cpu_seconds(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)usage.ru_utime.tv_sec + 1e-6 * (double)usage.ru_utime.tv_usec;
}

static void test_idle_team_sleeps(void **state)
{
    (void)state;
    struct espi_team *team;
    struct counted *counted = calloc(1, sizeof *counted);
    counted->threads = 4;
    assert_int_equal(espi_team_new(NULL, 4, &team), ESP_OK);
    espi_team_run(team, 100, count_index, counted);
    double before = cpu_seconds();
    usleep(300000);
    assert_true(cpu_seconds() - before < 0.1); // three spinning workers would use 0.3 s or more
    espi_team_free(team);
    free(counted);
}

static void test_team_environment(void **state)
{
    (void)state;
    struct espi_team *team;
    esp_context *ctx = esp_context_new();
    setenv("ESPALIER_THREADS", "3", 1);
    test_ok(ctx, espi_team_new(ctx, 0, &team));
    assert_int_equal(espi_team_size(team), 3);
    espi_team_free(team);
    setenv("ESPALIER_THREADS", "many", 1);
    test_fails(ctx, espi_team_new(ctx, 0, &team), ESP_ERR_ARGUMENT);
    test_error_has(ctx, "ESPALIER_THREADS: expected a number from 1 to 1024, found \"many\"");
    unsetenv("ESPALIER_THREADS");
    test_fails(ctx, espi_team_new(ctx, 5000, &team), ESP_ERR_ARGUMENT);
    test_ok(ctx, espi_team_new(ctx, 0, &team));
    assert_int_equal(espi_team_size(team), espi_cpu_cores());
    espi_team_free(team);
    esp_context_free(ctx);
}

/* Siblings 0-2, 1-3 and 5-6; nothing is known of 4. */
static void test_one_cpu_of_every_core_first(void **state)
{
    (void)state;
    static const char *const siblings[][2] = {{"0", "0,2\n"}, {"1", "1,3\n"}, {"2", "0,2\n"},
                                              {"3", "1,3\n"}, {"5", "5-6\n"}, {"6", "5-6\n"}};
    for (size_t i = 0; i < ESPI_COUNT(siblings); i++) {
        char path[128];
        snprintf(path, sizeof path, "sys/devices/system/cpu/cpu%s/topology/thread_siblings_list", siblings[i][0]);
        put(path, siblings[i][1]);
    }
    size_t cpus[] = {0, 1, 2, 3, 4, 5, 6}, expected[] = {0, 1, 4, 5, 2, 3, 6};
    espi_cpu_spread_at(root, cpus, ESPI_COUNT(cpus));
    assert_memory_equal(cpus, expected, sizeof cpus);
    size_t some[] = {2, 3, 6}; // those that are left of each core count as its first
    espi_cpu_spread_at(root, some, ESPI_COUNT(some));
    assert_memory_equal(some, ((size_t[]){2, 3, 6}), sizeof some);
}

static void *pin_to_last(void *argument)
{
    size_t *cpus = argument, count = espi_cpu_list(cpus, 64), last = cpus[count - 1];
    cpus[0] = espi_cpu_pin(&last, 1) && espi_cpu_list(cpus, 64) == 1 && cpus[0] == last;
    return NULL;
}

static void test_pinning_is_of_a_thread(void **state)
{
    (void)state;
    size_t before[64], after[64], count = espi_cpu_list(before, 64);
    assert_true(count > 0 && count <= 64);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, pin_to_last, after), 0);
    pthread_join(thread, NULL);
    assert_int_equal(after[0], 1);
    assert_int_equal(espi_cpu_list(after, 64), count);
    assert_memory_equal(after, before, count * sizeof *before);
    assert_int_equal(espi_cpu_list(after, 1), 1);
}

static void test_features_stay(void **state)
{
    (void)state;
    uint32_t features = espi_cpu_features();
    assert_int_equal(features, espi_cpu_features());
}

int main(void)
{
#define IN_ROOT(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        IN_ROOT(test_no_cgroup),
        IN_ROOT(test_cgroup_v2),
        IN_ROOT(test_cgroup_v2_in_container),
        IN_ROOT(test_cgroup_v1),
        IN_ROOT(test_one_cpu_of_every_core_first),
        cmocka_unit_test(test_pinning_is_of_a_thread),
        cmocka_unit_test(test_team_covers_every_index_once),
        cmocka_unit_test(test_idle_team_sleeps),
        cmocka_unit_test(test_team_environment),
        cmocka_unit_test(test_features_stay),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
