/* SPDX-License-Identifier: Apache-2.0
 * Error texts and log lines of a context. */
#ifndef ESPI_BASE_STATUS_H
#define ESPI_BASE_STATUS_H

#include "espalier.h"

#include <stdarg.h>

#define ESPI_PRINTF(position, first) __attribute__((format(printf, position, first)))
#define ESPI_NODISCARD               __attribute__((warn_unused_result))

enum { ESPI_ERROR_BYTES = 1024 };

struct espi_warnings;

struct esp_context {
    esp_log_fn *log;
    void *cookie;
    struct espi_inputs *inputs;     // which files are read (base/file.h); NULL: not kept
    struct espi_warnings *warnings; // where warnings are kept, too (base/warnings.h); NULL: nowhere
    const char *warnings_directory;
    char error[ESPI_ERROR_BYTES];
};

/* Keeps the formatted text as the context's last error and returns `status`, so that callers write
 * `return espi_fail(ctx, ESP_ERR_FORMAT, "%s: ...", path);`. Context may be NULL. */
int espi_fail(esp_context *ctx, esp_status status, const char *format, ...) ESPI_PRINTF(3, 4);

/* As espi_fail, with ": " and the text of the given errno value behind it. ENOMEM is ESP_ERR_MEMORY, whatever `status` says:
 * a system call that had no memory is neither a bad file nor a bad device. */
int espi_fail_errno(esp_context *ctx, esp_status status, int errnum, const char *format, ...) ESPI_PRINTF(4, 5);

/* Puts "prefix: " before the text that is already there (a caller that knows the file adds its name). */
int espi_fail_prefix(esp_context *ctx, int status, const char *format, ...) ESPI_PRINTF(3, 4);

int espi_fail_memory(esp_context *ctx, size_t bytes);

/* ESP_ERR_ARGUMENT unless what a struct of espalier.h has reserved, from its member `from` to its end, is zero. */
#define ESPI_RESERVED_CHECK(ctx, name, object, from)                                                                   \
    espi_reserved_check(ctx, name, &(object)->from,                                                                    \
                        sizeof *(object) - ((const char *)&(object)->from - (const char *)(object)))
int espi_reserved_check(esp_context *ctx, const char *name, const void *room, size_t bytes) ESPI_NODISCARD;

void espi_log(esp_context *ctx, esp_log_level level, const char *format, ...) ESPI_PRINTF(3, 4);

#endif
