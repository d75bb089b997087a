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

/* Path of a file in the reference data ("reference/models/bert-tiny-qa"), in one of a few static buffers. */
const char *test_shared_path(const char *relative);
/* True when the reference data is there; else says on stderr that the test is skipped. A golden test's main starts with
 * `if (!test_shared_available()) return TEST_SKIP;` */
bool test_shared_available(void);

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
