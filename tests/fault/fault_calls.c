/* SPDX-License-Identifier: Apache-2.0
 * System calls on files, caught by seccomp where they enter the kernel, so that those inside stdio are seen too: the
 * kernel sends SIGSYS in place of the call, and the handler fails it, shortens it or makes it. */
#include "fault.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

/* What an argument names, and what may happen to a call. */
enum { FD = 1, PATH = 2, AT = 4 /* directory, path */, ROOM = 8, WAITS = 16, MOVES = 32, CLOSES = 64, CREATES = 128 };

static const struct call {
    long number;
    const char *name;
    unsigned how;
} calls[] = {
    {SYS_openat, "open", AT | CREATES | WAITS},
    {SYS_open, "open", PATH | CREATES | WAITS},
    {SYS_read, "read", FD | WAITS | MOVES},
    {SYS_pread64, "pread", FD | WAITS | MOVES},
    {SYS_readv, "readv", FD | WAITS},
    {SYS_write, "write", FD | ROOM | WAITS | MOVES},
    {SYS_pwrite64, "pwrite", FD | ROOM | WAITS | MOVES},
    {SYS_writev, "writev", FD | ROOM | WAITS},
    {SYS_pwritev, "pwritev", FD | ROOM | WAITS},
    {SYS_copy_file_range, "copy_file_range", FD | ROOM | WAITS},
    {SYS_fsync, "fsync", FD | ROOM | WAITS},
    {SYS_fdatasync, "fdatasync", FD | ROOM | WAITS},
    {SYS_ftruncate, "ftruncate", FD | ROOM | WAITS},
    {SYS_fallocate, "fallocate", FD | ROOM | WAITS},
    {SYS_close, "close", FD | CLOSES},
    {SYS_lseek, "lseek", FD},
    {SYS_newfstatat, "stat", AT},
    {SYS_statx, "statx", AT},
    {SYS_stat, "stat", PATH},
    {SYS_lstat, "lstat", PATH},
    {SYS_fstat, "fstat", FD},
    {SYS_access, "access", PATH},
    {SYS_faccessat, "access", AT},
    {SYS_faccessat2, "access", AT},
    {SYS_readlink, "readlink", PATH},
    {SYS_readlinkat, "readlink", AT},
    {SYS_getdents64, "getdents", FD},
    {SYS_rename, "rename", PATH | ROOM},
    {SYS_renameat, "rename", AT | ROOM},
    {SYS_renameat2, "rename", AT | ROOM},
    {SYS_link, "link", PATH | ROOM},
    {SYS_linkat, "link", AT | ROOM},
    {SYS_symlink, "symlink", PATH | ROOM},
    {SYS_symlinkat, "symlink", PATH | ROOM},
    {SYS_mkdir, "mkdir", PATH | ROOM},
    {SYS_mkdirat, "mkdir", AT | ROOM},
    {SYS_unlink, "unlink", PATH},
    {SYS_unlinkat, "unlink", AT},
    {SYS_rmdir, "rmdir", PATH},
    {SYS_chmod, "chmod", PATH},
    {SYS_fchmodat, "chmod", AT},
    {SYS_fchmod, "fchmod", FD},
    {SYS_fchown, "fchown", FD},
    {SYS_flock, "flock", FD | WAITS},
    {SYS_fcntl, "fcntl", FD},
    {SYS_poll, "poll", WAITS},
};
enum { CALLS = sizeof calls / sizeof *calls };

/* Makes a system call where the filter lets it through. */
long fault_make_call(const long long arguments[6], long number);
extern const char fault_make_call_made[];
__asm__(".text\n"
        ".type fault_make_call, @function\n"
        "fault_make_call:\n"
        "    mov %rdi, %rax\n"
        "    push %rsi\n"
        "    mov (%rax), %rdi\n"
        "    mov 8(%rax), %rsi\n"
        "    mov 16(%rax), %rdx\n"
        "    mov 24(%rax), %r10\n"
        "    mov 32(%rax), %r8\n"
        "    mov 40(%rax), %r9\n"
        "    pop %rax\n"
        "    syscall\n"
        "fault_make_call_made:\n"
        "    ret\n");

static long make(long number, long long a, long long b, long long c)
{
    return fault_make_call((const long long[6]){a, b, c}, number);
}

static void note_path(const struct call *call, const long long *arguments)
{
    memset(fault->path, 0, sizeof fault->path);
    if (call->how & FD || (call->how & AT && !*(const char *)arguments[1])) {
        char link[40];
        snprintf(link, sizeof link, "/proc/self/fd/%d", (int)arguments[0]);
        make(SYS_readlink, (long long)link, (long long)fault->path, sizeof fault->path - 1);
        if (arguments[0] <= STDERR_FILENO)
            strcpy(fault->path, arguments[0] == STDIN_FILENO ? "stdin" : "standard output");
    } else if (call->how & (AT | PATH)) {
        strncpy(fault->path, (const char *)arguments[call->how & AT ? 1 : 0], sizeof fault->path - 1);
    }
}

/* The error by which a call of this kind would fail; 0: the armed kind does not concern it. */
static int error_of(const struct call *call, const long long *arguments)
{
    long flags = call->how & AT ? arguments[2] : arguments[1];
    switch (fault->kind) {
    case FAULT_IO:
        return EIO;
    case FAULT_FULL:
        return call->how & ROOM || (call->how & CREATES && flags & O_CREAT) ? ENOSPC : 0;
    case FAULT_INTERRUPT:
        return call->how & WAITS ? EINTR : 0;
    case FAULT_SHORT:
        return call->how & MOVES && arguments[2] > 7 ? EAGAIN : 0;
    default:
        return 0;
    }
}

static long answer(const struct call *call, long long *arguments, const void *from)
{
    int error = fault_armed() ? error_of(call, arguments) : 0;
    if (call->how & FD && arguments[0] == STDERR_FILENO) // where the failure would be told
        error = 0;
    if (!error || !fault_hits(call->name, error, from))
        return fault_make_call(arguments, call->number);
    if (fault->failed == 1)
        note_path(call, arguments);
    if (fault->kind == FAULT_SHORT) {
        arguments[2] = 7;
        return fault_make_call(arguments, call->number);
    }
    if (call->how & CLOSES)
        fault_make_call(arguments, call->number); // as Linux does it: closed, and failed
    return -error;
}

static void on_call(int signal, siginfo_t *info, void *context)
{
    (void)signal;
    greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
    for (size_t i = 0; i < CALLS; i++)
        if (calls[i].number == info->si_syscall) {
            long long arguments[6] = {registers[REG_RDI], registers[REG_RSI], registers[REG_RDX],
                                      registers[REG_R10], registers[REG_R8],  registers[REG_R9]};
            registers[REG_RAX] = answer(&calls[i], arguments, info->si_call_addr);
            return;
        }
    registers[REG_RAX] = -ENOSYS;
}

void fault_catch_calls(void)
{
    uint64_t let = (uint64_t)(uintptr_t)fault_make_call_made;
    struct sock_filter program[CALLS + 16], *at = program;
#define LOAD(member)                                                                                                   \
    *at++ = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, member))
#define PASS_UNLESS(value, skip)                                                                                       \
    *at++ = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)(value), 0, skip)
    LOAD(instruction_pointer);
    PASS_UNLESS(let, 3);
    *at++ =
        (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, instruction_pointer) + 4);
    PASS_UNLESS(let >> 32, 1);
    *at++ = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    LOAD(nr);
    for (size_t i = 0; i < CALLS; i++)
        *at++ =
            (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)calls[i].number, (uint8_t)(CALLS - i), 0);
    *at++ = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    *at++ = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP);
    struct sock_fprog filter = {.len = (unsigned short)(at - program), .filter = program};
    struct sigaction action = {.sa_sigaction = on_call, .sa_flags = SA_SIGINFO | SA_NODEFER};
    if (sigaction(SIGSYS, &action, NULL) || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter)) {
        perror("cannot catch system calls");
        _exit(99);
    }
}
