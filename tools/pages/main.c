/* SPDX-License-Identifier: Apache-2.0
 * espalier_pages NOTES OUTPUT DATE: writes the manual pages into OUTPUT/man1 and the completions into OUTPUT. NOTES is
 * docs/man: espalier.1 and, for a command that has more to say than its help, COMMAND.1.
 *
 * A command hands its tables to cli_parse, which is another one here: it writes the command's part and ends the process. So
 * each command runs in a process of its own. */
#include "pages.h"

#include "base/size.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static const struct page_shell *const shells[] = {&page_bash, &page_zsh, &page_fish};

static struct {
    const char *notes, *output, *date;
    FILE *shells[ESPI_COUNT(shells)];
} job;

static const struct command {
    const char *name, *summary;
    int (*run)(int argc, char **argv);
} commands[] = {
#define COMMAND(name, summary) {#name, summary, cmd_##name},
#include "commands.inc"
#undef COMMAND
};

static _Noreturn void fail(const char *path)
{
    fprintf(stderr, "espalier_pages: %s: %s\n", path, strerror(errno));
    exit(EXIT_FAILURE);
}

/* NULL when a file to read is not there. */
static FILE *open_in(const char *directory, const char *before, const char *name, const char *behind, const char *mode)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s%s%s", directory, before, name, behind);
    FILE *stream = fopen(path, mode);
    if (!stream && (*mode == 'w' || errno != ENOENT))
        fail(path);
    return stream;
}

static void close_written(FILE *stream, const char *what)
{
    if (ferror(stream) || fclose(stream))
        fail(what);
}

void cli_parse(const struct argp *argp, const char *command, int argc, char **argv, void *input)
{
    (void)argc, (void)input;
    struct page page = {.command = command, .summary = argv[1]};
    page_read(&page, argp);
    FILE *notes = open_in(job.notes, "", command, ".1", "r");
    FILE *manual = open_in(job.output, "man1/espalier-", command, ".1", "w");
    page_write_manual(manual, &page, job.date, notes);
    close_written(manual, command);
    for (size_t i = 0; i < ESPI_COUNT(shells); i++) {
        shells[i]->part(job.shells[i], &page);
        if (fflush(job.shells[i]))
            fail(shells[i]->file);
    }
    _exit(EXIT_SUCCESS); // whatever the command has open
}

static void write_command(const struct command *command)
{
    int status;
    pid_t child = fork();
    if (child == 0) {
        char *argv[] = {(char *)(uintptr_t)command->name, (char *)(uintptr_t)command->summary, NULL};
        command->run(2, argv);
        exit(EXIT_FAILURE); // it has not parsed any options
    }
    if (child < 0 || waitpid(child, &status, 0) != child)
        fail(command->name);
    if (status != 0)
        exit(EXIT_FAILURE);
}

static void write_overview(void)
{
    struct page pages[ESPI_COUNT(commands)] = {0};
    for (size_t i = 0; i < ESPI_COUNT(commands); i++) {
        pages[i].command = commands[i].name;
        pages[i].summary = commands[i].summary;
    }
    FILE *body = open_in(job.notes, "", "espalier", ".1", "r");
    if (!body)
        fail(job.notes);
    FILE *manual = open_in(job.output, "man1/", "espalier", ".1", "w");
    page_write_overview(manual, pages, ESPI_COUNT(commands), job.date, body);
    close_written(manual, "espalier.1");
    fclose(body);
    for (size_t i = 0; i < ESPI_COUNT(shells); i++) {
        job.shells[i] = open_in(job.output, "", shells[i]->file, "", "w");
        shells[i]->head(job.shells[i], pages, ESPI_COUNT(commands));
        if (fflush(job.shells[i])) // else each command writes it once more
            fail(shells[i]->file);
    }
}

int main(int argc, char **argv)
{
    char path[4096];
    if (argc != 4) {
        fprintf(stderr, "usage: espalier_pages NOTES OUTPUT DATE\n");
        return 2;
    }
    job.notes = argv[1];
    job.output = argv[2];
    job.date = argv[3];
    snprintf(path, sizeof path, "%s/man1", job.output);
    if (mkdir(path, 0777) != 0 && errno != EEXIST)
        fail(path);
    write_overview();
    for (size_t i = 0; i < ESPI_COUNT(commands); i++)
        write_command(&commands[i]);
    for (size_t i = 0; i < ESPI_COUNT(shells); i++) {
        shells[i]->end(job.shells[i]);
        close_written(job.shells[i], shells[i]->file);
    }
    return EXIT_SUCCESS;
}
