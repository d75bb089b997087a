/* SPDX-License-Identifier: Apache-2.0
 * The file of a teacher's outputs: filled, stopped, gone on with, damaged, of another teacher. */
#include "create/distill/teacher_cache.h"

#include "task_fixture.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { WINDOWS = 2000, WIDTH = 3 };

struct cache_case {
    struct fixture fixture;
    struct espi_feed *feed;
    struct espi_teacher_key key;
    char path[ESPI_PATH_BYTES], partial[ESPI_PATH_BYTES + 16];
};

static size_t asked;       // windows
static size_t stop_behind; // windows
static bool teacher_fails;

/* What a teacher says depends on the ids alone. */
static float output_of(int32_t id, size_t column)
{
    return (float)id + 0.125f * (float)column;
}

static int teacher(void *argument, esp_context *ctx, const struct espi_batch *batch, float *out)
{
    const struct cache_case *c = argument;
    if (teacher_fails)
        return espi_fail(ctx, ESP_ERR_INTERNAL, "no teacher today");
    for (size_t s = 0; s < batch->sequences; s++) {
        size_t first = batch->starts[s], tokens = c->key.whole ? 1 : batch->starts[s + 1] - first;
        for (size_t i = 0; i < tokens * WIDTH; i++)
            *out++ = output_of(batch->ids[first + i / WIDTH], i % WIDTH);
    }
    asked += batch->sequences;
    return ESP_OK;
}

static bool stop(void *cookie)
{
    (void)cookie;
    return asked >= stop_behind;
}

static void open_case(struct cache_case *c, bool whole)
{
    static const char *const names[] = {"no", "yes"}, *const words[] = {"the", "cat", "sat", "on", "mat"};
    static char text[WINDOWS * 64];
    size_t at = 0;
    memset(c, 0, sizeof *c);
    fixture_open(&c->fixture, ESPI_HEAD_SEQUENCE, 2, names, NULL);
    fixture_job(&c->fixture, "classify",
                &(struct espi_task_options){.evaluate = true, .text_column = "1", .label_column = "2"});
    for (size_t line = 0; line < WINDOWS; line++) {
        for (size_t i = 0; i <= line % 7; i++)
            at += (size_t)snprintf(text + at, sizeof text - at, "%s ", words[(line + i) % 5]);
        at += (size_t)snprintf(text + at, sizeof text - at, "\t%s\n", line % 3 ? "no" : "yes");
    }
    const char *data = test_write(c->fixture.directory, "data.tsv", text, at);
    test_ok(c->fixture.ctx, espi_feed_open(c->fixture.ctx, &c->fixture.job, &data, 1,
                                           &(struct espi_feed_options){.batch_size = 8}, &c->feed));
    c->key =
        (struct espi_teacher_key){.teacher = 0xabcd, .data = espi_feed_crc(c->feed), .width = WIDTH, .whole = whole};
    snprintf(c->path, sizeof c->path, "%s/outputs.cache", c->fixture.directory);
    snprintf(c->partial, sizeof c->partial, "%s.partial", c->path);
    asked = 0;
    stop_behind = SIZE_MAX;
    teacher_fails = false;
}

static void close_case(struct cache_case *c)
{
    espi_feed_close(c->feed);
    fixture_close(&c->fixture);
}

static int open_cache(struct cache_case *c, struct espi_teacher_cache *out)
{
    return espi_teacher_cache_open(c->fixture.ctx, c->path, &c->key, c->feed, teacher, c,
                                   &(struct espi_watch){.stop = stop}, out);
}

static void check_contents(struct cache_case *c)
{
    struct espi_teacher_cache cache;
    test_ok(c->fixture.ctx, open_cache(c, &cache));
    assert_int_equal(cache.count, WINDOWS);
    for (size_t w = 0; w < WINDOWS; w++) {
        struct espi_window window = espi_feed_window(c->feed, w);
        for (size_t i = 0; i < (c->key.whole ? 1 : window.tokens) * WIDTH; i++)
            assert_true(cache.windows[w][i] == output_of(window.ids[i / WIDTH], i % WIDTH));
    }
    espi_teacher_cache_close(&cache);
}

static void refused(struct cache_case *c, int status, const char *text)
{
    struct espi_teacher_cache cache;
    size_t before = asked;
    test_fails(c->fixture.ctx, open_cache(c, &cache), status);
    test_error_has(c->fixture.ctx, text);
    test_error_has(c->fixture.ctx, c->path);
    assert_int_equal(asked, before);
    assert_null(cache.windows);
}

static void test_filled_once(void **state)
{
    (void)state;
    for (int whole = 0; whole < 2; whole++) {
        struct cache_case c;
        open_case(&c, whole);
        check_contents(&c);
        assert_int_equal(asked, WINDOWS);
        assert_false(espi_path_exists(c.partial));
        check_contents(&c);
        assert_int_equal(asked, WINDOWS);
        close_case(&c);
    }
}

/* Stopped after any number of blocks it goes on where it was. */
static void test_stopped(void **state)
{
    (void)state;
    struct cache_case c;
    struct espi_teacher_cache cache;
    open_case(&c, false);
    stop_behind = 0;
    test_fails(c.fixture.ctx, open_cache(&c, &cache), ESP_ERR_CANCELLED);
    test_error_has(c.fixture.ctx, "0 of 2000");
    stop_behind = 900;
    test_fails(c.fixture.ctx, open_cache(&c, &cache), ESP_ERR_CANCELLED);
    assert_true(asked >= 900 && asked < WINDOWS && !espi_path_exists(c.path) && espi_path_exists(c.partial));
    stop_behind = SIZE_MAX;
    teacher_fails = true;
    test_fails(c.fixture.ctx, open_cache(&c, &cache), ESP_ERR_INTERNAL);
    teacher_fails = false;
    check_contents(&c);
    assert_int_equal(asked, WINDOWS);
    close_case(&c);
}

static size_t file_bytes(const char *path)
{
    struct espi_map map;
    test_ok(NULL, espi_map_open(NULL, path, &map));
    size_t bytes = map.bytes;
    espi_map_close(&map);
    return bytes;
}

/* What was written last is torn: all before it is used. */
static void test_torn(void **state)
{
    (void)state;
    struct cache_case c;
    struct espi_teacher_cache cache;
    open_case(&c, false);
    stop_behind = 900;
    test_fails(c.fixture.ctx, open_cache(&c, &cache), ESP_ERR_CANCELLED);
    size_t before = asked;
    assert_int_equal(truncate(c.partial, (off_t)file_bytes(c.partial) - 5), 0);
    stop_behind = SIZE_MAX;
    check_contents(&c);
    assert_true(asked > WINDOWS && asked <= WINDOWS + before);
    close_case(&c);
}

/* Another's file that has the name of the partial one stays as it is. */
static void test_unknown_partial(void **state)
{
    (void)state;
    struct cache_case c;
    struct espi_teacher_cache cache;
    open_case(&c, false);
    for (size_t bytes = 1; bytes < 60; bytes += 29) {
        FILE *file = fopen(c.partial, "wb");
        assert_non_null(file);
        for (size_t i = 0; i < bytes; i++)
            putc('t', file);
        assert_int_equal(fclose(file), 0);
        test_fails(c.fixture.ctx, open_cache(&c, &cache), ESP_ERR_ARGUMENT);
        test_error_has(c.fixture.ctx, "found another file");
        assert_int_equal(file_bytes(c.partial), bytes);
    }
    close_case(&c);
}

/* A partial file of another teacher is written anew. */
static void test_foreign_partial(void **state)
{
    (void)state;
    struct cache_case c;
    struct espi_teacher_cache cache;
    open_case(&c, false);
    stop_behind = 900;
    test_fails(c.fixture.ctx, open_cache(&c, &cache), ESP_ERR_CANCELLED);
    stop_behind = SIZE_MAX;
    c.key.teacher++;
    asked = 0;
    check_contents(&c);
    assert_int_equal(asked, WINDOWS);
    close_case(&c);
}

static void flip(const char *path, long at)
{
    FILE *file = fopen(path, "r+b");
    assert_non_null(file);
    assert_int_equal(fseek(file, at, at < 0 ? SEEK_END : SEEK_SET), 0);
    int byte = fgetc(file);
    assert_int_equal(fseek(file, -1, SEEK_CUR), 0);
    fputc(byte ^ 1, file);
    assert_int_equal(fclose(file), 0);
}

static void test_refusals(void **state)
{
    (void)state;
    struct cache_case c;
    open_case(&c, false);
    check_contents(&c);
    c.key.teacher++;
    refused(&c, ESP_ERR_ARGUMENT, "another teacher");
    c.key.teacher--;
    c.key.whole = true;
    refused(&c, ESP_ERR_ARGUMENT, "another teacher");
    c.key.whole = false;
    c.key.data++;
    refused(&c, ESP_ERR_ARGUMENT, "other data");
    c.key.data--;
    c.key.compute++;
    refused(&c, ESP_ERR_ARGUMENT, "computed in fp32, expected bf16");
    c.key.compute--;
    check_contents(&c);
    static const long places[] = {20, 50, 60, 70, 80, 3000, -1};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        flip(c.path, places[i]);
        refused(&c, ESP_ERR_FORMAT, "damaged");
        flip(c.path, places[i]);
    }
    check_contents(&c);
    size_t bytes = file_bytes(c.path);
    assert_int_equal(truncate(c.path, (off_t)bytes - 1), 0);
    refused(&c, ESP_ERR_FORMAT, "cut short");
    assert_int_equal(truncate(c.path, (off_t)bytes + 4), 0);
    refused(&c, ESP_ERR_FORMAT, "damaged");
    assert_int_equal(truncate(c.path, 30), 0);
    refused(&c, ESP_ERR_FORMAT, "no outputs of a teacher");
    test_write(c.fixture.directory, "outputs.cache", "my precious notes, longer than the head of a cache is", 53);
    refused(&c, ESP_ERR_FORMAT, "no outputs of a teacher");
    assert_int_equal(file_bytes(c.path), 53);
    snprintf(c.path, sizeof c.path, "%s/nowhere/outputs.cache", c.fixture.directory);
    refused(&c, ESP_ERR_IO, "cannot create");
    close_case(&c);
}

/* The disk is full: what fits stays, and the file is completed when there is room again. */
static void test_full(void **state)
{
    (void)state;
    struct cache_case c;
    struct espi_teacher_cache cache;
    struct rlimit before, small;
    open_case(&c, false);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    small = before;
    small.rlim_cur = 60000;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    int status = open_cache(&c, &cache);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(status, ESP_ERR_IO);
    test_error_has(c.fixture.ctx, "cannot write");
    assert_false(espi_path_exists(c.path));
    check_contents(&c);
    close_case(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_filled_once),
        cmocka_unit_test(test_stopped),
        cmocka_unit_test(test_torn),
        cmocka_unit_test(test_unknown_partial),
        cmocka_unit_test(test_foreign_partial),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_full),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
