/* SPDX-License-Identifier: Apache-2.0 */
#include "create/demo/demo_corpus.h"

#include "base/file.h"
#include "base/json.h"
#include "base/random.h"
#include "base/size.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- words and grammar -------------------------------------------------------------------------------------------------- */

#define WORDS(list, ...) static const char *const list[] = {__VA_ARGS__};
#include "create/demo/demo_words.inc"
#undef WORDS

enum kind { PERSON, TOWN, YEAR, JOB, THING, SUBJECT, NUMBER, ANIMAL, KINDS };
enum { SLOTS = 4, FIRST_YEAR = 1801, YEARS = 24, FIRST_NUMBER = 3, NUMBERS = 18 };

/* Words of a kind: any of `first`, with any of `second` behind it; or numbers. */
static const struct kind_words {
    const char *const *first, *const *second; // NULL: none
    size_t firsts, seconds;
    unsigned lowest; // without `first`
} kinds[KINDS] = {
    [PERSON] = {first_names, last_names, ESPI_COUNT(first_names), ESPI_COUNT(last_names), 0},
    [TOWN] = {towns, NULL, ESPI_COUNT(towns), 1, 0},
    [YEAR] = {NULL, NULL, YEARS, 1, FIRST_YEAR},
    [JOB] = {jobs, NULL, ESPI_COUNT(jobs), 1, 0},
    [THING] = {materials, objects, ESPI_COUNT(materials), ESPI_COUNT(objects), 0},
    [SUBJECT] = {subjects, NULL, ESPI_COUNT(subjects), 1, 0},
    [NUMBER] = {NULL, NULL, NUMBERS, 1, FIRST_NUMBER},
    [ANIMAL] = {animals, NULL, ESPI_COUNT(animals), 1, 0},
};

enum relation {
#define RELATION(name, ...) RELATION_##name,
#define SAY(text)
#define ASK(slot, text)
#include "create/demo/demo_grammar.inc"
#undef RELATION
    RELATIONS
};

static const enum kind relation_kinds[RELATIONS][SLOTS] = {
#define RELATION(name, ...) {__VA_ARGS__},
#include "create/demo/demo_grammar.inc"
#undef RELATION
#undef SAY
#undef ASK
};

/* The rows of the grammar in its order. */
enum row_kind { ROW_RELATION, ROW_SAY, ROW_ASK };
static const struct row {
    enum row_kind kind;
    size_t slot;
    const char *text;
} rows[] = {
#define RELATION(name, ...) {ROW_RELATION, 0, #name},
#define SAY(text)           {ROW_SAY, 0, text},
#define ASK(slot, text)     {ROW_ASK, slot, text},
#include "create/demo/demo_grammar.inc"
#undef RELATION
#undef SAY
#undef ASK
};

/* ---- passages ----------------------------------------------------------------------------------------------------------- */

enum { MOST_PEOPLE = ESPI_DEMO_PEOPLE, TEXT_BYTES = 1024, VALUE_BYTES = 40 };

struct text {
    char data[TEXT_BYTES];
    size_t length;
};

struct fact {
    enum relation relation;
    size_t values[SLOTS]; // numbers within the passage's values of the slot's kind
    size_t begin, end;    // of its sentence in the passage's text
    size_t starts[SLOTS]; // of the slots there
};

struct passage {
    size_t people;
    char values[KINDS][MOST_PEOPLE][VALUE_BYTES];
    struct fact fact[MOST_PEOPLE]; // one about each
    struct text text;
};

static void append(struct text *text, const char *more, size_t length)
{
    length = espi_size_min(length, TEXT_BYTES - 1 - text->length); // never less: sentences are short
    memcpy(text->data + text->length, more, length);
    text->length += length;
    text->data[text->length] = '\0';
}

/* The pairs of words are dealt out to the splits: one in five to dev. */
static bool in_split(enum espi_demo_split split, size_t first, size_t second)
{
    return ((first + 2 * second) % 5 == 0) == (split == ESPI_DEMO_DEV);
}

/* Different words of a kind, in both parts where there are two. */
static void draw_values(struct espi_random *random, enum espi_demo_split split, enum kind kind, struct passage *passage)
{
    const struct kind_words *words = &kinds[kind];
    size_t firsts[MOST_PEOPLE], seconds[MOST_PEOPLE];
    for (size_t i = 0; i < passage->people;) {
        bool taken = false;
        firsts[i] = espi_random_below(random, words->firsts);
        seconds[i] = espi_random_below(random, words->seconds);
        for (size_t j = 0; j < i; j++)
            taken |= firsts[i] == firsts[j] || (words->second && seconds[i] == seconds[j]);
        if (taken || (words->second && !in_split(split, firsts[i], seconds[i])))
            continue;
        char *value = passage->values[kind][i];
        if (!words->first)
            snprintf(value, VALUE_BYTES, "%zu", words->lowest + firsts[i]);
        else
            snprintf(value, VALUE_BYTES, "%s%s%s", words->first[firsts[i]], words->second ? " " : "",
                     words->second ? words->second[seconds[i]] : "");
        i++;
    }
}

static void shuffle(struct espi_random *random, size_t *numbers, size_t count)
{
    for (size_t i = 0; i < count; i++)
        numbers[i] = i;
    for (size_t i = count; i > 1; i--) {
        size_t other = espi_random_below(random, i), kept = numbers[i - 1];
        numbers[i - 1] = numbers[other];
        numbers[other] = kept;
    }
}

/* A fact of the relation about each person. Each kind's values go round in an order of their own; a kind that stands
 * twice goes round shifted, so that nobody is his own pupil. */
static void draw_facts(struct espi_random *random, enum relation relation, struct passage *passage)
{
    const enum kind *slots = relation_kinds[relation];
    size_t order[KINDS][MOST_PEOPLE], shift = 1 + espi_random_below(random, passage->people - 1);
    for (size_t k = 0; k < KINDS; k++)
        shuffle(random, order[k], passage->people);
    for (size_t i = 0; i < passage->people; i++) {
        passage->fact[i].relation = relation;
        for (size_t s = 0; s < SLOTS; s++) {
            bool again = (s > 0 && slots[s] == slots[0]) || (s > 1 && slots[s] == slots[1]);
            passage->fact[i].values[s] = order[slots[s]][(i + (again ? shift : 0)) % passage->people];
        }
    }
}

static const char *value_of(const struct passage *passage, const struct fact *fact, size_t slot)
{
    return passage->values[relation_kinds[fact->relation][slot]][fact->values[slot]];
}

/* Writes a row's text with its slots filled in; `starts` (may be NULL) gets their places. */
static void fill(const struct passage *passage, const struct fact *fact, const char *row, struct text *text,
                 size_t *starts)
{
    for (const char *at = row; *at; at++) {
        if (*at != '$') {
            append(text, at, 1);
            continue;
        }
        size_t slot = (size_t)(*++at - '0');
        const char *value = value_of(passage, fact, slot);
        if (starts)
            starts[slot] = text->length;
        append(text, value, strlen(value));
    }
}

/* One of the relation's rows of that kind (and slot). */
static const char *draw_row(struct espi_random *random, enum relation relation, enum row_kind kind, size_t slot)
{
    const char *found[ESPI_COUNT(rows)];
    size_t count = 0, at = SIZE_MAX; // relation the rows belong to
    for (size_t i = 0; i < ESPI_COUNT(rows); i++) {
        at += rows[i].kind == ROW_RELATION;
        if (at == relation && rows[i].kind == kind && rows[i].slot == slot)
            found[count++] = rows[i].text;
    }
    return found[espi_random_below(random, count)];
}

static void draw_passage(struct espi_random *random, const struct espi_demo_corpus *corpus, struct passage *passage)
{
    passage->people = 2 + espi_random_below(random, corpus->people - 1);
    passage->text.length = 0;
    for (size_t k = 0; k < KINDS; k++)
        draw_values(random, corpus->split, (enum kind)k, passage);
    draw_facts(random, (enum relation)espi_random_below(random, RELATIONS), passage);
    for (size_t i = 0; i < passage->people; i++) {
        struct fact *fact = &passage->fact[i];
        append(&passage->text, " ", i > 0);
        fact->begin = passage->text.length;
        fill(passage, fact, draw_row(random, fact->relation, ROW_SAY, 0), &passage->text, fact->starts);
        fact->end = passage->text.length;
    }
}

/* ---- files -------------------------------------------------------------------------------------------------------------- */

struct files {
    struct espi_json_writer *squad;
    FILE *text, *tags; // NULL: none
};

/* A question about a passage. */
struct question {
    const struct passage *passage;
    const struct fact *fact;
    size_t slot; // the answer
    struct text text;
};

/* Bytes of the word, number or mark at the beginning of the text. */
static size_t word_length(const char *text)
{
    size_t length = 0;
    while (isalnum((unsigned char)text[length]))
        length++;
    return length ? length : 1;
}

static bool has_word(const char *text, const char *word, size_t length)
{
    for (; *text; text += word_length(text))
        if (word_length(text) == length && strncmp(text, word, length) == 0)
            return true;
    return false;
}

/* Is the word one of a slot's, and does the question ask by it? */
static bool is_key(const struct question *question, const char *word, size_t length)
{
    for (size_t s = 0; s < SLOTS; s++)
        if (s != question->slot && has_word(value_of(question->passage, question->fact, s), word, length))
            return has_word(question->text.data, word, length);
    return false;
}

/* What a word of the passage is to the question. */
static const char *tag_of(const struct question *question, size_t at, size_t length)
{
    const struct fact *fact = question->fact;
    size_t answer = fact->starts[question->slot];
    if (at >= answer && at < answer + strlen(value_of(question->passage, fact, question->slot)))
        return "ANSWER";
    if (is_key(question, question->passage->text.data + at, length))
        return "KEY";
    return at >= fact->begin && at < fact->end ? "FACT" : "O";
}

/* The question's and the passage's words, a line each with its tag. */
static void write_tags(const struct question *question, FILE *stream)
{
    const char *texts[] = {question->text.data, question->passage->text.data};
    for (size_t t = 0; t < 2; t++)
        for (size_t at = 0, length; texts[t][at]; at += length) {
            length = word_length(texts[t] + at);
            if (texts[t][at] != ' ')
                fprintf(stream, "%.*s %s\n", (int)length, texts[t] + at, t ? tag_of(question, at, length) : "O");
        }
    putc('\n', stream);
}

static void put_question(struct espi_json_writer *w, const struct question *question, size_t passage, size_t number)
{
    char id[48];
    snprintf(id, sizeof id, "%zu-%zu", passage, number);
    espi_put_object(w, NULL);
    espi_put_string(w, "id", id);
    espi_put_string(w, "question", question->text.data);
    espi_put_array(w, "answers");
    espi_put_object(w, NULL);
    espi_put_string(w, "text", value_of(question->passage, question->fact, question->slot));
    espi_put_size(w, "answer_start", question->fact->starts[question->slot]);
    espi_put_object_end(w);
    espi_put_array_end(w);
    espi_put_object_end(w);
}

static void add_passage(const struct espi_demo_corpus *corpus, size_t number, const struct files *files)
{
    struct espi_random random = {.seed = corpus->seed,
                                 .stream = 2 * (uint64_t)number + (corpus->split == ESPI_DEMO_DEV)};
    struct passage passage;
    size_t order[MOST_PEOPLE * SLOTS];
    draw_passage(&random, corpus, &passage);
    size_t all = passage.people * SLOTS, count = corpus->questions ? espi_size_min(corpus->questions, all) : all;
    shuffle(&random, order, all);
    if (files->text)
        fprintf(files->text, "%s\n", passage.text.data);
    espi_put_object(files->squad, NULL);
    espi_put_string(files->squad, "context", passage.text.data);
    espi_put_array(files->squad, "qas");
    for (size_t i = 0; i < count; i++) {
        struct question question = {
            .passage = &passage, .fact = &passage.fact[order[i] / SLOTS], .slot = order[i] % SLOTS};
        const char *row = draw_row(&random, question.fact->relation, ROW_ASK, question.slot);
        fill(&passage, question.fact, row, &question.text, NULL);
        if (files->text)
            fprintf(files->text, "%s\n", question.text.data);
        if (files->tags)
            write_tags(&question, files->tags);
        put_question(files->squad, &question, number, order[i]);
    }
    espi_put_array_end(files->squad);
    espi_put_object_end(files->squad);
}

static void begin_squad(struct espi_json_writer *w)
{
    espi_put_object(w, NULL);
    espi_put_string(w, "version", "1.1");
    espi_put_array(w, "data");
    espi_put_object(w, NULL);
    espi_put_string(w, "title", "demo");
    espi_put_array(w, "paragraphs");
}

static int write_squad(esp_context *ctx, struct espi_json_writer *w, const char *path)
{
    espi_put_array_end(w);
    espi_put_object_end(w);
    espi_put_array_end(w);
    espi_put_object_end(w);
    return espi_json_writer_file(ctx, w, path);
}

int espi_demo_corpus_write(esp_context *ctx, const struct espi_demo_corpus *corpus, const char *squad, const char *text,
                           const char *tags)
{
    struct espi_output texts = {0}, tagged = {0};
    struct espi_json_writer w = {.exact = true};
    int status = text ? espi_output_create(ctx, &texts, text) : ESP_OK;
    if (!status && tags)
        status = espi_output_create(ctx, &tagged, tags);
    const struct files files = {&w, texts.stream, tagged.stream};
    begin_squad(&w);
    for (size_t i = 0; !status && i < corpus->passages; i++)
        add_passage(corpus, i, &files);
    if (!status && text)
        status = espi_output_commit(ctx, &texts);
    if (!status && tags)
        status = espi_output_commit(ctx, &tagged);
    espi_output_abort(&texts);
    espi_output_abort(&tagged);
    if (!status && squad)
        return write_squad(ctx, &w, squad);
    free(w.data);
    return status;
}
