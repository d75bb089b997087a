/* SPDX-License-Identifier: Apache-2.0
 *
 * espalier: fast Transformer encoders on CPUs. This is the one public header.
 *
 * Conventions
 *   - A function that can fail returns 0 (ESP_OK) or a negative esp_status. What went wrong (file, field, expected and
 *     found value) stays in the context as text: esp_last_error(context).
 *   - A context may be NULL: the status is still returned, the text and the log are dropped.
 *   - "Owner" and "thread rule" of each type stand above it. Sizes are in elements unless a name says bytes.
 *   - Strings are UTF-8 and zero-terminated unless a length stands beside them.
 */
#ifndef ESPALIER_H
#define ESPALIER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(_WIN32)
#define ESP_API
#else
#define ESP_API __attribute__((visibility("default")))
#endif

#define ESP_VERSION_MAJOR 0
#define ESP_VERSION_MINOR 1
#define ESP_VERSION_PATCH 0

/* ---- status codes ------------------------------------------------------------------------------------------------ */

/* X(name, value, text) */
#define ESP_STATUS_MAP(X)                                                                                              \
    X(OK, 0, "ok")                                                                                                     \
    X(ERR_ARGUMENT, -1, "invalid argument")                                                                            \
    X(ERR_MEMORY, -2, "out of memory")                                                                                 \
    X(ERR_IO, -3, "input or output failed")                                                                            \
    X(ERR_FORMAT, -4, "malformed input")                                                                               \
    X(ERR_UNSUPPORTED, -5, "not supported")                                                                            \
    X(ERR_LIMIT, -6, "a limit was exceeded")                                                                           \
    X(ERR_NOT_FOUND, -7, "not found")                                                                                  \
    X(ERR_CANCELLED, -8, "cancelled")                                                                                  \
    X(ERR_INTERNAL, -9, "internal error")

typedef enum esp_status {
#define X(name, value, text) ESP_##name = (value),
    ESP_STATUS_MAP(X)
#undef X
} esp_status;

/* The library's version, "major.minor.patch". Static storage. */
ESP_API const char *esp_version(void);

/* A fixed English text for a status, for example "malformed input". Static storage; never NULL. */
ESP_API const char *esp_status_text(int status);

/* ---- context: last error and log --------------------------------------------------------------------------------- */

/* Holds the last error's text and the log callback.
 * Owner: the caller. Thread rule: one thread at a time; threads that work at once use a context each. */
typedef struct esp_context esp_context;

typedef enum esp_log_level { ESP_LOG_ERROR, ESP_LOG_WARNING, ESP_LOG_INFO, ESP_LOG_DEBUG } esp_log_level;

/* Receives one line without a line end. `text` is valid during the call only. Must not call back into the library. */
typedef void esp_log_fn(void *cookie, esp_log_level level, const char *text);

/* NULL when out of memory. */
ESP_API esp_context *esp_context_new(void);
ESP_API void esp_context_free(esp_context *context);

/* Sends log lines to `log` with `cookie`; NULL (the default) drops them. */
ESP_API void esp_context_set_log(esp_context *context, esp_log_fn *log, void *cookie);

/* The text of the last failure in this context; "" when there was none. Valid until the next call with this context. */
ESP_API const char *esp_last_error(const esp_context *context);

/* ---- tokenizer --------------------------------------------------------------------------------------------------- */

/* A WordPiece tokenizer as Hugging Face BERT tokenizers define it (BertNormalizer, BertPreTokenizer, WordPiece,
 * [CLS] A [SEP] B [SEP] template).
 * Owner: the caller. Thread rule: immutable after opening; any number of threads may encode with it at once. */
typedef struct esp_tokenizer esp_tokenizer;

/* Which side gives way when a text (or pair) is longer than max_length; names and meaning of Hugging Face tokenizers. */
typedef enum esp_truncation {
    ESP_TRUNCATE_NONE,
    ESP_TRUNCATE_LONGEST_FIRST,
    ESP_TRUNCATE_ONLY_FIRST,
    ESP_TRUNCATE_ONLY_SECOND,
} esp_truncation;

typedef struct esp_encode_options {
    size_t max_length;         /* tokens of one window, special tokens included; unused with ESP_TRUNCATE_NONE */
    size_t stride;             /* tokens that consecutive windows share */
    esp_truncation truncation; /* ESP_TRUNCATE_NONE: one window, however long */
    bool overflow;             /* false: only the first window is kept */
    bool no_special_tokens;    /* true: neither [CLS] nor [SEP] is added */
    bool stop_at_max_length;   /* with overflow: true stops in each text behind the word that reaches max_length tokens,
                                  as Hugging Face tokenizers 0.23 does, so that the windows lose what follows; false: the
                                  windows cover the whole text, as its earlier versions do */
} esp_encode_options;

#define ESP_NO_WORD     UINT32_MAX /* words[i] of a special token added by the template */
#define ESP_NO_SEQUENCE 0xff       /* sequences[i] of such a token */

/* The result of encoding one text or pair: one or more windows, their tokens one after another (ragged, no padding).
 * Window w holds the tokens starts[w] .. starts[w + 1] - 1.
 * Owner: the caller, zero-initialised before first use; esp_encode reuses and grows the buffers, so that a warm
 * encoding is filled without allocation; esp_encoding_clear releases them. Thread rule: one thread at a time. */
typedef struct esp_encoding {
    size_t windows;
    size_t tokens;        /* of all windows */
    uint32_t *starts;     /* (windows + 1) */
    int32_t *ids;         /* (tokens) */
    uint8_t *type_ids;    /* (tokens) */
    uint8_t *special;     /* (tokens) special_tokens_mask: 1 for tokens the template added */
    uint8_t *sequences;   /* (tokens) 0 text, 1 pair, ESP_NO_SEQUENCE */
    uint32_t *words;      /* (tokens) word number within its sequence (Hugging Face word_ids) or ESP_NO_WORD */
    uint32_t *byte_begin; /* (tokens) [begin, end) in bytes of the original text of its sequence; 0, 0 if special */
    uint32_t *byte_end;   /* (tokens) */
    uint32_t *char_begin; /* (tokens) the same in Unicode code points */
    uint32_t *char_end;   /* (tokens) */
    void *workspace;      /* private to the tokenizer */
} esp_encoding;

/* Opens the tokenizer of a directory (tokenizer.json, else vocab.txt with tokenizer_config.json) or of one such file.
 * Errors: ESP_ERR_IO, ESP_ERR_FORMAT, ESP_ERR_UNSUPPORTED (another normalizer, model or post-processor, by name). */
ESP_API int esp_tokenizer_open(esp_context *context, const char *path, esp_tokenizer **out);
ESP_API void esp_tokenizer_free(esp_tokenizer *tokenizer);

/* Number of ids: the largest id + 1. */
ESP_API size_t esp_tokenizer_size(const esp_tokenizer *tokenizer);
/* Token text of an id, or NULL when the id is not used. Valid as long as the tokenizer. */
ESP_API const char *esp_tokenizer_token(const esp_tokenizer *tokenizer, int32_t id);
/* Id of a token text, or -1. */
ESP_API int32_t esp_tokenizer_id(const esp_tokenizer *tokenizer, const char *token);
/* The model_max_length the files state, or SIZE_MAX. */
ESP_API size_t esp_tokenizer_max_length(const esp_tokenizer *tokenizer);

/* Encodes `text` (text_bytes long; NULL is an empty text when that is 0), and `pair` when it is not NULL. `options`
 * NULL means zero everywhere. Invalid UTF-8 is accepted: each maximal invalid part counts as one U+FFFD (one code
 * point), which the normalizer removes.
 * Texts are limited to 2^31 - 1 bytes (ESP_ERR_LIMIT). ESP_ERR_ARGUMENT when the options cannot be met (for example
 * max_length leaves no room for the question with only_second; stride not smaller than the room). */
ESP_API int esp_encode(esp_context *context, const esp_tokenizer *tokenizer, const char *text, size_t text_bytes,
                       const char *pair, size_t pair_bytes, const esp_encode_options *options, esp_encoding *out);
ESP_API void esp_encoding_clear(esp_encoding *encoding);

#ifdef __cplusplus
}
#endif

#endif /* ESPALIER_H */
