/* SPDX-License-Identifier: Apache-2.0
 * A question and a passage in, the answer out.
 *   answer MODEL.esp "Who wrote it?" "Ada Lovelace wrote it in 1843." */
#include <espalier.h>

#include <stdio.h>

int main(int argc, char **argv)
{
    if (argc != 4) {
        fprintf(stderr, "usage: answer MODEL.esp QUESTION PASSAGE\n");
        return 2;
    }
    esp_context *context = esp_context_new();
    esp_model *model = NULL;
    esp_session *session = NULL;
    const esp_answer *answer = NULL;
    const esp_input input = {.text = esp_text_of(argv[2]), .pair = esp_text_of(argv[3])};

    int status = esp_model_load(context, argv[1], NULL, &model);
    if (!status)
        status = esp_session_new(context, model, NULL, &session);
    if (!status)
        status = esp_session_answer(context, session, &input, 1, NULL, &answer);
    if (status) {
        fprintf(stderr, "answer: %s\n", esp_last_error(context));
    } else if (answer->status) { // this input alone has no answer
        fprintf(stderr, "answer: %s\n", answer->error);
        status = answer->status;
    } else {
        const esp_item *best = &answer->items[0];
        printf("%s (score %.3f, bytes %zu to %zu of the passage)\n", best->text, best->score, best->byte_begin,
               best->byte_end);
    }
    esp_session_free(session);
    esp_model_free(model);
    esp_context_free(context);
    return status ? 1 : 0;
}
