/* SPDX-License-Identifier: Apache-2.0
 *
 * espalier: how models come to be. Vocabularies, checkpoints, training with distillation and pruning, compiled files.
 * The library is libespalier-create, the component `create` of the CMake package; libespalier comes along with it. The two
 * are of one build: they are installed, and replaced, together.
 *
 * The conventions of espalier.h hold here: contexts, statuses, NULL, zero-initialised structs, reserved members, owners,
 * signals and the floating-point environment. Beyond them:
 *   - A call does the whole of a job: it reads the files that its options name and writes one output, which appears when it
 *     is complete. A call that fails or is stopped leaves nothing behind, neither files nor half of a directory; esp_train
 *     says where it may. `output` is a new or an empty directory, of esp_compile a new file or a compiled one to replace.
 *     What is read is never replaced.
 *   - Texts and arrays in options are borrowed for the duration of the call. A call keeps nothing: there are no objects
 *     between calls but the files.
 *   - Thread rule: any number of calls at once, each with a context of its own. Two calls at once never write the same
 *     output; the calling thread alone calls the watch and the log.
 *   - threads: 0 is ESPALIER_THREADS, else all this process may use. The result has the same bits with any number.
 *   - Calls that multiply load oneDNN the first time, by its soname; without it they are ESP_ERR_UNSUPPORTED.
 *   - Messages call an option by its name on the command line ("--sparsity: expected …").
 *
 * From text to a compiled file:
 *     esp_vocabulary_train(context, &(esp_vocabulary_options){.texts = &text, .text_count = 1, .output = "vocab"});
 *     esp_checkpoint_init(context, &(esp_init_options){.config = "config.json", .tokenizer = "vocab", .output = "initial"});
 *     esp_train(context, &(esp_train_options){.checkpoint = "initial", .recipe = "recipe.json", .output = "run"}, NULL);
 *     esp_compile(context, &(esp_compile_options){.checkpoint = "run/last", .output = "model.esp"}, NULL);
 * examples/create.c is a whole program.
 */
#ifndef ESPALIER_CREATE_H
#define ESPALIER_CREATE_H

#include <espalier.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- long work seen from outside --------------------------------------------------------------------------------- */

/* How far a pass of a call is. Valid during the call of `show`. */
typedef struct esp_progress {
    const char *label; /* of the pass: "train", "vocab: reading" */
    const char *unit;  /* what is counted: "steps", "lines" */
    const char *note;  /* "loss 1.23, …"; "": none */
    size_t done;
    size_t total;   /* 0: unknown */
    size_t first;   /* done when the pass began: a resumed one does not begin at 0 */
    double seconds; /* since it began */
    bool last;      /* the pass has ended */
    bool reserved_flags[7];
    uint64_t reserved[4];
} esp_progress;

/* Both are called on the thread that made the call, often, and may not call the library with the call's context.
 * show: NULL: silent. stop: true: the call ends with ESP_ERR_CANCELLED; asked between steps, batches, lines and merges, and
 * before anything is written. NULL: it goes on. */
typedef struct esp_watch {
    void (*show)(void *cookie, const esp_progress *progress);
    bool (*stop)(void *cookie);
    void *cookie;
    uint64_t reserved[3];
} esp_watch;

/* ---- vocabularies ------------------------------------------------------------------------------------------------ */

typedef enum esp_vocabulary_model {
    ESP_VOCABULARY_WORDPIECE, /* BERT's form */
    ESP_VOCABULARY_BPE,       /* of bytes, GPT-2's */
    ESP_VOCABULARY_UNIGRAM    /* SentencePiece's */
} esp_vocabulary_model;

/* Zero everywhere else is the default: BERT uncased's. */
typedef struct esp_vocabulary_options {
    const char *const *texts; /* (text_count) files, a text a line; "-": standard input */
    size_t text_count;
    const char *output; /* directory */
    size_t size;        /* tokens, the special ones included, from 6; there are fewer when the merges run out. 30522 */
    uint64_t min_frequency; /* a pair that occurs less often is not merged. 2 */
    size_t limit_alphabet;  /* the most frequent characters that are kept. 1000; ESP_ALL: all. Not of BPE */
    esp_vocabulary_model model;
    bool cased;         /* keep upper case, and accents unless strip_accents */
    bool keep_accents;  /* in lower case too */
    bool strip_accents; /* of upper case too. These three are WordPiece's */
    bool reserved_flags[1];
    esp_watch watch;
    uint64_t reserved[4];
} esp_vocabulary_options;

/* Trains a vocabulary and writes the tokenizer's files. The result depends on the words and their counts alone.
 * Errors: ESP_ERR_FORMAT: the texts have no words; ESP_ERR_ARGUMENT: a size or an output that cannot be;
 * ESP_ERR_IO, ESP_ERR_NOT_FOUND, ESP_ERR_CANCELLED, ESP_ERR_MEMORY. */
ESP_API int esp_vocabulary_train(esp_context *context, const esp_vocabulary_options *options);

/* ---- first weights ----------------------------------------------------------------------------------------------- */

typedef enum esp_head {
    ESP_HEAD_DEFAULT, /* as the config says; none for a named config */
    ESP_HEAD_NONE,    /* a bare encoder */
    ESP_HEAD_QA,
    ESP_HEAD_SEQUENCE, /* classification or regression of texts */
    ESP_HEAD_TOKEN,    /* tags */
    ESP_HEAD_MLM
} esp_head;

/* Of a sequence head. */
typedef enum esp_problem { ESP_PROBLEM_SINGLE_LABEL, ESP_PROBLEM_MULTI_LABEL, ESP_PROBLEM_REGRESSION } esp_problem;

/* Zero everywhere else is the default. */
typedef struct esp_init_options {
    const char *config;    /* a config.json, or a name that `espalier init --help` lists */
    const char *tokenizer; /* its directory, or a file such as vocab.txt; NULL: one of the config's size is made up */
    const char *output;    /* directory */
    uint64_t seed;
    esp_head head;
    esp_problem problem;
    size_t labels;                  /* of sequence and token heads; 0: 2, of a regression 1 */
    const char *const *label_names; /* (labels) different ones; NULL: LABEL_0 … */
    bool mimetic; /* attention begins as in pre-trained encoders: to train from scratch on little data */
    bool reserved_flags[7];
    esp_watch watch; /* asked before anything is written */
    uint64_t reserved[4];
} esp_init_options;

/* Writes a checkpoint with random weights, the same for a seed on every machine.
 * Errors: ESP_ERR_ARGUMENT, ESP_ERR_FORMAT (the config), ESP_ERR_UNSUPPORTED (a family that is not known), ESP_ERR_NOT_FOUND,
 * ESP_ERR_IO, ESP_ERR_CANCELLED, ESP_ERR_MEMORY. */
ESP_API int esp_checkpoint_init(esp_context *context, const esp_init_options *options);

/* ---- training: distillation, pruning ----------------------------------------------------------------------------- */

/* An option of training by its name: docs/training.md has the table (`espalier train --help` prints it). A pair of texts for
 * ever, with nothing reserved. A number is written as a number, a flag has NULL. */
typedef struct esp_setting {
    const char *name;  /* "teacher" */
    const char *value; /* "models/teacher" */
} esp_setting;

/* Zero everywhere else is the default. */
typedef struct esp_train_options {
    const char *checkpoint;      /* to start from; NULL: as `recipe` or the settings "init" or "init-from" say */
    const char *output;          /* directory; of a recipe each stage makes one in it, by its name */
    const char *recipe;          /* stages in a JSON file; NULL: one stage, of `settings` alone */
    const esp_setting *settings; /* (setting_count) over those of every stage; "train" may be there several times.
                                    "teacher" distils, "sparsity" prunes, "qat" trains for int8 */
    size_t setting_count;
    bool resume; /* go on with the run that stopped in `output`; begin it when there is none */
    bool keep; /* a run that is stopped or fails leaves finished stages and DIR.partial, with which `resume` goes on to
                     the same weights, bit for bit; else everything that the call has begun is removed */
    bool reserved_flags[6];
    esp_watch watch;
    uint64_t reserved[4];
} esp_train_options;

/* Of the last stage that ran. */
typedef struct esp_train_report {
    uint64_t steps;     /* done in all */
    double loss;        /* of the last step */
    double best;        /* best value of `metric`, after best_step steps */
    uint64_t best_step; /* UINT64_MAX: nothing was evaluated */
    double sparsity;    /* of the encoder's linear weights */
    double seconds;
    double tokens_per_s;
    char metric[32]; /* the name of the metric on "dev"; "": none */
    char stage[104]; /* of a recipe: the result is OUTPUT/STAGE; else "" */
    bool interrupted;
    bool already_done; /* it was resumed, and had its result */
    bool reserved_flags[6];
    uint64_t reserved[4];
} esp_train_report;

/* Trains in this process. `report` may be NULL.
 * Errors: ESP_ERR_ARGUMENT: a setting (its name, what was expected and found), an output that is not new, a stopped run
 * there without `resume`, or begun with other settings; ESP_ERR_LIMIT: the loss is not finite; ESP_ERR_CANCELLED: stopped,
 * the report says where; ESP_ERR_FORMAT, ESP_ERR_NOT_FOUND, ESP_ERR_IO: recipe, checkpoint and data; ESP_ERR_UNSUPPORTED;
 * ESP_ERR_MEMORY. The setting "teacher-cache" names a file that is written beside: with CACHE.partial, when stopped. */
ESP_API int esp_train(esp_context *context, const esp_train_options *options, esp_train_report *report);

/* ---- pruning without training ------------------------------------------------------------------------------------ */

/* Settings as of training, of which "sparsity", "pattern", "score", "prune-scope", "layer-max", "remove-heads" and
 * "remove-neurons" say what goes, and those of the data how "train" is read: labelled data, which scores other than
 * magnitude need for their gradients. Defaults: magnitude; 512 examples, 8 at a time. */
typedef struct esp_prune_options {
    const char *checkpoint;
    const char *output;          /* directory */
    const esp_setting *settings; /* (setting_count) */
    size_t setting_count;
    esp_watch watch;
    uint64_t reserved[4];
} esp_prune_options;

/* Writes the checkpoint with zeros in its linear layers, and without the heads and neurons that were to be removed.
 * Errors as those of esp_train. */
ESP_API int esp_prune(esp_context *context, const esp_prune_options *options);

/* ---- how data are read ------------------------------------------------------------------------------------------- */

typedef enum esp_format { ESP_FORMAT_AUTO, ESP_FORMAT_TSV, ESP_FORMAT_CSV, ESP_FORMAT_JSONL } esp_format;
/* MLM: what a window of running text does not reach beyond. */
typedef enum esp_pack { ESP_PACK_DOCUMENT, ESP_PACK_FILE, ESP_PACK_LINE } esp_pack;

/* A data set as a model of some task is evaluated on it: docs/data.md. Zero everywhere is the default. */
typedef struct esp_data_options {
    esp_task task;     /* it says the head, too, where config.json does not */
    esp_scores scores; /* CLASSIFY */
    esp_format format; /* of tables */
    esp_pack pack;     /* MLM */
    bool no_stride;    /* windows share nothing */
    bool may_be_empty; /* QA: "" is a possible answer, also where the data set does not say so itself */
    bool reserved_flags[6];
    size_t max_length;          /* tokens of a window; default: what the model takes, QA at most 384 */
    size_t stride;              /* tokens that windows of a text share; default: QA 128, TAG a quarter */
    size_t max_question_length; /* QA: tokens; default 64 */
    size_t max_answer_length;   /* QA: tokens; default 30 */
    size_t n_best;              /* QA: spans considered of a window; default 20 */
    double null_threshold;      /* QA: "" wins when it scores higher than the best span by more than this */
    double mask_probability;    /* MLM: share of the tokens that are masked; default 0.15 */
    uint64_t seed;              /* MLM: of the masks */
    const char *text_column;    /* by name, or number from 1; default: by well-known names */
    const char *pair_column, *label_column, *word_column;
    uint64_t reserved[8];
} esp_data_options;

/* ---- compiling --------------------------------------------------------------------------------------------------- */

typedef enum esp_precision {
    ESP_PRECISION_DEFAULT,
    ESP_PRECISION_INT8,
    ESP_PRECISION_BF16,
    ESP_PRECISION_FP32
} esp_precision;
/* How ranges of activations are found on data. */
typedef enum esp_calibration {
    ESP_CALIBRATE_MINMAX,
    ESP_CALIBRATE_PERCENTILE,
    ESP_CALIBRATE_ENTROPY,
    ESP_CALIBRATE_MSE
} esp_calibration;
/* Default: static where there are ranges, of `calibrate` or of quantization-aware training, else a range per token. */
typedef enum esp_activations {
    ESP_ACTIVATIONS_DEFAULT,
    ESP_ACTIVATIONS_STATIC,
    ESP_ACTIVATIONS_PER_TOKEN
} esp_activations;
/* When a layer leaves 4x1 blocks of zeros out; auto: when it keeps at most half of them. Results are the same. */
typedef enum esp_sparse { ESP_SPARSE_AUTO, ESP_SPARSE_ALWAYS, ESP_SPARSE_NEVER } esp_sparse;

/* Zero everywhere else is the default. docs/compile.md says what the choices cost and gain. */
typedef struct esp_compile_options {
    const char *checkpoint; /* directory */
    const char *output;     /* file */
    size_t threads;
    size_t batch_tokens; /* most tokens of a batch of `eval`; default 4096 */

    const char *calibrate; /* data to find ranges, and uneven channels, on; NULL: none */
    size_t samples;        /* examples of it (MLM: windows); default 256 */
    double percentile;     /* ESP_CALIBRATE_PERCENTILE: above 50, at most 100; default 99.99 */
    double smooth_alpha;   /* of `smooth`, from 0 to 1 */

    const char
        *eval; /* with it, as few linear layers as possible stay in `fallback` so that the metric on this data set */
    size_t eval_limit; /* (its first examples; 0: all) loses at most */
    double max_drop;   /* this share of fp32's, from 0 to 1 */
    double time_limit; /* seconds, then the best found is taken; 0: none */

    esp_calibration method;
    esp_activations activations;
    esp_precision precision; /* of the linear layers, without `eval`; default int8 */
    esp_precision fallback;  /* bf16 or fp32; default fp32 */
    esp_sparse sparse;
    bool smooth; /* migrate uneven channels from activations to weights (SmoothQuant); needs `calibrate` */
    bool reserved_flags[3];

    esp_data_options data; /* of `calibrate` and `eval` */
    esp_watch watch;
    uint64_t reserved[8];
} esp_compile_options;

/* What became of a linear layer. */
typedef struct esp_compiled_layer {
    size_t layer;
    const char *name; /* "query_key_value", "attention_output", …; static storage */
    size_t rows, columns;
    const char *precision; /* "int8-dense", "int8-sparse", "bf16-dense", "fp32-dense"; static storage */
    double kept;           /* share of 4x1 blocks that are not zero */
    double error_share; /* with a search that had to look: of int8's error, how much goes when it falls back; else -1 */
    size_t bytes;
    uint64_t reserved[4];
} esp_compiled_layer;

/* Owner: the caller; esp_compile_report_clear releases what it points to. */
typedef struct esp_compile_report {
    esp_compiled_layer *layers; /* (layer_count) the linear layers in the order of the file */
    size_t layer_count;
    size_t file_bytes;
    bool per_token; /* a range per token instead of static ones */
    bool trained;   /* static ranges of quantization-aware training */
    /* Of `eval`: */
    bool met;          /* the metric is good enough */
    bool out_of_time;  /* fewer layers or a better metric might have been found */
    bool error_shares; /* the layers have them */
    bool reserved_flags[3];
    double reference;   /* fp32's metric */
    double metric;      /* the file's */
    size_t fallen_back; /* layers */
    size_t evaluations;
    double seconds;
    uint64_t reserved[8];
} esp_compile_report;

/* Compiles a checkpoint with its tokenizer into one file for esp_model_load. `report` may be NULL; on failure it is zero.
 * Errors: ESP_ERR_ARGUMENT: options that cannot be met, an output that is another file; ESP_ERR_UNSUPPORTED: a shape the
 * kernels cannot run; ESP_ERR_FORMAT, ESP_ERR_NOT_FOUND, ESP_ERR_IO: checkpoint and data; ESP_ERR_CANCELLED;
 * ESP_ERR_MEMORY. */
ESP_API int esp_compile(esp_context *context, const esp_compile_options *options, esp_compile_report *report);
ESP_API void esp_compile_report_clear(esp_compile_report *report);

/* ---- evaluating -------------------------------------------------------------------------------------------------- */

/* Zero everywhere else is the default. */
typedef struct esp_evaluate_options {
    const char *model;       /* a checkpoint directory or a compiled file; with `predictions` it may be NULL */
    const char *data_set;    /* docs/data.md */
    const char *predictions; /* a file that is scored in the model's place, which then says what labels mean */
    const char *save;        /* a file that the model's predictions go to, as `predictions` has them; NULL: none */
    size_t limit;            /* the first examples (MLM: documents); 0: all */
    size_t threads;
    size_t batch_tokens; /* most tokens of a batch; default 4096 */
    esp_data_options data;
    esp_watch watch;
    uint64_t reserved[8];
} esp_evaluate_options;

/* Owner: the caller; esp_evaluation_clear releases what it points to. */
typedef struct esp_evaluation {
    double figure; /* the one to compare models by: the task's main metric, higher is better */
    char *json;    /* all figures, as `espalier eval --json` prints them */
    uint64_t reserved[6];
} esp_evaluation;

/* The task's official metric. Examples that cannot be used are warned about and count as wrong.
 * Errors: ESP_ERR_ARGUMENT, ESP_ERR_UNSUPPORTED (the head does not fit the task), ESP_ERR_FORMAT, ESP_ERR_NOT_FOUND,
 * ESP_ERR_IO, ESP_ERR_CANCELLED, ESP_ERR_MEMORY. *out is then zero. */
ESP_API int esp_evaluate(esp_context *context, const esp_evaluate_options *options, esp_evaluation *out);
ESP_API void esp_evaluation_clear(esp_evaluation *evaluation);

#ifdef __cplusplus
}
#endif

#endif /* ESPALIER_CREATE_H */
