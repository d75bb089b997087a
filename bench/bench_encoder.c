/* SPDX-License-Identifier: Apache-2.0
 * Speed of the fp32 encoder: a checkpoint, or the shape of DistilBERT-base with random weights.
 *
 *   bench_encoder [--checkpoint DIR] [--batch B] [--length L] [--threads T] [--seconds S] [--matmul 0] [--parts 1]
 *
 * Prints one JSON line. Between the runs of the encoder the same process times oneDNN's matmul alone (1024 x 768 x 3072,
 * one thread, weights packed), once as a single product and once in the encoder's tiles: `matmul_gflops` is the better.
 * --matmul 0 leaves that out. --parts times each kind of layer alone on the encoder's shapes. */
#include "base/clock.h"
#include "base/random.h"
#include "create/layers/layer_attention.h"
#include "create/layers/layers.h"
#include "create/network/network.h"
#include "matmul_peak.h"
#include "model/checkpoint.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_RUNS = 100000 };

struct options {
    const char *checkpoint; // NULL: random weights
    size_t batch, length, threads, matmul, parts;
    double seconds;
};

/* The matmul that the encoder is compared with, as one product of oneDNN's own making and in the encoder's tiles. */
struct peak {
    struct matmul_peak whole;
    struct espi_matmuls *matmuls; // one thread
    struct espi_dense tiles;
    float *weight, *bias, *source, *target;
};

struct bench {
    struct options options;
    struct espi_checkpoint model;
    struct espi_team *team;
    struct espi_engine *engine;
    struct espi_batch batch;
    struct espi_wanted wanted;
    struct peak peak;
    double times[MAX_RUNS];
    size_t runs;
};

static esp_context *ctx;

static void require(bool good, const char *what)
{
    if (good)
        return;
    fprintf(stderr, "bench_encoder: %s: %s\n", what, esp_last_error(ctx));
    exit(1);
}

static float *random_floats(size_t count, float scale)
{
    float *values = espi_calloc_aligned(ctx, count, sizeof *values);
    require(values != NULL, "memory");
    struct espi_random random = {.seed = 1};
    for (size_t i = 0; i < count; i++)
        values[i] = scale * (espi_random_uniform(&random) - 0.5f);
    return values;
}

static void parse(int argc, char **argv, struct options *o)
{
    *o = (struct options){.batch = 8, .length = 128, .threads = 1, .matmul = 1, .seconds = 2.0};
    for (int i = 1; i < argc; i += 2) {
        const char *name = argv[i], *value = i + 1 < argc ? argv[i + 1] : NULL;
        size_t *number = strcmp(name, "--batch") == 0     ? &o->batch
                         : strcmp(name, "--length") == 0  ? &o->length
                         : strcmp(name, "--threads") == 0 ? &o->threads
                         : strcmp(name, "--matmul") == 0  ? &o->matmul
                         : strcmp(name, "--parts") == 0   ? &o->parts
                                                          : NULL;
        if (value && number)
            *number = strtoul(value, NULL, 10);
        else if (value && strcmp(name, "--seconds") == 0)
            o->seconds = strtod(value, NULL);
        else if (value && strcmp(name, "--checkpoint") == 0)
            o->checkpoint = value;
        else
            require(false, "usage: [--checkpoint DIR] [--batch B] [--length L] [--threads T] [--seconds S] "
                           "[--matmul 0] [--parts 1]");
    }
    require(o->batch > 0 && o->length > 0 && o->threads > 0, "batch, length and threads are at least 1");
}

static void open_model(struct bench *b)
{
    if (b->options.checkpoint) {
        require(espi_checkpoint_read(ctx, b->options.checkpoint, &b->model) == ESP_OK, b->options.checkpoint);
        return;
    }
    const struct espi_head_options head = {.head = ESPI_HEAD_QA};
    const struct espi_config_changes changes = {.head = &head, .vocab_size = 30522};
    require(espi_config_named(ctx, "distilbert-base", &changes, &b->model.config) == ESP_OK, "config");
    require(espi_params_init(ctx, &b->model.config, true, &b->model.params) == ESP_OK, "parameters");
    espi_params_randomize(&b->model.params, &b->model.config, 1);
}

static void make_batch(struct bench *b)
{
    size_t count = b->options.batch, length = b->options.length;
    uint32_t *starts = espi_calloc(ctx, count + 1, sizeof *starts);
    int32_t *ids = espi_calloc(ctx, count * length, sizeof *ids);
    require(starts && ids, "memory");
    struct espi_random random = {.seed = 2};
    for (size_t s = 0; s <= count; s++)
        starts[s] = (uint32_t)(s * length);
    for (size_t t = 0; t < count * length; t++)
        ids[t] = (int32_t)(1 + espi_random_below(&random, b->model.config.vocab_size - 1));
    b->batch = (struct espi_batch){.sequences = count, .tokens = count * length, .starts = starts, .ids = ids};
    b->wanted.result = b->model.config.head == ESPI_HEAD_QA ? ESPI_RESULT_TOKEN_LOGITS : ESPI_RESULT_HIDDEN;
    b->wanted.out = espi_calloc(ctx, espi_result_size(&b->model.config, &b->batch, &b->wanted), sizeof(float));
    require(b->wanted.out != NULL, "memory");
}

/* ---- the matmul alone ----------------------------------------------------------------------------------------------- */

static void make_peak(struct peak *p)
{
    p->weight = random_floats((size_t)PEAK_INPUTS * PEAK_OUTPUTS, 0.1f);
    p->bias = random_floats(PEAK_OUTPUTS, 0.1f);
    p->source = random_floats((size_t)PEAK_ROWS * PEAK_INPUTS, 2.0f);
    p->target = random_floats((size_t)PEAK_ROWS * PEAK_OUTPUTS, 0.0f);
    require(espi_matmuls_new(ctx, ESPI_COMPUTE_F32, NULL, &p->matmuls) == ESP_OK, "products");
    require(espi_dense_init_forward(ctx, p->matmuls, PEAK_INPUTS, PEAK_OUTPUTS, &p->tiles) == ESP_OK &&
                espi_dense_pack(ctx, p->matmuls, &p->tiles, p->weight) == ESP_OK &&
                matmul_peak_new(ctx, ESPI_COMPUTE_F32, 1, &p->whole) == ESP_OK,
            "matmul");
}

/* The better of both is left in whole.best. */
static void time_peak(struct peak *p)
{
    require(matmul_peak_time(ctx, &p->whole) == ESP_OK, "matmul");
    double start = espi_clock();
    require(espi_dense_forward(ctx, p->matmuls, &p->tiles, PEAK_ROWS, p->source, p->bias, p->target) == ESP_OK,
            "matmul");
    double seconds = espi_clock() - start;
    p->whole.best = seconds < p->whole.best ? seconds : p->whole.best;
}

static void free_peak(struct peak *p)
{
    matmul_peak_clear(&p->whole);
    espi_dense_clear(&p->tiles);
    espi_matmuls_free(p->matmuls);
    free(p->weight);
    free(p->bias);
    free(p->source);
    free(p->target);
}

/* ---- the encoder ---------------------------------------------------------------------------------------------------- */

static double gflop_encoder(const struct bench *b)
{
    const struct espi_config *c = &b->model.config;
    double linear = 2.0 * (double)(4 * c->hidden * c->hidden + 2 * c->hidden * c->intermediate);
    double attention = 4.0 * (double)(b->options.length * c->hidden);
    return 1e-9 * (double)b->batch.tokens * (double)c->layers * (linear + attention);
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void time_encoder(struct bench *b)
{
    require(b->engine->run(b->engine, ctx, &b->batch, &b->wanted) == ESP_OK, "run");
    double end = espi_clock() + b->options.seconds;
    while (b->runs < MAX_RUNS && (b->runs < 5 || espi_clock() < end)) {
        if (b->options.matmul)
            time_peak(&b->peak);
        double start = espi_clock();
        require(b->engine->run(b->engine, ctx, &b->batch, &b->wanted) == ESP_OK, "run");
        b->times[b->runs++] = espi_clock() - start;
    }
    qsort(b->times, b->runs, sizeof *b->times, by_value);
}

/* ---- parts ---------------------------------------------------------------------------------------------------------- */

enum part {
    PART_QKV,
    PART_ATTENTION,
    PART_ATTENTION_OUT,
    PART_FFN_IN,
    PART_FFN_OUT,
    PART_ACTIVATION,
    PART_NORM,
    PART_COUNT
};

static const char *const part_names[PART_COUNT] = {"qkv",     "attention",  "attention_out", "ffn_in",
                                                   "ffn_out", "activation", "layer_norms"};

struct parts {
    const struct bench *bench;
    struct espi_matmuls *matmuls;
    struct espi_dense dense[PART_COUNT];
    float *x, *y, *statistics;
};

static int run_part(struct parts *p, enum part part)
{
    const struct espi_config *c = &p->bench->model.config;
    const struct espi_batch *batch = &p->bench->batch;
    struct espi_attention_pass attention = {.heads = c->heads,
                                            .width = c->hidden / c->heads,
                                            .batch = batch,
                                            .qkv = p->x,
                                            .lse = p->statistics,
                                            .out = p->y};
    switch (part) {
    case PART_ATTENTION:
        return espi_layer_attention_forward(ctx, p->matmuls, &attention);
    case PART_ACTIVATION:
        espi_activation_forward(c->activation, batch->tokens, c->intermediate, p->x, c->intermediate, p->y,
                                c->intermediate);
        return ESP_OK;
    case PART_NORM:
        for (int i = 0; i < 2; i++)
            espi_layer_norm_forward(batch->tokens, c->hidden, 1e-12f, p->x, p->bench->peak.weight, p->bench->peak.bias,
                                    p->y, p->statistics);
        return ESP_OK;
    default:
        return espi_dense_forward(ctx, p->matmuls, &p->dense[part], batch->tokens, p->x, p->bench->peak.bias, p->y);
    }
}

static void init_part(struct parts *p, enum part part, size_t inputs, size_t outputs)
{
    require(espi_dense_init_forward(ctx, p->matmuls, inputs, outputs, &p->dense[part]) == ESP_OK &&
                espi_dense_pack(ctx, p->matmuls, &p->dense[part], p->bench->peak.weight) == ESP_OK,
            "linear layer");
}

/* Milliseconds of all layers, best of several, one thread. */
static void time_parts(const struct bench *b)
{
    const struct espi_config *c = &b->model.config;
    struct parts p = {.bench = b};
    size_t room = espi_matmul_room(b->batch.tokens), wide = 3 * c->hidden + c->intermediate;
    require(espi_matmuls_new(ctx, ESPI_COMPUTE_F32, NULL, &p.matmuls) == ESP_OK, "products");
    require(c->hidden <= PEAK_INPUTS && c->intermediate <= PEAK_OUTPUTS, "--parts is for shapes up to DistilBERT-base");
    init_part(&p, PART_QKV, c->hidden, 3 * c->hidden);
    init_part(&p, PART_ATTENTION_OUT, c->hidden, c->hidden);
    init_part(&p, PART_FFN_IN, c->hidden, c->intermediate);
    init_part(&p, PART_FFN_OUT, c->intermediate, c->hidden);
    p.x = random_floats(room * wide, 1.0f);
    p.y = random_floats(room * wide, 1.0f);
    p.statistics = random_floats(room * (c->heads + 2), 1.0f);
    for (enum part part = 0; part < PART_COUNT; part++) {
        double best = 1e30;
        for (int repeat = 0; repeat < 7; repeat++) {
            double start = espi_clock();
            require(run_part(&p, part) == ESP_OK, part_names[part]);
            double seconds = espi_clock() - start;
            best = seconds < best ? seconds : best;
        }
        printf(", \"%s_ms\": %.3f", part_names[part], 1e3 * best * (double)c->layers);
        espi_dense_clear(&p.dense[part]);
    }
    espi_matmuls_free(p.matmuls);
    free(p.x);
    free(p.y);
    free(p.statistics);
}

static void report(const struct bench *b)
{
    const struct options *o = &b->options;
    double gflop = gflop_encoder(b), median = b->times[b->runs / 2], best = b->times[0];
    double matmul = matmul_peak_gflops(&b->peak.whole);
    printf("{\"engine\": \"espalier fp32\", \"batch\": %zu, \"length\": %zu, \"threads\": %zu, \"runs\": %zu, "
           "\"min_ms\": %.3f, \"median_ms\": %.3f, \"p90_ms\": %.3f, \"gflops\": %.1f, \"best_gflops\": %.1f",
           o->batch, o->length, o->threads, b->runs, 1e3 * best, 1e3 * median, 1e3 * b->times[b->runs * 9 / 10],
           gflop / median, gflop / best);
    if (o->matmul)
        printf(", \"matmul_gflops\": %.1f, \"of_matmul\": %.3f", matmul, gflop / median / matmul);
    if (o->parts)
        time_parts(b);
    printf("}\n");
}

int main(int argc, char **argv)
{
    static struct bench b;
    ctx = esp_context_new();
    parse(argc, argv, &b.options);
    open_model(&b);
    make_batch(&b);
    make_peak(&b.peak);
    double start = espi_clock();
    require(espi_team_new(ctx, b.options.threads, &b.team) == ESP_OK, "team");
    require(espi_network_engine_new(ctx, &b.model.config, &b.model.params, b.team, &b.engine) == ESP_OK, "encoder");
    fprintf(stderr, "bench_encoder: engine made in %.0f ms\n", 1e3 * (espi_clock() - start));
    time_encoder(&b);
    report(&b);
    b.engine->free(b.engine);
    espi_team_free(b.team);
    free_peak(&b.peak);
    espi_checkpoint_clear(&b.model);
    free((void *)(uintptr_t)b.batch.starts);
    free((void *)(uintptr_t)b.batch.ids);
    free(b.wanted.out);
    esp_context_free(ctx);
    return 0;
}
