/* SPDX-License-Identifier: Apache-2.0
 * How a service answers many requests at once: one model, a thread for each core, and of every thread a session of one
 * thread and a context of its own. Each thread takes the next text from the list; the answers come out in order.
 *   threads MODEL.esp 4 < texts.txt          a text a line; QA: question TAB passage */
#include <espalier.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_TEXTS = 10000, MOST_THREADS = 64, LINE_BYTES = 8192 };

/* What the threads share: all of it is only read, but for `next` and each thread's own answers. */
struct service {
    const esp_model *model;
    char *texts[MOST_TEXTS];
    char *answers[MOST_TEXTS]; // JSON
    size_t count;
    atomic_size_t next;
};

/* Answers one text; the caller frees the result. */
static char *answer(esp_context *context, esp_session *session, char *text)
{
    const esp_answer_options options = {.json = true};
    const esp_answer *answers;
    char *tab = strchr(text, '\t');
    esp_input input = {.text = {text, tab ? (size_t)(tab - text) : strlen(text)}};
    if (tab)
        input.pair = esp_text_of(tab + 1);
    if (esp_session_answer(context, session, &input, 1, &options, &answers))
        return strdup(esp_last_error(context));
    return strdup(answers->status ? answers->error : answers->json);
}

static void *work(void *argument)
{
    struct service *service = argument;
    const esp_session_options options = {.threads = 1};
    esp_context *context = esp_context_new();
    esp_session *session;
    if (esp_session_new(context, service->model, &options, &session) == ESP_OK) {
        for (size_t i; (i = atomic_fetch_add(&service->next, 1)) < service->count;)
            service->answers[i] = answer(context, session, service->texts[i]);
        esp_session_free(session);
    } else {
        fprintf(stderr, "threads: %s\n", esp_last_error(context));
    }
    esp_context_free(context);
    return NULL;
}

static void read_texts(struct service *service)
{
    static char line[LINE_BYTES];
    while (service->count < MOST_TEXTS && fgets(line, sizeof line, stdin)) {
        line[strcspn(line, "\r\n")] = 0;
        service->texts[service->count++] = strdup(line);
    }
}

int main(int argc, char **argv)
{
    static struct service service;
    size_t threads = argc == 3 ? strtoul(argv[2], NULL, 10) : 0;
    if (threads < 1 || threads > MOST_THREADS) {
        fprintf(stderr, "usage: threads MODEL.esp THREADS < TEXTS\n");
        return 2;
    }
    esp_context *context = esp_context_new();
    esp_model *model;
    int status = esp_model_load(context, argv[1], NULL, &model);
    if (status) {
        fprintf(stderr, "threads: %s\n", esp_last_error(context));
        esp_context_free(context);
        return 1;
    }
    service.model = model;
    read_texts(&service);
    pthread_t handles[MOST_THREADS];
    size_t started = 0;
    while (started < threads && pthread_create(&handles[started], NULL, work, &service) == 0)
        started++;
    for (size_t i = 0; i < started; i++)
        pthread_join(handles[i], NULL);
    for (size_t i = 0; i < service.count; i++) {
        status |= !service.answers[i];
        printf("%s\n", service.answers[i] ? service.answers[i] : "no answer");
        free(service.answers[i]);
        free(service.texts[i]);
    }
    esp_model_free(model);
    esp_context_free(context);
    return status ? 1 : 0;
}
