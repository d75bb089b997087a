/* SPDX-License-Identifier: Apache-2.0
 * Token ids of your own tokenizer in, numbers out: a sequence an argument, all of them in one batch without padding. The
 * numbers are what the model's head gives, for a bare encoder the sentence embedding.
 *   raw_logits MODEL.esp 101,2040,2626,2009,102 101,7592,102 */
#include <espalier.h>

#include <stdio.h>
#include <stdlib.h>

enum { MOST_TOKENS = 4096, MOST_SEQUENCES = 256 };

/* The batch points to these. */
static uint32_t starts[MOST_SEQUENCES + 1];
static int32_t ids[MOST_TOKENS];
static uint32_t positions[MOST_TOKENS];

static int read_batch(char **arguments, int count, esp_batch *batch)
{
    *batch = (esp_batch){.starts = starts, .ids = ids, .positions = positions};
    for (int i = 0; i < count; i++) {
        char *end = arguments[i];
        do {
            if (batch->tokens == MOST_TOKENS || batch->sequences == MOST_SEQUENCES)
                return -1;
            positions[batch->tokens] = (uint32_t)batch->tokens; // MLM: every token is wanted
            ids[batch->tokens++] = (int32_t)strtol(end, &end, 10);
        } while (*end++ == ',');
        if (end[-1])
            return -1;
        starts[++batch->sequences] = (uint32_t)batch->tokens;
    }
    batch->position_count = batch->tokens;
    return 0;
}

static esp_output output_of(const esp_model *model)
{
    switch (esp_model_get_facts(model)->task) {
    case ESP_TASK_QA: // the logits of the answer's start and end, a pair for each token
    case ESP_TASK_TAG:
        return ESP_OUTPUT_TOKEN_LOGITS;
    case ESP_TASK_CLASSIFY:
        return ESP_OUTPUT_SEQUENCE_LOGITS;
    case ESP_TASK_MLM:
        return ESP_OUTPUT_VOCAB_LOGITS;
    default:
        return ESP_OUTPUT_EMBEDDING;
    }
}

int main(int argc, char **argv)
{
    esp_batch batch;
    if (argc < 3 || read_batch(argv + 2, argc - 2, &batch)) {
        fprintf(stderr, "usage: raw_logits MODEL.esp ID,ID,... [ID,ID,...]\n");
        return 2;
    }
    esp_context *context = esp_context_new();
    esp_model *model = NULL;
    esp_session *session = NULL;
    float *out = NULL;
    size_t size = 0;
    int status = esp_model_load(context, argv[1], NULL, &model);
    if (!status)
        status = esp_session_new(context, model, NULL, &session);
    if (!status) {
        size = esp_output_size(model, &batch, output_of(model));
        out = calloc(size, sizeof *out);
        status = esp_session_run(context, session, &batch, output_of(model), out, size);
    }
    if (status)
        fprintf(stderr, "raw_logits: %s\n", esp_last_error(context));
    for (size_t i = 0; i < size && !status; i++)
        printf("%.6g\n", (double)out[i]);
    free(out);
    esp_session_free(session);
    esp_model_free(model);
    esp_context_free(context);
    return status ? 1 : 0;
}
