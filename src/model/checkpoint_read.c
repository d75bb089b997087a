/* SPDX-License-Identifier: Apache-2.0 */
#include "base/size.h"
#include "model/arch.h"
#include "model/checkpoint.h"
#include "model/weights.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What reading one checkpoint shares between its steps. */
struct reading {
    esp_context *ctx;
    const char *directory;
    const struct espi_config *config;
    struct espi_weights weights;
    struct espi_tensor **tensors; // (params.length) where each parameter is; NULL: to be initialised
    char outer[64];               // in front of all names of the encoder: "module."; mostly nothing
    bool new_head;                // the file's head tensors belong to another head
    enum espi_head assumed;       // where config.json names none
    bool initialise;              // missing head tensors are initialised
};

/* ---- names -------------------------------------------------------------------------------------------------------- */

/* Behind all of what stands in front of the encoder's names, or part of it: heads stand further out. */
static struct espi_tensor *find_exact(const struct reading *reading, const char *name)
{
    char full[sizeof reading->outer + 2 * ESPI_TENSOR_NAME_BYTES];
    size_t length = strlen(reading->outer);
    for (;;) {
        snprintf(full, sizeof full, "%.*s%s", (int)length, reading->outer, name);
        struct espi_tensor *tensor = espi_weights_find(&reading->weights, full, NULL);
        if (tensor || !length)
            return tensor;
        do
            length--;
        while (length && reading->outer[length - 1] != '.');
    }
}

/* As this head's checkpoints name it, else with or without the family's prefix: which of the two depends on the class that
 * saved the file. */
static struct espi_tensor *find_name(const struct reading *reading, const char *name)
{
    const char *prefix = reading->config->arch->prefix, *base = espi_arch_in_encoder(reading->config, name);
    struct espi_tensor *tensor = find_exact(reading, name);
    if (tensor || !base)
        return tensor;
    char other[2 * ESPI_TENSOR_NAME_BYTES];
    snprintf(other, sizeof other, "%s%s", base == name ? prefix : "", base);
    return find_exact(reading, other);
}

/* Whether every part of a prefix is one that classes and tools of PyTorch put around a model. */
static bool is_wrapping(const char *prefix, size_t length)
{
    static const char *const parts[] = {"model", "module", "encoder", "base_model", "auto_model", "0", "_orig_mod"};
    while (length) {
        size_t part = strcspn(prefix, "."), i = 0;
        while (i < ESPI_COUNT(parts) && (strlen(parts[i]) != part || memcmp(parts[i], prefix, part) != 0))
            i++;
        if (i == ESPI_COUNT(parts))
            return false;
        prefix += part + 1;
        length -= part + 1;
    }
    return true;
}

/* The length of what stands before `base` and its dot in a name, or SIZE_MAX when it does not end so. */
static size_t before(const char *name, const char *base)
{
    size_t length = strlen(name), end = strlen(base);
    if (length < end || strcmp(name + length - end, base) != 0 || (length > end && name[length - end - 1] != '.'))
        return SIZE_MAX;
    return length - end;
}

/* Finds what stands in front of the names, by the word embeddings, when it is known and there is but one of them. */
static void find_outer(struct reading *reading, const struct espi_params *params)
{
    const char *prefix = reading->config->arch->prefix, *name = espi_params_find(params, ESPI_EMBED_WORD, 0)->name;
    const char *base = espi_arch_in_encoder(reading->config, name), *found = NULL;
    size_t length = 0, inner = strlen(prefix), count = 0;
    for (size_t i = 0; base && i < reading->weights.length; i++)
        for (size_t j = 0; j < reading->weights.files[i].length; j++) {
            const char *tensor = reading->weights.files[i].tensors[j].name;
            if (before(tensor, base) == SIZE_MAX)
                continue;
            found = tensor;
            length = before(tensor, base);
            count++;
        }
    if (count != 1 || !length)
        return;
    if (length >= inner && memcmp(found + length - inner, prefix, inner) == 0)
        length -= inner;
    if (length < sizeof reading->outer && is_wrapping(found, length))
        snprintf(reading->outer, sizeof reading->outer, "%.*s", (int)length, found);
}

/* "….LayerNorm.gamma" for "….LayerNorm.weight", "beta" for "bias", as files from before 2019 have it. */
static struct espi_tensor *find_old_norm(const struct reading *reading, const struct espi_param *param)
{
    enum espi_form form = espi_role_row(param->role)->form;
    if (form != ESPI_FORM_SCALE && form != ESPI_FORM_SHIFT)
        return NULL;
    char name[ESPI_TENSOR_NAME_BYTES];
    snprintf(name, sizeof name, "%.*s.%s", (int)(strrchr(param->name, '.') - param->name), param->name,
             form == ESPI_FORM_SCALE ? "gamma" : "beta");
    return find_name(reading, name);
}

static struct espi_tensor *find_tensor(const struct reading *reading, const struct espi_param *param)
{
    const struct espi_arch *arch = reading->config->arch;
    struct espi_tensor *tensor = find_name(reading, param->name);
    if (!tensor)
        tensor = find_old_norm(reading, param);
    /* Tied tensors are stored once, under either name. */
    if (!tensor && param->role == ESPI_DECODER_B && arch->decoder_bias)
        tensor = espi_weights_find(&reading->weights, arch->decoder_bias, NULL);
    if (!tensor && param->role == ESPI_EMBED_WORD && reading->config->recipe.decoder)
        tensor = espi_weights_find(&reading->weights, arch->decoder_weight, NULL);
    return tensor;
}

static bool has_role(const struct reading *reading, enum espi_role role)
{
    char name[ESPI_TENSOR_NAME_BYTES];
    espi_arch_tensor_name(reading->config, role, 0, name);
    return find_name(reading, name) != NULL;
}

/* What files hold without need: buffers that older ones store, and the pooler beside a head that does not read it. */
static bool is_needless(const struct reading *reading, const char *name)
{
    size_t outer = strlen(reading->outer);
    if (strncmp(name, reading->outer, outer) == 0)
        name += outer;
    const struct espi_arch *arch = reading->config->arch;
    const char *base = espi_arch_in_encoder(reading->config, name), *pooler = arch->heads[ESPI_HEAD_NONE].dense;
    if (!base)
        base = name;
    return strcmp(base, "embeddings.position_ids") == 0 || strcmp(base, "embeddings.token_type_ids") == 0 ||
           (pooler && base != name && strncmp(base, pooler, strlen(pooler)) == 0);
}

/* ---- lists of names for messages ---------------------------------------------------------------------------------- */

enum { LEFT_OUT_BYTES = 32 }; // for " and 12 more"

struct name_list {
    char text[450];
    size_t used, names, left_out;
};

static void list_add(struct name_list *list, const char *name)
{
    size_t length = strlen(name);
    list->names++;
    if (list->used + length + sizeof ", " + LEFT_OUT_BYTES > sizeof list->text) {
        list->left_out++;
        return;
    }
    list->used +=
        (size_t)snprintf(list->text + list->used, sizeof list->text - list->used, "%s%s", list->used ? ", " : "", name);
}

static void list_end(struct name_list *list)
{
    if (list->left_out)
        snprintf(list->text + list->used, sizeof list->text - list->used, " and %zu more", list->left_out);
}

/* ---- checks ------------------------------------------------------------------------------------------------------- */

static const char *shape_text(char text[128], size_t dims, const size_t *shape)
{
    size_t used = (size_t)snprintf(text, 128, "(");
    for (size_t i = 0; i < dims && used < 120; i++)
        used += (size_t)snprintf(text + used, 128 - used, "%s%zu", i ? ", " : "", shape[i]);
    if (used < 127)
        snprintf(text + used, 128 - used, ")");
    return text;
}

static bool shape_fits(const struct espi_param *param, const struct espi_tensor *tensor)
{
    return tensor->dims == (param->cols ? 2u : 1u) && tensor->shape[0] == param->rows &&
           (!param->cols || tensor->shape[1] == param->cols);
}

/* A classifier that is right but for its number of labels. */
static bool labels_differ(const struct espi_config *config, const struct espi_param *param,
                          const struct espi_tensor *tensor)
{
    return param->role == ESPI_CLASSIFIER_W && config->head != ESPI_HEAD_QA && tensor->dims == 2 &&
           tensor->shape[1] == param->cols && tensor->shape[0] != param->rows;
}

static const char *labels_from(const struct espi_config *config)
{
    return json_object_get(config->json, "id2label")     ? "id2label"
           : json_object_get(config->json, "num_labels") ? "num_labels"
                                                         : "2 when neither id2label nor num_labels is there";
}

static const char *file_of(const struct reading *reading, const struct espi_tensor *tensor)
{
    const struct espi_safetensors *file = NULL;
    espi_weights_find(&reading->weights, tensor->name, &file);
    return file ? file->source : reading->directory;
}

static int check_tensor(const struct reading *reading, const struct espi_param *param, const struct espi_tensor *tensor)
{
    const char *file = file_of(reading, tensor);
    char expected[128], found[128];
    if (labels_differ(reading->config, param, tensor))
        return espi_fail(reading->ctx, ESP_ERR_FORMAT,
                         "%s: %s: expected %zu rows, the number of labels in config.json (%s), found %zu", file,
                         tensor->name, param->rows, labels_from(reading->config), tensor->shape[0]);
    if (!shape_fits(param, tensor))
        return espi_fail(reading->ctx, ESP_ERR_FORMAT, "%s: %s: expected shape %s, found %s", file, tensor->name,
                         shape_text(expected, param->cols ? 2 : 1, (const size_t[2]){param->rows, param->cols}),
                         shape_text(found, tensor->dims, tensor->shape));
    if (tensor->dtype != ESPI_DTYPE_F32 && tensor->dtype != ESPI_DTYPE_F16 && tensor->dtype != ESPI_DTYPE_BF16)
        return espi_fail(reading->ctx, ESP_ERR_UNSUPPORTED,
                         "%s: %s: weights of type %s are not supported; supported: F32, F16, BF16", file, tensor->name,
                         espi_dtype_name(tensor->dtype));
    return ESP_OK;
}

/* "there are, not used (3): a, b …": what the missing ones may be called here. */
static const char *list_found(const struct reading *reading, char *text, size_t bytes)
{
    enum { SHOWN = 3 };
    size_t count = 0, used = 0;
    char names[200] = "";
    for (size_t i = 0; i < reading->weights.length; i++)
        for (size_t j = 0; j < reading->weights.files[i].length; j++) {
            const struct espi_tensor *tensor = &reading->weights.files[i].tensors[j];
            if (tensor->used || is_needless(reading, tensor->name))
                continue;
            if (count++ < SHOWN && used < sizeof names)
                used += (size_t)snprintf(names + used, sizeof names - used, "%s%.60s", used ? ", " : "", tensor->name);
        }
    if (!count)
        snprintf(text, bytes, "all others are used");
    else
        snprintf(text, bytes, "not used (%zu): %s%s", count, names, count > SHOWN ? ", ..." : "");
    return text;
}

/* Finds every parameter's tensor. */
static int resolve(struct reading *reading, const struct espi_params *params)
{
    struct name_list missing = {.names = 0}, fresh = {.names = 0};
    for (size_t i = 0; i < params->length; i++) {
        const struct espi_param *param = &params->list[i];
        bool head = espi_role_row(param->role)->scope == ESPI_SCOPE_HEAD, optional = reading->initialise && head;
        bool of_head = head && !espi_arch_in_encoder(reading->config, param->name);
        struct espi_tensor *tensor = of_head && reading->new_head ? NULL : find_tensor(reading, param);
        if (tensor && optional && !shape_fits(param, tensor))
            tensor = NULL;
        if (tensor) {
            int status = check_tensor(reading, param, tensor);
            if (status)
                return status;
            tensor->used = true;
            reading->tensors[i] = tensor;
        } else {
            list_add(optional ? &fresh : &missing, param->name);
        }
    }
    list_end(&missing);
    list_end(&fresh);
    if (missing.names) {
        char found[256];
        return espi_fail(reading->ctx, ESP_ERR_FORMAT, "%s: missing tensors (%zu): %s; %s", reading->directory,
                         missing.names, missing.text, list_found(reading, found, sizeof found));
    }
    if (fresh.names)
        espi_log(reading->ctx, ESP_LOG_INFO, "%s: new tensors of the head (%zu): %s", reading->directory, fresh.names,
                 fresh.text);
    return ESP_OK;
}

/* A decoder stored beside the word embeddings it is tied to must be the same. */
static int check_tied(struct reading *reading, const char *name, const struct espi_tensor *original)
{
    struct espi_tensor *copy = name ? espi_weights_find(&reading->weights, name, NULL) : NULL;
    if (!copy || copy == original)
        return ESP_OK;
    copy->used = true;
    if (copy->dtype == original->dtype && copy->bytes == original->bytes &&
        memcmp(copy->data, original->data, copy->bytes) == 0)
        return ESP_OK;
    return espi_fail(reading->ctx, ESP_ERR_UNSUPPORTED,
                     "%s: %s: differs from %s; a decoder untied from the embeddings is not supported",
                     file_of(reading, copy), name, original->name);
}

static int check_decoder(struct reading *reading, const struct espi_params *params)
{
    const struct espi_param *word = espi_params_find(params, ESPI_EMBED_WORD, 0);
    const struct espi_param *bias = espi_params_find(params, ESPI_DECODER_B, 0);
    if (!bias || !reading->tensors[bias - params->list])
        return ESP_OK;
    int status = check_tied(reading, reading->config->arch->decoder_weight, reading->tensors[word - params->list]);
    if (status)
        return status;
    return check_tied(reading, reading->config->arch->decoder_bias, reading->tensors[bias - params->list]);
}

/* The task of head tensors whose class config.json does not name; NULL: none, or it names one. */
static const char *unnamed_head(const struct reading *reading)
{
    static const struct {
        enum espi_head head;
        const char *task;
    } tasks[] = {{ESPI_HEAD_QA, "qa"}, {ESPI_HEAD_SEQUENCE, "classify, or tag"}, {ESPI_HEAD_MLM, "mlm"}};
    if (espi_config_names_head(reading->config))
        return NULL;
    for (size_t i = 0; i < ESPI_COUNT(tasks); i++) {
        const struct espi_arch_head *head = &reading->config->arch->heads[tasks[i].head];
        char name[ESPI_TENSOR_NAME_BYTES];
        snprintf(name, sizeof name, "%s.bias", head->classifier ? head->classifier : head->decoder);
        if (find_exact(reading, name))
            return tasks[i].task;
    }
    return NULL;
}

static void report_unused(const struct reading *reading)
{
    struct name_list unused = {.names = 0};
    for (size_t i = 0; i < reading->weights.length; i++) {
        const struct espi_safetensors *file = &reading->weights.files[i];
        for (size_t j = 0; j < file->length; j++) {
            if (!file->tensors[j].used && !is_needless(reading, file->tensors[j].name))
                list_add(&unused, file->tensors[j].name);
        }
    }
    list_end(&unused);
    const char *task = unused.names ? unnamed_head(reading) : NULL;
    if (task)
        espi_log(
            reading->ctx, ESP_LOG_WARNING,
            "%s: config.json names no architectures, but there are tensors of a head (%s): add \"architectures\" as "
            "transformers writes it, or give the task (-t %s)",
            reading->directory, unused.text, task);
    else if (unused.names)
        espi_log(reading->ctx, reading->new_head ? ESP_LOG_INFO : ESP_LOG_WARNING, "%s: unused tensors (%zu): %s",
                 reading->directory, unused.names, unused.text);
}

/* ---- reading ------------------------------------------------------------------------------------------------------ */

static int fill(const struct reading *reading, uint64_t seed, struct espi_params *params)
{
    for (size_t i = 0; i < params->length; i++) {
        const struct espi_param *param = &params->list[i];
        const struct espi_tensor *tensor = reading->tensors[i];
        if (!tensor)
            espi_params_randomize_one(params, param, reading->config, seed);
        else if (!espi_tensor_widen(tensor, params->slab + param->offset))
            return espi_fail(reading->ctx, ESP_ERR_FORMAT, "%s: %s: holds values that are infinite or not a number",
                             file_of(reading, tensor), tensor->name);
    }
    return ESP_OK;
}

static int read_weights(struct reading *reading, uint64_t seed, struct espi_checkpoint *out)
{
    int status = espi_weights_open(reading->ctx, reading->directory, &reading->weights);
    if (status)
        return status;
    if (out->config.head == ESPI_HEAD_NONE && out->config.recipe.dense && !has_role(reading, ESPI_HEAD_DENSE_W) &&
        !has_role(reading, ESPI_HEAD_DENSE_B))
        out->config.recipe = (struct espi_head_recipe){.rows = ESPI_ROWS_NONE};
    if ((status = espi_params_init(reading->ctx, &out->config, false, &out->params)))
        return status;
    find_outer(reading, &out->params);
    reading->tensors = espi_calloc(reading->ctx, out->params.length, sizeof(struct espi_tensor *));
    if (!reading->tensors)
        return ESP_ERR_MEMORY;
    /* The slab is made only after the files were seen to hold as much. */
    if ((status = resolve(reading, &out->params)) || (status = check_decoder(reading, &out->params)) ||
        (status = espi_params_allocate(reading->ctx, &out->params)))
        return status;
    report_unused(reading);
    return fill(reading, seed, &out->params);
}

/* The config with its changes; says whether the head is another one. */
static int read_config(struct reading *reading, const struct espi_config_changes *changes, struct espi_config *out)
{
    int status = ESP_OK;
    if (!changes) {
        status = espi_config_read(reading->ctx, reading->directory, out);
        if (!status && reading->assumed != ESPI_HEAD_NONE)
            status = espi_config_assume_head(reading->ctx, out, reading->assumed);
        return status;
    }
    struct espi_config original;
    status = espi_config_read(reading->ctx, reading->directory, &original);
    if (status)
        return status;
    status = espi_config_copy(reading->ctx, &original, changes, out);
    reading->initialise = changes->head != NULL;
    reading->new_head = changes->head && changes->head->head != original.head;
    espi_config_clear(&original);
    return status;
}

static int read_checkpoint(struct reading *reading, const struct espi_config_changes *changes, uint64_t seed,
                           struct espi_checkpoint *out)
{
    esp_context *ctx = reading->ctx;
    const char *directory = reading->directory;
    reading->config = &out->config;
    *out = (struct espi_checkpoint){0};
    int written = snprintf(out->directory, sizeof out->directory, "%s", directory);
    int status = ESP_OK;
    if (written < 0 || (size_t)written >= sizeof out->directory)
        status =
            espi_fail(ctx, ESP_ERR_LIMIT, "%.100s…: path longer than %zu bytes", directory, sizeof out->directory - 1);
    if (!status)
        status = read_config(reading, changes, &out->config);
    if (!status)
        status = read_weights(reading, seed, out);
    espi_weights_clear(&reading->weights);
    free(reading->tensors);
    if (status)
        espi_checkpoint_clear(out);
    return status;
}

int espi_checkpoint_read_as(esp_context *ctx, const char *directory, const struct espi_config_changes *changes,
                            uint64_t seed, struct espi_checkpoint *out)
{
    struct reading reading = {.ctx = ctx, .directory = directory};
    return read_checkpoint(&reading, changes, seed, out);
}

int espi_checkpoint_read_for(esp_context *ctx, const char *directory, enum espi_head head, struct espi_checkpoint *out)
{
    struct reading reading = {.ctx = ctx, .directory = directory, .assumed = head};
    return read_checkpoint(&reading, NULL, 0, out);
}

int espi_checkpoint_read(esp_context *ctx, const char *directory, struct espi_checkpoint *out)
{
    return espi_checkpoint_read_as(ctx, directory, NULL, 0, out);
}

void espi_checkpoint_clear(struct espi_checkpoint *checkpoint)
{
    espi_config_clear(&checkpoint->config);
    espi_params_clear(&checkpoint->params);
    *checkpoint = (struct espi_checkpoint){0};
}
