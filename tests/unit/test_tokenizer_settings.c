/* SPDX-License-Identifier: Apache-2.0
 * What the files beside a tokenizer.json or vocab.txt change, as transformers 4 builds a fast BERT tokenizer of them:
 * normalizer, special tokens by their roles, sides, inputs, and which of two files counts. */
#include "support.h"

#include "base/size.h"
#include "base/warnings.h"
#include "text/tokenizer_state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static esp_context *ctx;
static struct espi_warnings warnings;

#define VOCAB                                                                                                          \
    "{\"[PAD]\":0,\"[UNK]\":1,\"[CLS]\":2,\"[SEP]\":3,\"[MASK]\":4,\"a\":5,\"A\":6,\"\xc3\xa9\":7,\"e\":8,\"b\":9,"    \
    "\"c\":10,\"<m>\":11,\"\xe4\xb8\xad\xe4\xb8\xad\":12,\"\xe4\xb8\xad\":13,\"[\":14,\"]\":15,\"mask\":16}"
#define SPECIAL(id, text, more)                                                                                        \
    "{\"id\":" id ",\"content\":\"" text "\",\"single_word\":false,\"lstrip\":false,\"rstrip\":false,"                 \
    "\"normalized\":false,\"special\":true" more "}"
#define TEMPLATE "\"post_processor\":{\"type\":\"BertProcessing\",\"sep\":[\"[SEP]\",3],\"cls\":[\"[CLS]\",2]}"
#define NORMALIZER(lower, accents)                                                                                     \
    "{\"type\":\"BertNormalizer\",\"clean_text\":true,\"handle_chinese_chars\":true,\"strip_accents\":" accents        \
    ",\"lowercase\":" lower "}"
#define JSON(normalizer, more)                                                                                         \
    "{\"version\":\"1.0\",\"normalizer\":" normalizer ",\"pre_tokenizer\":{\"type\":\"BertPreTokenizer\"}," TEMPLATE   \
    ",\"model\":{\"type\":\"WordPiece\",\"unk_token\":\"[UNK]\",\"continuing_subword_prefix\":\"##\","                 \
    "\"max_input_chars_per_word\":100,\"vocab\":" VOCAB "}" more "}"
#define CASED     JSON(NORMALIZER("false", "null"), "")
#define UNCASED   JSON(NORMALIZER("true", "null"), "")
#define VOCAB_TXT "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nb\nc\n"
#define TEXT      "A \xc3\xa9 \xe4\xb8\xad\xe4\xb8\xad" // A é 中中
#define BERT      "\"tokenizer_class\":\"BertTokenizer\""
#define FAST      "\"tokenizer_class\":\"PreTrainedTokenizerFast\""

enum { NAMES = 6 };
static const char *const names[NAMES] = {
    "tokenizer.json",          "vocab.txt",         "tokenizer_config.json",
    "special_tokens_map.json", "added_tokens.json", "config.json",
};
enum { TOKENIZER, VOCABULARY, CONFIG, MAP, ADDED, MODEL };

struct files {
    const char *text[NAMES]; // NULL: not there
};

static int open_files(const struct files *files, esp_tokenizer **tokenizer)
{
    const char *directory = test_scratch();
    for (size_t i = 0; i < NAMES; i++)
        if (files->text[i])
            test_write(directory, names[i], files->text[i], strlen(files->text[i]));
    espi_warnings_clear(&warnings);
    espi_warnings_keep(ctx, directory, &warnings);
    int status = esp_tokenizer_open(ctx, directory, tokenizer);
    test_ok(ctx, espi_warnings_stop(ctx));
    test_scratch_remove(directory);
    return status;
}

/* The tokens of a text and a pair, with a space between two. */
static const char *tokens_of(const esp_tokenizer *tokenizer, const char *text, const char *pair,
                             const esp_encode_options *options)
{
    static char joined[1024];
    esp_encoding encoding = {0};
    size_t used = 0;
    test_ok(ctx, esp_encode(ctx, tokenizer, text, strlen(text), pair, pair ? strlen(pair) : 0, options, &encoding));
    *joined = 0;
    for (size_t w = 0; w < encoding.windows; w++)
        for (size_t i = encoding.starts[w]; i < encoding.starts[w + 1]; i++)
            used += (size_t)snprintf(joined + used, sizeof joined - used, "%s%s",
                                     i > encoding.starts[w] ? " "
                                     : w                    ? " | "
                                                            : "",
                                     esp_tokenizer_token(tokenizer, encoding.ids[i]));
    esp_encoding_clear(&encoding);
    return joined;
}

/* ---- the normalizer ----------------------------------------------------------------------------------------------- */

#define LOWERED "[CLS] a e \xe4\xb8\xad \xe4\xb8\xad [SEP]"
#define AS_IS   "[CLS] A \xc3\xa9 \xe4\xb8\xad \xe4\xb8\xad [SEP]"

static void test_normalizer(void **state)
{
    (void)state;
    static const struct {
        struct files files;
        const char *tokens, *warning; // NULL: none
    } cases[] = {
        /* No file says anything: tokenizer.json as it stands. */
        {{{[TOKENIZER] = CASED}}, AS_IS, NULL},
        {{{[TOKENIZER] = CASED, [MODEL] = "{\"model_type\":\"roberta\"}"}}, AS_IS, NULL},
        /* do_lower_case is true where it is missing. */
        {{{[TOKENIZER] = CASED, [CONFIG] = "{}"}}, LOWERED, "lowercase true, not false; strip_accents true, not false"},
        {{{[TOKENIZER] = CASED, [CONFIG] = "{\"do_lower_case\":null}"}}, LOWERED, "lowercase true, not false"},
        {{{[TOKENIZER] = CASED, [MODEL] = "{\"model_type\":\"bert\"}"}}, LOWERED, "the defaults of BertTokenizer"},
        {{{[TOKENIZER] = CASED, [MODEL] = "{\"model_type\":\"distilbert\"}"}}, LOWERED, "of DistilBertTokenizer"},
        {{{[TOKENIZER] = CASED, [CONFIG] = "{" BERT "}"}}, LOWERED, "as in transformers 4"},
        {{{[TOKENIZER] = CASED, [CONFIG] = "{\"tokenizer_class\":\"ElectraTokenizerFast\"}"}}, LOWERED, "Electra"},
        {{{[TOKENIZER] = CASED, [CONFIG] = "{" BERT ",\"do_lower_case\":false}"}}, AS_IS, NULL},
        {{{[TOKENIZER] = UNCASED, [CONFIG] = "{" BERT "}"}}, LOWERED, NULL},
        {{{[TOKENIZER] = UNCASED, [CONFIG] = "{" BERT ",\"do_lower_case\":false}"}},
         AS_IS,
         "lowercase false, not true"},
        /* strip_accents of the file is forgotten where the config does not repeat it. */
        {{{[TOKENIZER] = JSON(NORMALIZER("true", "false"), ""), [CONFIG] = "{" BERT "}"}},
         LOWERED,
         "normalizer: strip_accents true, not false: "},
        {{{[TOKENIZER] = JSON(NORMALIZER("false", "false"), ""), [CONFIG] = "{" BERT ",\"do_lower_case\":false}"}},
         AS_IS,
         NULL},
        {{{[TOKENIZER] = UNCASED, [CONFIG] = "{" BERT ",\"strip_accents\":false}"}},
         "[CLS] a \xc3\xa9 \xe4\xb8\xad \xe4\xb8\xad [SEP]",
         "strip_accents false, not true"},
        {{{[TOKENIZER] = CASED, [CONFIG] = "{" BERT ",\"do_lower_case\":false,\"strip_accents\":true}"}},
         "[CLS] A e \xe4\xb8\xad \xe4\xb8\xad [SEP]",
         "strip_accents true, not false"},
        {{{[TOKENIZER] = UNCASED, [CONFIG] = "{" BERT ",\"tokenize_chinese_chars\":false}"}},
         "[CLS] a e \xe4\xb8\xad\xe4\xb8\xad [SEP]",
         "handle_chinese_chars false, not true"},
        /* A Sequence has no such members, and other classes do not look. */
        {{{[TOKENIZER] = JSON("{\"type\":\"Sequence\",\"normalizers\":[" NORMALIZER("false", "null") "]}", ""),
           [CONFIG] = "{" BERT "}"}},
         AS_IS,
         NULL},
        {{{[TOKENIZER] = JSON("null", ""), [CONFIG] = "{" BERT "}"}},
         "[CLS] A \xc3\xa9 \xe4\xb8\xad\xe4\xb8\xad [SEP]",
         NULL},
        {{{[TOKENIZER] = CASED, [CONFIG] = "{" FAST ",\"do_lower_case\":true}"}}, AS_IS, NULL},
        {{{[TOKENIZER] = CASED, [CONFIG] = "{\"tokenizer_class\":\"MyTokenizer\"}"}},
         AS_IS,
         "tokenizer_config.json: tokenizer_class MyTokenizer is not known: "},
        /* The class: of the tokenizer's config, of the model's config, of the model's type. */
        {{{[TOKENIZER] = CASED, [CONFIG] = "{" FAST "}", [MODEL] = "{\"model_type\":\"bert\"," BERT "}"}}, AS_IS, NULL},
        {{{[TOKENIZER] = CASED, [MODEL] = "{\"model_type\":\"bert\"," FAST "}"}}, AS_IS, NULL},
    };
    for (size_t i = 0; i < ESPI_COUNT(cases); i++) {
        esp_tokenizer *tokenizer;
        test_ok(ctx, open_files(&cases[i].files, &tokenizer));
        assert_string_equal(tokens_of(tokenizer, TEXT, NULL, NULL), cases[i].tokens);
        assert_int_equal(warnings.count, cases[i].warning != NULL);
        if (cases[i].warning && !strstr(warnings.texts[0], cases[i].warning))
            fail_msg("case %zu: \"%s\" lacks \"%s\"", i, warnings.texts[0], cases[i].warning);
        esp_tokenizer_free(tokenizer);
    }
}

/* ---- special tokens ----------------------------------------------------------------------------------------------- */

static void test_special(void **state)
{
    (void)state;
    static const struct {
        struct files files;
        const char *tokens, *mask; // of "a <m> [MASK]"
    } cases[] = {
        /* Names of the class, found where the vocabulary has them. */
        {{{[TOKENIZER] = UNCASED}}, "a [UNK] [UNK] [UNK] [ mask ]", "[MASK]"},
        {{{[TOKENIZER] = UNCASED, [CONFIG] = "{" BERT "}"}}, "a [UNK] [UNK] [UNK] [MASK]", "[MASK]"},
        /* Only those that a file names. */
        {{{[TOKENIZER] = UNCASED, [CONFIG] = "{" FAST ",\"mask_token\":\"<m>\"}"}}, "a <m> [ mask ]", "<m>"},
        {{{[TOKENIZER] = UNCASED, [CONFIG] = "{" FAST ",\"bos_token\":\"<m>\"}"}}, "a <m> [ mask ]", "[MASK]"},
        {{{[TOKENIZER] = UNCASED, [CONFIG] = "{" FAST "}", [MAP] = "{\"mask_token\":{\"content\":\"<m>\"}}"}},
         "a <m> [ mask ]",
         "<m>"},
        {{{[TOKENIZER] = UNCASED,
           [CONFIG] = "{" BERT ",\"mask_token\":{\"__type\":\"AddedToken\",\"content\":\"<m>\"}}"}},
         "a <m> [ mask ]",
         "<m>"},
        /* The map counts before the config, unless that lists its added tokens. */
        {{{[TOKENIZER] = UNCASED,
           [CONFIG] = "{" FAST ",\"mask_token\":\"[MASK]\"}",
           [MAP] = "{\"mask_token\":\"<m>\"}"}},
         "a <m> [ mask ]",
         "<m>"},
        {{{[TOKENIZER] = UNCASED,
           [CONFIG] = "{" FAST ",\"mask_token\":\"[MASK]\",\"added_tokens_decoder\":{}}",
           [MAP] = "{\"mask_token\":\"<m>\"}"}},
         "a [UNK] [UNK] [UNK] [MASK]",
         "[MASK]"},
        {{{[TOKENIZER] = UNCASED,
           [CONFIG] = "{" FAST ",\"added_tokens_decoder\":{\"11\":{\"content\":\"<m>\",\"special\":true}}}",
           [MAP] = "3"}}, // not even looked at
         "a <m> [ mask ]",
         "[MASK]"},
        /* Further ones, and one that is in no vocabulary. */
        {{{[TOKENIZER] = UNCASED, [CONFIG] = "{" FAST ",\"additional_special_tokens\":[\"<m>\"]}"}},
         "a <m> [ mask ]",
         "[MASK]"},
        {{{[TOKENIZER] = UNCASED,
           [CONFIG] = "{" FAST ",\"additional_special_tokens\":[\"<m>\"]}",
           [MAP] = "{\"additional_special_tokens\":[{\"content\":\"[MASK]\"}]}"}},
         "a <m> [MASK]",
         "[MASK]"},
        {{{[TOKENIZER] = UNCASED, [CONFIG] = "{" FAST ",\"extra_special_tokens\":{\"x_token\":\"<m>\"}}"}},
         "a <m> [ mask ]",
         "[MASK]"},
        {{{[TOKENIZER] = UNCASED, [CONFIG] = "{" FAST ",\"mask_token\":\"[mask]\"}"}},
         "a [UNK] [UNK] [UNK] [ mask ]",
         "[mask]"},
        /* Without tokenizer.json. */
        {{{[VOCABULARY] = VOCAB_TXT}}, "a [UNK] [UNK] [UNK] [MASK]", "[MASK]"},
        {{{[VOCABULARY] = VOCAB_TXT "<m>\n", [MAP] = "{\"mask_token\":\"<m>\"}"}}, "a <m> [UNK] [UNK] [UNK]", "<m>"},
        {{{[VOCABULARY] = VOCAB_TXT, [MAP] = "{\"mask_token\":\"<m>\"}"}}, "a <m> [UNK] [UNK] [UNK]", "<m>"},
        {{{[VOCABULARY] = VOCAB_TXT, [ADDED] = "{\"<m>\":8}"}}, "a <m> [MASK]", "[MASK]"},
        {{{[VOCABULARY] = VOCAB_TXT,
           [CONFIG] = "{\"added_tokens_decoder\":{\"4\":{\"content\":\"[MASK]\"}}}",
           [ADDED] = "{\"<m>\":8}"}},
         "a [UNK] [UNK] [UNK] [MASK]",
         "[MASK]"},
    };
    static const esp_encode_options bare = {.no_special_tokens = true};
    for (size_t i = 0; i < ESPI_COUNT(cases); i++) {
        esp_tokenizer *tokenizer;
        test_ok(ctx, open_files(&cases[i].files, &tokenizer));
        const char *tokens = tokens_of(tokenizer, "a <m> [MASK]", NULL, &bare);
        if (strcmp(tokens, cases[i].tokens) != 0)
            fail_msg("case %zu: expected %s, found %s", i, cases[i].tokens, tokens);
        int32_t mask = espi_tokenizer_special(tokenizer)->mask;
        assert_string_equal(esp_tokenizer_token(tokenizer, mask), cases[i].mask);
        assert_int_equal(warnings.count, 0);
        esp_tokenizer_free(tokenizer);
    }
}

/* Flags of added tokens: those of tokenizer.json stay, but added_tokens_decoder has the last word. */
static void test_added_flags(void **state)
{
    (void)state;
    static const char added[] = JSON(NORMALIZER("true", "null"),
                                     ",\"added_tokens\":[" SPECIAL("4", "[MASK]", "") "," SPECIAL("11", "<m>", "") "]");
    esp_tokenizer *tokenizer;
    test_ok(ctx, open_files(&(struct files){{[TOKENIZER] = added,
                                             [CONFIG] = "{" FAST "}",
                                             [MAP] = "{\"mask_token\":{\"content\":\"<m>\",\"lstrip\":true}}"}},
                            &tokenizer));
    assert_false(tokenizer->added[1].lstrip);
    esp_tokenizer_free(tokenizer);
    test_ok(ctx, open_files(&(struct files){{[VOCABULARY] = VOCAB_TXT,
                                             [ADDED] = "{\"<m>\":8,\"<n>\":9}",
                                             [MAP] = "{\"additional_special_tokens\":[{\"content\":\"<n>\"}]}"}},
                            &tokenizer));
    assert_true(tokenizer->added[0].normalized && !tokenizer->added[0].special);
    assert_true(!tokenizer->added[1].normalized && tokenizer->added[1].special);
    esp_tokenizer_free(tokenizer);
    static const char config[] = "{" FAST ",\"added_tokens_decoder\":{\"9\":{\"content\":\"<m>\",\"lstrip\":true}}}";
    test_ok(ctx, open_files(&(struct files){{[TOKENIZER] = added, [CONFIG] = config}}, &tokenizer));
    assert_int_equal(tokenizer->added_count, 2);
    assert_true(tokenizer->added[1].lstrip && tokenizer->added[1].normalized && !tokenizer->added[1].special);
    assert_int_equal(tokenizer->added[1].id, 11);
    assert_int_equal(warnings.count, 1);
    assert_string_equal(warnings.texts[0],
                        "tokenizer_config.json: added_tokens_decoder: \"<m>\" has the id 9 here, but "
                        "11 in the vocabulary, which counts");
    esp_tokenizer_free(tokenizer);
}

/* ---- sides, lengths, inputs ---------------------------------------------------------------------------------------- */

static void assert_tokens(const esp_tokenizer *tokenizer, const char *pair, const esp_encode_options *options,
                          const char *expected)
{
    assert_string_equal(tokens_of(tokenizer, "a b c a b", pair, options), expected);
}

static void test_truncation_side(void **state)
{
    (void)state;
    static const struct {
        const char *json, *config;
        bool left;
    } cases[] = {
        {UNCASED, "{" BERT "}", false},
        {UNCASED, "{" BERT ",\"truncation_side\":\"left\"}", true},
        {JSON(NORMALIZER("true", "null"), ",\"truncation\":{\"direction\":\"Left\",\"max_length\":2}"), "{" BERT "}",
         true},
        {JSON(NORMALIZER("true", "null"), ",\"truncation\":{\"direction\":\"Left\",\"max_length\":2}"),
         "{" BERT ",\"truncation_side\":\"right\"}", false},
        {JSON(NORMALIZER("true", "null"), ",\"truncation\":{\"max_length\":2}"), "{" BERT "}", false},
    };
    esp_tokenizer *tokenizer;
    for (size_t i = 0; i < ESPI_COUNT(cases); i++) {
        test_ok(ctx,
                open_files(&(struct files){{[TOKENIZER] = cases[i].json, [CONFIG] = cases[i].config}}, &tokenizer));
        assert_int_equal(espi_tokenizer_truncates_left(tokenizer), cases[i].left);
        assert_int_equal(warnings.count, 0);
        esp_tokenizer_free(tokenizer);
    }
    test_ok(ctx, open_files(&(struct files){{[TOKENIZER] = UNCASED, [CONFIG] = cases[1].config}}, &tokenizer));
    esp_encode_options options = {
        .max_length = 5, .truncation = ESP_TRUNCATE_LONGEST_FIRST, .stop_at_max_length = true};
    assert_tokens(tokenizer, NULL, &options, "[CLS] c a b [SEP]");
    assert_tokens(tokenizer, "b c", &(esp_encode_options){.max_length = 7, .truncation = ESP_TRUNCATE_LONGEST_FIRST},
                  "[CLS] a b [SEP] b c [SEP]");
    assert_tokens(tokenizer, "b c", &(esp_encode_options){.max_length = 9, .truncation = ESP_TRUNCATE_ONLY_SECOND},
                  "[CLS] a b c a b [SEP] c [SEP]");
    options.overflow = true;
    assert_tokens(tokenizer, NULL, &options, "[CLS] c a b [SEP] | [CLS] a b [SEP]");
    options.stride = 2;
    assert_tokens(tokenizer, NULL, &options, "[CLS] c a b [SEP] | [CLS] b c a [SEP] | [CLS] a b c [SEP]");
    options = (esp_encode_options){
        .max_length = 5, .truncation = ESP_TRUNCATE_LONGEST_FIRST, .truncation_side = ESP_TRUNCATE_RIGHT};
    assert_tokens(tokenizer, NULL, &options, "[CLS] a b c [SEP]");
    options.truncation_side = 3;
    esp_encoding encoding = {0};
    test_fails(ctx, esp_encode(ctx, tokenizer, "a", 1, NULL, 0, &options, &encoding), ESP_ERR_ARGUMENT);
    test_error_has(ctx, "unknown truncation_side 3");
    esp_tokenizer_free(tokenizer);
    test_fails(
        ctx,
        open_files(&(struct files){{[TOKENIZER] = JSON("null", ",\"truncation\":{\"direction\":\"Up\"}")}}, &tokenizer),
        ESP_ERR_FORMAT);
    test_error_has(ctx, "truncation: direction: expected \"Left\" or \"Right\", found \"Up\"");
}

static void test_inputs(void **state)
{
    (void)state;
    static const struct {
        const char *config, *model;
        uint8_t type; // of the second text
        size_t warnings;
    } cases[] = {
        {"{" BERT "}", NULL, 1, 0},
        {"{" BERT ",\"model_input_names\":[\"input_ids\",\"attention_mask\"]}", NULL, 0, 1},
        {"{" BERT ",\"model_input_names\":[\"input_ids\",\"token_type_ids\"]}", NULL, 1, 0},
        {"{" FAST ",\"model_input_names\":[\"input_ids\"]}", NULL, 0, 1},
        {"{" FAST "}", NULL, 1, 0},
        {"{\"tokenizer_class\":\"DistilBertTokenizer\"}", NULL, 0, 1},
        {"{\"tokenizer_class\":\"DistilBertTokenizer\"}", "{\"model_type\":\"distilbert\"}", 0, 0},
        {NULL, "{\"model_type\":\"distilbert\"}", 0, 0},
        {"{\"tokenizer_class\":\"DistilBertTokenizer\",\"model_input_names\":[\"token_type_ids\"]}", NULL, 1, 0},
    };
    for (size_t i = 0; i < ESPI_COUNT(cases); i++)
        for (size_t form = TOKENIZER; form <= VOCABULARY; form++) {
            struct files files = {{[CONFIG] = cases[i].config, [MODEL] = cases[i].model}};
            files.text[form] = form == TOKENIZER ? UNCASED : VOCAB_TXT;
            if (form == VOCABULARY && cases[i].config && strstr(cases[i].config, "PreTrained"))
                continue;
            esp_tokenizer *tokenizer;
            esp_encoding encoding = {0};
            test_ok(ctx, open_files(&files, &tokenizer));
            assert_int_equal(warnings.count, cases[i].warnings);
            test_ok(ctx, esp_encode(ctx, tokenizer, "a", 1, "b", 1, NULL, &encoding));
            assert_int_equal(encoding.type_ids[encoding.tokens - 1], cases[i].type);
            esp_encoding_clear(&encoding);
            esp_tokenizer_free(tokenizer);
        }
}

static void test_values(void **state)
{
    (void)state;
    static const struct {
        const char *config;
        size_t max_length;
        bool keeps_spaces;
    } cases[] = {
        {"{}", SIZE_MAX, false},
        {"{\"max_len\":7}", 7, false},
        {"{\"max_len\":7,\"model_max_length\":8}", 8, false},
        {"{\"model_max_length\":null,\"clean_up_tokenization_spaces\":true}", SIZE_MAX, false},
        {"{\"clean_up_tokenization_spaces\":false}", SIZE_MAX, true},
    };
    for (size_t i = 0; i < ESPI_COUNT(cases); i++) {
        esp_tokenizer *tokenizer;
        test_ok(ctx, open_files(&(struct files){{[TOKENIZER] = UNCASED, [CONFIG] = cases[i].config}}, &tokenizer));
        assert_int_equal(esp_tokenizer_max_length(tokenizer), cases[i].max_length);
        assert_int_equal(espi_tokenizer_keeps_spaces(tokenizer), cases[i].keeps_spaces);
        assert_int_equal(warnings.count, 0);
        esp_tokenizer_free(tokenizer);
    }
}

/* ---- members ------------------------------------------------------------------------------------------------------- */

/* What published files have is silent; what would change answers is not. */
static void test_members(void **state)
{
    (void)state;
    static const char published[] =
        "{" BERT ",\"clean_up_tokenization_spaces\":true,\"cls_token\":\"[CLS]\",\"do_basic_tokenize\":true,"
        "\"do_lower_case\":true,\"mask_token\":\"[MASK]\",\"model_max_length\":512,\"never_split\":null,\"pad_token\":"
        "\"[PAD]\",\"sep_token\":\"[SEP]\",\"strip_accents\":null,\"tokenize_chinese_chars\":true,\"unk_token\":\"[UNK]"
        "\","
        "\"special_tokens_map_file\":\"/home/user/.cache/x.json\",\"name_or_path\":\"x\",\"tokenizer_file\":null,"
        "\"max_length\":128,\"stride\":0,\"truncation_side\":\"right\",\"truncation_strategy\":\"longest_first\","
        "\"pad_to_multiple_of\":null,\"pad_token_type_id\":0,\"padding_side\":\"right\",\"extra_special_tokens\":{},"
        "\"additional_special_tokens\":[],\"processor_class\":\"x\",\"add_prefix_space\":false}";
    static const struct {
        int which;
        const char *text, *warning;
    } cases[] = {
        {CONFIG, published, NULL},
        {CONFIG, "{" BERT ",\"padding_side\":\"left\"}",
         "tokenizer_config.json: padding_side: \"left\" is not applied"},
        {CONFIG, "{" BERT ",\"do_basic_tokenize\":false}", "do_basic_tokenize: false is not applied"},
        {CONFIG, "{" BERT ",\"never_split\":[\"x\"]}", "never_split: [\"x\"] is not applied"},
        {CONFIG, "{" BERT ",\"lower\":1}", "tokenizer_config.json: lower: 1 is not applied: this member is not known"},
        {MAP, "{\"mask_token\":\"[MASK]\",\"x_token\":\"a\"}",
         "special_tokens_map.json: x_token: \"a\" is not applied"},
        {TOKENIZER, JSON(NORMALIZER("true", "null"), ",\"extra\":1"), "tokenizer.json: extra: 1 is not applied"},
        {TOKENIZER, JSON("{\"type\":\"BertNormalizer\",\"lower_case\":false}", ""),
         "normalizer.lower_case: false is not"},
    };
    for (size_t i = 0; i < ESPI_COUNT(cases); i++) {
        struct files files = {{[TOKENIZER] = UNCASED}};
        esp_tokenizer *tokenizer;
        files.text[cases[i].which] = cases[i].text;
        test_ok(ctx, open_files(&files, &tokenizer));
        assert_int_equal(warnings.count, cases[i].warning != NULL);
        if (cases[i].warning && !strstr(warnings.texts[0], cases[i].warning))
            fail_msg("\"%s\" lacks \"%s\"", warnings.texts[0], cases[i].warning);
        esp_tokenizer_free(tokenizer);
    }
}

/* ---- vocab.txt ----------------------------------------------------------------------------------------------------- */

static void test_vocab_lines(void **state)
{
    (void)state;
    static const struct {
        const char *vocab, *token;
        int32_t id;
        size_t size;
    } cases[] = {
        {VOCAB_TXT "\nd\n", "d", 9, 10}, // a blank line has an id
        {VOCAB_TXT "\n\n\n", "c", 7, 11},
        {VOCAB_TXT "a\nd\n", "a", 8, 10}, // of two equal lines the later counts
        {VOCAB_TXT "a\nd\n", "d", 9, 10},
        {"x\n" VOCAB_TXT "x", "x", 9, 10},
        {VOCAB_TXT "d ", "d ", 8, 9}, // spaces belong to the token
        {VOCAB_TXT "\xc2\xa0\n\xe2\x80\xa8\n\x0b\nd\n", "d", 11, 12},
        {"[PAD]\r\n[UNK]\r\n[CLS]\r\n[SEP]\r\n\r\nd\r\n", "d", 5, 6},
        {"[PAD]\r[UNK]\r[CLS]\r[SEP]\rd", "d", 4, 5},
        {"[PAD]\n[UNK]\r[CLS]\r\n[SEP]\n\rd", "d", 5, 6},
        {VOCAB_TXT "\xef\xbf\xbd\nd", "d", 9, 10}, // U+FFFD itself is UTF-8
    };
    for (size_t i = 0; i < ESPI_COUNT(cases); i++) {
        esp_tokenizer *tokenizer;
        test_ok(ctx, open_files(&(struct files){{[VOCABULARY] = cases[i].vocab}}, &tokenizer));
        assert_int_equal(esp_tokenizer_id(tokenizer, cases[i].token), cases[i].id);
        assert_int_equal(esp_tokenizer_size(tokenizer), cases[i].size);
        assert_int_equal(warnings.count, 0);
        esp_tokenizer_free(tokenizer);
    }
    esp_tokenizer *tokenizer;
    test_ok(ctx, open_files(&(struct files){{[VOCABULARY] = "\xef\xbb\xbf" VOCAB_TXT}}, &tokenizer));
    assert_int_equal(esp_tokenizer_id(tokenizer, "[PAD]"), -1);
    assert_int_equal(warnings.count, 1);
    assert_non_null(strstr(warnings.texts[0], "begins with a byte order mark"));
    esp_tokenizer_free(tokenizer);
}

/* MPNet's vocab.txt: BERT's words between RoBERTa's tokens. */
static void test_mpnet(void **state)
{
    (void)state;
    static const int32_t expected[] = {0, 5, 2, 2, 6, 4, 2};
    static const char pair[] = "B <mask>";
    esp_tokenizer *tokenizer;
    esp_encoding encoding = {0};
    test_ok(ctx,
            open_files(
                &(struct files){
                    {[VOCABULARY] = "<s>\n<pad>\n</s>\n[UNK]\n<mask>\na\nb\n", [MODEL] = "{\"model_type\":\"mpnet\"}"}},
                &tokenizer));
    test_ok(ctx, esp_encode(ctx, tokenizer, "a", 1, pair, sizeof pair - 1, NULL, &encoding));
    assert_int_equal(encoding.tokens, ESPI_COUNT(expected));
    assert_memory_equal(encoding.ids, expected, sizeof expected);
    assert_int_equal(encoding.char_begin[5], 1); // the mask takes in the space
    assert_int_equal(encoding.type_ids[4], 0);
    assert_int_equal(warnings.count, 0);
    esp_encoding_clear(&encoding);
    esp_tokenizer_free(tokenizer);
}

/* Tokens that no text has are kept: from file to file ids stay what they are. */
static void test_impossible_tokens(void **state)
{
    (void)state;
    static const char json[] =
        "{\"normalizer\":{\"type\":\"BertNormalizer\"},\"pre_tokenizer\":{\"type\":\"BertPreTokenizer\"}," TEMPLATE
        ",\"model\":{\"vocab\":{\"[PAD]\":0,\"[UNK]\":1,\"[CLS]\":2,\"[SEP]\":3,\"\":4,\"b\":5,\"a\":7}},"
        "\"added_tokens\":[" SPECIAL("8", "<n>", "") "]}"; // of seven tokens, but the id 7 is taken
    esp_tokenizer *tokenizer, *again;
    unsigned char *tables;
    size_t bytes;
    test_ok(ctx, open_files(&(struct files){{[TOKENIZER] = json}}, &tokenizer));
    assert_string_equal(tokens_of(tokenizer, "a <n> x", NULL, NULL), "[CLS] a <n> [UNK] [SEP]");
    assert_int_equal(esp_tokenizer_id(tokenizer, "<n>"), 8);
    test_ok(ctx, espi_tokenizer_tables(ctx, tokenizer, &tables, &bytes));
    test_ok(ctx, espi_tokenizer_open_tables(ctx, "tables", tables, bytes, &again));
    assert_string_equal(tokens_of(again, "a <n> x", NULL, NULL), "[CLS] a <n> [UNK] [SEP]");
    esp_tokenizer_free(again);
    free(tables);
    const char *directory = test_scratch();
    test_ok(ctx, espi_tokenizer_write_directory(ctx, tokenizer, directory));
    test_ok(ctx, esp_tokenizer_open(ctx, directory, &again));
    assert_string_equal(tokens_of(again, "a <n> x", NULL, NULL), "[CLS] a <n> [UNK] [SEP]");
    assert_int_equal(esp_tokenizer_id(again, "<n>"), 8);
    assert_int_equal(esp_tokenizer_id(again, "a"), 7);
    esp_tokenizer_free(again);
    esp_tokenizer_free(tokenizer);
    static const char zero[] = "[PAD]\n[UNK]\n[CLS]\n[SEP]\nx\0y\na\n";
    test_scratch_remove(directory);
    test_ok(ctx, esp_tokenizer_open(ctx, test_write(directory = test_scratch(), "vocab.txt", zero, sizeof zero - 1),
                                    &tokenizer));
    assert_int_equal(esp_tokenizer_id(tokenizer, "a"), 5);
    assert_int_equal(esp_tokenizer_id(tokenizer, "x"), -1);
    esp_tokenizer_free(tokenizer);
    test_scratch_remove(directory);
}

/* ---- writing and compiling ------------------------------------------------------------------------------------------ */

/* What the files changed holds for what is written and for the tables of a compiled file. */
static void test_kept(void **state)
{
    (void)state;
    static const char *const configs[] = {
        "{" FAST ",\"mask_token\":\"<m>\",\"truncation_side\":\"left\",\"clean_up_tokenization_spaces\":false}",
        "{" BERT ",\"do_lower_case\":false,\"truncation_side\":\"left\",\"clean_up_tokenization_spaces\":false,"
        "\"model_input_names\":[]}",
    };
    static const char text[] = "a A \xc3\xa9 [MASK] <m>";
    const esp_encode_options options = {.max_length = 8, .truncation = ESP_TRUNCATE_LONGEST_FIRST};
    for (size_t i = 0; i < ESPI_COUNT(configs); i++) {
        esp_tokenizer *tokenizer, *others[2];
        unsigned char *tables;
        size_t bytes;
        char expected[1024];
        test_ok(ctx, open_files(&(struct files){{[TOKENIZER] = UNCASED, [CONFIG] = configs[i]}}, &tokenizer));
        snprintf(expected, sizeof expected, "%s", tokens_of(tokenizer, text, "b", &options));
        test_ok(ctx, espi_tokenizer_tables(ctx, tokenizer, &tables, &bytes));
        test_ok(ctx, espi_tokenizer_open_tables(ctx, "tables", tables, bytes, &others[0]));
        const char *directory = test_scratch();
        test_ok(ctx, espi_tokenizer_write_directory(ctx, tokenizer, directory));
        test_ok(ctx, esp_tokenizer_open(ctx, directory, &others[1]));
        for (size_t j = 0; j < 2; j++) {
            assert_string_equal(tokens_of(others[j], text, "b", &options), expected);
            assert_int_equal(others[j]->pair.pieces[4].type_id, tokenizer->pair.pieces[4].type_id);
            assert_memory_equal(espi_tokenizer_special(others[j]), espi_tokenizer_special(tokenizer),
                                sizeof(struct espi_special_ids));
            assert_true(espi_tokenizer_truncates_left(others[j]) && espi_tokenizer_keeps_spaces(others[j]));
            esp_tokenizer_free(others[j]);
        }
        esp_tokenizer_free(tokenizer);
        free(tables);
        test_scratch_remove(directory);
    }
}

int main(void)
{
    ctx = esp_context_new();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_normalizer),  cmocka_unit_test(test_special),
        cmocka_unit_test(test_added_flags), cmocka_unit_test(test_truncation_side),
        cmocka_unit_test(test_inputs),      cmocka_unit_test(test_values),
        cmocka_unit_test(test_members),     cmocka_unit_test(test_vocab_lines),
        cmocka_unit_test(test_mpnet),       cmocka_unit_test(test_impossible_tokens),
        cmocka_unit_test(test_kept),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    espi_warnings_clear(&warnings);
    esp_context_free(ctx);
    return failed;
}
