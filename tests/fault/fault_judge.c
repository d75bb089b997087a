/* SPDX-License-Identifier: Apache-2.0 */
#include "fault_judge.h"

#include "espalier.h"

#include <ctype.h>
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static enum fault_verdict wrong(char *why, size_t bytes, const char *format, ...) __attribute__((format(printf, 3, 4)));
static enum fault_verdict wrong(char *why, size_t bytes, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(why, bytes, format, arguments);
    va_end(arguments);
    return FAULT_WRONG;
}
#define WRONG(...) wrong(why, bytes, __VA_ARGS__)

static bool same(const struct fault_text *a, const struct fault_text *b)
{
    return a->bytes == b->bytes && memcmp(a->text, b->text, a->bytes) == 0;
}

/* Beyond what cannot be removed when removing itself fails, as when the memory for looking into a directory is not to be had
 * either: what has a temporary name, which the next run sweeps. */
static bool same_files(const struct fault_text *a, const struct fault_text *b, const struct fault *at)
{
    const char *from = a->text, *to = b->text, *mark = "\n== ";
    if (!strstr(at->path, ".tmp-") && at->kind != FAULT_MEMORY_ON)
        return same(a, b);
    while (*from || *to) {
        const char *from_end = strstr(from + 1, mark), *to_end = strstr(to + 1, mark);
        size_t from_bytes = from_end ? (size_t)(from_end - from) : strlen(from);
        size_t to_bytes = to_end ? (size_t)(to_end - to) : strlen(to);
        size_t line = strcspn(to + (*to == '\n'), "\n");
        if (memmem(to, line, ".tmp-", 5)) {
            to += to_bytes;
            continue;
        }
        if (from_bytes != to_bytes || memcmp(from, to, from_bytes) != 0)
            return false;
        from += from_bytes;
        to += to_bytes;
    }
    return true;
}

static bool of_memory(const struct fault *at)
{
    return fault_of_memory(at->kind);
}

/* Whether a message says what failed. */
static bool says_cause(const char *text, const struct fault *at)
{
    if (of_memory(at) && (strstr(text, "out of memory") || strstr(text, strerror(ENOMEM))))
        return true;
    if (at->error == EINTR && strstr(text, strerror(EIO))) // stdio forgets why a write failed
        return true;
    return strstr(text, strerror(at->error)) != NULL;
}

/* Whether a message names the file that failed: the one it is the temporary name of; of a directory, what is in it. */
static bool says_file(const char *text, const struct fault *at)
{
    char path[sizeof at->path];
    snprintf(path, sizeof path, "%s", at->path);
    char *temporary = strstr(path, ".tmp-"), *slash = strrchr(path, '/');
    if (temporary && slash < temporary)
        *temporary = 0;
    const char *name = slash && slash[1] ? slash + 1 : path;
    if (strcmp(at->call, "fsync") == 0 && strstr(text, "its directory"))
        return true;
    if (strcmp(at->call, "rename") == 0 &&
        (strstr(text, "cannot create") || strstr(text, "into place"))) // the new name
        return true;
    return strstr(text, name) || (temporary && strstr(text, "out"));
}

const char *fault_first_difference(const struct fault_text *a, const struct fault_text *b)
{
    size_t i = 0;
    while (i < a->bytes && i < b->bytes && a->text[i] == b->text[i])
        i++;
    return b->text + (i > 40 ? i - 40 : 0);
}

static bool ended_by_library(const struct fault_result *result)
{
    const struct fault *at = &result->fault;
    if (!of_memory(at) || !at->foreign)
        return false;
    if (result->code == 1)
        return strstr(result->error.text, "libgomp: ") != NULL;
    return result->code < 0 && at->signal == -result->code && at->in_foreign;
}

/* The next line of a text, without its end; false behind the last. */
static bool next_line(const char **at, char *line, size_t bytes, bool *complete)
{
    if (!**at)
        return false;
    size_t length = strcspn(*at, "\n");
    *complete = (*at)[length] == '\n';
    snprintf(line, bytes, "%.*s", (int)length, *at);
    *at += length + *complete;
    return true;
}

/* ---- calls --------------------------------------------------------------------------------------------------------------- */

enum { LINE = 64 << 10 };

/* Answers of a call that succeeded: an input may have failed alone. */
static bool alone(const char *base, const char *found, const struct fault *at)
{
    static char a[LINE], b[LINE];
    bool complete;
    while (next_line(&base, a, LINE, &complete)) {
        int status;
        if (!next_line(&found, b, LINE, &complete))
            return false;
        if (strcmp(a, b) != 0 && (sscanf(b, "answer %*d: %d", &status) != 1 || status != ESP_ERR_MEMORY ||
                                  !of_memory(at) || !says_cause(b, at)))
            return false;
    }
    return !*found;
}

enum fault_verdict fault_judge_api(const struct fault_result *base, const struct fault_result *result, char *why,
                                   size_t bytes)
{
    const struct fault *at = &result->fault;
    static char text[LINE];
    const char *rest = result->out.text;
    bool complete;
    if (result->code)
        return WRONG("ended by %d", result->code);
    next_line(&rest, text, LINE, &complete);
    int status = atoi(text);
    next_line(&rest, text, LINE, &complete);
    if (!same(&base->error, &result->error))
        return WRONG("status %d, and without a fault the call then gives %.200s", status, result->error.text);
    if (at->live != base->fault.live || at->files != base->fault.files)
        return WRONG("status %d: %ld blocks of memory (of %ld) and %ld files are kept", status,
                     at->live - base->fault.live, base->fault.live, at->files - base->fault.files);
    if (same(&base->out, &result->out))
        return FAULT_RIGHT;
    if (status == ESP_OK)
        return alone(base->out.text, result->out.text, at) ? FAULT_REFUSED : WRONG("status 0, but %.300s", rest);
    if (status != (of_memory(at) ? ESP_ERR_MEMORY : ESP_ERR_IO) || !says_cause(text, at))
        return WRONG("status %d: %s", status, text);
    if (!of_memory(at) && !says_file(text, at))
        return WRONG("does not name the file: %s", text);
    if (strcmp(rest, "nothing\n") != 0)
        return WRONG("status %d, yet it gives %.100s", status, rest);
    return FAULT_REFUSED;
}

/* ---- commands ------------------------------------------------------------------------------------------------------------ */

/* Lines answered are right, or have the error in their place. */
static bool lines_right(const char *base, const char *found, const struct fault *at)
{
    static char a[LINE], b[LINE];
    bool complete, cut = strcmp(at->path, "standard output") == 0; // writing failed: no line need be whole
    while (next_line(&found, b, LINE, &complete)) {
        bool ignored;
        if (!next_line(&base, a, LINE, &ignored))
            return false;
        bool error = strstr(b, "\"line\":") && strstr(b, "\"error\":") && says_cause(b, at);
        if (complete ? strcmp(a, b) != 0 && !error : !cut || strncmp(a, b, strlen(b)) != 0)
            return false;
    }
    return true;
}

enum fault_verdict fault_judge_command(const struct fault_command *command, const struct fault_result *base,
                                       const struct fault_result *result, char *why, size_t bytes)
{
    const struct fault *at = &result->fault;
    const char *said = result->error.text;
    if (result->code == -SIGALRM)
        return WRONG("hangs");
    if (ended_by_library(result))
        return FAULT_ENDED;
    if (result->code < 0)
        return WRONG("ended by signal %d", -result->code);
    bool files = same_files(&base->files, &result->files, at);
    if (result->code == base->code && same(&base->out, &result->out) && files)
        return FAULT_RIGHT;
    if (!at->failed)
        return WRONG("differs though nothing failed: exit code %d: %.300s", result->code, said);
    if (result->code == 0 && at->kind == FAULT_INTERRUPT && command->resumes)
        return FAULT_REFUSED; // it stopped, as it does for a signal
    if (result->code == 0)
        return files ? WRONG("another output: %.300s", result->out.text)
                     : WRONG("other files, from %.100s on", fault_first_difference(&base->files, &result->files));
    if (result->code != 1)
        return WRONG("exit code %d: %.300s", result->code, said);
    if (!says_cause(said, at))
        return WRONG("does not say what failed: %.300s", said);
    bool more_failed = at->kind == FAULT_FULL && command->resumes; // the checkpoint that a failure calls for
    if (!of_memory(at) && !more_failed && !says_file(said, at))
        return WRONG("does not name the file: %.300s", said);
    if (command->lines ? !lines_right(base->out.text, result->out.text, at)
                       : strncmp(base->out.text, result->out.text, result->out.bytes) != 0)
        return WRONG("wrong output: %.300s", result->out.text);
    static char none[] = "";
    const struct fault_text nothing = {.text = none};
    if (!files && !same_files(&nothing, &result->files, at) && !command->resumes)
        return WRONG("left behind: %.200s", result->files.text);
    return FAULT_REFUSED;
}

/* ---- times --------------------------------------------------------------------------------------------------------------- */

static void blank(struct fault_text *text)
{
    static const char *const names[] = {"seconds\":", "per_s\":", "_ms\":"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        for (char *at = text->text;
             (at = memmem(at, text->bytes - (size_t)(at - text->text), names[i], strlen(names[i])));) {
            at += strlen(names[i]);
            char *end = at;
            while (*end && strchr(" 0123456789.e+-", *end))
                end++;
            memmove(at, end, text->bytes - (size_t)(end - text->text) + 1);
            text->bytes -= (size_t)(end - at);
        }
}

void fault_blank_times(struct fault_result *result)
{
    blank(&result->out);
    blank(&result->files);
}
