/* SPDX-License-Identifier: Apache-2.0 */
#include "create/vocab/vocab_files.h"

#include "base/file.h"

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
