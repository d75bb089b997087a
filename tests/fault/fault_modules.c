/* SPDX-License-Identifier: Apache-2.0 */
#include "fault.h"

#include <link.h>
#include <stdint.h>
#include <string.h>

/* oneDNN, and what comes with it and with Open MPI. */
static const char *const foreign[] = {"libdnnl",  "libgomp",  "libstdc++", "libgcc_s", "libmpi", "libopen-",
                                      "libhwloc", "libevent", "libOpenCL", "libtbb",   NULL};

/* A part of a library in memory. */
struct part {
    uintptr_t begin, end;
    enum fault_module module;
};

struct search {
    uintptr_t address;
    struct part found;
};

static enum fault_module kind_of(const char *path)
{
    const char *name = strrchr(path, '/');
    name = name ? name + 1 : path;
    if (strncmp(name, "ld-linux", 8) == 0)
        return FAULT_IN_LINKER;
    for (size_t i = 0; foreign[i]; i++)
        if (strncmp(name, foreign[i], strlen(foreign[i])) == 0)
            return FAULT_IN_FOREIGN;
    return FAULT_IN_OURS;
}

static int look(struct dl_phdr_info *info, size_t size, void *cookie)
{
    struct search *search = cookie;
    (void)size;
    for (size_t i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *part = &info->dlpi_phdr[i];
        uintptr_t begin = info->dlpi_addr + part->p_vaddr;
        if (part->p_type == PT_LOAD && search->address >= begin && search->address < begin + part->p_memsz) {
            search->found = (struct part){begin, begin + part->p_memsz, kind_of(info->dlpi_name)};
            return 1;
        }
    }
    return 0;
}

enum fault_module fault_module_of(const void *address)
{
    enum { KNOWN = 8 };
    static _Thread_local struct part known[KNOWN]; // a thread calls from few places
    static _Thread_local unsigned next;
    uintptr_t at = (uintptr_t)address;
    for (size_t i = 0; i < KNOWN; i++)
        if (at >= known[i].begin && at < known[i].end)
            return known[i].module;
    /* code in no file was made by oneDNN */
    struct search search = {.address = at, .found = {at, at + 1, FAULT_IN_FOREIGN}};
    dl_iterate_phdr(look, &search);
    known[next++ % KNOWN] = search.found;
    return search.found.module;
}
