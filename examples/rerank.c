/* SPDX-License-Identifier: Apache-2.0
 * Orders the lines of standard input by how close their meaning is to a query: cosine of sentence embeddings.
 *   rerank MODEL.esp "how do I return an item" < passages.txt */
#include <espalier.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_LINES = 1000, LINE_BYTES = 4096 };

struct line {
    char text[LINE_BYTES];
    double similarity;
};

static double cosine(const float *x, const float *y, size_t count)
{
    double xx = 0, yy = 0, xy = 0;
    for (size_t i = 0; i < count; i++) {
        xx += (double)x[i] * (double)x[i];
        yy += (double)y[i] * (double)y[i];
        xy += (double)x[i] * (double)y[i];
    }
    return xx > 0 && yy > 0 ? xy / sqrt(xx * yy) : 0;
}

static int closer(const void *a, const void *b)
{
    double x = ((const struct line *)a)->similarity, y = ((const struct line *)b)->similarity;
    return (x < y) - (x > y);
}

/* Reads the lines; the query stands in front of them in `inputs`. */
static size_t read_lines(struct line *lines, esp_input *inputs)
{
    size_t count = 0;
    while (count < MOST_LINES && fgets(lines[count].text, LINE_BYTES, stdin)) {
        lines[count].text[strcspn(lines[count].text, "\r\n")] = 0;
        inputs[1 + count] = (esp_input){.text = esp_text_of(lines[count].text)};
        count += lines[count].text[0] != 0;
    }
    return count;
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: rerank MODEL.esp QUERY < LINES\n");
        return 2;
    }
    struct line *lines = calloc(MOST_LINES, sizeof *lines);
    esp_input *inputs = calloc(MOST_LINES + 1, sizeof *inputs);
    if (!lines || !inputs)
        return 1;
    inputs[0] = (esp_input){.text = esp_text_of(argv[2])};
    size_t count = read_lines(lines, inputs);

    esp_context *context = esp_context_new();
    esp_model *model = NULL;
    esp_session *session = NULL;
    const esp_answer *answers = NULL;
    const esp_answer_options options = {.task = ESP_TASK_EMBED};
    int status = esp_model_load(context, argv[1], NULL, &model);
    if (!status)
        status = esp_session_new(context, model, NULL, &session);
    if (!status)
        status = esp_session_answer(context, session, inputs, 1 + count, &options, &answers);
    if (!status && answers[0].status) {
        fprintf(stderr, "rerank: the query: %s\n", answers[0].error);
        status = answers[0].status;
    } else if (status) {
        fprintf(stderr, "rerank: %s\n", esp_last_error(context));
    }
    for (size_t i = 0; i < count && !status; i++)
        lines[i].similarity = answers[1 + i].status ? -1 // not UTF-8, for one: last
                                                    : cosine(answers[0].embedding, answers[1 + i].embedding,
                                                             esp_model_get_facts(model)->hidden);
    if (!status)
        qsort(lines, count, sizeof *lines, closer);
    for (size_t i = 0; i < count && !status; i++)
        printf("%.4f %s\n", lines[i].similarity, lines[i].text);
    esp_session_free(session);
    esp_model_free(model);
    esp_context_free(context);
    free(inputs);
    free(lines);
    return status ? 1 : 0;
}
