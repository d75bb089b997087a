/* SPDX-License-Identifier: Apache-2.0
 * Model families: what differs between BERT and its relatives is names and a few switches, and stands in archs.inc. */
#ifndef ESPI_MODEL_ARCH_H
#define ESPI_MODEL_ARCH_H

#include "model/params.h"

/* Where a value stands in config.json; NULL: the family has no such field. */
struct espi_arch_keys {
    const char *hidden, *layers, *heads, *intermediate, *activation;
    const char *type_vocab;
    const char *layer_norm_eps;
    const char *hidden_dropout, *attention_dropout;
};

struct espi_arch_dropout {
    const char *key; // NULL: the head has no dropout
    float fallback;  // when the field is absent or null; negative: the hidden dropout
};

/* One row of archs.inc. Static storage. */
struct espi_arch {
    const char *model_type;   // config.json
    const char *class_name;   // start of the names in `architectures`
    const char *prefix;       // of encoder tensors in checkpoints with a head
    const char *layer_prefix; // + layer number + "." + name
    struct espi_arch_keys keys;
    float layer_norm_eps; // when the field is absent
    struct espi_arch_dropout head_dropout[ESPI_HEAD_COUNT];
    bool attention_out_dropout;         // training: hidden dropout behind the attention's output layer, too
    const char *names[ESPI_ROLE_COUNT]; // tensor names without prefix; NULL: the family has no such tensor
    const char *qa_names[2];            // weight and bias of the classifier of a QA head
    const char *decoder_weight;         // masked-LM decoder, where a file stores it apart from the word embeddings
    const char *decoder_bias;           // another name of ESPI_MLM_BIAS; NULL: none
};

const struct espi_arch *espi_arch_find(const char *model_type); // NULL: not supported
/* "bert, distilbert", for messages. */
void espi_arch_list(char *text, size_t bytes);

/* The head of a class name; false when the family has no such class. */
bool espi_arch_head(const struct espi_arch *arch, const char *class_name, enum espi_head *out);
/* The end of the class name of a head: "ForQuestionAnswering". */
const char *espi_head_suffix(enum espi_head head);
/* "ForQuestionAnswering, ...", for messages. */
const char *espi_head_list(void);

/* Name of a tensor without the encoder's prefix, the layer's included; false when the model has no such tensor. */
bool espi_arch_tensor_name(const struct espi_arch *arch, enum espi_head head, enum espi_role role, size_t layer,
                           char name[ESPI_TENSOR_NAME_BYTES]);
/* True for tensors inside the encoder, which the prefix belongs to. */
bool espi_role_in_encoder(enum espi_role role);
bool espi_role_in_layer(enum espi_role role);
/* LayerNorm's scale and shift, which old files call gamma and beta. */
bool espi_role_is_norm_scale(enum espi_role role);
bool espi_role_is_norm_shift(enum espi_role role);

#endif
