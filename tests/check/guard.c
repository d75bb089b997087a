/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "base/size.h"

#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { CANARY = 0xc5 };

struct buffer buffer_new(struct espi_random *random, size_t bytes)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t inner = espi_round_up(bytes ? bytes : 1, page);
    struct buffer buffer = {.bytes = bytes, .map_bytes = inner + 2 * page};
    buffer.map = mmap(NULL, buffer.map_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (buffer.map == MAP_FAILED || mprotect(buffer.map + page, inner, PROT_READ | PROT_WRITE)) {
        perror("check: mmap");
        exit(EXIT_FAILURE);
    }
    memset(buffer.map + page, CANARY, inner);
    buffer.data = buffer.map + page + (espi_random_below(random, 2) ? inner - bytes : 0);
    return buffer;
}

void buffer_free(struct buffer *buffer)
{
    if (buffer->map)
        munmap(buffer->map, buffer->map_bytes);
    memset(buffer, 0, sizeof(*buffer));
}

void buffer_fill(struct espi_random *random, struct buffer *buffer)
{
    uint64_t state = espi_random_u32(random), draw;
    size_t i = 0;
    for (; i + sizeof(draw) <= buffer->bytes; i += sizeof(draw)) {
        draw = bulk_random(&state);
        memcpy(buffer->data + i, &draw, sizeof(draw));
    }
    draw = bulk_random(&state);
    memcpy(buffer->data + i, &draw, buffer->bytes - i);
}

bool buffer_intact(const struct buffer *buffer)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    const uint8_t *end = buffer->map + buffer->map_bytes - page;
    for (const uint8_t *p = buffer->map + page; p < end; p++)
        if ((p < buffer->data || p >= buffer->data + buffer->bytes) && *p != CANARY)
            return false;
    return true;
}

static sigjmp_buf recovery;
static volatile sig_atomic_t caught;

static void on_signal(int number)
{
    caught = number;
    siglongjmp(recovery, 1);
}

const char *guarded_signal(void)
{
    return strsignal(caught);
}

bool guarded_call(void (*function)(void *argument), void *argument)
{
    static const int numbers[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE};
    struct sigaction action = {.sa_handler = on_signal}, old[ESPI_COUNT(numbers)];
    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < ESPI_COUNT(numbers); i++)
        sigaction(numbers[i], &action, &old[i]);
    bool survived = sigsetjmp(recovery, 1) == 0;
    if (survived)
        function(argument);
    for (size_t i = 0; i < ESPI_COUNT(numbers); i++)
        sigaction(numbers[i], &old[i], NULL);
    return survived;
}
