/* SPDX-License-Identifier: Apache-2.0 */
#include "create/demo/demo_baseline.h"

#include "base/json.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_WORDS = 512 };

struct word {
    const char *start;
    size_t length, sentence;
};

struct words {
    struct word list[MOST_WORDS]; // (count)
    size_t count;
};

static void split(const char *text, struct words *words)
{
    size_t sentence = 0;
    words->count = 0;
    while (*text && words->count < MOST_WORDS) {
        const char *start = text;
        while (isalnum((unsigned char)*text))
            text++;
        if (text > start)
            words->list[words->count++] = (struct word){start, (size_t)(text - start), sentence};
        else
            sentence += *text++ == '.';
    }
}

static bool same(const struct word *a, const struct word *b)
{
    return a->length == b->length && strncasecmp(a->start, b->start, a->length) == 0;
}

static bool contains(const struct words *words, size_t from, size_t to, const struct word *word)
{
    for (size_t i = from; i < to; i++)
        if (same(&words->list[i], word))
            return true;
    return false;
}

/* One by the number of the passage's sentences that have the word; 0: none has. */
static double rarity(const struct words *passage, const struct word *word)
{
    size_t sentences = 0, last = SIZE_MAX;
    for (size_t i = 0; i < passage->count; i++)
        if (passage->list[i].sentence != last && same(&passage->list[i], word)) {
            last = passage->list[i].sentence;
            sentences++;
        }
    return sentences ? 1.0 / (double)sentences : 0;
}

/* Words from the candidate [from, to) to the nearest such word of its sentence; 0: there is none. */
static size_t distance(const struct words *passage, size_t from, size_t to, const struct word *word)
{
    size_t best = 0;
    for (size_t i = 0; i < passage->count; i++) {
        if (passage->list[i].sentence != passage->list[from].sentence || !same(&passage->list[i], word))
            continue;
        size_t away = i < from ? from - i : i - to + 1;
        best = best == 0 || away < best ? away : best;
    }
    return best;
}

/* Negative: no answer to this question. */
static double score(const struct words *passage, const struct words *question, size_t from, size_t to)
{
    double sum = 0;
    for (size_t i = from; i < to; i++)
        if (contains(question, 0, question->count, &passage->list[i]))
            return -1;
    for (size_t i = 0; i < question->count; i++) {
        const struct word *word = &question->list[i];
        size_t away = contains(question, 0, i, word) ? 0 : distance(passage, from, to, word);
        if (away > 0)
            sum += rarity(passage, word) * (1 + 1.0 / (double)away);
    }
    return sum;
}

/* The candidate's words in the passage: [from, to). */
static void find_words(const struct words *passage, const char *start, size_t length, size_t *from, size_t *to)
{
    *from = 0;
    while (*from < passage->count && passage->list[*from].start < start)
        ++*from;
    *to = *from;
    while (*to < passage->count && passage->list[*to].start < start + length)
        ++*to;
}

/* The best of the right answers to all of the passage's questions. */
static const char *answer(const char *context, const struct words *passage, const json_t *qas, const char *question)
{
    struct words asked;
    const char *best = "";
    double most = -1;
    size_t i, from, to;
    json_t *qa;
    split(question, &asked);
    json_array_foreach(qas, i, qa)
    {
        const json_t *gold = json_array_get(json_object_get(qa, "answers"), 0);
        const char *text = json_string_value(json_object_get(gold, "text"));
        size_t start = (size_t)json_integer_value(json_object_get(gold, "answer_start"));
        if (!text || start > strlen(context))
            continue;
        find_words(passage, context + start, strlen(text), &from, &to);
        double figure = from < to ? score(passage, &asked, from, to) : -1;
        if (figure > most) {
            most = figure;
            best = text;
        }
    }
    return best;
}

static int answer_paragraph(esp_context *ctx, const struct espi_json *paragraph, struct espi_json_writer *answers)
{
    struct words passage;
    const char *context, *id, *question;
    int status = espi_json_get_string(ctx, paragraph, "context", &context, NULL);
    struct espi_json qas = espi_json_at(paragraph, "qas");
    if (!status)
        status = espi_json_expect_array(ctx, &qas);
    if (status)
        return status;
    split(context, &passage);
    for (size_t i = 0; !status && i < espi_json_length(&qas); i++) {
        struct espi_json qa = espi_json_item(&qas, i);
        if ((status = espi_json_expect_object(ctx, &qa)) ||
            (status = espi_json_get_string(ctx, &qa, "id", &id, NULL)) ||
            (status = espi_json_get_string(ctx, &qa, "question", &question, NULL)))
            return status;
        espi_put_string(answers, id, answer(context, &passage, qas.value, question));
    }
    return status;
}

static int answer_all(esp_context *ctx, const struct espi_json *document, struct espi_json_writer *answers)
{
    int status = espi_json_expect_object(ctx, document);
    struct espi_json articles = espi_json_at(document, "data");
    if (!status)
        status = espi_json_expect_array(ctx, &articles);
    for (size_t i = 0; !status && i < espi_json_length(&articles); i++) {
        struct espi_json article = espi_json_item(&articles, i), paragraphs;
        if ((status = espi_json_expect_object(ctx, &article)))
            break;
        paragraphs = espi_json_at(&article, "paragraphs");
        status = espi_json_expect_array(ctx, &paragraphs);
        for (size_t j = 0; !status && j < espi_json_length(&paragraphs); j++) {
            struct espi_json paragraph = espi_json_item(&paragraphs, j);
            status = espi_json_expect_object(ctx, &paragraph);
            if (!status)
                status = answer_paragraph(ctx, &paragraph, answers);
        }
    }
    return status;
}

int espi_demo_baseline(esp_context *ctx, const char *squad, const char *predictions)
{
    struct espi_json document;
    int status = espi_json_open_file(ctx, squad, &document);
    if (status)
        return status;
    struct espi_json_writer answers = {.exact = true};
    espi_put_object(&answers, NULL);
    status = answer_all(ctx, &document, &answers);
    espi_put_object_end(&answers);
    if (!status)
        status = espi_json_writer_file(ctx, &answers, predictions);
    else
        free(answers.data);
    espi_json_close(&document);
    return status;
}
