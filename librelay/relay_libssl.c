/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "config.h"
#include "relay_libssl.h"

#ifdef RELAY_HIREDIS_SSL
#include <dlfcn.h>
#include <stdint.h>

static struct {
    relay_libssl libssl;
    int loaded;
} it;

/* What dh_dlopenlibdeps and its like read: "ELF dlopen metadata" of the UAPI group. */
#define DLOPEN_NOTE \
    "[{\"feature\":\"tls\",\"description\":\"Redis by TLS (rediss://, sentinels://)\"," \
    "\"priority\":\"recommended\",\"soname\":[\"" RELAY_HIREDIS_SSL "\"]}]"
__attribute__((used, section(".note.dlopen"), aligned(4))) static const struct {
    uint32_t name_size, text_size, type;
    char name[4];
    char text[sizeof(DLOPEN_NOTE)];
} dlopen_note = {4, sizeof(DLOPEN_NOTE), 0x407c0c0a, "FDO", DLOPEN_NOTE};

/* Looks in the library and in those that it brings. */
static int find(void *library, void *function, const char *name)
{
    void *found = dlsym(library, name);

    memcpy(function, &found, sizeof(found));
    return found != NULL;
}

const char *relay_libssl_load(apr_pool_t *p)
{
    void *library;

    if (it.loaded)
        return NULL;
    library = dlopen(RELAY_HIREDIS_SSL, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
#define FIND(f) &&find(library, &it.libssl.f, #f)
    if (library RELAY_LIBSSL(FIND)) {
        it.loaded = 1;
        return NULL;
    }
    return apr_psprintf(p,
                        "rediss:// and sentinels:// need hiredis's TLS, which cannot be loaded: %s "
                        "(Debian: apt-get install " RELAY_HIREDIS_SSL_PACKAGE ")",
                        dlerror()); /* NOLINT(concurrency-mt-unsafe): see the header */
}

const relay_libssl *relay_libssl_get(void)
{
    return &it.libssl;
}
#else
const char *relay_libssl_load(apr_pool_t *p)
{
    return "rediss:// and sentinels:// need hiredis 1.0 or later with TLS; this build has none. "
           "Use a Unix socket, or a TLS tunnel";
}
#endif
