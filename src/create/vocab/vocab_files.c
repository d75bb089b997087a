/* SPDX-License-Identifier: Apache-2.0 */
#include "create/vocab/vocab_files.h"

#include "base/call.h"

static int add_file(esp_context *ctx, struct espi_vocab_trainer *trainer, const char *path,
                    struct espi_progress *progress)
{
    struct espi_lines lines;
    int status = espi_lines_open(ctx, path, &lines);
    while (!status) {
        status = espi_watch_stops(&progress->watch) ? espi_fail(ctx, ESP_ERR_CANCELLED, "interrupted")
                                                    : espi_lines_next(ctx, &lines);
        if (status <= 0)
            break;
        status = espi_vocab_trainer_add(ctx, trainer, lines.text, lines.length);
        espi_progress_update(progress, progress->done + 1, NULL);
    }
    espi_lines_close(&lines);
    return status;
}

static int add_files(esp_context *ctx, struct espi_vocab_trainer *trainer, const char *const *texts, size_t text_count,
                     const struct espi_watch *watch)
{
    struct espi_progress progress = {.watch = *watch, .label = "vocab: reading", .unit = "lines"};
    espi_progress_update(&progress, 0, NULL);
    for (size_t i = 0; i < text_count; i++) {
        int status = add_file(ctx, trainer, texts[i], &progress);
        if (status)
            return status;
    }
    espi_progress_end(&progress, NULL);
    return espi_vocab_trainer_words(trainer) ? ESP_OK
                                             : espi_fail(ctx, ESP_ERR_FORMAT, "%s: expected text, found no words",
                                                         text_count ? texts[0] : "vocabulary");
}

int espi_vocab_train_files(esp_context *ctx, const struct espi_vocab_options *options, const char *const *texts,
                           size_t text_count, const struct espi_watch *watch, const char *directory)
{
    struct espi_vocab_trainer *trainer;
    struct espi_progress progress = {
        .watch = *watch, .label = "vocab: merging", .unit = "tokens", .total = options->size};
    int status = espi_output_dir_check(ctx, directory);
    if (!status)
        status = espi_vocab_trainer_new(ctx, options, &trainer);
    if (status)
        return status;
    status = add_files(ctx, trainer, texts, text_count, watch);
    if (!status)
        status = espi_vocab_trainer_train(ctx, trainer, &progress);
    if (!status)
        status = espi_vocab_trainer_write(ctx, trainer, directory);
    espi_vocab_trainer_free(trainer);
    return status;
}

#define SAME(a, b)                                                                                                     \
    _Static_assert((int)(a) == (int)(b), "the numbers of espalier_create.h are those of the layers below")
SAME(ESP_VOCABULARY_WORDPIECE, ESPI_VOCAB_WORDPIECE);
SAME(ESP_VOCABULARY_UNIGRAM, ESPI_VOCAB_UNIGRAM);

enum { FEWEST_TOKENS = 6, MOST_TOKENS = 1 << 24 };

static int check(esp_context *ctx, const esp_vocabulary_options *o)
{
    int status = ESPI_RESERVED_CHECK(ctx, "esp_vocabulary_options", o, reserved);
    if (!status)
        status = ESPI_RESERVED_CHECK(ctx, "esp_watch", &o->watch, reserved);
    if (!status && (!o->texts || !o->text_count || !o->output))
        status = espi_fail(ctx, ESP_ERR_ARGUMENT, "esp_vocabulary_train: texts or output are NULL");
    if (!status && o->model > ESP_VOCABULARY_UNIGRAM)
        status = espi_fail(ctx, ESP_ERR_ARGUMENT, "esp_vocabulary_train: unknown model %d", (int)o->model);
    if (!status && o->size && (o->size < FEWEST_TOKENS || o->size > MOST_TOKENS))
        status = espi_fail(ctx, ESP_ERR_ARGUMENT, "--size: expected a whole number from %d to %d, found %zu",
                           FEWEST_TOKENS, MOST_TOKENS, o->size);
    return status;
}

int esp_vocabulary_train(esp_context *context, const esp_vocabulary_options *o)
{
    if (!o)
        return espi_fail(context, ESP_ERR_ARGUMENT, "esp_vocabulary_train: options is NULL");
    struct espi_call call;
    struct espi_vocab_options vocab;
    espi_vocab_options_default(&vocab);
    int status = espi_call_begin(&call, context);
    if (!status)
        status = check(call.ctx, o);
    vocab.model = (enum espi_vocab_model)o->model;
    vocab.size = o->size ? o->size : vocab.size;
    vocab.min_frequency = o->min_frequency ? o->min_frequency : vocab.min_frequency;
    if (o->limit_alphabet)
        vocab.limit_alphabet = o->limit_alphabet == ESP_ALL ? 0 : o->limit_alphabet;
    vocab.lowercase = !o->cased;
    vocab.strip_accents = o->keep_accents ? 0 : o->strip_accents ? 1 : -1;
    const struct espi_watch watch = espi_watch_of(&o->watch);
    if (!status)
        status = espi_vocab_train_files(call.ctx, &vocab, o->texts, o->text_count, &watch, o->output);
    return espi_call_end(&call, status);
}
