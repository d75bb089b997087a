/* SPDX-License-Identifier: Apache-2.0
 * The manual pages and shell completions, made from the tables that --help is printed from. */
#ifndef ESPI_CLI_PAGES_H
#define ESPI_CLI_PAGES_H

#include "cli.h"

#include <stdio.h>

enum { PAGE_OPTIONS = 128 };

/* What is typed for an argument: told by the name that help gives it. */
enum page_argument { PAGE_NOTHING, PAGE_WORDS, PAGE_FILE, PAGE_DIRECTORY, PAGE_OTHER };

struct page_option {
    const char *name, *argument, *help, *heading; // argument NULL: a flag; heading NULL: as the option before
    char letter;                                  // '\0': none
};

/* A command as its tables describe it. Texts are borrowed, or kept to the end of the process. */
struct page {
    const char *command, *summary;
    const char *arguments; // NULL: it takes options only
    const char *before, *after;
    struct page_option options[PAGE_OPTIONS]; // (count)
    size_t count;
};

/* Fills options and texts; the others are the caller's. */
void page_read(struct page *page, const struct argp *argp);

enum page_argument page_argument_kind(const char *argument);
/* The next of "a|b|c"; false behind the last. Starts with *rest at the argument. */
bool page_next_word(const char **rest, char word[64]);

/* NAME to OPTIONS of espalier-COMMAND(1); what follows is the file `notes`, if there is one. */
void page_write_manual(FILE *out, const struct page *page, const char *date, FILE *notes);
/* espalier(1): the file `body`, with the commands in the place of a line `.\" commands`. */
void page_write_overview(FILE *out, const struct page *commands, size_t count, const char *date, FILE *body);

/* One file for all commands: its head, a part for each command, its end. */
struct page_shell {
    const char *file;
    void (*head)(FILE *out, const struct page *commands, size_t count);
    void (*part)(FILE *out, const struct page *page);
    void (*end)(FILE *out);
};

extern const struct page_shell page_bash, page_zsh, page_fish;

#endif
