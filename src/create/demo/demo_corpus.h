/* SPDX-License-Identifier: Apache-2.0
 * A question-answering corpus from a seeded grammar (demo_grammar.inc), in SQuAD format.
 *
 * A passage tells facts of the same kind about two or three people, four things about each: who, where, when, what. A
 * question is a paraphrase of a fact and asks for one of its four; the other three stand beside the answer, and the same
 * four of other people stand in the passage to distract: neither place nor a matching word alone gives the answer. Names
 * of people and things that are put together of two words keep different pairs for each split. */
#ifndef ESPI_CREATE_DEMO_CORPUS_H
#define ESPI_CREATE_DEMO_CORPUS_H

#include "base/status.h"

enum espi_demo_split { ESPI_DEMO_TRAIN, ESPI_DEMO_DEV };

enum { ESPI_DEMO_PEOPLE = 3 }; // in a passage at most

struct espi_demo_corpus {
    uint64_t seed;
    enum espi_demo_split split;
    size_t passages;
    size_t people;    // in a passage at most, 2 or 3
    size_t questions; // of a passage, drawn from all there are; 0: all, one for every slot of every fact
};

/* Writes `squad` (may be NULL): SQuAD 1.1 JSON; `text` (may be NULL): the passages and questions, a line each; `tags` (may be NULL): for
 * every question its words and the passage's in CoNLL columns, a word of the passage with what it is to the question:
 * ANSWER; KEY, a word of the fact that the question names; FACT, another word of the sentence that tells the fact; O. */
int espi_demo_corpus_write(esp_context *ctx, const struct espi_demo_corpus *corpus, const char *squad, const char *text,
                           const char *tags) ESPI_NODISCARD;

#endif
