/* SPDX-License-Identifier: Apache-2.0 */
#include "create/layers/dynlib.h"

#include <dlfcn.h>
#include <string.h>

int espi_dynlib_load(esp_context *ctx, const char *library, bool for_all, const struct espi_dynlib_symbol *symbols,
                     size_t count)
{
    void *handle = dlopen(library, RTLD_NOW | (for_all ? RTLD_GLOBAL : RTLD_LOCAL));
    if (!handle)
        return espi_fail(ctx, ESP_ERR_UNSUPPORTED, "cannot load %s", dlerror());
    for (size_t i = 0; i < count; i++) {
        void *address = dlsym(handle, symbols[i].name);
        if (!address)
            return espi_fail(ctx, ESP_ERR_UNSUPPORTED, "cannot use %s: it has no %s", library, symbols[i].name);
        memcpy(symbols[i].place, &address, sizeof address);
    }
    return ESP_OK;
}
