/* SPDX-License-Identifier: Apache-2.0
 * Tagged words in columns, a word a line, a blank line behind each sentence: the formats of the CoNLL shared tasks, and
 * CoNLL-U (universaldependencies.org/format.html). */
#include "eval/tag_reader.h"

#include "tasks/pytext.h"

#include "base/size.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { CONLLU_COLUMNS = 10, CONLLU_WORD = 1, CONLLU_UPOS = 3 };

struct conll {
    struct espi_dataset base;
    struct espi_data_file file;
    size_t word_column, label_column; // from 1 as asked for; 0: the format's own
    bool decided, conllu;
    size_t columns; // of the last line with a word

    struct espi_text *fields; // (field_count) of the current line, not terminated
    size_t field_count, field_capacity;

    struct espi_string text; // the sentence so far
    uint32_t *begins;        // (words)
    size_t *tag_begins;      // (words) offsets into `tags`
    struct espi_string tags; // each zero-terminated
    size_t words, begin_capacity, tag_capacity;
    size_t number; // line of its first word
};

static void conll_close(struct espi_dataset *dataset)
{
    struct conll *conll = (struct conll *)dataset;
    espi_data_file_close(&conll->file);
    free(conll->fields);
    free(conll->text.data);
    free(conll->begins);
    free(conll->tag_begins);
    free(conll->tags.data);
    free(conll);
}

/* ---- lines ------------------------------------------------------------------------------------------------------- */

/* Columns stand between tabs, or between runs of spaces where a line has no tab. */
static int split(esp_context *ctx, struct conll *conll)
{
    const char *text = conll->file.lines.text, *end = text + conll->file.lines.length;
    bool tabs = memchr(text, '\t', conll->file.lines.length) != NULL;
    conll->field_count = 0;
    while (text < end || (tabs && text == end)) {
        const char *stop = memchr(text, tabs ? '\t' : ' ', (size_t)(end - text));
        stop = stop ? stop : end;
        if (tabs || stop > text) {
            int status =
                espi_grow(ctx, &conll->fields, &conll->field_capacity, conll->field_count + 1, sizeof(*conll->fields));
            if (status)
                return status;
            conll->fields[conll->field_count++] = (struct espi_text){text, (size_t)(stop - text)};
        }
        text = stop + 1;
    }
    return ESP_OK;
}

static bool is_blank(const struct espi_lines *lines)
{
    return strspn(lines->text, " \t") == lines->length;
}

/* 7, 7-8 or 7.1 */
static bool is_conllu_id(const struct espi_text *field)
{
    for (size_t i = 0; i < field->bytes; i++) {
        char c = field->data[i];
        if ((c < '0' || c > '9') && (i == 0 || (c != '-' && c != '.')))
            return false;
    }
    return field->bytes > 0;
}

/* "# text" between sentences. Outside CoNLL-U a word may be "#" itself: a line with the columns of the others is one. */
static bool is_comment(const struct conll *conll)
{
    const char *text = conll->file.lines.text;
    if (*text != '#' || conll->words > 0)
        return false;
    if (conll->conllu || !conll->decided)
        return conll->conllu || text[1] == ' ' || text[1] == '\0';
    return (text[1] == ' ' || text[1] == '\0') && conll->field_count != conll->columns;
}

/* A multi-word token (1-2) or an empty node (1.1) of CoNLL-U: not a word of the sentence. */
static bool is_extra(const struct conll *conll)
{
    return conll->conllu && (memchr(conll->fields[0].data, '-', conll->fields[0].bytes) ||
                             memchr(conll->fields[0].data, '.', conll->fields[0].bytes));
}

static int line_fail(esp_context *ctx, const struct conll *conll, const char *expected, size_t found)
{
    return espi_fail(ctx, ESP_ERR_FORMAT, "%s: line %zu: expected %s, found %zu columns", conll->file.path,
                     conll->file.lines.number, expected, found);
}

/* ---- sentences --------------------------------------------------------------------------------------------------- */

static int add_word(esp_context *ctx, struct conll *conll, const struct espi_text *word, const struct espi_text *tag)
{
    if (conll->words == 0)
        conll->number = conll->file.lines.number;
    if (word->bytes == 0 || tag->bytes == 0 || memchr(tag->data, '\0', tag->bytes)) {
        return espi_fail(ctx, ESP_ERR_FORMAT, "%s: line %zu: expected a word and a tag, found an empty column",
                         conll->file.path, conll->file.lines.number);
    }
    int status = ESP_OK;
    if (conll->words > 0)
        status = espi_string_add(ctx, &conll->text, " ", 1);
    if (!status && conll->text.length > INT32_MAX)
        return espi_fail(ctx, ESP_ERR_LIMIT, "%s: line %zu: expected a sentence of less than 2 GiB", conll->file.path,
                         conll->file.lines.number);
    if (!status)
        status = espi_grow(ctx, &conll->begins, &conll->begin_capacity, conll->words + 1, sizeof(*conll->begins));
    if (!status)
        status = espi_grow(ctx, &conll->tag_begins, &conll->tag_capacity, conll->words + 1, sizeof(*conll->tag_begins));
    if (status)
        return status;
    conll->begins[conll->words] = (uint32_t)conll->text.length;
    conll->tag_begins[conll->words++] = conll->tags.length;
    status = espi_string_add(ctx, &conll->text, word->data, word->bytes);
    if (!status)
        status = espi_string_add(ctx, &conll->tags, tag->data, tag->bytes);
    return status ? status : espi_string_add(ctx, &conll->tags, "", 1);
}

static int make_example(esp_context *ctx, struct conll *conll, struct espi_example **out)
{
    struct espi_example *example = NULL;
    int status = espi_example_new(ctx, conll->file.path, conll->number, &example);
    if (status)
        return status;
    status = espi_example_text(ctx, example, conll->text.data, conll->text.length, &example->text);
    struct espi_text tags = {0};
    if (!status)
        status = espi_example_text(ctx, example, conll->tags.data, conll->tags.length, &tags);
    if (status)
        goto fail;
    status = ESP_ERR_MEMORY;
    example->word_begin = espi_arena_alloc(ctx, &example->arena, conll->words, sizeof(*example->word_begin));
    example->tags = espi_arena_alloc(ctx, &example->arena, conll->words, sizeof(*example->tags));
    if (!example->word_begin || !example->tags)
        goto fail;
    for (size_t i = 0; i < conll->words; i++) {
        example->word_begin[i] = conll->begins[i];
        example->tags[i] = tags.data + conll->tag_begins[i];
    }
    example->word_count = conll->words;
    conll->words = conll->text.length = conll->tags.length = 0;
    *out = example;
    return 1;
fail:
    espi_example_free(example);
    return status;
}

/* Takes the line apart; it has a word unless it is a comment or extra. */
static int read_word(esp_context *ctx, struct conll *conll)
{
    int status = split(ctx, conll);
    if (status || is_comment(conll))
        return status;
    if (!conll->decided) {
        conll->conllu = conll->field_count == CONLLU_COLUMNS &&
                        memchr(conll->file.lines.text, '\t', conll->file.lines.length) &&
                        is_conllu_id(&conll->fields[0]);
        conll->decided = true;
    }
    conll->columns = conll->field_count;
    if (conll->conllu && conll->field_count != CONLLU_COLUMNS)
        return line_fail(ctx, conll, "the 10 columns of CoNLL-U", conll->field_count);
    if (is_extra(conll))
        return ESP_OK;
    size_t word = conll->word_column ? conll->word_column - 1 : conll->conllu ? CONLLU_WORD : 0;
    size_t label = conll->label_column ? conll->label_column - 1 : conll->conllu ? CONLLU_UPOS : conll->field_count - 1;
    if (conll->field_count < 2 && !conll->word_column)
        return line_fail(ctx, conll, "a word and its tag", conll->field_count);
    if (word >= conll->field_count || label >= conll->field_count)
        return line_fail(ctx, conll, "the word and tag columns asked for", conll->field_count);
    return add_word(ctx, conll, &conll->fields[word], &conll->fields[label]);
}

static int conll_next(esp_context *ctx, struct espi_dataset *dataset, struct espi_example **out)
{
    struct conll *conll = (struct conll *)dataset;
    int status;
    while ((status = espi_lines_next(ctx, &conll->file.lines)) > 0) {
        bool document = !strncmp(conll->file.lines.text, "-DOCSTART-", 10);
        if (!document && !is_blank(&conll->file.lines)) {
            if ((status = read_word(ctx, conll)))
                return status;
        } else if (conll->words > 0) {
            return make_example(ctx, conll, out);
        }
    }
    return status == 0 && conll->words > 0 ? make_example(ctx, conll, out) : status;
}

static int column_option(esp_context *ctx, const char *name, const char *option, size_t *column)
{
    *column = 0;
    if (!option)
        return ESP_OK;
    char *end;
    errno = 0;
    unsigned long number = strtoul(option, &end, 10);
    if (*option < '0' || *option > '9' || *end || errno || number == 0)
        return espi_fail(ctx, ESP_ERR_ARGUMENT, "%s column: expected a number from 1, found \"%s\"", name, option);
    *column = number;
    return ESP_OK;
}

int espi_conll_open(esp_context *ctx, struct espi_data_file *file, const struct espi_task_options *options,
                    struct espi_dataset **out)
{
    *out = NULL;
    struct conll *conll = espi_calloc(ctx, 1, sizeof(*conll));
    if (!conll) {
        espi_data_file_close(file);
        return ESP_ERR_MEMORY;
    }
    conll->base.next = conll_next;
    conll->base.close = conll_close;
    conll->file = *file;
    int status;
    if ((status = column_option(ctx, "word", options->word_column, &conll->word_column)) ||
        (status = column_option(ctx, "label", options->label_column, &conll->label_column))) {
        conll_close(&conll->base);
        return status;
    }
    *out = &conll->base;
    return ESP_OK;
}
