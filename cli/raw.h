/* SPDX-License-Identifier: Apache-2.0
 * run --raw: token ids in, the model's numbers out. */
#ifndef ESPI_CLI_RAW_H
#define ESPI_CLI_RAW_H

#include "jsonl.h"

#include "model/engine.h"

/* What such a model computes of token ids. */
enum espi_result cli_raw_result(enum espi_head head);

/* Answers every line of `in` in order, in batches of at most batch_tokens tokens. */
int cli_run_raw(esp_context *ctx, struct espi_engine *engine, size_t batch_tokens, struct cli_jsonl *in);

#endif
