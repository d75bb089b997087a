/* SPDX-License-Identifier: Apache-2.0
 * The tables of members of the files that describe a model. */
#ifndef ESPI_MODEL_CONFIG_MEMBERS_H
#define ESPI_MODEL_CONFIG_MEMBERS_H

#include "base/members.h"

extern const struct espi_member_table espi_config_members;        // config.json; the scope is its model_type
extern const struct espi_member_table espi_cross_encoder_members; // its member sentence_transformers

#endif
