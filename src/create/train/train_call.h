/* SPDX-License-Identifier: Apache-2.0
 * esp_train in parts, for a command that runs in several processes and checks options without training. */
#ifndef ESPI_CREATE_TRAIN_CALL_H
#define ESPI_CREATE_TRAIN_CALL_H

#include "create/train/recipe.h"

/* The stages that the options ask for, checked; one without a name where there is no recipe. espi_recipe_clear releases
 * them. The options outlive them. */
int espi_train_stages(esp_context *ctx, const esp_train_options *options, struct espi_recipe *out) ESPI_NODISCARD;
/* Runs them. report->interrupted, with ESP_OK: the watch has stopped the run. */
int espi_train_run_stages(esp_context *ctx, const esp_train_options *options, const struct espi_recipe *stages,
                          struct espi_parallel *parallel, esp_train_report *report) ESPI_NODISCARD;

/* Puts settings over options; a list replaces what was there. */
int espi_train_settings(esp_context *ctx, const esp_setting *settings, size_t count,
                        struct espi_train_options *options) ESPI_NODISCARD;

#endif
