/* SPDX-License-Identifier: Apache-2.0
 * compile --max-drop: which linear layers stay in higher precision. */
#ifndef ESPI_CLI_PRECISION_H
#define ESPI_CLI_PRECISION_H

#include "create/compile/compile.h"
#include "create/compile/precision_search.h"
#include "create/feed/examples.h"
#include "eval/evaluate.h"

struct cli_precision_options {
    struct espi_search_options search;    // `reference` is found here
    const char *data;                     // of the metric
    size_t limit;                         // examples of it; 0: all
    bool may_per_token;                   // static ranges may be given up for a range per token
    size_t batch_tokens;                  // 0: the pipeline's default
    FILE *progress;                       // NULL: none
    const struct espi_examples *examples; // for the sensitivity of layers
};

/* Evaluates the checkpoint, searches, and fills precisions (layers, ESPI_LINEAR_COUNT). `how` says everything else about
 * the file. Where static ranges need layers in higher precision, or are not good enough with any, it searches with a range
 * per token too and takes what is better: *per_token. *reference: the metric of fp32. */
int cli_precision_find(esp_context *ctx, const struct espi_checkpoint *checkpoint,
                       const struct espi_compile_options *how, const struct espi_job *job, struct espi_team *team,
                       const struct cli_precision_options *options, enum espi_precision *precisions, double *reference,
                       bool *per_token, struct espi_search_report *report);

#endif
