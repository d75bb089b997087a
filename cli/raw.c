/* SPDX-License-Identifier: Apache-2.0 */
#include "raw.h"

#include "base/memory.h"
#include "base/size.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { DEFAULT_BATCH_TOKENS = 4096, MAX_BATCH_FLOATS = 8 << 20 };

/* A line that waits for its batch. */
struct raw_line {
    size_t number;
    struct espi_text id;
    int status; // not ESP_OK: `error` is its answer, and it has no tokens in the batch
    const char *error;
};

struct raw {
    struct espi_engine *engine;
    struct cli_jsonl *in;
    size_t batch_tokens;
    enum espi_result result;

    struct raw_line *lines; // (line_count)
    size_t line_count, line_capacity;
    struct espi_arena arena; // of the lines
    size_t sequences, starts_capacity;
    uint32_t *starts; // (sequences + 1)
    int32_t *ids;     // (tokens)
    size_t tokens, ids_capacity;
    uint8_t *types; // (tokens)
    size_t types_capacity;
    uint32_t *positions; // (tokens) every one, for the masked-LM head
    size_t positions_capacity;
    float *out;
    size_t out_capacity;
};

enum espi_result cli_raw_result(enum espi_head head)
{
    switch (head) {
    case ESPI_HEAD_QA:
    case ESPI_HEAD_TOKEN:
        return ESPI_RESULT_TOKEN_LOGITS;
    case ESPI_HEAD_SEQUENCE:
        return ESPI_RESULT_SEQUENCE_LOGITS;
    case ESPI_HEAD_MLM:
        return ESPI_RESULT_VOCAB_LOGITS;
    case ESPI_HEAD_NONE:
        break;
    }
    return ESPI_RESULT_HIDDEN;
}

/* ---- reading a line ---------------------------------------------------------------------------------------------- */

static int read_integers(esp_context *ctx, const struct espi_json *array, int64_t high, int32_t *ids, uint8_t *types)
{
    for (size_t i = 0; i < espi_json_length(array); i++) {
        struct espi_json item = espi_json_item(array, i);
        int64_t value;
        int status = espi_json_integer(ctx, &item, 0, high, &value);
        if (status)
            return status;
        if (ids)
            ids[i] = (int32_t)value;
        else
            types[i] = (uint8_t)value;
    }
    return ESP_OK;
}

static int grow_batch(esp_context *ctx, struct raw *raw, size_t count)
{
    int status = espi_grow(ctx, &raw->ids, &raw->ids_capacity, raw->tokens + count, sizeof *raw->ids);
    if (!status)
        status = espi_grow(ctx, &raw->types, &raw->types_capacity, raw->tokens + count, sizeof *raw->types);
    if (!status)
        status = espi_grow(ctx, &raw->starts, &raw->starts_capacity, raw->sequences + 2, sizeof *raw->starts);
    return status;
}

/* Padding is left out, not masked: a mask may only say so. */
static int check_mask(esp_context *ctx, const struct espi_json *line, size_t count)
{
    struct espi_json mask = espi_json_at(line, "attention_mask");
    int status = mask.value ? espi_json_expect_array(ctx, &mask) : ESP_OK;
    if (status || !mask.value)
        return status;
    if (espi_json_length(&mask) != count)
        return espi_json_fail(ctx, &mask, "expected %zu values as input_ids has, found %zu", count,
                              espi_json_length(&mask));
    for (size_t i = 0; i < count; i++) {
        struct espi_json item = espi_json_item(&mask, i);
        int64_t value;
        if (!espi_json_is_integer(item.value, &value) || value != 1)
            return espi_json_fail(ctx, &item, "expected 1: padding is to be left out of input_ids");
    }
    return ESP_OK;
}

/* Appends the line's sequence to the batch; nothing is appended on failure. */
static int append_sequence(esp_context *ctx, struct raw *raw, const struct espi_json *line)
{
    const struct espi_config *config = raw->engine->config;
    struct espi_json ids = espi_json_at(line, "input_ids"), types = espi_json_at(line, "token_type_ids");
    int status = espi_json_expect_array(ctx, &ids);
    if (!status && types.value)
        status = espi_json_expect_array(ctx, &types);
    if (status)
        return status;
    size_t count = espi_json_length(&ids);
    if (count == 0 || count > config->max_positions)
        return espi_json_fail(ctx, &ids, "expected 1 to %zu ids, found %zu", config->max_positions, count);
    if (types.value && espi_json_length(&types) != count)
        return espi_json_fail(ctx, &types, "expected %zu values as input_ids has, found %zu", count,
                              espi_json_length(&types));
    status = check_mask(ctx, line, count);
    if (!status)
        status = grow_batch(ctx, raw, count);
    if (!status)
        status = read_integers(ctx, &ids, (int64_t)config->vocab_size - 1, raw->ids + raw->tokens, NULL);
    if (!status)
        memset(raw->types + raw->tokens, 0, count);
    if (!status && types.value)
        status = read_integers(ctx, &types, config->type_vocab ? (int64_t)config->type_vocab - 1 : 1, NULL,
                               raw->types + raw->tokens);
    if (status)
        return status;
    raw->starts[0] = 0;
    raw->tokens += count;
    raw->starts[++raw->sequences] = (uint32_t)raw->tokens;
    return ESP_OK;
}

/* ---- answering a batch ------------------------------------------------------------------------------------------- */

/* The floats of one sequence: (rows, cols), or a vector when cols is 0; with `pairs` start and end of each token. */
struct floats {
    const char *name;
    const float *data;
    size_t rows, cols;
    bool pairs;
};

static struct floats floats_of_sequence(const struct raw *raw, size_t sequence)
{
    const struct espi_config *config = raw->engine->config;
    size_t first = raw->starts[sequence], tokens = raw->starts[sequence + 1] - first, labels = config->labels;
    switch (raw->result) {
    case ESPI_RESULT_SEQUENCE_LOGITS:
        return (struct floats){"logits", raw->out + sequence * labels, labels, 0, false};
    case ESPI_RESULT_VOCAB_LOGITS:
        return (struct floats){"logits", raw->out + first * config->vocab_size, tokens, config->vocab_size, false};
    case ESPI_RESULT_TOKEN_LOGITS:
        return (struct floats){"logits", raw->out + first * labels, tokens, labels, config->head == ESPI_HEAD_QA};
    default:
        return (struct floats){"hidden", raw->out + first * config->hidden, tokens, config->hidden, false};
    }
}

/* As in the pipeline: NaN and infinity mean a broken model, and no answer is made of them. */
static int check_finite(esp_context *ctx, const struct floats *floats, size_t number)
{
    size_t count = floats->rows * (floats->cols ? floats->cols : 1);
    for (size_t i = 0; i < count; i++) {
        if (!isfinite(floats->data[i]))
            return espi_fail(ctx, ESP_ERR_FORMAT,
                             "line %zu: %s: value %zu of %zu is %s: the model gives no finite result", number,
                             floats->name, i + 1, count, isnan(floats->data[i]) ? "not a number" : "infinite");
    }
    return ESP_OK;
}

static int print_floats(esp_context *ctx, struct espi_text id, const struct floats *floats)
{
    struct espi_json_writer w = {.stream = stdout};
    cli_jsonl_begin(&w, id);
    if (floats->pairs) {
        espi_put_floats(&w, "start_logits", floats->data, floats->rows, 2);
        espi_put_floats(&w, "end_logits", floats->data + 1, floats->rows, 2);
    } else if (!floats->cols) {
        espi_put_floats(&w, floats->name, floats->data, floats->rows, 1);
    } else {
        espi_put_array(&w, floats->name);
        for (size_t row = 0; row < floats->rows; row++)
            espi_put_floats(&w, NULL, floats->data + row * floats->cols, floats->cols, 1);
        espi_put_array_end(&w);
    }
    espi_put_object_end(&w);
    return espi_json_writer_end(ctx, &w);
}

static int run_batch(esp_context *ctx, struct raw *raw)
{
    struct espi_batch batch = {.sequences = raw->sequences,
                               .tokens = raw->tokens,
                               .starts = raw->starts,
                               .ids = raw->ids,
                               .types = raw->engine->config->type_vocab ? raw->types : NULL};
    struct espi_wanted wanted = {.result = raw->result};
    if (raw->result == ESPI_RESULT_VOCAB_LOGITS) {
        int status = espi_grow(ctx, &raw->positions, &raw->positions_capacity, raw->tokens, sizeof *raw->positions);
        if (status)
            return status;
        for (size_t t = 0; t < raw->tokens; t++)
            raw->positions[t] = (uint32_t)t;
        wanted.positions = raw->positions;
        wanted.position_count = raw->tokens;
    }
    size_t size = espi_result_size(raw->engine->config, &batch, &wanted);
    int status = espi_grow(ctx, &raw->out, &raw->out_capacity, size, sizeof *raw->out);
    wanted.out = raw->out;
    return status ? status : raw->engine->run(raw->engine, ctx, &batch, &wanted);
}

static int print_line(esp_context *ctx, struct raw *raw, const struct raw_line *line, size_t *sequence)
{
    if (line->status)
        return cli_jsonl_error(ctx, raw->in, line->number, line->id, line->status, line->error);
    struct floats floats = floats_of_sequence(raw, (*sequence)++);
    int status = check_finite(ctx, &floats, line->number);
    if (status)
        return cli_jsonl_error(ctx, raw->in, line->number, line->id, status, esp_last_error(ctx));
    return print_floats(ctx, line->id, &floats);
}

static void forget_lines(struct raw *raw)
{
    espi_arena_clear(&raw->arena);
    raw->line_count = raw->sequences = raw->tokens = 0;
}

static int flush(esp_context *ctx, struct raw *raw)
{
    int status = raw->sequences ? run_batch(ctx, raw) : ESP_OK;
    size_t sequence = 0;
    for (size_t i = 0; i < raw->line_count && !status; i++)
        status = print_line(ctx, raw, &raw->lines[i], &sequence);
    forget_lines(raw);
    return status;
}

/* Floats of the results of the lines that wait. */
static size_t floats_of_batch(const struct raw *raw)
{
    const struct espi_config *config = raw->engine->config;
    switch (raw->result) {
    case ESPI_RESULT_VOCAB_LOGITS:
        return raw->tokens * config->vocab_size;
    case ESPI_RESULT_SEQUENCE_LOGITS:
        return raw->sequences * config->labels;
    case ESPI_RESULT_TOKEN_LOGITS:
        return raw->tokens * config->labels;
    default:
        return raw->tokens * config->hidden;
    }
}

/* Keeps a line for its batch; `status` says whether it has a sequence there. */
static int keep_line(esp_context *ctx, struct raw *raw, size_t number, struct espi_text id, int status)
{
    struct raw_line line = {.number = number, .status = status, .id = id, .error = ""};
    const char *error = esp_last_error(ctx);
    if (id.data && !(line.id.data = espi_arena_copy(ctx, &raw->arena, id.data, id.bytes)))
        return ESP_ERR_MEMORY;
    if (status && !(line.error = espi_arena_copy(ctx, &raw->arena, error, strlen(error))))
        return ESP_ERR_MEMORY;
    int grown = espi_grow(ctx, &raw->lines, &raw->line_capacity, raw->line_count + 1, sizeof line);
    if (!grown)
        raw->lines[raw->line_count++] = line;
    return grown;
}

static int add_line(void *cookie, esp_context *ctx, size_t number, const struct espi_json *object, int status)
{
    struct raw *raw = cookie;
    size_t before = raw->tokens;
    if (!status)
        status = append_sequence(ctx, raw, object);
    status = keep_line(ctx, raw, number, cli_jsonl_id(raw->in, object), status);
    if (status)
        return status;
    bool full = raw->tokens + (raw->tokens - before) > raw->batch_tokens || raw->tokens >= raw->batch_tokens ||
                raw->line_count >= raw->batch_tokens || floats_of_batch(raw) >= MAX_BATCH_FLOATS;
    return full || raw->in->strict || espi_lines_would_wait(&raw->in->lines) ? flush(ctx, raw) : ESP_OK;
}

int cli_run_raw(esp_context *ctx, struct espi_engine *engine, size_t batch_tokens, struct cli_jsonl *in)
{
    struct raw raw = {.engine = engine, .in = in, .batch_tokens = batch_tokens ? batch_tokens : DEFAULT_BATCH_TOKENS};
    static const char *const members[] = {"input_ids", "token_type_ids", "attention_mask", NULL};
    raw.result = cli_raw_result(engine->config->head);
    in->members = members;
    int status = cli_jsonl_each(ctx, in, add_line, &raw);
    if (!status)
        status = flush(ctx, &raw);
    forget_lines(&raw);
    free(raw.lines);
    free(raw.starts);
    free(raw.ids);
    free(raw.types);
    free(raw.positions);
    free(raw.out);
    return status;
}
