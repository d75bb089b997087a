/* SPDX-License-Identifier: Apache-2.0
 * What is in a model and what runs it, as JSON: espalier info and bench print it as it is or as a table. */
#ifndef ESPI_CLI_DESCRIBE_H
#define ESPI_CLI_DESCRIBE_H

#include "model.h"

#include <jansson.h>

/* {"model_type", "head", "task", shape…, "tokenizer", "linear_layers": [{"layer", "name", "rows", "cols", "precision",
 * "zero_blocks_4x1", …}]}. `tokenizer` may be NULL. The caller owns the result; NULL: out of memory. */
json_t *cli_describe_checkpoint(const struct espi_checkpoint *checkpoint, const esp_tokenizer *tokenizer);
/* Also "kernels": for each operation the version this CPU uses, and why those before it were passed over. */
json_t *cli_describe_compiled(const struct espi_plan *plan, const esp_tokenizer *tokenizer);

/* Kept warnings as a list of strings. */
json_t *cli_warnings_json(const struct espi_warnings *warnings);

/* {"cpu", "cores", "isas": those this process may use under `cap`, weakest first}. */
json_t *cli_describe_machine(enum espi_isa cap);
/* What runs a model here: {"model", "engine", "isa", "precision", "activations", "machine"}. "isa" is the strongest one in
 * use, and "precision" names every kind of linear layer; a checkpoint has "engine": "onednn" and no "isa". */
json_t *cli_describe_engine(const char *path, const struct cli_model *model);

#endif
