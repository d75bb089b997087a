/* SPDX-License-Identifier: Apache-2.0
 * What happens to each member of the tokenizer's files; the words stand in docs/files.md. */
#include "text/tokenizer_files.h"

#include "base/size.h"
#include "text/wordpiece.h"

#define ROW(use, name, why)                                                                                            \
    {                                                                                                                  \
        name, ESPI_MEMBER_##use, why, {0}, NULL                                                                        \
    }
/* Of one type alone. */
#define OF(type, name, why)                                                                                            \
    {                                                                                                                  \
        name, ESPI_MEMBER_APPLIED, why, {0}, type                                                                      \
    }
#define NOT(type, name, why)                                                                                           \
    {                                                                                                                  \
        name, ESPI_MEMBER_NEUTRAL, why, {0}, type                                                                      \
    }
/* A value but for which it is refused or warned about. */
#define ONLY(use, name, why, value)                                                                                    \
    {                                                                                                                  \
        name, ESPI_MEMBER_##use, why, {value}, NULL                                                                    \
    }

static const char normalizer[] = "normalizer; where the class is one of BERT's also over that of tokenizer.json",
                  role[] = "special token, by its role; found in texts", padding[] = "nothing is padded",
                  calls[] = "transformers takes it from the caller", paths[] = "where a file once stood",
                  bookkeeping[] = "transformers' own bookkeeping", others[] = "other tokenizers only",
                  pattern[] = "a String or a Regex",
                  behaviors[] = "Removed, Isolated, Contiguous, MergedWithPrevious or MergedWithNext";

static const struct espi_member config_rows[] = {
    ROW(APPLIED, "tokenizer_class", "whose rules and defaults hold; missing: the class of config.json's model_type"),
    ROW(APPLIED, "do_lower_case", normalizer),
    ROW(APPLIED, "strip_accents", normalizer),
    ROW(APPLIED, "tokenize_chinese_chars", normalizer),
    ROW(APPLIED, "model_max_length", "limit of a text's tokens; beyond 64 bits (1e30): none"),
    ROW(APPLIED, "max_len", "old name of model_max_length"),
    ROW(APPLIED, "truncation_side", "which end of a long text is cut; before truncation.direction of tokenizer.json"),
    ROW(APPLIED, "model_input_names", "without token_type_ids all types are 0"),
    ROW(APPLIED, "clean_up_tokenization_spaces",
        "false: the texts of task mlm keep their spaces; missing: true, as in transformers 4"),
    ROW(APPLIED, "added_tokens_decoder",
        "added tokens; over those of tokenizer.json, and special_tokens_map.json and added_tokens.json are not read"),
    ROW(APPLIED, "bos_token", role),
    ROW(APPLIED, "eos_token", role),
    ROW(APPLIED, "unk_token", "special token; the unknown token of a vocab.txt"),
    ROW(APPLIED, "sep_token", role),
    ROW(APPLIED, "pad_token", role),
    ROW(APPLIED, "cls_token", role),
    ROW(APPLIED, "mask_token", role),
    ROW(APPLIED, "additional_special_tokens", "special tokens, found in texts"),
    ROW(APPLIED, "extra_special_tokens", "special tokens, found in texts"),
    ONLY(REFUSED, "split_special_tokens", "special tokens are always found in texts", "false"),
    ONLY(WARNED, "do_basic_tokenize", "fast tokenizers split at spaces and punctuation in any case", "true"),
    ROW(WARNED, "never_split", "fast tokenizers do not know it"),
    ONLY(WARNED, "padding_side", "nothing is padded, and a question stays before its context", "\"right\""),
    ONLY(WARNED, "clean_text", "the normalizer of tokenizer.json has the last word", "true"),
    ONLY(WARNED, "wordpieces_prefix", "the model of tokenizer.json has the last word", "\"" ESPI_WORDPIECE_PREFIX "\""),
    ROW(WARNED, "auto_map", "code of a model's own is not run"),
    ROW(NEUTRAL, "padding", padding),
    ROW(NEUTRAL, "pad_to_multiple_of", padding),
    ROW(NEUTRAL, "pad_token_type_id", padding),
    ROW(NEUTRAL, "max_length", calls),
    ROW(NEUTRAL, "stride", calls),
    ROW(NEUTRAL, "truncation", calls),
    ROW(NEUTRAL, "truncation_strategy", calls),
    ROW(NEUTRAL, "return_*", calls),
    ROW(NEUTRAL, "tokenizer_file", paths),
    ROW(NEUTRAL, "vocab_file", paths),
    ROW(NEUTRAL, "special_tokens_map_file", paths),
    ROW(NEUTRAL, "name_or_path", paths),
    ROW(NEUTRAL, "full_tokenizer_file", paths),
    ROW(NEUTRAL, "init_inputs", bookkeeping),
    ROW(NEUTRAL, "transformers_version", bookkeeping),
    ROW(NEUTRAL, "processor_class", bookkeeping),
    ROW(NEUTRAL, "from_slow", bookkeeping),
    ROW(NEUTRAL, "use_fast", bookkeeping),
    ROW(NEUTRAL, "backend", bookkeeping),
    ROW(NEUTRAL, "is_local", bookkeeping),
    ROW(NEUTRAL, "local_files_only", bookkeeping),
    ROW(NEUTRAL, "__type", bookkeeping),
    ROW(NEUTRAL, "chat_template", "text generation only"),
    ROW(APPLIED, "add_prefix_space", "RobertaTokenizer: over that of tokenizer.json"),
    ROW(APPLIED, "trim_offsets", "RobertaTokenizer: over that of tokenizer.json"),
    ROW(NEUTRAL, "errors", others),
    ROW(NEUTRAL, "legacy", others),
    ROW(NEUTRAL, "sp_model_kwargs", others),
    ROW(APPLIED, "keep_accents", "AlbertTokenizer with a spiece.model"),
    ROW(APPLIED, "split_by_punct", "DebertaV2Tokenizer with a spm.model"),
    ROW(NEUTRAL, "remove_space", others),
    ROW(NEUTRAL, "vocab_type", others),
};

static const struct espi_member special_map_rows[] = {
    ROW(APPLIED, "unk_token", "special token; the unknown token of a vocab.txt"),
    ROW(APPLIED, "bos_token", role),
    ROW(APPLIED, "eos_token", role),
    ROW(APPLIED, "sep_token", role),
    ROW(APPLIED, "pad_token", role),
    ROW(APPLIED, "cls_token", role),
    ROW(APPLIED, "mask_token", role),
    ROW(APPLIED, "additional_special_tokens", "special tokens, beside those of tokenizer_config.json"),
};

static const struct espi_member tokenizer_rows[] = {
    ROW(APPLIED, "truncation", "its direction"),
    ROW(APPLIED, "added_tokens", "tokens found in texts before they are split"),
    ROW(APPLIED, "normalizer", "the types below, a Sequence of them, or none; others are refused"),
    ROW(APPLIED, "pre_tokenizer", "the types below, a Sequence of them, or none; others are refused"),
    ROW(APPLIED, "model", "WordPiece, Unigram, WordLevel, or BPE behind ByteLevel; others are refused"),
    ROW(APPLIED, "post_processor",
        "TemplateProcessing, BertProcessing, RobertaProcessing, ByteLevel or none; others are refused"),
    ROW(APPLIED, "decoder", "WordPiece, ByteLevel, Metaspace or none; others are refused"),
    ONLY(WARNED, "version", "this is not a version that is known", "\"1.0\""),
    ROW(NEUTRAL, "padding", padding),
};

static const struct espi_member truncation_rows[] = {
    ROW(APPLIED, "direction", "which end of a long text is cut, where tokenizer_config.json does not say it"),
    ROW(NEUTRAL, "max_length", calls),
    ROW(NEUTRAL, "strategy", calls),
    ROW(NEUTRAL, "stride", calls),
};

static const struct espi_member added_rows[] = {
    ROW(APPLIED, "id", "refused where the vocabulary makes it another"),
    ROW(APPLIED, "content", "the token"),
    ROW(APPLIED, "single_word", "found as a whole word only"),
    ROW(APPLIED, "lstrip", "takes in the space before it"),
    ROW(APPLIED, "rstrip", "takes in the space behind it"),
    ROW(APPLIED, "normalized", "found in the normalized text"),
    ROW(APPLIED, "special", "left out where text is made of tokens"),
    ROW(NEUTRAL, "__type", bookkeeping),
};

static const struct espi_member normalizer_rows[] = {
    ROW(APPLIED, "type",
        "BertNormalizer, NFC, NFD, NFKC, NFKD, Lowercase, StripAccents, Strip, Replace, Prepend, Nmt or Precompiled"),
    OF("BertNormalizer", "clean_text", "control characters are removed"),
    OF("BertNormalizer", "handle_chinese_chars", "a Chinese character is a word"),
    OF("BertNormalizer", "strip_accents", "null: as lowercase"),
    OF("BertNormalizer", "lowercase", "texts are written in lower case"),
    OF("Strip", "strip_left", "white space before a text is removed"),
    OF("Strip", "strip_right", "white space behind a text is removed"),
    OF("Replace", "pattern", pattern),
    OF("Replace", "content", "what comes in its place"),
    OF("Prepend", "prepend", "what comes before a text"),
    OF("Precompiled", "precompiled_charsmap", "what is replaced by what"),
};

static const struct espi_member pre_tokenizer_rows[] = {
    ROW(APPLIED, "type",
        "BertPreTokenizer, ByteLevel, Metaspace, Whitespace, WhitespaceSplit, Punctuation, Digits or Split"),
    OF("Punctuation", "behavior", behaviors),
    OF("Split", "pattern", pattern),
    OF("Split", "behavior", behaviors),
    OF("Split", "invert", "what lies between the matches is taken for them"),
    OF("Digits", "individual_digits", "each digit is a word"),
    OF("ByteLevel", "add_prefix_space", "a text that begins with no space gets one"),
    OF("ByteLevel", "use_regex", "texts are split at spaces, digits and signs"),
    NOT("ByteLevel", "trim_offsets", "the post-processor's counts"),
    OF("Metaspace", "replacement", "what stands for a space"),
    OF("Metaspace", "prepend_scheme", "which parts of a text get one in front: always, first or never"),
    OF("Metaspace", "add_prefix_space", "its older form: always or never"),
    OF("Metaspace", "split", "words begin with it"),
    NOT("Metaspace", "str_rep", "the same as replacement"),
};

static const struct espi_member model_rows[] = {
    ROW(APPLIED, "type", "WordPiece, BPE, Unigram or WordLevel"),
    ROW(APPLIED, "unk_token", "the token of unknown words"),
    ROW(APPLIED, "continuing_subword_prefix", "what pieces inside a word begin with; BPE: none"),
    OF("Unigram", "unk_id", "the token of unknown characters"),
    OF("Unigram", "byte_fallback", "unknown characters are the tokens of their bytes, where there are such"),
    OF("WordPiece", "max_input_chars_per_word", "longer words are unknown"),
    ROW(APPLIED, "vocab", "the tokens and their ids"),
    OF("BPE", "merges", "the pairs that are joined, the first ones first"),
    OF("BPE", "fuse_unk", "unknown neighbours are one token"),
    OF("BPE", "ignore_merges", "a word that is a token is not split"),
    OF("BPE", "end_of_word_suffix", "none"),
    {"dropout", ESPI_MEMBER_REFUSED, "no token is drawn at random", {"0.0", "0"}, "BPE"},
    {"byte_fallback", ESPI_MEMBER_REFUSED, "only BPE over bytes is supported", {"false"}, "BPE"},
};

static const struct espi_member post_processor_rows[] = {
    ROW(APPLIED, "type", "TemplateProcessing, BertProcessing, RobertaProcessing or ByteLevel"),
    OF("TemplateProcessing", "single", "the template of a text"),
    OF("TemplateProcessing", "pair", "the template of two texts"),
    OF("TemplateProcessing", "special_tokens", "their ids"),
    OF("BertProcessing", "sep", "a token and its id"),
    OF("BertProcessing", "cls", "a token and its id"),
    OF("RobertaProcessing", "sep", "a token and its id"),
    OF("RobertaProcessing", "cls", "a token and its id"),
    OF("RobertaProcessing", "trim_offsets", "spaces at the ends of a token are not part of its place"),
    OF("RobertaProcessing", "add_prefix_space", "but for one at the beginning"),
    OF("ByteLevel", "trim_offsets", "spaces at the ends of a token are not part of its place"),
    OF("ByteLevel", "add_prefix_space", "but for one at the beginning"),
    NOT("ByteLevel", "use_regex", "the pre-tokenizer's counts"),
};

static const struct espi_member decoder_rows[] = {
    ROW(APPLIED, "type", "WordPiece, ByteLevel or Metaspace"),
    OF("WordPiece", "prefix", "what is taken off pieces inside a word"),
    OF("WordPiece", "cleanup", "spaces before punctuation are removed"),
    NOT("ByteLevel", "add_prefix_space", "the pre-tokenizer's counts"),
    NOT("ByteLevel", "trim_offsets", "the post-processor's counts"),
    NOT("ByteLevel", "use_regex", "the pre-tokenizer's counts"),
    OF("Metaspace", "replacement", "what stands for a space"),
    OF("Metaspace", "prepend_scheme", "never: the first token keeps its space"),
    OF("Metaspace", "add_prefix_space", "its older form"),
    NOT("Metaspace", "str_rep", "the same as replacement"),
    NOT("Metaspace", "split", "the pre-tokenizer's counts"),
};

#define TABLE(name, file, rows) const struct espi_member_table name = {file, rows, ESPI_COUNT(rows)}

TABLE(espi_tokenizer_config_members, "tokenizer_config.json", config_rows);
TABLE(espi_special_map_members, "special_tokens_map.json", special_map_rows);
TABLE(espi_tokenizer_members, "tokenizer.json", tokenizer_rows);
TABLE(espi_truncation_members, "tokenizer.json: truncation", truncation_rows);
TABLE(espi_added_token_members, "an added token", added_rows);
TABLE(espi_normalizer_members, "tokenizer.json: normalizer", normalizer_rows);
TABLE(espi_pre_tokenizer_members, "tokenizer.json: pre_tokenizer", pre_tokenizer_rows);
TABLE(espi_model_members, "tokenizer.json: model", model_rows);
TABLE(espi_post_processor_members, "tokenizer.json: post_processor", post_processor_rows);
TABLE(espi_decoder_members, "tokenizer.json: decoder", decoder_rows);
