/* SPDX-License-Identifier: Apache-2.0
 * What happens to the members of files, and that docs/files.md says so. `test_members --write` writes its tables. */
#include "support.h"

#include "base/members.h"
#include "base/size.h"
#include "base/warnings.h"
#include "model/config_members.h"
#include "text/tokenizer_files.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static esp_context *ctx;

static const struct espi_member_table *const tables[] = {
    &espi_config_members,        &espi_cross_encoder_members, &espi_module_members,           &espi_pooling_members,
    &espi_transformer_members,   &espi_sentence_members,      &espi_tokenizer_config_members, &espi_special_map_members,
    &espi_tokenizer_members,     &espi_truncation_members,    &espi_added_token_members,      &espi_normalizer_members,
    &espi_pre_tokenizer_members, &espi_model_members,         &espi_post_processor_members,   &espi_decoder_members,
};

/* ---- the check ---------------------------------------------------------------------------------------------------- */

static const struct espi_member sample_rows[] = {
    {"read", ESPI_MEMBER_APPLIED, "shape", {0}, NULL},
    {"red_only", ESPI_MEMBER_APPLIED, "shape", {0}, "red"},
    {"idle", ESPI_MEMBER_NEUTRAL, "decoding", {0}, NULL},
    {"old_*", ESPI_MEMBER_NEUTRAL, "history", {0}, NULL},
    {"mode", ESPI_MEMBER_REFUSED, "only plain is", {"\"plain\"", "false"}, NULL},
    {"hint", ESPI_MEMBER_WARNED, "left is not built", {"\"right\""}, NULL},
};
static const struct espi_member_table sample = {"sample.json", sample_rows, ESPI_COUNT(sample_rows)};

static struct espi_warnings warnings;

static int check(const char *text, const char *scope)
{
    struct espi_json json;
    espi_warnings_clear(&warnings);
    test_ok(ctx, espi_json_open_text(ctx, "dir/sample.json", text, strlen(text), &json));
    espi_warnings_keep(ctx, "dir", &warnings);
    int status = espi_members_check(ctx, &json, &sample, scope);
    test_ok(ctx, espi_warnings_stop(ctx));
    espi_json_close(&json);
    return status;
}

static void warns(const char *text, const char *scope, const char *message)
{
    test_ok(ctx, check(text, scope));
    assert_int_equal(warnings.count, 1);
    assert_string_equal(warnings.texts[0], message);
}

static void test_silent(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "{}",
        "{\"read\":1,\"idle\":true,\"old_\":1,\"old_thing\":{\"a\":1}}",
        "{\"mode\":\"plain\",\"hint\":\"right\"}",
        "{\"mode\":false,\"hint\":null}",
        "{\"mode\":null,\"hint\":{}}",
        "{\"mode\":[],\"hint\":[],\"new\":null,\"other\":{}}",
    };
    for (size_t i = 0; i < ESPI_COUNT(texts); i++) {
        test_ok(ctx, check(texts[i], NULL));
        assert_int_equal(warnings.count, 0);
    }
    test_ok(ctx, check("{\"red_only\":1}", "red"));
    assert_int_equal(warnings.count, 0);
}

static void test_warned(void **state)
{
    (void)state;
    warns("{\"hint\":\"left\"}", NULL, "sample.json: hint: \"left\" is not applied: left is not built");
    warns("{\"new\":[1,2]}", NULL, "sample.json: new: [1,2] is not applied: this member is not known");
    warns("{\"Read\":0}", NULL, "sample.json: Read: 0 is not applied: this member is not known");
    warns("{\"read_\":0}", NULL, "sample.json: read_: 0 is not applied: this member is not known");
    warns("{\"old\":0}", NULL, "sample.json: old: 0 is not applied: this member is not known");
    warns("{\"red_only\":1}", NULL, "sample.json: red_only: 1 is not applied: this member is not known");
    warns("{\"red_only\":1}", "blue", "sample.json: red_only: 1 is not applied: this member is not known");
    /* A long value is cut, not inside a character. */
    warns(
        "{\"new\":\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\xc3\xa9\xc3\xa9\"}", NULL,
        "sample.json: new: \"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa... is not applied: this member "
        "is not known");
    test_ok(ctx, check("{\"b\":1,\"hint\":1,\"a\":1}", NULL)); // in the order of the file
    assert_int_equal(warnings.count, 3);
    assert_non_null(strstr(warnings.texts[0], "sample.json: b:"));
    assert_non_null(strstr(warnings.texts[2], "sample.json: a:"));
}

static void test_refused(void **state)
{
    (void)state;
    test_fails(ctx, check("{\"mode\":\"odd\"}", NULL), ESP_ERR_UNSUPPORTED);
    test_error_has(ctx, "dir/sample.json: mode: \"odd\" is not supported: only plain is");
    test_fails(ctx, check("{\"mode\":0}", NULL), ESP_ERR_UNSUPPORTED);
    test_fails(ctx, check("[]", NULL), ESP_ERR_FORMAT);
    test_error_has(ctx, "expected an object, found an array");
    /* Text that was read before. */
    struct espi_json json;
    test_ok(ctx, espi_json_open_text(ctx, "s", "{\"hint\":1,\"new\":1}", 18, &json));
    espi_warnings_clear(&warnings);
    espi_warnings_keep(ctx, NULL, &warnings);
    test_ok(ctx, espi_members_refuse(ctx, &json, &sample, NULL));
    test_ok(ctx, espi_warnings_stop(ctx));
    assert_int_equal(warnings.count, 0);
    espi_json_close(&json);
}

/* ---- the tables --------------------------------------------------------------------------------------------------- */

static void test_tables(void **state)
{
    (void)state;
    for (size_t t = 0; t < ESPI_COUNT(tables); t++) {
        for (size_t i = 0; i < tables[t]->count; i++) {
            const struct espi_member *row = &tables[t]->rows[i];
            assert_true(*row->name && row->why && *row->why);
            for (size_t j = 0; j < i; j++) { // no row stands behind one that covers it
                const char *scope = tables[t]->rows[j].scope;
                if (strcmp(row->name, tables[t]->rows[j].name) == 0)
                    assert_true(scope && (!row->scope || strcmp(row->scope, scope) != 0));
            }
        }
    }
}

/* ---- docs/files.md ------------------------------------------------------------------------------------------------ */

static const char *const uses[] = {"applied", "neutral", "refused", "warned about"}; // by enum espi_member_use

static bool same_group(const struct espi_member *a, const struct espi_member *b)
{
    return a->use == b->use && strcmp(a->why, b->why) == 0 && (a->scope == b->scope) &&
           !a->accepted[0] == !b->accepted[0] && (!a->accepted[0] || strcmp(a->accepted[0], b->accepted[0]) == 0);
}

static void print_table(const struct espi_member_table *table, FILE *stream)
{
    fprintf(stream, "<!-- table: %s -->\n\n| member | | |\n|---|---|---|\n", table->file);
    for (size_t i = 0; i < table->count;) {
        const struct espi_member *first = &table->rows[i];
        for (size_t j = i; i < table->count && same_group(first, &table->rows[i]); i++)
            fprintf(stream, "%s`%s`", i == j ? "| " : ", ", table->rows[i].name);
        fprintf(stream, " | %s%s%s%s", uses[first->use], first->scope ? " (" : "", first->scope ? first->scope : "",
                first->scope ? ")" : "");
        for (size_t j = 0; j < ESPI_MEMBER_ACCEPTED && first->accepted[j]; j++)
            fprintf(stream, "%s`%s`", j ? ", " : " unless ", first->accepted[j]);
        fprintf(stream, " | %s |\n", first->why);
    }
    fputs("\n<!-- end -->\n", stream);
}

static char *read_docs(const char *path, size_t *bytes)
{
    struct espi_map map;
    test_ok(ctx, espi_map_open(ctx, path, &map));
    char *text = calloc(1, map.bytes + 1);
    memcpy(text, map.data, map.bytes);
    *bytes = map.bytes;
    espi_map_close(&map);
    return text;
}

/* The file with its tables replaced. */
static char *with_tables(const char *text)
{
    char *out = NULL;
    size_t bytes;
    FILE *stream = open_memstream(&out, &bytes);
    for (size_t t = 0; t < ESPI_COUNT(tables); t++) {
        char head[128];
        snprintf(head, sizeof head, "<!-- table: %s -->\n", tables[t]->file);
        const char *begin = strstr(text, head), *end = begin ? strstr(begin, "<!-- end -->\n") : NULL;
        if (!end)
            fail_msg("docs/files.md: no place for \"%s\", in the order of the tables", head);
        fwrite(text, 1, (size_t)(begin - text), stream);
        print_table(tables[t], stream);
        text = end + strlen("<!-- end -->\n");
    }
    fputs(text, stream);
    fclose(stream);
    return out;
}

static const char docs_path[] = ESPI_TEST_SOURCE "/docs/files.md";

static void test_docs(void **state)
{
    (void)state;
    size_t bytes;
    char *text = read_docs(docs_path, &bytes), *expected = with_tables(text);
    if (strcmp(text, expected) != 0)
        fail_msg("docs/files.md differs from the tables: run test_members --write");
    free(text);
    free(expected);
}

static void write_docs(void **state)
{
    (void)state;
    size_t bytes;
    char *text = read_docs(docs_path, &bytes), *expected = with_tables(text);
    FILE *stream = fopen(docs_path, "w");
    assert_non_null(stream);
    fputs(expected, stream);
    assert_int_equal(fclose(stream), 0);
    free(text);
    free(expected);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_silent), cmocka_unit_test(test_warned), cmocka_unit_test(test_refused),
        cmocka_unit_test(test_tables), cmocka_unit_test(test_docs),
    };
    const struct CMUnitTest writing[] = {cmocka_unit_test(write_docs)};
    ctx = esp_context_new();
    int failed = argc > 1 && strcmp(argv[1], "--write") == 0 ? cmocka_run_group_tests(writing, NULL, NULL)
                                                             : cmocka_run_group_tests(tests, NULL, NULL);
    espi_warnings_clear(&warnings);
    esp_context_free(ctx);
    return failed;
}
