/* SPDX-License-Identifier: Apache-2.0
 * What every test needs: cmocka, a context that prints errors, the reference data, a scratch directory. */
#ifndef ESPI_TEST_SUPPORT_H
#define ESPI_TEST_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/status.h"

enum { TEST_SKIP = 77 }; // exit code ctest counts as skipped

/* TEST_SANITIZED where a sanitizer has an allocator of its own, TEST_THREAD_SANITIZED where it is the one of threads. */
#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(memory_sanitizer)
#define TEST_SANITIZED
#endif
#if __has_feature(thread_sanitizer)
#define TEST_THREAD_SANITIZED
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#define TEST_SANITIZED
#endif
#if defined(__SANITIZE_THREAD__)
#define TEST_THREAD_SANITIZED
#endif
#if defined(TEST_THREAD_SANITIZED)
#define TEST_SANITIZED
#endif

/* Path of a file in the reference data ("reference/models/bert-tiny-qa"), in one of a few static buffers. The data is what
 * ESPALIER_TEST_SHARED names, as tests/data, which ships; else the whole of it, where the build was told that it stands. */
const char *test_shared_path(const char *relative);
/* Whether it is the part that ships. */
bool test_shared_shipped(void);
/* Ends the test as skipped where there is no such data, or as failed where CI is set. A golden test's main begins with it. */
void test_shared_require(void);
/* Of some reference models those that are here: all, or some of what ships; else the test ends as failed.
 * here: (count) */
size_t test_shared_models(const char *const *names, size_t count, const char **here);

/* Whether to take the case of that number, of many that are alike: every Nth where ESPALIER_TEST_EVERY=N is set, as an emulator
 * needs it, else each. */
bool test_takes(size_t number);

/* A fresh empty directory under the temporary directory; test_scratch_remove deletes it with all it holds. */
const char *test_scratch(void);
void test_scratch_remove(const char *directory);
/* Writes a text file directory/name and returns its path (static buffer). */
const char *test_write(const char *directory, const char *name, const void *data, size_t bytes);

/* Asserts the status, and on success cases prints the context's error when it is not ESP_OK. */
#define test_ok(ctx, call)              test_status(ctx, call, ESP_OK, #call, __FILE__, __LINE__)
#define test_fails(ctx, call, expected) test_status(ctx, call, expected, #call, __FILE__, __LINE__)
void test_status(const esp_context *ctx, int status, int expected, const char *call, const char *file, int line);
/* Asserts that the last error contains a text. */
void test_error_has(const esp_context *ctx, const char *part);

/* A NumPy .npy file (version 1, little-endian, C order). Zero-initialise; free(data). */
struct test_npy {
    char type; // 'f' float32, 'i' int32
    size_t dims, shape[4], count;
    void *data; // (count)
};
void test_npy_read(const char *path, struct test_npy *out);

#endif
