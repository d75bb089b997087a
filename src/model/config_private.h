/* SPDX-License-Identifier: Apache-2.0
 * Shared by the files that read and write configs. */
#ifndef ESPI_MODEL_CONFIG_PRIVATE_H
#define ESPI_MODEL_CONFIG_PRIVATE_H

#include "base/file.h"
#include "model/config.h"

/* Bounds far above any encoder; with them no product of two sizes overflows. */
enum {
    ESPI_MAX_VOCAB = 1 << 26,
    ESPI_MAX_HIDDEN = 1 << 16,
    ESPI_MAX_LAYERS = 1024,
    ESPI_MAX_INTERMEDIATE = 1 << 20,
    ESPI_MAX_POSITIONS = 1 << 24,
    ESPI_MAX_TYPES = 256, // a type id is one byte
    ESPI_MAX_LABELS = 1 << 16,
};

/* A complaint as espi_json_fail makes it, with the status ESP_ERR_UNSUPPORTED. */
int espi_config_unsupported(esp_context *ctx, const struct espi_json *json, const char *format, ...) ESPI_PRINTF(3, 4);

/* False when the name is not known. */
bool espi_activation_find(const char *name, enum espi_activation *out);
/* The name written to new files. */
const char *espi_activation_name(enum espi_activation activation);
const char *espi_problem_name(enum espi_problem problem);

/* Head and the family's recipe for it; needs the activation. */
void espi_config_set_head(struct espi_config *config, enum espi_head head);
/* Number, names, problem and scores of the labels; needs the head. */
int espi_config_read_labels(esp_context *ctx, const struct espi_json *json, struct espi_config *config) ESPI_NODISCARD;
/* The activation function a member names, when it is there. */
int espi_config_read_scores(esp_context *ctx, const struct espi_json *object, const char *key,
                            struct espi_config *config) ESPI_NODISCARD;

/* What the files of sentence-transformers say, where they are; needs the rest of the config. `folder`: espi_encoder_folder
 * of the directory. */
int espi_config_read_sentence(esp_context *ctx, const char *directory, const char *folder,
                              struct espi_config *config) ESPI_NODISCARD;
/* The first of sentence_bert_config.json and its older names in a folder; value NULL when there is none. `path` outlives
 * `out`. */
int espi_sentence_config_open(esp_context *ctx, const char *folder, char path[ESPI_PATH_BYTES],
                              struct espi_json *out) ESPI_NODISCARD;
/* Takes what belongs to a sentence encoder over from another config. */
int espi_config_copy_sentence(esp_context *ctx, const struct espi_config *from, struct espi_config *out) ESPI_NODISCARD;

#endif
