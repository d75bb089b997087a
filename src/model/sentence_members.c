/* SPDX-License-Identifier: Apache-2.0
 * Every member that sentence-transformers (versions 0.2 to 5.4) writes into its files, and what happens to it. The scope is
 * "embed" for sentence encoders, "classify" for a CrossEncoder. */
#include "model/config_members.h"

#include "base/size.h"

#define APPLIED(name, why)                                                                                             \
    {                                                                                                                  \
        name, ESPI_MEMBER_APPLIED, why, {0}, NULL                                                                      \
    }
#define EMBED_APPLIED(name, why)                                                                                       \
    {                                                                                                                  \
        name, ESPI_MEMBER_APPLIED, why, {0}, "embed"                                                                   \
    }
#define NEUTRAL(name, why)                                                                                             \
    {                                                                                                                  \
        name, ESPI_MEMBER_NEUTRAL, why, {0}, NULL                                                                      \
    }
#define WARNED(name, why)                                                                                              \
    {                                                                                                                  \
        name, ESPI_MEMBER_WARNED, why, {0}, NULL                                                                       \
    }
#define WARNED_UNLESS(name, why, ...)                                                                                  \
    {                                                                                                                  \
        name, ESPI_MEMBER_WARNED, why, {__VA_ARGS__}, NULL                                                             \
    }
#define REFUSED(name, scope, why, ...)                                                                                 \
    {                                                                                                                  \
        name, ESPI_MEMBER_REFUSED, why, {__VA_ARGS__}, scope                                                           \
    }

static const struct espi_member module_rows[] = {
    APPLIED("type", "Transformer, Pooling, Normalize in this order, by the last part of the name; others are refused"),
    APPLIED("path", "the module's folder"),
    NEUTRAL("idx", "the order of the list says it"),
    NEUTRAL("name", "a name"),
    NEUTRAL("kwargs", "arguments of Python calls"),
};

const struct espi_member_table espi_module_members = {"modules.json", module_rows, ESPI_COUNT(module_rows)};

static const struct espi_member pooling_rows[] = {
    APPLIED("pooling_mode", "cls, mean or max; others are refused"),
    APPLIED("pooling_mode_cls_token", "cls"),
    APPLIED("pooling_mode_mean_tokens", "mean, also when no mode is true"),
    APPLIED("pooling_mode_max_tokens", "max"),
    APPLIED("pooling_mode_mean_sqrt_len_tokens", "true is refused"),
    APPLIED("pooling_mode_weightedmean_tokens", "true is refused"),
    APPLIED("pooling_mode_lasttoken", "true is refused"),
    APPLIED("include_prompt", "false is refused with a default prompt, unless the mode is cls"),
    APPLIED("word_embedding_dimension", "warned about when it is not the encoder's hidden size"),
    APPLIED("embedding_dimension", "the same"),
};

const struct espi_member_table espi_pooling_members = {"1_Pooling/config.json", pooling_rows, ESPI_COUNT(pooling_rows)};

static const struct espi_member transformer_rows[] = {
    APPLIED("max_seq_length", "tokens of a text; wins over model_max_length; at most max_position_embeddings"),
    EMBED_APPLIED("do_lower_case", "lower case in front of the tokenizer"),
    REFUSED("do_lower_case", "classify", "only for embeddings is it", "false"),
    REFUSED("transformer_task", "embed", "only \"feature-extraction\" is", "\"feature-extraction\""),
    APPLIED("transformer_task", "\"sequence-classification\": the file is a CrossEncoder's"),
    WARNED_UNLESS("module_output_name", "only token embeddings are pooled", "\"token_embeddings\"", "\"scores\""),
    WARNED_UNLESS("modality_config", "only texts are read",
                  "{\"text\":{\"method\":\"forward\",\"method_output_name\":\"last_hidden_state\"}}",
                  "{\"text\":{\"method\":\"forward\",\"method_output_name\":\"logits\"}}"),
    WARNED("model_args", "arguments of Python calls"),
    WARNED("model_kwargs", "arguments of Python calls"),
    WARNED("tokenizer_args", "arguments of Python calls"),
    WARNED("processor_kwargs", "arguments of Python calls"),
    WARNED("processing_kwargs", "arguments of Python calls"),
    WARNED("config_args", "arguments of Python calls"),
    WARNED("config_kwargs", "arguments of Python calls"),
    WARNED("query_length", "texts are not told apart by kind"),
    WARNED("document_length", "texts are not told apart by kind"),
    WARNED_UNLESS("query_expansion", "it is not done", "false"),
    NEUTRAL("unpad_inputs", "the same result by another way"),
    NEUTRAL("message_format", "chat models only"),
};

const struct espi_member_table espi_transformer_members = {"sentence_bert_config.json", transformer_rows,
                                                           ESPI_COUNT(transformer_rows)};

static const struct espi_member sentence_rows[] = {
    EMBED_APPLIED("default_prompt_name", "its prompt goes in front of each text to embed"),
    EMBED_APPLIED("prompts", "the one that default_prompt_name names; the others are for calls that name them"),
    EMBED_APPLIED("truncate_dim", "the first numbers of an embedding, behind all modules, not normalised again"),
    REFUSED("model_type", "embed", "only sentence encoders are", "\"SentenceTransformer\""),
    APPLIED("model_type", "\"CrossEncoder\" for models with a sequence head"),
    {"activation_fn", ESPI_MEMBER_APPLIED, "a CrossEncoder's, as in config.json", {0}, "classify"},
    NEUTRAL("prompts", "for calls that name them"),
    NEUTRAL("similarity_fn_name", "embeddings are compared by whoever asked for them; eval takes the cosine"),
    NEUTRAL("__version__", "sentence-transformers' own bookkeeping"),
};

const struct espi_member_table espi_sentence_members = {"config_sentence_transformers.json", sentence_rows,
                                                        ESPI_COUNT(sentence_rows)};
