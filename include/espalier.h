/* SPDX-License-Identifier: Apache-2.0
 *
 * espalier: fast Transformer encoders on CPUs. espalier_create.h makes what this header runs.
 *
 * Conventions
 *   - A function that can fail returns 0 (ESP_OK) or a negative esp_status. What went wrong (file, field, expected and
 *     found value) stays in the context as text: esp_last_error(context).
 *   - A context may be NULL: the status is still returned, the text and the log are dropped.
 *   - "Owner" and "thread rule" of each type stand above it. Sizes are in elements unless a name says bytes.
 *   - Strings are UTF-8 and zero-terminated unless a length stands beside them.
 *   - Every _free function takes NULL.
 *   - Structs that the caller fills are zero-initialised as a whole ({0}, or members by name), so that members of later
 *     versions have their default. Later versions put them where `reserved` is now: sizes and places stay as they are for
 *     programs that were built before. What is reserved and not zero is ESP_ERR_ARGUMENT: a member this version does not
 *     have yet. Structs that the library fills have zeros there. Enumerations may get further values.
 *   - The SOVERSION is major.minor before 1.0, the major version from then on. Within one, a later library runs every program
 *     that was built with an earlier header (docs/releasing.md says how this is kept).
 *   - NULL where an object, a batch or a place for the result is needed is ESP_ERR_ARGUMENT; functions that return no status
 *     then return NULL, 0 (esp_tokenizer_id: -1) or do nothing.
 *
 * The process around the library
 *   - fork: a child may use, and free, every object that no other thread of the parent was using at the moment of the fork,
 *     each process from then on its own: a session starts its threads anew, with the same answers. What another thread was
 *     using may not be touched in the child, not even freed. A server that forks loads its models before, so that the
 *     children share their memory, and makes its sessions in the children.
 *   - Signals: the threads of a session block every signal but those a fault of their own raises (SIGSEGV, SIGBUS, SIGFPE,
 *     SIGILL, SIGTRAP, SIGSYS): handlers run in the program's own threads. The library installs no handler. A signal does not
 *     end a call early. Nothing here may be called from a handler.
 *   - Floating-point environment: whatever rounding mode, flush-to-zero mode (-ffast-math sets it) or trapping exceptions
 *     (feenableexcept) the calling thread has, results are the same bits and nothing traps; it has them again when the call
 *     returns, with no exception raised. A log callback runs in the default environment.
 *
 * From a compiled file to an answer:
 *     esp_context *context = esp_context_new();                one a thread
 *     esp_model_load(context, "model.esp", NULL, &model);      one a process
 *     esp_session_new(context, model, NULL, &session);         one a thread
 *     esp_input input = {.text = esp_text_of(question), .pair = esp_text_of(passage)};
 *     esp_session_answer(context, session, &input, 1, NULL, &answers);
 *     answers[0].items[0].text …
 */
#ifndef ESPALIER_H
#define ESPALIER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(_WIN32)
#define ESP_API
#else
#define ESP_API __attribute__((visibility("default")))
#endif

/* The one place where the version stands: the build reads it here. */
#define ESP_VERSION_MAJOR 0
#define ESP_VERSION_MINOR 2
#define ESP_VERSION_PATCH 0

/* To be compared: 0.2.0 is 200, 1.4.12 is 10412. */
#define ESP_VERSION_NUMBER (ESP_VERSION_MAJOR * 10000 + ESP_VERSION_MINOR * 100 + ESP_VERSION_PATCH)

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
#define ESP_STATUS_CODE_(name, value, text) ESP_##name = (value),
    ESP_STATUS_MAP(ESP_STATUS_CODE_)
#undef ESP_STATUS_CODE_
} esp_status;

/* The library's version, "major.minor.patch". Static storage. */
ESP_API const char *esp_version(void);
/* The same as a number: ESP_VERSION_NUMBER is the header's, this the library's that is loaded. */
ESP_API unsigned esp_version_number(void);

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

/* Which end of a text gives way. */
typedef enum esp_truncation_side {
    ESP_TRUNCATE_DEFAULT, /* as the tokenizer's files say (truncation_side), the right one where they say nothing */
    ESP_TRUNCATE_RIGHT,
    ESP_TRUNCATE_LEFT, /* the end of the text is kept; windows go from the end to the beginning */
} esp_truncation_side;

typedef struct esp_encode_options {
    size_t max_length;         /* tokens of one window, special tokens included; unused with ESP_TRUNCATE_NONE */
    size_t stride;             /* tokens that consecutive windows share */
    esp_truncation truncation; /* ESP_TRUNCATE_NONE: one window, however long */
    esp_truncation_side truncation_side;
    bool overflow;           /* false: only the first window is kept */
    bool no_special_tokens;  /* true: neither [CLS] nor [SEP] is added */
    bool stop_at_max_length; /* with overflow: true stops in each text behind the word that reaches max_length tokens,
                                  as Hugging Face tokenizers 0.23 does, so that the windows lose what follows; false: the
                                  windows cover the whole text, as its earlier versions do; of the right side only */
    bool reserved_flags[5];
    uint64_t reserved[4];
} esp_encode_options;

#define ESP_NO_WORD     UINT32_MAX /* words[i] of a special token added by the template */
#define ESP_NO_SEQUENCE 0xff       /* sequences[i] of such a token */

/* The result of encoding one text or pair: one or more windows, their tokens one after another (ragged, no padding).
 * Window w holds the tokens starts[w] .. starts[w + 1] - 1.
 * Owner: the caller, zero-initialised before first use; esp_encode reuses and grows the buffers, so that a warm
 * encoding is filled without allocation by texts of up to 65,536 tokens; esp_encoding_clear releases them. Thread rule: one thread at a time. */
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
    uint64_t reserved[4];
} esp_encoding;

/* Opens the tokenizer of a directory (tokenizer.json, else vocab.txt, with tokenizer_config.json and the other files beside
 * it, as transformers 4 reads them: docs/files.md) or of one such file alone. What is not applied is a warning in the log.
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

/* ---- models ------------------------------------------------------------------------------------------------------ */

/* A compiled file (`espalier compile`), mapped read-only: processes that load it share its memory.
 * Owner: the caller; it outlives its sessions and its tokenizer. Thread rule: immutable after loading; any number of
 * threads and sessions may use it at once.
 * The file must not be written to while it is loaded: a shorter one ends the process (SIGBUS), other bytes in it are used
 * unchecked. So deploy a model by writing it beside the old one and renaming it over that (`espalier compile`, `mv` within a
 * file system, rsync and package managers do; cp, scp and `rsync --inplace` write into the old one): who has the old one
 * loaded keeps it, who loads from then on gets the new one whole. Where you do not decide how files are replaced, load a
 * copy. */
typedef struct esp_model esp_model;

/* Zero everywhere is the default.
 * skip_checksums: the checksums of the sections are not verified, which saves reading the whole file (about 0.1 ms a
 * megabyte). Everything memory safety rests on is checked all the same; damaged weights then give wrong answers instead
 * of an error.
 * copy: the file is read into memory of this process alone instead of mapped, and may then be written to, cut short or
 * removed. Everything is checked in the copy, which costs the memory and the time to read the file; processes share it only
 * by fork. */
typedef struct esp_model_options {
    bool skip_checksums;
    bool copy;
    bool reserved_flags[6];
    uint64_t reserved[4];
} esp_model_options;

/* Loads the compiled file `path` with its tokenizer, and chooses the kernels for this CPU (ESPALIER_ISA caps them).
 * `options` may be NULL. *out is NULL on failure.
 * Errors: ESP_ERR_NOT_FOUND, ESP_ERR_IO; ESP_ERR_FORMAT: damaged, cut short, or no compiled file; ESP_ERR_UNSUPPORTED:
 * of another version; ESP_ERR_LIMIT: a shape the kernels cannot run; ESP_ERR_MEMORY. */
ESP_API int esp_model_load(esp_context *context, const char *path, const esp_model_options *options, esp_model **out);
/* The same from memory: the `bytes` bytes of a compiled file at `data`, which the program has in itself, has unpacked or was
 * sent. Owner of `data`: the caller; it is neither written to nor freed. It stays where it is, and is not written to, until
 * the model is freed; a copy (options.copy) needs it for the duration of the call only. Checked as a file is, whoever it is from.
 * Without a copy `data` lies at a multiple of ESP_MODEL_ALIGN (aligned_alloc, mmap, alignas; malloc's does not), else
 * ESP_ERR_ARGUMENT. Other errors as above; messages call it "memory". */
#define ESP_MODEL_ALIGN 64
ESP_API int esp_model_load_memory(esp_context *context, const void *data, size_t bytes,
                                  const esp_model_options *options, esp_model **out);
ESP_API void esp_model_free(esp_model *model);

typedef enum esp_task {
    ESP_TASK_DEFAULT,  /* the one the model's head is for */
    ESP_TASK_QA,       /* an answer to a question, cut out of a context */
    ESP_TASK_CLASSIFY, /* labels of a text or a pair, or a number */
    ESP_TASK_TAG,      /* labels of tokens, or of groups of them (named entities) */
    ESP_TASK_EMBED,    /* a vector for a text; every model can */
    ESP_TASK_MLM,      /* tokens for the [MASK]s of a text */
} esp_task;

/* "qa", "classify", "tag", "embed", "mlm"; "default". Static storage; never NULL. */
ESP_API const char *esp_task_name(esp_task task);

typedef struct esp_model_facts {
    esp_task task;      /* what its head is for: ESP_TASK_EMBED when it has none */
    bool has_pooler;    /* ESP_OUTPUT_POOLED is there */
    bool normalized;    /* embeddings have the length 1, before they are cut to fewer numbers */
    bool has_tokenizer; /* false: raw ids only */
    bool reserved_flags[1];
    size_t layers, hidden, heads, intermediate; /* heads: before any were removed */
    size_t vocabulary;                          /* ids lie below this */
    size_t token_types;                         /* type ids lie below this; 0: the model has none and ignores them */
    size_t max_length;                          /* tokens of the longest sequence it takes */
    size_t labels;                  /* outputs of the head: 2 (start, end) of QA; 0 of MLM and of bare encoders */
    const char *const *label_names; /* (labels), or NULL */
    size_t embedding;               /* numbers of an EMBED answer: hidden, or fewer where the files say truncate_dim */
    size_t file_bytes;
    uint64_t reserved[8];
} esp_model_facts;

/* Valid as long as the model. */
ESP_API const esp_model_facts *esp_model_get_facts(const esp_model *model);
/* The tokenizer inside the file, or NULL when it was compiled without one. Owner: the model. */
ESP_API const esp_tokenizer *esp_model_get_tokenizer(const esp_model *model);

/* ---- sessions ---------------------------------------------------------------------------------------------------- */

/* The workspace and the threads with which a model is run.
 * Owner: the caller; the model outlives it. Thread rule: one thread at a time; threads that work at once use a session
 * each on the one model. */
typedef struct esp_session esp_session;

/* Zero everywhere is the default. */
typedef struct esp_session_options {
    size_t threads;  /* that share the work of one call; 1 is best for throughput with a session on each core. 0:
                        ESPALIER_THREADS, else all this process may use (affinity mask, cgroup quota) */
    size_t capacity; /* tokens that go through the model at once; larger batches go through in parts of whole sequences.
                        0: 1024. At least the model's max_length is taken */
    uint64_t reserved[4];
} esp_session_options;

/* Allocates the whole workspace (esp_session_workspace), which takes memory only where it is touched. `options` may be
 * NULL. Errors: ESP_ERR_ARGUMENT, ESP_ERR_LIMIT, ESP_ERR_MEMORY. */
ESP_API int esp_session_new(esp_context *context, const esp_model *model, const esp_session_options *options,
                            esp_session **out);
ESP_API void esp_session_free(esp_session *session);

/* Bytes of the workspace: docs/format.md, "Memory of a session", has the formula. */
ESP_API size_t esp_session_workspace(const esp_session *session);
/* Gives the memory of the workspace, and the answers and buffers of esp_session_answer, back to the system: for a session
 * that will be idle, or that has seen large batches and will see small ones. What is needed comes back by itself. The C
 * library is asked to give back what it keeps of freed blocks (malloc_trim), the whole process's: some milliseconds in a
 * program with a large heap. */
ESP_API void esp_session_trim(esp_session *session);

/* ---- running ids ------------------------------------------------------------------------------------------------- */

/* What a model gives, float32, rows one after another. */
typedef enum esp_output {
    ESP_OUTPUT_HIDDEN,          /* (tokens, hidden) the last hidden states */
    ESP_OUTPUT_POOLED,          /* (sequences, hidden) the first token through the dense + tanh pooler */
    ESP_OUTPUT_EMBEDDING,       /* (sequences, hidden) pooled as the model says, the mean where it says nothing;
                                   neither cut nor with a prompt, which are about texts */
    ESP_OUTPUT_TOKEN_LOGITS,    /* (tokens, labels) of QA and TAG models */
    ESP_OUTPUT_SEQUENCE_LOGITS, /* (sequences, labels) of CLASSIFY models */
    ESP_OUTPUT_VOCAB_LOGITS,    /* (positions, vocabulary) of MLM models */
} esp_output;

/* Sequences of tokens one after another (ragged, no padding). Sequence s holds the tokens starts[s] .. starts[s + 1] - 1;
 * starts[0] is 0; none is empty. Special tokens are the caller's ([CLS] … [SEP]). The arrays of an esp_encoding fit as
 * they are. */
typedef struct esp_batch {
    size_t sequences;
    size_t tokens;             /* starts[sequences] */
    const uint32_t *starts;    /* (sequences + 1) */
    const int32_t *ids;        /* (tokens) */
    const uint8_t *type_ids;   /* (tokens), or NULL: all 0 */
    const uint32_t *positions; /* (position_count) VOCAB_LOGITS: numbers of the tokens that are wanted; else unused */
    size_t position_count;
    uint64_t reserved[4];
} esp_batch;

/* Floats that esp_session_run writes for a batch. */
ESP_API size_t esp_output_size(const esp_model *model, const esp_batch *batch, esp_output output);
/* Runs a batch and writes what is asked for to `out`, which has room for `out_size` floats. Allocates nothing and, with
 * one thread, takes no lock. The result of a sequence does not depend on its neighbours, the number of threads, the
 * capacity or (but for layers in bf16) the instruction set: bit for bit.
 * Errors: ESP_ERR_ARGUMENT: an id, type, length or size out of range (the text names it), nothing was written;
 * ESP_ERR_UNSUPPORTED: the model has no such output. */
ESP_API int esp_session_run(esp_context *context, esp_session *session, const esp_batch *batch, esp_output output,
                            float *out, size_t out_size);

/* ---- answering texts --------------------------------------------------------------------------------------------- */

/* UTF-8 of a given length; {NULL, 0}: absent; bytes == 0 with any other pointer: an empty text, which is answered as other
 * texts are (QA asks for a question and a context that are not empty). A pair of values for ever, with nothing reserved. */
typedef struct esp_text {
    const char *data;
    size_t bytes;
} esp_text;

/* Of a zero-terminated string, or NULL. */
static inline esp_text esp_text_of(const char *string)
{
    esp_text text;
    text.data = string;
    text.bytes = string ? strlen(string) : 0;
    return text;
}

typedef struct esp_input {
    esp_text text; /* the text; QA: the question */
    esp_text pair; /* CLASSIFY: the second text, if any; QA: the context; else absent */
    uint64_t reserved[4];
} esp_input;

/* How scores are made of the outputs of a CLASSIFY model; by default as its files say (docs/files.md). */
typedef enum esp_scores { ESP_SCORES_DEFAULT, ESP_SCORES_SOFTMAX, ESP_SCORES_SIGMOID, ESP_SCORES_RAW } esp_scores;

/* How tokens become entities: the aggregation strategies of Hugging Face's token classification pipeline. */
typedef enum esp_merge {
    ESP_MERGE_NONE,
    ESP_MERGE_SIMPLE,
    ESP_MERGE_FIRST,
    ESP_MERGE_AVERAGE,
    ESP_MERGE_MAX
} esp_merge;

#define ESP_ALL SIZE_MAX

/* Zero everywhere is the default. */
typedef struct esp_answer_options {
    size_t max_length; /* tokens of a window, at most the model's; default: what the model takes, QA at most 384 */
    size_t stride;     /* tokens that the windows of a long text share; default: QA 128, TAG a quarter of a window */
    size_t top_k;      /* items wanted: QA, CLASSIFY default 1, MLM 5 for each mask; ESP_ALL: every label */
    size_t max_question_length; /* QA: tokens; default 64 */
    size_t max_answer_length;   /* QA: tokens; default 15 */
    size_t max_text_bytes;      /* of one text; a longer one is ESP_ERR_LIMIT. Default 16 MiB, as 2^31 - 1 at most */
    esp_task task;
    esp_scores scores; /* CLASSIFY; default: softmax, sigmoid of multi-label models, raw of regression */
    esp_merge merge;   /* TAG */
    bool may_be_empty; /* QA: "" is a possible answer (the question has none) */
    bool split_words;  /* QA: answers may begin or end inside a word */
    bool json;         /* esp_answer.json is wanted too */
    bool reserved_flags[1];
    uint64_t reserved[8];
} esp_answer_options;

/* One thing found. Texts end with a zero, and their lengths say where when they hold one themselves; those that a task does
 * not give are NULL, numbers 0. */
typedef struct esp_item {
    double score;         /* of 1 at most, unless scores are raw */
    const char *text;     /* QA: the answer ("": none); TAG: its tokens as text; MLM: the token */
    const char *label;    /* CLASSIFY, TAG */
    const char *sequence; /* MLM: the text with the token in the mask's place */
    int32_t token;        /* MLM: its id */
    uint32_t reserved_word;
    size_t mask;                 /* MLM: number of the mask in the text, from 0 */
    size_t char_begin, char_end; /* QA: place in the context, TAG: in the text, [begin, end) in Unicode code points */
    size_t byte_begin, byte_end; /* the same in bytes */
    size_t text_bytes, sequence_bytes;
    size_t index; /* TAG, ESP_MERGE_NONE: number of the token in its window */
    uint64_t reserved[4];
} esp_item;

/* What the numbers of a vector are. Another type than float is only ever given to who asks for it by an option, and in a
 * member of its own. */
typedef enum esp_numbers { ESP_NUMBERS_NONE, ESP_NUMBERS_FLOAT32 } esp_numbers;

/* The answer to one input. */
typedef struct esp_answer {
    int status; /* ESP_OK, or why this input has no answer: absent, too long, not UTF-8, no mask, no memory, … */
    esp_numbers embedding_numbers; /* EMBED: ESP_NUMBERS_FLOAT32; else ESP_NUMBERS_NONE */
    const char *error;             /* the text of the status; "" with ESP_OK */
    const esp_item *items; /* (count) QA, CLASSIFY, MLM: best first, mask by mask; TAG: in the order of the text */
    size_t count;
    const float *embedding; /* (embedding_size) EMBED; else NULL */
    size_t embedding_size;  /* numbers: facts.embedding; 0 without an embedding */
    const char *json;       /* what `espalier run` prints for this input, when it was asked for; else NULL */
    uint64_t reserved[6];
} esp_answer;

/* Answers `count` texts, however long up to max_text_bytes, batched together: memory grows with the longest of them
 * (docs/data.md, Limits). *answers has one for each input, in order; an input that cannot be answered, or for which memory
 * does not suffice, fails alone, by its status. `options` may be NULL. The answers are the session's: valid until its next
 * esp_session_answer, esp_session_trim or esp_session_free. For a service that answers single requests, a call with one
 * input is as good.
 * Errors: ESP_ERR_UNSUPPORTED: the model's head does not fit the task; ESP_ERR_NOT_FOUND: the model has no tokenizer;
 * ESP_ERR_ARGUMENT: options that cannot be met; ESP_ERR_MEMORY. *answers is then NULL. */
ESP_API int esp_session_answer(esp_context *context, esp_session *session, const esp_input *inputs, size_t count,
                               const esp_answer_options *options, const esp_answer **answers);

#ifdef __cplusplus
}
#endif

#endif /* ESPALIER_H */
