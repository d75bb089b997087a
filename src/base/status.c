/* SPDX-License-Identifier: Apache-2.0 */
#include "base/status.h"

#include "base/warnings.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STRING_(x) #x
#define STRING(x)  STRING_(x)

const char *esp_version(void)
{
    return STRING(ESP_VERSION_MAJOR) "." STRING(ESP_VERSION_MINOR) "." STRING(ESP_VERSION_PATCH);
}

const char *esp_status_text(int status)
{
    switch (status) {
#define X(name, value, text)                                                                                           \
    case value:                                                                                                        \
        return text;
        ESP_STATUS_MAP(X)
#undef X
    default:
        return "unknown status";
    }
}

esp_context *esp_context_new(void)
{
    return calloc(1, sizeof(esp_context));
}

void esp_context_free(esp_context *context)
{
    free(context);
}

void esp_context_set_log(esp_context *context, esp_log_fn *log, void *cookie)
{
    if (!context)
        return;
    context->log = log;
    context->cookie = cookie;
}

const char *esp_last_error(const esp_context *context)
{
    return context ? context->error : "";
}

/* Formats into a scratch buffer first: the arguments may point into the context's old text. */
ESPI_PRINTF(2, 0)
static void set_error(esp_context *ctx, const char *format, va_list arguments)
{
    char text[ESPI_ERROR_BYTES];
    vsnprintf(text, sizeof text, format, arguments);
    memcpy(ctx->error, text, sizeof text);
}

int espi_fail(esp_context *ctx, esp_status status, const char *format, ...)
{
    if (ctx) {
        va_list arguments;
        va_start(arguments, format);
        set_error(ctx, format, arguments);
        va_end(arguments);
    }
    return status;
}

int espi_fail_errno(esp_context *ctx, esp_status status, int errnum, const char *format, ...)
{
    if (ctx) {
        va_list arguments;
        va_start(arguments, format);
        set_error(ctx, format, arguments);
        va_end(arguments);
        char reason[128];
        size_t length = strlen(ctx->error);
        snprintf(ctx->error + length, sizeof ctx->error - length, ": %s", strerror_r(errnum, reason, sizeof reason));
    }
    return errnum == ENOMEM ? ESP_ERR_MEMORY : status;
}

int espi_fail_prefix(esp_context *ctx, int status, const char *format, ...)
{
    if (ctx) {
        char old[ESPI_ERROR_BYTES];
        memcpy(old, ctx->error, sizeof old);
        va_list arguments;
        va_start(arguments, format);
        set_error(ctx, format, arguments);
        va_end(arguments);
        size_t length = strlen(ctx->error);
        snprintf(ctx->error + length, sizeof ctx->error - length, ": %s", old);
    }
    return status;
}

int espi_fail_memory(esp_context *ctx, size_t bytes)
{
    return espi_fail(ctx, ESP_ERR_MEMORY, "out of memory: %zu bytes were not to be had", bytes);
}

void espi_log(esp_context *ctx, esp_log_level level, const char *format, ...)
{
    bool kept = ctx && ctx->warnings && level == ESP_LOG_WARNING;
    if (!ctx || (!ctx->log && !kept))
        return;
    char text[ESPI_ERROR_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (kept)
        espi_warnings_note(ctx, text);
    if (ctx->log)
        ctx->log(ctx->cookie, level, text);
}
