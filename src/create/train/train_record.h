/* SPDX-License-Identifier: Apache-2.0
 * What a training run leaves on disk. While it runs, everything stands in DIR.partial:
 *
 *   train_options.json  how it was started; --resume compares
 *   train.jsonl         the metrics log
 *   state-N             the trainer's state after step N, and
 *   checkpoint-N/       the model; a checkpoint counts when both are there. Older ones are removed then
 *   best-N/             the best model on the dev data
 *   tokenizer/          what the models' tokenizer files are copied from
 *
 * When it is done, DIR appears with the result, the log and train_options.json, and DIR.partial is removed. Each of these
 * appears complete or not at all, in an order that leaves a run that can be resumed whenever it is killed. Temporary
 * files of a killed run have ".tmp-" in their names; resuming removes them. */
#ifndef ESPI_CREATE_TRAIN_RECORD_H
#define ESPI_CREATE_TRAIN_RECORD_H

#include "base/file.h"
#include "base/json_writer.h"
#include "create/quantize/fake_quant.h"
#include "create/state/file_sums.h"

/* Part of the state: what the files beside it were when it was written. Resuming goes on from no others. */
struct espi_train_files {
    struct espi_file_sums checkpoint, best, tokenizer;
    uint64_t best_step; // where best has files
};

/* Owner: the caller; zero-initialise, close releases (and leaves the files). */
struct espi_train_record {
    char directory[ESPI_PATH_BYTES], partial[ESPI_PATH_BYTES];
    bool done;                        // DIR is there already: nothing is left to do
    bool began;                       // by this process: nothing was there to go on with
    bool saved;                       // there is a checkpoint: found when the run was resumed, or written since
    uint64_t step;                    // of the last checkpoint
    char checkpoint[ESPI_PATH_BYTES]; // its model
    char state[ESPI_PATH_BYTES];      // its state
    struct espi_train_files files;    // registered as the first block of the state
    FILE *log;
    int lock; // on the open directory, against a second process
};

/* A model as it is written. */
struct espi_train_output {
    const struct espi_config *config;
    const struct espi_params *params;
    const char *tokenizer_from;
    const struct espi_fake_quant *quant; // its ranges; NULL: none
};

/* Starts a new run, or with `resume` finds where the old one stopped (none there, or none that got as far as a
 * checkpoint: starts a new one). `options`: espi_train_options_json. ESP_ERR_ARGUMENT: DIR is not new; a run stopped
 * here and `resume` is not set; the options differ; another process is at it. */
int espi_train_record_open(esp_context *ctx, const char *directory, bool resume, const json_t *options,
                           struct espi_train_record *out) ESPI_NODISCARD;
/* Whether a new run could begin there now: asked before the stages in front of it. */
int espi_train_record_check(esp_context *ctx, const char *directory) ESPI_NODISCARD;
void espi_train_record_close(struct espi_train_record *record);
/* Removes the files of a run that this process began and that has no checkpoint; closes it. */
void espi_train_record_discard(struct espi_train_record *record);

/* The run's tokenizer is in its place: what stands there is what a resumed run must find. */
int espi_train_record_tokenizer(esp_context *ctx, struct espi_train_record *record, const char *path) ESPI_NODISCARD;
extern const char espi_train_files_name[]; // of the block

/* One line of the log; lines behind the checkpoint that was resumed have been removed. `line` has no stream
 * yet, and is ended. */
int espi_train_record_log(esp_context *ctx, struct espi_train_record *record,
                          struct espi_json_writer *line) ESPI_NODISCARD;

/* A checkpoint after `step` steps. best: the step of the best model, the others are removed; UINT64_MAX: none. */
int espi_train_record_save(esp_context *ctx, struct espi_train_record *record, uint64_t step, uint64_t best,
                           const struct espi_train_output *output, const struct espi_state *state) ESPI_NODISCARD;
int espi_train_record_best(esp_context *ctx, struct espi_train_record *record, uint64_t step,
                           const struct espi_train_output *output, char path[ESPI_PATH_BYTES]) ESPI_NODISCARD;

/* Moves best-`best` (or, UINT64_MAX, `output`) to DIR. */
int espi_train_record_finish(esp_context *ctx, struct espi_train_record *record, uint64_t best,
                             const struct espi_train_output *output) ESPI_NODISCARD;

#endif
