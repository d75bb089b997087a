/* SPDX-License-Identifier: Apache-2.0 */
#include "create/train/trainer.h"

#include "base/clock.h"
#include "base/progress.h"
#include "base/size.h"
#include "create/train/trainer_private.h"
#include "tasks/evaluate.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

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
                                    .progress = t->progress,
                                    .interrupted = t->run->interrupted};
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

int espi_trainer_open_network(esp_context *ctx, struct espi_trainer *t)
{
    bool fast = t->options->compute == 2 || (t->options->compute == 0 && !t->options->qat && espi_matmul_has_bf16());
    struct espi_checkpoint *checkpoint = &t->model.checkpoint;
    int status = espi_network_new(ctx, &checkpoint->config, &checkpoint->params,
                                  fast ? ESPI_COMPUTE_BF16 : ESPI_COMPUTE_F32, t->team, &t->network);
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
    uint64_t steps = t->schedule.steps;
    struct espi_pruner_options how = {.pattern = (enum espi_pattern)o->pattern,
                                      .score = (enum espi_score)o->score,
                                      .sparsity_start = o->sparsity_start,
                                      .sparsity = o->sparsity,
                                      .begin_step = steps_of(o->prune_begin, steps, false),
                                      .end_step = steps_of(o->prune_end, steps, true),
                                      .every = o->prune_every,
                                      .uniform = o->prune_scope == 1,
                                      .layer_max = o->layer_max,
                                      .keep_mask = o->keep_mask};
    if (o->sparsity <= 0 && !o->keep_mask)
        return ESP_OK;
    return espi_pruner_new(ctx, &t->model.checkpoint.params, &how, t->team, &t->pruner);
}

static int wait_for_all(esp_context *ctx, struct espi_trainer *t)
{
    double none = 0;
    return espi_parallel_sum(ctx, t->run->parallel, &none, 1);
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
                                       .compute = espi_matmuls_compute(espi_network_matmuls(t->network)),
                                       .seed = o->seed,
                                       .progress = t->progress};
    if (!status)
        status = espi_distill_new(ctx, &how, &t->teacher, &t->model.job, t->team, &t->distill);
    if (!status && o->teacher_cache && espi_trainer_leads(t)) // the others read what this one leaves
        status = espi_distill_fill_cache(ctx, t->distill, t->feed, t->run->interrupted);
    if (!status)
        status = wait_for_all(ctx, t);
    if (!status && o->teacher_cache && !espi_trainer_leads(t))
        status = espi_distill_fill_cache(ctx, t->distill, t->feed, t->run->interrupted);
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
    int status = espi_state_add(ctx, &t->state, "counters", &t->counters, sizeof t->counters);
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

/* The tokenizer of a new model from a vocabulary file gets a directory to be copied from. */
static int place_tokenizer(esp_context *ctx, struct espi_trainer *t)
{
    if (espi_path_is_directory(t->model.tokenizer_from))
        return ESP_OK;
    int status = espi_path_join(ctx, t->tokenizer_directory, t->record.partial, "tokenizer");
    t->model.tokenizer_from = t->tokenizer_directory;
    if (!espi_trainer_leads(t))
        return status;
    if (!status && mkdir(t->tokenizer_directory, 0777) != 0 && errno != EEXIST)
        status = espi_fail_errno(ctx, ESP_ERR_IO, errno, "cannot create %s", t->tokenizer_directory);
    if (!status)
        status = espi_tokenizer_write_directory(ctx, t->model.tokenizer, t->tokenizer_directory);
    return status;
}

int espi_trainer_open(esp_context *ctx, struct espi_trainer *t)
{
    bool resumed = t->record.resumed;
    int status = espi_team_new(ctx, t->options->threads, &t->team);
    if (!status)
        status = espi_train_model_open(ctx, t->options, resumed ? t->record.checkpoint : NULL, &t->model);
    if (!status)
        status = place_tokenizer(ctx, t);
    if (!status)
        status = espi_trainer_open_feed(ctx, t);
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
    if (!status && resumed)
        status = espi_state_load(ctx, &t->state, t->record.state);
    return status ? status : espi_network_refresh(ctx, t->network);
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

/* Keeps the model when `figure` is the best so far. */
static int keep_best(esp_context *ctx, struct espi_trainer *t, double figure)
{
    char path[ESPI_PATH_BYTES];
    struct espi_train_output output = output_of(t);
    t->counters.evaluations++;
    if (t->counters.best_step != UINT64_MAX && !(figure > t->counters.best))
        return ESP_OK;
    t->counters.best = figure;
    t->counters.best_step = t->counters.step;
    t->counters.evaluations = 0;
    return t->options->keep_last ? ESP_OK : espi_train_record_best(ctx, &t->record, t->counters.step, &output, path);
}

/* Numbers of an evaluation as members of a log line. */
static json_t *evaluation_line(const struct espi_trainer *t, const json_t *report)
{
    json_t *line = json_pack("{s:I}", "step", (json_int_t)t->counters.step), *figures = json_object();
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)report, key, value) if (json_is_number(value))
        json_object_set(figures, key, value);
    if (json_object_set_new(line, "eval", figures)) {
        json_decref(line);
        return NULL;
    }
    return line;
}

int espi_trainer_evaluate(esp_context *ctx, struct espi_trainer *t)
{
    struct espi_evaluation how = {.job = &t->model.job,
                                  .engine = t->engine,
                                  .path = t->options->dev,
                                  .limit = t->options->dev_limit,
                                  .progress = t->progress};
    json_t *report = NULL;
    int status = swap_average(ctx, t);
    if (!status)
        status = espi_evaluate(ctx, &how, &report);
    if (!status) {
        const char *name = json_string_value(json_object_get(report, "metric"));
        double figure = espi_report_main(report);
        snprintf(t->metric, sizeof t->metric, "%s", name ? name : "metric");
        espi_log(ctx, ESP_LOG_INFO, "step %" PRIu64 ": %s %.6g", t->counters.step, t->metric, figure);
        status = espi_train_record_log(ctx, &t->record, evaluation_line(t, report));
        if (!status)
            status = keep_best(ctx, t, figure);
    }
    json_decref(report);
    t->counters.evaluated = t->counters.step;
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
    json_t *line = json_pack("{s:I, s:f, s:f, s:f, s:f}", "step", (json_int_t)t->counters.step, "loss",
                             espi_trainer_loss(t), "lr", rate, "gradient_norm", t->norm, "tokens_per_s", tokens_per_s);
    if (line && t->distill)
        json_object_set_new(line, "losses",
                            json_pack("{s:f, s:f, s:f, s:f}", "hard", t->losses[ESPI_LOSS_HARD], "soft",
                                      t->losses[ESPI_LOSS_SOFT], "hidden", t->losses[ESPI_LOSS_HIDDEN], "relation",
                                      t->losses[ESPI_LOSS_RELATION]));
    if (line && t->pruner)
        json_object_set_new(line, "sparsity", json_real(sparsity_of(t)));
    return espi_train_record_log(ctx, &t->record, line);
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

/* What is due behind a step besides the log: evaluation, checkpoint. */
static int after_step(esp_context *ctx, struct espi_trainer *t)
{
    uint64_t step = t->counters.step;
    uint64_t eval_every = t->options->eval_every ? t->options->eval_every : espi_feed_steps_per_epoch(t->feed);
    int status = ESP_OK;
    if (t->options->dev && (step % eval_every == 0 || step == t->schedule.steps)) {
        if (espi_trainer_leads(t))
            status = espi_trainer_evaluate(ctx, t);
        if (!status)
            status = espi_parallel_broadcast(ctx, t->run->parallel, &t->counters, sizeof t->counters);
    }
    if (!status && t->options->save_every && step % t->options->save_every == 0 && step < t->schedule.steps)
        status = save(ctx, t);
    return status;
}

static bool stop_early(const struct espi_trainer *t)
{
    return t->options->patience && t->counters.evaluations >= t->options->patience;
}

/* True for all ranks when one of them is told to stop. */
static int ask_to_stop(esp_context *ctx, const struct espi_trainer *t, bool *stop)
{
    double asked = t->run->interrupted && t->run->interrupted();
    int status = espi_parallel_sum(ctx, t->run->parallel, &asked, 1);
    *stop = asked > 0;
    return status;
}

static int loop(esp_context *ctx, struct espi_trainer *t, struct espi_train_report *report)
{
    double began = espi_clock(), tokens = 0, seconds = 0;
    struct espi_progress progress = {.stream = t->progress,
                                     .label = "train",
                                     .unit = "steps",
                                     .total = (size_t)t->schedule.steps,
                                     .done = (size_t)t->counters.step};
    int status = ESP_OK;
    while (!status && t->counters.step < t->schedule.steps && !stop_early(t)) {
        status = ask_to_stop(ctx, t, &report->interrupted);
        if (status || report->interrupted)
            break;
        double start = espi_clock();
        status = espi_trainer_step(ctx, t);
        seconds += espi_clock() - start;
        tokens += (double)t->tokens;
        if (status)
            break;
        show(&progress, t, tokens / seconds);
        if (t->counters.step % t->options->log_every == 0 || t->counters.step == t->schedule.steps)
            status = log_step(ctx, t, tokens / seconds);
        if (!status)
            status = after_step(ctx, t);
    }
    espi_progress_end(&progress, NULL);
    report->seconds = espi_clock() - began;
    report->tokens_per_s = seconds > 0 ? tokens / seconds : 0;
    if (!status)
        status = report->interrupted ? save(ctx, t) : finish(ctx, t);
    return status;
}

/* Rank 0 opens it; the others learn where the run stands. */
static int open_record(esp_context *ctx, struct espi_trainer *t)
{
    int status = ESP_OK;
    if (espi_trainer_leads(t)) {
        json_t *options = espi_train_options_json(t->options);
        status = options ? espi_train_record_open(ctx, t->run->directory, t->run->resume, options, &t->record)
                         : espi_fail_memory(ctx, 0);
        json_decref(options);
    }
    if (status)
        return status;
    status = espi_parallel_broadcast(ctx, t->run->parallel, &t->record, sizeof t->record);
    if (!espi_trainer_leads(t))
        t->record.log = NULL;
    return status;
}

static void fill_report(const struct espi_trainer *t, struct espi_train_report *report)
{
    report->steps = t->counters.step;
    report->loss = espi_trainer_loss(t);
    report->best_step = t->counters.best_step;
    report->best = t->counters.best;
    report->sparsity = sparsity_of(t);
    snprintf(report->metric, sizeof report->metric, "%s", t->metric);
}

int espi_train(esp_context *ctx, const struct espi_train_options *options, const struct espi_train_run *run,
               struct espi_train_report *report)
{
    struct espi_trainer t = {.options = options, .run = run, .counters = {.best_step = UINT64_MAX}};
    t.progress = espi_trainer_leads(&t) ? run->progress : NULL;
    *report = (struct espi_train_report){0};
    int status = espi_train_options_check(ctx, options);
    if (!status)
        status = open_record(ctx, &t);
    report->already_done = t.record.done;
    if (!status && !t.record.done)
        status = espi_trainer_open(ctx, &t);
    if (!status && !t.record.done)
        status = loop(ctx, &t, report);
    fill_report(&t, report);
    if (status && !run->resume && t.counters.step == 0)
        espi_train_record_discard(&t.record);
    espi_trainer_close(&t);
    return status;
}
