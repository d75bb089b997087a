/* SPDX-License-Identifier: Apache-2.0
 * The files beside a tokenizer.json or vocab.txt: tokenizer_config.json, special_tokens_map.json, added_tokens.json, and
 * of config.json what names the class. What they mean, and which of them counts, is as transformers 4 has it where it
 * builds a fast tokenizer; docs/files.md says it. Private to src/text. */
#ifndef ESPI_TEXT_TOKENIZER_FILES_H
#define ESPI_TEXT_TOKENIZER_FILES_H

#include "base/file.h"
#include "base/members.h"
#include "text/tokenizer_state.h"

extern const struct espi_member_table espi_tokenizer_config_members, espi_special_map_members, espi_tokenizer_members,
    espi_truncation_members, espi_added_token_members, espi_normalizer_members, espi_pre_tokenizer_members,
    espi_post_processor_members, espi_decoder_members, espi_model_members;

/* A class of transformers that is BertTokenizerFast under another name. */
struct espi_tokenizer_class {
    const char *name;       // without "Fast"
    const char *model_type; // whose class it is where none is named
    bool types;             // token_type_ids are among the inputs it makes
};

/* Owner: the caller; espi_tokenizer_files_close. */
struct espi_tokenizer_files {
    const char *directory;                              // or NULL
    struct espi_json config, special_map, added, model; // value NULL: not there
    char paths[4][ESPI_PATH_BYTES];
    const char *class_name;                  // the class they name, or NULL
    const struct espi_tokenizer_class *bert; // its row; NULL: another class, or no file says anything
    const char *const *standards;            // (ESPI_SPECIAL_ROLES) special tokens where no file names them; NULL: none
    bool adds_standards;                     // those, too, that the vocabulary does not have
    bool mask_takes_space, mask_normalized, unk_normalized; // of a token that is not an object
};

/* `directory` may be NULL: no files. Warns of members that are not known. */
int espi_tokenizer_files_open(esp_context *ctx, const char *directory,
                              struct espi_tokenizer_files *files) ESPI_NODISCARD;
void espi_tokenizer_files_close(struct espi_tokenizer_files *files);

/* The normalizer's options of a vocab.txt. */
int espi_tokenizer_files_options(esp_context *ctx, const struct espi_tokenizer_files *files,
                                 esp_tokenizer *tokenizer) ESPI_NODISCARD;
/* The same over those that tokenizer.json has given; says so where that changes tokens. */
int espi_tokenizer_files_over_json(esp_context *ctx, const struct espi_tokenizer_files *files,
                                   const struct espi_json *document, esp_tokenizer *tokenizer) ESPI_NODISCARD;
/* Whether the class is MPNet's: BERT's with RoBERTa's special tokens. */
bool espi_tokenizer_is_mpnet(const struct espi_tokenizer_files *files);
/* Whether the class is RoBERTa's. */
bool espi_tokenizer_is_roberta(const struct espi_tokenizer_files *files);
/* The tokenizer of a vocab.json and the merges.txt beside it. */
int espi_tokenizer_read_merges(esp_context *ctx, esp_tokenizer *tokenizer, const char *path,
                               struct espi_tokenizer_files *files) ESPI_NODISCARD;
/* The tokenizer of a SentencePiece model. */
int espi_tokenizer_read_spm(esp_context *ctx, esp_tokenizer *tokenizer, const char *path,
                            struct espi_tokenizer_files *files) ESPI_NODISCARD;
/* Whether a class is one that is made of such a model. */
bool espi_tokenizer_is_spm_class(const char *name);
/* Name of the unknown token of a vocab.txt. */
int espi_tokenizer_files_unknown(esp_context *ctx, const struct espi_tokenizer_files *files,
                                 esp_tokenizer *tokenizer) ESPI_NODISCARD;
/* Added tokens, and the special tokens by their roles. `source` is the vocabulary's file; of a vocab.txt (`vocab`) what
 * its template needs must be there. */
int espi_tokenizer_files_tokens(esp_context *ctx, const struct espi_tokenizer_files *files, const char *source,
                                bool vocab, esp_tokenizer *tokenizer) ESPI_NODISCARD;
/* Lengths, sides and inputs: when the templates are there. */
int espi_tokenizer_files_settings(esp_context *ctx, const struct espi_tokenizer_files *files,
                                  esp_tokenizer *tokenizer) ESPI_NODISCARD;

#endif
