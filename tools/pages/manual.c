/* SPDX-License-Identifier: Apache-2.0
 * Manual pages in man(7). */
#include "pages.h"

#include <ctype.h>
#include <string.h>

static void put_escaped(FILE *out, const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if (text[i] == '\\')
            fputs("\\e", out);
        else if (text[i] == '-')
            fputs("\\-", out);
        else
            fputc(text[i], out);
    }
}

static void put_font(FILE *out, char font, const char *text)
{
    fprintf(out, "\\f%c", font);
    put_escaped(out, text, strlen(text));
    fputs("\\fR", out);
}

/* Filled text: lines of less than 80 characters, a new one for each sentence. */
static void put_filled(FILE *out, const char *text, size_t length)
{
    enum { WIDTH = 72 };
    size_t column = 0;
    const char *end = text + length;
    while (text < end) {
        size_t word = 0;
        while (text + word < end && text[word] != ' ')
            word++;
        if (word) {
            if (column && column + 1 + word > WIDTH) {
                fputc('\n', out);
                column = 0;
            }
            if (column)
                fputc(' ', out);
            else if (*text == '.' || *text == '\'')
                fputs("\\&", out);
            put_escaped(out, text, word);
            column += word + 1;
            if (text[word - 1] == '.' && text + word < end) {
                fputc('\n', out);
                column = 0;
            }
        }
        text += word + 1;
    }
    fputc('\n', out);
}

/* Lines that begin with a space stand as they are. */
static void put_text(FILE *out, const char *text)
{
    bool kept = false;
    while (*text) {
        size_t length = strcspn(text, "\n");
        if ((*text == ' ') != kept) {
            kept = !kept;
            fputs(kept ? ".PP\n.nf\n" : ".fi\n.PP\n", out);
        }
        if (kept) {
            put_escaped(out, text, length);
            fputc('\n', out);
        } else
            put_filled(out, text, length);
        text += length + (text[length] == '\n');
    }
    if (kept)
        fputs(".fi\n", out);
}

static void put_argument(FILE *out, const char *argument)
{
    char word[64];
    const char *rest = argument, *between = "=";
    if (page_argument_kind(argument) != PAGE_WORDS) {
        fputc('=', out);
        put_font(out, 'I', argument);
        return;
    }
    while (page_next_word(&rest, word)) {
        fputs(between, out);
        put_font(out, 'B', word);
        between = "|";
    }
}

static void put_option(FILE *out, const struct page_option *option)
{
    char name[64];
    if (option->heading)
        fprintf(out, ".SS %.*s\n", (int)strcspn(option->heading, ":"), option->heading);
    fputs(".TP\n", out);
    if (option->letter) {
        snprintf(name, sizeof name, "-%c", option->letter);
        put_font(out, 'B', name);
        fputs(", ", out);
    }
    snprintf(name, sizeof name, "--%s", option->name);
    put_font(out, 'B', name);
    if (option->argument)
        put_argument(out, option->argument);
    fputc('\n', out);
    put_text(out, option->help);
}

/* The comment says where a reader of the page may change it. */
static void put_title(FILE *out, const char *name, const char *date)
{
    fputs(".\\\" SPDX-License-Identifier: Apache-2.0\n"
          ".\\\" Made by the build (tools/pages) from the tables of options and from docs/man.\n.TH ESPALIER",
          out);
    if (*name)
        fputs("\\-", out);
    for (const char *c = name; *c; c++)
        fputc(toupper((unsigned char)*c), out);
    fprintf(out, " 1 \"%s\" \"espalier %s\" \"User Commands\"\n", date, esp_version());
}

static void put_file(FILE *out, FILE *in)
{
    char line[1024];
    while (fgets(line, sizeof line, in))
        if (strncmp(line, ".\\\"", 3) != 0)
            fputs(line, out);
}

void page_write_manual(FILE *out, const struct page *page, const char *date, FILE *notes)
{
    put_title(out, page->command, date);
    fprintf(out, ".SH NAME\nespalier\\-%s \\- ", page->command);
    put_filled(out, page->summary, strlen(page->summary));
    fprintf(out, ".SH SYNOPSIS\n.B espalier %s\n[\\fIOPTION\\fR...]", page->command);
    if (page->arguments) {
        fputc(' ', out);
        put_font(out, 'I', page->arguments);
    }
    fputs("\n.SH DESCRIPTION\n", out);
    put_text(out, page->before);
    if (page->after && *page->after) {
        fputs(".PP\n", out);
        put_text(out, page->after);
    }
    if (notes) {
        fputs(".PP\n", out);
        put_file(out, notes);
    }
    fputs(".SH OPTIONS\n", out);
    for (size_t i = 0; i < page->count; i++)
        put_option(out, &page->options[i]);
    fputs(".SH SEE ALSO\n.BR espalier (1)\n", out);
}

void page_write_overview(FILE *out, const struct page *commands, size_t count, const char *date, FILE *body)
{
    char line[1024];
    put_title(out, "", date);
    while (fgets(line, sizeof line, body)) {
        if (strncmp(line, ".\\\" commands", 12) == 0)
            for (size_t i = 0; i < count; i++) {
                fprintf(out, ".TP\n.BR espalier\\-%s (1)\n", commands[i].command);
                put_filled(out, commands[i].summary, strlen(commands[i].summary));
            }
        else if (strncmp(line, ".\\\"", 3) != 0)
            fputs(line, out);
    }
}
