/* SPDX-License-Identifier: Apache-2.0
 * Tasks: what stands around a model to make it answer questions, classify, tag, embed or fill masks.
 *
 * A task never runs a model. It turns an example (a record of a data set, or one JSON line) into windows of tokens, says
 * which result of the engine it wants for them, and turns the floats that come back into an answer:
 *
 *   example --encode--> features --(engine, see pipeline.h)--> consume, window by window --finish--> typed items
 *
 * The items (answer.h) are printed, handed out by the API or scored. With options.evaluate they are what the task's
 * metric compares, else what the Hugging Face pipeline of the task returns:
 *
 *   task      run                                                      evaluate
 *   qa        {"score","start","end","answer"}, a list with top_k > 1  the same, by the n-best rule of evaluation
 *   classify  {"label","score"}, a list with top_k > 1                 the label, all labels, or the score alone
 *   tag       [{"entity" or "entity_group","score","word",…}]          a label for each word
 *   embed     {"embedding":[…]}                                        the similarity of text and pair as the score
 *   mlm       [{"score","token","token_str","sequence"}]               loss, predicted, correct (sums)
 *
 * Offsets in answers are in Unicode code points of the original text.
 */
#ifndef ESPI_TASKS_TASK_H
#define ESPI_TASKS_TASK_H

#include "model/engine.h"
#include "tasks/answer.h"
#include "text/tokenizer.h"

#include <jansson.h>

/* ---- examples ---------------------------------------------------------------------------------------------------- */

struct espi_text {
    const char *data; // UTF-8, zero-terminated; NULL: absent
    size_t bytes;
};

/* An answer a data set accepts: its text and where it stands in the context. */
struct espi_gold_answer {
    struct espi_text text;
    size_t start; // code points
};

/* One record. Owner: whoever got it from a reader; espi_example_free releases it with everything it points to. */
struct espi_example {
    struct espi_arena arena;
    const char *source; // file name, "line 12" or "dev.json: question "7"", for messages; in the arena
    size_t number;      // line in that file, from 1; 0: `source` says it all
    json_t *id;         // NULL: none

    struct espi_text text; // text, or question; for pre-split words: the words joined by single spaces
    struct espi_text pair; // second text, or context

    struct espi_gold_answer *answers; // (answer_count) qa
    size_t answer_count;
    bool answerable_stated; // qa: the data set says for each question whether it has an answer (SQuAD 2)

    const char **labels; // (label_count) classify: one name; several or none when multi-label; the number as text for
    size_t label_count;  // regression and similarity
    bool labelled;       // false: the data set gives no label (a test set)
    bool label_list;     // the labels were a list of numbers: 0 or 1 for each label of a model, or label numbers;
    size_t first_list;   // the first such list of the file, of so many places, tells which
    bool *label_flags; // (label_count) whether each of `labels` holds, of a file with a column for each; NULL: they do

    uint32_t *word_begin; // (word_count) tag: first byte of each pre-split word in text; NULL: not split
    const char **tags;    // (word_count) tag: NULL when unlabelled
    bool tag_numbers;     // the tags are numbers in the order of a model's labels
    size_t word_count;
};

int espi_example_new(esp_context *ctx, const char *source, size_t number, struct espi_example **out) ESPI_NODISCARD;
void espi_example_free(struct espi_example *example);
/* ESP_ERR_FORMAT (with source and number) when the bytes are not UTF-8. */
int espi_example_check_text(esp_context *ctx, const struct espi_example *example, const char *data,
                            size_t bytes) ESPI_NODISCARD;
/* Copies bytes into the example's arena. ESP_ERR_FORMAT (with source and number) when they are not UTF-8. */
int espi_example_text(esp_context *ctx, struct espi_example *example, const char *data, size_t bytes,
                      struct espi_text *out) ESPI_NODISCARD;
/* esp_encode of texts of the example: failures name it. */
int espi_example_encode(esp_context *ctx, const struct espi_example *example, const esp_tokenizer *tokenizer,
                        const struct espi_text *text, const struct espi_text *pair, const esp_encode_options *options,
                        esp_encoding *out) ESPI_NODISCARD;
/* Takes a required member that is a string, which may be empty. */
int espi_example_member(esp_context *ctx, const struct espi_json *object, const char *key, struct espi_example *example,
                        struct espi_text *out) ESPI_NODISCARD;
/* The members of every task but qa: "text", and "pair" or "text_pair" where they are there. A pair that the task has no use
 * for is refused when it is encoded: only an evaluation of embeddings has one. */
int espi_example_text_members(esp_context *ctx, const struct espi_json *object,
                              struct espi_example *example) ESPI_NODISCARD;
extern const char *const espi_text_members[]; // "text", "pair", "text_pair", NULL
/* Keeps "source: line N: text" (or without the line when number is 0) and returns ESP_ERR_FORMAT. */
int espi_example_fail(esp_context *ctx, const struct espi_example *example, const char *format, ...) ESPI_PRINTF(3, 4);
/* Puts the same "source: line N: " before the text of a failure that does not know the example; returns `status`. */
int espi_example_fail_prefix(esp_context *ctx, const struct espi_example *example, int status);

/* ---- options ----------------------------------------------------------------------------------------------------- */

enum espi_function { ESPI_FUNCTION_DEFAULT, ESPI_FUNCTION_SOFTMAX, ESPI_FUNCTION_SIGMOID, ESPI_FUNCTION_NONE };

enum espi_aggregation {
    ESPI_AGGREGATE_NONE,
    ESPI_AGGREGATE_SIMPLE,
    ESPI_AGGREGATE_FIRST,
    ESPI_AGGREGATE_AVERAGE,
    ESPI_AGGREGATE_MAX,
};

enum espi_format { ESPI_FORMAT_AUTO, ESPI_FORMAT_TSV, ESPI_FORMAT_CSV, ESPI_FORMAT_JSONL };

/* What a window of running text does not reach beyond: the text between two blank lines, the file, or a line. */
enum espi_pack { ESPI_PACK_DOCUMENT, ESPI_PACK_FILE, ESPI_PACK_LINE };

#define ESPI_ALL SIZE_MAX

/* Zero (or NULL) everywhere means the default. */
struct espi_task_options {
    bool evaluate;

    size_t max_length;  // tokens of a window; default 384 for qa, else what the model takes; capped by the model,
    bool length_strict; // or refused: the user asks for just that
    size_t stride;      // tokens that windows share; default min(128, half the window) for qa, a quarter for tag
    bool no_stride;     // windows share nothing

    size_t max_question_length; // tokens; default 64
    size_t max_answer_length;   // tokens; default 15, 30 when evaluating
    size_t n_best;              // evaluation: starts, ends and spans kept of a window; default 20
    size_t top_k;               // answers wanted; default 1, mlm 5; ESPI_ALL: every label
    bool handle_impossible;     // "" is a possible answer. When evaluating: also where the data set says so itself
    double null_threshold;      // evaluation: "" wins when it scores higher than the best span by more than this
    bool no_align_words;        // run: answers may begin or end inside a word

    enum espi_function function; // classify; default: what the files name, else softmax, sigmoid (multi-label, one
                                 // label), none (regression; evaluation on numbers)
    enum espi_aggregation aggregation;
    const char *const *ignored_labels; // (ignored_label_count), default "O"
    size_t ignored_label_count;

    enum espi_format format; // default: by the name's ending, else TSV
    const char *text_column; // column or member by name, or by number from 1; default: by well-known names
    const char *pair_column;
    const char *label_column; // tag: number only, default the last (fourth in CoNLL-U)
    const char *word_column;  // tag: number only, default the first (second in CoNLL-U)

    enum espi_pack pack;     // mlm; an example is a document (or a part of a long one), or a line
    double mask_probability; // mlm evaluation, default 0.15
    uint64_t seed;           // mlm evaluation
};

/* ---- a task on a model ------------------------------------------------------------------------------------------- */

struct espi_task;

/* Everything features and decoding depend on. A plain value that borrows its pointers. Immutable after init: any number
 * of threads may use it. */
struct espi_job {
    const struct espi_task *task;
    const esp_tokenizer *tokenizer;
    const struct espi_config *config;
    struct espi_task_options options; // without zeros: defaults are filled in
    struct espi_special_ids special;  // -1 where the vocabulary has none
};

/* ESP_ERR_UNSUPPORTED when the model's head does not fit the task, ESP_ERR_ARGUMENT for options that cannot be met. */
int espi_job_init(esp_context *ctx, struct espi_job *job, const struct espi_task *task, const esp_tokenizer *tokenizer,
                  const struct espi_config *config, const struct espi_task_options *options) ESPI_NODISCARD;

/* Refuses a token that the model has no embedding for, by its name. */
int espi_job_check_ids(esp_context *ctx, const struct espi_job *job, const struct espi_example *example,
                       const esp_encoding *encoding) ESPI_NODISCARD;

/* Index of a label in the model: its name, else "LABEL_n", "n" or "n.0" for a label n of the model, or "true" and "false"
 * for the second and first of two. ESP_ERR_FORMAT that names the label and the model's labels. */
int espi_job_find_label(esp_context *ctx, const struct espi_job *job, const char *label, int32_t *out) ESPI_NODISCARD;
/* The same for a data set's label: the failure names the example too. */
int espi_job_label(esp_context *ctx, const struct espi_job *job, const struct espi_example *example, const char *label,
                   int32_t *out) ESPI_NODISCARD;

/* The label of a tagged word. */
int espi_job_tag(esp_context *ctx, const struct espi_job *job, const struct espi_example *example, size_t word,
                 int32_t *out) ESPI_NODISCARD;

/* ---- features ---------------------------------------------------------------------------------------------------- */

enum { ESPI_IGNORED = -100 }; // a target that takes no part in the loss

/* The windows of one example, and (for training) what the model should say about them.
 * Owner: the caller, zero-initialised; reused from example to example without allocation once warm. */
struct espi_features {
    esp_encoding encoding;
    esp_encoding second; // embed: the pair, encoded by itself; its windows follow those of `encoding` (qa: scratch)

    uint32_t *positions; // (position_count) mlm: tokens of `encoding` whose vocabulary logits are wanted, ascending
    size_t position_count, position_capacity;

    int32_t *targets; // qa (windows, 2) first and last token of the answer within its window, 0 0 when it is elsewhere
                      // classify (1) label · tag (tokens) label or ESPI_IGNORED · mlm (positions) token id
    size_t target_count, target_capacity;
    float *values; // classify: multi-label (labels) 0 or 1, regression (1) · embed (1) similarity
    size_t value_count, value_capacity;

    size_t question_tokens; // qa: of the whole question, which may have been cut to options.max_question_length

    struct espi_found found; // the answer, which consume may begin; whole between finish and release

    void *state;                                     // the task's, while an example is decoded
    void (*release)(struct espi_features *features); // frees it and sets it to NULL
};

/* Windows of an example; clears the positions and targets of the one before. ESP_ERR_ARGUMENT when it cannot be
 * encoded (question longer than the window, no mask to fill, …). */
int espi_features_encode(esp_context *ctx, const struct espi_job *job, const struct espi_example *example,
                         struct espi_features *features) ESPI_NODISCARD;
/* Targets for features that were just encoded. ESP_ERR_FORMAT when the example is not labelled. */
int espi_features_targets(esp_context *ctx, const struct espi_job *job, const struct espi_example *example,
                          struct espi_features *features) ESPI_NODISCARD;
void espi_features_clear(struct espi_features *features);
/* Warns of a question that was just encoded and had to be cut, once: an answer to half a question looks like any other. */
void espi_features_say_cut(esp_context *ctx, const struct espi_job *job, const struct espi_example *example,
                           const struct espi_features *features, bool *said);
/* Frees what decoding has left. */
void espi_features_release(struct espi_features *features);

/* A borrowed view of one window. */
struct espi_window {
    const int32_t *ids;   // (tokens)
    const uint8_t *types; // (tokens)
    size_t tokens;
    const uint32_t *positions; // (position_count) within the encoding, not the window
    size_t position_count;
    size_t first; // the window's first token within its encoding
};
size_t espi_features_windows(const struct espi_features *features);
struct espi_window espi_features_window(const struct espi_features *features, size_t window);

/* Room for `count` targets or values; the contents are left as they are. */
int espi_features_grow_targets(esp_context *ctx, struct espi_features *features, size_t count) ESPI_NODISCARD;
int espi_features_grow_values(esp_context *ctx, struct espi_features *features, size_t count) ESPI_NODISCARD;

/* ---- the task table ---------------------------------------------------------------------------------------------- */

struct espi_task {
    const char *name;
    const char *help;        // "question answering (SQuAD JSON)"
    enum espi_result result; // what it wants of the engine
    enum espi_head head;     // the head a model must have; ESPI_HEAD_NONE: any
    enum espi_answer_kind answer;
    size_t default_length; // most tokens of a window unless options say otherwise; 0: what the model takes

    /* Fills defaults of options and checks them against the model. */
    int (*configure)(esp_context *ctx, struct espi_job *job);
    const char *const *members; // NULL-terminated: what `parse` reads of a line
    /* An example from a JSON object: {"question","context"}, else espi_example_text_members. */
    int (*parse)(esp_context *ctx, const struct espi_json *object, struct espi_example *example);
    int (*encode)(esp_context *ctx, const struct espi_job *job, const struct espi_example *example,
                  struct espi_features *features);
    int (*targets)(esp_context *ctx, const struct espi_job *job, const struct espi_example *example,
                   struct espi_features *features);

    /* Takes the engine's result for one window, the windows of an example in order. `out` has the shape of `result` for
     * this window alone and is gone after the call. */
    int (*consume)(esp_context *ctx, const struct espi_job *job, const struct espi_example *example,
                   struct espi_features *features, size_t window, const float *out);
    /* The answer, after all windows, into features->found, which is empty. */
    int (*finish)(esp_context *ctx, const struct espi_job *job, const struct espi_example *example,
                  struct espi_features *features);
};

#define TASK(name) extern const struct espi_task espi_task_##name;
#include "tasks/tasks.inc"
#undef TASK

/* NULL when there is none of that name. */
const struct espi_task *espi_task_find(const char *name);
/* The task a model with that head is for. Never NULL: embed for a bare encoder. */
const struct espi_task *espi_task_for_head(enum espi_head head);

/* An example from a parsed JSON line, with its "id". The object's source becomes the example's. ESP_ERR_FORMAT names
 * line and member. */
int espi_task_example_from_json(esp_context *ctx, const struct espi_task *task, const struct espi_json *object,
                                struct espi_example **out) ESPI_NODISCARD;

#endif
