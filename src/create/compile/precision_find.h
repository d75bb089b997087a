/* SPDX-License-Identifier: Apache-2.0
 * The search for precisions on real files: every candidate is compiled in memory and run by the runtime, whose results and
 * metric decide. */
#ifndef ESPI_CREATE_PRECISION_FIND_H
#define ESPI_CREATE_PRECISION_FIND_H

#include "create/compile/compile.h"
#include "create/compile/precision_search.h"
#include "create/feed/examples.h"
#include "eval/evaluate.h"

struct espi_precision_finding {
    const struct espi_checkpoint *checkpoint;
    const struct espi_compile_options *how; // everything else about the file
    struct espi_search_options search;      // `reference` is found
    struct espi_evaluation metric;          // `engine` is each candidate's
    const struct espi_examples *examples;   // for the sensitivity of layers
    struct espi_team *team;
    bool may_per_token; // static ranges may be given up for a range per token
};

/* Evaluates the checkpoint, searches, and fills precisions (layers, ESPI_LINEAR_COUNT). Where static ranges need layers in
 * higher precision, or are not good enough with any, it searches with a range per token too and takes what is better:
 * *per_token. */
int espi_precision_find(esp_context *ctx, const struct espi_precision_finding *finding, enum espi_precision *precisions,
                        bool *per_token, struct espi_search_report *report) ESPI_NODISCARD;

#endif
