/* SPDX-License-Identifier: Apache-2.0
 * Errors, memory, sizes, random numbers, progress. */
#include "support.h"

#include "base/memory.h"
#include "base/progress.h"
#include "base/random.h"
#include "base/size.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static void test_status_texts(void **state)
{
    (void)state;
    assert_string_equal(esp_status_text(ESP_OK), "ok");
    assert_string_equal(esp_status_text(ESP_ERR_MEMORY), "out of memory");
    assert_string_equal(esp_status_text(12345), "unknown status");
    char version[32];
    unsigned number = esp_version_number();
    snprintf(version, sizeof version, "%u.%u.%u", number / 10000, number / 100 % 100, number % 100);
    assert_string_equal(esp_version(), version);
    assert_int_equal(number, ESP_VERSION_NUMBER);
}

static void test_last_error(void **state)
{
    (void)state;
    esp_context *ctx = esp_context_new();
    assert_string_equal(esp_last_error(ctx), "");
    assert_int_equal(espi_fail(ctx, ESP_ERR_FORMAT, "%s: line %d", "a.json", 3), ESP_ERR_FORMAT);
    assert_string_equal(esp_last_error(ctx), "a.json: line 3");
    assert_int_equal(espi_fail_prefix(ctx, ESP_ERR_FORMAT, "model %d", 7), ESP_ERR_FORMAT);
    assert_string_equal(esp_last_error(ctx), "model 7: a.json: line 3");
    espi_fail_errno(ctx, ESP_ERR_IO, 2, "x");
    assert_string_equal(esp_last_error(ctx), "x: No such file or directory");
    /* the old text may be an argument of the new one */
    espi_fail(ctx, ESP_ERR_IO, "again: %s", esp_last_error(ctx));
    assert_string_equal(esp_last_error(ctx), "again: x: No such file or directory");

    char *huge = calloc(1, 5000);
    memset(huge, 'y', 4999);
    espi_fail(ctx, ESP_ERR_IO, "%s", huge);
    assert_int_equal(strlen(esp_last_error(ctx)), ESPI_ERROR_BYTES - 1);
    free(huge);
    esp_context_free(ctx);

    assert_int_equal(espi_fail(NULL, ESP_ERR_IO, "dropped"), ESP_ERR_IO);
    assert_string_equal(esp_last_error(NULL), "");
    esp_context_free(NULL);
}

static void collect(void *cookie, esp_log_level level, const char *text)
{
    snprintf(cookie, 64, "%d:%s", (int)level, text);
}

static void test_log(void **state)
{
    (void)state;
    char line[64] = "";
    esp_context *ctx = esp_context_new();
    espi_log(ctx, ESP_LOG_INFO, "nobody listens");
    esp_context_set_log(ctx, collect, line);
    espi_log(ctx, ESP_LOG_WARNING, "%d tensors", 3);
    assert_string_equal(line, "1:3 tensors");
    esp_context_free(ctx);
}

static void test_sizes(void **state)
{
    (void)state;
    size_t out = 17;
    assert_true(espi_size_mul(3, 4, &out));
    assert_int_equal(out, 12);
    assert_false(espi_size_mul(SIZE_MAX / 2, 3, &out));
    assert_false(espi_size_add(SIZE_MAX, 1, &out));
    assert_int_equal(espi_round_up(65, 64), 128);
    assert_int_equal(espi_round_up(64, 64), 64);
}

static void test_memory(void **state)
{
    (void)state;
    esp_context *ctx = esp_context_new();
    assert_null(espi_calloc(ctx, SIZE_MAX / 2, 4));
    test_error_has(ctx, "out of memory");
    assert_null(espi_calloc_aligned(ctx, SIZE_MAX, 1));
    float *aligned = espi_calloc_aligned(ctx, 5, sizeof *aligned);
    assert_int_equal((uintptr_t)aligned % 64, 0);
    assert_true(aligned[4] == 0.0f);
    free(aligned);

    int *array = NULL;
    size_t capacity = 0;
    test_ok(ctx, espi_grow(ctx, &array, &capacity, 0, sizeof *array));
    assert_non_null(array);
    for (int i = 0; i < 1000; i++) {
        test_ok(ctx, espi_grow(ctx, &array, &capacity, (size_t)i + 1, sizeof *array));
        array[i] = i;
    }
    assert_true(capacity >= 1000);
    assert_int_equal(array[999], 999);
    size_t before = capacity;
    test_fails(ctx, espi_grow(ctx, &array, &capacity, SIZE_MAX / 2, sizeof *array), ESP_ERR_MEMORY);
    assert_int_equal(capacity, before);
    assert_int_equal(array[500], 500);
    free(array);
    esp_context_free(ctx);
}

static void test_arena(void **state)
{
    (void)state;
    struct espi_arena arena = {0};
    char *previous = NULL;
    for (size_t i = 0; i < 2000; i++) {
        char *block = espi_arena_alloc(NULL, &arena, i % 77 + 1, 3);
        assert_non_null(block);
        assert_int_equal((uintptr_t)block % 16, 0);
        assert_ptr_not_equal(block, previous);
        for (size_t j = 0; j < (i % 77 + 1) * 3; j++)
            assert_int_equal(block[j], 0);
        memset(block, 0xff, (i % 77 + 1) * 3);
        previous = block;
    }
    char *large = espi_arena_alloc(NULL, &arena, 1, 1 << 20);
    assert_non_null(large);
    large[(1 << 20) - 1] = 1;
    assert_string_equal(espi_arena_copy(NULL, &arena, "abcdef", 3), "abc");
    assert_string_equal(espi_arena_format(NULL, &arena, "%s-%d", "x", 9), "x-9");
    assert_null(espi_arena_alloc(NULL, &arena, SIZE_MAX, 2));
    espi_arena_clear(&arena);
    espi_arena_clear(&arena);
}

/* Known answers of the Random123 library for philox4x32-10. */
static void test_philox_known_answers(void **state)
{
    (void)state;
    uint32_t out[4];
    espi_random_block(0, 0, 0, out);
    const uint32_t zeros[4] = {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8};
    assert_memory_equal(out, zeros, sizeof zeros);
    espi_random_block(UINT64_MAX, UINT64_MAX, UINT64_MAX, out);
    const uint32_t ones[4] = {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd};
    assert_memory_equal(out, ones, sizeof ones);
}

static void test_random_distributions(void **state)
{
    (void)state;
    enum { DRAWS = 200000 };
    struct espi_random random = {.seed = 42, .stream = 1};
    double sum = 0, squares = 0, uniform = 0;
    size_t counts[7] = {0};
    for (int i = 0; i < DRAWS; i++) {
        double x = (double)espi_random_normal(&random);
        sum += x;
        squares += x * x;
        float u = espi_random_uniform(&random);
        assert_true(u >= 0.0f && u < 1.0f);
        uniform += (double)u;
        counts[espi_random_below(&random, 7)]++;
    }
    assert_true(sum / DRAWS > -0.01 && sum / DRAWS < 0.01);
    assert_true(squares / DRAWS > 0.98 && squares / DRAWS < 1.02);
    assert_true(uniform / DRAWS > 0.495 && uniform / DRAWS < 0.505);
    for (int i = 0; i < 7; i++)
        assert_in_range(counts[i], DRAWS / 7 - 1500, DRAWS / 7 + 1500);

    /* the serial cursor and the blocks are one sequence */
    struct espi_random serial = {.seed = 9, .stream = 3, .position = 6};
    for (uint64_t i = 6; i < 16; i++) {
        uint32_t block[4];
        espi_random_block(9, 3, i / 4, block);
        assert_int_equal(espi_random_u32(&serial), block[i % 4]);
    }

    /* of a bound that goes into 64 bits once, half of the draws are thrown away */
    const uint64_t bound = (UINT64_C(1) << 63) + 1;
    struct espi_random pairs = serial;
    for (int i = 0; i < 20; i++) {
        uint64_t draw;
        do {
            uint64_t high = espi_random_u32(&pairs);
            draw = high << 32 | espi_random_u32(&pairs);
        } while (draw >= bound);
        assert_int_equal(espi_random_below(&serial, bound), draw);
    }
}

/* Whether some page of the block takes memory. */
static bool is_resident(const struct espi_pages *pages)
{
    unsigned char present[64] = {0};
    char *first = (char *)pages->data + pages->bytes - pages->mapped;
    assert_int_equal(mincore(first, pages->mapped, present), 0);
    for (size_t i = 0; i < sizeof present; i++)
        if (present[i] & 1)
            return true;
    return false;
}

static void test_pages(void **state)
{
    (void)state;
    struct espi_pages pages;
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    static const size_t sizes[] = {0, 1, 64, 65, 4096, 10000, 200000};
    for (size_t i = 0; i < ESPI_COUNT(sizes); i++) {
        assert_int_equal(espi_pages_open(NULL, sizes[i], &pages), ESP_OK);
        unsigned char *data = pages.data;
        assert_true(pages.bytes >= sizes[i] && pages.bytes - sizes[i] <= 64 && (uintptr_t)data % 64 == 0);
        assert_false(is_resident(&pages));
        for (int round = 0; round < 2; round++) {
            for (size_t k = 0; k < pages.bytes; k++)
                assert_int_equal(data[k], 0);
            memset(data, 7, pages.bytes);
            assert_true(is_resident(&pages));
            espi_pages_drop(&pages);
            assert_false(is_resident(&pages));
        }
        assert_int_equal(write(ends[1], data + pages.bytes - 1, 1), 1);
        assert_int_equal(write(ends[1], data + pages.bytes, 1), -1); // nobody may touch what follows
        assert_int_equal(errno, EFAULT);
        espi_pages_close(&pages);
        espi_pages_close(&pages);
    }
    close(ends[0]);
    close(ends[1]);
    esp_context *ctx = esp_context_new();
    test_fails(ctx, espi_pages_open(ctx, SIZE_MAX, &pages), ESP_ERR_MEMORY);
    test_fails(ctx, espi_pages_open(ctx, (size_t)1 << 60, &pages), ESP_ERR_MEMORY);
    espi_pages_drop(&pages);
    esp_context_free(ctx);
}

/* A run that goes on from step 500 has done nothing yet: what was done before does not make it fast. */
static void test_progress(void **state)
{
    (void)state;
    char text[256] = "";
    FILE *stream = tmpfile();
    struct espi_progress_line line = {.stream = stream};
    struct espi_progress progress = {
        .watch = {.show = espi_progress_draw, .cookie = &line}, .label = "train", .unit = "steps", .total = 1000};
    espi_progress_update(&progress, 500, NULL);
    espi_progress_end(&progress, "resumed");
    rewind(stream);
    assert_non_null(fgets(text, sizeof text, stream));
    assert_string_equal(text, "train: 500/1000 steps, took 0:00, resumed\n");
    espi_progress_update(&progress, 502, NULL);
    usleep(1000);
    espi_progress_end(&progress, NULL);
    fseek(stream, (long)strlen(text), SEEK_SET);
    double rate;
    assert_int_equal(fscanf(stream, "train: 502/1000 steps, %lf/s, took", &rate), 1);
    assert_true(rate > 0 && rate <= 2 / 1e-3);
    fclose(stream);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_status_texts),
        cmocka_unit_test(test_last_error),
        cmocka_unit_test(test_log),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_memory),
        cmocka_unit_test(test_arena),
        cmocka_unit_test(test_philox_known_answers),
        cmocka_unit_test(test_random_distributions),
        cmocka_unit_test(test_pages),
        cmocka_unit_test(test_progress),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
