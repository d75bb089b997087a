/* SPDX-License-Identifier: Apache-2.0
 * run --raw: token ids in, the model's numbers out. */
#ifndef ESPI_CLI_RAW_H
#define ESPI_CLI_RAW_H

#include "jsonl.h"

#include "model/engine.h"

/* Answers every line of `in` in order, in batches of at most batch_tokens tokens. */
int cli_run_raw(esp_context *ctx, struct espi_engine *engine, size_t batch_tokens, struct cli_jsonl *in);

#endif
