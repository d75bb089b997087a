/* SPDX-License-Identifier: Apache-2.0
 * Answers as the Hugging Face pipelines of the tasks print them. */
#include "tasks/task.h"

static void put_members(struct espi_json_writer *w, const struct espi_job *job, const esp_item *item)
{
    bool tokens = job->options.aggregation == ESPI_AGGREGATE_NONE;
    float score = (float)item->score; // made of floats: more digits would say nothing
    switch (job->task->answer) {
    case ESPI_ANSWER_SPAN:
        espi_put_float(w, "score", score);
        espi_put_size(w, "start", item->char_begin);
        espi_put_size(w, "end", item->char_end);
        espi_put_text(w, "answer", item->text, item->text_bytes);
        break;
    case ESPI_ANSWER_LABEL:
        espi_put_string(w, "label", item->label);
        espi_put_float(w, "score", score);
        break;
    case ESPI_ANSWER_ENTITY:
        espi_put_string(w, tokens ? "entity" : "entity_group", item->label);
        espi_put_float(w, "score", score);
        if (tokens)
            espi_put_size(w, "index", item->index);
        espi_put_text(w, "word", item->text, item->text_bytes);
        espi_put_size(w, "start", item->char_begin);
        espi_put_size(w, "end", item->char_end);
        break;
    case ESPI_ANSWER_TOKEN:
        espi_put_float(w, "score", score);
        espi_put_integer(w, "token", item->token);
        espi_put_text(w, "token_str", item->text, item->text_bytes);
        espi_put_text(w, "sequence", item->sequence, item->sequence_bytes);
        break;
    case ESPI_ANSWER_VECTOR:
        break;
    }
}

/* A list of items; of several masks, a list of them for each. */
static void put_list(struct espi_json_writer *w, const char *key, const struct espi_job *job,
                     const struct espi_found *found)
{
    const esp_item *items = found->items;
    bool masks = found->count && items[found->count - 1].mask > 0;
    espi_put_array(w, key);
    for (size_t i = 0; i < found->count; i++) {
        bool first = i == 0 || items[i].mask != items[i - 1].mask;
        if (masks && first && i)
            espi_put_array_end(w);
        if (masks && first)
            espi_put_array(w, NULL);
        espi_put_object(w, NULL);
        put_members(w, job, &items[i]);
        espi_put_object_end(w);
    }
    if (masks)
        espi_put_array_end(w);
    espi_put_array_end(w);
}

static bool is_list(const struct espi_job *job)
{
    enum espi_answer_kind kind = job->task->answer;
    return kind == ESPI_ANSWER_ENTITY || kind == ESPI_ANSWER_TOKEN ||
           (kind != ESPI_ANSWER_VECTOR && job->options.top_k != 1);
}

void espi_answer_put(struct espi_json_writer *w, const struct espi_job *job, const struct espi_found *found,
                     struct espi_text id)
{
    bool list = is_list(job);
    if (list && !id.data) {
        put_list(w, NULL, job, found);
        return;
    }
    espi_put_object(w, NULL);
    if (id.data)
        espi_put_raw(w, "id", id.data, id.bytes);
    if (list)
        put_list(w, "result", job, found);
    else if (job->task->answer == ESPI_ANSWER_VECTOR)
        espi_put_floats(w, "embedding", found->vector, found->width, 1);
    else
        put_members(w, job, &found->items[0]);
    espi_put_object_end(w);
}
