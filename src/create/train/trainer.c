/* SPDX-License-Identifier: Apache-2.0 */
#include "create/train/trainer.h"

#include "base/clock.h"
#include "base/size.h"
#include "create/train/trainer_private.h"
#include "eval/evaluate.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- parts -------------------------------------------------------------------------------------------------------------- */

/* "below 1: a share of all steps" */
static uint64_t steps_of(double value, uint64_t steps, bool one_is_share)
{
    bool share = value < 1 || (one_is_share && value == 1);
    return (uint64_t)(share ? value * (double)steps : value);
}

int espi_trainer_open_feed(esp_context *ctx, struct espi_trainer *t)
{
    const struct espi_train_options *o = t->options;
    struct espi_feed_options how = {.batch_size = o->batch_size,
                                    .batch_tokens = o->batch_tokens,
                                    .rank = espi_parallel_rank(t->run->parallel),
                                    .ranks = espi_parallel_ranks(t->run->parallel),
                                    .seed = o->seed,
                                    .max_examples = o->max_examples,
                                    .watch = t->watch};
    int status = espi_feed_open(ctx, &t->model.job, o->train.items, o->train.count, &how, &t->feed);
    if (status)
        return status;
    double per_epoch = (double)espi_feed_steps_per_epoch(t->feed);
    uint64_t steps = o->max_steps ? o->max_steps : (uint64_t)ceil(o->epochs * per_epoch);
    t->schedule = (struct espi_schedule_options){.kind = (enum espi_schedule)o->schedule,
                                                 .steps = steps,
                                                 .warmup_steps = steps_of(o->warmup, steps, false),
                                                 .cycles = o->cycles};
    t->loss = (struct espi_task_loss_options){.label_smoothing = o->label_smoothing,
                                              .contrastive = o->contrastive,
                                              .temperature = o->contrastive_temperature};
    return ESP_OK;
}

/* How a teacher computes, and a student unless it is trained for int8, which takes fp32: stages of both kinds share a
 * cache of the teacher. */
static enum espi_compute compute_of(const struct espi_train_options *o)
{
    bool fast = o->compute == 2 || (o->compute == 0 && espi_matmul_has_bf16());
    return fast ? ESPI_COMPUTE_BF16 : ESPI_COMPUTE_F32;
}

int espi_trainer_open_network(esp_context *ctx, struct espi_trainer *t)
{
    enum espi_compute compute = t->options->qat ? ESPI_COMPUTE_F32 : compute_of(t->options);
    struct espi_checkpoint *checkpoint = &t->model.checkpoint;
    int status = espi_network_new(ctx, &checkpoint->config, &checkpoint->params, compute, t->team, &t->network);
    if (!status)
        status = espi_network_engine(ctx, t->network, &t->engine);
    t->gradients = status ? NULL : espi_calloc_aligned(ctx, checkpoint->params.elements, sizeof *t->gradients);
    return status || t->gradients ? status : ESP_ERR_MEMORY;
}

static int open_optimizer(esp_context *ctx, struct espi_trainer *t)
{
    const struct espi_train_options *o = t->options;
    struct espi_optimizer_options how = {.learning_rate = o->learning_rate,
                                         .beta1 = o->beta1,
                                         .beta2 = o->beta2,
                                         .epsilon = o->epsilon,
                                         .weight_decay = o->weight_decay,
                                         .layer_decay = o->layer_decay,
                                         .max_norm = o->max_norm,
                                         .ema_decay = o->ema};
    int status =
        espi_optimizer_new(ctx, &t->model.checkpoint.config, &t->model.checkpoint.params, &how, t->team, &t->optimizer);
    struct espi_distill_weights extra = {0};
    if (!status && t->distill)
        extra = espi_distill_projections(t->distill);
    if (!status && extra.count)
        status = espi_optimizer_add(ctx, t->optimizer, extra.weights, extra.gradients, extra.count);
    return status;
}

static int open_pruner(esp_context *ctx, struct espi_trainer *t)
{
    const struct espi_train_options *o = t->options;
    uint64_t steps = t->schedule.steps, end = steps_of(o->prune_end, steps, true);
    if (o->sparsity > 0 && end > steps)
        return espi_fail(ctx, ESP_ERR_ARGUMENT,
                         "--prune-end: expected at most the %" PRIu64 " steps of the run, found %g", steps,
                         o->prune_end);
    struct espi_pruner_options how = {.pattern = (enum espi_pattern)o->pattern,
                                      .score = (enum espi_score)o->score,
                                      .sparsity_start = o->sparsity_start,
                                      .sparsity = o->sparsity,
                                      .begin_step = steps_of(o->prune_begin, steps, false),
                                      .end_step = end < steps ? end : steps - 1,
                                      .every = o->prune_every,
                                      .uniform = o->prune_scope == 1,
                                      .layer_max = o->layer_max,
                                      .keep_mask = o->keep_mask};
    if (o->sparsity <= 0 && !o->keep_mask)
        return ESP_OK;
    return espi_pruner_new(ctx, &t->model.checkpoint.params, &how, t->team, &t->pruner);
}

static int open_teacher(esp_context *ctx, struct espi_trainer *t)
{
    enum { MOST = 512 };
    const struct espi_train_options *o = t->options;
    size_t map[MOST], count = 0;
    if (!o->teacher)
        return ESP_OK;
    int status = o->layer_map ? espi_train_numbers(ctx, "layer-map", o->layer_map, 2, map, MOST, &count) : ESP_OK;
    if (!status)
        status = espi_checkpoint_read(ctx, o->teacher, &t->teacher);
    struct espi_distill_options how = {.temperature = o->temperature,
                                       .soft_weight = o->soft_weight,
                                       .hidden_weight = o->hidden_weight,
                                       .hidden_loss = (enum espi_hidden_loss)o->hidden_loss,
                                       .relation_weight = o->relation_weight,
                                       .relation_heads = o->relation_heads,
                                       .layer_map = o->layer_map ? map : NULL,
                                       .layer_count = count / 2,
                                       .cache = o->teacher_cache,
                                       .compute = compute_of(o),
                                       .seed = o->seed,
                                       .watch = t->watch};
    if (!status)
        status = espi_distill_new(ctx, &how, &t->teacher, &t->model.job, t->team, &t->distill);
    if (!status && o->teacher_cache && espi_trainer_leads(t)) // the others read what this one leaves
        status = espi_distill_fill_cache(ctx, t->distill, t->feed);
    status = espi_parallel_agree(ctx, t->run->parallel, status);
    if (!status && o->teacher_cache && !espi_trainer_leads(t))
        status = espi_distill_fill_cache(ctx, t->distill, t->feed);
    return status;
}

static int open_quant(esp_context *ctx, struct espi_trainer *t)
{
    const struct espi_train_options *o = t->options;
    struct espi_fake_quant_options how = {.per_token = o->qat_activations == 1,
                                          .freeze_step = steps_of(o->qat_freeze, t->schedule.steps, true)};
    if (!o->qat)
        return ESP_OK;
    int status = espi_fake_quant_new(ctx, &t->model.checkpoint.config, &how, t->team, &t->quant);
    if (!status)
        espi_fake_quant_attach(t->quant, t->network);
    return status;
}

static int register_state(esp_context *ctx, struct espi_trainer *t)
{
    int status = espi_state_add(ctx, &t->state, espi_train_files_name, &t->record.files, sizeof t->record.files);
    if (!status)
        status = espi_state_add(ctx, &t->state, "counters", &t->counters, sizeof t->counters);
    if (!status)
        status = espi_state_add(ctx, &t->state, "inputs", &t->inputs, sizeof t->inputs);
    if (!status)
        status = espi_optimizer_register(ctx, t->optimizer, &t->state);
    if (!status && t->pruner)
        status = espi_pruner_register(ctx, t->pruner, &t->state);
    if (!status && t->distill)
        status = espi_distill_register(ctx, t->distill, &t->state);
    if (!status && t->quant)
        status = espi_fake_quant_register(ctx, t->quant, &t->state);
    return status;
}

/* Goes on from the checkpoint, with what the run learned from when it began. */
static int load_state(esp_context *ctx, struct espi_trainer *t)
{
    struct espi_train_inputs now = t->inputs;
    int status = espi_state_load(ctx, &t->state, t->record.state);
    if (!status && t->inputs.data != now.data)
        status = espi_fail(ctx, ESP_ERR_ARGUMENT, "--resume: the training data (%s) have changed since the run began",
                           t->options->train.items[0]);
    if (!status && t->inputs.teacher != now.teacher)
        status = espi_fail(ctx, ESP_ERR_ARGUMENT, "--resume: the teacher (%s) has changed since the run began",
                           t->options->teacher);
    return status;
}

static int write_tokenizer(esp_context *ctx, const esp_tokenizer *tokenizer, const char *directory)
{
    struct espi_output_dir dir;
    int status = espi_output_dir_create(ctx, &dir, directory);
    if (status)
        return status;
    status = espi_tokenizer_write_directory(ctx, tokenizer, dir.temporary);
    if (!status)
        return espi_output_dir_commit(ctx, &dir);
    espi_output_dir_abort(&dir);
    return status;
}

/* The run keeps a tokenizer of its own, for the models it writes: whatever it came from may change or go meanwhile.
 * A trainer without a record writes nothing. */
static int place_tokenizer(esp_context *ctx, struct espi_trainer *t)
{
    const char *from = t->model.tokenizer_from;
    if (!t->record.partial[0])
        return ESP_OK;
    int status = espi_path_join(ctx, t->tokenizer_directory, t->record.partial, "tokenizer");
    t->model.tokenizer_from = t->tokenizer_directory;
    if (!status && espi_trainer_leads(t))
        status = espi_path_find(ctx, t->tokenizer_directory);
    if (status || !espi_trainer_leads(t))
        return status > 0 ? ESP_OK : status;
    status = espi_path_is_directory(from) ? espi_checkpoint_copy_tokenizer(ctx, from, t->tokenizer_directory)
                                          : write_tokenizer(ctx, t->model.tokenizer, t->tokenizer_directory);
    return status ? status : espi_train_record_tokenizer(ctx, &t->record, t->tokenizer_directory);
}

/* Answers that mean nothing: a hash of their place. */
static int answer_blindly(struct espi_engine *engine, esp_context *ctx, const struct espi_batch *batch,
                          const struct espi_wanted *wanted)
{
    size_t size = espi_result_size(engine->config, batch, wanted);
    (void)ctx;
    for (size_t i = 0; i < size; i++)
        wanted->out[i] = (float)((uint32_t)i * 2654435761u >> 8) * 0x1p-24f;
    return ESP_OK;
}

/* An evaluation without the model: what is wrong with the dev data shows before the work begins, not behind the first
 * epoch. */
static int check_dev(esp_context *ctx, struct espi_trainer *t)
{
    struct espi_engine blind = {.config = &t->model.checkpoint.config, .run = answer_blindly};
    struct espi_evaluation how = {.job = &t->model.job,
                                  .engine = &blind,
                                  .path = t->options->dev,
                                  .limit = t->options->dev_limit,
                                  .watch = {.stop = t->watch.stop, .cookie = t->watch.cookie}};
    json_t *report = NULL;
    if (!t->options->dev || !espi_trainer_leads(t))
        return ESP_OK;
    int status = espi_evaluate(ctx, &how, &report);
    json_decref(report);
    return status;
}

int espi_trainer_open(esp_context *ctx, struct espi_trainer *t)
{
    bool resumed = t->record.saved;
    int status = espi_team_new(ctx, t->options->threads, &t->team);
    if (!status)
        status = espi_train_model_open(ctx, t->options, resumed ? t->record.checkpoint : NULL, &t->model);
    if (!status)
        status = place_tokenizer(ctx, t);
    if (!status)
        status = espi_trainer_open_feed(ctx, t);
    if (!status)
        status = check_dev(ctx, t);
    if (!status)
        status = espi_trainer_open_network(ctx, t);
    if (!status)
        status = open_teacher(ctx, t);
    if (!status)
        status = open_pruner(ctx, t);
    if (!status)
        status = open_quant(ctx, t);
    if (!status)
        status = open_optimizer(ctx, t);
    if (!status)
        status = espi_gradient_sums_new(ctx, t);
    if (!status)
        status = register_state(ctx, t);
    if (!status)
        t->inputs = (struct espi_train_inputs){.data = espi_feed_crc(t->feed),
                                               .teacher = t->distill ? espi_distill_teacher_crc(&t->teacher) : 0};
    if (!status && resumed)
        status = load_state(ctx, t);
    if (!status)
        status = espi_network_refresh(ctx, t->network);
    return espi_parallel_agree(ctx, t->run->parallel, status);
}

void espi_trainer_close_network(struct espi_trainer *t)
{
    if (t->engine)
        t->engine->free(t->engine);
    espi_network_free(t->network);
    free(t->gradients);
    t->engine = NULL;
    t->network = NULL;
    t->gradients = NULL;
}

void espi_trainer_close(struct espi_trainer *t)
{
    espi_train_record_close(&t->record);
    espi_state_clear(&t->state);
    espi_gradient_sums_free(t->sums);
    espi_optimizer_free(t->optimizer);
    espi_pruner_free(t->pruner);
    espi_distill_free(t->distill);
    espi_trainer_close_network(t);
    espi_fake_quant_free(t->quant);
    espi_feed_close(t->feed);
    espi_checkpoint_clear(&t->teacher);
    espi_train_model_clear(&t->model);
    espi_team_free(t->team);
    free(t->result);
    free(t->d_result);
}

/* ---- evaluation and files ----------------------------------------------------------------------------------------------- */

static struct espi_train_output output_of(const struct espi_trainer *t)
{
    return (struct espi_train_output){.config = &t->model.checkpoint.config,
                                      .params = &t->model.checkpoint.params,
                                      .tokenizer_from = t->model.tokenizer_from,
                                      .quant = t->quant};
}

/* Puts the average in the place of the weights, or back. */
static int swap_average(esp_context *ctx, struct espi_trainer *t)
{
    if (!espi_optimizer_swap_average(t->optimizer))
        return ESP_OK;
    if (t->pruner)
        espi_pruner_apply(t->pruner); // the average still knows the weights that went
    return espi_network_refresh(ctx, t->network);
}

/* Whether the model is one that may be the result: not while it is still denser than it will be. */
static bool is_candidate(const struct espi_trainer *t)
{
    return !t->pruner || espi_pruner_done(t->pruner, t->counters.step);
}

/* Keeps the model when `figure` is the best so far. */
static int keep_best(esp_context *ctx, struct espi_trainer *t, double figure)
{
    char path[ESPI_PATH_BYTES];
    struct espi_train_output output = output_of(t);
    if (!is_candidate(t))
        return ESP_OK;
    if (t->counters.best_step == t->counters.step) // what came behind it failed
        return ESP_OK;
    t->counters.evaluations++;
    if (t->counters.best_step != UINT64_MAX && !(figure > t->counters.best) && !isnan(t->counters.best))
        return ESP_OK;
    int status =
        t->options->keep_last ? ESP_OK : espi_train_record_best(ctx, &t->record, t->counters.step, &output, path);
    if (status) // the best one is still that before
        return status;
    t->counters.best = figure;
    t->counters.best_step = t->counters.step;
    t->counters.evaluations = 0;
    return ESP_OK;
}

/* Numbers of an evaluation as members of a log line. */
static int log_evaluation(esp_context *ctx, struct espi_trainer *t, const json_t *report)
{
    struct espi_json_writer line = {0};
    const char *key;
    json_t *value;
    espi_put_object(&line, NULL);
    espi_put_size(&line, "step", t->counters.step);
    espi_put_object(&line, "eval");
    json_object_foreach((json_t *)(uintptr_t)report, key, value) if (json_is_number(value))
        espi_put_value(&line, key, value);
    espi_put_object_end(&line);
    espi_put_object_end(&line);
    return espi_train_record_log(ctx, &t->record, &line);
}

/* Evaluates on the dev data and keeps the model when it is the best. Weights are those of the average where there
 * is one. */
static int evaluate_alone(esp_context *ctx, struct espi_trainer *t)
{
    struct espi_evaluation how = {.job = &t->model.job,
                                  .engine = t->engine,
                                  .path = t->options->dev,
                                  .limit = t->options->dev_limit,
                                  .watch = t->watch};
    json_t *report = NULL;
    int status = swap_average(ctx, t);
    if (!status)
        status = espi_evaluate(ctx, &how, &report);
    if (!status) {
        const char *name = json_string_value(json_object_get(report, "metric"));
        double figure = espi_report_main(report);
        snprintf(t->counters.metric, sizeof t->counters.metric, "%s", name ? name : "metric");
        espi_log(ctx, ESP_LOG_INFO, "step %" PRIu64 ": %s %.6g", t->counters.step, t->counters.metric, figure);
        uint64_t evaluations = t->counters.evaluations;
        status = keep_best(ctx, t, figure);
        if (!status) // last: a run that is resumed evaluates again, but no line comes twice
            status = log_evaluation(ctx, t, report);
        if (!status)
            t->counters.evaluated = t->counters.step;
        else if (t->counters.best_step != t->counters.step)
            t->counters.evaluations = evaluations;
    }
    json_decref(report);
    int back = swap_average(ctx, t);
    return status ? status : back;
}

static int save(esp_context *ctx, struct espi_trainer *t)
{
    struct espi_train_output output = output_of(t);
    if (!espi_trainer_leads(t))
        return ESP_OK;
    return espi_train_record_save(ctx, &t->record, t->counters.step, t->counters.best_step, &output, &t->state);
}

static int finish(esp_context *ctx, struct espi_trainer *t)
{
    struct espi_train_output output = output_of(t);
    if (!espi_trainer_leads(t))
        return ESP_OK;
    bool best = t->options->dev && !t->options->keep_last && t->counters.best_step != UINT64_MAX;
    int status = best ? ESP_OK : swap_average(ctx, t);
    return status ? status
                  : espi_train_record_finish(ctx, &t->record, best ? t->counters.best_step : UINT64_MAX, &output);
}

/* ---- the loop ----------------------------------------------------------------------------------------------------------- */

static double sparsity_of(const struct espi_trainer *t)
{
    return t->pruner ? espi_pruner_sparsity(t->pruner) : 0;
}

static int log_step(esp_context *ctx, struct espi_trainer *t, double tokens_per_s)
{
    if (!espi_trainer_leads(t))
        return ESP_OK;
    double rate = t->options->learning_rate * espi_schedule_factor(&t->schedule, t->counters.step - 1);
    struct espi_json_writer line = {0};
    espi_put_object(&line, NULL);
    espi_put_size(&line, "step", t->counters.step);
    espi_put_number(&line, "loss", espi_trainer_loss(t));
    espi_put_number(&line, "lr", rate);
    espi_put_number(&line, "gradient_norm", t->norm);
    espi_put_number(&line, "tokens_per_s", tokens_per_s);
    if (t->distill) {
        espi_put_object(&line, "losses");
        espi_put_number(&line, "hard", t->losses[ESPI_LOSS_HARD]);
        espi_put_number(&line, "soft", t->losses[ESPI_LOSS_SOFT]);
        espi_put_number(&line, "hidden", t->losses[ESPI_LOSS_HIDDEN]);
        espi_put_number(&line, "relation", t->losses[ESPI_LOSS_RELATION]);
        espi_put_object_end(&line);
    }
    if (t->pruner)
        espi_put_number(&line, "sparsity", sparsity_of(t));
    espi_put_object_end(&line);
    return espi_train_record_log(ctx, &t->record, &line);
}

static void show(struct espi_progress *progress, const struct espi_trainer *t, double tokens_per_s)
{
    char note[160];
    double rate = t->options->learning_rate * espi_schedule_factor(&t->schedule, t->counters.step);
    int length =
        snprintf(note, sizeof note, "loss %.4f, lr %.2e, %.0f tokens/s", espi_trainer_loss(t), rate, tokens_per_s);
    if (t->pruner && length > 0 && (size_t)length < sizeof note)
        snprintf(note + length, sizeof note - (size_t)length, ", sparsity %.1f %%", 100 * sparsity_of(t));
    espi_progress_update(progress, (size_t)t->counters.step, note);
}

/* Whether the model as it is now has yet to be evaluated. */
static bool evaluation_due(const struct espi_trainer *t)
{
    uint64_t step = t->counters.step;
    uint64_t every = t->options->eval_every ? t->options->eval_every : espi_feed_steps_per_epoch(t->feed);
    return t->options->dev && step > 0 && t->counters.evaluated != step &&
           (step % every == 0 || step == t->schedule.steps);
}

/* Evaluates, and tells the other ranks. Interrupted, it stays due. When it fails, the work until here is kept. */
static int evaluate(esp_context *ctx, struct espi_trainer *t)
{
    int status = espi_trainer_leads(t) ? evaluate_alone(ctx, t) : ESP_OK;
    if (status == ESP_ERR_CANCELLED)
        status = ESP_OK;
    if (status) {
        int kept = save(ctx, t);
        return kept ? kept : status;
    }
    return espi_parallel_broadcast(ctx, t->run->parallel, &t->counters, sizeof t->counters);
}

static bool save_due(const struct espi_trainer *t)
{
    uint64_t step = t->counters.step, every = t->options->save_every;
    return every && step > 0 && step % every == 0 && step < t->schedule.steps;
}

static bool at_end(const struct espi_trainer *t)
{
    bool early = t->options->patience && t->counters.evaluations >= t->options->patience;
    return early || t->counters.step >= t->schedule.steps;
}

/* True for all ranks when one of them is told to stop. */
static int ask_to_stop(esp_context *ctx, const struct espi_trainer *t, bool *stop)
{
    double asked = espi_watch_stops(&t->watch);
    int status = espi_parallel_sum(ctx, t->run->parallel, &asked, 1);
    *stop = asked > 0;
    return status;
}

/* What is counted while the loop runs. */
struct pace {
    double began, seconds; // of the steps alone
    double tokens;
};

static int take_step(esp_context *ctx, struct espi_trainer *t, struct espi_progress *progress, struct pace *pace)
{
    double start = espi_clock();
    int status = espi_trainer_step(ctx, t);
    pace->seconds += espi_clock() - start;
    pace->tokens += (double)t->tokens;
    if (status)
        return status;
    show(progress, t, pace->tokens / pace->seconds);
    bool due = t->counters.step % t->options->log_every == 0 || t->counters.step == t->schedule.steps;
    return due ? log_step(ctx, t, pace->tokens / pace->seconds) : ESP_OK;
}

/* Between two steps a run can be stopped and resumed: what is due at this point (evaluation, checkpoint) is found from
 * the counters alone. */
static int loop(esp_context *ctx, struct espi_trainer *t, esp_train_report *report)
{
    struct pace pace = {.began = espi_clock()};
    struct espi_progress progress = {
        .watch = t->watch, .label = "train", .unit = "steps", .total = (size_t)t->schedule.steps};
    int status = ESP_OK;
    espi_progress_update(&progress, (size_t)t->counters.step, NULL);
    for (;;) {
        status = ask_to_stop(ctx, t, &report->interrupted);
        if (status || report->interrupted)
            break;
        if (evaluation_due(t)) {
            status = evaluate(ctx, t);
            if (status)
                break;
            continue;
        }
        if (save_due(t))
            status = save(ctx, t);
        if (status || at_end(t))
            break;
        status = take_step(ctx, t, &progress, &pace);
        if (status)
            break;
    }
    espi_progress_end(&progress, NULL);
    report->seconds = espi_clock() - pace.began;
    report->tokens_per_s = pace.seconds > 0 ? pace.tokens / pace.seconds : 0;
    if (!status)
        status = !report->interrupted ? finish(ctx, t) : t->run->keep ? save(ctx, t) : ESP_OK;
    return status;
}

/* Rank 0 opens it; the others learn where the run stands. */
static int open_record(esp_context *ctx, struct espi_trainer *t)
{
    int status = espi_train_options_check(ctx, t->options);
    if (!status && espi_trainer_leads(t)) {
        struct espi_json options = {0};
        status = espi_train_options_json(ctx, t->options, &options);
        if (!status)
            status = espi_train_record_open(ctx, t->run->directory, t->run->resume, options.value, &t->record);
        espi_json_close(&options);
    }
    status = espi_parallel_agree(ctx, t->run->parallel, status);
    if (!status)
        status = espi_parallel_broadcast(ctx, t->run->parallel, &t->record, sizeof t->record);
    if (!espi_trainer_leads(t)) { // those are rank 0's
        t->record.log = NULL;
        t->record.lock = -1;
    }
    return status;
}

static void fill_report(const struct espi_trainer *t, esp_train_report *report)
{
    report->steps = t->counters.step;
    report->loss = espi_trainer_loss(t);
    report->best_step = t->counters.best_step;
    report->best = t->counters.best;
    report->sparsity = sparsity_of(t);
    snprintf(report->metric, sizeof report->metric, "%s", t->counters.metric);
}

/* A run that failed: removed when it did not get anywhere, else it is said where it stands. */
static void keep_or_discard(esp_context *ctx, struct espi_trainer *t, int status)
{
    struct espi_train_record *record = &t->record;
    if (!t->run->keep)
        espi_train_record_discard(record);
    else if (record->saved && status == ESP_ERR_LIMIT)
        espi_log(ctx, ESP_LOG_INFO, "the last checkpoint is %s", record->checkpoint);
    else if (record->saved)
        espi_log(ctx, ESP_LOG_INFO, "the run stands at step %" PRIu64 " in %s; --resume goes on", record->step,
                 record->partial);
    else if (t->counters.best_step != UINT64_MAX && !t->options->keep_last)
        espi_log(ctx, ESP_LOG_INFO, "the best model is %s/best-%" PRIu64, record->partial, t->counters.best_step);
    else
        espi_train_record_discard(record);
}

int espi_train(esp_context *ctx, const struct espi_train_options *options, const struct espi_train_run *run,
               esp_train_report *report)
{
    struct espi_trainer t = {
        .options = options, .run = run, .watch = run->watch, .counters = {.best_step = UINT64_MAX}};
    if (!espi_trainer_leads(&t))
        t.watch.show = NULL;
    *report = (esp_train_report){0};
    int status = open_record(ctx, &t);
    report->already_done = t.record.done;
    bool run_it = !status && !t.record.done;
    if (run_it)
        status = espi_trainer_open(ctx, &t);
    if (run_it && !status)
        status = loop(ctx, &t, report);
    fill_report(&t, report);
    if (run_it && status && espi_trainer_leads(&t))
        keep_or_discard(ctx, &t, status);
    if (status == ESP_ERR_CANCELLED && espi_parallel_ranks(run->parallel) == 1) { // while the parts were opened
        report->interrupted = true;
        report->steps = t.record.saved ? t.record.step : 0;
        status = ESP_OK;
    }
    espi_trainer_close(&t);
    return status;
}
