/* SPDX-License-Identifier: Apache-2.0
 * The tables of members of the files that describe a model. */
#ifndef ESPI_MODEL_CONFIG_MEMBERS_H
#define ESPI_MODEL_CONFIG_MEMBERS_H

#include "base/members.h"

extern const struct espi_member_table espi_config_members;        // config.json; the scope is its model_type
extern const struct espi_member_table espi_cross_encoder_members; // its member sentence_transformers

/* Files of sentence-transformers; the scope is "embed" or "classify". */
extern const struct espi_member_table espi_module_members;      // an element of modules.json
extern const struct espi_member_table espi_pooling_members;     // config.json of a Pooling folder
extern const struct espi_member_table espi_transformer_members; // sentence_bert_config.json
extern const struct espi_member_table espi_sentence_members;    // config_sentence_transformers.json

#endif
