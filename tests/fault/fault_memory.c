/* SPDX-License-Identifier: Apache-2.0
 * Stands between everybody and the functions that give memory (and threads, which need some), and decides whether they do. */
#include "fault.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define EXPORT __attribute__((visibility("default")))
#define CALLER __builtin_return_address(0)

void *__libc_malloc(size_t bytes);
void *__libc_calloc(size_t count, size_t bytes);
void *__libc_realloc(void *block, size_t bytes);
void *__libc_memalign(size_t alignment, size_t bytes);
void __libc_free(void *block);

const char *const fault_kind_names[FAULT_KIND_COUNT] = {
#define X(name, text) text,
    FAULT_KINDS(X)
#undef X
};

struct fault *fault;

static bool armed;
static _Atomic long live;

void fault_open(void)
{
    fault = mmap(NULL, sizeof *fault, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (fault == MAP_FAILED)
        abort();
}

void fault_arm(void)
{
    armed = true;
}

void fault_disarm(void)
{
    armed = false;
}

bool fault_armed(void)
{
    return armed;
}

void fault_watch(void)
{
    live = 0;
}

long fault_live(void)
{
    return live;
}

long fault_files(void)
{
    long open = 0;
    for (int fd = 0; fd < 256; fd++)
        open += fcntl(fd, F_GETFD) >= 0;
    return open;
}

bool fault_hits(const char *call, int error, const void *caller)
{
    enum fault_module module = fault_module_of(caller);
    bool on = fault->kind == FAULT_MEMORY_ON || fault->kind == FAULT_FULL || fault->kind == FAULT_SHORT;
    if (module == FAULT_IN_LINKER)
        return false;
    bool counts = !fault_of_memory(fault->kind) || (module == FAULT_IN_FOREIGN) == (fault->kind == FAULT_FOREIGN);
    size_t n = __atomic_add_fetch(&fault->count, counts, __ATOMIC_RELAXED);
    if (!fault->at || n < fault->at || (!on && (n > fault->at || !counts)))
        return false;
    if (__atomic_add_fetch(&fault->failed, 1, __ATOMIC_RELAXED) == 1) {
        strncpy(fault->call, call, sizeof fault->call - 1);
        fault->error = error;
    }
    fault->foreign |= module == FAULT_IN_FOREIGN;
    return true;
}

static bool refused(const char *call, int error, const void *caller)
{
    if (!armed || !fault_of_memory(fault->kind) || !fault_hits(call, error, caller))
        return false;
    errno = error;
    return true;
}

static void *counted(void *block)
{
    live += block != NULL;
    return block;
}

EXPORT void *malloc(size_t bytes)
{
    return refused("malloc", ENOMEM, CALLER) ? NULL : counted(__libc_malloc(bytes));
}

EXPORT void *calloc(size_t count, size_t bytes)
{
    return refused("calloc", ENOMEM, CALLER) ? NULL : counted(__libc_calloc(count, bytes));
}

EXPORT void *realloc(void *block, size_t bytes)
{
    if (refused("realloc", ENOMEM, CALLER))
        return NULL;
    void *moved = __libc_realloc(block, bytes);
    if (!block)
        counted(moved);
    return moved;
}

EXPORT void *aligned_alloc(size_t alignment, size_t bytes)
{
    return refused("aligned_alloc", ENOMEM, CALLER) ? NULL : counted(__libc_memalign(alignment, bytes));
}

EXPORT int posix_memalign(void **out, size_t alignment, size_t bytes)
{
    if (refused("posix_memalign", ENOMEM, CALLER))
        return ENOMEM;
    *out = counted(__libc_memalign(alignment, bytes));
    return *out ? 0 : ENOMEM;
}

EXPORT void free(void *block)
{
    live -= block != NULL;
    __libc_free(block);
}

/* The function of libc that one here stands before. */
static void find(const char *name, void *pointer)
{
    void *found = dlsym(RTLD_NEXT, name);
    memcpy(pointer, &found, sizeof found);
}

EXPORT void *mmap(void *address, size_t bytes, int protection, int flags, int fd, off_t offset)
{
    static void *(*real)(void *, size_t, int, int, int, off_t);
    if (refused("mmap", ENOMEM, CALLER))
        return MAP_FAILED;
    if (!real)
        find("mmap", &real);
    void *pages = real(address, bytes, protection, flags, fd, offset);
    live += pages != MAP_FAILED;
    return pages;
}

EXPORT int munmap(void *address, size_t bytes)
{
    static int (*real)(void *, size_t);
    if (!real)
        find("munmap", &real);
    int status = real(address, bytes);
    live -= status == 0;
    return status;
}

EXPORT int mprotect(void *address, size_t bytes, int protection)
{
    static int (*real)(void *, size_t, int);
    if (refused("mprotect", ENOMEM, CALLER))
        return -1;
    if (!real)
        find("mprotect", &real);
    return real(address, bytes, protection);
}

/* As of a process that has locked its memory (mlockall). */
EXPORT int madvise(void *address, size_t bytes, int advice)
{
    static int (*real)(void *, size_t, int);
    if (refused("madvise", EINVAL, CALLER))
        return -1;
    if (!real)
        find("madvise", &real);
    return real(address, bytes, advice);
}

EXPORT int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *), void *cookie)
{
    static int (*real)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
    if (refused("pthread_create", EAGAIN, CALLER))
        return EAGAIN;
    if (!real)
        find("pthread_create", &real);
    return real(thread, attributes, start, cookie);
}

/* The signal by which system calls are caught must not be blocked. */
EXPORT int pthread_sigmask(int how, const sigset_t *set, sigset_t *old)
{
    static int (*real)(int, const sigset_t *, sigset_t *);
    if (!real)
        find("pthread_sigmask", &real);
    sigset_t without;
    if (set && how != SIG_UNBLOCK) {
        without = *set;
        sigdelset(&without, SIGSYS);
        set = &without;
    }
    return real(how, set, old);
}
