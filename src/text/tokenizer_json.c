/* SPDX-License-Identifier: Apache-2.0
 * Reads tokenizer.json. What there is no form of is refused by name. */
#include "text/tokenizer_files.h"

#include "base/size.h"
#include "text/bpe.h"
#include "text/byte_level.h"
#include "text/unigram.h"
#include "text/wordpiece.h"

#include <string.h>

static int refuse_type(esp_context *ctx, const struct espi_json *json, const char *type, const char *supported)
{
    espi_json_fail(ctx, json, "type \"%s\" is not supported, only %s", type, supported);
    return ESP_ERR_UNSUPPORTED;
}

int espi_tokenizer_read_text(esp_context *ctx, esp_tokenizer *tokenizer, const struct espi_json *object,
                             const char *key, const char **out)
{
    const char *text;
    if (!espi_json_has(object, key))
        return ESP_OK;
    int status = espi_json_get_string(ctx, object, key, &text, NULL);
    if (status)
        return status;
    *out = espi_arena_copy(ctx, &tokenizer->arena, text, strlen(text));
    return *out ? ESP_OK : ESP_ERR_MEMORY;
}

/* ---- stages ------------------------------------------------------------------------------------------------------ */

/* A member of the document that holds stages. */
struct place {
    enum espi_stage_place place;
    const char *member, *list; // what its Sequence calls the parts
    const struct espi_member_table *table;
};

static int read_stage(esp_context *ctx, esp_tokenizer *tokenizer, const struct place *place,
                      const struct espi_json *json, const char *type, struct espi_stage *out)
{
    char types[256];
    const struct espi_stage_form *form = espi_stage_find(place->place, type);
    if (!form)
        return refuse_type(ctx, json, type, espi_stage_types(place->place, types, sizeof types));
    int status = espi_members_check(ctx, json, place->table, type);
    if (!status)
        status = espi_stage_new(ctx, &tokenizer->arena, form, out);
    return status || !form->read ? status : form->read(ctx, tokenizer, json, out->self);
}

static int type_of(esp_context *ctx, const struct espi_json *json, const char **type)
{
    int status = espi_json_expect_object(ctx, json);
    return status ? status : espi_json_get_string(ctx, json, "type", type, NULL);
}

typedef int part_fn(esp_context *ctx, esp_tokenizer *tokenizer, const struct place *place, const struct espi_json *json,
                    const char *type);

/* Calls a function for the member, or for each part of its Sequence. */
static int each_part(esp_context *ctx, esp_tokenizer *tokenizer, const struct espi_json *document,
                     const struct place *place, part_fn *function)
{
    struct espi_json json = espi_json_at(document, place->member);
    const char *type;
    if (!json.value)
        return ESP_OK;
    int status = type_of(ctx, &json, &type);
    if (status || strcmp(type, "Sequence") != 0)
        return status ? status : function(ctx, tokenizer, place, &json, type);
    struct espi_json list = espi_json_at(&json, place->list);
    status = espi_json_expect_array(ctx, &list);
    if (!status && !espi_json_length(&list)) {
        espi_json_fail(ctx, &list, "a Sequence of nothing is not supported");
        return ESP_ERR_UNSUPPORTED;
    }
    for (size_t i = 0; !status && i < espi_json_length(&list); i++) {
        struct espi_json part = espi_json_item(&list, i);
        status = type_of(ctx, &part, &type);
        if (!status)
            status = function(ctx, tokenizer, place, &part, type);
    }
    return status;
}

static int add_stage(esp_context *ctx, esp_tokenizer *tokenizer, const struct place *place,
                     const struct espi_json *json, const char *type)
{
    struct espi_stage stage;
    int status = read_stage(ctx, tokenizer, place, json, type, &stage);
    return status ? status
                  : espi_stages_add(ctx, &stage,
                                    place->place == ESPI_PLACE_NORMALIZER ? &tokenizer->normalizers
                                                                          : &tokenizer->pre_tokenizers);
}

static int read_normalizer(esp_context *ctx, esp_tokenizer *tokenizer, const struct espi_json *document)
{
    static const struct place place = {ESPI_PLACE_NORMALIZER, "normalizer", "normalizers", &espi_normalizer_members};
    return each_part(ctx, tokenizer, document, &place, add_stage);
}

static int read_pre_tokenizer(esp_context *ctx, esp_tokenizer *tokenizer, const struct espi_json *document)
{
    static const struct place place = {ESPI_PLACE_PRE_TOKENIZER, "pre_tokenizer", "pretokenizers",
                                       &espi_pre_tokenizer_members};
    return each_part(ctx, tokenizer, document, &place, add_stage);
}

int espi_tokenizer_read_vocabulary(esp_context *ctx, esp_tokenizer *tokenizer, const struct espi_json *model,
                                   const struct espi_json *vocab)
{
    if (!vocab->value)
        return espi_json_fail(ctx, model, "the member \"vocab\" is missing");
    int status = espi_json_expect_object(ctx, vocab);
    if (status)
        return status;
    const char *text;
    json_t *id;
    json_object_foreach(vocab->value, text, id)
    {
        int64_t number;
        if (!espi_json_is_integer(id, &number))
            return espi_json_fail(ctx, vocab, "token \"%s\": the id is not an integer", text);
        status = espi_tokenizer_add_token(ctx, tokenizer, model->source, text, strlen(text), number);
        if (status)
            return status;
    }
    return ESP_OK;
}

static int read_model(esp_context *ctx, esp_tokenizer *tokenizer, const struct espi_json *document)
{
    static const struct place place = {ESPI_PLACE_MODEL, "model", NULL, &espi_model_members};
    struct espi_json model = espi_json_at(document, place.member);
    const char *type = NULL;
    if (!model.value)
        return espi_json_fail(ctx, document, "the member \"model\" is missing");
    int status = espi_json_expect_object(ctx, &model);
    if (!status && espi_json_has(&model, "type"))
        status = espi_json_get_string(ctx, &model, "type", &type, NULL);
    if (!type) // old files do not name it
        type = espi_json_has(&model, "merges")   ? espi_bpe.type
               : espi_json_has(&model, "unk_id") ? espi_unigram.type
                                                 : espi_wordpiece.type;
    if (!status)
        status = read_stage(ctx, tokenizer, &place, &model, type, &tokenizer->model);
    return status ? status : espi_tokenizer_index(ctx, tokenizer, document->source);
}

static int set_decoder(esp_context *ctx, esp_tokenizer *tokenizer, const struct place *place,
                       const struct espi_json *json, const char *type)
{
    if (tokenizer->decoder.form) {
        espi_json_fail(ctx, json, "a Sequence of several decoders is not supported");
        return ESP_ERR_UNSUPPORTED;
    }
    return read_stage(ctx, tokenizer, place, json, type, &tokenizer->decoder);
}

static int read_decoder(esp_context *ctx, esp_tokenizer *tokenizer, const struct espi_json *document)
{
    static const struct place place = {ESPI_PLACE_DECODER, "decoder", "decoders", &espi_decoder_members};
    return each_part(ctx, tokenizer, document, &place, set_decoder);
}

/* ---- added tokens ------------------------------------------------------------------------------------------------- */

static int read_added_token(esp_context *ctx, esp_tokenizer *tokenizer, const struct espi_json *item)
{
    struct espi_added_token token = {.normalized = true};
    int64_t id;
    int status = espi_members_check(ctx, item, &espi_added_token_members, NULL);
    if (!status)
        status = espi_json_get_string(ctx, item, "content", &token.content, &token.bytes);
    if (!status)
        status = espi_json_get_integer(ctx, item, "id", 0, ESPI_MAX_TOKENS - 1, &id);
    if (status)
        return status;
    token.id = (int32_t)id;
    static const char *const names[] = {"single_word", "lstrip", "rstrip", "normalized", "special"};
    bool *flags[] = {&token.single_word, &token.lstrip, &token.rstrip, &token.normalized, &token.special};
    for (size_t i = 0; i < ESPI_COUNT(names) && !status; i++)
        status = espi_json_get_optional_bool(ctx, item, names[i], flags[i]);
    return status ? status : espi_tokenizer_add_added(ctx, tokenizer, item->source, &token);
}

static int read_added_tokens(esp_context *ctx, esp_tokenizer *tokenizer, const struct espi_json *document)
{
    struct espi_json list = espi_json_at(document, "added_tokens");
    if (!list.value)
        return ESP_OK;
    int status = espi_json_expect_array(ctx, &list);
    for (size_t i = 0; !status && i < espi_json_length(&list); i++) {
        struct espi_json item = espi_json_item(&list, i);
        status = read_added_token(ctx, tokenizer, &item);
    }
    return status;
}

/* ---- post-processors --------------------------------------------------------------------------------------------- */

/* An id that a template names, which must be in the vocabulary. */
static int check_id(esp_context *ctx, const esp_tokenizer *tokenizer, const struct espi_json *where, const char *text,
                    int64_t id)
{
    if (!esp_tokenizer_token(tokenizer, (int32_t)id))
        return espi_json_fail(ctx, where, "the special token \"%s\" has the id %lld, which is not in the vocabulary",
                              text, (long long)id);
    return ESP_OK;
}

/* A token and its id. */
static int read_named_id(esp_context *ctx, const esp_tokenizer *tokenizer, const struct espi_json *processor,
                         const char *key, int32_t *out)
{
    struct espi_json both = espi_json_at(processor, key);
    const char *text = NULL;
    int64_t id;
    if (json_array_size(both.value) == 2)
        text = json_string_value(json_array_get(both.value, 0));
    if (!text || !espi_json_is_integer(json_array_get(both.value, 1), &id))
        return espi_json_fail(ctx, processor, "\"%s\": expected a token and its id", key);
    if (id < 0 || id >= ESPI_MAX_TOKENS)
        return espi_json_fail(ctx, processor, "\"%s\": expected an id from 0 to %d, found %lld", key,
                              ESPI_MAX_TOKENS - 1, (long long)id);
    *out = (int32_t)id;
    return check_id(ctx, tokenizer, processor, text, id);
}

/* CLS A SEP B SEP; RoBERTa's has two SEP between the texts and no types. */
static int read_pair_processing(esp_context *ctx, esp_tokenizer *tokenizer, const struct espi_json *processor,
                                bool roberta)
{
    int32_t cls, sep;
    int status = read_named_id(ctx, tokenizer, processor, "cls", &cls);
    if (!status)
        status = read_named_id(ctx, tokenizer, processor, "sep", &sep);
    if (status)
        return status;
    if (roberta)
        espi_tokenizer_roberta_template(tokenizer, cls, sep);
    else
        espi_tokenizer_bert_template(tokenizer, cls, sep);
    return ESP_OK;
}

/* Both are true where nothing is said. */
static int read_trim(esp_context *ctx, esp_tokenizer *tokenizer, const struct espi_json *processor)
{
    tokenizer->trim_offsets = tokenizer->trim_keeps_first = true;
    int status = espi_json_get_optional_bool(ctx, processor, "trim_offsets", &tokenizer->trim_offsets);
    return status ? status
                  : espi_json_get_optional_bool(ctx, processor, "add_prefix_space", &tokenizer->trim_keeps_first);
}

static int add_piece(esp_context *ctx, const struct espi_json *where, struct espi_template *template,
                     struct espi_piece piece)
{
    if (template->count == ESPI_MAX_TEMPLATE)
        return espi_json_fail(ctx, where, "a template has more than %d pieces", ESPI_MAX_TEMPLATE);
    if (piece.sequence == ESPI_PIECE_SPECIAL)
        template->special++;
    template->pieces[template->count++] = piece;
    return ESP_OK;
}

/* The ids behind a special token's name, from the table "special_tokens". */
static int add_special_pieces(esp_context *ctx, const esp_tokenizer *tokenizer, const struct espi_json *table,
                              const char *name, uint8_t type_id, struct espi_template *template)
{
    struct espi_json entry = espi_json_at(table, name);
    if (!entry.value)
        return espi_json_fail(ctx, table, "the special token \"%s\" of the template is missing", name);
    int status = espi_json_expect_object(ctx, &entry);
    if (status)
        return status;
    struct espi_json ids = espi_json_at(&entry, "ids");
    status = espi_json_expect_array(ctx, &ids);
    for (size_t i = 0; !status && i < espi_json_length(&ids); i++) {
        struct espi_json item = espi_json_item(&ids, i);
        int64_t id = 0;
        status = espi_json_integer(ctx, &item, 0, ESPI_MAX_TOKENS - 1, &id);
        if (!status)
            status = check_id(ctx, tokenizer, &item, name, id);
        if (!status)
            status = add_piece(ctx, &item, template, (struct espi_piece){ESPI_PIECE_SPECIAL, (int32_t)id, type_id});
    }
    return status;
}

static int read_piece(esp_context *ctx, const esp_tokenizer *tokenizer, const struct espi_json *item,
                      const struct espi_json *table, struct espi_template *template)
{
    int status = espi_json_expect_object(ctx, item);
    if (status)
        return status;
    struct espi_json sequence = espi_json_at(item, "Sequence"), special = espi_json_at(item, "SpecialToken");
    const struct espi_json *piece = sequence.value ? &sequence : &special;
    if (!piece->value)
        return espi_json_fail(ctx, item, "expected \"Sequence\" or \"SpecialToken\"");
    status = espi_json_expect_object(ctx, piece);
    const char *id;
    int64_t type_id;
    if (!status)
        status = espi_json_get_string(ctx, piece, "id", &id, NULL);
    if (!status)
        status = espi_json_get_integer(ctx, piece, "type_id", 0, UINT8_MAX, &type_id);
    if (status)
        return status;
    if (piece == &special)
        return add_special_pieces(ctx, tokenizer, table, id, (uint8_t)type_id, template);
    if (strcmp(id, "A") != 0 && strcmp(id, "B") != 0)
        return espi_json_fail(ctx, piece, "expected the sequence \"A\" or \"B\", found \"%s\"", id);
    return add_piece(ctx, piece, template, (struct espi_piece){id[0] - 'A', 0, (uint8_t)type_id});
}

/* Each sequence must stand in it exactly once. */
static int read_template(esp_context *ctx, const esp_tokenizer *tokenizer, const struct espi_json *processor,
                         const char *key, size_t sequences, struct espi_template *template)
{
    struct espi_json pieces = espi_json_at(processor, key), table = espi_json_at(processor, "special_tokens");
    int status = espi_json_expect_array(ctx, &pieces);
    if (!status)
        status = espi_json_expect_object(ctx, &table);
    for (size_t i = 0; !status && i < espi_json_length(&pieces); i++) {
        struct espi_json item = espi_json_item(&pieces, i);
        status = read_piece(ctx, tokenizer, &item, &table, template);
    }
    if (status)
        return status;
    size_t seen[2] = {0};
    for (size_t i = 0; i < template->count; i++)
        if (template->pieces[i].sequence != ESPI_PIECE_SPECIAL)
            seen[template->pieces[i].sequence]++;
    if (seen[0] != 1 || seen[1] != sequences - 1) {
        espi_json_fail(ctx, &pieces, "only templates that use each text once are supported");
        return ESP_ERR_UNSUPPORTED;
    }
    return ESP_OK;
}

static int read_processor(esp_context *ctx, esp_tokenizer *tokenizer, const struct place *place,
                          const struct espi_json *json, const char *type)
{
    bool bert = strcmp(type, "BertProcessing") == 0, roberta = strcmp(type, "RobertaProcessing") == 0;
    bool level = strcmp(type, espi_byte_level.type) == 0;
    if (!bert && !roberta && !level && strcmp(type, "TemplateProcessing") != 0)
        return refuse_type(ctx, json, type, "TemplateProcessing, BertProcessing, RobertaProcessing and ByteLevel");
    if (!level && tokenizer->has_template) {
        espi_json_fail(ctx, json, "a Sequence of several templates is not supported");
        return ESP_ERR_UNSUPPORTED;
    }
    int status = espi_members_check(ctx, json, place->table, type);
    if (!status && (level || roberta))
        status = read_trim(ctx, tokenizer, json);
    if (status || level)
        return status;
    tokenizer->single.count = tokenizer->pair.count = 0;
    if (bert || roberta)
        return read_pair_processing(ctx, tokenizer, json, roberta);
    tokenizer->has_template = true;
    status = read_template(ctx, tokenizer, json, "single", 1, &tokenizer->single);
    return status ? status : read_template(ctx, tokenizer, json, "pair", 2, &tokenizer->pair);
}

static int read_post_processor(esp_context *ctx, esp_tokenizer *tokenizer, const struct espi_json *document)
{
    static const struct place place = {ESPI_PLACE_TEMPLATE, "post_processor", "processors",
                                       &espi_post_processor_members};
    tokenizer->single = (struct espi_template){.pieces = {{0, 0, 0}}, .count = 1};
    tokenizer->pair = (struct espi_template){.pieces = {{0, 0, 0}, {1, 0, 1}}, .count = 2};
    return each_part(ctx, tokenizer, document, &place, read_processor);
}

/* The side only: its lengths are the caller's, as in transformers. */
static int read_truncation(esp_context *ctx, esp_tokenizer *tokenizer, const struct espi_json *document)
{
    struct espi_json truncation = espi_json_at(document, "truncation");
    const char *direction = "Right"; // old files do not name it
    if (!truncation.value)
        return ESP_OK;
    int status = espi_members_check(ctx, &truncation, &espi_truncation_members, NULL);
    if (!status && espi_json_has(&truncation, "direction"))
        status = espi_json_get_string(ctx, &truncation, "direction", &direction, NULL);
    tokenizer->truncate_left = strcmp(direction, "Left") == 0;
    if (!status && !tokenizer->truncate_left && strcmp(direction, "Right") != 0)
        return espi_json_fail(ctx, &truncation, "direction: expected \"Left\" or \"Right\", found \"%.40s\"",
                              direction);
    return status;
}

int espi_tokenizer_read_json(esp_context *ctx, esp_tokenizer *tokenizer, const struct espi_json *document)
{
    int status = espi_members_check(ctx, document, &espi_tokenizer_members, NULL);
    if (!status)
        status = read_truncation(ctx, tokenizer, document);
    if (!status)
        status = read_normalizer(ctx, tokenizer, document);
    if (!status)
        status = read_pre_tokenizer(ctx, tokenizer, document);
    if (!status)
        status = read_model(ctx, tokenizer, document);
    if (!status)
        status = read_added_tokens(ctx, tokenizer, document);
    if (!status)
        status = read_post_processor(ctx, tokenizer, document);
    if (!status)
        status = read_decoder(ctx, tokenizer, document);
    return status;
}
