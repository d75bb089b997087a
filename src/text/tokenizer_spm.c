/* SPDX-License-Identifier: Apache-2.0
 * Reads a SentencePiece model where there is no tokenizer.json: it is written as one in memory, as the converters of
 * transformers 4 (convert_slow_tokenizer.py) write it for each class, and then read. */
#include "text/tokenizer_files.h"

#include "base/base64.h"
#include "base/foreign.h"
#include "base/json_writer.h"
#include "base/size.h"
#include "text/metaspace.h"
#include "text/spm_file.h"

#include <stdlib.h>
#include <string.h>

/* A class whose files are SentencePiece models. */
struct espi_spm_class {
    const char *name, *model_type;
    const char *const *specials; // by role
    const char *const *first;    // pieces in the place of the model's first ones, NULL at the end; or NULL
    size_t skipped;              // of those
    bool mask_last;              // <mask> is the last piece
    bool bert_template;          // else RoBERTa's
    bool mask_takes_space;       //
    bool mask_normalized;        // and unknown tokens:
    bool unk_normalized;         //
    void (*normalize)(struct espi_json_writer *w, const struct espi_json *config, const struct espi_spm *spm);
};

/* ---- the parts of a tokenizer.json -------------------------------------------------------------------------------------- */

static bool config_has(const struct espi_json *config, const char *key, bool otherwise)
{
    const json_t *value = config->value ? json_object_get(config->value, key) : NULL;
    return value ? json_is_true(value) : otherwise;
}

static void put_part(struct espi_json_writer *w, const char *type)
{
    espi_put_object(w, NULL);
    espi_put_string(w, "type", type);
}

static void put_simple(struct espi_json_writer *w, const char *type)
{
    put_part(w, type);
    espi_put_object_end(w);
}

static void put_replace(struct espi_json_writer *w, const char *kind, const char *pattern, const char *content)
{
    put_part(w, "Replace");
    espi_put_object(w, "pattern");
    espi_put_string(w, kind, pattern);
    espi_put_object_end(w);
    espi_put_string(w, "content", content);
    espi_put_object_end(w);
}

static void put_strip(struct espi_json_writer *w, bool left)
{
    put_part(w, "Strip");
    espi_put_bool(w, "strip_left", left);
    espi_put_bool(w, "strip_right", true);
    espi_put_object_end(w);
}

static void put_charsmap(struct espi_json_writer *w, const struct espi_spm *spm)
{
    if (!spm->charsmap_bytes)
        return;
    char *text = malloc(espi_base64_length(spm->charsmap_bytes) + 1);
    if (!text) {
        w->status = ESP_ERR_MEMORY;
        return;
    }
    espi_base64_encode(spm->charsmap, spm->charsmap_bytes, text);
    put_part(w, "Precompiled");
    espi_put_string(w, "precompiled_charsmap", text);
    espi_put_object_end(w);
    free(text);
}

static void normalize_xlmr(struct espi_json_writer *w, const struct espi_json *config, const struct espi_spm *spm)
{
    (void)config;
    put_charsmap(w, spm);
    put_strip(w, false);
    put_replace(w, "Regex", " {2,}", "\xe2\x96\x81");
}

static void normalize_albert(struct espi_json_writer *w, const struct espi_json *config, const struct espi_spm *spm)
{
    put_replace(w, "String", "``", "\"");
    put_replace(w, "String", "''", "\"");
    if (!config_has(config, "keep_accents", false)) {
        put_simple(w, "NFKD");
        put_simple(w, "StripAccents");
    }
    if (config_has(config, "do_lower_case", true))
        put_simple(w, "Lowercase");
    put_charsmap(w, spm);
    put_replace(w, "Regex", " {2,}", " ");
}

static void normalize_deberta(struct espi_json_writer *w, const struct espi_json *config, const struct espi_spm *spm)
{
    if (config_has(config, "do_lower_case", false))
        put_simple(w, "Lowercase");
    put_strip(w, true);
    put_charsmap(w, spm);
    put_replace(w, "Regex", " {2,}", " ");
}

/* ---- classes -------------------------------------------------------------------------------------------------------------- */

static const char *const xlmr_first[] = {"<s>", "<pad>", "</s>", "<unk>", NULL};
static const char *const camembert_first[] = {"<s>NOTUSED", "<pad>", "</s>NOTUSED", "<unk>", "<unk>NOTUSED", NULL};
static const char *const albert_specials[ESPI_SPECIAL_ROLES] = {"<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]"};

static const struct espi_spm_class classes[] = {
    {"XLMRobertaTokenizer", "xlm-roberta", espi_roberta_specials, xlmr_first, 3, true, false, true, true, false,
     normalize_xlmr},
    {"CamembertTokenizer", "camembert", espi_roberta_specials, camembert_first, 1, true, false, true, false, false,
     normalize_xlmr},
    {"AlbertTokenizer", "albert", albert_specials, NULL, 0, false, true, true, false, false, normalize_albert},
    {"DebertaV2Tokenizer", "deberta-v2", espi_bert_specials, NULL, 0, false, true, false, false, true,
     normalize_deberta},
};

static bool is_named(const char *name, const char *class)
{
    size_t length = strlen(class);
    return strncmp(name, class, length) == 0 && (!name[length] || strcmp(name + length, "Fast") == 0);
}

/* NULL, with a message, when it is none of them. */
static const struct espi_spm_class *find_class(esp_context *ctx, const char *path,
                                               const struct espi_tokenizer_files *files)
{
    const char *type = json_string_value(json_object_get(files->model.value, "model_type")), *name = files->class_name;
    for (size_t i = 0; i < ESPI_COUNT(classes); i++)
        if (name ? is_named(name, classes[i].name) : type && strcmp(type, classes[i].model_type) == 0)
            return &classes[i];
    espi_fail(ctx, ESP_ERR_UNSUPPORTED,
              "%s: a SentencePiece model with the %s \"%s\" is not supported without a tokenizer.json, only those of "
              "XLM-RoBERTa, CamemBERT, ALBERT and DeBERTa-v2",
              path, name ? "tokenizer_class" : "model_type",
              name   ? name
              : type ? type
                     : "");
    return NULL;
}

bool espi_tokenizer_is_spm_class(const char *name)
{
    for (size_t i = 0; i < ESPI_COUNT(classes); i++)
        if (is_named(name, classes[i].name))
            return true;
    return false;
}

/* ---- the whole -------------------------------------------------------------------------------------------------------------- */

static void put_piece(struct espi_json_writer *w, const char *text, size_t bytes, double score)
{
    espi_put_array(w, NULL);
    espi_put_text(w, NULL, text, bytes);
    espi_put_number(w, NULL, score);
    espi_put_array_end(w);
}

/* ALBERT's tokens are never a digit and a comma. */
static bool is_digit_comma(const struct espi_spm_piece *piece)
{
    const char *text = piece->text;
    size_t bytes = piece->bytes;
    return bytes >= 2 && text[bytes - 1] == ',' && text[bytes - 2] >= '0' && text[bytes - 2] <= '9';
}

static void put_model(struct espi_json_writer *w, const struct espi_spm_class *class, const struct espi_spm *spm)
{
    bool albert = class->specials == albert_specials;
    espi_put_object(w, "model");
    espi_put_string(w, "type", "Unigram");
    espi_put_size(w, "unk_id", class->first ? 3 : spm->unk_id);
    espi_put_bool(w, "byte_fallback", false);
    espi_put_array(w, "vocab");
    for (const char *const *first = class->first; first && *first; first++)
        put_piece(w, *first, strlen(*first), first - class->first == 4 ? -100 : 0);
    for (size_t i = class->skipped; i < spm->count; i++) {
        const struct espi_spm_piece *piece = &spm->pieces[i];
        double score = (double)piece->score;
        put_piece(w, piece->text, piece->bytes, albert && is_digit_comma(piece) ? score - 100 : score);
    }
    if (class->mask_last)
        put_piece(w, "<mask>", strlen("<mask>"), 0);
    espi_put_array_end(w);
    espi_put_object_end(w);
}

static void put_document(struct espi_json_writer *w, const struct espi_spm_class *class, const struct espi_json *config,
                         const struct espi_spm *spm)
{
    espi_put_object(w, NULL);
    espi_put_object(w, "normalizer");
    espi_put_string(w, "type", "Sequence");
    espi_put_array(w, "normalizers");
    class->normalize(w, config, spm);
    espi_put_array_end(w);
    espi_put_object_end(w);
    espi_put_object(w, "pre_tokenizer");
    espi_put_string(w, "type", "Sequence");
    espi_put_array(w, "pretokenizers");
    if (config_has(config, "split_by_punct", false) && class->normalize == normalize_deberta)
        put_simple(w, "Punctuation");
    espi_metaspace_put(w, NULL);
    espi_put_array_end(w);
    espi_put_object_end(w);
    espi_metaspace_put(w, "decoder");
    put_model(w, class, spm);
    espi_put_object_end(w);
}

/* Control pieces and those of the user are found in texts as they stand. */
static int add_pieces(esp_context *ctx, esp_tokenizer *tokenizer, const char *path, const struct espi_spm *spm)
{
    int status = ESP_OK;
    for (size_t i = 0; i < spm->count && !status; i++) {
        const struct espi_spm_piece *piece = &spm->pieces[i];
        bool control = piece->type == ESPI_SPM_CONTROL;
        if (control || piece->type == ESPI_SPM_USER_DEFINED)
            status = espi_tokenizer_add_added(
                ctx, tokenizer, path,
                &(struct espi_added_token){
                    .content = piece->text, .bytes = piece->bytes, .id = -1, .special = control});
    }
    return status;
}

static int convert(esp_context *ctx, esp_tokenizer *tokenizer, const char *path, const struct espi_spm_class *class,
                   const struct espi_tokenizer_files *files, const struct espi_spm *spm)
{
    struct espi_json_writer w = {.exact = true};
    struct espi_json document = {.source = path};
    put_document(&w, class, &files->config, spm);
    int status = espi_json_written(ctx, &w, &document.value);
    if (!status)
        status = espi_tokenizer_read_json(ctx, tokenizer, &document);
    if (document.value)
        json_decref(document.value);
    return status ? status : add_pieces(ctx, tokenizer, path, spm);
}

static int open_model(esp_context *ctx, esp_tokenizer *tokenizer, const char *path, const struct espi_spm_class *class,
                      const struct espi_tokenizer_files *files)
{
    struct espi_map map;
    struct espi_spm spm;
    int status = espi_map_open(ctx, path, &map);
    if (status)
        return status;
    status = espi_foreign_check(ctx, path, "a SentencePiece model", "fetch the file itself", map.data, map.bytes);
    if (!status)
        status = espi_spm_read(ctx, path, map.data, map.bytes, &spm);
    if (!status) {
        status = convert(ctx, tokenizer, path, class, files, &spm);
        espi_spm_clear(&spm);
    }
    espi_map_close(&map);
    return status;
}

int espi_tokenizer_read_spm(esp_context *ctx, esp_tokenizer *tokenizer, const char *path,
                            struct espi_tokenizer_files *files)
{
    const struct espi_spm_class *class = find_class(ctx, path, files);
    if (!class)
        return ESP_ERR_UNSUPPORTED;
    files->standards = class->specials;
    files->adds_standards = true;
    files->mask_takes_space = class->mask_takes_space;
    files->mask_normalized = class->mask_normalized;
    files->unk_normalized = class->unk_normalized;
    int status = open_model(ctx, tokenizer, path, class, files);
    if (!status)
        status = espi_tokenizer_files_tokens(ctx, files, path, true, tokenizer);
    if (status)
        return status;
    const struct espi_special_ids *special = &tokenizer->special;
    if (class->bert_template)
        espi_tokenizer_bert_template(tokenizer, special->cls, special->sep);
    else
        espi_tokenizer_roberta_template(tokenizer, special->cls, special->sep);
    return ESP_OK;
}
