/* SPDX-License-Identifier: Apache-2.0
 * What happens to each member of a JSON file that other programs wrote: a table for each file.
 *
 * The rule: a member that would change an answer is applied, refused or warned about; one that changes nothing here is
 * listed as such; and a member nobody has thought of yet is warned about. docs/files.md is checked against the tables. */
#ifndef ESPI_BASE_MEMBERS_H
#define ESPI_BASE_MEMBERS_H

#include "base/json.h"

enum espi_member_use {
    ESPI_MEMBER_APPLIED, // whoever reads the file reads it
    ESPI_MEMBER_NEUTRAL, // changes nothing here
    ESPI_MEMBER_REFUSED, // any value but the accepted ones is an error
    ESPI_MEMBER_WARNED,  // the same, but only a warning: the answers are right for most
};

enum { ESPI_MEMBER_ACCEPTED = 8 };

struct espi_member {
    const char *name; // a last '*' stands for any ending
    enum espi_member_use use;
    const char *why;                            // "decoding only", "only encoders are supported"
    const char *accepted[ESPI_MEMBER_ACCEPTED]; // compact JSON of values that change nothing
    const char *scope;                          // only for files that have this scope; NULL: for all
};

struct espi_member_table {
    const char *file; // "config.json", for docs/files.md
    const struct espi_member *rows;
    size_t count;
};

/* null, {} and [] are as good as absent.
 *
 * Goes through the members of an object in the order of the file. A refused one is ESP_ERR_UNSUPPORTED; an unknown or
 * WARNED one is logged as a warning with its value. `scopes`: of the file, words with spaces between; NULL: none. */
int espi_members_check(esp_context *ctx, const struct espi_json *object, const struct espi_member_table *table,
                       const char *scopes) ESPI_NODISCARD;
/* The same without warnings: for text that has been read before. */
int espi_members_refuse(esp_context *ctx, const struct espi_json *object, const struct espi_member_table *table,
                        const char *scopes) ESPI_NODISCARD;

#endif
