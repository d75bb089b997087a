/* SPDX-License-Identifier: Apache-2.0
 * What the kernel says of a 64-bit ARM. */
#include "base/arch.h"

#include <stdio.h>
#include <sys/auxv.h>

/* Bits of the system's words, which older headers lack. */
enum { CRC32 = 1 << 7, CPUID = 1 << 11, ASIMDDP = 1 << 20 };
enum { I8MM = 1 << 13 }; // of the second word

uint32_t espi_arch_features(void)
{
    unsigned long first = getauxval(AT_HWCAP), second = getauxval(AT_HWCAP2);
    uint32_t features = 0;
    if (first & CRC32)
        features |= ESPI_CPU_CRC32C;
    if (first & ASIMDDP)
        features |= ESPI_CPU_DOTPROD;
    if (second & I8MM)
        features |= ESPI_CPU_I8MM;
    return features;
}

void espi_arch_name(char name[ESPI_CPU_NAME_BYTES])
{
    static const struct {
        unsigned implementer, part;
        const char *name;
    } known[] = {
        {0x41, 0xd03, "ARM Cortex-A53"},  {0x41, 0xd08, "ARM Cortex-A72"},  {0x41, 0xd0b, "ARM Cortex-A76"},
        {0x41, 0xd0c, "ARM Neoverse N1"}, {0x41, 0xd40, "ARM Neoverse V1"}, {0x41, 0xd49, "ARM Neoverse N2"},
        {0x41, 0xd4f, "ARM Neoverse V2"}, {0xc0, 0xac3, "Ampere-1"},
    };
    name[0] = 0;
    if (!(getauxval(AT_HWCAP) & CPUID))
        return;
    uint64_t id;
    __asm__("mrs %0, midr_el1" : "=r"(id));
    unsigned implementer = (unsigned)(id >> 24 & 0xff), part = (unsigned)(id >> 4 & 0xfff);
    snprintf(name, ESPI_CPU_NAME_BYTES, "ARM implementer 0x%02x, part 0x%03x", implementer, part);
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (known[i].implementer == implementer && known[i].part == part)
            snprintf(name, ESPI_CPU_NAME_BYTES, "%s", known[i].name);
}
