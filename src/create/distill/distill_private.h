/* SPDX-License-Identifier: Apache-2.0
 * What the files of distillation share: distill.c (life, the losses together), distill_check.c, distill_soft.c,
 * distill_hidden.c, distill_student.c. */
#ifndef ESPI_CREATE_DISTILL_PRIVATE_H
#define ESPI_CREATE_DISTILL_PRIVATE_H

#include "create/distill/distill.h"
#include "create/distill/teacher_cache.h"

/* States of the student that shall be like states of the teacher. */
struct espi_distill_pair {
    size_t student, teacher; // layers, 0 the embeddings
    struct espi_dense dense; // (teacher's width, student's); outputs 0: the widths are the same
    size_t first;            // of its weights among all projections'
};

/* Memory that grows as needed and keeps nothing. */
struct espi_distill_room {
    void *data;
    size_t bytes;
};

struct espi_distill {
    struct espi_distill_options options; // without borrowed pointers
    const struct espi_checkpoint *teacher;
    const struct espi_job *job; // the student's
    struct espi_team *team;
    struct espi_network *network; // the teacher's, NULL until it is needed
    struct espi_matmuls *matmuls; // of projections and relations
    char cache_path[ESPI_PATH_BYTES];
    struct espi_teacher_cache cache;

    struct espi_distill_pair *pairs;    // (pair_count)
    struct espi_distill_pair embedding; // embed: of the result
    size_t pair_count;
    struct espi_distill_weights projections;

    struct espi_distill_room outputs;  // of the teacher for the batch
    struct espi_distill_room states;   // (tokens, hidden) of the teacher, when its outputs are not wanted
    struct espi_distill_room losses;   // of rows, or blocks of rows
    struct espi_distill_room operands; // projections: what goes through the products
    struct espi_distill_room hidden;   // gradients of the student's hidden states
    struct espi_distill_room qkv;      // relations: the student's, the teacher's, and the gradient
    float **hidden_gradients;          // (layers + 1)
    float **qkv_gradients;             // (layers)
};

/* A micro-batch and what the losses go to. */
struct espi_distill_step {
    struct espi_distill *distill;
    struct espi_network *student;
    const struct espi_train_batch *batch;
    const float *result; // the student's
    float *d_result;
    double scale, token_scale;
};

/* Room for count elements; what was in it is gone. */
int espi_distill_reserve(esp_context *ctx, struct espi_distill_room *room, size_t count, size_t size) ESPI_NODISCARD;

/* Everything espi_distill_new refuses. Pairs of layers are filled in before. */
int espi_distill_check(esp_context *ctx, const struct espi_distill *distill) ESPI_NODISCARD;
/* Relation heads and layers (from 1) after defaults. */
size_t espi_distill_relation_heads(const struct espi_distill *distill);
size_t espi_distill_relation_layer(const struct espi_distill *distill, size_t teacher); // 0: the student's, 1
/* Columns of the queries, keys or values there. */
size_t espi_distill_relation_width(const struct espi_distill *distill, size_t teacher);

/* The pairs of layers as the options say, without their projections. */
int espi_distill_map(esp_context *ctx, struct espi_distill *distill) ESPI_NODISCARD;
/* Projections of the pairs and of embeddings, where widths differ. */
int espi_distill_init_projections(esp_context *ctx, struct espi_distill *distill) ESPI_NODISCARD;

/* The losses, unweighted; added to *loss. */
int espi_distill_soft(esp_context *ctx, const struct espi_distill_step *step, double weight,
                      double *loss) ESPI_NODISCARD;
int espi_distill_hidden(esp_context *ctx, const struct espi_distill_step *step, double weight,
                        double *loss) ESPI_NODISCARD;
int espi_distill_relation(esp_context *ctx, const struct espi_distill_step *step, double weight,
                          double *loss) ESPI_NODISCARD;

/* Loss of states against the teacher's, through the pair's projection: scale times the sum over the rows.
 * x, dx: (rows, student's width); target: (rows, teacher's width) */
int espi_distill_states(esp_context *ctx, struct espi_distill *distill, struct espi_distill_pair *pair,
                        enum espi_hidden_loss kind, size_t rows, const float *x, const float *target, double scale,
                        float *dx, double *loss) ESPI_NODISCARD;

#endif
