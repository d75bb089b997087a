/* SPDX-License-Identifier: Apache-2.0
 * A bag of words answers questions: what a corpus gives away without any understanding. */
#ifndef ESPI_CREATE_DEMO_BASELINE_H
#define ESPI_CREATE_DEMO_BASELINE_H

#include "base/status.h"

/* Writes {"question id": "answer"} for a SQuAD file of ASCII text. Candidates are the right answers to all questions
 * about the passage (more than a system could know). The best has the question's words around it: each that stands in
 * its sentence counts by its rarity in the passage, up to twice the nearer it is. Candidates that share a word with the
 * question are no answers. After the sliding window with distances of Richardson et al., "MCTest", EMNLP 2013. */
int espi_demo_baseline(esp_context *ctx, const char *squad, const char *predictions) ESPI_NODISCARD;

#endif
