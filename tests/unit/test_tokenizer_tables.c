/* SPDX-License-Identifier: Apache-2.0
 * A tokenizer's tables: what stands on them encodes the same; every number that leads nowhere is refused. */
#include "support.h"

#include "base/random.h"
#include "base/size.h"
#include "text/tokenizer_tables.h"

#include <stdlib.h>
#include <string.h>

static esp_context *ctx;

#define TOKEN(id, text, flags)                                                                                         \
    "{\"id\":" id ",\"content\":\"" text "\",\"single_word\":false,\"lstrip\":true,\"rstrip\":false," flags "}"
#define SPECIALS                                                                                                       \
    TOKEN("0", "[PAD]", "\"normalized\":false,\"special\":true")                                                       \
    "," TOKEN("1", "[UNK]", "\"normalized\":false,\"special\":true") "," TOKEN(                                        \
        "2", "[CLS]",                                                                                                  \
        "\"normalized\":false,\"special\":true") "," TOKEN("3", "[SEP]",                                               \
                                                           "\"normalized\":false,\"special\":true") "," TOKEN("4",     \
                                                                                                              "[MASK"  \
                                                                                                              "]",     \
                                                                                                              "\"norm" \
                                                                                                              "alized" \
                                                                                                              "\":"    \
                                                                                                              "false," \
                                                                                                              "\"spec" \
                                                                                                              "ial\":" \
                                                                                                              "true")
#define VOCAB                                                                                                          \
    "\"[PAD]\":0,\"[UNK]\":1,\"[CLS]\":2,\"[SEP]\":3,\"[MASK]\":4,\"a\":5,\"##b\":6,\"un\":7,\"##aff\":8,"             \
    "\"##able\":9,\".\":10,\"\\u00e9t\\u00e9\":11,\"ete\":12,\"##A\":13,\"A\":14,\"\\u4e2d\":15,\"i\":17,\"##"         \
    "\\u0307\":18"
#define TEMPLATE                                                                                                       \
    "\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":\"[CLS]\",\"type_id\":" \
    "0}},"                                                                                                             \
    "{\"Sequence\":{\"id\":\"A\",\"type_id\":0}},{\"SpecialToken\":{\"id\":\"[SEP]\",\"type_id\":0}}],\"pair\":["      \
    "{\"Sequence\":{\"id\":\"B\",\"type_id\":1}},{\"SpecialToken\":{\"id\":\"[SEP]\",\"type_id\":1}},"                 \
    "{\"Sequence\":{\"id\":\"A\",\"type_id\":0}}],\"special_tokens\":{\"[CLS]\":{\"id\":\"[CLS]\",\"ids\":[2],"        \
    "\"tokens\":[\"[CLS]\"]},\"[SEP]\":{\"id\":\"[SEP]\",\"ids\":[3],\"tokens\":[\"[SEP]\"]}}}"
#define JSON(normalizer, added, processor)                                                                             \
    "{\"added_tokens\":[" added "],\"normalizer\":{\"type\":\"BertNormalizer\"" normalizer                             \
    "},\"pre_tokenizer\":{\"type\":\"BertPreTokenizer\"}," processor                                                   \
    ",\"decoder\":{\"type\":\"WordPiece\",\"prefix\":\"##\",\"cleanup\":true},"                                        \
    "\"model\":{\"type\":\"WordPiece\",\"unk_token\":\"[UNK]\",\"max_input_chars_per_word\":9,\"vocab\":{" VOCAB "}}}"

/* Cased and uncased, every kind of added token, an id that is not used (16), templates of both kinds and none. */
static const char *const tokenizers[] = {
    JSON("", SPECIALS, TEMPLATE),
    JSON(",\"lowercase\":false,\"strip_accents\":false,\"handle_chinese_chars\":false,\"clean_text\":false", SPECIALS,
         TEMPLATE),
    JSON(",\"strip_accents\":false", SPECIALS "," TOKEN("18", "##\\u0307", "\"normalized\":true,\"special\":false"),
         "\"post_processor\":null"),
    JSON("", TOKEN("4", "[MASK]", "\"normalized\":false,\"special\":true"), TEMPLATE),
    JSON("", "", "\"post_processor\":null"),
};

struct pair {
    esp_tokenizer *made, *viewed; // `viewed` on `tables`
    unsigned char *tables;
    size_t bytes;
};

static void open_pair(const char *json, struct pair *pair)
{
    test_ok(ctx, espi_tokenizer_open_text(ctx, "json", json, strlen(json), &pair->made));
    test_ok(ctx, espi_tokenizer_tables(ctx, pair->made, &pair->tables, &pair->bytes));
    test_ok(ctx, espi_tokenizer_open_tables(ctx, "tables", pair->tables, pair->bytes, &pair->viewed));
}

static void close_pair(struct pair *pair)
{
    esp_tokenizer_free(pair->made);
    esp_tokenizer_free(pair->viewed);
    free(pair->tables);
}

/* ---- the same ------------------------------------------------------------------------------------------------------- */

static void assert_same_facts(const struct pair *pair)
{
    assert_int_equal(esp_tokenizer_size(pair->made), esp_tokenizer_size(pair->viewed));
    assert_int_equal(esp_tokenizer_max_length(pair->made), esp_tokenizer_max_length(pair->viewed));
    assert_memory_equal(espi_tokenizer_special(pair->made), espi_tokenizer_special(pair->viewed),
                        sizeof(struct espi_special_ids));
    for (int32_t id = -1; id <= (int32_t)esp_tokenizer_size(pair->made); id++) {
        const char *text = esp_tokenizer_token(pair->made, id), *same = esp_tokenizer_token(pair->viewed, id);
        assert_int_equal(!text, !same);
        if (!text)
            continue;
        assert_string_equal(text, same);
        assert_int_equal(esp_tokenizer_id(pair->viewed, text), id);
        assert_int_equal(espi_tokenizer_is_special(pair->made, id), espi_tokenizer_is_special(pair->viewed, id));
    }
}

static void assert_same_encoding(const struct pair *pair, const char *text, const char *second)
{
    esp_encoding a = {0}, b = {0};
    const esp_encode_options options = {
        .max_length = 12, .stride = 2, .truncation = ESP_TRUNCATE_LONGEST_FIRST, .overflow = true};
    size_t bytes = second ? strlen(second) : 0;
    test_ok(ctx, esp_encode(ctx, pair->made, text, strlen(text), second, bytes, &options, &a));
    test_ok(ctx, esp_encode(ctx, pair->viewed, text, strlen(text), second, bytes, &options, &b));
    assert_int_equal(a.windows, b.windows);
    assert_int_equal(a.tokens, b.tokens);
    assert_memory_equal(a.ids, b.ids, a.tokens * sizeof *a.ids);
    assert_memory_equal(a.type_ids, b.type_ids, a.tokens);
    assert_memory_equal(a.special, b.special, a.tokens);
    assert_memory_equal(a.words, b.words, a.tokens * sizeof *a.words);
    assert_memory_equal(a.byte_end, b.byte_end, a.tokens * sizeof *a.byte_end);
    assert_memory_equal(a.char_begin, b.char_begin, a.tokens * sizeof *a.char_begin);
    char *decoded, *same;
    test_ok(ctx, espi_tokenizer_decode(ctx, pair->made, a.ids, a.tokens, true, &decoded));
    test_ok(ctx, espi_tokenizer_decode(ctx, pair->viewed, b.ids, b.tokens, true, &same));
    assert_string_equal(decoded, same);
    free(decoded);
    free(same);
    esp_encoding_clear(&a);
    esp_encoding_clear(&b);
}

/* Texts of pieces that meet every way through the encoder. */
static void random_text(struct espi_random *random, char *text)
{
    static const char *const pieces[] = {"a",
                                         "un",
                                         "aff",
                                         "able",
                                         " ",
                                         ".",
                                         "\xc3\xa9t\xc3\xa9",
                                         "ete",
                                         "A",
                                         "\xe4\xb8\xad",
                                         "\xc4\xb0",
                                         "[MASK]",
                                         "\xe2\x80\x8d",
                                         "\xcc\x87",
                                         "zz",
                                         "\xff",
                                         "##",
                                         "\n",
                                         "[SEP] ",
                                         "abababababab"};
    *text = 0;
    for (size_t i = espi_random_below(random, 20); i-- > 0;)
        strcat(text, pieces[espi_random_below(random, ESPI_COUNT(pieces))]);
}

static void test_same(void **state)
{
    (void)state;
    for (size_t i = 0; i < ESPI_COUNT(tokenizers); i++) {
        struct pair pair;
        struct espi_random random = {.seed = 3};
        char text[400], second[400];
        open_pair(tokenizers[i], &pair);
        assert_same_facts(&pair);
        for (size_t k = 0; k < 400; k++) {
            random_text(&random, text);
            random_text(&random, second);
            assert_same_encoding(&pair, text, k % 3 ? second : NULL);
        }
        close_pair(&pair);
    }
}

/* Tables made of what stands on tables are the same bytes. */
static void test_again(void **state)
{
    (void)state;
    for (size_t i = 0; i < ESPI_COUNT(tokenizers); i++) {
        struct pair pair;
        unsigned char *again;
        size_t bytes;
        open_pair(tokenizers[i], &pair);
        test_ok(ctx, espi_tokenizer_tables(ctx, pair.viewed, &again, &bytes));
        assert_int_equal(bytes, pair.bytes);
        assert_memory_equal(again, pair.tables, bytes);
        free(again);
        close_pair(&pair);
    }
}

static void test_max_length(void **state)
{
    (void)state;
    static const char *const tokens[] = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "x"};
    const struct espi_vocab_settings settings = {.lowercase = true, .strip_accents = -1, .max_length = 77};
    struct pair pair;
    test_ok(ctx, espi_tokenizer_from_vocab(ctx, tokens, ESPI_COUNT(tokens), &settings, &pair.made));
    test_ok(ctx, espi_tokenizer_tables(ctx, pair.made, &pair.tables, &pair.bytes));
    test_ok(ctx, espi_tokenizer_open_tables(ctx, "tables", pair.tables, pair.bytes, &pair.viewed));
    assert_same_facts(&pair);
    assert_int_equal(esp_tokenizer_max_length(pair.viewed), 77);
    close_pair(&pair);
}

/* ---- refused --------------------------------------------------------------------------------------------------------- */

struct image {
    unsigned char *data;
    size_t bytes;
    struct espi_tables_header *h;
    struct espi_stage_record *stages; // in the order of `enum stage`
};

/* Of the first tokenizer, which has one of each. */
enum stage { VOCABULARY, ADDED, NORMALIZER, PRE_TOKENIZER, MODEL, TEMPLATES, DECODER, TABLE, STAGES };

#define S(stage)                  image->stages[stage]
#define COUNT(stage, which, type) (S(stage).arrays[which].bytes / sizeof(type))
#define ARRAY(stage, which, type) ((type *)(void *)(image->data + S(stage).arrays[which].offset))
#define TRIE                      ARRAY(MODEL, 0, uint64_t)
#define ADDED_TRIE                ARRAY(ADDED, ESPI_ADDED_TRIE, uint64_t)
#define OFFSETS                   ARRAY(VOCABULARY, ESPI_VOCABULARY_OFFSETS, uint32_t)
#define TEXTS                     ARRAY(VOCABULARY, ESPI_VOCABULARY_TEXTS, char)
#define TEXT_BYTES                (uint32_t) S(VOCABULARY).arrays[ESPI_VOCABULARY_TEXTS].bytes
#define TOKENS                    ARRAY(ADDED, ESPI_ADDED_TOKENS, struct espi_tables_added)
#define PIECES                    ARRAY(TEMPLATES, ESPI_TEMPLATE_PIECES, struct espi_tables_piece)
#define BLOCK_OF                  ARRAY(TABLE, ESPI_SPLIT_BLOCK_OF, uint16_t)
#define ACTIONS                   ARRAY(TABLE, ESPI_SPLIT_ACTIONS, uint32_t)
#define SEVERAL                   ARRAY(TABLE, ESPI_SPLIT_SEVERAL, uint32_t)

/* The last action of several, to be changed. */
static uint32_t *several_action(struct image *image)
{
    uint32_t *actions = ACTIONS;
    for (size_t i = COUNT(TABLE, ESPI_SPLIT_ACTIONS, uint32_t); i-- > 0;)
        if ((actions[i] & ESPI_ACTION_KIND) == ESPI_ACTION_SEVERAL)
            return &actions[i];
    fail_msg("no action of several");
    return NULL;
}

/* X(what is done to the image, text of the error) */
#define CASES(X)                                                                                                       \
    X(image->bytes = 0, "bytes: expected at least 64, found 0")                                                        \
    X(image->bytes = 63, "bytes: expected at least 64, found 63")                                                      \
    X(image->bytes = 128, "bytes: expected at least 1088, found 128")                                                  \
    X(image->bytes -= 64, "an array: expected no more than there are, ")                                               \
    X(image->bytes += 64, "bytes: expected ")                                                                          \
    X(image->h->flags = 4, "flags: expected at most 3, found 4")                                                       \
    X(image->h->size = 0, "size: expected at least 1, found 0")                                                        \
    X(image->h->size = UINT32_MAX, "size: expected at most 4194304, found 4294967295")                                 \
    X(image->h->size = 20, "tokens: expected elements, at least 20, found 19")                                         \
    X(image->h->stages = 0, "stages: expected at least 1, found 0")                                                    \
    X(image->h->stages = UINT32_MAX, "stages: expected at most 64, found 4294967295")                                  \
    X(image->h->stages = 7, "offset of an array: expected ")                                                           \
    X(image->h->special[1] = -1, "unknown token: expected an id from 0, found -1")                                     \
    X(image->h->special[4] = 19, "special: expected an id below 19, found 19")                                         \
    X(image->h->special[5] = 0, "special: expected an id below 0, found 0")                                            \
    X(image->h->special[0] = INT32_MIN, "special: expected an id below 19, found -2147483648")                         \
    X(image->h->reserved[2] = 5, "reserved field: expected 0, found 5")                                                \
    X(S(MODEL).arrays[0].offset += 64, "offset of an array: expected ")                                                \
    X(S(DECODER).arrays[4].offset = 64, "offset of an array: expected 0, found 64")                                    \
    X(S(TABLE).arrays[2].bytes = SIZE_MAX, "bytes of an array: expected no more than there are, ")                     \
    X(S(VOCABULARY).flags = 1, "flags of a stage: expected at most 0, found 1")                                        \
    X(S(NORMALIZER).flags = 32, "flags of a stage: expected at most 31, found 32")                                     \
    X(S(PRE_TOKENIZER).flags = 1, "flags of a stage: expected at most 0, found 1")                                     \
    X(S(DECODER).flags = 2, "flags of a stage: expected at most 1, found 2")                                           \
    X(S(NORMALIZER).numbers[0] = 7, "reserved number of a stage: expected 0, found 7")                                 \
    X(S(MODEL).numbers[8] = 7, "reserved number of a stage: expected 0, found 7")                                      \
    X(S(VOCABULARY).numbers[0] = 0, "model_tokens: expected 1 to 19, found 0")                                         \
    X(S(VOCABULARY).numbers[0] = 99, "model_tokens: expected 1 to 19, found 99")                                       \
    X(S(MODEL).numbers[0] = TEXT_BYTES, "unk_token: expected an offset below ")                                        \
    X(S(MODEL).numbers[1] = UINT32_MAX, "prefix: expected an offset below ")                                           \
    X(S(MODEL).numbers[2] = 1 << 15, "max_word_chars: expected at most 16384, found 32768")                            \
    X(S(DECODER).numbers[0] = UINT32_MAX, "decoder_prefix: expected an offset below ")                                 \
    X(S(TEMPLATES).numbers[0] = 0, "pieces of a text's template: expected 1 to 64, found 0")                           \
    X(S(TEMPLATES).numbers[0] = 65, "pieces of a text's template: expected 1 to 64, found 65")                         \
    X(S(DECODER).place = ESPI_PLACE_SPLIT_TABLE, "split table: expected stages, at most 1, found 2")                   \
    X(S(MODEL).place = ESPI_PLACE_PRE_TOKENIZER, "model: expected stages, 1, found 0")                                 \
    X(S(DECODER).place = ESPI_PLACE_MODEL, "place of a stage: expected at least 6, found 5")                           \
    X(TRIE[0] |= (uint64_t)UINT32_MAX << 32, "trie: expected a base below ")                                           \
    X(TRIE[300] |= 0xffffff, "trie: expected a value below 19, found 16777214")                                        \
    X(ADDED_TRIE[1] = (uint64_t)1 << 62, "trie of added tokens: expected a base below ")                               \
    X(ADDED_TRIE[1] = 6, "trie of added tokens: expected a value below 5, found 5")                                    \
    X(OFFSETS[16] = TEXT_BYTES, "text of a token: expected an offset below ")                                          \
    X(TEXTS[TEXT_BYTES - 1] = 'x', "last byte of the texts: expected 0, found 120")                                    \
    X(TOKENS[2].text = UINT32_MAX, "text of an added token: expected an offset below")                                 \
    X(TOKENS[2].text = TEXT_BYTES - 1, "bytes of an added token: expected 1 to 1024, found 0")                         \
    X(TOKENS[0].id = 19, "added token: expected an id below 19, found 19")                                             \
    X(TOKENS[0].id = -1, "added token: expected an id below 19, found -1")                                             \
    X(TOKENS[0].flags = 32, "flags of an added token: expected at most 31, found 32")                                  \
    X(PIECES[0].id = 19, "special token of a template: expected an id below 19")                                       \
    X(PIECES[0].sequence = 2, "sequence of a template's piece: expected -1 to 1")                                      \
    X(PIECES[0].type_id = 256, "type of a template's piece: expected at most 255")                                     \
    X(PIECES[0].sequence = 0, "template: expected each text once, in all 1, found 2")                                  \
    X(PIECES[1].sequence = -1, "template: expected each text once, in all 1")                                          \
    X(PIECES[5].sequence = 1, "template: expected each text once, in all 2, found 2")                                  \
    X(BLOCK_OF[8703] = UINT16_MAX, "block of actions: expected a number below ")                                       \
    X(ACTIONS[77] = 7, "kind of an action: expected at most 5, found 7")                                               \
    X(ACTIONS[77] = 0x110000u << 3, "action: expected a code point below 1114112, found 1114112")                      \
    X(*several_action(image) = UINT32_MAX << 3 | 4, "action of several: expected a run within ")                       \
    X(SEVERAL[*several_action(image) >> 3] = 11, "")                                                                   \
    X(SEVERAL[*several_action(image) >> 3] = UINT32_MAX, "action of several: expected a run within ")                  \
    X(SEVERAL[(*several_action(image) >> 3) + 1] = 4, "kind of an action among several: expected at most")             \
    X(SEVERAL[(*several_action(image) >> 3) + 1] = UINT32_MAX << 3, "action: expected a code point below")

static void open_image(const struct pair *pair, struct image *image)
{
    image->data = aligned_alloc(ESPI_TABLES_ALIGN, pair->bytes + ESPI_TABLES_ALIGN);
    assert_non_null(image->data);
    image->bytes = pair->bytes;
    image->h = (void *)image->data;
    image->stages = (void *)(image->data + sizeof *image->h);
    memcpy(image->data, pair->tables, pair->bytes);
    assert_int_equal(image->h->stages, STAGES);
}

static void refuse(const struct pair *pair, struct image *image, const char *text)
{
    esp_tokenizer *tokenizer;
    test_fails(ctx, espi_tokenizer_open_tables(ctx, "bad.esp", image->data, image->bytes, &tokenizer), ESP_ERR_FORMAT);
    assert_null(tokenizer);
    test_error_has(ctx, "bad.esp: tokenizer: ");
    test_error_has(ctx, text);
    memcpy(image->data, pair->tables, pair->bytes);
    image->bytes = pair->bytes;
}

static void test_refused(void **state)
{
    (void)state;
    struct pair pair;
    open_pair(tokenizers[0], &pair);
    struct image whole, *image = &whole;
    open_image(&pair, image);
#define X(action, text)                                                                                                \
    action;                                                                                                            \
    refuse(&pair, image, text);
    CASES(X)
#undef X
    free(whole.data);
    close_pair(&pair);
}

/* A stage of a kind or place that this version does not know is named. */
static void test_newer(void **state)
{
    (void)state;
    struct pair pair;
    struct image whole, *image = &whole;
    open_pair(tokenizers[0], &pair);
    open_image(&pair, image);
    const struct {
        enum stage stage;
        uint32_t place, kind;
        const char *text;
    } cases[] = {
        {MODEL, ESPI_PLACE_MODEL, 77, "made by a newer version: tokenizer: model of kind 77"},
        {NORMALIZER, ESPI_PLACE_NORMALIZER, 0, "made by a newer version: tokenizer: normalizer of kind 0"},
        {VOCABULARY, ESPI_PLACE_VOCABULARY, 2, "made by a newer version: tokenizer: vocabulary of kind 2"},
        {TABLE, 99, 1, "made by a newer version: tokenizer: stage 99 of kind 1"},
    };
    for (size_t i = 0; i < ESPI_COUNT(cases); i++) {
        esp_tokenizer *tokenizer;
        S(cases[i].stage).place = cases[i].place;
        S(cases[i].stage).kind = cases[i].kind;
        test_fails(ctx, espi_tokenizer_open_tables(ctx, "new.esp", image->data, image->bytes, &tokenizer),
                   ESP_ERR_UNSUPPORTED);
        test_error_has(ctx, cases[i].text);
        memcpy(image->data, pair.tables, pair.bytes);
    }
    free(image->data);
    close_pair(&pair);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same),    cmocka_unit_test(test_again), cmocka_unit_test(test_max_length),
        cmocka_unit_test(test_refused), cmocka_unit_test(test_newer),
    };
    ctx = esp_context_new();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    esp_context_free(ctx);
    return failed;
}
