/* SPDX-License-Identifier: Apache-2.0 */
#include "base/status.h"

#include "base/file.h"
#include "base/utf8.h"
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

unsigned esp_version_number(void)
{
    return ESP_VERSION_NUMBER;
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
    if (context)
        espi_inputs_free(context->inputs);
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

/* Copies what has room, as UTF-8 whatever it is: names and contents of files may be any bytes, and may have been cut. */
static void copy_text(char out[ESPI_ERROR_BYTES], const char *text)
{
    const size_t mark = strlen(ESPI_REPLACEMENT_UTF8);
    size_t left = strlen(text), room = ESPI_ERROR_BYTES - 1;
    for (;;) {
        struct espi_utf8_part part = espi_utf8_part(text, left);
        size_t taken = part.valid <= room ? part.valid : espi_utf8_valid(text, room);
        memcpy(out, text, taken);
        out += taken;
        room -= taken;
        if (taken < part.valid || !part.invalid || room < mark)
            break;
        memcpy(out, ESPI_REPLACEMENT_UTF8, mark);
        out += mark;
        room -= mark;
        text += part.valid + part.invalid;
        left -= part.valid + part.invalid;
    }
    *out = '\0';
}

/* "text: behind" or just the text. The parts may stand in the context. */
ESPI_PRINTF(3, 0)
static void set_error(esp_context *ctx, const char *behind, const char *format, va_list arguments)
{
    char text[2 * ESPI_ERROR_BYTES];
    vsnprintf(text, ESPI_ERROR_BYTES, format, arguments);
    size_t length = strlen(text);
    if (behind)
        snprintf(text + length, ESPI_ERROR_BYTES, ": %s", behind);
    copy_text(ctx->error, text);
}

int espi_fail(esp_context *ctx, esp_status status, const char *format, ...)
{
    if (ctx) {
        va_list arguments;
        va_start(arguments, format);
        set_error(ctx, NULL, format, arguments);
        va_end(arguments);
    }
    return status;
}

int espi_fail_errno(esp_context *ctx, esp_status status, int errnum, const char *format, ...)
{
    if (ctx) {
        char reason[128];
        va_list arguments;
        va_start(arguments, format);
        set_error(ctx, strerror_r(errnum, reason, sizeof reason), format, arguments);
        va_end(arguments);
    }
    return errnum == ENOMEM ? ESP_ERR_MEMORY : status;
}

int espi_fail_prefix(esp_context *ctx, int status, const char *format, ...)
{
    if (ctx) {
        va_list arguments;
        va_start(arguments, format);
        set_error(ctx, ctx->error, format, arguments);
        va_end(arguments);
    }
    return status;
}

int espi_fail_memory(esp_context *ctx, size_t bytes)
{
    return espi_fail(ctx, ESP_ERR_MEMORY, "out of memory: %zu bytes were not to be had", bytes);
}

int espi_reserved_check(esp_context *ctx, const char *name, const void *room, size_t bytes)
{
    for (const unsigned char *byte = room; bytes--; byte++)
        if (*byte)
            return espi_fail(
                ctx, ESP_ERR_ARGUMENT,
                "%s: expected zeros in its reserved members, found others: it was not zero-initialised, or "
                "is of a later version than the library's, %s",
                name, esp_version());
    return ESP_OK;
}

void espi_log(esp_context *ctx, esp_log_level level, const char *format, ...)
{
    bool kept = ctx && ctx->warnings && level == ESP_LOG_WARNING;
    if (!ctx || (!ctx->log && !kept))
        return;
    char raw[ESPI_ERROR_BYTES], text[ESPI_ERROR_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(raw, sizeof raw, format, arguments);
    va_end(arguments);
    copy_text(text, raw);
    if (kept)
        espi_warnings_note(ctx, text);
    if (ctx->log)
        ctx->log(ctx->cookie, level, text);
}
