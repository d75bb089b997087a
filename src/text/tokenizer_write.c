/* SPDX-License-Identifier: Apache-2.0
 * Writes the files that this tokenizer and Hugging Face tokenizers read. */
#include "text/tokenizer_state.h"

#include "base/file.h"
#include "base/json_writer.h"
#include "base/size.h"
#include "text/bert_stages.h"
#include "text/byte_level.h"
#include "text/wordpiece.h"

#include <string.h>

static void put_added(struct espi_json_writer *w, const esp_tokenizer *tokenizer)
{
    espi_put_array(w, "added_tokens");
    for (size_t i = 0; i < tokenizer->added_count; i++) {
        const struct espi_added_token *token = &tokenizer->added[i];
        espi_put_object(w, NULL);
        espi_put_integer(w, "id", token->id);
        espi_put_string(w, "content", token->content);
        espi_put_bool(w, "single_word", token->single_word);
        espi_put_bool(w, "lstrip", token->lstrip);
        espi_put_bool(w, "rstrip", token->rstrip);
        espi_put_bool(w, "normalized", token->normalized);
        espi_put_bool(w, "special", token->special);
        espi_put_object_end(w);
    }
    espi_put_array_end(w);
}

static void put_stage(struct espi_json_writer *w, const char *key, const esp_tokenizer *tokenizer,
                      const struct espi_stage *stage)
{
    if (!stage->form) {
        espi_put_null(w, key);
        return;
    }
    espi_put_object(w, key);
    espi_put_string(w, "type", stage->form->type);
    if (stage->form->write)
        stage->form->write(w, tokenizer, stage->self);
    espi_put_object_end(w);
}

static void put_stages(struct espi_json_writer *w, const char *key, const char *list, const esp_tokenizer *tokenizer,
                       const struct espi_stages *stages)
{
    if (stages->count <= 1) {
        put_stage(w, key, tokenizer, &stages->data[0]);
        return;
    }
    espi_put_object(w, key);
    espi_put_string(w, "type", "Sequence");
    espi_put_array(w, list);
    for (size_t i = 0; i < stages->count; i++)
        put_stage(w, NULL, tokenizer, &stages->data[i]);
    espi_put_array_end(w);
    espi_put_object_end(w);
}

static void put_template(struct espi_json_writer *w, const char *key, const esp_tokenizer *tokenizer,
                         const struct espi_template *template)
{
    espi_put_array(w, key);
    for (size_t i = 0; i < template->count; i++) {
        const struct espi_piece *piece = &template->pieces[i];
        bool special = piece->sequence == ESPI_PIECE_SPECIAL;
        espi_put_object(w, NULL);
        espi_put_object(w, special ? "SpecialToken" : "Sequence");
        espi_put_string(w, "id", special ? esp_tokenizer_token(tokenizer, piece->id) : piece->sequence ? "B" : "A");
        espi_put_integer(w, "type_id", piece->type_id);
        espi_put_object_end(w);
        espi_put_object_end(w);
    }
    espi_put_array_end(w);
}

/* The first piece of that id in both templates. */
static bool is_first(const esp_tokenizer *tokenizer, const struct espi_template *template, size_t index)
{
    const struct espi_template *both[] = {&tokenizer->single, &tokenizer->pair};
    for (size_t t = 0; t < ESPI_COUNT(both); t++) {
        for (size_t i = 0; i < both[t]->count; i++) {
            const struct espi_piece *piece = &both[t]->pieces[i];
            if (piece->sequence == ESPI_PIECE_SPECIAL && piece->id == template->pieces[index].id)
                return both[t] == template && i == index;
        }
    }
    return false;
}

static void put_special_tokens(struct espi_json_writer *w, const esp_tokenizer *tokenizer,
                               const struct espi_template *template)
{
    for (size_t i = 0; i < template->count; i++) {
        const struct espi_piece *piece = &template->pieces[i];
        const char *text = esp_tokenizer_token(tokenizer, piece->id);
        if (piece->sequence != ESPI_PIECE_SPECIAL || !is_first(tokenizer, template, i))
            continue;
        espi_put_object(w, text);
        espi_put_string(w, "id", text);
        espi_put_array(w, "ids");
        espi_put_integer(w, NULL, piece->id);
        espi_put_array_end(w);
        espi_put_array(w, "tokens");
        espi_put_string(w, NULL, text);
        espi_put_array_end(w);
        espi_put_object_end(w);
    }
}

static void put_template_processor(struct espi_json_writer *w, const char *key, const esp_tokenizer *tokenizer)
{
    espi_put_object(w, key);
    espi_put_string(w, "type", "TemplateProcessing");
    put_template(w, "single", tokenizer, &tokenizer->single);
    put_template(w, "pair", tokenizer, &tokenizer->pair);
    espi_put_object(w, "special_tokens");
    put_special_tokens(w, tokenizer, &tokenizer->single);
    put_special_tokens(w, tokenizer, &tokenizer->pair);
    espi_put_object_end(w);
    espi_put_object_end(w);
}

static void put_processor(struct espi_json_writer *w, const esp_tokenizer *tokenizer)
{
    static const char key[] = "post_processor";
    if (!tokenizer->trim_offsets && !tokenizer->has_template)
        espi_put_null(w, key);
    else if (!tokenizer->trim_offsets)
        put_template_processor(w, key, tokenizer);
    if (!tokenizer->trim_offsets)
        return;
    espi_put_object(w, key);
    espi_put_string(w, "type", "Sequence");
    espi_put_array(w, "processors");
    espi_put_object(w, NULL);
    espi_put_string(w, "type", espi_byte_level.type);
    espi_put_bool(w, "add_prefix_space", tokenizer->trim_keeps_first);
    espi_put_bool(w, "trim_offsets", true);
    espi_put_object_end(w);
    if (tokenizer->has_template)
        put_template_processor(w, NULL, tokenizer);
    espi_put_array_end(w);
    espi_put_object_end(w);
}

/* True for an added token that is not one of the model's. An empty token is the model's, though never found. */
static bool beyond_model(const esp_tokenizer *tokenizer, const char *text)
{
    return *text && espi_tokenizer_find_model(tokenizer, text) < 0;
}

void espi_tokenizer_write_vocabulary(struct espi_json_writer *w, const esp_tokenizer *tokenizer)
{
    espi_put_object(w, "vocab");
    for (size_t id = 0; id < tokenizer->size; id++) {
        const char *text = esp_tokenizer_token(tokenizer, (int32_t)id);
        if (text && !beyond_model(tokenizer, text))
            espi_put_size(w, text, id);
    }
    espi_put_object_end(w);
}

int espi_tokenizer_write_json(esp_context *ctx, const esp_tokenizer *tokenizer, FILE *stream)
{
    struct espi_json_writer w = {.stream = stream, .indent = true, .exact = true};
    espi_put_object(&w, NULL);
    espi_put_string(&w, "version", "1.0");
    espi_put_null(&w, "truncation");
    espi_put_null(&w, "padding");
    put_added(&w, tokenizer);
    put_stages(&w, "normalizer", "normalizers", tokenizer, &tokenizer->normalizers);
    put_stages(&w, "pre_tokenizer", "pretokenizers", tokenizer, &tokenizer->pre_tokenizers);
    put_processor(&w, tokenizer);
    put_stage(&w, "decoder", tokenizer, &tokenizer->decoder);
    put_stage(&w, "model", tokenizer, &tokenizer->model);
    espi_put_object_end(&w);
    return espi_json_writer_end(ctx, &w);
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
    if (tokenizer->model.form != &espi_wordpiece)
        return "PreTrainedTokenizerFast";
    for (size_t role = 0; role < ESPI_SPECIAL_ROLES; role++)
        if (hides_special(tokenizer, esp_tokenizer_id(tokenizer, espi_bert_specials[role])))
            return "PreTrainedTokenizerFast";
    return "BertTokenizer";
}

static void put_bert_options(struct espi_json_writer *w, const struct espi_bert_normalizer *normalizer)
{
    espi_put_bool(w, "do_lower_case", normalizer->options.lowercase);
    if (normalizer->strip_accents_stated)
        espi_put_bool(w, "strip_accents", normalizer->options.strip_accents);
    else
        espi_put_null(w, "strip_accents"); // as lowercase
    espi_put_bool(w, "tokenize_chinese_chars", normalizer->options.handle_chinese_chars);
}

static int write_config(esp_context *ctx, const esp_tokenizer *tokenizer, FILE *stream)
{
    const struct espi_bert_normalizer none = {0}, *bert = espi_tokenizer_bert_normalizer(tokenizer);
    const struct espi_bert_normalizer normalizer = bert ? *bert : none;
    struct espi_json_writer w = {.stream = stream, .indent = true, .exact = true};
    espi_put_object(&w, NULL);
    espi_put_string(&w, "tokenizer_class", class_name(tokenizer));
    if (tokenizer->model.form == &espi_wordpiece)
        put_bert_options(&w, &normalizer);
    if (tokenizer->max_length != SIZE_MAX)
        espi_put_size(&w, "model_max_length", tokenizer->max_length);
    if (tokenizer->truncate_left)
        espi_put_string(&w, "truncation_side", "left");
    if (tokenizer->keep_spaces)
        espi_put_bool(&w, "clean_up_tokenization_spaces", false);
    espi_put_object_end(&w);
    return espi_json_writer_end(ctx, &w);
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
    struct espi_json_writer w = {.stream = stream, .indent = true, .exact = true};
    espi_put_object(&w, NULL);
    for (size_t i = 0; i < ESPI_COUNT(entries); i++) {
        const char *text = esp_tokenizer_token(tokenizer, entries[i].id);
        if (text && !hides_special(tokenizer, entries[i].id))
            espi_put_string(&w, entries[i].key, text);
    }
    espi_put_object_end(&w);
    return espi_json_writer_end(ctx, &w);
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
    bool vocab = tokenizer->model.form == &espi_wordpiece; // whose tokens are all that there is
    for (size_t i = !vocab; i < ESPI_COUNT(files) && !status; i++) {
        char path[ESPI_PATH_BYTES];
        struct espi_output output = {0};
        status = espi_path_join(ctx, path, directory, files[i].name);
        if (!status)
            status = espi_output_create(ctx, &output, path);
        if (!status)
            status = files[i].write(ctx, tokenizer, output.stream);
        if (status && output.stream)
            espi_fail_prefix(ctx, status, "%s", path);
        if (!status)
            status = espi_output_commit(ctx, &output);
        espi_output_abort(&output);
    }
    return status;
}
