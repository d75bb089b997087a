/* SPDX-License-Identifier: Apache-2.0
 * What the files of `espalier demo` share: the run, its sizes, and the figures of its models. */
#ifndef ESPI_CLI_DEMO_H
#define ESPI_CLI_DEMO_H

#include "create/demo/demo_create.h"

/* A row of the table. */
struct demo_row {
    const char *title, *name; // name: in DIR
    double exact_match, f1;   // percent
    size_t bytes;             // of the weights' file; 0: none
    double ms;                // a question, alone, one thread (median); 0: not measured
    double questions_per_s;   // many at a time, all threads
};
enum { DEMO_ROWS = 5, DEMO_ANSWERS = 3 };

/* A question answered by the sparse file. */
struct demo_answer {
    char *context, *question, *expected, *answer;
    double score;
};

/* Figures of all rows: EM and F1 of each on the dev questions, then the times, turn by turn. */
int demo_measure(esp_context *ctx, const struct espi_demo *demo, struct demo_row rows[DEMO_ROWS]) ESPI_NODISCARD;
/* Three dev questions through the way `espalier run` takes. Free with demo_answers_clear. */
int demo_ask(esp_context *ctx, const struct espi_demo *demo, struct demo_answer answers[DEMO_ANSWERS]) ESPI_NODISCARD;
void demo_answers_clear(struct demo_answer answers[DEMO_ANSWERS]);

#endif
