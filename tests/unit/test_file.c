/* SPDX-License-Identifier: Apache-2.0
 * Mapping, lines, atomic files and directories. */
#include "support.h"

#include "base/file.h"

#include <dirent.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static esp_context *ctx;
static char scratch[ESPI_PATH_BYTES];

static int setup(void **state)
{
    (void)state;
    ctx = esp_context_new();
    snprintf(scratch, sizeof scratch, "%s", test_scratch());
    return ctx ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    test_scratch_remove(scratch);
    esp_context_free(ctx);
    return 0;
}

static const char *in_scratch(const char *name)
{
    static char path[ESPI_PATH_BYTES];
    test_ok(ctx, espi_path_join(ctx, path, scratch, name));
    return path;
}

static size_t entries(const char *path)
{
    size_t count = 0;
    DIR *directory = opendir(path);
    assert_non_null(directory);
    while (readdir(directory))
        count++;
    closedir(directory);
    return count - 2;
}

static void test_map(void **state)
{
    (void)state;
    struct espi_map map;
    test_ok(ctx, espi_map_open(ctx, test_write(scratch, "a", "hello", 5), &map));
    assert_int_equal(map.bytes, 5);
    assert_memory_equal(map.data, "hello", 5);
    espi_map_close(&map);
    espi_map_close(&map);
    test_ok(ctx, espi_map_open(ctx, test_write(scratch, "empty", "", 0), &map));
    assert_int_equal(map.bytes, 0);
    assert_non_null(map.data);
    espi_map_close(&map);

    test_fails(ctx, espi_map_open(ctx, in_scratch("none"), &map), ESP_ERR_NOT_FOUND);
    test_error_has(ctx, "none: No such file");
    test_fails(ctx, espi_map_open(ctx, scratch, &map), ESP_ERR_IO);
    test_error_has(ctx, "found a directory");
    assert_int_equal(mkfifo(in_scratch("pipe"), 0600), 0);
    test_fails(ctx, espi_map_open(ctx, in_scratch("pipe"), &map), ESP_ERR_IO);
    test_error_has(ctx, "pipe");
    test_fails(ctx, espi_map_open(ctx, "/dev/zero", &map), ESP_ERR_IO);
}

static void test_join(void **state)
{
    (void)state;
    char path[ESPI_PATH_BYTES], *huge = calloc(1, 5000);
    memset(huge, 'x', 4999);
    test_ok(ctx, espi_path_join(ctx, path, "a/", "b"));
    assert_string_equal(path, "a/b");
    test_fails(ctx, espi_path_join(ctx, path, huge, "b"), ESP_ERR_LIMIT);
    free(huge);
}

static void test_lines(void **state)
{
    (void)state;
    static const char text[] = "\xef\xbb\xbfone\r\n\nth\0ree\n\xef\xbb\xbflast"; // a byte order mark is dropped once
    struct espi_lines lines;
    test_ok(ctx, espi_lines_open(ctx, test_write(scratch, "lines", text, sizeof text - 1), &lines));
    assert_false(espi_lines_would_wait(&lines));
    assert_int_equal(espi_lines_next(ctx, &lines), 1);
    assert_string_equal(lines.text, "one");
    assert_int_equal(espi_lines_next(ctx, &lines), 1);
    assert_int_equal(lines.length, 0);
    assert_int_equal(espi_lines_next(ctx, &lines), 1);
    assert_int_equal(lines.length, 6);
    assert_memory_equal(lines.text, "th\0ree", 6);
    assert_int_equal(espi_lines_next(ctx, &lines), 1);
    assert_string_equal(lines.text, "\xef\xbb\xbflast");
    assert_int_equal(lines.number, 4);
    assert_int_equal(espi_lines_next(ctx, &lines), 0);
    assert_int_equal(espi_lines_next(ctx, &lines), 0);
    espi_lines_close(&lines);
    test_fails(ctx, espi_lines_open(ctx, scratch, &lines), ESP_ERR_IO);
    espi_lines_close(&lines);
    test_fails(ctx, espi_lines_open(ctx, in_scratch("none"), &lines), ESP_ERR_NOT_FOUND);
    espi_lines_close(&lines);
}

/* Lines of all lengths around the size of a read. */
static void test_long_lines(void **state)
{
    (void)state;
    static const size_t lengths[] = {0, 1, 65534, 65535, 65536, 65537, 131072, 3, 1000000, 0};
    FILE *stream = fopen(in_scratch("long"), "w");
    for (size_t i = 0; i < 10; i++) {
        for (size_t j = 0; j < lengths[i]; j++)
            putc('a' + (int)((i + j) % 26), stream);
        putc('\n', stream);
    }
    fclose(stream);
    struct espi_lines lines;
    test_ok(ctx, espi_lines_open(ctx, in_scratch("long"), &lines));
    for (size_t i = 0; i < 10; i++) {
        assert_int_equal(espi_lines_next(ctx, &lines), 1);
        assert_int_equal(lines.length, lengths[i]);
        for (size_t j = 0; j < lengths[i]; j += 97)
            assert_int_equal(lines.text[j], 'a' + (int)((i + j) % 26));
    }
    assert_int_equal(espi_lines_next(ctx, &lines), 0);
    espi_lines_close(&lines);
}

static void test_lines_of_a_pipe(void **state)
{
    (void)state;
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", ends[0]);
    struct espi_lines lines;
    test_ok(ctx, espi_lines_open(ctx, path, &lines));
    assert_true(espi_lines_would_wait(&lines));
    assert_int_equal(write(ends[1], "a\nb\nc", 5), 5);
    assert_false(espi_lines_would_wait(&lines));
    assert_int_equal(espi_lines_next(ctx, &lines), 1);
    assert_false(espi_lines_would_wait(&lines)); // "b" is complete
    assert_int_equal(espi_lines_next(ctx, &lines), 1);
    assert_true(espi_lines_would_wait(&lines)); // "c" is not
    close(ends[1]);
    close(ends[0]);
    assert_int_equal(espi_lines_next(ctx, &lines), 1);
    assert_string_equal(lines.text, "c");
    assert_int_equal(espi_lines_next(ctx, &lines), 0);
    espi_lines_close(&lines);
}

static void test_output_appears_when_complete(void **state)
{
    (void)state;
    struct espi_output output;
    test_ok(ctx, espi_output_create(ctx, &output, in_scratch("out")));
    fputs("text", output.stream);
    assert_false(espi_path_exists(in_scratch("out")));
    test_ok(ctx, espi_output_commit(ctx, &output));
    espi_output_abort(&output);
    struct espi_map map;
    test_ok(ctx, espi_map_open(ctx, in_scratch("out"), &map));
    assert_memory_equal(map.data, "text", 4);
    espi_map_close(&map);
    struct stat info;
    mode_t mask = umask(0);
    umask(mask);
    assert_int_equal(stat(in_scratch("out"), &info), 0);
    assert_int_equal(info.st_mode & 0777, 0666 & ~mask);

    /* a replaced file keeps its old content until the commit, and for good after an abort */
    test_ok(ctx, espi_output_create(ctx, &output, in_scratch("out")));
    fputs("new", output.stream);
    espi_output_abort(&output);
    test_ok(ctx, espi_map_open(ctx, in_scratch("out"), &map));
    assert_int_equal(map.bytes, 4);
    espi_map_close(&map);
    assert_int_equal(entries(scratch), 1);
}

static void test_output_failures(void **state)
{
    (void)state;
    struct espi_output output;
    test_fails(ctx, espi_output_create(ctx, &output, scratch), ESP_ERR_IO);
    test_fails(ctx, espi_output_create(ctx, &output, in_scratch("no/such/place")), ESP_ERR_IO);
    test_error_has(ctx, "cannot create");

    /* a write past the file-size limit fails as a full disk does */
    struct rlimit old, small;
    getrlimit(RLIMIT_FSIZE, &old);
    small = (struct rlimit){.rlim_cur = 1000, .rlim_max = old.rlim_max};
    sighandler_t handler = signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &small);
    char *data = calloc(1, 100000);
    test_fails(ctx, espi_output_write_file(ctx, in_scratch("big"), data, 100000), ESP_ERR_IO);
    setrlimit(RLIMIT_FSIZE, &old);
    signal(SIGXFSZ, handler);
    free(data);
    test_error_has(ctx, "cannot write");
    assert_int_equal(entries(scratch), 0);
}

static void test_output_directory(void **state)
{
    (void)state;
    struct espi_output_dir dir;
    test_ok(ctx, espi_output_dir_create(ctx, &dir, in_scratch("model/")));
    test_write(dir.temporary, "config.json", "{}", 2);
    assert_false(espi_path_exists(in_scratch("model")));
    test_ok(ctx, espi_output_dir_commit(ctx, &dir));
    assert_true(espi_path_exists(in_scratch("model/config.json")));

    test_fails(ctx, espi_output_dir_create(ctx, &dir, in_scratch("model")), ESP_ERR_ARGUMENT);
    test_error_has(ctx, "new or empty directory");
    assert_int_equal(mkdir(in_scratch("empty"), 0700), 0);
    test_ok(ctx, espi_output_dir_create(ctx, &dir, in_scratch("empty")));
    test_write(dir.temporary, "a", "x", 1);
    espi_output_dir_abort(&dir);
    assert_int_equal(entries(scratch), 2);
    test_write(scratch, "file", "x", 1);
    test_fails(ctx, espi_output_dir_create(ctx, &dir, in_scratch("file")), ESP_ERR_ARGUMENT);
    test_fails(ctx, espi_output_dir_create(ctx, &dir, ""), ESP_ERR_ARGUMENT);
    test_fails(ctx, espi_output_dir_create(ctx, &dir, in_scratch("no/such")), ESP_ERR_IO);
}

static void test_remove_tree_keeps_linked_files(void **state)
{
    (void)state;
    test_write(scratch, "keep", "x", 1);
    char keep[ESPI_PATH_BYTES];
    snprintf(keep, sizeof keep, "%s", in_scratch("keep"));
    assert_int_equal(mkdir(in_scratch("tree"), 0700), 0);
    assert_int_equal(symlink(keep, in_scratch("tree/link")), 0);
    test_ok(ctx, espi_remove_tree(ctx, in_scratch("tree")));
    assert_true(espi_path_exists(keep));
    assert_false(espi_path_exists(in_scratch("tree")));
    test_ok(ctx, espi_remove_tree(ctx, in_scratch("tree")));
}

/* A line that is too long is passed over; the next is read. */
static void test_lines_too_long(void **state)
{
    (void)state;
    enum { LONG = 300000 };
    static char text[LONG + 64];
    size_t bytes = (size_t)snprintf(text, sizeof text, "one\n");
    memset(text + bytes, 'x', LONG);
    bytes += LONG;
    bytes += (size_t)snprintf(text + bytes, sizeof text - bytes, "\n12345678\n123456789\nend");
    struct espi_lines lines = {0};
    test_ok(ctx, espi_lines_open(ctx, test_write(scratch, "long", text, bytes), &lines));
    lines.longest = 8;
    assert_int_equal(espi_lines_next(ctx, &lines), 1);
    assert_string_equal(lines.text, "one");
    test_fails(ctx, espi_lines_next(ctx, &lines), ESP_ERR_LIMIT);
    test_error_has(ctx, "line 2: expected at most 8 bytes, found more");
    assert_int_equal(lines.number, 2);
    assert_int_equal(espi_lines_next(ctx, &lines), 1);
    assert_string_equal(lines.text, "12345678");
    test_fails(ctx, espi_lines_next(ctx, &lines), ESP_ERR_LIMIT);
    assert_int_equal(lines.number, 4);
    assert_int_equal(espi_lines_next(ctx, &lines), 1);
    assert_string_equal(lines.text, "end");
    assert_int_equal(espi_lines_next(ctx, &lines), 0);
    espi_lines_close(&lines);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_map),
        TEST(test_join),
        TEST(test_lines),
        TEST(test_long_lines),
        TEST(test_lines_too_long),
        TEST(test_lines_of_a_pipe),
        TEST(test_output_appears_when_complete),
        TEST(test_output_failures),
        TEST(test_output_directory),
        TEST(test_remove_tree_keeps_linked_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
