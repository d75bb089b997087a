/* SPDX-License-Identifier: Apache-2.0 */
#include "create/distill/distill_private.h"

#include "base/size.h"
#include "model/arch.h"

#include <stdio.h>
#include <string.h>

/* ---- heads and labels --------------------------------------------------------------------------------------------------- */

static const char *problem_name(enum espi_problem problem)
{
    switch (problem) {
    case ESPI_SINGLE_LABEL:
        return "one label an example";
    case ESPI_MULTI_LABEL:
        return "several labels an example";
    case ESPI_REGRESSION:
        return "regression";
    }
    return "";
}

/* "LABEL_3" says nothing about the meaning of a label. */
static bool is_named(const char *name)
{
    return strncmp(name, "LABEL_", 6) != 0;
}

static int check_labels(esp_context *ctx, const struct espi_config *student, const struct espi_config *teacher)
{
    if (student->head == ESPI_HEAD_SEQUENCE && student->problem != teacher->problem)
        return espi_fail(ctx, ESP_ERR_ARGUMENT, "teacher: expected a model for %s as the student is, found one for %s",
                         problem_name(student->problem), problem_name(teacher->problem));
    if (student->labels != teacher->labels)
        return espi_fail(ctx, ESP_ERR_ARGUMENT, "teacher: expected %zu labels as the student has, found %zu",
                         student->labels, teacher->labels);
    for (size_t i = 0; i < student->labels && student->label_names && teacher->label_names; i++) {
        const char *ours = student->label_names[i], *theirs = teacher->label_names[i];
        if (is_named(ours) && is_named(theirs) && strcmp(ours, theirs) != 0)
            return espi_fail(ctx, ESP_ERR_ARGUMENT,
                             "teacher: label %zu: expected \"%.100s\" as the student has, found \"%.100s\"", i, ours,
                             theirs);
    }
    return ESP_OK;
}

static int check_head(esp_context *ctx, const struct espi_config *student, const struct espi_config *teacher)
{
    if (student->head != teacher->head)
        return espi_fail(ctx, ESP_ERR_ARGUMENT, "teacher: expected a model %s as the student is, found one %s",
                         espi_head_suffix(student->head), espi_head_suffix(teacher->head));
    return check_labels(ctx, student, teacher);
}

/* ---- vocabulary --------------------------------------------------------------------------------------------------------- */

static int compare_tokens(esp_context *ctx, const esp_tokenizer *student, const esp_tokenizer *teacher)
{
    size_t ours = esp_tokenizer_size(student), theirs = esp_tokenizer_size(teacher);
    if (ours != theirs)
        return espi_fail(ctx, ESP_ERR_ARGUMENT, "teacher: its tokenizer has %zu tokens, the student's %zu", theirs,
                         ours);
    for (size_t i = 0; i < ours; i++) {
        const char *our = esp_tokenizer_token(student, (int32_t)i), *their = esp_tokenizer_token(teacher, (int32_t)i);
        if (strcmp(our ? our : "", their ? their : "") != 0)
            return espi_fail(ctx, ESP_ERR_ARGUMENT,
                             "teacher: token %zu of its tokenizer is \"%.64s\", the student's \"%.64s\": both must "
                             "have the same vocabulary",
                             i, their ? their : "", our ? our : "");
    }
    return ESP_OK;
}

static int check_vocabulary(esp_context *ctx, const struct espi_distill *distill)
{
    const struct espi_config *student = distill->job->config, *teacher = &distill->teacher->config;
    size_t length = espi_size_min(distill->job->options.max_length ? distill->job->options.max_length : SIZE_MAX,
                                  student->max_sequence);
    if (student->vocab_size != teacher->vocab_size)
        return espi_fail(ctx, ESP_ERR_ARGUMENT,
                         "teacher: expected a vocabulary of %zu tokens as the student's, found %zu",
                         student->vocab_size, teacher->vocab_size);
    if (length > teacher->max_positions)
        return espi_fail(ctx, ESP_ERR_ARGUMENT, "teacher: takes %zu tokens, the windows have up to %zu",
                         teacher->max_positions, length);
    if (!distill->job->tokenizer || !espi_tokenizer_is_there(distill->teacher->directory))
        return ESP_OK;
    esp_tokenizer *tokenizer;
    int status = esp_tokenizer_open(ctx, distill->teacher->directory, &tokenizer);
    if (status)
        return espi_fail_prefix(ctx, status, "teacher");
    status = compare_tokens(ctx, distill->job->tokenizer, tokenizer);
    esp_tokenizer_free(tokenizer);
    return status;
}

/* ---- layers ------------------------------------------------------------------------------------------------------------- */

static int check_layer(esp_context *ctx, const char *what, bool teacher, size_t layer, size_t layers)
{
    if (layer <= layers)
        return ESP_OK;
    return espi_fail(ctx, ESP_ERR_ARGUMENT, "%s: the %s has no layer %zu: expected at most %zu", what,
                     teacher ? "teacher" : "student", layer, layers);
}

static int check_pairs(esp_context *ctx, const struct espi_distill *distill)
{
    int status = ESP_OK;
    for (size_t i = 0; !status && i < distill->pair_count; i++) {
        const struct espi_distill_pair *pair = &distill->pairs[i];
        status = check_layer(ctx, "hidden states", false, pair->student, distill->job->config->layers);
        if (!status)
            status = check_layer(ctx, "hidden states", true, pair->teacher, distill->teacher->config.layers);
    }
    return status;
}

static int check_relations(esp_context *ctx, const struct espi_distill *distill)
{
    const struct espi_config *configs[2] = {distill->job->config, &distill->teacher->config};
    size_t heads = espi_distill_relation_heads(distill);
    for (size_t i = 0; i < 2; i++) {
        int status = check_layer(ctx, "attention relations", i == 1, espi_distill_relation_layer(distill, i),
                                 configs[i]->layers);
        if (status)
            return status;
        if (espi_distill_relation_width(distill, i) % heads != 0)
            return espi_fail(ctx, ESP_ERR_ARGUMENT,
                             "attention relations: %zu relation heads do not divide the %s's width of %zu", heads,
                             i ? "teacher" : "student", espi_distill_relation_width(distill, i));
    }
    return ESP_OK;
}

int espi_distill_check(esp_context *ctx, const struct espi_distill *distill)
{
    const struct espi_distill_options *o = &distill->options;
    if (!(o->temperature > 0))
        return espi_fail(ctx, ESP_ERR_ARGUMENT, "temperature: expected more than 0, found %g", o->temperature);
    if (distill->cache_path[0] && distill->job->config->head == ESPI_HEAD_MLM)
        return espi_fail(ctx, ESP_ERR_ARGUMENT,
                         "%.256s: a teacher's outputs cannot be kept for mlm, whose masks change in every epoch",
                         distill->cache_path);
    int status = check_head(ctx, distill->job->config, &distill->teacher->config);
    if (!status)
        status = check_vocabulary(ctx, distill);
    if (!status)
        status = check_pairs(ctx, distill);
    if (!status && o->relation_weight > 0)
        status = check_relations(ctx, distill);
    return status;
}
