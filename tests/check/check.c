/* SPDX-License-Identifier: Apache-2.0
 * check [--seed N] [--cases N] [--only TEXT] [--mutant NAME]
 * Every version of every op that this CPU has, against the C reference. */
#include "check.h"

#include "base/size.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct options {
    uint64_t seed;
    size_t cases;
    const char *only, *mutant;
};

static check_fn *const checks[] = {
#define ESPI_OP(op, text) check_##op,
#include "kernels/kernel_rows.inc"
};

static const struct version mutants[] = {
#define CHECK_MUTANT(op, name, text) {ESPI_OP_##op, #name, (espi_kernel_fn *)mutant_##name, NULL},
#include "mutants/mutants.inc"
#undef CHECK_MUTANT
};

/* Number of cases that failed; the first few are told. */
static size_t check_version(const struct version *version, const struct options *options)
{
    size_t failures = 0;
    for (size_t i = 0; i < options->cases; i++) {
        /* the same cases for every version of an op, each with a stream of its own */
        struct espi_random random = {.seed = options->seed, .stream = (uint64_t)version->op << 32 | i};
        char failure[FAILURE_BYTES];
        if (checks[version->op](&random, version, failure))
            continue;
        if (failures++ < 3)
            printf("%s: seed %llu, case %zu: %s\n", version->name, (unsigned long long)options->seed, i, failure);
    }
    printf("%-28s %zu of %zu cases agree\n", version->name, options->cases - failures, options->cases);
    fflush(stdout);
    return failures;
}

static int check_all(const struct options *options)
{
    size_t failures = 0, versions = 0, of_isa[ESPI_ISA_COUNT] = {0};
    for (size_t i = 0; i < espi_kernel_count; i++) {
        const struct espi_kernel *kernel = &espi_kernels[i];
        if (kernel->isa == ESPI_ISA_c || (options->only && !strstr(kernel->name, options->only)))
            continue;
        if (!espi_isa_available(kernel->isa, espi_cpu_features())) {
            printf("%-28s skipped: not on this CPU\n", kernel->name);
            continue;
        }
        const struct version version = {kernel->op, kernel->name, kernel->function, kernel};
        failures += check_version(&version, options);
        of_isa[kernel->isa]++;
        versions++;
    }
    for (size_t isa = 0; isa < ESPI_ISA_COUNT; isa++)
        if (of_isa[isa])
            printf("%s: %zu versions\n", espi_isa_name((enum espi_isa)isa), of_isa[isa]);
    printf("%zu versions, %zu failures, seed %llu\n", versions, failures, (unsigned long long)options->seed);
    if (versions == 0)
        fprintf(stderr, "check: this CPU has no version%s%s\n", options->only ? " named as " : " but those in C",
                options->only ? options->only : "");
    return failures || versions == 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* Success is that the check fails. */
static int check_mutant(const struct options *options)
{
    for (size_t i = 0; i < ESPI_COUNT(mutants); i++)
        if (!strcmp(mutants[i].name, options->mutant)) {
            bool caught = check_version(&mutants[i], options) > 0;
            printf("mutant %s: %s\n", options->mutant, caught ? "caught" : "NOT caught");
            return caught ? EXIT_SUCCESS : EXIT_FAILURE;
        }
    fprintf(stderr, "check: no mutant \"%s\"\n", options->mutant);
    return 2;
}

static bool parse_number(const char *text, unsigned long long *value)
{
    char *end;
    errno = 0;
    *value = strtoull(text, &end, 10);
    return end != text && !*end && !errno;
}

static bool parse(int argc, char **argv, struct options *options)
{
    for (int i = 1; i < argc; i++) {
        unsigned long long number = 0;
        if (i + 1 == argc)
            return false;
        if (!strcmp(argv[i], "--only"))
            options->only = argv[++i];
        else if (!strcmp(argv[i], "--mutant"))
            options->mutant = argv[++i];
        else if (!strcmp(argv[i], "--seed") && parse_number(argv[++i], &number))
            options->seed = number;
        else if (!strcmp(argv[i], "--cases") && parse_number(argv[++i], &number) && number > 0)
            options->cases = number;
        else
            return false;
    }
    return true;
}

int main(int argc, char **argv)
{
    struct options options = {.seed = (uint64_t)time(NULL), .cases = 400};
    if (!parse(argc, argv, &options)) {
        fprintf(stderr, "usage: check [--seed N] [--cases N] [--only TEXT] [--mutant NAME]\n");
        return 2;
    }
    return options.mutant ? check_mutant(&options) : check_all(&options);
}
