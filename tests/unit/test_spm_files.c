/* SPDX-License-Identifier: Apache-2.0
 * SentencePiece models read directly: what each class makes of one, and what is refused. */
#include "spm_fixture.h"
#include "support.h"

#include "base/size.h"
#include "text/tokenizer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static esp_context *ctx;

struct piece {
    const char *text;
    float score;
    enum espi_spm_type type;
};

#define SPACE "\xe2\x96\x81"

static const struct piece albert[] = {
    {"<pad>", 0, ESPI_SPM_CONTROL},       {"<unk>", 0, ESPI_SPM_UNKNOWN},       {"[CLS]", 0, ESPI_SPM_CONTROL},
    {"[SEP]", 0, ESPI_SPM_CONTROL},       {"[MASK]", 0, ESPI_SPM_USER_DEFINED}, {SPACE, -3, ESPI_SPM_NORMAL},
    {SPACE "hello", -5, ESPI_SPM_NORMAL}, {"1", -4, ESPI_SPM_NORMAL},           {",", -4, ESPI_SPM_NORMAL},
    {"1,", -1, ESPI_SPM_NORMAL},          {SPACE "1", -4, ESPI_SPM_NORMAL},     {"\"", -4, ESPI_SPM_NORMAL},
};
static const struct piece camembert[] = {
    {"<unk>", 0, ESPI_SPM_UNKNOWN}, {"<s>", 0, ESPI_SPM_CONTROL},     {"</s>", 0, ESPI_SPM_CONTROL},
    {SPACE, -3, ESPI_SPM_NORMAL},   {SPACE "a", -4, ESPI_SPM_NORMAL},
};
static const struct piece deberta[] = {
    {"[PAD]", 0, ESPI_SPM_CONTROL}, {"[CLS]", 0, ESPI_SPM_CONTROL},   {"[SEP]", 0, ESPI_SPM_CONTROL},
    {"[UNK]", 0, ESPI_SPM_UNKNOWN}, {SPACE "a", -1, ESPI_SPM_NORMAL}, {SPACE, -2, ESPI_SPM_NORMAL},
    {".", -1, ESPI_SPM_NORMAL},     {"a", -1, ESPI_SPM_NORMAL},
};

struct model {
    const struct piece *pieces;
    size_t count;
    unsigned type, unk_id;
    const char *file, *config, *tokenizer_config; // the last may be NULL
};

static int open_model(const struct model *model, esp_tokenizer **out)
{
    const char *directory = test_scratch();
    struct espi_string data = {0};
    for (size_t i = 0; i < model->count; i++)
        test_spm_piece(&data, model->pieces[i].text, strlen(model->pieces[i].text), model->pieces[i].score,
                       model->pieces[i].type);
    test_spm_specs(&data, model->type, model->unk_id, NULL, 0);
    test_write(directory, model->file, data.data, data.length);
    test_write(directory, "config.json", model->config, strlen(model->config));
    if (model->tokenizer_config)
        test_write(directory, "tokenizer_config.json", model->tokenizer_config, strlen(model->tokenizer_config));
    free(data.data);
    int status = esp_tokenizer_open(ctx, directory, out);
    test_scratch_remove(directory);
    return status;
}

#define TYPE(name)    "{\"model_type\":\"" name "\"}"
#define PIECES(array) array, ESPI_COUNT(array)

static void test_classes(void **state)
{
    (void)state;
    static const struct {
        struct model model;
        const char *text, *pair, *expected; // ids
    } cases[] = {
        {{PIECES(albert), 1, 1, "spiece.model", TYPE("albert"), NULL},
         "H\xc3\x89LLO  1, '' [MASK]",
         NULL,
         "2 6 10 8 5 11 4 3"},
        {{PIECES(albert), 1, 1, "spiece.model", TYPE("albert"), "{\"do_lower_case\":false,\"keep_accents\":true}"},
         "H\xc3\x89LLO hello",
         NULL,
         "2 5 1 6 3"},
        {{PIECES(albert), 1, 1, "spiece.model", TYPE("albert"), NULL}, "hello", "1", "2 6 3 10 3"},
        {{PIECES(camembert), 1, 0, "sentencepiece.bpe.model", TYPE("camembert"), NULL},
         "a z <mask>",
         NULL,
         "5 8 7 3 9 6"},
        {{PIECES(camembert), 1, 0, "sentencepiece.bpe.model", TYPE("camembert"), NULL}, "a", "a", "5 8 6 6 8 6"},
        {{PIECES(camembert), 1, 0, "sentencepiece.bpe.model", TYPE("xlm-roberta"), NULL},
         "a z",
         "<mask>",
         "0 5 4 3 2 2 6 2"},
        {{PIECES(deberta), 1, 3, "spm.model", TYPE("deberta-v2"), NULL}, " a.a [MASK]", NULL, "1 4 6 7 8 2"},
        {{PIECES(deberta), 1, 3, "tokenizer.model", TYPE("x"),
          "{\"tokenizer_class\":\"DebertaV2TokenizerFast\",\"split_by_punct\":true}"},
         "a.a",
         NULL,
         "1 4 5 6 4 2"},
    };
    for (size_t i = 0; i < ESPI_COUNT(cases); i++) {
        esp_tokenizer *tokenizer;
        esp_encoding encoding = {0};
        char found[256] = "";
        const char *pair = cases[i].pair;
        test_ok(ctx, open_model(&cases[i].model, &tokenizer));
        test_ok(ctx, esp_encode(ctx, tokenizer, cases[i].text, strlen(cases[i].text), pair, pair ? strlen(pair) : 0,
                                NULL, &encoding));
        for (size_t k = 0, used = 0; k < encoding.tokens; k++)
            used += (size_t)snprintf(found + used, sizeof found - used, "%s%d", k ? " " : "", (int)encoding.ids[k]);
        assert_string_equal(found, cases[i].expected);
        esp_encoding_clear(&encoding);
        esp_tokenizer_free(tokenizer);
    }
}

static void test_refused(void **state)
{
    (void)state;
    static const struct {
        struct model model;
        int status;
        const char *text;
    } cases[] = {
        {{PIECES(camembert), 1, 0, "spiece.model", TYPE("t5"), NULL},
         ESP_ERR_UNSUPPORTED,
         "a SentencePiece model with the model_type \"t5\" is not supported without a tokenizer.json"},
        {{PIECES(camembert), 1, 0, "spiece.model", TYPE("albert"), "{\"tokenizer_class\":\"T5Tokenizer\"}"},
         ESP_ERR_UNSUPPORTED,
         "tokenizer_class \"T5Tokenizer\""},
        {{PIECES(camembert), 2, 0, "spiece.model", TYPE("camembert"), NULL},
         ESP_ERR_UNSUPPORTED,
         "spiece.model: model_type 2 is not supported, only 1 (Unigram)"},
        {{PIECES(camembert), 1, 5, "spiece.model", TYPE("camembert"), NULL},
         ESP_ERR_FORMAT,
         "unk_id: expected a piece below 5, found 5"},
        {{PIECES(camembert), 1, 0, "spiece.model", TYPE("albert"), NULL},
         ESP_ERR_FORMAT,
         "the sep_token \"[SEP]\" is not in the vocabulary"},
    };
    for (size_t i = 0; i < ESPI_COUNT(cases); i++) {
        esp_tokenizer *tokenizer;
        test_fails(ctx, open_model(&cases[i].model, &tokenizer), cases[i].status);
        test_error_has(ctx, cases[i].text);
    }
}

int main(void)
{
    ctx = esp_context_new();
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_classes), cmocka_unit_test(test_refused)};
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    esp_context_free(ctx);
    return failed;
}
