/* SPDX-License-Identifier: Apache-2.0 */
#include "fault_api.h"

#include "espalier.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { INPUTS = 3, FLOATS = 4096 };

static const char passage[] =
    "The \xc3\xa9t\xc3\xa9 was cold. Ada Lovelace wrote it in London. Paris is the capital of "
    "France, and the engine was designed by Charles Babbage, who lived in London as well.";

static struct {
    char models[3000], path[4096];
    esp_context *ctx;
    esp_model *model;
    esp_session *session;
    void *file; // (file_bytes) of what is loaded from memory
    size_t file_bytes;
    /* what the call gives */
    esp_context *new_context;
    esp_tokenizer *tokenizer;
    esp_model *new_model;
    esp_session *new_session;
    esp_encoding encoding;
    const esp_answer *answers;
    float floats[FLOATS];
    size_t float_count;
} api;

static const struct api_case {
    const char *name;
    int (*call)(const struct api_case *the);
    void (*describe)(FILE *to);
    const char *file; // it works with
    int variant;
    enum { COLD, WARM } warm; // the session has answered before
} cases[];
static const struct api_case *current;

/* ---- calls and what they gave ---------------------------------------------------------------------------------------- */

static int call_context(const struct api_case *the)
{
    (void)the;
    api.new_context = esp_context_new();
    return api.new_context ? ESP_OK : ESP_ERR_MEMORY;
}

static void describe_context(FILE *to)
{
    fprintf(to, "%s\n", api.new_context ? "a context" : "nothing");
}

static int call_tokenizer(const struct api_case *the)
{
    (void)the;
    return esp_tokenizer_open(api.ctx, api.path, &api.tokenizer);
}

static void describe_encoding(FILE *to, const esp_encoding *encoding)
{
    for (size_t t = 0; t < encoding->tokens; t++)
        fprintf(to, "%d,%d,%d,%u,%u-%u,%u-%u ", (int)encoding->ids[t], encoding->type_ids[t], encoding->special[t],
                encoding->words[t], encoding->byte_begin[t], encoding->byte_end[t], encoding->char_begin[t],
                encoding->char_end[t]);
    fprintf(to, "\n%zu windows\n", encoding->windows);
}

static void describe_tokenizer(FILE *to)
{
    if (!api.tokenizer) {
        fprintf(to, "nothing\n");
        return;
    }
    fprintf(to, "%zu %zu\n", esp_tokenizer_size(api.tokenizer), esp_tokenizer_max_length(api.tokenizer));
    for (size_t id = 0; id < esp_tokenizer_size(api.tokenizer); id++) {
        const char *text = esp_tokenizer_token(api.tokenizer, (int32_t)id);
        fprintf(to, "%s %d\n", text ? text : "-", text ? (int)esp_tokenizer_id(api.tokenizer, text) : -1);
    }
    esp_encoding encoding = {0};
    if (esp_encode(api.ctx, api.tokenizer, passage, strlen(passage), "Paris", 5, NULL, &encoding))
        fprintf(to, "cannot encode: %s\n", esp_last_error(api.ctx));
    else
        describe_encoding(to, &encoding);
    esp_encoding_clear(&encoding);
}

static int call_encode(const struct api_case *the)
{
    const esp_encode_options options = {
        .max_length = 16, .stride = 4, .truncation = ESP_TRUNCATE_ONLY_SECOND, .overflow = true};
    return esp_encode(api.ctx, esp_model_get_tokenizer(api.model), "Who wrote it?", 13, the->variant ? passage : NULL,
                      strlen(passage), the->variant ? &options : NULL, &api.encoding);
}

static void describe_encode(FILE *to)
{
    if (api.encoding.windows)
        describe_encoding(to, &api.encoding);
    else
        fprintf(to, "nothing\n");
}

static int call_load(const struct api_case *the)
{
    const esp_model_options options = {.skip_checksums = the->variant};
    return esp_model_load(api.ctx, api.path, &options, &api.new_model);
}

static int call_load_memory(const struct api_case *the)
{
    const esp_model_options options = {.copy = the->variant};
    return esp_model_load_memory(api.ctx, api.file, api.file_bytes, &options, &api.new_model);
}

static void describe_embedding(FILE *to, const esp_model *model, esp_session *session)
{
    static const uint32_t starts[] = {0, 5, 9};
    static const int32_t ids[] = {2, 9, 10, 11, 3, 2, 12, 13, 3};
    const esp_batch batch = {.sequences = 2, .tokens = 9, .starts = starts, .ids = ids};
    float out[256];
    size_t size = esp_output_size(model, &batch, ESP_OUTPUT_EMBEDDING);
    if (size > 256 || esp_session_run(api.ctx, session, &batch, ESP_OUTPUT_EMBEDDING, out, size))
        fprintf(to, "cannot run: %s\n", esp_last_error(api.ctx));
    else
        for (size_t i = 0; i < size; i++)
            fprintf(to, "%a\n", (double)out[i]);
}

static void describe_load(FILE *to)
{
    if (!api.new_model) {
        fprintf(to, "nothing\n");
        return;
    }
    const esp_model_facts *facts = esp_model_get_facts(api.new_model);
    esp_session *session;
    fprintf(to, "%s %zu %zu %zu %zu %zu %d %d %d\n", esp_task_name(facts->task), facts->layers, facts->hidden,
            facts->vocabulary, facts->max_length, facts->labels, facts->has_pooler, facts->normalized,
            facts->has_tokenizer);
    for (size_t i = 0; facts->label_names && i < facts->labels; i++)
        fprintf(to, "%s\n", facts->label_names[i]);
    if (esp_session_new(api.ctx, api.new_model, &(esp_session_options){.threads = 1}, &session))
        fprintf(to, "no session: %s\n", esp_last_error(api.ctx));
    else
        describe_embedding(to, api.new_model, session);
    esp_session_free(session);
}

static int call_session(const struct api_case *the)
{
    const esp_session_options options = {.threads = (size_t)the->variant};
    return esp_session_new(api.ctx, api.model, &options, &api.new_session);
}

static void describe_session(FILE *to)
{
    if (!api.new_session) {
        fprintf(to, "nothing\n");
        return;
    }
    fprintf(to, "%zu\n", esp_session_workspace(api.new_session));
    describe_embedding(to, api.model, api.new_session);
}

static int call_run(const struct api_case *the)
{
    static const uint32_t starts[] = {0, 5, 9}, positions[] = {1, 6};
    static const int32_t ids[] = {2, 9, 10, 11, 3, 2, 12, 13, 3};
    const esp_batch batch = {
        .sequences = 2, .tokens = 9, .starts = starts, .ids = ids, .positions = positions, .position_count = 2};
    int status = esp_session_run(api.ctx, api.session, &batch, (esp_output)the->variant, api.floats, FLOATS);
    api.float_count = status ? 0 : esp_output_size(api.model, &batch, (esp_output)the->variant);
    return status;
}

static void describe_run(FILE *to)
{
    if (!api.float_count)
        fprintf(to, "nothing\n");
    for (size_t i = 0; i < api.float_count; i++)
        fprintf(to, "%a\n", (double)api.floats[i]);
}

static int answer(esp_session *session, const struct api_case *the)
{
    static const char *const masked = "Paris is the [MASK] of France, and [MASK] is in London.";
    const esp_task task = esp_model_get_facts(api.model)->task;
    const char *first = task == ESP_TASK_MLM ? masked : task == ESP_TASK_QA ? "Who wrote it?" : passage;
    const char *second = task == ESP_TASK_QA ? passage : NULL;
    const esp_input inputs[INPUTS] = {{.text = esp_text_of(first), .pair = esp_text_of(second)},
                                      {.text = esp_text_of("\xff\xfe"), .pair = esp_text_of(NULL)},
                                      {.text = esp_text_of(first), .pair = esp_text_of(second)}};
    const esp_answer_options options = {.json = the->variant & 1,
                                        .top_k = 3,
                                        .max_length = 24,
                                        .stride = 6,
                                        .merge = ESP_MERGE_FIRST,
                                        .may_be_empty = true};
    return esp_session_answer(api.ctx, session, inputs, INPUTS, &options, &api.answers);
}

static int call_answer(const struct api_case *the)
{
    return answer(api.session, the);
}

static int call_trim_answer(const struct api_case *the)
{
    esp_session_trim(api.session);
    return answer(api.session, the);
}

/* The life of a session with two threads, which a fork would lose. */
static int call_threads(const struct api_case *the)
{
    int status = esp_session_new(api.ctx, api.model, &(esp_session_options){.threads = 2}, &api.new_session);
    return status ? status : answer(api.new_session, the);
}

static void describe_answers(FILE *to)
{
    if (!api.answers) {
        fprintf(to, "nothing\n");
        return;
    }
    for (size_t i = 0; i < INPUTS; i++) {
        const esp_answer *answered = &api.answers[i];
        fprintf(to, "answer %zu: %d %s; %s", i, answered->status, answered->error,
                answered->json ? answered->json : "-");
        for (size_t k = 0; k < answered->count; k++) {
            const esp_item *item = &answered->items[k];
            fprintf(to, "; %a %s %s %s %d %zu %zu-%zu %zu-%zu", item->score, item->text ? item->text : "-",
                    item->label ? item->label : "-", item->sequence ? item->sequence : "-", (int)item->token,
                    item->mask, item->char_begin, item->char_end, item->byte_begin, item->byte_end);
        }
        for (size_t k = 0; answered->embedding && k < esp_model_get_facts(api.model)->hidden; k++)
            fprintf(to, " %a", (double)answered->embedding[k]);
        fputc('\n', to);
    }
}

static void undo(void)
{
    esp_context_free(api.new_context);
    esp_tokenizer_free(api.tokenizer);
    esp_session_free(api.new_session);
    esp_model_free(api.new_model);
    api.new_context = NULL;
    api.tokenizer = NULL;
    api.new_session = NULL;
    api.new_model = NULL;
    api.answers = NULL;
}

/* ---- cases ------------------------------------------------------------------------------------------------------------ */

#define ANSWERS(model)                                                                                                 \
    {"answer " model, call_answer, describe_answers, model ".esp", 0, COLD},                                           \
        {"answer " model " json", call_answer, describe_answers, model ".esp", 1, COLD},                               \
    {                                                                                                                  \
        "answer " model " warm", call_answer, describe_answers, model ".esp", 1, WARM                                  \
    }

static const struct api_case cases[] = {
    {"esp_context_new", call_context, describe_context, "qa.esp", 0, COLD},
    {"esp_tokenizer_open json", call_tokenizer, describe_tokenizer, "qa", 0, COLD},
    {"esp_tokenizer_open txt", call_tokenizer, describe_tokenizer, "words", 0, COLD},
    {"esp_encode", call_encode, describe_encode, "qa.esp", 0, COLD},
    {"esp_encode windows", call_encode, describe_encode, "qa.esp", 1, COLD},
    {"esp_model_load", call_load, describe_load, "sequence.esp", 0, COLD},
    {"esp_model_load unchecked", call_load, describe_load, "token.esp", 1, COLD},
    {"esp_model_load_memory", call_load_memory, describe_load, "sequence.esp", 0, COLD},
    {"esp_model_load_memory copied", call_load_memory, describe_load, "sequence.esp", 1, COLD},
    {"esp_session_new", call_session, describe_session, "qa.esp", 1, COLD},
    {"esp_session_new threads", call_session, describe_session, "qa.esp", 2, COLD},
    {"esp_session_run hidden", call_run, describe_run, "none.esp", ESP_OUTPUT_HIDDEN, COLD},
    {"esp_session_run embedding", call_run, describe_run, "none.esp", ESP_OUTPUT_EMBEDDING, COLD},
    {"esp_session_run token", call_run, describe_run, "token.esp", ESP_OUTPUT_TOKEN_LOGITS, COLD},
    {"esp_session_run sequence", call_run, describe_run, "sequence.esp", ESP_OUTPUT_SEQUENCE_LOGITS, COLD},
    {"esp_session_run vocabulary", call_run, describe_run, "mlm.esp", ESP_OUTPUT_VOCAB_LOGITS, COLD},
    ANSWERS("qa"),
    ANSWERS("sequence"),
    ANSWERS("token"),
    ANSWERS("none"),
    ANSWERS("mlm"),
    {"esp_session_trim", call_trim_answer, describe_answers, "qa.esp", 1, WARM},
    {"session with threads", call_threads, describe_answers, "token.esp", 1, COLD},
};

const char *fault_api_name(size_t i)
{
    return i < sizeof cases / sizeof *cases ? cases[i].name : NULL;
}

static void need(int status)
{
    if (!status)
        return;
    fprintf(stderr, "%s: %s\n", current->name, esp_last_error(api.ctx));
    exit(1);
}

static void read_file(void)
{
    enum { MOST = 1 << 20 };
    FILE *stream = fopen(api.path, "rb");
    api.file = aligned_alloc(ESP_MODEL_ALIGN, MOST);
    api.file_bytes = stream && api.file ? fread(api.file, 1, MOST, stream) : 0;
    need(api.file_bytes && api.file_bytes < MOST ? ESP_OK : ESP_ERR_IO);
    fclose(stream);
}

void fault_api_prepare(size_t i, const char *models)
{
    current = &cases[i];
    const char *end = strrchr(current->file, '.');
    bool compiled = end && strcmp(end, ".esp") == 0;
    snprintf(api.path, sizeof api.path, "%s/%s", models, current->file);
    api.ctx = esp_context_new();
    need(api.ctx ? ESP_OK : ESP_ERR_MEMORY);
    if (current->call == call_load_memory) {
        read_file();
    } else if (compiled && current->call != call_load) {
        need(esp_model_load(api.ctx, api.path, NULL, &api.model));
        need(esp_session_new(api.ctx, api.model, &(esp_session_options){.threads = 1}, &api.session));
    }
    if (current->warm)
        need(answer(api.session, current));
    api.answers = NULL;
}

static void release(void)
{
    undo();
    esp_encoding_clear(&api.encoding);
    esp_session_free(api.session);
    esp_model_free(api.model);
    esp_context_free(api.ctx);
    free(api.file);
    api.file = NULL;
    api.session = NULL;
    api.model = NULL;
    api.ctx = NULL;
}

void fault_api_release(void)
{
    release();
}

/* Returns the blocks of memory that stdio took for it. */
static long print(FILE *to, int status)
{
    long before = fault_live();
    const char *error = current->call == call_context ? esp_status_text(status) : esp_last_error(api.ctx);
    fprintf(to, "%d\n%s\n", status, status ? error : "");
    current->describe(to);
    fflush(to);
    return fault_live() - before;
}

int fault_api_child(const void *cookie)
{
    (void)cookie;
    fault_arm();
    int status = current->call(current);
    fault_disarm();
    long buffers = print(stdout, status);
    undo();
    status = current->call(current); // a fault that is over leaves no trace
    buffers += print(stderr, status);
    release();
    fault->live = fault_live() - buffers;
    fault->files = fault_files();
    return 0;
}
