/* SPDX-License-Identifier: Apache-2.0
 * Distillation: a teacher's logits (Hinton et al., "Distilling the knowledge in a neural network", 2015), hidden states
 * (Romero et al., "FitNets", 2015; Jiao et al., "TinyBERT", 2020) and attention relations (Wang et al., "MiniLMv2", 2021)
 * as targets of a student. Every loss is a sum over windows, rows or tokens: the same however a step is cut.
 *
 * soft      qa KL over the tokens of a window, mean of start and end · classify KL, mean over labels of binary KL
 *           (multi-label) or squared error (regression) · tag KL at the labelled tokens · mlm KL at the masked tokens ·
 *           embed 1 - cosine of the embeddings, mean over a pair. KL with the temperature, times its square.
 * hidden    of each pair of layers: squared error (mean over the elements) or 1 - cosine of a token's states, mean over
 *           pairs of layers. Between different widths a learned linear projection W (teacher's width, student's) of the
 *           student's state.
 * relation  KL of softmax(x x' / sqrt(width)) of teacher and student for x the queries, keys and values of a relation
 *           head, mean over tokens and heads, sum of the three. */
#ifndef ESPI_CREATE_DISTILL_H
#define ESPI_CREATE_DISTILL_H

#include "create/feed/task_loss.h"
#include "create/network/network.h"
#include "create/state/state.h"
#include "model/checkpoint.h"

enum espi_hidden_loss { ESPI_HIDDEN_MSE, ESPI_HIDDEN_COSINE };

struct espi_distill_options {
    double temperature;   // of the soft targets; 0: 1
    double soft_weight;   // of the soft-target loss; the trainer weighs the task's own loss. 0: off
    double hidden_weight; // 0: off
    enum espi_hidden_loss hidden_loss;
    double relation_weight;   // 0: off
    size_t relation_heads;    // 0: the smaller number of heads
    size_t relation_layer[2]; // of student and teacher, from 1; 0: the last
    const size_t *layer_map;  // (layer_count) pairs student, teacher of hidden states, 0 the embeddings; NULL: every
                              // layer of the student with the teacher's at the same share of its depth
    size_t layer_count;       // of pairs
    const char *cache;        // file of the teacher's logits; NULL: computed every time. Only soft targets use it
    enum espi_compute compute;
    uint64_t seed;           // of the projections
    struct espi_watch watch; // of filling the cache
};

/* A teacher and what the student learns besides its own parameters (projections between widths).
 * Owner: the caller. Thread rule: one call at a time. */
struct espi_distill;

/* `teacher` (owner: the caller) has the student's head, labels and vocabulary: else ESP_ERR_ARGUMENT says what differs;
 * so it does of layers and heads that are not there. The tokens are compared when the teacher's directory has a
 * tokenizer. `options` are copied; teacher, job and team (may be NULL) outlive the result. */
int espi_distill_new(esp_context *ctx, const struct espi_distill_options *options,
                     const struct espi_checkpoint *teacher, const struct espi_job *student_job, struct espi_team *team,
                     struct espi_distill **out) ESPI_NODISCARD;
void espi_distill_free(struct espi_distill *distill);
int espi_distill_register(esp_context *ctx, struct espi_distill *distill, struct espi_state *state) ESPI_NODISCARD;

/* Of the weights and of what else in a config the outputs depend on. */
uint32_t espi_distill_teacher_crc(const struct espi_checkpoint *teacher);

/* With a cache: reads it, or computes the logits of every window of the feed into it first. When the
 * watch stops it, what is there stays beside it as "CACHE.partial", and the next call goes
 * on from there. ESP_ERR_FORMAT: the file is damaged or no cache;
 * ESP_ERR_ARGUMENT: it is of another teacher, data or precision, or the task is mlm, whose masks change. Such a file is
 * left alone. Of several processes one calls it first. Without a cache it does nothing. */
int espi_distill_fill_cache(esp_context *ctx, struct espi_distill *distill,
                            const struct espi_feed *feed) ESPI_NODISCARD;

/* After a `train` forward pass of the student: adds the losses to loss[0 … 2] (soft, hidden, relation, weighted) and
 * their gradients to d_result; *layers gets the inner ones (valid until the next call). result, d_result and scale as in
 * espi_task_loss; hidden and relation losses are means over the tokens of the step, `token_scale` is 1 / those. The bits
 * do not depend on the size of the team. */
int espi_distill_losses(esp_context *ctx, struct espi_distill *distill, struct espi_network *student,
                        const struct espi_train_batch *batch, const float *result, double scale, double token_scale,
                        float *d_result, struct espi_layer_gradients *layers, double loss[3]) ESPI_NODISCARD;

/* The projections' own parameters and gradients (count elements; 0: none), for the optimizer and data parallelism. The
 * gradients are added to. */
struct espi_distill_weights {
    float *weights, *gradients;
    size_t count;
};
struct espi_distill_weights espi_distill_projections(struct espi_distill *distill);

/* A student made of some of a teacher's layers: config with `layer_count` of them and their parameters, everything else
 * (embeddings, pooler, head, directory) as the teacher's. layers: ascending numbers from 0. ESP_ERR_ARGUMENT names a
 * layer that is not there. */
int espi_student_from_layers(esp_context *ctx, const struct espi_checkpoint *teacher, const size_t *layers,
                             size_t layer_count, struct espi_checkpoint *out) ESPI_NODISCARD;

#endif
