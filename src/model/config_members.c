/* SPDX-License-Identifier: Apache-2.0
 * Every member that config.json files of these families are published with, and what happens to it. */
#include "model/config_members.h"

#include "base/size.h"

static const char generation[] = "text generation only", internal[] = "transformers' own bookkeeping",
                  outputs[] = "which outputs the Python class returns",
                  unread[] = "transformers does not read it either", tokens[] = "the tokenizer's files say it",
                  encoders[] = "only encoders are";

#define FAMILY_APPLIED(family, name, why)                                                                              \
    {                                                                                                                  \
        name, ESPI_MEMBER_APPLIED, why, {0}, family                                                                    \
    }
#define BERT_APPLIED(name, why)   FAMILY_APPLIED("bert", name, why)
#define DISTIL_APPLIED(name, why) FAMILY_APPLIED("distilbert", name, why)
#define APPLIED(name, why)                                                                                             \
    {                                                                                                                  \
        name, ESPI_MEMBER_APPLIED, why, {0}, NULL                                                                      \
    }
#define NEUTRAL(name, why)                                                                                             \
    {                                                                                                                  \
        name, ESPI_MEMBER_NEUTRAL, why, {0}, NULL                                                                      \
    }

static const struct espi_member rows[] = {
    APPLIED("model_type", "the family"),
    APPLIED("architectures", "the head, by the first name"),
    APPLIED("vocab_size", "shape"),
    APPLIED("max_position_embeddings", "shape"),
    BERT_APPLIED("hidden_size", "shape"),
    BERT_APPLIED("num_hidden_layers", "shape"),
    BERT_APPLIED("num_attention_heads", "shape"),
    BERT_APPLIED("intermediate_size", "shape"),
    BERT_APPLIED("type_vocab_size", "shape"),
    BERT_APPLIED("hidden_act", "activation function"),
    BERT_APPLIED("layer_norm_eps", "LayerNorm"),
    BERT_APPLIED("hidden_dropout_prob", "training"),
    BERT_APPLIED("attention_probs_dropout_prob", "training"),
    BERT_APPLIED("classifier_dropout", "training"),
    DISTIL_APPLIED("dim", "shape"),
    DISTIL_APPLIED("n_layers", "shape"),
    DISTIL_APPLIED("n_heads", "shape"),
    DISTIL_APPLIED("hidden_dim", "shape"),
    DISTIL_APPLIED("activation", "activation function"),
    DISTIL_APPLIED("dropout", "training"),
    DISTIL_APPLIED("attention_dropout", "training"),
    DISTIL_APPLIED("qa_dropout", "training"),
    DISTIL_APPLIED("seq_classif_dropout", "training"),
    FAMILY_APPLIED("electra", "embedding_size", "shape"),
    FAMILY_APPLIED("albert", "embedding_size", "shape"),
    FAMILY_APPLIED("albert", "num_hidden_groups", "which layers have weights of their own"),
    FAMILY_APPLIED("albert", "classifier_dropout_prob", "training"),
    APPLIED("initializer_range", "training of new tensors"),
    APPLIED("pad_token_id", "RoBERTa counts positions from it; nothing is padded here"),
    APPLIED("pruned_heads", "attention heads that are not in the weights"),
    APPLIED("tie_word_embeddings", "false is refused with a masked-LM head"),
    APPLIED("id2label", "names of the labels"),
    APPLIED("num_labels", "how many there are, where id2label is not there"),
    APPLIED("sentence_transformers", "activation_fn: how the scores of a sequence head are made"),
    APPLIED("sbert_ce_default_activation_function", "its older form"),
    APPLIED("tokenizer_class", "the class of the tokenizer, where tokenizer_config.json names none"),
    APPLIED("problem_type", "how the scores of a sequence head are made, what it is trained for"),

    {"is_decoder", ESPI_MEMBER_REFUSED, encoders, {"false"}, NULL},
    {"add_cross_attention", ESPI_MEMBER_REFUSED, encoders, {"false"}, NULL},
    {"is_encoder_decoder", ESPI_MEMBER_REFUSED, encoders, {"false"}, NULL},
    {"position_embedding_type", ESPI_MEMBER_REFUSED, "only \"absolute\" is", {"\"absolute\""}, NULL},
    {"quantization_config", ESPI_MEMBER_REFUSED, "only weights that are not quantized are", {0}, NULL},
    {"inner_group_num", ESPI_MEMBER_REFUSED, "only one layer a group is", {"1"}, "albert"},
    {"relative_attention_num_buckets", ESPI_MEMBER_REFUSED, "transformers' class takes 32", {"32"}, "mpnet"},
    {"auto_map", ESPI_MEMBER_REFUSED, "models with code of their own are not", {0}, NULL},
    {"task_specific_params", ESPI_MEMBER_WARNED, "pipelines of transformers may read it", {0}, NULL},

    NEUTRAL("label2id", "answers need id2label only"),
    NEUTRAL("torch_dtype", "weights are read as they are stored"),
    NEUTRAL("dtype", "weights are read as they are stored"),
    NEUTRAL("transformers_version", internal),
    NEUTRAL("_*", internal),
    NEUTRAL("name_or_path", internal),
    NEUTRAL("attn_implementation", "the same result by another way"),
    NEUTRAL("chunk_size_feed_forward", "the same result by another way"),
    NEUTRAL("gradient_checkpointing", "the same result by another way"),
    NEUTRAL("torchscript", "the same result by another way"),
    NEUTRAL("use_bfloat16", unread),
    NEUTRAL("export_model_type", "other programs' bookkeeping"),
    NEUTRAL("custom_pipelines", "code of pipelines"),
    NEUTRAL("finetuning_task", "a name"),
    NEUTRAL("initializer_factor", unread),
    NEUTRAL("directionality", unread),
    NEUTRAL("pooler_*", unread),
    NEUTRAL("summary_*", unread),
    NEUTRAL("tie_weights_", unread),
    NEUTRAL("down_scale_factor", unread),
    NEUTRAL("gap_size", unread),
    NEUTRAL("net_structure_type", unread),
    NEUTRAL("num_memory_blocks", unread),
    NEUTRAL("layers_to_keep", unread),
    NEUTRAL("sinusoidal_pos_embds", "the position embeddings are in the weights"),
    NEUTRAL("use_cache", generation),
    NEUTRAL("cross_attention_hidden_size", generation),
    NEUTRAL("tie_encoder_decoder", generation),
    NEUTRAL("output_attentions", outputs),
    NEUTRAL("output_hidden_states", outputs),
    NEUTRAL("output_past", outputs),
    NEUTRAL("output_scores", outputs),
    NEUTRAL("return_dict", outputs),
    NEUTRAL("return_dict_in_generate", outputs),
    NEUTRAL("tf_legacy_loss", "training in TensorFlow"),
    NEUTRAL("bos_token_id", tokens),
    NEUTRAL("eos_token_id", tokens),
    NEUTRAL("eos_token_ids", tokens),
    NEUTRAL("cls_token_id", tokens),
    NEUTRAL("sep_token_id", tokens),
    NEUTRAL("mask_token_id", tokens),
    NEUTRAL("unk_token_id", tokens),
    NEUTRAL("decoder_start_token_id", generation),
    NEUTRAL("prefix", generation),
    NEUTRAL("max_length", generation),
    NEUTRAL("min_length", generation),
    NEUTRAL("do_sample", generation),
    NEUTRAL("early_stopping", generation),
    NEUTRAL("num_beams", generation),
    NEUTRAL("num_beam_groups", generation),
    NEUTRAL("num_return_sequences", generation),
    NEUTRAL("diversity_penalty", generation),
    NEUTRAL("length_penalty", generation),
    NEUTRAL("repetition_penalty", generation),
    NEUTRAL("exponential_decay_length_penalty", generation),
    NEUTRAL("no_repeat_ngram_size", generation),
    NEUTRAL("encoder_no_repeat_ngram_size", generation),
    NEUTRAL("bad_words_ids", generation),
    NEUTRAL("suppress_tokens", generation),
    NEUTRAL("begin_suppress_tokens", generation),
    NEUTRAL("forced_bos_token_id", generation),
    NEUTRAL("forced_eos_token_id", generation),
    NEUTRAL("remove_invalid_values", generation),
    NEUTRAL("temperature", generation),
    NEUTRAL("top_k", generation),
    NEUTRAL("top_p", generation),
    NEUTRAL("typical_p", generation),
};

const struct espi_member_table espi_config_members = {"config.json", rows, ESPI_COUNT(rows)};

static const struct espi_member cross_encoder_rows[] = {
    APPLIED("activation_fn", "Identity, Sigmoid or Softmax of torch.nn; others are refused"),
    NEUTRAL("version", "sentence-transformers' own bookkeeping"),
};

const struct espi_member_table espi_cross_encoder_members = {"config.json: sentence_transformers", cross_encoder_rows,
                                                             ESPI_COUNT(cross_encoder_rows)};
