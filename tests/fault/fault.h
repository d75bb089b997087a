/* SPDX-License-Identifier: Apache-2.0
 * Faults: what fails (a kind), where (the n-th call of that kind), and what came of it.
 *
 * Each point runs in a child of its own, which arms the fault, does what is tried and ends. `fault` lies in memory that
 * the child shares with the one who watches it. Only what the library, the command and the libraries under them call is
 * counted, never the dynamic linker. */
#ifndef ESPI_FAULT_H
#define ESPI_FAULT_H

#include <stdbool.h>
#include <stddef.h>

/* X(name, text for the table) */
#define FAULT_KINDS(X)                                                                                                 \
    X(MEMORY, "memory")       /* one request of memory is refused */                                                   \
    X(FOREIGN, "foreign")     /* one that a foreign library makes */                                                   \
    X(MEMORY_ON, "memory-on") /* one, and all behind it, foreign ones too */                                           \
    X(IO, "io")               /* one system call on a file fails by EIO */                                             \
    X(FULL, "disk-full")      /* from here on everything that takes room on a disk fails by ENOSPC */                  \
    X(INTERRUPT, "interrupt") /* one call that may wait is interrupted by a signal */                                  \
    X(SHORT, "short")         /* from here on a read or write moves at most 7 bytes */

enum fault_kind {
#define X(name, text) FAULT_##name,
    FAULT_KINDS(X)
#undef X
        FAULT_KIND_COUNT
};
static inline bool fault_of_memory(enum fault_kind kind)
{
    return kind <= FAULT_MEMORY_ON;
}
extern const char *const fault_kind_names[FAULT_KIND_COUNT];

struct fault {
    enum fault_kind kind;
    size_t at;    // the number, from 1, of the call that fails; 0: none, they are only counted
    size_t count; // calls of this kind so far
    size_t failed;
    char call[32];    // of the first that failed: its name,
    int error;        // its errno
    char path[256];   // and its file, if it was a system call on one
    bool foreign;     // some that failed were asked for by a foreign library
    int signal;       // the child crashed by it,
    bool in_foreign;  // with a foreign library on the stack
    long live, files; // blocks of memory and file descriptors more than at the beginning
};

/* Shared with the children. */
extern struct fault *fault;

void fault_open(void);
/* In the child: from here on calls are counted, and fail as `fault` says. Disarmed, they work again. */
void fault_arm(void);
void fault_disarm(void);
bool fault_armed(void);
/* Blocks of memory taken and not released since fault_watch; file descriptors that are open. */
void fault_watch(void);
long fault_live(void);
long fault_files(void);

/* Counts a call of the armed kind; true when it is to fail. `caller` is an address in who asked. */
bool fault_hits(const char *call, int error, const void *caller);

/* fault_calls.c: catches the system calls of this process from here on. */
void fault_catch_calls(void);

/* fault_modules.c: whose code an address belongs to. Foreign libraries are those that end the process on their own when
 * they get no memory: docs/architecture.md says which and why. */
enum fault_module { FAULT_IN_OURS, FAULT_IN_LINKER, FAULT_IN_FOREIGN };
enum fault_module fault_module_of(const void *address);

#endif
