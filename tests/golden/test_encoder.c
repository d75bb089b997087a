/* SPDX-License-Identifier: Apache-2.0
 * The network, made to run a checkpoint and made to train one, against PyTorch's outputs of every reference model, all
 * cases in one ragged batch of mixed lengths; and, made to run, the same bits for a sequence alone, in any batch, with any
 * number of threads. */
#include "hidden_states.h"
#include "support.h"

#include "base/size.h"
#include "create/network/network.h"
#include "model/checkpoint.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CASES = 8, SHIPPED_CASES = 4, MAX_SEQUENCES = 64, MAX_TOKENS = 4096, MASKS_KEPT = 4 };

static const float tolerance = 2e-5f;

static const char *const all_models[] = {
    "bert-tiny-qa",    "distilbert-tiny-seqcls", "bert-tiny-tokcls",    "bert-tiny-multilabel",
    "bert-tiny-mlm",   "distilbert-tiny-mlm",    "minilm-tiny-encoder", "roberta-tiny-seqcls",
    "roberta-tiny-qa", "roberta-tiny-mlm",       "xlmr-tiny-encoder",   "xlmr-tiny-seqcls",
    "electra-tiny-qa", "electra-tiny-seqcls",    "albert-tiny-seqcls",  "mpnet-tiny-encoder",
};
static const char *models[ESPI_COUNT(all_models)];
static size_t model_count, case_count;

/* One row of one case. */
struct row {
    size_t number, row, padded; // case, row in it, its width there
};

struct corpus {
    const char *model;
    size_t sequences;
    struct row rows[MAX_SEQUENCES];
    uint32_t starts[MAX_SEQUENCES + 1];
    int32_t ids[MAX_TOKENS];
    uint8_t types[MAX_TOKENS];
};

static esp_context *ctx;

static bool read_output(const char *model, size_t number, const char *name, struct test_npy *out)
{
    char relative[256];
    snprintf(relative, sizeof relative, "reference/models/%s/reference/case%zu/%s.npy", model, number, name);
    const char *path = test_shared_path(relative);
    if (!espi_path_exists(path))
        return false;
    test_npy_read(path, out);
    return true;
}

static void add_case(struct corpus *corpus, size_t number)
{
    struct test_npy ids, mask, types = {0};
    assert_true(read_output(corpus->model, number, "input_ids", &ids));
    assert_true(read_output(corpus->model, number, "attention_mask", &mask));
    bool typed = read_output(corpus->model, number, "token_type_ids", &types);
    size_t width = ids.shape[1];
    for (size_t r = 0; r < ids.shape[0]; r++) {
        assert_true(corpus->sequences < MAX_SEQUENCES);
        uint32_t end = corpus->starts[corpus->sequences];
        bool ended = false;
        for (size_t i = 0; i < width; i++) {
            bool on = ((int32_t *)mask.data)[r * width + i] == 1;
            assert_false(on && ended);
            ended = !on;
            if (!on)
                continue;
            assert_true(end < MAX_TOKENS);
            corpus->ids[end] = ((int32_t *)ids.data)[r * width + i];
            corpus->types[end++] = typed ? (uint8_t)((int32_t *)types.data)[r * width + i] : 0;
        }
        corpus->rows[corpus->sequences++] = (struct row){.number = number, .row = r, .padded = width};
        corpus->starts[corpus->sequences] = end;
    }
    free(ids.data);
    free(mask.data);
    free(types.data);
}

static struct corpus *new_corpus(const char *model)
{
    struct corpus *corpus = calloc(1, sizeof *corpus);
    assert_non_null(corpus);
    corpus->model = model;
    for (size_t number = 0; number < case_count; number++)
        add_case(corpus, number);
    assert_true(corpus->sequences >= case_count);
    return corpus;
}

static struct espi_batch whole(const struct corpus *corpus)
{
    return (struct espi_batch){.sequences = corpus->sequences,
                               .tokens = corpus->starts[corpus->sequences],
                               .starts = corpus->starts,
                               .ids = corpus->ids,
                               .types = corpus->types};
}

static float *run(struct espi_engine *engine, const struct espi_batch *batch, struct espi_wanted wanted)
{
    wanted.out = calloc(espi_result_size(engine->config, batch, &wanted) + 1, sizeof(float));
    assert_non_null(wanted.out);
    test_ok(ctx, engine->run(engine, ctx, batch, &wanted));
    return wanted.out;
}

/* The largest difference of `width` values, which must be numbers. */
static float difference(const float *a, const float *b, size_t width)
{
    float largest = 0.0f;
    for (size_t i = 0; i < width; i++) {
        float d = fabsf(a[i] - b[i]);
        assert_true(d >= 0.0f);
        largest = fmaxf(largest, d);
    }
    return largest;
}

static void assert_near(const struct corpus *corpus, const char *name, size_t compared, float largest)
{
    if (compared == 0 || largest > tolerance)
        fail_msg("%s: %s: %zu values compared, largest difference %g", corpus->model, name, compared, (double)largest);
    fprintf(stderr, "%-24s %-20s %8zu values, largest difference %.2g\n", corpus->model, name, compared,
            (double)largest);
}

/* Values of one token or sequence: `width` of them at `offset` of `stride` in ours, all of them in the reference. */
struct layout {
    bool per_token;
    size_t stride, offset, width;
};

static void compare(const struct corpus *corpus, const char *name, const float *ours, struct layout layout)
{
    size_t compared = 0;
    float largest = 0.0f;
    for (size_t s = 0; s < corpus->sequences; s++) {
        const struct row *row = &corpus->rows[s];
        struct test_npy npy;
        if (!read_output(corpus->model, row->number, name, &npy))
            continue;
        size_t first = layout.per_token ? corpus->starts[s] : s, end = layout.per_token ? corpus->starts[s + 1] : s + 1;
        size_t there = layout.per_token ? row->row * row->padded : row->row;
        for (size_t i = first; i < end; i++, there++) {
            assert_true((there + 1) * layout.width <= npy.count);
            largest = fmaxf(largest, difference(ours + i * layout.stride + layout.offset,
                                                (float *)npy.data + there * layout.width, layout.width));
            compared += layout.width;
        }
        free(npy.data);
    }
    assert_near(corpus, name, compared, largest);
}

static void compare_result(const struct corpus *corpus, struct espi_engine *engine, const char *name,
                           enum espi_result result, struct layout layout)
{
    struct espi_batch batch = whole(corpus);
    float *ours = run(engine, &batch, (struct espi_wanted){.result = result});
    compare(corpus, name, ours, layout);
    free(ours);
}

static void compare_layers(const struct corpus *corpus, struct espi_engine *engine)
{
    size_t hidden = engine->config->hidden, layers = engine->config->layers;
    struct espi_batch batch = whole(corpus);
    float *states = calloc((layers + 1) * batch.tokens * hidden, sizeof *states);
    assert_non_null(states);
    test_hidden_states(ctx, engine, &batch, states);
    for (size_t layer = 0; layer <= layers; layer++) {
        char name[32];
        snprintf(name, sizeof name, "hidden_%zu", layer);
        compare(corpus, name, states + layer * batch.tokens * hidden, (struct layout){true, hidden, 0, hidden});
    }
    free(states);
}

/* Positions of the first MASKS_KEPT [MASK] tokens of one case; returns their number. */
static size_t mask_positions(const struct corpus *corpus, size_t number, uint32_t *positions)
{
    size_t count = 0;
    int32_t mask = strncmp(corpus->model, "roberta", 7) == 0 ? 1999 : 103; // of their vocabularies
    for (size_t s = 0; s < corpus->sequences; s++)
        for (uint32_t t = corpus->starts[s]; t < corpus->starts[s + 1]; t++)
            if (corpus->rows[s].number == number && corpus->ids[t] == mask && count < MASKS_KEPT)
                positions[count++] = t;
    return count;
}

static void compare_masks(const struct corpus *corpus, struct espi_engine *engine)
{
    uint32_t positions[CASES * MASKS_KEPT];
    size_t count = 0, vocab = engine->config->vocab_size, row = 0, compared = 0;
    for (size_t number = 0; number < case_count; number++)
        count += mask_positions(corpus, number, positions + count);
    struct espi_batch batch = whole(corpus);
    float *ours = run(engine, &batch, (struct espi_wanted){ESPI_RESULT_VOCAB_LOGITS, positions, count, NULL});
    float largest = 0.0f;
    for (size_t number = 0; number < case_count; number++) {
        struct test_npy npy;
        assert_true(read_output(corpus->model, number, "mask_logits", &npy));
        assert_true(row + npy.shape[0] <= count);
        largest = fmaxf(largest, difference(ours + row * vocab, npy.data, npy.count));
        compared += npy.count;
        row += npy.shape[0];
        free(npy.data);
    }
    assert_int_equal(row, count);
    assert_near(corpus, "mask_logits", compared, largest);
    free(ours);
}

static void compare_head(const struct corpus *corpus, struct espi_engine *engine)
{
    const struct espi_config *config = engine->config;
    size_t labels = config->labels, hidden = config->hidden;
    switch (config->head) {
    case ESPI_HEAD_QA:
        compare_result(corpus, engine, "start_logits", ESPI_RESULT_TOKEN_LOGITS, (struct layout){true, 2, 0, 1});
        compare_result(corpus, engine, "end_logits", ESPI_RESULT_TOKEN_LOGITS, (struct layout){true, 2, 1, 1});
        break;
    case ESPI_HEAD_SEQUENCE:
        compare_result(corpus, engine, "logits", ESPI_RESULT_SEQUENCE_LOGITS,
                       (struct layout){false, labels, 0, labels});
        break;
    case ESPI_HEAD_TOKEN:
        compare_result(corpus, engine, "logits", ESPI_RESULT_TOKEN_LOGITS, (struct layout){true, labels, 0, labels});
        break;
    case ESPI_HEAD_MLM:
        compare_masks(corpus, engine);
        break;
    case ESPI_HEAD_NONE:
        compare_result(corpus, engine, "pooler_output", ESPI_RESULT_POOLED, (struct layout){false, hidden, 0, hidden});
        compare_result(corpus, engine, "sentence_embedding", ESPI_RESULT_EMBEDDING,
                       (struct layout){false, hidden, 0, hidden});
        break;
    }
}

static void open_model(const char *name, struct espi_checkpoint *checkpoint)
{
    char relative[256];
    snprintf(relative, sizeof relative, "reference/models/%s", name);
    test_ok(ctx, espi_checkpoint_read(ctx, test_shared_path(relative), checkpoint));
}

static void test_parity(void **state)
{
    (void)state;
    for (size_t m = 0; m < model_count; m++) {
        struct corpus *corpus = new_corpus(models[m]);
        struct espi_checkpoint checkpoint = {0};
        struct espi_engine *engine;
        open_model(models[m], &checkpoint);
        test_ok(ctx, espi_network_engine_new(ctx, &checkpoint.config, &checkpoint.params, NULL, &engine));
        compare_layers(corpus, engine);
        size_t hidden = checkpoint.config.hidden;
        compare_result(corpus, engine, "hidden_last", ESPI_RESULT_HIDDEN, (struct layout){true, hidden, 0, hidden});
        compare_head(corpus, engine);
        engine->free(engine);
        espi_checkpoint_clear(&checkpoint);
        free(corpus);
    }
}

/* The network of the trainer, without dropout. */
static void test_network_parity(void **state)
{
    (void)state;
    for (size_t m = 0; m < model_count; m++) {
        struct corpus *corpus = new_corpus(models[m]);
        struct espi_checkpoint checkpoint = {0};
        struct espi_network *network;
        struct espi_engine *engine;
        open_model(models[m], &checkpoint);
        test_ok(ctx, espi_network_new(ctx, &checkpoint.config, &checkpoint.params, ESPI_COMPUTE_F32, NULL, &network));
        test_ok(ctx, espi_network_refresh(ctx, network));
        test_ok(ctx, espi_network_engine(ctx, network, &engine));
        size_t hidden = checkpoint.config.hidden;
        compare_result(corpus, engine, "hidden_last", ESPI_RESULT_HIDDEN, (struct layout){true, hidden, 0, hidden});
        compare_head(corpus, engine);
        engine->free(engine);
        espi_network_free(network);
        espi_checkpoint_clear(&checkpoint);
        free(corpus);
    }
}

/* What a model's head gives per token (or sequence) and how many values. */
static enum espi_result head_result(const struct espi_config *config, bool *per_token, size_t *width)
{
    *per_token = config->head == ESPI_HEAD_QA || config->head == ESPI_HEAD_TOKEN || config->head == ESPI_HEAD_MLM;
    *width = config->labels ? config->labels : config->hidden;
    switch (config->head) {
    case ESPI_HEAD_QA:
    case ESPI_HEAD_TOKEN:
        return ESPI_RESULT_TOKEN_LOGITS;
    case ESPI_HEAD_SEQUENCE:
        return ESPI_RESULT_SEQUENCE_LOGITS;
    case ESPI_HEAD_MLM:
        return ESPI_RESULT_HIDDEN;
    case ESPI_HEAD_NONE:
        return ESPI_RESULT_EMBEDDING;
    }
    fail();
    return ESPI_RESULT_HIDDEN;
}

/* Each sequence alone gives the bits it has in the batch of all. */
static void check_alone(const struct corpus *corpus, struct espi_engine *engine, const float *together)
{
    bool per_token;
    size_t width;
    enum espi_result result = head_result(engine->config, &per_token, &width);
    for (size_t s = 0; s < corpus->sequences; s++) {
        uint32_t first = corpus->starts[s], starts[2] = {0, corpus->starts[s + 1] - first};
        struct espi_batch one = {1, starts[1], starts, corpus->ids + first, corpus->types + first};
        float *alone = run(engine, &one, (struct espi_wanted){.result = result});
        size_t place = per_token ? first : s, count = per_token ? starts[1] : 1;
        if (memcmp(alone, together + place * width, count * width * sizeof *alone) != 0)
            fail_msg("%s: sequence %zu alone differs from its result in a batch", corpus->model, s);
        free(alone);
    }
}

static void test_batch_of_one(void **state)
{
    (void)state;
    for (size_t m = 0; m < model_count; m++) {
        struct corpus *corpus = new_corpus(models[m]);
        struct espi_checkpoint checkpoint = {0};
        open_model(models[m], &checkpoint);
        struct espi_batch batch = whole(corpus);
        float *reference = NULL;
        for (size_t threads = 1; threads <= 3; threads++) {
            struct espi_team *team;
            struct espi_engine *engine;
            bool per_token;
            size_t width;
            test_ok(ctx, espi_team_new(ctx, threads, &team));
            test_ok(ctx, espi_network_engine_new(ctx, &checkpoint.config, &checkpoint.params, team, &engine));
            enum espi_result result = head_result(engine->config, &per_token, &width);
            float *together = run(engine, &batch, (struct espi_wanted){.result = result});
            if (!reference)
                reference = together;
            assert_memory_equal(reference, together,
                                (per_token ? batch.tokens : batch.sequences) * width * sizeof(float));
            check_alone(corpus, engine, together);
            if (together != reference)
                free(together);
            engine->free(engine);
            espi_team_free(team);
        }
        free(reference);
        espi_checkpoint_clear(&checkpoint);
        free(corpus);
    }
}

int main(void)
{
    test_shared_require();
    case_count = test_shared_shipped() ? SHIPPED_CASES : CASES;
    model_count = test_shared_models(all_models, ESPI_COUNT(all_models), models);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parity),
        cmocka_unit_test(test_network_parity),
        cmocka_unit_test(test_batch_of_one),
    };
    ctx = esp_context_new();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    esp_context_free(ctx);
    return failed;
}
