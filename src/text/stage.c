/* SPDX-License-Identifier: Apache-2.0 */
#include "text/stage.h"

#include "base/size.h"
#include "text/bert_stages.h"
#include "text/bpe.h"
#include "text/byte_level.h"
#include "text/char_splitters.h"
#include "text/metaspace.h"
#include "text/pattern_splitter.h"
#include "text/precompiled.h"
#include "text/text_normalizers.h"
#include "text/unicode_forms.h"
#include "text/unigram.h"
#include "text/wordlevel.h"
#include "text/wordpiece.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct espi_stage_form *const forms[] = {
    /* normalizers */
    &espi_bert_normalizer,
    &espi_nfc_normalizer,
    &espi_nfd_normalizer,
    &espi_lowercase_normalizer,
    &espi_strip_accents_normalizer,
    &espi_nfkc_normalizer,
    &espi_nfkd_normalizer,
    &espi_strip_normalizer,
    &espi_replace_normalizer,
    &espi_prepend_normalizer,
    &espi_nmt_normalizer,
    &espi_precompiled,
    /* pre-tokenizers */
    &espi_bert_pre_tokenizer,
    &espi_byte_level,
    &espi_whitespace,
    &espi_whitespace_split,
    &espi_punctuation,
    &espi_digits,
    &espi_metaspace,
    &espi_split_pre_tokenizer,
    /* models */
    &espi_wordpiece,
    &espi_bpe,
    &espi_unigram,
    &espi_wordlevel,
    /* decoders */
    &espi_wordpiece_decoder,
    &espi_byte_level_decoder,
    &espi_metaspace_decoder,
};

const char *espi_stage_place_name(uint32_t place)
{
    static const char *const names[ESPI_PLACES] = {
        [ESPI_PLACE_VOCABULARY] = "vocabulary", [ESPI_PLACE_ADDED] = "added tokens",
        [ESPI_PLACE_NORMALIZER] = "normalizer", [ESPI_PLACE_PRE_TOKENIZER] = "pre-tokenizer",
        [ESPI_PLACE_MODEL] = "model",           [ESPI_PLACE_TEMPLATE] = "template",
        [ESPI_PLACE_DECODER] = "decoder",       [ESPI_PLACE_SPLIT_TABLE] = "split table",
    };
    return place < ESPI_PLACES ? names[place] : NULL;
}

const struct espi_stage_form *espi_stage_find(enum espi_stage_place place, const char *type)
{
    for (size_t i = 0; i < ESPI_COUNT(forms); i++)
        if (forms[i]->place == place && strcmp(forms[i]->type, type) == 0)
            return forms[i];
    return NULL;
}

const struct espi_stage_form *espi_stage_find_kind(enum espi_stage_place place, uint32_t kind)
{
    for (size_t i = 0; i < ESPI_COUNT(forms); i++)
        if (forms[i]->place == place && forms[i]->kind == kind)
            return forms[i];
    return NULL;
}

const char *espi_stage_types(enum espi_stage_place place, char *text, size_t bytes)
{
    size_t left = 0, used = 0;
    for (size_t i = 0; i < ESPI_COUNT(forms); i++)
        left += forms[i]->place == place;
    *text = 0;
    for (size_t i = 0; i < ESPI_COUNT(forms) && used < bytes; i++)
        if (forms[i]->place == place) {
            const char *before = !used ? "" : left == 1 ? " and " : ", ";
            used += (size_t)snprintf(text + used, bytes - used, "%s%s", before, forms[i]->type);
            left--;
        }
    return text;
}

int espi_stage_new(esp_context *ctx, struct espi_arena *arena, const struct espi_stage_form *form,
                   struct espi_stage *out)
{
    *out = (struct espi_stage){form, espi_arena_alloc(ctx, arena, 1, espi_size_max(form->size, 1))};
    if (!out->self)
        return ESP_ERR_MEMORY;
    if (form->init)
        form->init(out->self);
    return ESP_OK;
}

int espi_stages_add(esp_context *ctx, const struct espi_stage *stage, struct espi_stages *stages)
{
    if (stages->count == ESPI_MAX_STAGES)
        return espi_fail(ctx, ESP_ERR_LIMIT, "a tokenizer has more than %d parts called %s", ESPI_MAX_STAGES,
                         espi_stage_place_name(stage->form->place));
    stages->data[stages->count++] = *stage;
    return ESP_OK;
}

int espi_pieces_reserve(esp_context *ctx, struct espi_pieces *pieces, size_t bytes)
{
    size_t capacity = pieces->capacity;
    if (bytes < capacity)
        return ESP_OK;
    int status = espi_grow(ctx, &pieces->ends, &capacity, bytes + 1, sizeof *pieces->ends);
    return status ? status : espi_grow(ctx, &pieces->ids, &pieces->capacity, bytes + 1, sizeof *pieces->ids);
}

void espi_pieces_clear(struct espi_pieces *pieces)
{
    free(pieces->ids);
    free(pieces->ends);
    free(pieces->scratch);
    *pieces = (struct espi_pieces){0};
}

int espi_parts_add(esp_context *ctx, struct espi_parts *parts, struct espi_part part)
{
    int status = espi_grow(ctx, &parts->scratch, &parts->scratch_capacity, parts->scratch_count + 1, sizeof part);
    if (!status)
        parts->scratch[parts->scratch_count++] = part;
    return status;
}

int espi_parts_split(esp_context *ctx, struct espi_parts *parts, struct espi_part part, espi_part_class_fn *class_of,
                     const void *self)
{
    int status = ESP_OK;
    for (size_t at = part.begin, stop; at < part.end && !status; at = stop) {
        enum espi_part_class class = class_of(self, parts->units.data[at].code);
        stop = at + 1;
        while (class != ESPI_PART_ALONE && stop < part.end && class_of(self, parts->units.data[stop].code) == class)
            stop++;
        if (class != ESPI_PART_DROPPED)
            status = espi_parts_add(ctx, parts, (struct espi_part){at, stop, -1});
    }
    return status;
}

/* A part that waits for what stands behind it: [begin, end), whether it is a match, and whether it has taken one in. */
struct waiting {
    size_t begin, end;
    bool there, match, merged;
};

static int send_waiting(esp_context *ctx, struct espi_parts *parts, struct waiting *waiting)
{
    bool there = waiting->there && waiting->begin < waiting->end;
    waiting->there = false;
    return there ? espi_parts_add(ctx, parts, (struct espi_part){waiting->begin, waiting->end, -1}) : ESP_OK;
}

static bool joins(enum espi_behavior behavior, const struct waiting *waiting, bool match)
{
    switch (behavior) {
    case ESPI_CONTIGUOUS:
        return waiting->match == match;
    case ESPI_MERGED_WITH_PREVIOUS:
        return match && !waiting->match && !waiting->merged;
    case ESPI_MERGED_WITH_NEXT:
        return !match && waiting->match;
    default:
        return false;
    }
}

static int add_piece(esp_context *ctx, struct espi_parts *parts, enum espi_behavior behavior, size_t begin, size_t end,
                     bool match, struct waiting *waiting)
{
    if (begin == end)
        return ESP_OK;
    if (waiting->there && joins(behavior, waiting, match)) {
        waiting->end = end;
        waiting->merged = true;
        return ESP_OK;
    }
    int status = send_waiting(ctx, parts, waiting);
    *waiting = (struct waiting){begin, end, !(match && behavior == ESPI_REMOVED), match, false};
    return status;
}

int espi_parts_split_at(esp_context *ctx, struct espi_parts *parts, struct espi_part part, enum espi_behavior behavior,
                        bool invert, espi_find_fn *find, const void *self)
{
    struct waiting waiting = {0};
    int status = ESP_OK;
    for (size_t at = part.begin, begin, end; at < part.end && !status; at = end) {
        if (!find(self, parts->units.data, at, part.end, &begin, &end))
            begin = end = part.end;
        status = add_piece(ctx, parts, behavior, at, begin, invert, &waiting);
        if (!status)
            status = add_piece(ctx, parts, behavior, begin, end, !invert, &waiting);
    }
    return status ? status : send_waiting(ctx, parts, &waiting);
}

int espi_parts_prepend(esp_context *ctx, struct espi_parts *parts, uint32_t code, struct espi_part *part)
{
    struct espi_units *units = &parts->units;
    size_t count = part->end - part->begin;
    int status = espi_grow(ctx, &units->data, &units->capacity, units->count + count + 1, sizeof *units->data);
    if (status)
        return status;
    struct espi_unit *copy = units->data + units->count;
    memcpy(copy + 1, units->data + part->begin, count * sizeof *copy);
    copy[0] = copy[1];
    copy[0].code = code;
    *part = (struct espi_part){units->count, units->count + count + 1, -1};
    units->count += count + 1;
    return ESP_OK;
}

void espi_parts_swap(struct espi_parts *parts)
{
    struct espi_part *data = parts->data;
    size_t capacity = parts->capacity;
    parts->data = parts->scratch;
    parts->count = parts->scratch_count;
    parts->capacity = parts->scratch_capacity;
    parts->scratch = data;
    parts->scratch_capacity = capacity;
    parts->scratch_count = 0;
}

void espi_parts_clear(struct espi_parts *parts)
{
    espi_units_clear(&parts->units);
    free(parts->data);
    free(parts->scratch);
    *parts = (struct espi_parts){0};
}
