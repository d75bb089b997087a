/* SPDX-License-Identifier: Apache-2.0
 * What is in a model and what runs it, as JSON: espalier info and bench print it as it is or as a table. */
#ifndef ESPI_CLI_DESCRIBE_H
#define ESPI_CLI_DESCRIBE_H

#include "create/open/any_model.h"

#include "base/json_writer.h"

/* Members of an object that has been begun: "model_type", "head", "task", shape…, "tokenizer", "linear_layers": [{"layer",
 * "name", "rows", "cols", "precision", "zero_blocks_4x1", …}]. `tokenizer` may be NULL. */
void cli_put_checkpoint(struct espi_json_writer *w, const struct espi_checkpoint *checkpoint,
                        const esp_tokenizer *tokenizer);
/* Also "warnings", and "kernels": for each operation the version this CPU uses, and why those before it were passed over. */
void cli_put_compiled(struct espi_json_writer *w, const struct espi_plan *plan, const esp_tokenizer *tokenizer);

/* "warnings": kept ones, as a list of strings. */
void cli_put_warnings(struct espi_json_writer *w, const struct espi_warnings *warnings);

/* {"cpu", "cores", "isas": those this process may use under `cap`, weakest first}. */
void cli_put_machine(struct espi_json_writer *w, const char *key, enum espi_isa cap);
/* What runs a model here: members "model", "engine", "isa", "precision", "activations", "machine". "isa" is the strongest one
 * in use, and "precision" names every kind of linear layer; a checkpoint has "engine": "onednn", and neither "isa" nor
 * "activations". */
void cli_put_engine(struct espi_json_writer *w, const char *path, const struct espi_any_model *model);

#endif
