/* SPDX-License-Identifier: Apache-2.0
 * Writes the files that this tokenizer and Hugging Face tokenizers read. */
#include "text/tokenizer_state.h"

#include "base/file.h"
#include "base/size.h"

#include <string.h>

/* jansson's packing gives NULL when memory runs out (or on invalid UTF-8, which a vocab.txt may hold). */
static int fail_pack(esp_context *ctx)
{
    return espi_fail(ctx, ESP_ERR_MEMORY, "tokenizer.json: out of memory, or a token is not UTF-8");
}

static json_t *added_json(const esp_tokenizer *tokenizer)
{
    json_t *list = json_array();
    for (size_t i = 0; i < tokenizer->added_count; i++) {
        const struct espi_added_token *token = &tokenizer->added[i];
        json_t *item = json_pack("{s:i, s:s, s:b, s:b, s:b, s:b, s:b}", "id", (int)token->id, "content", token->content,
                                 "single_word", token->single_word, "lstrip", token->lstrip, "rstrip", token->rstrip,
                                 "normalized", token->normalized, "special", token->special);
        if (json_array_append_new(list, item)) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

static json_t *normalizer_json(const esp_tokenizer *tokenizer)
{
    const struct espi_normalizer_options *options = &tokenizer->options;
    return json_pack("{s:s, s:b, s:b, s:o, s:b}", "type", "BertNormalizer", "clean_text", options->clean_text,
                     "handle_chinese_chars", options->handle_chinese_chars, "strip_accents",
                     tokenizer->strip_accents_stated ? json_boolean(options->strip_accents) : json_null(), "lowercase",
                     options->lowercase);
}

/* Adds the special token's entry to `table` and returns the piece. */
static json_t *special_piece(const esp_tokenizer *tokenizer, const struct espi_piece *piece, json_t *table)
{
    const char *text = esp_tokenizer_token(tokenizer, piece->id);
    json_t *entry = json_pack("{s:s, s:[i], s:[s]}", "id", text, "ids", (int)piece->id, "tokens", text);
    if (json_object_set_new(table, text, entry))
        return NULL;
    return json_pack("{s:{s:s, s:i}}", "SpecialToken", "id", text, "type_id", (int)piece->type_id);
}

static json_t *template_json(const esp_tokenizer *tokenizer, const struct espi_template *template, json_t *table)
{
    json_t *list = json_array();
    for (size_t i = 0; i < template->count; i++) {
        const struct espi_piece *piece = &template->pieces[i];
        json_t *item = piece->sequence == ESPI_PIECE_SPECIAL
                           ? special_piece(tokenizer, piece, table)
                           : json_pack("{s:{s:s, s:i}}", "Sequence", "id", piece->sequence ? "B" : "A", "type_id",
                                       (int)piece->type_id);
        if (json_array_append_new(list, item)) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

static json_t *processor_json(const esp_tokenizer *tokenizer)
{
    if (!tokenizer->has_template)
        return json_null();
    json_t *table = json_object();
    json_t *single = template_json(tokenizer, &tokenizer->single, table);
    json_t *pair = template_json(tokenizer, &tokenizer->pair, table);
    return json_pack("{s:s, s:o, s:o, s:o}", "type", "TemplateProcessing", "single", single, "pair", pair,
                     "special_tokens", table);
}

/* True for an added token that is not one of the model's. An empty token is the model's, though never found. */
static bool beyond_model(const esp_tokenizer *tokenizer, const char *text)
{
    return *text && espi_trie_find(&tokenizer->trie, ESPI_ROOT_START, text, strlen(text)) < 0;
}

static json_t *model_json(const esp_tokenizer *tokenizer)
{
    json_t *vocab = json_object();
    for (size_t id = 0; id < tokenizer->size; id++) {
        const char *text = esp_tokenizer_token(tokenizer, (int32_t)id);
        if (!text || beyond_model(tokenizer, text))
            continue;
        if (json_object_set_new(vocab, text, json_integer((json_int_t)id))) {
            json_decref(vocab);
            return NULL;
        }
    }
    return json_pack("{s:s, s:s, s:s, s:I, s:o}", "type", "WordPiece", "unk_token", tokenizer->unk_token,
                     "continuing_subword_prefix", tokenizer->prefix, "max_input_chars_per_word",
                     (json_int_t)tokenizer->max_word_chars, "vocab", vocab);
}

static json_t *decoder_json(const esp_tokenizer *tokenizer)
{
    if (!tokenizer->has_decoder)
        return json_null();
    return json_pack("{s:s, s:s, s:b}", "type", "WordPiece", "prefix", tokenizer->decoder_prefix, "cleanup",
                     tokenizer->cleanup);
}

int espi_tokenizer_write_json(esp_context *ctx, const esp_tokenizer *tokenizer, FILE *stream)
{
    json_t *document =
        json_pack("{s:s, s:n, s:n, s:o, s:o, s:{s:s}, s:o, s:o, s:o}", "version", "1.0", "truncation", "padding",
                  "added_tokens", added_json(tokenizer), "normalizer", normalizer_json(tokenizer), "pre_tokenizer",
                  "type", "BertPreTokenizer", "post_processor", processor_json(tokenizer), "decoder",
                  decoder_json(tokenizer), "model", model_json(tokenizer));
    if (!document)
        return fail_pack(ctx);
    int status = espi_json_print(ctx, document, true, stream);
    json_decref(document);
    return status;
}

/* One token a line; the line of an id without a token is blank. */
static int write_vocab(esp_context *ctx, const esp_tokenizer *tokenizer, FILE *stream)
{
    for (size_t id = 0; id < tokenizer->size; id++) {
        const char *text = esp_tokenizer_token(tokenizer, (int32_t)id);
        if (!text)
            text = "";
        if (strpbrk(text, "\r\n"))
            return espi_fail(ctx, ESP_ERR_UNSUPPORTED, "vocab.txt cannot hold the token with id %zu", id);
        if (beyond_model(tokenizer, text))
            continue;
        fputs(text, stream);
        fputc('\n', stream);
    }
    return ESP_OK;
}

/* True when a special token stands in the vocabulary only, and is not looked for in texts. */
static bool hides_special(const esp_tokenizer *tokenizer, int32_t id)
{
    for (size_t i = 0; i < tokenizer->added_count; i++)
        if (tokenizer->added[i].id == id)
            return false;
    return id >= 0;
}

/* BertTokenizer would look for all of its special tokens. */
static const char *class_name(const esp_tokenizer *tokenizer)
{
    static const char *const names[] = {"[UNK]", "[SEP]", "[PAD]", "[CLS]", "[MASK]"};
    for (size_t i = 0; i < ESPI_COUNT(names); i++)
        if (hides_special(tokenizer, esp_tokenizer_id(tokenizer, names[i])))
            return "PreTrainedTokenizerFast";
    return "BertTokenizer";
}

static json_t *config_json(const esp_tokenizer *tokenizer)
{
    json_t *config = json_pack(
        "{s:s, s:b, s:o, s:b}", "tokenizer_class", class_name(tokenizer), "do_lower_case", tokenizer->options.lowercase,
        "strip_accents", tokenizer->strip_accents_stated ? json_boolean(tokenizer->options.strip_accents) : json_null(),
        "tokenize_chinese_chars", tokenizer->options.handle_chinese_chars);
    bool failed = !config;
    if (!failed && tokenizer->max_length != SIZE_MAX)
        failed = json_object_set_new(config, "model_max_length", json_integer((json_int_t)tokenizer->max_length));
    if (!failed && tokenizer->truncate_left)
        failed = json_object_set_new(config, "truncation_side", json_string("left"));
    if (!failed && tokenizer->keep_spaces)
        failed = json_object_set_new(config, "clean_up_tokenization_spaces", json_false());
    if (!failed)
        return config;
    json_decref(config);
    return NULL;
}

static int write_config(esp_context *ctx, const esp_tokenizer *tokenizer, FILE *stream)
{
    json_t *config = config_json(tokenizer);
    if (!config)
        return fail_pack(ctx);
    int status = espi_json_print(ctx, config, true, stream);
    json_decref(config);
    return status;
}

static int write_special_map(esp_context *ctx, const esp_tokenizer *tokenizer, FILE *stream)
{
    const struct espi_special_ids *special = &tokenizer->special;
    const struct {
        const char *key;
        int32_t id;
    } entries[] = {{"unk_token", special->unk},
                   {"sep_token", special->sep},
                   {"pad_token", special->pad},
                   {"cls_token", special->cls},
                   {"mask_token", special->mask}};
    json_t *map = json_object();
    bool failed = !map;
    for (size_t i = 0; i < ESPI_COUNT(entries) && !failed; i++) {
        const char *text = esp_tokenizer_token(tokenizer, entries[i].id);
        if (text && !hides_special(tokenizer, entries[i].id))
            failed = json_object_set_new(map, entries[i].key, json_string(text)) != 0;
    }
    int status = failed ? fail_pack(ctx) : espi_json_print(ctx, map, true, stream);
    json_decref(map);
    return status;
}

typedef int write_fn(esp_context *ctx, const esp_tokenizer *tokenizer, FILE *stream);

int espi_tokenizer_write_directory(esp_context *ctx, const esp_tokenizer *tokenizer, const char *directory)
{
    const struct {
        const char *name;
        write_fn *write;
    } files[] = {{"vocab.txt", write_vocab},
                 {"tokenizer.json", espi_tokenizer_write_json},
                 {"tokenizer_config.json", write_config},
                 {"special_tokens_map.json", write_special_map}};
    int status = ESP_OK;
    for (size_t i = 0; i < ESPI_COUNT(files) && !status; i++) {
        char path[ESPI_PATH_BYTES];
        struct espi_output output = {0};
        status = espi_path_join(ctx, path, directory, files[i].name);
        if (!status)
            status = espi_output_create(ctx, &output, path);
        if (!status)
            status = files[i].write(ctx, tokenizer, output.stream);
        if (!status)
            status = espi_output_commit(ctx, &output);
        espi_output_abort(&output);
    }
    return status;
}
