/* SPDX-License-Identifier: Apache-2.0 */
#include "eval/dataset.h"

#include "base/size.h"
#include "eval/evaluator.h"

#include <stdlib.h>
#include <string.h>

int espi_dataset_open(esp_context *ctx, const struct espi_task *task, const char *path,
                      const struct espi_task_options *options, struct espi_dataset **out)
{
    *out = NULL;
    static const struct espi_task_options defaults;
    int status = espi_evaluator_of(task)->open(ctx, path, options ? options : &defaults, out);
    if (!status)
        (*out)->task = task;
    return status;
}

int espi_dataset_next(esp_context *ctx, struct espi_dataset *dataset, struct espi_example **out)
{
    *out = NULL;
    return dataset->next(ctx, dataset, out);
}

void espi_dataset_close(struct espi_dataset *dataset)
{
    if (dataset)
        dataset->close(dataset);
}

/* ---- labels ------------------------------------------------------------------------------------------------------ */

/* Distinct names in the order they were met. The numbers of labels are small: a linear search does. */
struct label_set {
    struct espi_arena *arena;
    const char **names;
    size_t count, capacity;
    size_t vector; // places of the lists of 0 and 1 that all examples have; 0: they have none
    bool no_vectors;
    size_t tag_numbers; // one more than the largest tag that is a number
};

static int label_add(esp_context *ctx, struct label_set *set, const char *name)
{
    for (size_t i = 0; i < set->count; i++) {
        if (!strcmp(set->names[i], name))
            return ESP_OK;
    }
    int status = espi_grow(ctx, &set->names, &set->capacity, set->count + 1, sizeof(*set->names));
    if (status)
        return status;
    set->names[set->count] = espi_arena_copy(ctx, set->arena, name, strlen(name));
    return set->names[set->count++] ? ESP_OK : ESP_ERR_MEMORY;
}

/* Lists of numbers are vectors when all are of one length and hold nothing but 0 and 1; else they name labels. */
static void note_list(struct label_set *set, const struct espi_example *example)
{
    set->no_vectors |= !example->label_list || example->label_count < 2 || example->label_count != example->first_list;
    for (size_t i = 0; i < example->label_count; i++)
        set->no_vectors |= strcmp(example->labels[i], "0") != 0 && strcmp(example->labels[i], "1") != 0;
    set->vector = set->no_vectors ? 0 : example->label_count;
}

static int add_tags(esp_context *ctx, struct label_set *set, const struct espi_example *example)
{
    enum { MOST = 65536 };
    int status = ESP_OK;
    for (size_t i = 0; !status && example->tags && i < example->word_count; i++) {
        const char *tag = example->tags[i];
        if (!example->tag_numbers) {
            status = label_add(ctx, set, tag);
            continue;
        }
        long long number = strtoll(tag, NULL, 10);
        if (number < 0 || number >= MOST)
            return espi_example_fail(ctx, example, "expected a tag's number from 0 to %d, found %s", MOST - 1, tag);
        set->tag_numbers = (size_t)number >= set->tag_numbers ? (size_t)number + 1 : set->tag_numbers;
    }
    return status;
}

static int collect(esp_context *ctx, struct espi_dataset *dataset, struct label_set *set)
{
    struct espi_example *example = NULL;
    int status;
    while ((status = espi_dataset_next(ctx, dataset, &example)) > 0) {
        note_list(set, example);
        status = ESP_OK;
        for (size_t i = 0; !status && i < example->label_count; i++)
            status = label_add(ctx, set, example->labels[i]);
        if (!status)
            status = add_tags(ctx, set, example);
        espi_example_free(example);
        if (status)
            return status;
    }
    return status;
}

/* Labels that have no names but their places. */
static int name_places(esp_context *ctx, struct label_set *set, size_t count)
{
    set->count = 0;
    int status = espi_grow(ctx, &set->names, &set->capacity, count, sizeof(*set->names));
    for (size_t i = 0; !status && i < count; i++) {
        set->names[i] = espi_arena_format(ctx, set->arena, "LABEL_%zu", i);
        status = set->names[i] ? ESP_OK : ESP_ERR_MEMORY;
    }
    set->count = status ? 0 : count;
    return status;
}

/* "O" first, then numbers by value, then names. */
static int label_order(const void *a, const void *b)
{
    const char *x = *(const char *const *)a, *y = *(const char *const *)b;
    int outside = !strcmp(y, "O") - !strcmp(x, "O");
    if (outside)
        return outside;
    char *end_x, *end_y;
    double number_x = strtod(x, &end_x), number_y = strtod(y, &end_y);
    bool is_x = *x && !*end_x, is_y = *y && !*end_y;
    if (is_x != is_y)
        return is_x ? -1 : 1;
    if (is_x && number_x != number_y)
        return number_x < number_y ? -1 : 1;
    return strcmp(x, y);
}

int espi_dataset_labels(esp_context *ctx, const struct espi_task *task, const char *path,
                        const struct espi_task_options *options, struct espi_arena *arena, const char ***labels,
                        size_t *count)
{
    *labels = NULL;
    *count = 0;
    struct espi_dataset *dataset = NULL;
    struct label_set set = {.arena = arena};
    int status = espi_dataset_open(ctx, task, path, options, &dataset);
    if (!status)
        status = collect(ctx, dataset, &set);
    espi_dataset_close(dataset);
    bool places = set.vector || set.tag_numbers;
    if (!status && set.tag_numbers && set.count)
        status = espi_fail(ctx, ESP_ERR_FORMAT, "%s: expected tags that are names or numbers, found both", path);
    if (!status && places)
        status = name_places(ctx, &set, espi_size_max(set.vector, set.tag_numbers));
    if (!status && set.count == 0)
        status = espi_fail(ctx, ESP_ERR_FORMAT, "%s: expected labels, found none", path);
    if (!status) {
        if (!places)
            qsort(set.names, set.count, sizeof(*set.names), label_order);
        const char **kept = espi_arena_alloc(ctx, arena, set.count, sizeof(*kept));
        if (kept) {
            memcpy(kept, set.names, set.count * sizeof(*kept));
            *labels = kept;
            *count = set.count;
        } else {
            status = ESP_ERR_MEMORY;
        }
    }
    free(set.names);
    return status;
}
