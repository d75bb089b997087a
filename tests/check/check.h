/* SPDX-License-Identifier: Apache-2.0
 * The kernel check: every version of every op against the C reference on random shapes. */
#ifndef ESPI_TESTS_CHECK_H
#define ESPI_TESTS_CHECK_H

#include "base/random.h"
#include "kernels/kernel.h"

/* ---- guard.c: buffers between forbidden pages, and calls that survive a crash --------------------------------------- */

/* Owner: the case that made it. `data` ends (or begins, at random) exactly at an inaccessible page; what is left of the
 * mapped pages holds a pattern that buffer_intact checks. */
struct buffer {
    uint8_t *map, *data;
    size_t map_bytes, bytes;
};

struct buffer buffer_new(struct espi_random *random, size_t bytes); // exits the program when the system has no memory
void buffer_free(struct buffer *buffer);
void buffer_fill(struct espi_random *random, struct buffer *buffer); // with random bytes

/* Random numbers at a fraction of the cost, for the bulk of a case: the harness has to be quick under an emulator too. The
 * state is a draw of the case's cursor (Steele et al., 2014: splitmix64). */
static inline uint64_t bulk_random(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

/* Nearly normal with a standard deviation of 148: the sum of four bytes about its middle. */
static inline int bulk_bell(uint64_t draw)
{
    return (int)(draw & 255) + (int)(draw >> 8 & 255) + (int)(draw >> 16 & 255) + (int)(draw >> 24 & 255) - 510;
}
bool buffer_intact(const struct buffer *buffer);

/* Calls function(argument); false when it raised SIGSEGV, SIGBUS, SIGILL or SIGFPE, whose name is then in
 * guarded_signal(). */
bool guarded_call(void (*function)(void *argument), void *argument);
const char *guarded_signal(void);

/* ---- outputs.c: what the reference and a version wrote ----------------------------------------------------------------- */

/* An output buffer twice, with the same bytes in it before the calls. */
struct output {
    struct buffer expected, found;
};

struct output output_new(struct espi_random *random, size_t bytes);
void output_free(struct output *output);

/* Runs run(reference) and run(version) and compares the outputs: NULL when they agree, else what is wrong, in a static
 * buffer. */
const char *compare_calls(void (*run)(void *call), void *reference, void *version, const struct output *outputs,
                          size_t count);

/* ---- one check per op ------------------------------------------------------------------------------------------------ */

/* A version under test. */
struct version {
    enum espi_op op;
    const char *name;
    espi_kernel_fn *function;
    const struct espi_kernel *kernel; // its row; NULL: a mutant
};

enum { FAILURE_BYTES = 512 };

/* Makes a random case from the cursor, runs the reference and the version on it and compares. True when they agree;
 * else `failure` says what the case was and what went wrong. */
typedef bool check_fn(struct espi_random *random, const struct version *version, char failure[FAILURE_BYTES]);

#define ESPI_OP(op, text) check_fn check_##op;
#include "kernels/kernel_rows.inc"

/* ---- mutants: broken on purpose, to check the check -------------------------------------------------------------------- */

#define CHECK_MUTANT(op, name, text) espi_##op##_fn mutant_##name;
#include "mutants/mutants.inc"
#undef CHECK_MUTANT

#endif
