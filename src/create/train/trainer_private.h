/* SPDX-License-Identifier: Apache-2.0
 * What the trainer's files share. */
#ifndef ESPI_CREATE_TRAINER_PRIVATE_H
#define ESPI_CREATE_TRAINER_PRIVATE_H

#include "create/distill/distill.h"
#include "create/feed/task_loss.h"
#include "create/network/network.h"
#include "create/prune/pruner.h"
#include "create/train/optimizer.h"
#include "create/train/schedule.h"
#include "create/train/train_model.h"
#include "create/train/train_record.h"
#include "create/train/trainer.h"

enum { ESPI_LOSS_HARD, ESPI_LOSS_SOFT, ESPI_LOSS_HIDDEN, ESPI_LOSS_RELATION, ESPI_LOSS_COUNT };

/* Parts of a step, for its profile. The update has the gradient's norm and pruning in it. */
enum { ESPI_PART_FORWARD, ESPI_PART_LOSS, ESPI_PART_BACKWARD, ESPI_PART_UPDATE, ESPI_PART_PACK, ESPI_PART_COUNT };

/* What goes on from a checkpoint. */
struct espi_train_counters {
    uint64_t step;        // steps done
    uint64_t best_step;   // UINT64_MAX: none yet
    double best;          // dev metric
    uint64_t evaluations; // since the best one
    uint64_t evaluated;   // step of the last evaluation
    char metric[32];      // the dev metric's name; "": nothing was evaluated yet
};

/* Checksums of what a run learns from: it can be resumed with the same only. */
struct espi_train_inputs {
    uint32_t data, teacher;
};

struct espi_trainer {
    const struct espi_train_options *options;
    const struct espi_train_run *run;
    struct espi_watch watch; // run->watch; ranks other than 0 are silent
    struct espi_team *team;
    struct espi_train_model model;
    struct espi_checkpoint teacher;
    struct espi_feed *feed;
    struct espi_network *network;
    struct espi_engine *engine; // for evaluation
    struct espi_optimizer *optimizer;
    struct espi_pruner *pruner;    // NULL: dense
    struct espi_distill *distill;  // NULL: no teacher
    struct espi_fake_quant *quant; // NULL: no quantization-aware training
    struct espi_schedule_options schedule;
    struct espi_task_loss_options loss;
    struct espi_state state;
    struct espi_train_record record;
    struct espi_train_counters counters;
    struct espi_train_inputs inputs;
    float *gradients; // (params->elements)
    struct espi_gradient_sums *sums;
    float *result, *d_result; // of a micro-batch
    size_t result_room, d_result_room;
    char tokenizer_directory[ESPI_PATH_BYTES];
    double losses[ESPI_LOSS_COUNT];  // of the last step, weighted
    double norm;                     // of its gradient
    size_t tokens;                   // of it
    double seconds[ESPI_PART_COUNT]; // of all steps of this process
};

/* Sums of the gradients over the ranks: the slab in pieces, the last one first, each started when it is complete. */
struct espi_gradient_sums {
    size_t *missing;     // (pieces) elements that are not complete yet
    size_t pieces, next; // next: how many have been started
};

int espi_gradient_sums_new(esp_context *ctx, struct espi_trainer *trainer) ESPI_NODISCARD;
void espi_gradient_sums_free(struct espi_gradient_sums *sums);

static inline bool espi_trainer_leads(const struct espi_trainer *trainer)
{
    return espi_parallel_rank(trainer->run->parallel) == 0;
}

/* Parts that a team and a model are enough for: the feed with the loss and the schedule, the network with its engine
 * and room for gradients. */
int espi_trainer_open_feed(esp_context *ctx, struct espi_trainer *trainer) ESPI_NODISCARD;
int espi_trainer_open_network(esp_context *ctx, struct espi_trainer *trainer) ESPI_NODISCARD;
/* The network with its engine and gradients alone. */
void espi_trainer_close_network(struct espi_trainer *trainer);
/* All parts that the options ask for. Beforehand: options, run, and record where there is one. */
int espi_trainer_open(esp_context *ctx, struct espi_trainer *trainer) ESPI_NODISCARD;
/* Frees every part there is. */
void espi_trainer_close(struct espi_trainer *trainer);

/* Forward and backward of the step counters.step: adds to `gradients`, sets losses and tokens. */
int espi_trainer_gradients(esp_context *ctx, struct espi_trainer *trainer) ESPI_NODISCARD;
/* One step: forward, backward, update. */
int espi_trainer_step(esp_context *ctx, struct espi_trainer *trainer) ESPI_NODISCARD;
double espi_trainer_loss(const struct espi_trainer *trainer); // of the last step

#endif
