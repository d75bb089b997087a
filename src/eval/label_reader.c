/* SPDX-License-Identifier: Apache-2.0 */
#include "eval/label_reader.h"

#include "base/size.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static int add(esp_context *ctx, struct espi_example *example, size_t capacity, const char *data, size_t bytes)
{
    if (!example->labels) {
        example->labels = espi_arena_alloc(ctx, &example->arena, capacity, sizeof(*example->labels));
        if (!example->labels)
            return ESP_ERR_MEMORY;
    }
    struct espi_text label;
    int status = espi_example_text(ctx, example, data, bytes, &label);
    if (status)
        return status;
    if (strlen(label.data) != bytes)
        return espi_example_fail(ctx, example, "expected a label without a zero character");
    example->labels[example->label_count++] = label.data;
    example->labelled = true;
    return ESP_OK;
}

static void end_list(struct espi_label_reader *reader, struct espi_example *example, bool numbers)
{
    example->labelled = true;
    if (numbers && !reader->first_list)
        reader->first_list = example->label_count;
    example->label_list = numbers;
    example->first_list = reader->first_list;
}

/* ---- JSON -------------------------------------------------------------------------------------------------------- */

static int add_json(esp_context *ctx, struct espi_example *example, size_t capacity, const struct espi_json *label,
                    bool listed)
{
    char number[64];
    switch (label->value ? json_typeof(label->value) : JSON_NULL) {
    case JSON_STRING:
        return add(ctx, example, capacity, json_string_value(label->value), json_string_length(label->value));
    case JSON_INTEGER:
        snprintf(number, sizeof(number), "%" JSON_INTEGER_FORMAT, json_integer_value(label->value));
        break;
    case JSON_REAL:
        snprintf(number, sizeof(number), "%.17g", json_real_value(label->value));
        break;
    case JSON_TRUE:
    case JSON_FALSE:
        if (listed)
            snprintf(number, sizeof(number), "%d", json_is_true(label->value));
        else
            snprintf(number, sizeof(number), "%s", json_is_true(label->value) ? "true" : "false");
        break;
    default:
        return espi_json_fail(ctx, label, "expected a label: a string or a number");
    }
    return add(ctx, example, capacity, number, strlen(number));
}

int espi_label_read_json(esp_context *ctx, struct espi_label_reader *reader, struct espi_example *example,
                         const struct espi_json *label)
{
    if (json_is_string(label->value)) // a list may have become text
        return espi_label_read_text(ctx, reader, example, json_string_value(label->value),
                                    json_string_length(label->value));
    if (!json_is_array(label->value))
        return add_json(ctx, example, 1, label, false);
    size_t count = espi_json_length(label), strings = 0;
    for (size_t i = 0; i < count; i++) {
        struct espi_json item = espi_json_item(label, i);
        int status = add_json(ctx, example, count, &item, true);
        if (status)
            return status;
        strings += json_is_string(item.value);
    }
    if (strings && strings < count)
        return espi_json_fail(ctx, label, "expected names or numbers, found both in one list");
    end_list(reader, example, count > 0 && !strings);
    return ESP_OK;
}

/* ---- text -------------------------------------------------------------------------------------------------------- */

enum item_kind { ITEM_NONE, ITEM_NUMBER, ITEM_NAME };

/* The item at *at of a list in brackets, which ends before `end`; *at moves behind it. ITEM_NONE when there is none, or
 * nothing a list has. */
static enum item_kind next_item(const char **at, const char *end, struct espi_text *item)
{
    while (*at < end && strchr(" ,\t\n", **at) && **at)
        ++*at;
    if (*at == end)
        return ITEM_NONE;
    if (**at == '\'' || **at == '"') {
        const char *close = memchr(*at + 1, **at, (size_t)(end - *at - 1));
        *item = (struct espi_text){*at + 1, close ? (size_t)(close - *at - 1) : 0};
        *at = close ? close + 1 : *at;
        return close ? ITEM_NAME : ITEM_NONE;
    }
    char *stop;
    double value = strtod(*at, &stop);
    if (stop == *at || !isfinite(value) || stop > end || (stop < end && !strchr(" ,\t\n", *stop)))
        return ITEM_NONE;
    *item = (struct espi_text){*at, (size_t)(stop - *at)};
    *at = stop;
    return ITEM_NUMBER;
}

/* The items of "[…]", zero-terminated; false when it is no list: a label may have brackets in its name. */
static bool count_items(const char *data, size_t bytes, size_t *numbers, size_t *names)
{
    *numbers = *names = 0;
    if (bytes < 2 || data[0] != '[' || data[bytes - 1] != ']')
        return false;
    const char *at = data + 1, *end = data + bytes - 1;
    struct espi_text item;
    for (enum item_kind kind; (kind = next_item(&at, end, &item)) != ITEM_NONE;) {
        *numbers += kind == ITEM_NUMBER;
        *names += kind == ITEM_NAME;
    }
    return at == end && !(*numbers && *names);
}

int espi_label_read_text(esp_context *ctx, struct espi_label_reader *reader, struct espi_example *example,
                         const char *data, size_t bytes)
{
    size_t numbers, names;
    if (!count_items(data, bytes, &numbers, &names))
        return add(ctx, example, 1, data, bytes);
    const char *at = data + 1, *end = data + bytes - 1;
    struct espi_text item;
    while (next_item(&at, end, &item) != ITEM_NONE) {
        char number[64];
        if (numbers) { // "1." and "1.0" are 1
            snprintf(number, sizeof(number), "%.17g", strtod(item.data, NULL));
            item = (struct espi_text){number, strlen(number)};
        }
        int status = add(ctx, example, numbers + names, item.data, item.bytes);
        if (status)
            return status;
    }
    end_list(reader, example, numbers > 0);
    return ESP_OK;
}

/* ---- a column for each label ------------------------------------------------------------------------------------- */

bool espi_label_flag_text(const char *data, size_t bytes, bool *flag)
{
    static const char *const words[] = {"0", "1", "0.0", "1.0", "false", "true"};
    for (size_t i = 0; i < ESPI_COUNT(words); i++) {
        if (bytes == strlen(words[i]) && !strncasecmp(data, words[i], bytes)) {
            *flag = i % 2;
            return true;
        }
    }
    return false;
}

bool espi_label_flag_json(const json_t *value, bool *flag)
{
    double number = json_number_value(value);
    *flag = json_is_true(value) || number > 0;
    return json_is_boolean(value) || (json_is_number(value) && (number == 0 || number == 1));
}

int espi_label_add_flag(esp_context *ctx, struct espi_example *example, size_t capacity, const char *name, bool flag)
{
    if (!example->label_flags) {
        example->label_flags = espi_arena_alloc(ctx, &example->arena, capacity, sizeof(*example->label_flags));
        if (!example->label_flags)
            return ESP_ERR_MEMORY;
    }
    int status = add(ctx, example, capacity, name, strlen(name));
    if (!status)
        example->label_flags[example->label_count - 1] = flag;
    return status;
}

bool espi_label_is_number_column(const char *name)
{
    size_t length = strlen(name);
    return length == 0 || !strcasecmp(name, "idx") || !strcasecmp(name, "index") || !strncasecmp(name, "unnamed:", 8) ||
           (length >= 2 && !strcasecmp(name + length - 2, "id"));
}
