/* SPDX-License-Identifier: Apache-2.0 */
#include "text/words.h"

#include "base/memory.h"
#include "text/unicode.h"

#include <stdlib.h>

struct target {
    struct espi_splitter *splitter;
    espi_word_fn *function;
    void *cookie;
};

static void push(struct espi_splitter *splitter, uint32_t code)
{
    splitter->bytes += espi_utf8_encode(code, splitter->word + splitter->bytes);
    splitter->code_points++;
}

static int flush(struct target *target)
{
    struct espi_splitter *splitter = target->splitter;
    if (!splitter->bytes)
        return ESP_OK;
    size_t bytes = splitter->bytes, code_points = splitter->code_points;
    splitter->bytes = splitter->code_points = 0;
    return target->function(target->cookie, (const char *)splitter->word, bytes, code_points);
}

static int apply(struct target *target, uint32_t step, uint32_t code)
{
    uint32_t payload = step >> ESPI_STEP_BITS;
    enum espi_step_kind kind = step & ESPI_STEP_KIND;
    int status = ESP_OK;
    if (kind == ESPI_STEP_SPACE || kind == ESPI_STEP_ALONE)
        status = flush(target);
    if (kind == ESPI_STEP_LETTER || kind == ESPI_STEP_ALONE)
        push(target->splitter, payload ? payload : code);
    if (kind == ESPI_STEP_ALONE && !status)
        status = flush(target);
    return status;
}

static bool needs_passes(const struct espi_normalizer *normalizer, const unsigned char *text, size_t bytes)
{
    for (size_t at = 0; at < bytes;) {
        if (text[at] < 0x80) {
            at++;
            continue;
        }
        uint32_t code;
        at += espi_utf8_decode(text + at, bytes - at, &code);
        if ((espi_normalizer_step(normalizer, code) & ESPI_STEP_KIND) == ESPI_STEP_ORDER)
            return true;
    }
    return false;
}

static int split_by_passes(esp_context *ctx, const struct espi_normalizer *normalizer, struct target *target,
                           const unsigned char *text, size_t bytes)
{
    struct espi_units *units = &target->splitter->units;
    int status = espi_normalize(ctx, normalizer, text, 0, bytes, 0, units);
    for (size_t i = 0; i < units->count && !status; i++) {
        uint32_t code = units->data[i].code, step = ESPI_STEP_LETTER;
        if (espi_char_is(ESPI_CHAR_SPACE, code))
            step = ESPI_STEP_SPACE;
        else if (espi_char_is(ESPI_CHAR_PUNCTUATION, code))
            step = ESPI_STEP_ALONE;
        status = apply(target, step, code);
    }
    return status ? status : flush(target);
}

int espi_split_words(esp_context *ctx, const struct espi_normalizer *normalizer, struct espi_splitter *splitter,
                     const char *text, size_t bytes, espi_word_fn *function, void *cookie)
{
    const unsigned char *data = (const unsigned char *)text;
    struct target target = {splitter, function, cookie};
    splitter->bytes = splitter->code_points = 0;
    /* a code point of b bytes becomes at most ESPI_DECOMPOSED others of at most 4 */
    int status = espi_grow(ctx, &splitter->word, &splitter->capacity, 4 * ESPI_DECOMPOSED * bytes + 4, 1);
    if (status)
        return status;
    if (needs_passes(normalizer, data, bytes))
        return split_by_passes(ctx, normalizer, &target, data, bytes);
    for (size_t at = 0; at < bytes && !status;) {
        uint32_t code;
        at += espi_utf8_decode(data + at, bytes - at, &code);
        uint32_t step = espi_normalizer_step(normalizer, code);
        if ((step & ESPI_STEP_KIND) != ESPI_STEP_SEVERAL) {
            status = apply(&target, step, code);
            continue;
        }
        const uint32_t *several = normalizer->several + (step >> ESPI_STEP_BITS);
        for (uint32_t i = 1; i <= several[0] && !status; i++)
            status = apply(&target, several[i], code);
    }
    return status ? status : flush(&target);
}

void espi_splitter_clear(struct espi_splitter *splitter)
{
    espi_units_clear(&splitter->units);
    free(splitter->word);
    *splitter = (struct espi_splitter){0};
}
