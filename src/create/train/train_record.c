/* SPDX-License-Identifier: Apache-2.0 */
#include "create/train/train_record.h"

#include "base/file_target.h"
#include "base/json.h"
#include "create/train/train_options.h"
#include "model/checkpoint.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static const char log_name[] = "train.jsonl", options_name[] = "train_options.json", tokenizer_name[] = "tokenizer";
const char espi_train_files_name[] = "files";

/* "partial/name-step" */
static int numbered(esp_context *ctx, const struct espi_train_record *record, const char *name, uint64_t step,
                    char path[ESPI_PATH_BYTES])
{
    char file[64];
    snprintf(file, sizeof file, "%s-%" PRIu64, name, step);
    return espi_path_join(ctx, path, record->partial, file);
}

/* The number behind "name-"; false for other files. */
static bool number_of(const char *file, const char *name, uint64_t *step)
{
    size_t length = strlen(name);
    char *end;
    if (strncmp(file, name, length) != 0 || file[length] != '-' || file[length + 1] < '0' || file[length + 1] > '9')
        return false;
    *step = strtoull(file + length + 1, &end, 10);
    return *end == '\0';
}

/* Calls `see` for every file of the run. */
typedef int see_fn(esp_context *ctx, struct espi_train_record *record, const char *file, uint64_t step);

static int for_each(esp_context *ctx, struct espi_train_record *record, see_fn *see, uint64_t step)
{
    DIR *directory = opendir(record->partial);
    const char *name;
    int status;
    if (!directory)
        return espi_fail_errno(ctx, ESP_ERR_IO, errno, "cannot read %s", record->partial);
    while ((status = espi_directory_next(ctx, directory, record->partial, &name)) > 0)
        if ((status = see(ctx, record, name, step)))
            break;
    closedir(directory);
    return status;
}

static int remove_file(esp_context *ctx, const struct espi_train_record *record, const char *file)
{
    char path[ESPI_PATH_BYTES];
    int status = espi_path_join(ctx, path, record->partial, file);
    return status ? status : espi_remove_tree(ctx, path);
}

/* ---- opening ------------------------------------------------------------------------------------------------------------ */

/* The checkpoint of a step is the one to go on from. */
static int note_checkpoint(esp_context *ctx, struct espi_train_record *record, uint64_t step)
{
    record->saved = true;
    record->step = step;
    int status = numbered(ctx, record, "state", step, record->state);
    return status ? status : numbered(ctx, record, "checkpoint", step, record->checkpoint);
}

/* Keeps the checkpoint of the highest step. */
static int see_checkpoint(esp_context *ctx, struct espi_train_record *record, const char *file, uint64_t step)
{
    char state[ESPI_PATH_BYTES];
    if (!number_of(file, "checkpoint", &step) || (record->saved && step <= record->step))
        return ESP_OK;
    int status = numbered(ctx, record, "state", step, state);
    if (!status)
        status = espi_path_find(ctx, state);
    return status > 0 ? note_checkpoint(ctx, record, step) : status;
}

/* Removes what is later than the checkpoint, and what was being written. */
static int remove_later(esp_context *ctx, struct espi_train_record *record, const char *file, uint64_t step)
{
    uint64_t number;
    bool dated =
        number_of(file, "checkpoint", &number) || number_of(file, "state", &number) || number_of(file, "best", &number);
    bool later = dated && (!record->saved || number > step);
    bool stale = !record->saved && strcmp(file, tokenizer_name) == 0; // of a run that begins anew
    return later || stale || strstr(file, ".tmp-") ? remove_file(ctx, record, file) : ESP_OK;
}

/* With those the run in `directory` was started with. */
static int compare_options(esp_context *ctx, const char *directory, const json_t *options)
{
    char path[ESPI_PATH_BYTES];
    struct espi_json before;
    int status = espi_path_join(ctx, path, directory, options_name);
    if (!status)
        status = espi_json_open_file(ctx, path, &before);
    if (status)
        return status;
    status = espi_train_options_same(ctx, before.value, options);
    espi_json_close(&before);
    return status;
}

/* The files that the run goes on from are those that were written. */
static int check_files(esp_context *ctx, struct espi_train_record *record)
{
    struct espi_train_files *files = &record->files;
    char best[ESPI_PATH_BYTES], tokenizer[ESPI_PATH_BYTES];
    int status = espi_state_read_first(ctx, record->state, espi_train_files_name, files, sizeof *files);
    if (status)
        return status;
    status = numbered(ctx, record, "best", files->best_step, best);
    if (!status)
        status = espi_path_join(ctx, tokenizer, record->partial, tokenizer_name);
    if (!status)
        status = espi_file_sums_check(ctx, record->checkpoint, &files->checkpoint);
    if (!status && files->best.count)
        status = espi_file_sums_check(ctx, best, &files->best);
    if (!status)
        status = espi_file_sums_check(ctx, tokenizer, &files->tokenizer);
    return status == ESP_ERR_FORMAT
               ? espi_fail(ctx, ESP_ERR_FORMAT, "%s; the run cannot go on: remove %s and begin it anew",
                           esp_last_error(ctx), record->partial)
               : status;
}

/* The log's lines up to the checkpoint's step. */
static int trim_log(esp_context *ctx, const struct espi_train_record *record, const char *path)
{
    struct espi_output output;
    struct espi_lines lines;
    int status = espi_lines_open(NULL, path, &lines); // no input of the context: it is to be replaced
    if (status)
        return status == ESP_ERR_NOT_FOUND ? ESP_OK : espi_fail_errno(ctx, status, errno, "%s: cannot read", path);
    status = espi_output_create(ctx, &output, path);
    if (status) {
        espi_lines_close(&lines);
        return status;
    }
    int found;
    while ((found = espi_lines_next(ctx, &lines)) > 0) {
        struct espi_json line;
        int64_t step = 0;
        status = espi_json_open_text(ctx, path, lines.text, lines.length, &line);
        if (status == ESP_ERR_MEMORY) {
            found = status;
            break;
        }
        if (!status && espi_json_is_integer(json_object_get(line.value, "step"), &step) && record->saved &&
            (uint64_t)step <= record->step)
            fprintf(output.stream, "%s\n", lines.text);
        espi_json_close(&line);
    }
    espi_lines_close(&lines);
    if (found == 0)
        return espi_output_commit(ctx, &output);
    espi_output_abort(&output);
    return found;
}

static int open_log(esp_context *ctx, struct espi_train_record *record)
{
    char path[ESPI_PATH_BYTES];
    int status = espi_path_join(ctx, path, record->partial, log_name);
    if (!status)
        status = trim_log(ctx, record, path);
    if (status)
        return status;
    record->log = fopen(path, "ae");
    return record->log ? ESP_OK : espi_fail_errno(ctx, ESP_ERR_IO, errno, "cannot write %s", path);
}

static int write_options(esp_context *ctx, const struct espi_train_record *record, const json_t *options)
{
    char path[ESPI_PATH_BYTES];
    int status = espi_path_join(ctx, path, record->partial, options_name);
    struct espi_json_writer w = {.indent = true, .exact = true};
    espi_put_value(&w, NULL, options);
    if (!status)
        status = espi_json_writer_end(ctx, &w);
    if (!status)
        status = espi_output_write_file(ctx, path, w.data, w.length);
    free(w.data);
    return status;
}

/* Two processes must not write one run. A file system without locks does without. */
static int lock(esp_context *ctx, struct espi_train_record *record)
{
    record->lock = open(record->partial, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (record->lock < 0)
        return espi_fail_errno(ctx, ESP_ERR_IO, errno, "cannot read %s", record->partial);
    if (flock(record->lock, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK)
        return espi_fail(ctx, ESP_ERR_ARGUMENT, "%s: another process is at this run", record->partial);
    return ESP_OK;
}

/* No run has stopped here, and the result can take the place of what is there. */
static int check_new(esp_context *ctx, const struct espi_train_record *record)
{
    int found = espi_path_find(ctx, record->partial);
    if (found)
        return found < 0 ? found
                         : espi_fail(ctx, ESP_ERR_ARGUMENT,
                                     "%s: a run stopped here: --resume goes on with it, or remove the directory",
                                     record->partial);
    if (espi_path_is_mount_point(record->directory))
        return espi_fail(ctx, ESP_ERR_ARGUMENT,
                         "%s: is a mount point, which the result cannot take the place of: name a directory in it",
                         record->directory);
    return espi_output_dir_check(ctx, record->directory);
}

static int begin(esp_context *ctx, struct espi_train_record *record, const json_t *options)
{
    struct stat before;
    int found = espi_path_find(ctx, record->partial), status = found > 0 ? lock(ctx, record) : found;
    if (!status)
        status = check_new(ctx, record);
    if (status)
        return status;
    bool replaces = stat(record->directory, &before) == 0;
    if (replaces && rmdir(record->directory) != 0)
        return espi_fail_errno(ctx, ESP_ERR_ARGUMENT, errno, "%s: expected a new or empty directory",
                               record->directory);
    if (mkdir(record->partial, 0777) != 0)
        return espi_fail_errno(ctx, ESP_ERR_IO, errno, "cannot create %s", record->partial);
    record->began = true;
    status = lock(ctx, record);
    if (!status && replaces)
        espi_keep_owner(record->lock, &before);
    return status ? status : write_options(ctx, record, options);
}

static int go_on(esp_context *ctx, struct espi_train_record *record, const json_t *options)
{
    char result[ESPI_PATH_BYTES];
    int status = espi_path_join(ctx, result, record->directory, log_name);
    if (status)
        return status;
    enum espi_path_kind log;
    if ((status = espi_path_look(ctx, result, &log)))
        return status;
    record->done = log != ESPI_PATH_NOTHING;
    if (record->done) {
        status = compare_options(ctx, record->directory, options);
        return status ? status : espi_remove_tree(ctx, record->partial); // killed between the last two moves
    }
    int found = espi_path_find(ctx, record->partial);
    if (found <= 0)
        return found < 0 ? found : begin(ctx, record, options);
    status = lock(ctx, record);
    if (!status)
        status = for_each(ctx, record, see_checkpoint, 0);
    record->began = !record->saved;
    if (!status)
        status = record->saved ? compare_options(ctx, record->partial, options) : write_options(ctx, record, options);
    if (!status && record->saved)
        status = check_files(ctx, record);
    if (!status)
        status = for_each(ctx, record, remove_later, record->step);
    return status;
}

static int name_places(esp_context *ctx, const char *directory, struct espi_train_record *out)
{
    struct espi_target target;
    *out = (struct espi_train_record){.lock = -1};
    int status = espi_target_look(ctx, directory, &target); // the result takes the place of what a link leads to
    if (status)
        return status;
    memcpy(out->directory, target.path, sizeof target.path);
    int length = snprintf(out->partial, sizeof out->partial, "%s.partial", target.path);
    if (length < 0 || (size_t)length >= sizeof out->partial)
        return espi_fail(ctx, ESP_ERR_LIMIT, "%.60s…: the path is too long", directory);
    return ESP_OK;
}

int espi_train_record_check(esp_context *ctx, const char *directory)
{
    struct espi_train_record record;
    int status = name_places(ctx, directory, &record);
    return status ? status : check_new(ctx, &record);
}

int espi_train_record_open(esp_context *ctx, const char *directory, bool resume, const json_t *options,
                           struct espi_train_record *out)
{
    int status = name_places(ctx, directory, out);
    if (status)
        return status;
    status = resume ? go_on(ctx, out, options) : begin(ctx, out, options);
    return status || out->done ? status : open_log(ctx, out);
}

void espi_train_record_close(struct espi_train_record *record)
{
    if (record->log)
        fclose(record->log);
    if (record->partial[0] && record->lock >= 0)
        close(record->lock);
    record->log = NULL;
    record->lock = -1;
}

void espi_train_record_discard(struct espi_train_record *record)
{
    bool own = record->log && record->began && !record->saved;
    if (own && espi_remove_tree(NULL, record->partial))
        own = false; // the files stay: nothing else depends on it
    espi_train_record_close(record);
}

/* ---- writing ------------------------------------------------------------------------------------------------------------ */

int espi_train_record_log(esp_context *ctx, struct espi_train_record *record, struct espi_json_writer *line)
{
    line->stream = record->log;
    int status = espi_json_writer_end(ctx, line);
    if (status)
        return espi_fail_prefix(ctx, status, "%s/%s", record->partial, log_name);
    if (fflush(record->log) != 0)
        status = espi_fail_errno(ctx, ESP_ERR_IO, errno, "cannot write %s/%s", record->partial, log_name);
    return status;
}

/* Removes checkpoints before `step`. */
static int remove_earlier(esp_context *ctx, struct espi_train_record *record, const char *file, uint64_t step)
{
    uint64_t number;
    bool dated = number_of(file, "checkpoint", &number) || number_of(file, "state", &number);
    return dated && number < step ? remove_file(ctx, record, file) : ESP_OK;
}

/* Removes best models but that of `step`. */
static int remove_other_best(esp_context *ctx, struct espi_train_record *record, const char *file, uint64_t step)
{
    uint64_t number;
    return number_of(file, "best", &number) && number != step ? remove_file(ctx, record, file) : ESP_OK;
}

/* The model with its ranges, complete under `path` or not there. Between the two `state` (NULL: none) is written to
 * `state_path`, when the checksums of the model are known in `sums`. */
static int write_model(esp_context *ctx, const struct espi_train_output *output, const char *path,
                       struct espi_file_sums *sums, const struct espi_state *state, const char *state_path)
{
    char temporary[ESPI_PATH_BYTES + 16];
    snprintf(temporary, sizeof temporary, "%s.tmp-model", path);
    int status = espi_remove_tree(ctx, temporary);
    if (!status)
        status = espi_checkpoint_write(ctx, output->config, output->params, output->tokenizer_from, temporary);
    if (!status && output->quant)
        status = espi_fake_quant_write(ctx, output->quant, temporary);
    if (!status)
        status = espi_file_sums_take(ctx, temporary, sums);
    if (!status && state)
        status = espi_state_save(ctx, state, state_path);
    if (!status)
        status = espi_remove_tree(ctx, path); // of a run that was killed in the middle of this
    if (!status && rename(temporary, path) != 0)
        status = espi_fail_errno(ctx, ESP_ERR_IO, errno, "%s: cannot rename into place", path);
    if (!status)
        return espi_sync_parent(ctx, path);
    if (espi_remove_tree(NULL, temporary))
        return status; // the failure that led here is the one to report
    return status;
}

int espi_train_record_save(esp_context *ctx, struct espi_train_record *record, uint64_t step, uint64_t best,
                           const struct espi_train_output *output, const struct espi_state *state)
{
    char path[ESPI_PATH_BYTES], state_path[ESPI_PATH_BYTES];
    int status = numbered(ctx, record, "checkpoint", step, path);
    if (!status)
        status = espi_path_find(ctx, path);
    if (status) // it is there already
        return status > 0 ? ESP_OK : status;
    status = numbered(ctx, record, "state", step, state_path);
    if (!status)
        status = write_model(ctx, output, path, &record->files.checkpoint, state, state_path);
    if (!status)
        status = note_checkpoint(ctx, record, step);
    if (!status)
        status = for_each(ctx, record, remove_earlier, step);
    if (!status)
        status = for_each(ctx, record, remove_other_best, best);
    return status;
}

int espi_train_record_best(esp_context *ctx, struct espi_train_record *record, uint64_t step,
                           const struct espi_train_output *output, char path[ESPI_PATH_BYTES])
{
    struct espi_file_sums sums;
    int status = numbered(ctx, record, "best", step, path);
    if (!status)
        status = write_model(ctx, output, path, &sums, NULL, NULL);
    if (status)
        return status;
    record->files.best = sums;
    record->files.best_step = step;
    return ESP_OK;
}

int espi_train_record_tokenizer(esp_context *ctx, struct espi_train_record *record, const char *path)
{
    return espi_file_sums_take(ctx, path, &record->files.tokenizer);
}

/* A file of the run into the directory that becomes the result; written beside it first, so that a run that is killed leaves
 * nothing there. */
static int copy_file(esp_context *ctx, const struct espi_train_record *record, const char *name, const char *result)
{
    char from[ESPI_PATH_BYTES], copy[ESPI_PATH_BYTES], to[ESPI_PATH_BYTES];
    struct espi_map map;
    int status = espi_path_join(ctx, from, record->partial, name);
    if (!status)
        status = espi_path_join(ctx, copy, record->partial, "copy");
    if (!status)
        status = espi_path_join(ctx, to, result, name);
    if (!status)
        status = espi_map_open(ctx, from, &map);
    if (status)
        return status;
    status = espi_output_write_file(ctx, copy, map.data, map.bytes);
    espi_map_close(&map);
    if (!status && rename(copy, to) != 0)
        status = espi_fail_errno(ctx, ESP_ERR_IO, errno, "cannot create %s", to);
    return status ? status : espi_sync_parent(ctx, to);
}

/* The result has them from the directory of the run, and that from the one whose place the result takes. */
static void keep_owner(const struct espi_train_record *record, const char *result)
{
    struct stat run;
    int fd = open(result, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0 && stat(record->partial, &run) == 0)
        espi_keep_owner(fd, &run);
    if (fd >= 0)
        close(fd);
}

int espi_train_record_finish(esp_context *ctx, struct espi_train_record *record, uint64_t best,
                             const struct espi_train_output *output)
{
    char result[ESPI_PATH_BYTES];
    int status = best == UINT64_MAX ? espi_path_join(ctx, result, record->partial, "result")
                                    : numbered(ctx, record, "best", best, result);
    if (!status && best == UINT64_MAX)
        status = write_model(ctx, output, result, &record->files.checkpoint, NULL, NULL);
    if (!status)
        status = copy_file(ctx, record, options_name, result);
    if (!status)
        status = copy_file(ctx, record, log_name, result);
    if (!status)
        keep_owner(record, result);
    if (!status && rename(result, record->directory) != 0)
        status = espi_fail_errno(ctx, ESP_ERR_IO, errno, "cannot create %s", record->directory);
    if (!status)
        status = espi_sync_parent(ctx, record->directory);
    if (!status)
        status = espi_remove_tree(ctx, record->partial);
    espi_train_record_close(record);
    return status;
}
