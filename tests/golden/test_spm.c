/* SPDX-License-Identifier: Apache-2.0
 * SentencePiece models of the reference tokenizers, written from their tokenizer.json, give the same tokens as those. */
#include "spm_fixture.h"
#include "support.h"

#include "base/base64.h"
#include "base/json.h"
#include "text/tokenizer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static esp_context *ctx;

struct kind {
    const char *name, *model_type, *file;
    size_t skipped_first, skipped_last; // tokens that the conversion adds
    size_t unk_id;
    const char *const *controls;
};

static const char *const bert_controls[] = {"[PAD]", "[CLS]", "[SEP]", NULL};

static void put_pieces(const struct kind *kind, const struct espi_json *vocab, struct espi_string *out)
{
    for (size_t i = kind->skipped_first; i < espi_json_length(vocab) - kind->skipped_last; i++) {
        json_t *item = json_array_get(vocab->value, i);
        const char *text = json_string_value(json_array_get(item, 0));
        enum espi_spm_type type = i == kind->unk_id && !kind->skipped_first ? ESPI_SPM_UNKNOWN : ESPI_SPM_NORMAL;
        for (const char *const *control = kind->controls; control && *control; control++)
            type = strcmp(*control, text) == 0 ? ESPI_SPM_CONTROL : type;
        test_spm_piece(out, text, strlen(text), (float)json_number_value(json_array_get(item, 1)), type);
    }
}

static json_t *find_charsmap(const json_t *normalizers)
{
    json_t *found = NULL;
    for (size_t i = 0; i < json_array_size(normalizers) && !found; i++)
        found = json_object_get(json_array_get(normalizers, i), "precompiled_charsmap");
    return found;
}

static void write_model(const struct kind *kind, const char *json_path, const char *directory)
{
    struct espi_json document, model, vocab, normalizer;
    struct espi_string out = {0};
    test_ok(ctx, espi_json_open_file(ctx, json_path, &document));
    model = espi_json_at(&document, "model");
    vocab = espi_json_at(&model, "vocab");
    normalizer = espi_json_at(&document, "normalizer");
    const char *text = json_string_value(find_charsmap(json_object_get(normalizer.value, "normalizers")));
    unsigned char *charsmap = malloc(strlen(text));
    size_t bytes;
    assert_true(espi_base64_decode(text, strlen(text), charsmap, &bytes));
    if (kind->skipped_first) {
        test_spm_piece(&out, "<unk>", 5, 0, ESPI_SPM_UNKNOWN);
        test_spm_piece(&out, "<s>", 3, 0, ESPI_SPM_CONTROL);
        test_spm_piece(&out, "</s>", 4, 0, ESPI_SPM_CONTROL);
    }
    put_pieces(kind, &vocab, &out);
    test_spm_specs(&out, 1, kind->skipped_first ? 0 : (unsigned)kind->unk_id, charsmap, bytes);
    test_write(directory, kind->file, out.data, out.length);
    free(out.data);
    free(charsmap);
    espi_json_close(&document);
}

static void compare(const esp_tokenizer *a, const esp_tokenizer *b, const char *text, size_t bytes)
{
    esp_encoding first = {0}, second = {0};
    test_ok(ctx, esp_encode(ctx, a, text, bytes, text, bytes, NULL, &first));
    test_ok(ctx, esp_encode(ctx, b, text, bytes, text, bytes, NULL, &second));
    assert_int_equal(first.tokens, second.tokens);
    assert_memory_equal(first.ids, second.ids, first.tokens * sizeof *first.ids);
    assert_memory_equal(first.char_begin, second.char_begin, first.tokens * sizeof *first.char_begin);
    assert_memory_equal(first.char_end, second.char_end, first.tokens * sizeof *first.char_end);
    assert_memory_equal(first.type_ids, second.type_ids, first.tokens);
    esp_encoding_clear(&first);
    esp_encoding_clear(&second);
}

static void compare_texts(const struct kind *kind, const char *name, const esp_tokenizer *a, const esp_tokenizer *b)
{
    char file[128];
    struct espi_lines lines;
    snprintf(file, sizeof file, "reference/tokenizer/%s-%s.jsonl", name, kind->name);
    test_ok(ctx, espi_lines_open(ctx, test_shared_path(file), &lines));
    while (espi_lines_next(ctx, &lines) > 0) {
        struct espi_json line;
        const char *text;
        size_t bytes;
        test_ok(ctx, espi_json_open_text(ctx, file, lines.text, lines.length, &line));
        test_ok(ctx, espi_json_get_string(ctx, &line, "text", &text, &bytes));
        compare(a, b, text, bytes);
        espi_json_close(&line);
    }
    espi_lines_close(&lines);
}

static void check(const struct kind *kind)
{
    char file[128], config[128];
    esp_tokenizer *from_json, *from_model;
    const char *directory = test_scratch();
    snprintf(file, sizeof file, "reference/tokenizer/tokenizer-%s.json", kind->name);
    const char *path = test_shared_path(file);
    test_ok(ctx, esp_tokenizer_open(ctx, path, &from_json));
    write_model(kind, path, directory);
    snprintf(config, sizeof config, "{\"model_type\": \"%s\"}", kind->model_type);
    test_write(directory, "config.json", config, strlen(config));
    test_ok(ctx, esp_tokenizer_open(ctx, directory, &from_model));
    assert_int_equal(esp_tokenizer_size(from_json), esp_tokenizer_size(from_model));
    for (int32_t id = 0; id < (int32_t)esp_tokenizer_size(from_json); id++) {
        assert_string_equal(esp_tokenizer_token(from_json, id), esp_tokenizer_token(from_model, id));
        assert_int_equal(espi_tokenizer_is_special(from_json, id), espi_tokenizer_is_special(from_model, id));
    }
    compare_texts(kind, "strings", from_json, from_model);
    compare_texts(kind, "fuzz", from_json, from_model);
    esp_tokenizer_free(from_json);
    esp_tokenizer_free(from_model);
    test_scratch_remove(directory);
}

static void test_models(void **state)
{
    (void)state;
    static const struct kind kinds[] = {
        {"xlmr-converted", "xlm-roberta", "sentencepiece.bpe.model", 4, 1, 3, NULL},
        {"deberta", "deberta-v2", "spm.model", 0, 0, 3, bert_controls},
    };
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        check(&kinds[i]);
}

int main(void)
{
    test_shared_require();
    if (test_shared_shipped())
        return TEST_SKIP;
    ctx = esp_context_new();
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_models)};
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    esp_context_free(ctx);
    return failed;
}
