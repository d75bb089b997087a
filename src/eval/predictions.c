/* SPDX-License-Identifier: Apache-2.0 */
#include "eval/predictions.h"

#include "base/json.h"
#include "base/json_number.h"

#include <stdlib.h>
#include <string.h>

static bool is_task(const struct espi_predictions *predictions, const char *name)
{
    return strcmp(predictions->task->name, name) == 0;
}

int espi_predictions_create(esp_context *ctx, struct espi_predictions *predictions, const struct espi_task *task,
                            const char *path)
{
    *predictions = (struct espi_predictions){.task = task};
    if (is_task(predictions, "mlm"))
        return espi_fail(ctx, ESP_ERR_ARGUMENT,
                         "--save: expected a task with predictions (qa, classify, tag, embed), "
                         "found mlm");
    int status = ESP_OK;
    if (is_task(predictions, "qa"))
        status = espi_json_copy(ctx, NULL, &predictions->answers);
    if (!status)
        status = espi_output_create(ctx, &predictions->output, path);
    if (status)
        espi_predictions_abort(predictions);
    return status ? espi_fail_prefix(ctx, status, "--save") : ESP_OK;
}

static int add_question(esp_context *ctx, struct espi_predictions *predictions, const struct espi_example *example,
                        const struct espi_found *found)
{
    const char *id = json_string_value(example->id);
    if (!id)
        return espi_fail(ctx, ESP_ERR_FORMAT, "--save: question %zu has no id", example->number);
    if (!found) // a question that is not in the file counts as wrong, as it does here
        return ESP_OK;
    const esp_item *item = &found->items[0];
    struct espi_json_writer answer = {.exact = true};
    espi_put_object(&answer, NULL);
    espi_put_text(&answer, id, item->text, item->text_bytes);
    espi_put_object_end(&answer);
    return espi_json_update(ctx, predictions->answers, &answer); // of two questions with one id the later one counts
}

int espi_predictions_add(esp_context *ctx, struct espi_predictions *predictions, const struct espi_example *example,
                         const struct espi_found *found)
{
    if (predictions->answers)
        return add_question(ctx, predictions, example, found);
    FILE *stream = predictions->output.stream;
    bool tags = is_task(predictions, "tag");
    for (size_t i = 0; !found && i < example->word_count; i++) // a sentence keeps its place
        fputs("O\n", stream);
    for (size_t i = 0; found && i < found->count; i++) {
        char number[ESPI_NUMBER_BYTES];
        if (i && !tags)
            putc(',', stream);
        if (found->items[i].label)
            fputs(found->items[i].label, stream);
        else
            fwrite(number, 1, espi_format_double(number, found->items[i].score), stream);
        if (tags)
            putc('\n', stream);
    }
    putc('\n', stream); // ends the line, or with tags the sentence
    return ESP_OK;
}

int espi_predictions_commit(esp_context *ctx, struct espi_predictions *predictions)
{
    int status = ESP_OK;
    if (predictions->answers)
        status = espi_json_print(ctx, predictions->answers, false, predictions->output.stream);
    if (!status)
        status = espi_output_commit(ctx, &predictions->output);
    espi_predictions_abort(predictions);
    return status;
}

void espi_predictions_abort(struct espi_predictions *predictions)
{
    json_decref(predictions->answers);
    espi_output_abort(&predictions->output);
    *predictions = (struct espi_predictions){0};
}
