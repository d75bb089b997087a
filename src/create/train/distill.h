/* SPDX-License-Identifier: Apache-2.0
 * Distillation: a teacher's logits (Hinton et al., 2015), hidden states (FitNets, 2015; TinyBERT, 2020) and attention
 * relations (MiniLMv2, 2021) as targets of a student. */
#ifndef ESPI_CREATE_DISTILL_H
#define ESPI_CREATE_DISTILL_H

#include "create/train/network.h"
#include "create/train/state.h"
#include "create/train/task_loss.h"
#include "model/checkpoint.h"

enum espi_hidden_loss { ESPI_HIDDEN_MSE, ESPI_HIDDEN_COSINE };

struct espi_distill_options {
    double temperature;   // of the soft targets
    double soft_weight;   // of the soft-target loss; the trainer weighs the task's own loss
    double hidden_weight; // 0: off
    enum espi_hidden_loss hidden_loss;
    double relation_weight;  // 0: off
    size_t relation_heads;   // 0: the smaller number of heads
    const size_t *layer_map; // (layer_count) pairs student, teacher of hidden states, 0 the embeddings; NULL: evenly
    size_t layer_count;      //
    const char *cache;       // file of the teacher's logits; NULL: computed every time. Only soft targets use it
    enum espi_compute compute;
    uint64_t seed; // of the projections
};

/* A teacher and what the student learns besides its own parameters (projections between widths).
 * Owner: the caller. */
struct espi_distill;

/* `teacher` (owner: the caller) has the student's head, labels and vocabulary: else ESP_ERR_ARGUMENT says what differs. */
int espi_distill_new(esp_context *ctx, const struct espi_distill_options *options,
                     const struct espi_checkpoint *teacher, const struct espi_job *student_job, struct espi_team *team,
                     struct espi_distill **out) ESPI_NODISCARD;
void espi_distill_free(struct espi_distill *distill);
int espi_distill_register(esp_context *ctx, struct espi_distill *distill, struct espi_state *state) ESPI_NODISCARD;

/* Logits of every window of a feed into the cache, unless it is complete and of the same teacher and data; progress is
 * shown. The next calls read it. */
int espi_distill_fill_cache(esp_context *ctx, struct espi_distill *distill, struct espi_feed *feed,
                            bool (*interrupted)(void)) ESPI_NODISCARD;

/* After a forward pass of the student: adds the losses to loss[0 … 2] (soft, hidden, relation, weighted) and their
 * gradients to d_result; *layers gets the inner ones (valid until the next call). scale as in espi_task_loss; hidden
 * and relation losses are means over the tokens of the step, `token_scale` is 1 / those. */
int espi_distill_losses(esp_context *ctx, struct espi_distill *distill, struct espi_network *student,
                        const struct espi_train_batch *batch, const float *result, double scale, double token_scale,
                        float *d_result, struct espi_layer_gradients *layers, double loss[3]) ESPI_NODISCARD;

/* The projections' own parameters and gradients (count elements; 0: none), for the optimizer and data parallelism. */
struct espi_distill_weights {
    float *weights, *gradients;
    size_t count;
};
struct espi_distill_weights espi_distill_projections(struct espi_distill *distill);

/* A student made of some of a teacher's layers: config with `layers` of them and their parameters, everything else as
 * the teacher's. layers: ascending numbers. ESP_ERR_ARGUMENT names a layer that is not there. */
int espi_student_from_layers(esp_context *ctx, const struct espi_checkpoint *teacher, const size_t *layers,
                             size_t layer_count, struct espi_checkpoint *out) ESPI_NODISCARD;

#endif
