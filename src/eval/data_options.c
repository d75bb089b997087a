/* SPDX-License-Identifier: Apache-2.0 */
#include "eval/data_options.h"

#define SAME(a, b)                                                                                                     \
    _Static_assert((int)(a) == (int)(b), "the numbers of espalier_create.h are those of the layers below")
SAME(ESP_FORMAT_JSONL, ESPI_FORMAT_JSONL);
SAME(ESP_PACK_LINE, ESPI_PACK_LINE);
SAME(ESP_SCORES_RAW, ESPI_FUNCTION_NONE);

struct espi_task_options espi_data_task_options(const esp_data_options *o)
{
    return (struct espi_task_options){.evaluate = true,
                                      .max_length = o->max_length,
                                      .length_strict = o->max_length > 0,
                                      .stride = o->stride,
                                      .no_stride = o->no_stride,
                                      .max_question_length = o->max_question_length,
                                      .max_answer_length = o->max_answer_length,
                                      .n_best = o->n_best,
                                      .handle_impossible = o->may_be_empty,
                                      .null_threshold = o->null_threshold,
                                      .function = (enum espi_function)o->scores,
                                      .format = (enum espi_format)o->format,
                                      .text_column = o->text_column,
                                      .pair_column = o->pair_column,
                                      .label_column = o->label_column,
                                      .word_column = o->word_column,
                                      .pack = (enum espi_pack)o->pack,
                                      .mask_probability = o->mask_probability,
                                      .seed = o->seed};
}

const struct espi_task *espi_data_task(const esp_data_options *options)
{
    return options->task ? espi_task_find(esp_task_name(options->task)) : NULL;
}

int espi_data_options_check(esp_context *ctx, const esp_data_options *o)
{
    if (o->task > ESP_TASK_MLM || o->scores > ESP_SCORES_RAW || o->format > ESP_FORMAT_JSONL || o->pack > ESP_PACK_LINE)
        return espi_fail(ctx, ESP_ERR_ARGUMENT, "esp_data_options: unknown task %d, scores %d, format %d or pack %d",
                         (int)o->task, (int)o->scores, (int)o->format, (int)o->pack);
    if (!(o->mask_probability >= 0 && o->mask_probability <= 1))
        return espi_fail(ctx, ESP_ERR_ARGUMENT, "--mask-probability: expected a number from 0 to 1, found %g",
                         o->mask_probability);
    int status = ESPI_RESERVED_CHECK(ctx, "esp_data_options", o, reserved);
    return status;
}
