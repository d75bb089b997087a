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
#include "create/encoder.h"
#include "create/layers/layers.h"
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
    struct espi_products *products; // one thread
    struct espi_linear tiles;
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
    require(espi_products_new(ctx, NULL, false, &p->products) == ESP_OK, "products");
    require(espi_linear_init(ctx, p->products, PEAK_INPUTS, PEAK_OUTPUTS, p->weight, p->bias, &p->tiles) == ESP_OK &&
                matmul_peak_new(ctx, ESPI_COMPUTE_F32, 1, &p->whole) == ESP_OK,
            "matmul");
}

/* The better of both is left in whole.best. */
static void time_peak(struct peak *p)
{
    require(matmul_peak_time(ctx, &p->whole) == ESP_OK, "matmul");
    double start = espi_clock();
    require(espi_linear_forward(ctx, p->products, &p->tiles, PEAK_ROWS, p->source, NULL, p->target) == ESP_OK,
            "matmul");
    double seconds = espi_clock() - start;
    p->whole.best = seconds < p->whole.best ? seconds : p->whole.best;
}

static void free_peak(struct peak *p)
{
    matmul_peak_clear(&p->whole);
    espi_linear_clear(&p->tiles);
    espi_products_free(p->products);
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
    PART_SOFTMAX,
    PART_ATTENTION_OUT,
    PART_FFN_IN,
    PART_FFN_OUT,
    PART_ACTIVATION,
    PART_NORM,
    PART_COUNT
};

static const char *const part_names[PART_COUNT] = {"qkv",
                                                   "attention",
                                                   "softmax_in_attention",
                                                   "attention_out",
                                                   "ffn_in_with_activation",
                                                   "ffn_out",
                                                   "activation_in_ffn_in",
                                                   "layer_norms"};

struct parts {
    const struct bench *bench;
    struct espi_products *products;
    struct espi_linear linear[PART_COUNT];
    float *x, *y, *scores;
};

static int run_attention(void *argument, size_t index, size_t thread)
{
    (void)thread;
    struct parts *p = argument;
    const struct espi_config *c = &p->bench->model.config;
    size_t length = p->bench->options.length;
    struct espi_attention_shape shape = {.tokens = length,
                                         .heads = c->heads,
                                         .width = c->hidden / c->heads,
                                         .qkv = p->x + index * length * 3 * c->hidden,
                                         .out = p->y + index * length * c->hidden};
    int status = ESP_OK;
    for (size_t head = 0; head < c->heads; head++)
        for (size_t first = 0; first < length && !status; first += ESPI_ATTENTION_ROWS) {
            size_t rows = length - first < ESPI_ATTENTION_ROWS ? length - first : ESPI_ATTENTION_ROWS;
            status = espi_attention_forward(&shape, head, first, rows, p->scores);
        }
    return status;
}

static int run_part(struct parts *p, enum part part)
{
    const struct espi_config *c = &p->bench->model.config;
    size_t tokens = p->bench->batch.tokens, length = p->bench->options.length;
    bool active = part == PART_FFN_IN;
    switch (part) {
    case PART_ATTENTION:
        return espi_products_run(ctx, p->products, p->bench->options.batch, run_attention, p);
    case PART_SOFTMAX:
        for (size_t i = 0; i < c->heads * tokens; i++)
            espi_softmax_forward(1, length, p->scores + i % ESPI_ATTENTION_ROWS * length);
        return ESP_OK;
    case PART_ACTIVATION:
        espi_activation_forward(c->activation, tokens, c->intermediate, p->x, c->intermediate, p->y, c->intermediate);
        return ESP_OK;
    case PART_NORM:
        for (int i = 0; i < 2; i++)
            espi_layer_norm_forward(tokens, c->hidden, 1e-12f, p->x, p->y, p->bench->peak.weight, p->bench->peak.bias,
                                    p->y);
        return ESP_OK;
    default:
        return espi_linear_forward(ctx, p->products, &p->linear[part], tokens, p->x, active ? &c->activation : NULL,
                                   p->y);
    }
}

static void init_part(struct parts *p, enum part part, size_t inputs, size_t outputs)
{
    require(espi_linear_init(ctx, p->products, inputs, outputs, p->bench->peak.weight, p->bench->peak.bias,
                             &p->linear[part]) == ESP_OK,
            "linear layer");
}

/* Milliseconds of all layers, best of several, one thread. */
static void time_parts(const struct bench *b)
{
    const struct espi_config *c = &b->model.config;
    struct parts p = {.bench = b};
    size_t room = espi_linear_room(b->batch.tokens), wide = 3 * c->hidden + c->intermediate;
    require(espi_products_new(ctx, NULL, false, &p.products) == ESP_OK, "products");
    require(c->hidden <= PEAK_INPUTS && c->intermediate <= PEAK_OUTPUTS, "--parts is for shapes up to DistilBERT-base");
    init_part(&p, PART_QKV, c->hidden, 3 * c->hidden);
    init_part(&p, PART_ATTENTION_OUT, c->hidden, c->hidden);
    init_part(&p, PART_FFN_IN, c->hidden, c->intermediate);
    init_part(&p, PART_FFN_OUT, c->intermediate, c->hidden);
    p.x = random_floats(room * wide, 1.0f);
    p.y = random_floats(room * wide, 1.0f);
    p.scores = random_floats(ESPI_ATTENTION_ROWS * b->options.length, 1.0f);
    for (enum part part = 0; part < PART_COUNT; part++) {
        double best = 1e30;
        for (int repeat = 0; repeat < 7; repeat++) {
            double start = espi_clock();
            require(run_part(&p, part) == ESP_OK, part_names[part]);
            double seconds = espi_clock() - start;
            best = seconds < best ? seconds : best;
        }
        printf(", \"%s_ms\": %.3f", part_names[part], 1e3 * best * (double)c->layers);
        espi_linear_clear(&p.linear[part]);
    }
    espi_products_free(p.products);
    free(p.x);
    free(p.y);
    free(p.scores);
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
    require(espi_encoder_new(ctx, &b.model.config, &b.model.params, b.team, &b.engine) == ESP_OK, "encoder");
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
