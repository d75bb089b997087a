/* SPDX-License-Identifier: Apache-2.0
 * Compiled files: what is written is read back; every kind of damage is refused with its reason. */
#include "base/crc32c.h"
#include "create/compile/compile.h"
#include "run/plan.h"
#include "text/tokenizer.h"

#include "random_model.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static const char config_text[] =
    "{\"model_type\":\"bert\",\"architectures\":[\"BertForSequenceClassification\"],\"vocab_size\":20,"
    "\"hidden_size\":8,\"num_hidden_layers\":2,\"num_attention_heads\":2,\"intermediate_size\":12,"
    "\"max_position_embeddings\":16,\"num_labels\":3,\"initializer_range\":0.2}";

/* The bytes of a compiled model in memory that may be changed. */
struct image {
    unsigned char *data; // 64-byte aligned, room for ROOM more
    size_t bytes;
};

enum { ROOM = 4096 };

static struct espi_esp_header *header_of(struct image *image)
{
    return (void *)image->data;
}

static struct espi_esp_section *sections_of(struct image *image)
{
    return (void *)(image->data + sizeof(struct espi_esp_header));
}

static struct espi_esp_section *find(struct image *image, uint32_t kind, uint32_t layer)
{
    struct espi_esp_section *sections = sections_of(image);
    for (size_t i = 0; i < header_of(image)->section_count; i++)
        if (sections[i].kind == kind && sections[i].layer == layer)
            return &sections[i];
    fail_msg("no section of kind %u", (unsigned)kind);
    return NULL;
}

static void seal_header(struct image *image)
{
    struct espi_esp_header *header = header_of(image);
    header->header_crc = espi_crc32c(0, image->data, offsetof(struct espi_esp_header, header_crc));
}

static void seal_table(struct image *image)
{
    struct espi_esp_header *header = header_of(image);
    header->table_crc =
        espi_crc32c(0, image->data + sizeof *header, header->section_count * sizeof(struct espi_esp_section));
    seal_header(image);
}

/* Makes the checksums true again, so that what is behind them is looked at. */
static void seal(struct image *image)
{
    struct espi_esp_section *sections = sections_of(image);
    for (size_t i = 0; i < header_of(image)->section_count; i++)
        if (sections[i].offset <= image->bytes && sections[i].bytes <= image->bytes - sections[i].offset)
            sections[i].crc = espi_crc32c(0, image->data + sections[i].offset, sections[i].bytes);
    seal_table(image);
}

/* Replaces a piece of a text section, the first behind another one, by one of the same length. */
static void replace_behind(struct image *image, uint32_t kind, const char *anchor, const char *old, const char *new)
{
    struct espi_esp_section *section = find(image, kind, 0);
    char *text = (char *)image->data + section->offset, *end = text + section->bytes;
    char *at = memmem(text, section->bytes, anchor, strlen(anchor));
    at = at ? memmem(at, (size_t)(end - at), old, strlen(old)) : NULL;
    if (!at)
        fail_msg("no %s in %.*s", old, (int)section->bytes, text);
    assert_int_equal(strlen(old), strlen(new));
    memcpy(at, new, strlen(new));
    seal(image);
}

static void replace(struct image *image, uint32_t kind, const char *old, const char *new)
{
    replace_behind(image, kind, "", old, new);
}

static void *bytes_of(struct image *image, uint32_t kind, uint32_t layer)
{
    return image->data + find(image, kind, layer)->offset;
}

/* The arrays of a sparse section. */
static struct espi_packing packing_of(struct image *image, uint32_t kind, uint32_t layer)
{
    const struct espi_esp_section *s = find(image, kind, layer);
    struct espi_packing packing;
    assert_int_equal(s->encoding, ESPI_ESP_QUADS_SPARSE);
    assert_int_equal(espi_packing_sparse(NULL, s->rows, s->columns, s->groups, &packing), ESP_OK);
    return packing;
}

/* ---- cases ------------------------------------------------------------------------------------------------------------- */

#define H    header_of(image)
#define S(i) sections_of(image)[i]

/* X(name, what is done to the image, status, text of the error) */
#define CASES(X)                                                                                                       \
    X(empty, image->bytes = 0, FORMAT, "does not start with the magic bytes")                                          \
    X(magic, image->data[0] = 'E', FORMAT, "does not start with the magic bytes")                                      \
    X(text_mode, image->data[4] = '\n', FORMAT, "does not start with the magic bytes")                                 \
    X(header_cut, image->bytes = 40, FORMAT, "cut short: 40 bytes are less than its header")                           \
    X(version, (H->version = 4, seal_header(image)), UNSUPPORTED,                                                      \
      "version: expected 5 or later, found 4; make it "                                                                \
      "again from its checkpoint: espalier compile CHECKPOINT -o ")                                                    \
    X(version_0, H->version = 0, UNSUPPORTED, "version: expected 5 or later, found 0")                                 \
    X(header_crc, H->header_crc ^= 1, FORMAT, "header: damaged: its checksum is")                                      \
    X(header_bit, H->file_bytes ^= 64, FORMAT, "header: damaged")                                                      \
    X(header_bytes, (H->header_bytes = 128, seal_header(image)), FORMAT, "header_bytes: expected 64, found 128")       \
    X(section_bytes, (H->section_bytes = 32, seal_header(image)), FORMAT, "section_bytes: expected 64, found 32")      \
    X(reserved, (H->reserved[5] = 7, seal_header(image)), FORMAT, "reserved field of the header: expected 0, found 7") \
    X(cut, image->bytes -= 64, FORMAT, "cut short: the file has")                                                      \
    X(cut_to_header, image->bytes = 64, FORMAT, "cut short: the file has 64 bytes")                                    \
    X(longer, image->bytes += 64, FORMAT, "has bytes behind its end")                                                  \
    X(no_sections, (H->section_count = 0, seal_header(image)), FORMAT, "section_count: expected 1 to 65536, found 0")  \
    X(many_sections, (H->section_count = UINT32_MAX, seal_header(image)), FORMAT, "found 4294967295")                  \
    X(table_outside, (H->section_count = 60000, seal_header(image)), FORMAT, "60000 sections do not fit into")         \
    X(table_crc, S(3).columns++, FORMAT, "section table: damaged")                                                     \
    X(table_crc_stated, (H->table_crc ^= 256, seal_header(image)), FORMAT, "section table: damaged")                   \
    X(text_bit, image->data[S(0).offset] ^= 1, FORMAT, "config: damaged: its checksum is")                             \
    X(weight_bit, ((char *)bytes_of(image, ESPI_ESP_FFN_OUT, 1))[40] ^= 64, FORMAT,                                    \
      "layer 1: second feed-forward "                                                                                  \
      "weights: damaged")                                                                                              \
    X(stated_crc, (S(2).crc++, seal_table(image)), FORMAT, "word embeddings: damaged")                                 \
    X(offset_0, (S(0).offset = 0, seal(image)), FORMAT, "config: offset: expected ")                                   \
    X(offset_odd, (S(4).offset++, seal(image)), FORMAT, "offset: expected ")                                           \
    X(offset_wide, (S(4).offset = UINT64_MAX, seal(image)), FORMAT, "found 18446744073709551615")                      \
    X(overlap, (S(5).offset = S(4).offset, seal(image)), FORMAT, "embedding LayerNorm: offset: expected ")             \
    X(hole, (S(5).offset += 64, seal(image)), FORMAT, "offset: expected ")                                             \
    X(bytes_wide, (S(6).bytes = UINT64_MAX, seal(image)), FORMAT, "reach past the end of the file")                    \
    X(bytes_past_end, (S(6).bytes = image->bytes, seal(image)), FORMAT, "reach past the end of the file")              \
    X(section_reserved, (S(1).reserved = 1, seal(image)), FORMAT, "model: reserved field: expected 0, found 1")        \
    X(padding, image->data[S(0).offset + S(0).bytes] = 1, FORMAT, "config: expected zeros behind it, found 1")         \
    X(first_kind, (S(0).kind = ESPI_ESP_MODEL, seal(image)), FORMAT,                                                   \
      "expected the section \"config\", found "                                                                        \
      "\"model\"")                                                                                                     \
    X(unknown_kind, (S(2).kind = 99, seal(image)), UNSUPPORTED, "section of kind 99: not known to this version")       \
    X(kind_twice, (S(3).kind = S(2).kind, seal(image)), FORMAT, "expected the section \"position embeddings\"")        \
    X(layer, (find(image, ESPI_ESP_QKV, 1)->layer = 9, seal(image)), FORMAT, "expected the section \"layer 1: query/") \
    X(layer_of_model, (S(2).layer = 1, seal(image)), FORMAT, "expected the section \"word embeddings\"")               \
    X(encoding, (S(2).encoding = ESPI_ESP_F32, seal(image)), FORMAT, "expected encoding bf16, found f32 (2)")          \
    X(unknown_encoding, (S(2).encoding = 77, seal(image)), UNSUPPORTED, "encoding 77 is not known to this version")    \
    X(sparse_norm, (S(5).encoding = ESPI_ESP_QUADS_SPARSE, seal(image)), FORMAT,                                       \
      "expected encoding f32, found "                                                                                  \
      "int8-sparse")                                                                                                   \
    X(rows, (S(2).rows = 21, seal(image)), FORMAT, "word embeddings: rows: expected 20, found 21")                     \
    X(rows_of_norm, (S(5).rows = 4, seal(image)), FORMAT, "embedding LayerNorm: rows: expected 2, found 4")            \
    X(factors_of_norm, (S(5).rows = 3, seal(image)), FORMAT, "embedding LayerNorm: bytes: expected 96, found 64")      \
    X(columns, (S(2).columns = 9, seal(image)), FORMAT, "word embeddings: columns: expected 8, found 9")               \
    X(columns_wide, (S(1).columns = UINT64_MAX, seal(image)), FORMAT, "model: bytes: expected 184467440737095516")     \
    X(text_length, (S(0).columns--, seal(image)), FORMAT, "config: bytes: expected ")                                  \
    X(groups_of_floats, (S(5).groups = 1, seal(image)), FORMAT, "embedding LayerNorm: groups: expected 0, found 1")    \
    X(dense_as_sparse, (find(image, ESPI_ESP_QKV, 0)->encoding = ESPI_ESP_QUADS_DENSE, seal(image)), FORMAT,           \
      "layer 0: query/key/value weights: groups: expected 0")                                                          \
    X(groups, (find(image, ESPI_ESP_QKV, 0)->groups += 9, seal(image)), FORMAT, "bytes: expected ")                    \
    X(groups_wide, (find(image, ESPI_ESP_QKV, 0)->groups = UINT64_MAX, seal(image)), LIMIT, "is too large")            \
    X(starts_down, (((uint32_t *)quads(image, true))[2] = 0, seal(image)), FORMAT, "quad 1: expected groups in order") \
    X(starts_far, (((uint32_t *)quads(image, true))[1] = UINT32_MAX, seal(image)), FORMAT,                             \
      "quad 0: expected at most ")                                                                                     \
    X(starts_from, (((uint32_t *)quads(image, true))[0] = 1, seal(image)), FORMAT, "expected groups 0 to ")            \
    X(index, (((uint16_t *)quads(image, false))[2] = 8, seal(image)), FORMAT,                                          \
      "group 0: expected a column below 8, "                                                                           \
      "found 8")                                                                                                       \
    X(index_wide, (((uint16_t *)quads(image, false))[7] = UINT16_MAX, seal(image)), FORMAT, "found 65535")             \
    X(one_less, drop_last(image), FORMAT, "sections for this config, found")                                           \
    X(only_config, keep(image, 1), FORMAT, "the section \"model\" is missing")                                         \
    X(config_json, replace(image, ESPI_ESP_CONFIG, "{", "["), FORMAT, "config: ")                                      \
    X(config_hidden, replace(image, ESPI_ESP_CONFIG, "\"hidden\":8", "\"hidden\":4"), FORMAT,                          \
      "word embeddings: columns: expected 4, found 8")                                                                 \
    X(config_vocab, replace(image, ESPI_ESP_CONFIG, "\"vocabulary\":20", "\"vocabulary\":99"), FORMAT,                 \
      "word embeddings: rows: expected 99, found 20")                                                                  \
    X(config_heads, replace(image, ESPI_ESP_CONFIG, "\"heads\":2", "\"heads\":3"), FORMAT, "expected a divisor of ")   \
    X(config_pad,                                                                                                      \
      replace(image, ESPI_ESP_CONFIG, "\"pad\":0,\"activation\":\"gelu\",\"layer_norm_eps\":1e-12",                    \
              "\"pad\":77,\"activation\":\"gelu\",\"layer_norm_eps\":1e-1"),                                           \
      FORMAT, "pad: expected an id below 20, found 77")                                                                \
    X(config_layer, replace(image, ESPI_ESP_CONFIG, "\"removed_heads\":[]", "\"removed_heads\":{}"), FORMAT, "layers") \
    X(config_member, replace(image, ESPI_ESP_CONFIG, "\"hidden\"", "\"hibben\""), FORMAT, "hidden: expected ")         \
    X(config_word, replace(image, ESPI_ESP_CONFIG, "\"learned\"", "\"spirals\""), UNSUPPORTED,                         \
      "block.positions: \"spirals\" is not known to this version")                                                     \
    X(config_unknown, replace(image, ESPI_ESP_CONFIG, "\"gated\":false", "\"flash\":99999"), FORMAT, "gated")          \
    X(config_gated, replace(image, ESPI_ESP_CONFIG, "\"no_bias\":false", "\"no_bias\": true"), UNSUPPORTED,            \
      "linear layers without bias, which is not supported")                                                            \
    X(config_rows, replace(image, ESPI_ESP_CONFIG, "\"first\"", "\"all\"  "), UNSUPPORTED, "head.rows")                \
    X(config_labels, replace(image, ESPI_ESP_CONFIG, "\"labels\":3", "\"labels\":0"), FORMAT, "head.labels")           \
    X(config_names, replace(image, ESPI_ESP_CONFIG, "\"labels\":3", "\"labels\":4"), FORMAT,                           \
      "head.label_names: expected 4 names, found 3")                                                                   \
    X(model_json, replace(image, ESPI_ESP_MODEL, "}", "]"), FORMAT, "model: ")                                         \
    X(model_format, replace(image, ESPI_ESP_MODEL, "\"espalier\"", "\"somewhat\""), UNSUPPORTED,                       \
      "\"somewhat\" is not known")                                                                                     \
    X(model_pooling, replace(image, ESPI_ESP_MODEL, "\"none\"", "\"most\""), UNSUPPORTED,                              \
      "pooling: \"most\" is not known")                                                                                \
    X(model_length, replace(image, ESPI_ESP_MODEL, "\"max_sequence\":16", "\"max_sequence\":17"), FORMAT,              \
      "max_sequence: expected an integer from 1 to 16, found 17")                                                      \
    X(model_kind, replace(image, ESPI_ESP_MODEL, "\"static\"", "\"statik\""), UNSUPPORTED, "activations: \"statik\"")  \
    X(model_point, replace(image, ESPI_ESP_MODEL, "\"context\"", "\"contest\""), FORMAT, "context: ")                  \
    X(model_zero, replace_behind(image, ESPI_ESP_MODEL, "query", ",128]", ",129]"), FORMAT,                            \
      "layers[0].query: expected a zero point from 128 to 128, found 129")                                             \
    X(model_step, replace_behind(image, ESPI_ESP_MODEL, "value", ",128]", ",\"x\"]"), FORMAT,                          \
      "layers[0].value: expected [scale, zero point]")

/* starts, or indices, of the first layer's query, key and value. */
static void *quads(struct image *image, bool starts)
{
    struct espi_packing packing = packing_of(image, ESPI_ESP_QKV, 0);
    return (char *)bytes_of(image, ESPI_ESP_QKV, 0) + (starts ? packing.starts : packing.indices);
}

/* Ends the file behind section count - 1; the table keeps its size, so everything moves up. */
static void keep(struct image *image, size_t count)
{
    struct espi_esp_header *header = header_of(image);
    struct espi_esp_section *sections = sections_of(image);
    size_t lost = (header->section_count - count) * sizeof *sections, begin = sections[0].offset;
    size_t end = espi_round_up(sections[count - 1].offset + sections[count - 1].bytes, 64);
    memmove(image->data + begin - lost, image->data + begin, end - begin);
    for (size_t i = 0; i < count; i++)
        sections[i].offset -= lost;
    header->section_count = (uint32_t)count;
    image->bytes = header->file_bytes = end - lost;
    seal(image);
}

static void drop_last(struct image *image)
{
    keep(image, header_of(image)->section_count - 1);
}

#define X(name, change, status, text)                                                                                  \
    static void change_##name(struct image *image)                                                                     \
    {                                                                                                                  \
        change;                                                                                                        \
    }
CASES(X)
#undef X

static const struct {
    const char *name;
    void (*change)(struct image *image);
    int status;
    const char *text;
} cases[] = {
#define X(name, change, status, text) {#name, change_##name, ESP_ERR_##status, text},
    CASES(X)
#undef X
};

/* ---- tests --------------------------------------------------------------------------------------------------------------- */

static struct {
    esp_context *ctx;
    const char *scratch;
    char path[ESPI_PATH_BYTES];
    struct espi_checkpoint checkpoint;
    struct image image; // static steps, sparse layers
} t;

static int set_up(void **state)
{
    (void)state;
    static const uint32_t lengths[] = {16, 3, 9};
    static struct test_batch example;
    t.ctx = esp_context_new();
    t.scratch = test_scratch();
    snprintf(t.path, sizeof t.path, "%.200s/model.esp", t.scratch);
    test_random_model(t.ctx, config_text, 0.6, 3, &t.checkpoint);
    test_batch_random(&example, &t.checkpoint.config, lengths, 3, 1);
    struct espi_scale points[4][ESPI_POINT_COUNT];
    assert_true(t.checkpoint.config.layers <= 4);
    test_ok(t.ctx,
            espi_calibrate(t.ctx, &t.checkpoint, &example.batch, 1, &(struct espi_calibrate_options){0}, points));
    struct espi_compile_options options = {.sparse = ESPI_SPARSE_ALWAYS,
                                           .points = (const struct espi_scale(*)[ESPI_POINT_COUNT])points};
    test_ok(t.ctx, espi_compile(t.ctx, &t.checkpoint, &options, t.path, NULL));
    struct espi_map map;
    test_ok(t.ctx, espi_map_open(t.ctx, t.path, &map));
    t.image = (struct image){.data = aligned_alloc(64, map.bytes + ROOM), .bytes = map.bytes};
    memcpy(t.image.data, map.data, map.bytes);
    memset(t.image.data + map.bytes, 0, ROOM);
    espi_map_close(&map);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    free(t.image.data);
    espi_checkpoint_clear(&t.checkpoint);
    test_scratch_remove(t.scratch);
    esp_context_free(t.ctx);
    return 0;
}

static void test_malformed(void **state)
{
    (void)state;
    for (size_t i = 0; i < ESPI_COUNT(cases); i++) {
        struct image copy = {.data = aligned_alloc(64, t.image.bytes + ROOM), .bytes = t.image.bytes};
        struct espi_esp_model model;
        memcpy(copy.data, t.image.data, t.image.bytes);
        memset(copy.data + t.image.bytes, 0, ROOM);
        cases[i].change(&copy);
        int status = espi_esp_model_parse(t.ctx, "file.esp", copy.data, copy.bytes, &model);
        if (status != cases[i].status || !strstr(esp_last_error(t.ctx), cases[i].text) ||
            strncmp(esp_last_error(t.ctx), "file.esp: ", 10) != 0)
            fail_msg("%s: status %d, \"%s\"; expected %d, \"%s\"", cases[i].name, status, esp_last_error(t.ctx),
                     cases[i].status, cases[i].text);
        assert_null(model.layers);
        free(copy.data);
    }
    printf("%zu malformed files refused\n", ESPI_COUNT(cases));
}

/* No bit of the file can change unnoticed. */
static void test_every_bit(void **state)
{
    (void)state;
    struct espi_esp_model model;
    for (size_t i = 0; i < t.image.bytes; i++) {
        t.image.data[i] ^= (unsigned char)(1 << i % 8);
        if (espi_esp_model_parse(NULL, "file.esp", t.image.data, t.image.bytes, &model) == ESP_OK)
            fail_msg("byte %zu can change unnoticed", i);
        t.image.data[i] ^= (unsigned char)(1 << i % 8);
    }
    for (size_t bytes = 0; bytes < t.image.bytes; bytes += 61)
        assert_int_not_equal(espi_esp_model_parse(NULL, "file.esp", t.image.data, bytes, &model), ESP_OK);
}

/* A table that cannot be made: a valid file whose plan is refused. */
static void test_plan_refuses(void **state)
{
    (void)state;
    struct espi_esp_model model;
    struct espi_plan plan;
    test_ok(t.ctx, espi_esp_model_parse(t.ctx, "file.esp", t.image.data, t.image.bytes, &model));
    model.layers[1].points[ESPI_POINT_INTERMEDIATE].zero_point = 128;
    test_fails(t.ctx, espi_plan_make(t.ctx, &model, &plan), ESP_ERR_ARGUMENT);
    test_error_has(t.ctx, "file.esp: activation: expected a zero point from 0 to 127, found 128");
    espi_esp_model_close(&model);
}

static void same_floats(const float *a, const float *b, size_t count)
{
    assert_memory_equal(a, b, count * sizeof *a);
}

/* What was compiled is what is read: config, embeddings, LayerNorms, heads as they were, weights to half a step. */
static void test_round_trip(void **state)
{
    (void)state;
    struct espi_esp_model model;
    const struct espi_params *params = &t.checkpoint.params;
    test_ok(t.ctx, espi_esp_model_open(t.ctx, t.path, &model));
    const struct espi_config *c = &model.config;
    assert_int_equal(c->layers, 2);
    assert_int_equal(c->labels, 3);
    assert_string_equal(c->label_names[2], "LABEL_2");
    assert_true(model.static_scales && espi_config_has_pooler(c) && !model.tokenizer);
    same_floats(model.embed_norm.gain, espi_params_data(params, ESPI_EMBED_NORM_W, 0), 8);
    same_floats(model.layers[1].ffn_norm.bias, espi_params_data(params, ESPI_FFN_NORM_B, 1), 8);
    same_floats(espi_esp_head(&model, ESPI_ESP_CLASSIFIER_W), espi_params_data(params, ESPI_CLASSIFIER_W, 0), 24);
    same_floats(espi_esp_head(&model, ESPI_ESP_HEAD_DENSE_B), espi_params_data(params, ESPI_HEAD_DENSE_B, 0), 8);
    assert_null(espi_esp_head(&model, ESPI_ESP_DECODER_B));
    const float *words = espi_params_data(params, ESPI_EMBED_WORD, 0);
    for (size_t i = 0; i < 20 * 8; i++) {
        uint32_t bits = (uint32_t)model.word[i] << 16;
        float value;
        memcpy(&value, &bits, sizeof value);
        assert_true(fabsf(value - words[i]) <= fabsf(words[i]) / 256);
    }
    const struct espi_esp_linear *out = &model.layers[1].attention_out;
    const float *weights = espi_params_data(params, ESPI_ATTENTION_OUT_W, 1);
    float input = model.layers[1].points[ESPI_POINT_CONTEXT].scale;
    int8_t q[64];
    espi_unpack(&out->quads, q);
    for (size_t i = 0; i < 64; i++)
        assert_true(fabsf((float)q[i] * out->scale[i / 8] / input - weights[i]) <= 0.501f * out->scale[i / 8] / input);
    same_floats(out->bias, espi_params_data(params, ESPI_ATTENTION_OUT_B, 1), 8);
    espi_esp_model_close(&model);
}

static void test_tokenizer_inside(void **state)
{
    (void)state;
    static const char vocabulary[] = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nhello\nworld\n##s\n";
    char directory[300], path[320];
    snprintf(directory, sizeof directory, "%.200s/vocab.txt", t.scratch);
    test_write(t.scratch, "vocab.txt", vocabulary, strlen(vocabulary));
    esp_tokenizer *before, *after;
    test_ok(t.ctx, esp_tokenizer_open(t.ctx, directory, &before));
    struct espi_compile_options options = {.tokenizer = before};
    struct espi_esp_model model;
    snprintf(path, sizeof path, "%.200s/with.esp", t.scratch);
    test_ok(t.ctx, espi_compile(t.ctx, &t.checkpoint, &options, path, NULL));
    test_ok(t.ctx, espi_esp_model_open(t.ctx, path, &model));
    assert_false(model.static_scales);
    test_ok(t.ctx, espi_esp_model_tokenizer(t.ctx, &model, &after));
    assert_int_equal(esp_tokenizer_size(after), 8);
    assert_int_equal(esp_tokenizer_id(after, "##s"), 7);
    assert_int_equal(espi_tokenizer_special(after)->mask, 4);
    esp_tokenizer_free(before);
    esp_tokenizer_free(after);
    espi_esp_model_close(&model);
    test_ok(t.ctx, espi_esp_model_open(t.ctx, t.path, &model));
    test_fails(t.ctx, espi_esp_model_tokenizer(t.ctx, &model, &after), ESP_ERR_NOT_FOUND);
    test_error_has(t.ctx, "compiled without a tokenizer");
    espi_esp_model_close(&model);
}

static void test_files(void **state)
{
    (void)state;
    struct espi_esp_model model;
    assert_true(espi_esp_is_file(t.path));
    assert_false(espi_esp_is_file(t.scratch));
    assert_false(espi_esp_is_file("/nowhere/at/all"));
    test_fails(t.ctx, espi_esp_model_open(t.ctx, "/nowhere/at/all", &model), ESP_ERR_NOT_FOUND);
    test_fails(t.ctx, espi_esp_model_open(t.ctx, t.scratch, &model), ESP_ERR_FORMAT);
    test_error_has(t.ctx, "expected a compiled file, found a directory");
    const char *empty = test_write(t.scratch, "empty", "", 0);
    test_fails(t.ctx, espi_esp_model_open(t.ctx, empty, &model), ESP_ERR_FORMAT);
    struct espi_esp_source none;
    unsigned char *image;
    size_t bytes;
    test_fails(t.ctx, espi_esp_file_image(t.ctx, t.path, &none, 0, &image, &bytes), ESP_ERR_LIMIT);
    test_ok(t.ctx, espi_esp_model_open(t.ctx, t.path, &model));
    espi_esp_model_close(&model);
    espi_esp_model_close(&model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_malformed),  cmocka_unit_test(test_every_bit),        cmocka_unit_test(test_plan_refuses),
        cmocka_unit_test(test_round_trip), cmocka_unit_test(test_tokenizer_inside), cmocka_unit_test(test_files),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
