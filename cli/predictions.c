/* SPDX-License-Identifier: Apache-2.0 */
#include "predictions.h"

#include "base/json.h"
#include "base/size.h"

#include <stdlib.h>
#include <string.h>

static bool is_task(const struct cli_predictions *predictions, const char *name)
{
    return strcmp(predictions->task->name, name) == 0;
}

int cli_predictions_create(esp_context *ctx, struct cli_predictions *predictions, const struct espi_task *task,
                           const char *path)
{
    *predictions = (struct cli_predictions){.task = task};
    if (is_task(predictions, "mlm"))
        return espi_fail(ctx, ESP_ERR_ARGUMENT,
                         "--save: expected a task with predictions (qa, classify, tag, embed), "
                         "found mlm");
    if (is_task(predictions, "qa") && !(predictions->answers = json_object()))
        return espi_fail_memory(ctx, sizeof(json_t));
    int status = espi_output_create(ctx, &predictions->output, path);
    if (status)
        cli_predictions_abort(predictions);
    return status;
}

static int add_question(esp_context *ctx, struct cli_predictions *predictions, const struct espi_example *example,
                        const json_t *answer)
{
    const char *id = json_string_value(example->id);
    if (!id)
        return espi_fail(ctx, ESP_ERR_FORMAT, "--save: question %zu has no id", example->number);
    if (!answer) // a question that is not in the file counts as wrong, as it does here
        return ESP_OK;
    return json_object_set(predictions->answers, id, json_object_get(answer, "answer"))
               ? espi_fail_memory(ctx, strlen(id))
               : ESP_OK;
}

/* A value as text in the file: a string as it is, a number in a short form that reads back as the same number. */
static void print_value(const json_t *value, FILE *stream)
{
    char text[32];
    if (json_is_string(value)) {
        fputs(json_string_value(value), stream);
    } else if (json_is_number(value)) {
        double number = json_number_value(value);
        snprintf(text, sizeof text, "%.9g", number);
        fprintf(stream, "%.*g", strtod(text, NULL) == number ? 9 : 17, number);
    }
}

int cli_predictions_add(esp_context *ctx, struct cli_predictions *predictions, const struct espi_example *example,
                        const json_t *answer)
{
    if (predictions->answers)
        return add_question(ctx, predictions, example, answer);
    FILE *stream = predictions->output.stream;
    size_t i;
    for (i = 0; !answer && i < example->word_count; i++) // a sentence keeps its place
        fputs("O\n", stream);
    json_t *value, *list = json_object_get(answer, is_task(predictions, "tag") ? "tags" : "labels");
    json_array_foreach(list, i, value)
    {
        if (i && !is_task(predictions, "tag"))
            putc(',', stream);
        print_value(value, stream);
        if (is_task(predictions, "tag"))
            putc('\n', stream);
    }
    static const char *const members[] = {"label", "similarity", "score"}; // the first one there is the prediction
    for (i = 0; i < ESPI_COUNT(members); i++)
        if (json_object_get(answer, members[i])) {
            print_value(json_object_get(answer, members[i]), stream);
            break;
        }
    putc('\n', stream); // ends the line, or with tags the sentence
    return ESP_OK;
}

int cli_predictions_commit(esp_context *ctx, struct cli_predictions *predictions)
{
    int status = ESP_OK;
    if (predictions->answers)
        status = espi_json_print(ctx, predictions->answers, false, predictions->output.stream);
    if (!status)
        status = espi_output_commit(ctx, &predictions->output);
    cli_predictions_abort(predictions);
    return status;
}

void cli_predictions_abort(struct cli_predictions *predictions)
{
    json_decref(predictions->answers);
    espi_output_abort(&predictions->output);
    *predictions = (struct cli_predictions){0};
}
