/* SPDX-License-Identifier: Apache-2.0 */
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char *test_shared_path(const char *relative)
{
    static char buffers[4][ESPI_PATH_BYTES];
    static int next;
    char *path = buffers[next++ % 4];
    const char *root = getenv("ESPALIER_TEST_SHARED");
    snprintf(path, ESPI_PATH_BYTES, "%s/%s", root ? root : ESPI_TEST_SHARED, relative);
    return path;
}

bool test_shared_shipped(void)
{
    return getenv("ESPALIER_TEST_SHARED");
}

void test_shared_require(void)
{
    const char *directory = test_shared_path("reference"), *ci = getenv("CI");
    if (espi_path_is_directory(directory))
        return;
    bool fails = (ci && *ci) || test_shared_shipped();
    fprintf(stderr, "%s: no reference data at %s\n", fails ? "failed" : "skipped", directory);
    exit(fails ? EXIT_FAILURE : TEST_SKIP);
}

size_t test_shared_models(const char *const *names, size_t count, const char **here)
{
    size_t found = 0;
    for (size_t i = 0; i < count; i++) {
        char relative[256];
        snprintf(relative, sizeof relative, "reference/models/%s", names[i]);
        if (espi_path_is_directory(test_shared_path(relative)))
            here[found++] = names[i];
        else if (!test_shared_shipped())
            fprintf(stderr, "%s: no such directory\n", test_shared_path(relative));
    }
    if (found == 0 || (found < count && !test_shared_shipped())) {
        fprintf(stderr, "failed: %zu of %zu reference models are here\n", found, count);
        exit(EXIT_FAILURE);
    }
    return found;
}

bool test_takes(size_t number)
{
    const char *every = getenv("ESPALIER_TEST_EVERY");
    size_t n = every ? (size_t)strtoull(every, NULL, 10) : 1;
    return n < 2 || number % n == 0;
}

const char *test_scratch(void)
{
    static char path[ESPI_PATH_BYTES];
    const char *base = getenv("TMPDIR");
    snprintf(path, sizeof path, "%s/espalier-test-XXXXXX", base ? base : "/tmp");
    if (!mkdtemp(path))
        fail_msg("mkdtemp %s", path);
    return path;
}

void test_scratch_remove(const char *directory)
{
    assert_int_equal(espi_remove_tree(NULL, directory), ESP_OK);
}

const char *test_write(const char *directory, const char *name, const void *data, size_t bytes)
{
    static char path[ESPI_PATH_BYTES];
    assert_int_equal(espi_path_join(NULL, path, directory, name), ESP_OK);
    FILE *stream = fopen(path, "wb");
    assert_non_null(stream);
    assert_int_equal(fwrite(data, 1, bytes, stream), bytes);
    assert_int_equal(fclose(stream), 0);
    return path;
}

void test_status(const esp_context *ctx, int status, int expected, const char *call, const char *file, int line)
{
    if (status == expected)
        return;
    fprintf(stderr, "%s:%d: %s: %s, expected %s; last error: %s\n", file, line, call, esp_status_text(status),
            esp_status_text(expected), esp_last_error(ctx));
    _fail(file, line);
}

void test_error_has(const esp_context *ctx, const char *part)
{
    if (strstr(esp_last_error(ctx), part))
        return;
    fail_msg("error \"%s\" does not contain \"%s\"", esp_last_error(ctx), part);
}

/* The header is a Python dict: {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), } */
void test_npy_read(const char *path, struct test_npy *out)
{
    struct espi_map map;
    memset(out, 0, sizeof *out);
    if (espi_map_open(NULL, path, &map) || map.bytes < 10 || memcmp(map.data, "\x93NUMPY\x01", 7) != 0)
        fail_msg("%s: not a .npy file of version 1", path);
    size_t header = map.data[8] + 256u * map.data[9];
    assert_true(10 + header <= map.bytes);
    char *text = strndup((const char *)map.data + 10, header);
    assert_non_null(text);
    const char *descr = strstr(text, "'<"), *shape = strstr(text, "'shape': (");
    assert_true(descr && shape && strstr(text, "'fortran_order': False"));
    assert_true(strncmp(descr, "'<f4'", 5) == 0 || strncmp(descr, "'<i4'", 5) == 0);
    out->type = descr[2];
    out->count = 1;
    for (const char *p = shape + strlen("'shape': ("); *p != ')' && out->dims < 4;) {
        char *end;
        out->shape[out->dims] = strtoul(p, &end, 10);
        out->count *= out->shape[out->dims++];
        p = end + strspn(end, ", ");
    }
    assert_int_equal(10 + header + 4 * out->count, map.bytes);
    out->data = malloc(4 * out->count + 4);
    assert_non_null(out->data);
    memcpy(out->data, map.data + 10 + header, 4 * out->count);
    free(text);
    espi_map_close(&map);
}
