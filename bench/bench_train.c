/* SPDX-License-Identifier: Apache-2.0
 * Speed of fine-tuning: steps of the trainer (question answering, dropout, clipping, AdamW) on a named config with random
 * weights and made-up text.
 *
 *   bench_train [--config NAME] [--batch B] [--length L] [--shortest L] [--threads T] [--steps N]
 *               [--compute fp32|bf16] [--matmul 0]
 *
 * Prints one JSON line: medians of the steps and of their parts. Sequences have --length tokens, with --shortest from so
 * many on evenly. Between the steps the same process times oneDNN's matmul alone on as many threads (1024 x 768 x 3072);
 * --matmul 0 leaves that out. `gflops` counts the products of the encoder, forward and twice that backward; `busy` is the
 * share of the threads' time on a processor. */
#include "base/file.h"
#include "base/random.h"
#include "base/size.h"
#include "create/train/trainer_private.h"
#include "matmul_peak.h"

#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { VOCABULARY = 30522, QUESTION = 8, MAX_STEPS = 10000, MAX_BATCH = 4096 };

struct options {
    const char *config;
    size_t batch, length, shortest, threads, steps, matmul;
    enum espi_compute compute;
};

struct bench {
    struct options options;
    char directory[64], data[ESPI_PATH_BYTES], vocabulary[ESPI_PATH_BYTES];
    struct espi_train_options train;
    struct espi_train_run run;
    struct espi_trainer trainer;
    struct matmul_peak peak;
    double times[ESPI_PART_COUNT + 1][MAX_STEPS]; // the last: of the whole step
    double tokens, gflop;                         // of all timed steps
    double seconds, busy;                         // of all timed steps: on the clock, and of processors
};

static struct bench bench = {.directory = "/tmp/bench_train.XXXXXX"};

static const char *const part_names[ESPI_PART_COUNT] = {"forward", "loss", "backward", "update", "pack"};

static esp_context *ctx;

static void require(bool good, const char *what)
{
    if (good)
        return;
    fprintf(stderr, "bench_train: %s: %s\n", what, esp_last_error(ctx));
    exit(1);
}

static void require_usage(bool good, const char *expected)
{
    if (good)
        return;
    fprintf(stderr, "bench_train: expected %s\n", expected);
    exit(2);
}

static size_t parse_number(const char *text)
{
    char *end;
    unsigned long value = strtoul(text, &end, 10);
    require_usage(text[0] >= '0' && text[0] <= '9' && !*end, "whole numbers");
    return value;
}

static void parse(int argc, char **argv, struct options *o)
{
    *o = (struct options){
        .config = "distilbert-base", .batch = 16, .length = 128, .threads = 2, .steps = 10, .matmul = 1};
    for (int i = 1; i < argc; i += 2) {
        const char *name = argv[i], *value = i + 1 < argc ? argv[i + 1] : NULL;
        size_t *number = strcmp(name, "--batch") == 0      ? &o->batch
                         : strcmp(name, "--length") == 0   ? &o->length
                         : strcmp(name, "--shortest") == 0 ? &o->shortest
                         : strcmp(name, "--threads") == 0  ? &o->threads
                         : strcmp(name, "--steps") == 0    ? &o->steps
                         : strcmp(name, "--matmul") == 0   ? &o->matmul
                                                           : NULL;
        if (value && number)
            *number = parse_number(value);
        else if (value && strcmp(name, "--config") == 0)
            o->config = value;
        else if (value && strcmp(name, "--compute") == 0 && (!strcmp(value, "fp32") || !strcmp(value, "bf16")))
            o->compute = strcmp(value, "bf16") == 0 ? ESPI_COMPUTE_BF16 : ESPI_COMPUTE_F32;
        else
            require_usage(false, "[--config NAME] [--batch B] [--length L] [--shortest L] [--threads T] [--steps N] "
                                 "[--compute fp32|bf16] [--matmul 0]");
    }
    o->shortest = o->shortest ? o->shortest : o->length;
    require_usage(o->batch > 0 && o->batch <= MAX_BATCH, "--batch from 1 to 4096");
    require_usage(o->threads > 0 && o->threads <= PEAK_THREADS, "--threads from 1 to 64");
    require_usage(o->steps > 0 && o->steps <= MAX_STEPS, "--steps from 1 to 10000");
    require_usage(o->shortest >= QUESTION + 4 && o->length >= o->shortest && o->length <= 512,
                  "--length and --shortest from 12 to 512, --shortest the smaller one");
}

/* ---- data --------------------------------------------------------------------------------------------------------------- */

/* Words w0, w1, … are a token each. */
static void write_vocabulary(struct bench *b)
{
    require(espi_path_join(ctx, b->vocabulary, b->directory, "vocab.txt") == ESP_OK, "path");
    FILE *file = fopen(b->vocabulary, "w");
    require(file != NULL, b->vocabulary);
    fputs("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n", file);
    for (int word = 5; word < VOCABULARY; word++)
        fprintf(file, "w%d\n", word);
    require(fclose(file) == 0, b->vocabulary);
}

static void write_words(FILE *file, size_t count, struct espi_random *random)
{
    for (size_t i = 0; i < count; i++)
        fprintf(file, "%sw%zu", i ? " " : "", (size_t)5 + espi_random_below(random, VOCABULARY - 5));
}

/* Questions of QUESTION words; the answer is the first word of its passage. */
static void write_data(struct bench *b)
{
    const struct options *o = &b->options;
    struct espi_random random = {.seed = 1};
    require(espi_path_join(ctx, b->data, b->directory, "train.json") == ESP_OK, "path");
    FILE *file = fopen(b->data, "w");
    require(file != NULL, b->data);
    fputs("{\"version\": \"1.1\", \"data\": [{\"title\": \"t\", \"paragraphs\": [", file);
    for (size_t i = 0; i < 4 * o->batch; i++) {
        size_t length = o->shortest + (i * 7 + 3) % (o->length - o->shortest + 1);
        fprintf(file, "%s\n{\"context\": \"first ", i ? "," : "");
        write_words(file, length - QUESTION - 4, &random);
        fputs("\", \"qas\": [{\"question\": \"", file);
        write_words(file, QUESTION, &random);
        fprintf(file, "\", \"id\": \"%zu\", \"answers\": [{\"text\": \"first\", \"answer_start\": 0}]}]}", i);
    }
    fputs("]}]}\n", file);
    require(fclose(file) == 0, b->data);
}

/* At the end, whichever it is. */
static void remove_files(void)
{
    unlink(bench.vocabulary);
    unlink(bench.data);
    rmdir(bench.directory);
}

/* ---- steps -------------------------------------------------------------------------------------------------------------- */

static void open_trainer(struct bench *b)
{
    const struct options *o = &b->options;
    espi_train_options_default(&b->train);
    b->train.task = "qa";
    b->train.train = (struct espi_text_list){.items = {b->data}, .count = 1};
    b->train.init = o->config;
    b->train.tokenizer = b->directory;
    b->train.max_length = o->length;
    b->train.max_steps = o->steps + 2;
    b->train.batch_size = o->batch;
    b->train.learning_rate = 1e-5;
    b->train.dropout = 0.1;
    b->train.threads = o->threads;
    b->train.compute = o->compute == ESPI_COMPUTE_BF16 ? 2 : 1;
    b->trainer.options = &b->train;
    b->trainer.run = &b->run;
    require(espi_trainer_open(ctx, &b->trainer) == ESP_OK, "trainer");
}

static double gflop_step(const struct bench *b)
{
    const struct espi_config *c = &b->trainer.model.checkpoint.config;
    double tokens = (double)b->trainer.tokens, length = 0.5 * (double)(b->options.length + b->options.shortest);
    double linear = 2.0 * (double)(4 * c->hidden * c->hidden + 2 * c->hidden * c->intermediate);
    return 3e-9 * tokens * (double)c->layers * (linear + 4.0 * length * (double)c->hidden);
}

static double cpu_seconds(void)
{
    struct rusage usage;
    require(getrusage(RUSAGE_SELF, &usage) == 0, "getrusage");
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           1e-6 * (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

static void run_steps(struct bench *b)
{
    struct espi_trainer *t = &b->trainer;
    for (size_t step = 0; step < b->options.steps + 1; step++) { // the first one makes the products
        for (int i = 0; b->options.matmul && i < 3; i++)
            require(matmul_peak_time(ctx, &b->peak) == ESP_OK, "matmul");
        memset(t->seconds, 0, sizeof t->seconds);
        double start = espi_clock(), busy = cpu_seconds();
        require(espi_trainer_step(ctx, t) == ESP_OK, "step");
        double seconds = espi_clock() - start;
        if (step == 0)
            continue;
        for (size_t part = 0; part < ESPI_PART_COUNT; part++)
            b->times[part][step - 1] = t->seconds[part];
        b->times[ESPI_PART_COUNT][step - 1] = seconds;
        b->tokens += (double)t->tokens;
        b->gflop += gflop_step(b);
        b->seconds += seconds;
        b->busy += cpu_seconds() - busy;
    }
}

/* ---- report ------------------------------------------------------------------------------------------------------------- */

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median_ms(struct bench *b, size_t part)
{
    size_t count = b->options.steps;
    qsort(b->times[part], count, sizeof(double), by_value);
    return 500 * (b->times[part][(count - 1) / 2] + b->times[part][count / 2]);
}

static size_t peak_mb(void)
{
    struct rusage usage;
    require(getrusage(RUSAGE_SELF, &usage) == 0, "getrusage");
    return (size_t)usage.ru_maxrss / 1024;
}

static void report(struct bench *b)
{
    const struct options *o = &b->options;
    double median = median_ms(b, ESPI_PART_COUNT), steps = (double)o->steps;
    double gflops = 1e3 * b->gflop / steps / median;
    printf("{\"engine\": \"espalier %s\", \"config\": \"%s\", \"batch\": %zu, \"length\": %zu, \"shortest\": %zu, "
           "\"threads\": %zu, \"steps\": %zu",
           o->compute == ESPI_COMPUTE_BF16 ? "bf16" : "fp32", o->config, o->batch, o->length, o->shortest, o->threads,
           o->steps);
    for (size_t part = 0; part < ESPI_PART_COUNT; part++)
        printf(", \"%s_ms\": %.2f", part_names[part], median_ms(b, part));
    printf(", \"median_ms\": %.2f, \"min_ms\": %.2f, \"tokens_per_s\": %.0f, \"gflops\": %.1f", median,
           1e3 * b->times[ESPI_PART_COUNT][0], 1e3 * b->tokens / steps / median, gflops);
    printf(", \"busy\": %.3f", b->busy / b->seconds / (double)o->threads);
    if (o->matmul)
        printf(", \"matmul_gflops\": %.1f, \"of_matmul\": %.3f", matmul_peak_gflops(&b->peak),
               gflops / matmul_peak_gflops(&b->peak));
    printf(", \"loss\": %.4f, \"peak_mb\": %zu}\n", espi_trainer_loss(&b->trainer), peak_mb());
}

int main(int argc, char **argv)
{
    struct bench *b = &bench;
    ctx = esp_context_new();
    parse(argc, argv, &b->options);
    require(mkdtemp(b->directory) != NULL, b->directory);
    atexit(remove_files);
    write_vocabulary(b);
    write_data(b);
    open_trainer(b);
    if (b->options.matmul)
        require(matmul_peak_new(ctx, b->options.compute, b->options.threads, &b->peak) == ESP_OK, "matmul");
    run_steps(b);
    report(b);
    if (b->options.matmul)
        matmul_peak_clear(&b->peak);
    espi_trainer_close(&b->trainer);
    esp_context_free(ctx);
    return 0;
}
