/* SPDX-License-Identifier: Apache-2.0
 * Unigram vocabularies (Kudo, "Subword regularization", ACL 2018, section 3.2): from the most frequent substrings of the words,
 * expectation maximisation of their probabilities, in turns with leaving out those whose loss costs the least. As Hugging Face's
 * UnigramTrainer does it, but for its suffix array; characters of the alphabet always stay. */
#include "create/vocab/vocab_models.h"

#include "base/size.h"
#include "base/utf8.h"
#include "text/metaspace.h"
#include "text/trie.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    MAX_PIECE_CHARS = 16,
    MAX_SEEDS = 1000000,
    MAX_SUBSTRINGS = 1 << 24, // different ones that are counted
    STEPS = 2,                // of expectation maximisation between two prunings
    WORD_BYTES = 4 * ESPI_VOCAB_WORD_CHARS,
    UNKNOWN = -1,
};

#define LOG_0 ((double)-INFINITY)

static const double kept_share = 0.75, more_than_wanted = 1.1, least_expected = 0.5, unknown_penalty = 10;

struct piece {
    const char *text; // in the arena
    size_t bytes, chars;
    double score;    // log probability
    double expected; // occurrences
    double loss;     // of leaving it out
};

struct unigram {
    esp_context *ctx;
    const struct espi_vocab_options *options;
    struct espi_arena arena;
    struct espi_word_entry *words; // (word_count) by their text
    size_t word_count;
    struct piece *pieces; // (count)
    size_t count, capacity;
    struct espi_trie trie; // values: places in pieces
    double unknown_score;
};

/* ---- seeds -------------------------------------------------------------------------------------------------------------- */

static int by_text(const void *a, const void *b)
{
    const struct espi_word_entry *left = a, *right = b;
    return strcmp(left->text, right->text);
}

static size_t char_bytes(const char *text)
{
    unsigned char first = (unsigned char)*text;
    return first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
}

/* Sums the counts of all substrings of a word of `least` to `most` characters. */
static int count_substrings(struct unigram *u, const struct espi_word_entry *word, size_t least, size_t most,
                            struct espi_word_table *table)
{
    for (size_t begin = 0; begin < word->bytes; begin += char_bytes(word->text + begin)) {
        size_t end = begin;
        for (size_t chars = 1; chars <= most && end < word->bytes; chars++) {
            size_t number = 0;
            end += char_bytes(word->text + end);
            if (chars < least)
                continue;
            if (table->count >= MAX_SUBSTRINGS) {
                number = espi_word_table_find(table, word->text + begin, end - begin);
                if (number == SIZE_MAX)
                    continue;
            } else {
                int status = espi_word_table_get(u->ctx, &u->arena, table, word->text + begin, end - begin, &number);
                if (status)
                    return status;
            }
            table->entries[number].count += word->count;
        }
    }
    return ESP_OK;
}

static int add_piece(struct unigram *u, const struct espi_word_entry *entry)
{
    int status = espi_grow(u->ctx, &u->pieces, &u->capacity, u->count + 1, sizeof *u->pieces);
    if (status)
        return status;
    size_t chars = espi_utf8_length(entry->text, entry->bytes);
    u->pieces[u->count++] = (struct piece){
        .text = entry->text, .bytes = entry->bytes, .chars = chars, .expected = (double)entry->count * (double)chars};
    return ESP_OK;
}

static int more_first(const void *a, const void *b)
{
    const struct piece *left = a, *right = b;
    if (left->expected != right->expected)
        return left->expected > right->expected ? -1 : 1;
    return strcmp(left->text, right->text);
}

/* The best substrings of a kind: characters that the alphabet keeps, or seeds. */
static int add_best(struct unigram *u, size_t least, size_t most, uint64_t min_count, size_t limit)
{
    struct espi_word_table table = {0};
    size_t first = u->count;
    int status = ESP_OK;
    for (size_t i = 0; i < u->word_count && !status; i++)
        status = count_substrings(u, &u->words[i], least, most, &table);
    for (size_t i = 0; i < table.count && !status; i++)
        if (table.entries[i].count >= min_count)
            status = add_piece(u, &table.entries[i]);
    espi_word_table_clear(&table);
    if (status)
        return status;
    qsort(u->pieces + first, u->count - first, sizeof *u->pieces, more_first);
    u->count = espi_size_min(u->count, first + limit);
    return ESP_OK;
}

static int find_seeds(struct unigram *u)
{
    size_t alphabet = u->options->limit_alphabet ? u->options->limit_alphabet : SIZE_MAX / 2;
    double sum = 0;
    int status = add_best(u, 1, 1, 1, alphabet);
    if (!status)
        status = add_best(u, 2, MAX_PIECE_CHARS, u->options->min_frequency, MAX_SEEDS);
    for (size_t i = 0; i < u->count; i++)
        sum += u->pieces[i].expected;
    for (size_t i = 0; i < u->count; i++)
        u->pieces[i].score = log(u->pieces[i].expected) - log(sum);
    return status;
}

/* ---- ways to write a word -------------------------------------------------------------------------------------------------- */

/* Sorts pieces by text, as the trie wants them, and builds it. */
static int piece_order(const void *a, const void *b)
{
    const struct piece *left = a, *right = b;
    return strcmp(left->text, right->text);
}

static int build_trie(struct unigram *u)
{
    struct espi_trie_set set = {.keys = espi_calloc(u->ctx, u->count, sizeof *set.keys), .count = u->count};
    if (!set.keys)
        return ESP_ERR_MEMORY;
    qsort(u->pieces, u->count, sizeof *u->pieces, piece_order);
    u->unknown_score = 0;
    for (size_t i = 0; i < u->count; i++) {
        const struct piece *piece = &u->pieces[i];
        set.keys[i] = (struct espi_trie_key){(const unsigned char *)piece->text, piece->bytes, (uint32_t)i};
        u->unknown_score = fmin(u->unknown_score, piece->score - unknown_penalty);
    }
    espi_trie_clear(&u->trie);
    int status = espi_trie_build(u->ctx, &u->trie, &set, 1);
    free(set.keys);
    return status;
}

/* A piece that a word has at a place. */
struct edge {
    uint32_t begin, end;
    int32_t piece; // UNKNOWN: a character outside of the alphabet
};

struct lattice {
    struct edge edges[(ESPI_VOCAB_WORD_CHARS + 1) * MAX_PIECE_CHARS];
    size_t count;
    double forward[WORD_BYTES + 1], backward[WORD_BYTES + 1];
};

/* All pieces of a text in the order of their beginnings, but for one that is not asked for (or UNKNOWN). */
static void find_edges(const struct unigram *u, const char *text, size_t bytes, int32_t without, struct lattice *l)
{
    const unsigned char *data = (const unsigned char *)text;
    l->count = 0;
    for (size_t at = 0, length; at < bytes; at += length) {
        uint64_t node = u->trie.nodes[0];
        bool single = false;
        length = char_bytes(text + at);
        for (size_t end = at; end < bytes && espi_trie_step(&u->trie, node, data[end], &node);) {
            int32_t piece = espi_trie_value(node);
            end++;
            if (piece < 0 || piece == without)
                continue;
            single |= end == at + length;
            l->edges[l->count++] = (struct edge){(uint32_t)at, (uint32_t)end, piece};
        }
        if (!single)
            l->edges[l->count++] = (struct edge){(uint32_t)at, (uint32_t)(at + length), UNKNOWN};
    }
}

static double score_of(const struct unigram *u, const struct edge *edge)
{
    return edge->piece == UNKNOWN ? u->unknown_score : u->pieces[edge->piece].score;
}

static double log_add(double a, double b)
{
    double high = fmax(a, b), low = fmin(a, b);
    return low == LOG_0 ? high : high + log1p(exp(low - high));
}

/* Adds how often each piece is to be expected in a word. */
static void expect(struct unigram *u, const struct espi_word_entry *word, struct lattice *l)
{
    find_edges(u, word->text, word->bytes, UNKNOWN, l);
    for (size_t i = 0; i <= word->bytes; i++)
        l->forward[i] = l->backward[i] = LOG_0;
    l->forward[0] = l->backward[word->bytes] = 0;
    for (size_t i = 0; i < l->count; i++) {
        const struct edge *edge = &l->edges[i];
        l->forward[edge->end] = log_add(l->forward[edge->end], l->forward[edge->begin] + score_of(u, edge));
    }
    for (size_t i = l->count; i-- > 0;) {
        const struct edge *edge = &l->edges[i];
        l->backward[edge->begin] = log_add(l->backward[edge->begin], l->backward[edge->end] + score_of(u, edge));
    }
    for (size_t i = 0; i < l->count; i++) {
        const struct edge *edge = &l->edges[i];
        double way = l->forward[edge->begin] + score_of(u, edge) + l->backward[edge->end] - l->backward[0];
        if (edge->piece != UNKNOWN)
            u->pieces[edge->piece].expected += (double)word->count * exp(way);
    }
}

/* The best way: its edges, from the last to the first, in path: (chars). Returns their number. */
static size_t best_way(const struct unigram *u, const char *text, size_t bytes, int32_t without, struct lattice *l,
                       struct edge path[ESPI_VOCAB_WORD_CHARS])
{
    uint32_t last[WORD_BYTES + 1];
    find_edges(u, text, bytes, without, l);
    for (size_t i = 0; i <= bytes; i++)
        l->forward[i] = LOG_0;
    l->forward[0] = 0;
    for (uint32_t i = 0; i < l->count; i++) {
        const struct edge *edge = &l->edges[i];
        double score = l->forward[edge->begin] + score_of(u, edge);
        if (score > l->forward[edge->end]) {
            l->forward[edge->end] = score;
            last[edge->end] = i;
        }
    }
    size_t count = 0;
    for (size_t end = bytes; end > 0; end = path[count++].begin)
        path[count] = l->edges[last[end]];
    return count;
}

/* ---- training ----------------------------------------------------------------------------------------------------------------- */

/* The derivative of log Γ (Abramowitz and Stegun, 6.3.18). */
static double digamma(double x)
{
    double sum = 0;
    for (; x < 7; x++)
        sum -= 1 / x;
    double half = x - 0.5, squared = 1 / (half * half);
    return sum + log(half) +
           squared * (1.0 / 24 - squared * (7.0 / 960 - squared * (31.0 / 8064 - squared * (127.0 / 30720))));
}

static int step(struct unigram *u, struct lattice *l)
{
    int status = build_trie(u);
    double sum = 0;
    size_t kept = 0;
    for (size_t i = 0; i < u->count; i++)
        u->pieces[i].expected = 0;
    for (size_t i = 0; i < u->word_count && !status; i++)
        expect(u, &u->words[i], l);
    for (size_t i = 0; i < u->count; i++) {
        struct piece *piece = &u->pieces[i];
        if (piece->chars == 1)
            piece->expected = fmax(piece->expected, least_expected);
        if (piece->expected >= least_expected) {
            sum += piece->expected;
            u->pieces[kept++] = *piece;
        }
    }
    u->count = kept;
    for (size_t i = 0; i < u->count; i++)
        u->pieces[i].score = digamma(u->pieces[i].expected) - digamma(sum);
    return status;
}

/* What the likelihood loses without a piece: its occurrences go to the pieces of its next best way. */
static double loss_of(const struct unigram *u, int32_t number, double sum, struct lattice *l)
{
    const struct piece *piece = &u->pieces[number];
    struct edge path[ESPI_VOCAB_WORD_CHARS];
    if (piece->chars == 1)
        return -LOG_0;
    size_t count = best_way(u, piece->text, piece->bytes, UNKNOWN, l, path);
    if (count > 1 || piece->expected <= 0) // its own text is not written with it
        return LOG_0;
    count = best_way(u, piece->text, piece->bytes, number, l, path);
    double with = log(piece->expected) - log(sum), without = 0;
    double other_sum = log(sum + piece->expected * (double)(count - 1));
    for (size_t i = 0; i < count; i++)
        if (path[i].piece != UNKNOWN)
            without += log(u->pieces[path[i].piece].expected + piece->expected) - other_sum;
    return piece->expected / sum * (with - without);
}

static int dearest_first(const void *a, const void *b)
{
    const struct piece *left = a, *right = b;
    if (left->loss != right->loss)
        return left->loss > right->loss ? -1 : 1;
    return strcmp(left->text, right->text);
}

/* Keeps three quarters, but no fewer than are wanted. */
static int prune(struct unigram *u, size_t wanted, struct lattice *l)
{
    int status = build_trie(u);
    double sum = 0;
    struct edge path[ESPI_VOCAB_WORD_CHARS];
    for (size_t i = 0; i < u->count; i++)
        u->pieces[i].expected = 0;
    for (size_t i = 0; i < u->word_count && !status; i++) {
        const struct espi_word_entry *word = &u->words[i];
        size_t count = best_way(u, word->text, word->bytes, UNKNOWN, l, path);
        for (size_t k = 0; k < count; k++)
            if (path[k].piece != UNKNOWN)
                u->pieces[path[k].piece].expected += (double)word->count;
    }
    for (size_t i = 0; i < u->count; i++)
        sum += u->pieces[i].expected;
    for (size_t i = 0; i < u->count && !status; i++)
        u->pieces[i].loss = loss_of(u, (int32_t)i, sum, l);
    qsort(u->pieces, u->count, sizeof *u->pieces, dearest_first);
    u->count = espi_size_min(u->count, espi_size_max(wanted, (size_t)(kept_share * (double)u->count)));
    return status;
}

/* Characters first, then the most probable pieces; in the order of their scores. */
static int better_first(const void *a, const void *b)
{
    const struct piece *left = a, *right = b;
    if (left->score != right->score)
        return left->score > right->score ? -1 : 1;
    return strcmp(left->text, right->text);
}

static int chars_first(const void *a, const void *b)
{
    const struct piece *left = a, *right = b;
    bool single = left->chars == 1;
    return single != (right->chars == 1) ? (single ? -1 : 1) : better_first(a, b);
}

static int train_pieces(struct unigram *u, struct espi_progress *progress, struct lattice *l)
{
    size_t wanted = u->options->size - espi_size_min(u->options->size, ESPI_COUNT(espi_vocab_specials));
    size_t enough = (size_t)(more_than_wanted * (double)wanted);
    int status = find_seeds(u);
    while (!status) {
        for (size_t i = 0; i < STEPS && !status; i++)
            status = step(u, l);
        size_t before = u->count;
        if (status || before <= enough)
            break;
        status = prune(u, enough, l);
        if (progress)
            espi_progress_update(progress, u->count, NULL);
        if (progress && espi_watch_stops(&progress->watch))
            return espi_fail(u->ctx, ESP_ERR_CANCELLED, "interrupted");
        if (u->count == before) // nothing but characters
            break;
    }
    qsort(u->pieces, u->count, sizeof *u->pieces, chars_first);
    u->count = espi_size_min(u->count, wanted);
    qsort(u->pieces, u->count, sizeof *u->pieces, better_first);
    return status;
}

/* ---- tokenizer.json --------------------------------------------------------------------------------------------------------------- */

static void put_stages(struct espi_json_writer *w)
{
    static const char normalizer[] = "{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"Nmt\"},{\"type\":\"NFKC\"},"
                                     "{\"type\":\"Replace\",\"pattern\":{\"Regex\":\" {2,}\"},\"content\":\" \"}]}";
    espi_put_raw(w, "normalizer", normalizer, sizeof normalizer - 1);
    espi_metaspace_put(w, "pre_tokenizer");
}

static void put_piece(struct espi_json_writer *w, const char *text, double score)
{
    espi_put_array(w, NULL);
    espi_put_string(w, NULL, text);
    espi_put_number(w, NULL, score);
    espi_put_array_end(w);
}

static void put_model(struct espi_json_writer *w, const struct unigram *u)
{
    espi_put_object(w, "model");
    espi_put_string(w, "type", "Unigram");
    espi_put_integer(w, "unk_id", 3);
    espi_put_array(w, "vocab");
    for (size_t i = 0; i < ESPI_COUNT(espi_vocab_specials); i++)
        put_piece(w, espi_vocab_specials[i], 0);
    for (size_t i = 0; i < u->count; i++)
        put_piece(w, u->pieces[i].text, u->pieces[i].score);
    espi_put_array_end(w);
    espi_put_bool(w, "byte_fallback", false);
    espi_put_object_end(w);
}

static int copy_words(struct unigram *u, const struct espi_word_table *words)
{
    u->words = espi_calloc(u->ctx, words->count, sizeof *u->words);
    if (!u->words)
        return ESP_ERR_MEMORY;
    memcpy(u->words, words->entries, words->count * sizeof *u->words);
    u->word_count = words->count;
    qsort(u->words, u->word_count, sizeof *u->words, by_text);
    return ESP_OK;
}

static int train(esp_context *ctx, const struct espi_vocab_options *options, const struct espi_word_table *words,
                 struct espi_progress *progress, struct espi_json_writer *w)
{
    struct unigram u = {.ctx = ctx, .options = options};
    struct lattice *lattice = espi_calloc(ctx, 1, sizeof *lattice);
    int status = lattice ? copy_words(&u, words) : ESP_ERR_MEMORY;
    if (!status)
        status = train_pieces(&u, progress, lattice);
    if (!status) {
        espi_vocab_put_specials(w);
        espi_vocab_put_template(w, false);
        espi_metaspace_put(w, "decoder");
        put_model(w, &u);
    }
    free(lattice);
    free(u.words);
    free(u.pieces);
    espi_trie_clear(&u.trie);
    espi_arena_clear(&u.arena);
    return status;
}

const struct espi_vocab_model_form espi_vocab_unigram = {put_stages, train};
