/* SPDX-License-Identifier: Apache-2.0
 * Tagged words as two lists in a JSON record, as the library `datasets` keeps CoNLL-2003: {"tokens": ["EU", "rejects"],
 * "ner_tags": [3, 0]}; tags are names, or numbers in the order of the model's labels. */
#include "eval/evaluator.h"
#include "eval/tag_reader.h"

#include "base/size.h"
#include "tasks/pytext.h"

#include <stdlib.h>
#include <string.h>

static const char forms[] =
    "CoNLL or CoNLL-U columns, or JSON (an array, or an object a line) of {\"tokens\": [words], \"ner_tags\": [tags]}";

/* The more telling first. */
static const char *const word_names[] = {"tokens", "words"};
static const char *const tag_names[] = {"ner_tags", "tags", "labels", "ner", "pos_tags", "pos", "upos", "chunk_tags"};

struct words {
    struct espi_dataset base;
    struct espi_data_file file;
    char *word_member, *tag_member; // as asked for; NULL: by well-known names
};

static void words_close(struct espi_dataset *dataset)
{
    struct words *words = (struct words *)dataset;
    espi_data_file_close(&words->file);
    free(words->word_member);
    free(words->tag_member);
    free(words);
}

static const char *choose(const struct espi_json *record, const char *asked, const char *const *names, size_t count)
{
    for (size_t i = 0; !asked && i < count; i++) {
        if (espi_json_has(record, names[i]))
            return names[i];
    }
    return asked;
}

/* The lists of words and tags, of one length; *tags is absent when the record has none. */
static int find_lists(esp_context *ctx, const struct words *words, const struct espi_json *record,
                      struct espi_json *list, struct espi_json *tags)
{
    char members[128];
    int status = espi_json_expect_object(ctx, record);
    if (status)
        return status;
    const char *word_name = choose(record, words->word_member, word_names, ESPI_COUNT(word_names));
    const char *tag_name = choose(record, words->tag_member, tag_names, ESPI_COUNT(tag_names));
    if (!word_name)
        return espi_json_fail(ctx, record, "expected %s, found an object with the members %s", forms,
                              espi_json_member_names(record, members, sizeof members));
    *list = espi_json_at(record, word_name);
    *tags = tag_name ? espi_json_at(record, tag_name) : (struct espi_json){0};
    if ((status = espi_json_expect_array(ctx, list)))
        return status;
    if (!tags->value) // of a test set
        return words->tag_member ? espi_json_expect_array(ctx, tags) : ESP_OK;
    if ((status = espi_json_expect_array(ctx, tags)))
        return status;
    if (espi_json_length(list) != espi_json_length(tags))
        return espi_json_fail(ctx, tags, "expected a tag for each of the %zu %s, found %zu", espi_json_length(list),
                              word_name, espi_json_length(tags));
    return ESP_OK;
}

static int read_words(esp_context *ctx, const struct espi_json *list, struct espi_example *example)
{
    struct espi_string text = {0};
    size_t count = espi_json_length(list);
    int status = ESP_OK;
    example->word_begin = espi_arena_alloc(ctx, &example->arena, count, sizeof(*example->word_begin));
    if (!example->word_begin)
        return ESP_ERR_MEMORY;
    for (size_t i = 0; !status && i < count; i++) {
        struct espi_json word = espi_json_item(list, i);
        if (!json_is_string(word.value))
            status = espi_json_fail(ctx, &word, "expected a word, a string");
        else if (text.length + json_string_length(word.value) >= INT32_MAX)
            status = espi_json_fail(ctx, list, "expected a sentence of less than 2 GiB");
        if (!status && i > 0)
            status = espi_string_add(ctx, &text, " ", 1);
        example->word_begin[i] = (uint32_t)text.length;
        if (!status)
            status = espi_string_add(ctx, &text, json_string_value(word.value), json_string_length(word.value));
    }
    if (!status)
        status = espi_example_text(ctx, example, text.data, text.length, &example->text);
    example->word_count = status ? 0 : count;
    free(text.data);
    return status;
}

static int read_tags(esp_context *ctx, const struct espi_json *tags, struct espi_example *example)
{
    size_t count = espi_json_length(tags), numbers = 0;
    example->tags = espi_arena_alloc(ctx, &example->arena, count, sizeof(*example->tags));
    if (!example->tags)
        return ESP_ERR_MEMORY;
    for (size_t i = 0; i < count; i++) {
        struct espi_json tag = espi_json_item(tags, i);
        int64_t value;
        bool number = espi_json_is_integer(tag.value, &value);
        numbers += number;
        if (!number && (!json_is_string(tag.value) || strlen(json_string_value(tag.value)) == 0 ||
                        strlen(json_string_value(tag.value)) != json_string_length(tag.value)))
            return espi_json_fail(ctx, &tag, "expected a tag: a name, or a number in the order of the model's labels");
        example->tags[i] =
            number ? espi_arena_format(ctx, &example->arena, "%lld", (long long)value)
                   : espi_arena_copy(ctx, &example->arena, json_string_value(tag.value), json_string_length(tag.value));
        if (!example->tags[i])
            return ESP_ERR_MEMORY;
    }
    if (numbers && numbers < count)
        return espi_json_fail(ctx, tags, "expected names or numbers, found both in one list");
    example->tag_numbers = numbers > 0;
    return ESP_OK;
}

static int make_example(esp_context *ctx, const struct words *words, const struct espi_json *list,
                        const struct espi_json *tags, struct espi_example **out)
{
    const struct espi_data_file *file = &words->file;
    struct espi_example *example = NULL;
    int status = espi_example_new(ctx, file->path, file->number, &example);
    if (status)
        return status;
    if (!file->number) { // in a document records have no lines
        example->source = espi_arena_format(ctx, &example->arena, "%s: record %zu", file->path, file->next);
        status = example->source ? ESP_OK : ESP_ERR_MEMORY;
    }
    if (!status)
        status = read_words(ctx, list, example);
    if (!status && tags->value)
        status = read_tags(ctx, tags, example);
    if (status) {
        espi_example_free(example);
        return status;
    }
    *out = example;
    return 1;
}

/* Sentences without words are passed over, as blank lines are in columns. */
static int words_next(esp_context *ctx, struct espi_dataset *dataset, struct espi_example **out)
{
    struct words *words = (struct words *)dataset;
    struct espi_json record, list, tags;
    int status;
    while ((status = espi_data_file_record(ctx, &words->file, &record)) > 0) {
        if ((status = find_lists(ctx, words, &record, &list, &tags)))
            return status;
        if (espi_json_length(&list) > 0)
            return make_example(ctx, words, &list, &tags, out);
    }
    return status;
}

/* A number is that of a column, in files of columns; it names no member. */
static int copy_option(esp_context *ctx, const char *option, char **copy)
{
    if (!option || strspn(option, "0123456789") == strlen(option))
        return ESP_OK;
    *copy = strdup(option);
    return *copy ? ESP_OK : espi_fail_memory(ctx, strlen(option));
}

int espi_words_open(esp_context *ctx, struct espi_data_file *file, const struct espi_task_options *options,
                    struct espi_dataset **out)
{
    *out = NULL;
    struct words *words = espi_calloc(ctx, 1, sizeof(*words));
    if (!words) {
        espi_data_file_close(file);
        return ESP_ERR_MEMORY;
    }
    words->base.next = words_next;
    words->base.close = words_close;
    words->file = *file;
    int status = copy_option(ctx, options->word_column, &words->word_member);
    if (!status)
        status = copy_option(ctx, options->label_column, &words->tag_member);
    if (status) {
        words_close(&words->base);
        return status;
    }
    *out = &words->base;
    return ESP_OK;
}

int espi_tag_open(esp_context *ctx, const char *path, const struct espi_task_options *options,
                  struct espi_dataset **out)
{
    *out = NULL;
    struct espi_data_file file;
    bool json = options->format == ESPI_FORMAT_JSONL, text = options->format && !json;
    int status = espi_data_file_open(ctx, path, forms, json ? ESPI_CONTENT_LINES : ESPI_CONTENT_TEXT, text, &file);
    if (status)
        return status;
    return file.content == ESPI_CONTENT_TEXT ? espi_conll_open(ctx, &file, options, out)
                                             : espi_words_open(ctx, &file, options, out);
}
