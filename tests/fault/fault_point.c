/* SPDX-License-Identifier: Apache-2.0 */
#include "fault_point.h"

#include <dirent.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

void fault_text_add(struct fault_text *text, const void *bytes, size_t count)
{
    if (text->bytes + count + 1 > text->room) {
        text->room = 2 * (text->bytes + count + 1);
        text->text = realloc(text->text, text->room);
        if (!text->text)
            abort();
    }
    memcpy(text->text + text->bytes, bytes, count);
    text->bytes += count;
    text->text[text->bytes] = 0;
}

void fault_result_clear(struct fault_result *result)
{
    free(result->out.text);
    free(result->error.text);
    free(result->files.text);
    *result = (struct fault_result){0};
}

static void add_file(struct fault_text *to, int fd)
{
    char buffer[16 << 10];
    fault_text_add(to, "", 0);
    if (fd < 0 || lseek(fd, 0, SEEK_SET) < 0)
        return;
    for (ssize_t got; (got = read(fd, buffer, sizeof buffer)) > 0;)
        fault_text_add(to, buffer, (size_t)got);
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static int no_dots(const struct dirent *entry)
{
    return strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
}

/* Lists a tree: "name\n" and the contents of each file; with `erase` it is removed instead. */
static void walk(const char *directory, struct fault_text *to, bool erase)
{
    struct dirent **entries;
    int count = scandir(directory, &entries, no_dots, by_name);
    for (int i = 0; i < count; i++) {
        char path[4096];
        struct stat info;
        snprintf(path, sizeof path, "%s/%s", directory, entries[i]->d_name);
        bool folder = lstat(path, &info) == 0 && S_ISDIR(info.st_mode);
        if (to) {
            fault_text_add(to, "\n== ", 4);
            fault_text_add(to, path + 2, strlen(path + 2));
            fault_text_add(to, "\n", 1);
        }
        if (folder) {
            walk(path, to, erase);
        } else if (to) {
            int fd = open(path, O_RDONLY);
            add_file(to, fd);
            close(fd);
        }
        if (erase)
            remove(path);
        free(entries[i]);
    }
    if (count >= 0)
        free(entries);
}

void fault_clear(void)
{
    walk(".", NULL, true);
}

/* Keeps whether a foreign library was at work when the child crashed. */
static void on_crash(int number)
{
    void *frames[64];
    fault_disarm();
    int count = backtrace(frames, 64);
    fault->signal = number;
    for (int i = 2; i < count; i++) // behind this handler and the frame of the signal
        fault->in_foreign |= fault_module_of(frames[i]) == FAULT_IN_FOREIGN;
    if (getenv("FAULT_TRACE"))
        backtrace_symbols_fd(frames, count, STDERR_FILENO);
    signal(number, SIG_DFL);
    raise(number);
}

static void be_child(fault_child *child, const void *cookie, const char *input, const int output[2], unsigned seconds)
{
    static const int crashes[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};
    int in = open(input ? input : "/dev/null", O_RDONLY);
    if (in < 0 || dup2(in, STDIN_FILENO) < 0 || dup2(output[0], STDOUT_FILENO) < 0 ||
        dup2(output[1], STDERR_FILENO) < 0)
        _exit(98);
    close(in);
    close(output[0]);
    close(output[1]);
    for (size_t i = 0; i < sizeof crashes / sizeof *crashes; i++)
        signal(crashes[i], on_crash);
    alarm(seconds);
    if (!fault_of_memory(fault->kind))
        fault_catch_calls();
    fault_watch();
    int code = child(cookie);
    fault_disarm();
    fflush(stdout);
    _exit(code);
}

void fault_try(fault_child *child, const void *cookie, enum fault_kind kind, size_t at, const char *input, bool keep,
               unsigned seconds, struct fault_result *result)
{
    int output[2] = {memfd_create("out", 0), memfd_create("error", 0)}, status;
    if (!keep)
        fault_clear();
    *fault = (struct fault){.kind = kind, .at = at};
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0)
        be_child(child, cookie, input, output, seconds);
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    *result =
        (struct fault_result){.code = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status), .fault = *fault};
    add_file(&result->out, output[0]);
    add_file(&result->error, output[1]);
    fault_text_add(&result->files, "", 0);
    walk(".", &result->files, false);
    close(output[0]);
    close(output[1]);
}
