/* SPDX-License-Identifier: Apache-2.0 */
#include "create/layers/dnnl_calls.h"

#include "base/size.h"
#include "create/layers/dynlib.h"

#include <pthread.h>

struct espi_dnnl espi_dnnl;

int espi_dnnl_load(esp_context *ctx)
{
    static const struct espi_dynlib_symbol symbols[] = {
#define X(prefix, name) {#prefix "_" #name, &espi_dnnl.name},
        ESPI_DNNL_MAP(X)
#undef X
    };
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static bool loaded;
    int status = ESP_OK;
    pthread_mutex_lock(&lock);
    if (!loaded)
        status = espi_dynlib_load(ctx, ESPALIER_DNNL, false, symbols, ESPI_COUNT(symbols));
    loaded = !status;
    pthread_mutex_unlock(&lock);
    return status ? espi_fail_prefix(ctx, status, "oneDNN") : ESP_OK;
}
