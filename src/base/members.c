/* SPDX-License-Identifier: Apache-2.0 */
#include "base/members.h"

#include <stdlib.h>
#include <string.h>

enum { VALUE_BYTES = 64 }; // of a value in a message

static bool has_scope(const char *scopes, const char *scope)
{
    size_t length = strlen(scope);
    for (const char *at = scopes; at; at = strchr(at, ' ')) {
        at += *at == ' ';
        if (strncmp(at, scope, length) == 0 && (!at[length] || at[length] == ' '))
            return true;
    }
    return false;
}

static const struct espi_member *find_row(const struct espi_member_table *table, const char *name, const char *scopes)
{
    for (size_t i = 0; i < table->count; i++) {
        const struct espi_member *row = &table->rows[i];
        size_t length = strlen(row->name);
        bool same = row->name[length - 1] == '*' ? strncmp(row->name, name, length - 1) == 0 : !strcmp(row->name, name);
        if (same && (!row->scope || has_scope(scopes, row->scope)))
            return row;
    }
    return NULL;
}

static bool is_empty(const json_t *value)
{
    return json_is_null(value) || (json_is_object(value) && !json_object_size(value)) ||
           (json_is_array(value) && !json_array_size(value));
}

static bool is_accepted(const struct espi_member *row, const char *text)
{
    for (size_t i = 0; i < ESPI_MEMBER_ACCEPTED && row->accepted[i]; i++)
        if (strcmp(row->accepted[i], text) == 0)
            return true;
    return false;
}

/* Cuts a long text, not inside a character. */
static void shorten(const char *text, char out[VALUE_BYTES])
{
    static const char dots[] = "...";
    size_t length = strlen(text), room = VALUE_BYTES - sizeof dots;
    if (length <= room) {
        memcpy(out, text, length + 1);
        return;
    }
    while (room && ((unsigned char)text[room] & 0xc0) == 0x80)
        room--;
    memcpy(out, text, room);
    memcpy(out + room, dots, sizeof dots);
}

static int complain(esp_context *ctx, const struct espi_json *member, const struct espi_member *row, const char *value,
                    bool warn)
{
    if (row && row->use == ESPI_MEMBER_REFUSED) {
        espi_json_fail(ctx, member, "%s is not supported: %s", value, row->why);
        return ESP_ERR_UNSUPPORTED;
    }
    if (!warn)
        return ESP_OK;
    if (row)
        espi_json_warn(ctx, member, "%s is not applied: %s", value, row->why);
    else
        espi_json_warn(ctx, member, "%s is not applied: this member is not known", value);
    return ESP_OK;
}

static int check_member(esp_context *ctx, const struct espi_json *object, const char *name, const json_t *value,
                        const struct espi_member *row, bool warn)
{
    struct espi_json member = espi_json_at(object, name);
    char shown[VALUE_BYTES];
    if (is_empty(value) || (row && (row->use == ESPI_MEMBER_APPLIED || row->use == ESPI_MEMBER_NEUTRAL)))
        return ESP_OK;
    char *text = espi_json_text(ctx, value);
    if (!text)
        return ESP_ERR_MEMORY;
    int status = ESP_OK;
    if (!row || !is_accepted(row, text)) {
        shorten(text, shown);
        status = complain(ctx, &member, row, shown, warn);
    }
    free(text);
    return status;
}

static int check(esp_context *ctx, const struct espi_json *object, const struct espi_member_table *table,
                 const char *scopes, bool warn)
{
    const char *name;
    json_t *value;
    int status = espi_json_expect_object(ctx, object);
    if (status)
        return status;
    json_object_foreach(object->value, name, value)
    {
        if ((status = check_member(ctx, object, name, value, find_row(table, name, scopes), warn)))
            return status;
    }
    return ESP_OK;
}

int espi_members_check(esp_context *ctx, const struct espi_json *object, const struct espi_member_table *table,
                       const char *scopes)
{
    return check(ctx, object, table, scopes, true);
}

int espi_members_refuse(esp_context *ctx, const struct espi_json *object, const struct espi_member_table *table,
                        const char *scopes)
{
    return check(ctx, object, table, scopes, false);
}
