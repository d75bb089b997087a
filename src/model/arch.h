/* SPDX-License-Identifier: Apache-2.0
 * Model families: what differs between BERT and its relatives is names and a few switches, and stands in archs.inc. */
#ifndef ESPI_MODEL_ARCH_H
#define ESPI_MODEL_ARCH_H

#include "model/params.h"

/* Where a value stands in config.json; NULL: the family has no such field. */
struct espi_arch_keys {
    const char *hidden, *layers, *heads, *intermediate, *activation;
    const char *type_vocab;
    const char *embedding; // width of the embeddings
    const char *groups;    // how many layers have weights of their own
    const char *layer_norm_eps;
    const char *hidden_dropout, *attention_dropout;
};

/* A head of a family. Modules are named as a checkpoint of that head has them, the encoder's prefix included. */
struct espi_arch_head {
    struct espi_head_recipe recipe; // rows NONE: the family has no such head (or a bare encoder no pooler)
    bool layer_activation;          // the recipe's activation is that of the layers
    const char *dense, *norm, *classifier, *decoder;
    const char *dropout;    // its field in config.json; NULL: the head has none
    float dropout_fallback; // when the field is absent or null; negative: the hidden dropout
};

/* One row of archs.inc. Static storage. */
struct espi_arch {
    const char *model_type;   // config.json
    const char *class_name;   // start of the names in `architectures`
    const char *prefix;       // of encoder tensors in checkpoints with a head
    const char *layer_prefix; // + layer number + "." + name
    struct espi_arch_keys keys;
    const char *spelling; // scopes of its members in the table of config.json: the families whose fields it has
    enum espi_activation activation; // when the field is absent, as the following
    float layer_norm_eps;
    size_t embedding;
    bool always_projected; // embeddings that are as wide as the layers, too
    int32_t pad_token_id;
    bool pad_fixed;                       // whatever the field says
    struct espi_block block;              // position_offset: COUNTED: rows before that of the padding id
    bool attention_out_dropout;           // training: hidden dropout behind the attention's output layer, too
    const char *names[ESPI_HEAD_DENSE_W]; // modules of the encoder by role, without prefix
    struct espi_arch_head heads[ESPI_HEAD_COUNT];
    enum espi_head pretraining; // what its ...ForPreTraining is read for; what else it has is not used
    const char *decoder_weight; // masked-LM decoder, where a file stores it apart from the word embeddings
    const char *decoder_bias;   // another name of ESPI_DECODER_B; NULL: none
};

const struct espi_arch *espi_arch_find(const char *model_type); // NULL: not supported
const struct espi_arch *espi_arch_at(size_t index);             // NULL behind the last
/* "bert, distilbert", for messages. */
void espi_arch_list(char *text, size_t bytes);

/* The head of a class name; false when the family has no such class. */
bool espi_arch_head(const struct espi_arch *arch, const char *class_name, enum espi_head *out);
/* The end of the class name of a head: "ForQuestionAnswering". */
const char *espi_head_suffix(enum espi_head head);
/* "ForQuestionAnswering, ...", for messages. */
const char *espi_head_list(void);

/* Name of a tensor as a checkpoint of this family and head has it. */
void espi_arch_tensor_name(const struct espi_config *config, enum espi_role role, size_t layer,
                           char name[ESPI_TENSOR_NAME_BYTES]);
/* The name without the encoder's prefix; NULL when it does not belong to the encoder. */
const char *espi_arch_in_encoder(const struct espi_config *config, const char *name);

#endif
