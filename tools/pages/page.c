/* SPDX-License-Identifier: Apache-2.0 */
#include "pages.h"

#include "base/size.h"

#include <stdlib.h>
#include <string.h>

static const char *filtered(const struct argp *argp, int key, const char *text)
{
    return argp->help_filter && text ? argp->help_filter(key, text, NULL) : text;
}

static void add_option(struct page *page, const struct argp *argp, const struct argp_option *row, const char *heading)
{
    if (page->count == PAGE_OPTIONS)
        abort(); // a developer sees it when it happens
    page->options[page->count++] = (struct page_option){.name = row->name,
                                                        .argument = row->arg,
                                                        .help = filtered(argp, row->key, row->doc),
                                                        .heading = heading,
                                                        .letter = (char)(row->key < 128 ? row->key : '\0')};
}

static bool is_end(const struct argp_option *row)
{
    return !row->name && !row->doc;
}

/* The options of one group, the first with the group's heading. */
static void add_group(struct page *page, const struct argp *argp, int group, const char **heading)
{
    for (const struct argp_option *row = argp->options; row && !is_end(row); row++) {
        if (row->group != group)
            continue;
        if (!row->name) {
            *heading = row->doc;
            continue;
        }
        add_option(page, argp, row, *heading);
        *heading = NULL;
    }
}

void page_read(struct page *page, const struct argp *argp)
{
    enum { GROUPS = 32 };
    const struct argp_child *children = argp->children;
    page->arguments = argp->args_doc;
    for (int group = 0; group < GROUPS; group++) {
        const char *heading = NULL;
        add_group(page, argp, group, &heading);
    }
    const char *heading = children ? children[0].header : NULL;
    for (int group = 0; group < GROUPS; group++)
        for (const struct argp_child *child = children; child && child->argp; child++)
            add_group(page, child->argp, group, &heading);
    char *doc = strdup(argp->doc ? argp->doc : "");
    char *behind = doc ? strchr(doc, '\v') : NULL;
    if (behind)
        *behind++ = '\0';
    page->before = filtered(argp, ARGP_KEY_HELP_PRE_DOC, doc);
    page->after = argp->help_filter ? argp->help_filter(ARGP_KEY_HELP_POST_DOC, behind, NULL) : behind;
}

enum page_argument page_argument_kind(const char *argument)
{
    static const char *const files[] = {"FILE",  "FILE...", "DATA", "CKPT",  "[CKPT]",
                                        "MODEL", "[MODEL]", "PATH", "CONFIG"};
    if (!argument)
        return PAGE_NOTHING;
    if (strchr(argument, '|'))
        return PAGE_WORDS;
    if (strcmp(argument, "DIR") == 0)
        return PAGE_DIRECTORY;
    for (size_t i = 0; i < ESPI_COUNT(files); i++)
        if (strcmp(argument, files[i]) == 0)
            return PAGE_FILE;
    return PAGE_OTHER;
}

bool page_next_word(const char **rest, char word[64])
{
    size_t length = strcspn(*rest, "|");
    if (!**rest)
        return false;
    snprintf(word, 64, "%.*s", (int)length, *rest);
    *rest += length + ((*rest)[length] == '|');
    return true;
}
