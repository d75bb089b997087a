/* SPDX-License-Identifier: Apache-2.0
 * Opens the files beside a vocabulary and finds the class whose rules hold. */
#include "text/tokenizer_files.h"

#include "base/size.h"
#include "text/bert_stages.h"
#include "text/byte_level.h"

#include <string.h>

/* The classes whose fast form is BertTokenizerFast's code. */
static const struct espi_tokenizer_class classes[] = {
    {"BertTokenizer", "bert", true},
    {"DistilBertTokenizer", "distilbert", false},
    {"ElectraTokenizer", "electra", true},
    {"MobileBertTokenizer", "mobilebert", true},
    {"ConvBertTokenizer", "convbert", true},
    {"SqueezeBertTokenizer", "squeezebert", true},
    {"LayoutLMTokenizer", "layoutlm", true},
    {"LxmertTokenizer", "lxmert", true},
    {"RetriBertTokenizer", "retribert", false},
    {"MPNetTokenizer", "mpnet", false},
    {"DPRContextEncoderTokenizer", NULL, true},
    {"DPRQuestionEncoderTokenizer", NULL, true},
    {"DPRReaderTokenizer", NULL, true},
};

static const struct espi_tokenizer_class *find_class(const char *name)
{
    for (size_t i = 0; i < ESPI_COUNT(classes); i++) {
        size_t length = strlen(classes[i].name);
        if (strncmp(name, classes[i].name, length) == 0 && (!name[length] || strcmp(name + length, "Fast") == 0))
            return &classes[i];
    }
    return NULL;
}

/* Classes that take a tokenizer.json as it stands. */
static bool takes_json_alone(const char *name)
{
    static const char *const names[] = {"PreTrainedTokenizerFast", "PreTrainedTokenizer", "TokenizersBackend"};
    for (size_t i = 0; i < ESPI_COUNT(names); i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return espi_tokenizer_is_spm_class(name);
}

static int named_class(esp_context *ctx, const struct espi_json *json, struct espi_tokenizer_files *files)
{
    if (files->class_name || !espi_json_has(json, "tokenizer_class"))
        return ESP_OK;
    return espi_json_get_string(ctx, json, "tokenizer_class", &files->class_name, NULL);
}

static const char *const mpnet_specials[ESPI_SPECIAL_ROLES] = {"<pad>", "[UNK]", "<s>", "</s>", "<mask>"};

bool espi_tokenizer_is_mpnet(const struct espi_tokenizer_files *files)
{
    return files->bert && strcmp(files->bert->name, "MPNetTokenizer") == 0;
}

/* The class of tokenizer_config.json, else of config.json, else the one of config.json's model type. */
static int find_class_of(esp_context *ctx, struct espi_tokenizer_files *files)
{
    const char *type = NULL;
    int status = named_class(ctx, &files->config, files);
    if (!status)
        status = named_class(ctx, &files->model, files);
    if (!status && !files->class_name && espi_json_has(&files->model, "model_type"))
        status = espi_json_get_string(ctx, &files->model, "model_type", &type, NULL);
    if (status)
        return status;
    if (files->class_name) {
        files->bert = find_class(files->class_name);
        return ESP_OK;
    }
    for (size_t i = 0; type && i < ESPI_COUNT(classes); i++)
        if (classes[i].model_type && strcmp(classes[i].model_type, type) == 0)
            files->bert = &classes[i];
    if (!files->bert && files->config.value && !type)
        files->bert = &classes[0];
    return ESP_OK;
}

static int choose_class(esp_context *ctx, struct espi_tokenizer_files *files)
{
    int status = find_class_of(ctx, files);
    if (!status && espi_tokenizer_is_mpnet(files)) {
        files->standards = mpnet_specials;
        files->mask_takes_space = true;
    }
    return status;
}

static int check_members(esp_context *ctx, const struct espi_tokenizer_files *files)
{
    int status = ESP_OK;
    if (files->config.value)
        status = espi_members_check(ctx, &files->config, &espi_tokenizer_config_members, NULL);
    if (!status && files->special_map.value)
        status = espi_members_check(ctx, &files->special_map, &espi_special_map_members, NULL);
    return status;
}

int espi_tokenizer_files_open(esp_context *ctx, const char *directory, struct espi_tokenizer_files *files)
{
    static const char *const names[] = {"tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
                                        "config.json"};
    struct espi_json *documents[] = {&files->config, &files->special_map, &files->added, &files->model};
    *files = (struct espi_tokenizer_files){.directory = directory};
    for (size_t i = 0; directory && i < ESPI_COUNT(names); i++) {
        /* A config that lists its added tokens has the last word; the two older files are not looked at. */
        bool older = documents[i] == &files->special_map || documents[i] == &files->added;
        if (older && espi_json_has(&files->config, "added_tokens_decoder"))
            continue;
        int status = espi_path_join(ctx, files->paths[i], directory, names[i]);
        if (!status)
            status = espi_path_find(ctx, files->paths[i]);
        if (status < 0)
            return status;
        if (!status)
            continue;
        status = espi_json_open_file(ctx, files->paths[i], documents[i]);
        if (!status)
            status = espi_json_expect_object(ctx, documents[i]);
        if (status)
            return status;
    }
    int status = check_members(ctx, files);
    return status ? status : choose_class(ctx, files);
}

void espi_tokenizer_files_close(struct espi_tokenizer_files *files)
{
    espi_json_close(&files->config);
    espi_json_close(&files->special_map);
    espi_json_close(&files->added);
    espi_json_close(&files->model);
}

/* ---- the normalizer ---------------------------------------------------------------------------------------------- */

/* What the config says of it, with the defaults of the classes. */
struct wish {
    bool lowercase, chinese, strip, strip_stated;
};

static int read_wish(esp_context *ctx, const struct espi_json *config, struct wish *wish)
{
    *wish = (struct wish){.lowercase = true, .chinese = true};
    static const char *const names[] = {"do_lower_case", "tokenize_chinese_chars", "strip_accents"};
    bool *flags[] = {&wish->lowercase, &wish->chinese, &wish->strip};
    int status = ESP_OK;
    for (size_t i = 0; i < ESPI_COUNT(names) && !status; i++)
        status = espi_json_get_optional_bool(ctx, config, names[i], flags[i]);
    wish->strip_stated = espi_json_has(config, "strip_accents");
    return status;
}

static void take_wish(const struct wish *wish, struct espi_bert_normalizer *normalizer)
{
    normalizer->options.lowercase = wish->lowercase;
    normalizer->options.handle_chinese_chars = wish->chinese;
    normalizer->options.strip_accents = wish->strip;
    normalizer->strip_accents_stated = wish->strip_stated;
}

int espi_tokenizer_files_options(esp_context *ctx, const struct espi_tokenizer_files *files, esp_tokenizer *tokenizer)
{
    struct wish wish;
    if (files->class_name && !files->bert)
        return espi_fail(ctx, ESP_ERR_UNSUPPORTED,
                         "%s: tokenizer_class \"%s\" is not supported with a vocab.txt, only those of BERT",
                         files->config.value ? files->config.source : files->model.source, files->class_name);
    int status = read_wish(ctx, &files->config, &wish);
    if (!status)
        take_wish(&wish, espi_tokenizer_bert_normalizer(tokenizer));
    return status;
}

static void add_change(char *text, size_t room, const char *name, bool from, bool to)
{
    static const char *const words[] = {"false", "true"};
    size_t used = strlen(text);
    if (from != to)
        snprintf(text + used, room - used, "%s%s %s, not %s", used ? "; " : "", name, words[to], words[from]);
}

bool espi_tokenizer_is_roberta(const struct espi_tokenizer_files *files)
{
    const char *type = json_string_value(json_object_get(files->model.value, "model_type")), *name = files->class_name;
    return name ? !strcmp(name, "RobertaTokenizer") || !strcmp(name, "RobertaTokenizerFast")
                : type && !strcmp(type, "roberta");
}

/* As RobertaTokenizerFast: add_prefix_space and trim_offsets are the config's (false and true where it has none), wherever
 * the file has such a member. */
static int roberta_over_json(esp_context *ctx, const struct espi_tokenizer_files *files,
                             const struct espi_json *document, esp_tokenizer *tokenizer)
{
    struct espi_json processor = espi_json_at(document, "post_processor");
    const struct espi_stages *words = &tokenizer->pre_tokenizers;
    bool prefix = false, trim = true;
    int status = espi_json_get_optional_bool(ctx, &files->config, "add_prefix_space", &prefix);
    if (!status)
        status = espi_json_get_optional_bool(ctx, &files->config, "trim_offsets", &trim);
    if (status)
        return status;
    if (words->count == 1 && words->data[0].form == &espi_byte_level &&
        espi_byte_level_set_prefix(words->data[0].self, prefix))
        espi_log(ctx, ESP_LOG_WARNING,
                 "%s: pre_tokenizer: add_prefix_space %s: tokenizer_config.json (with the default of %s) has the last "
                 "word, as in transformers 4; programs that read tokenizer.json alone find other tokens",
                 document->source, prefix ? "true, not false" : "false, not true", files->class_name);
    if (espi_json_has(&processor, "add_prefix_space"))
        tokenizer->trim_keeps_first = prefix;
    if (espi_json_has(&processor, "trim_offsets"))
        tokenizer->trim_offsets = trim;
    return ESP_OK;
}

/* As BertTokenizerFast: where the config differs from the normalizer of the file, all three are the config's. A Sequence
 * has none of these members and stays. */
int espi_tokenizer_files_over_json(esp_context *ctx, const struct espi_tokenizer_files *files,
                                   const struct espi_json *document, esp_tokenizer *tokenizer)
{
    struct espi_json normalizer = espi_json_at(document, "normalizer");
    const char *type = json_string_value(json_object_get(normalizer.value, "type"));
    struct wish wish;
    if (files->class_name && espi_tokenizer_is_roberta(files))
        return roberta_over_json(ctx, files, document, tokenizer);
    if (!files->bert) {
        if (files->class_name && !takes_json_alone(files->class_name))
            espi_log(ctx, ESP_LOG_WARNING,
                     "%s: tokenizer_class %s is not known: tokenizer.json is applied as it stands",
                     files->config.value ? files->config.source : files->model.source, files->class_name);
        return ESP_OK;
    }
    int status = read_wish(ctx, &files->config, &wish);
    if (status || !type || strcmp(type, espi_bert_normalizer.type) != 0)
        return status;
    struct espi_bert_normalizer *bert = espi_tokenizer_bert_normalizer(tokenizer);
    struct espi_bert_options old = espi_bert_options(bert);
    char changes[256] = "";
    take_wish(&wish, bert);
    struct espi_bert_options new = espi_bert_options(bert);
    add_change(changes, sizeof changes, "lowercase", old.lowercase, new.lowercase);
    add_change(changes, sizeof changes, "strip_accents", old.strip_accents, new.strip_accents);
    add_change(changes, sizeof changes, "handle_chinese_chars", old.handle_chinese_chars, new.handle_chinese_chars);
    if (*changes)
        espi_log(
            ctx, ESP_LOG_WARNING,
            "%s: normalizer: %s: tokenizer_config.json (with the defaults of %s) has the last word, as in transformers "
            "4; programs that read tokenizer.json alone find other tokens",
            document->source, changes, files->bert->name);
    return ESP_OK;
}

/* ---- lengths, sides, inputs -------------------------------------------------------------------------------------- */

static int read_max_length(esp_context *ctx, const struct espi_json *config, size_t *out)
{
    const char *key = espi_json_has(config, "model_max_length") ? "model_max_length" : "max_len"; // its old name
    return espi_json_has(config, key) ? espi_json_get_limit(ctx, config, key, 1, out) : ESP_OK;
}

static int read_side(esp_context *ctx, const struct espi_json *config, bool *left)
{
    const char *side;
    if (!espi_json_has(config, "truncation_side"))
        return ESP_OK;
    int status = espi_json_get_string(ctx, config, "truncation_side", &side, NULL);
    if (status)
        return status;
    if (strcmp(side, "left") != 0 && strcmp(side, "right") != 0) {
        struct espi_json value = espi_json_at(config, "truncation_side");
        return espi_json_fail(ctx, &value, "expected \"left\" or \"right\", found \"%.40s\"", side);
    }
    *left = strcmp(side, "left") == 0;
    return ESP_OK;
}

/* Whether the class makes token_type_ids: model_input_names, else what it does by default. */
static int read_inputs(esp_context *ctx, const struct espi_tokenizer_files *files, bool *types)
{
    struct espi_json list = espi_json_at(&files->config, "model_input_names");
    *types = !files->bert || files->bert->types;
    if (!list.value)
        return ESP_OK;
    int status = espi_json_expect_array(ctx, &list);
    *types = false;
    for (size_t i = 0; !status && i < espi_json_length(&list); i++) {
        struct espi_json item = espi_json_item(&list, i);
        if (!json_is_string(item.value))
            return espi_json_fail(ctx, &item, "expected the name of an input");
        *types |= strcmp(json_string_value(item.value), "token_type_ids") == 0;
    }
    return status;
}

static bool clear_types(struct espi_template *template)
{
    bool changed = false;
    for (size_t i = 0; i < template->count; i++) {
        changed |= template->pieces[i].type_id != 0;
        template->pieces[i].type_id = 0;
    }
    return changed;
}

int espi_tokenizer_files_settings(esp_context *ctx, const struct espi_tokenizer_files *files, esp_tokenizer *tokenizer)
{
    bool types, clean = true;
    int status = read_inputs(ctx, files, &types);
    if (!status)
        status = read_max_length(ctx, &files->config, &tokenizer->max_length);
    if (!status)
        status = read_side(ctx, &files->config, &tokenizer->truncate_left);
    if (!status)
        status = espi_json_get_optional_bool(ctx, &files->config, "clean_up_tokenization_spaces", &clean);
    if (status)
        return status;
    tokenizer->keep_spaces = !clean;
    if (types)
        return ESP_OK;
    bool changed = clear_types(&tokenizer->single);
    changed |= clear_types(&tokenizer->pair);
    const char *model = json_string_value(json_object_get(files->model.value, "model_type"));
    if (changed && (!model || (strcmp(model, "distilbert") != 0 && strcmp(model, "mpnet") != 0))) // which have no types
        espi_log(
            ctx, ESP_LOG_WARNING,
            "%s: token_type_ids are not among the model's inputs (model_input_names, or those of %s): the second text "
            "has type 0, as in transformers 4",
            files->config.value ? files->config.source : files->model.source,
            files->class_name ? files->class_name
            : files->bert     ? files->bert->name
                              : "the class");
    return ESP_OK;
}
