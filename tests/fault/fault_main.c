/* SPDX-License-Identifier: Apache-2.0
 * Fails memory and files at every point of the API's calls and of the commands, and looks what comes of it.
 *
 *   fault [--all] [--part calls|commands] [--only TEXT] [--kind NAME] [--point N] [--jobs N] [--verbose]
 *
 * --all: every point, where otherwise so many spread evenly are tried of what takes long. Prints a row for each call and command and exits with 1 when something was wrong. */
#include "fault_api.h"
#include "fault_judge.h"

#include <errno.h>
#include <execinfo.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* Points of each kind that are tried of what takes long. */
static const size_t spread[FAULT_KIND_COUNT] = {
    [FAULT_MEMORY] = 300, [FAULT_FOREIGN] = 60,   [FAULT_MEMORY_ON] = 60, [FAULT_IO] = 100,
    [FAULT_FULL] = 60,    [FAULT_INTERRUPT] = 30, [FAULT_SHORT] = 1};

enum { MOST_SHOWN = 12, SECONDS = 60, JOBS = 16 };

static struct {
    bool all, verbose;
    const char *part, *only, *kind;
    size_t point, jobs;
    char models[128];
} options;

/* What is tried; shared by the processes that try it. */
static struct target {
    const char *name;
    const struct fault_command *command; // NULL: a call of the API
    size_t number;
    size_t points[FAULT_KIND_COUNT]; // calls of the kind in a run without a fault
    size_t tried[FAULT_KIND_COUNT], ended[FAULT_KIND_COUNT], wrong[FAULT_KIND_COUNT], shown;
    size_t next; // point that nobody has taken yet, counted over all kinds
} * target;

static void try(enum fault_kind kind, size_t at, struct fault_result *result)
{
    char input[256];
    const struct fault_command *command = target->command;
    if (!command) {
        fault_try(fault_api_child, NULL, kind, at, NULL, false, SECONDS, result);
        return;
    }
    if (command->input)
        snprintf(input, sizeof input, "%s/%s", options.models, command->input);
    fault_try(fault_command_child, command->arguments, kind, at, command->input ? input : NULL, false, SECONDS, result);
    fault_blank_times(result);
}

/* What a failed training run leaves behind must lead to the same result. */
static enum fault_verdict resume(const struct fault_result *base, const struct fault_result *failed, char *why,
                                 size_t bytes)
{
    char arguments[1024];
    struct fault_result result;
    if (!failed->files.bytes)
        return FAULT_REFUSED;
    snprintf(arguments, sizeof arguments, "%s --resume", target->command->arguments);
    fault_try(fault_command_child, arguments, FAULT_MEMORY, 0, NULL, true, SECONDS, &result);
    fault_blank_times(&result);
    bool same = result.code == 0 && result.files.bytes == base->files.bytes &&
                memcmp(result.files.text, base->files.text, base->files.bytes) == 0;
    if (!same)
        snprintf(why, bytes, "resumed ends with %d: %.200s, with other files from %.200s on", result.code,
                 result.error.text, fault_first_difference(&base->files, &result.files));
    fault_result_clear(&result);
    return same ? FAULT_REFUSED : FAULT_WRONG;
}

static char *one_line(char *text)
{
    for (char *at = text; *at; at++)
        *at = *at == '\n' ? ' ' : *at;
    return text;
}

static void try_point(const struct fault_result *base, enum fault_kind kind, size_t at)
{
    struct fault_result result;
    char why[1024] = "";
    try(kind, at, &result);
    enum fault_verdict verdict = target->command ? fault_judge_command(target->command, base, &result, why, sizeof why)
                                                 : fault_judge_api(base, &result, why, sizeof why);
    if (verdict == FAULT_REFUSED && target->command && target->command->resumes)
        verdict = resume(base, &result, why, sizeof why);
    __atomic_add_fetch(&target->tried[kind], 1, __ATOMIC_RELAXED);
    if (verdict == FAULT_ENDED)
        __atomic_add_fetch(&target->ended[kind], 1, __ATOMIC_RELAXED);
    if (verdict == FAULT_WRONG) {
        __atomic_add_fetch(&target->wrong[kind], 1, __ATOMIC_RELAXED);
        if (__atomic_add_fetch(&target->shown, 1, __ATOMIC_RELAXED) <= MOST_SHOWN || options.verbose)
            printf("%s: %s %zu (%s %s): %s\n", target->name, fault_kind_names[kind], at, result.fault.call,
                   result.fault.path, one_line(why));
    } else if (options.point) {
        printf("%s: %s %zu (%s %s): code %d, %s\n%s%s\n", target->name, fault_kind_names[kind], at, result.fault.call,
               result.fault.path, result.code, verdict == FAULT_RIGHT ? "right" : "refused", result.out.text,
               result.error.text);
    }
    fault_result_clear(&result);
}

/* Points of a kind that are tried: all, or so many spread evenly. */
static size_t wanted(enum fault_kind kind)
{
    bool every = options.all || !target->command || target->command->every;
    if (options.kind && strcmp(options.kind, fault_kind_names[kind]) != 0)
        return 0;
    if (options.point)
        return 1;
    size_t points = kind == FAULT_SHORT && target->points[kind] ? 1 : target->points[kind]; // the first stands for all
    every &= (kind != FAULT_FOREIGN && kind != FAULT_MEMORY_ON) || options.all;
    return every || points < spread[kind] ? points : spread[kind];
}

static size_t point(enum fault_kind kind, size_t i)
{
    return options.point ? options.point : 1 + i * target->points[kind] / wanted(kind);
}

static void enter(const char *directory)
{
    if ((mkdir(directory, 0777) && errno != EEXIST) || chdir(directory)) {
        perror(directory);
        exit(2);
    }
}

/* One of the processes that share the points of a target. */
static void work(size_t job)
{
    char directory[32];
    struct fault_result base[FAULT_KIND_COUNT];
    size_t total = 0;
    snprintf(directory, sizeof directory, "job-%zu", job);
    enter(directory);
    fault_open();
    if (!target->command)
        fault_api_prepare(target->number, options.models);
    for (enum fault_kind kind = 0; kind < FAULT_KIND_COUNT; kind++) {
        try(kind, 0, &base[kind]);
        target->points[kind] = base[kind].fault.count;
        total += wanted(kind);
    }
    for (size_t i; (i = __atomic_fetch_add(&target->next, 1, __ATOMIC_RELAXED)) < total;) {
        enum fault_kind kind = 0;
        for (; i >= wanted(kind); kind++)
            i -= wanted(kind);
        try_point(&base[kind], kind, point(kind, i));
    }
    if (!target->command)
        fault_api_release();
    fflush(stdout);
    _exit(base[0].code < 0);
}

/* Tries a target; whether all was right. */
static bool try_target(const char *name, const struct fault_command *command, size_t number)
{
    if ((options.only && !strstr(name, options.only)) ||
        (options.part && strcmp(options.part, command ? "commands" : "calls") != 0))
        return true;
    *target = (struct target){.name = name, .command = command, .number = number};
    bool right = true;
    fflush(stdout);
    for (size_t job = 0; job < options.jobs; job++)
        if (fork() == 0)
            work(job);
    for (int status; wait(&status) > 0;)
        right &= WIFEXITED(status) && WEXITSTATUS(status) == 0;
    printf("%-26s", name);
    for (enum fault_kind kind = 0; kind < FAULT_KIND_COUNT; kind++) {
        printf(" %s %zu", fault_kind_names[kind], target->tried[kind]);
        if (target->tried[kind] < target->points[kind] && kind != FAULT_SHORT)
            printf("/%zu", target->points[kind]);
        if (target->ended[kind])
            printf(" (%zu ended)", target->ended[kind]);
        if (target->wrong[kind])
            printf(" (%zu WRONG)", target->wrong[kind]);
        right &= target->wrong[kind] == 0;
    }
    printf("\n");
    fflush(stdout);
    return right;
}

static bool parse(int argc, char **argv)
{
    options.jobs = 2;
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : "";
        if (strcmp(argv[i], "--all") == 0)
            options.all = true;
        else if (strcmp(argv[i], "--verbose") == 0)
            options.verbose = true;
        else if (strcmp(argv[i], "--part") == 0 && ++i)
            options.part = value;
        else if (strcmp(argv[i], "--only") == 0 && ++i)
            options.only = value;
        else if (strcmp(argv[i], "--kind") == 0 && ++i)
            options.kind = value;
        else if (strcmp(argv[i], "--point") == 0 && ++i)
            options.point = strtoul(value, NULL, 10);
        else if (strcmp(argv[i], "--jobs") == 0 && ++i)
            options.jobs = strtoul(value, NULL, 10);
        else
            return false;
    }
    return true;
}

/* A directory of our own becomes the working one; in memory where that is possible, since what is written is synced. */
static void open_scratch(char *directory, size_t bytes)
{
    static const char *const places[] = {"/dev/shm", "/tmp"};
    for (size_t i = 0; i < 2; i++) {
        snprintf(directory, bytes, "%s/espalier-fault-XXXXXX", places[i]);
        if (mkdtemp(directory) && chdir(directory) == 0)
            return;
    }
    perror(directory);
    exit(2);
}

int main(int argc, char **argv)
{
    char scratch[64];
    void *frames[2];
    bool right = true;
    if (!parse(argc, argv)) {
        fprintf(stderr, "usage: fault [--all] [--part calls|commands] [--only TEXT] [--kind NAME] [--point N] [--jobs "
                        "N] [--verbose]\n");
        return 2;
    }
    backtrace(frames, 2); // loads what it needs before memory fails
    target = mmap(NULL, sizeof *target, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (target == MAP_FAILED)
        return 2;
    open_scratch(scratch, sizeof scratch);
    snprintf(options.models, sizeof options.models, "%s/models", scratch);
    fault_open();
    enter(options.models);
    fault_fixture();
    enter(scratch);
    for (size_t i = 0; fault_api_name(i); i++)
        right &= try_target(fault_api_name(i), NULL, i);
    for (size_t i = 0; fault_command(i); i++)
        right &= try_target(fault_command(i)->name, fault_command(i), i);
    fault_clear();
    rmdir(scratch);
    return right ? 0 : 1;
}
