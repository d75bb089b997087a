/* SPDX-License-Identifier: Apache-2.0
 * Completions for bash, zsh and fish. */
#include "pages.h"

#include <string.h>

static const char comment[] = "# SPDX-License-Identifier: Apache-2.0\n"
                              "# Made by the build (tools/pages) from the tables of options.\n";

/* "a b c" of "a|b|c", with `colon` in the place of each colon. */
static void put_words(FILE *out, const char *argument, const char *colon)
{
    for (const char *c = argument; *c; c++) {
        if (*c == ':')
            fputs(colon, out);
        else
            fputc(*c == '|' ? ' ' : *c, out);
    }
}

/* ---- bash ---------------------------------------------------------------------------------------------------------------- */

static void bash_head(FILE *out, const struct page *commands, size_t count)
{
    fprintf(out,
            "%s_espalier()\n"
            "{\n"
            "    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} kind=words words=\n"
            "    if [ \"$current\" = \"=\" ]; then # --option=\n"
            "        current=\n"
            "    elif [ \"$previous\" = \"=\" ]; then # --option=value\n"
            "        previous=${COMP_WORDS[COMP_CWORD - 2]}\n"
            "    fi\n"
            "    if [ \"$COMP_CWORD\" = 1 ]; then\n"
            "        previous=\n"
            "    fi\n"
            "    case \"${COMP_WORDS[1]} $previous\" in\n"
            "    *\" \") words=\"",
            comment);
    for (size_t i = 0; i < count; i++)
        fprintf(out, "%s ", commands[i].command);
    fputs("--help --version\" ;;\n", out);
}

/* The options with an argument of that kind, as patterns of a case. */
static void bash_kind(FILE *out, const struct page *page, enum page_argument kind, const char *then)
{
    const char *between = "    ";
    for (size_t i = 0; i < page->count; i++) {
        const struct page_option *option = &page->options[i];
        if (page_argument_kind(option->argument) != kind)
            continue;
        fprintf(out, "%s\"%s --%s\"", between, page->command, option->name);
        if (option->letter)
            fprintf(out, " | \"%s -%c\"", page->command, option->letter);
        between = " | ";
        if (kind == PAGE_WORDS) {
            fputs(") words=\"", out);
            put_words(out, option->argument, ":");
            fputs("\" ;;\n", out);
            between = "    ";
        }
    }
    if (between[1] == '|')
        fprintf(out, ") kind=%s ;;\n", then);
}

static void bash_part(FILE *out, const struct page *page)
{
    bash_kind(out, page, PAGE_WORDS, NULL);
    bash_kind(out, page, PAGE_FILE, "file");
    bash_kind(out, page, PAGE_DIRECTORY, "directory");
    bash_kind(out, page, PAGE_OTHER, "other");
    fprintf(out, "    \"%s \"*) kind=%s words=\"", page->command, page->arguments ? "argument" : "words");
    for (size_t i = 0; i < page->count; i++)
        fprintf(out, "--%s ", page->options[i].name);
    fputs("--help --usage\" ;;\n", out);
}

static void bash_end(FILE *out)
{
    fputs("    *) return ;;\n"
          "    esac\n"
          "    case $kind$current in\n"
          "    words* | argument-*) mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$current\") ;;\n"
          "    directory*)\n"
          "        compopt -o filenames 2>/dev/null\n"
          "        mapfile -t COMPREPLY < <(compgen -d -- \"$current\")\n"
          "        ;;\n"
          "    file* | argument*)\n"
          "        compopt -o filenames 2>/dev/null\n"
          "        mapfile -t COMPREPLY < <(compgen -f -- \"$current\")\n"
          "        ;;\n"
          "    esac\n"
          "}\n"
          "complete -F _espalier espalier\n",
          out);
}

const struct page_shell page_bash = {"espalier.bash", bash_head, bash_part, bash_end};

/* ---- zsh ----------------------------------------------------------------------------------------------------------------- */

/* In single quotes, inside of brackets or behind a colon. */
static void zsh_put(FILE *out, const char *text)
{
    for (const char *c = text; *c; c++) {
        if (*c == '\'')
            fputs("'\\''", out);
        else if (strchr("[]:\\", *c))
            fprintf(out, "\\%c", *c);
        else
            fputc(*c, out);
    }
}

static void zsh_head(FILE *out, const struct page *commands, size_t count)
{
    fprintf(out, "#compdef espalier\n%s_espalier()\n{\n    local -a commands=(\n", comment);
    for (size_t i = 0; i < count; i++) {
        fprintf(out, "        '%s:", commands[i].command);
        zsh_put(out, commands[i].summary);
        fputs("'\n", out);
    }
    fputs("    )\n"
          "    if (( CURRENT == 2 )); then\n"
          "        _describe command commands\n"
          "        return\n"
          "    fi\n"
          "    shift words\n"
          "    (( CURRENT-- ))\n"
          "    case $words[1] in\n",
          out);
}

static void zsh_action(FILE *out, const char *argument)
{
    switch (page_argument_kind(argument)) {
    case PAGE_WORDS:
        fputs(":word:(", out);
        put_words(out, argument, "\\:");
        fputc(')', out);
        break;
    case PAGE_FILE:
        fprintf(out, ":%s:_files", argument);
        break;
    case PAGE_DIRECTORY:
        fprintf(out, ":%s:_files -/", argument);
        break;
    case PAGE_OTHER:
        fprintf(out, ":%s: ", argument);
        break;
    case PAGE_NOTHING:
        break;
    }
}

static void zsh_part(FILE *out, const struct page *page)
{
    fprintf(out, "    %s)\n        _arguments -s \\\n", page->command);
    for (size_t i = 0; i < page->count; i++) {
        const struct page_option *option = &page->options[i];
        const char *equals = option->argument ? "=" : "";
        if (option->letter)
            fprintf(out, "            '*'{-%c%s,--%s%s}'[", option->letter, option->argument ? "+" : "", option->name,
                    equals);
        else
            fprintf(out, "            '*--%s%s[", option->name, equals);
        zsh_put(out, option->help);
        fputc(']', out);
        zsh_action(out, option->argument);
        fputs("' \\\n", out);
    }
    fputs("            '--help[list the options]'", out);
    if (page->arguments) {
        fputs(" \\\n            '*:", out);
        zsh_put(out, page->arguments);
        fputs(":_files'", out);
    }
    fputs("\n        ;;\n", out);
}

static void zsh_end(FILE *out)
{
    fputs("    esac\n}\n_espalier \"$@\"\n", out);
}

const struct page_shell page_zsh = {"_espalier", zsh_head, zsh_part, zsh_end};

/* ---- fish ---------------------------------------------------------------------------------------------------------------- */

/* In single quotes. */
static void fish_put(FILE *out, const char *text)
{
    for (const char *c = text; *c; c++)
        fprintf(out, strchr("'\\", *c) ? "\\%c" : "%c", *c);
}

static void fish_head(FILE *out, const struct page *commands, size_t count)
{
    fprintf(out,
            "%sfunction __espalier_is\n"
            "    set -l words (commandline -opc)\n"
            "    test \"$words[2]\" = \"$argv[1]\"\n"
            "end\n",
            comment);
    for (size_t i = 0; i < count; i++) {
        fprintf(out, "complete -c espalier -n '__espalier_is \"\"' -f -a %s -d '", commands[i].command);
        fish_put(out, commands[i].summary);
        fputs("'\n", out);
    }
}

static void fish_part(FILE *out, const struct page *page)
{
    for (size_t i = 0; i < page->count; i++) {
        const struct page_option *option = &page->options[i];
        enum page_argument kind = page_argument_kind(option->argument);
        fprintf(out, "complete -c espalier -n '__espalier_is %s' -l %s", page->command, option->name);
        if (option->letter)
            fprintf(out, " -s %c", option->letter);
        if (kind == PAGE_FILE)
            fputs(" -r -F", out);
        else if (kind == PAGE_DIRECTORY)
            fputs(" -x -a '(__fish_complete_directories)'", out);
        else if (kind == PAGE_OTHER)
            fputs(" -x", out);
        else if (kind == PAGE_WORDS) {
            fputs(" -x -a '", out);
            put_words(out, option->argument, ":");
            fputc('\'', out);
        }
        fputs(" -d '", out);
        fish_put(out, option->help);
        fputs("'\n", out);
    }
    fprintf(out, "complete -c espalier -n '__espalier_is %s' -l help -d 'list the options'\n", page->command);
    if (!page->arguments)
        fprintf(out, "complete -c espalier -n '__espalier_is %s' -f\n", page->command);
}

static void fish_end(FILE *out)
{
    (void)out;
}

const struct page_shell page_fish = {"espalier.fish", fish_head, fish_part, fish_end};
