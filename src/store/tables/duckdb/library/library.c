#include "store/tables/duckdb/library/library.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/env.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/thread.h"

#define PATH_BYTES 4096

static pthread_mutex_t lock_of_library = PTHREAD_MUTEX_INITIALIZER; /* guards the two below */
static struct duckdb_library library;
static bool is_loaded;

static void *open_beside_program(void)
{
    char path[PATH_BYTES + 64];
    ssize_t n = readlink("/proc/self/exe", path, PATH_BYTES);

    if (n <= 0 || n >= PATH_BYTES)
        return NULL;
    path[n] = '\0';
    char *slash = strrchr(path, '/');
    if (!slash)
        return NULL;
    memcpy(slash, "/../lib/tranche/libduckdb.so", sizeof "/../lib/tranche/libduckdb.so");
    return dlopen(path, RTLD_NOW | RTLD_LOCAL);
}

static void *open_library(void)
{
    const char *named = env_get("TRANCHE_DUCKDB");

    if (named)
        return dlopen(named, RTLD_NOW | RTLD_LOCAL);
    void *handle = open_beside_program();
    return handle ? handle : dlopen(TRANCHE_DUCKDB, RTLD_NOW | RTLD_LOCAL);
}

static bool find_all(void *handle, struct duckdb_library *out)
{
    const struct {
        const char *name;
        void *place;
    } wanted[] = {
#define X(name) { "duckdb_" #name, &out->name },
        DUCKDB_CALLS(X)
#undef X
    };

    for (size_t i = 0; i < ARRAY_LEN(wanted); i++) {
        void *found = dlsym(handle, wanted[i].name);
        if (!found)
            return false;
        memcpy(wanted[i].place, &found,
               sizeof found); /* ISO C has no cast from void * to a function */
    }
    return true;
}

/* Functions of C++ by their mangled names: those of the version that scripts/pins names. */
static void find_unicode(void *handle, struct duckdb_library *out)
{
    const struct {
        const char *name;
        void *place;
    } wanted[] = {
        { "_ZN6duckdb12utf8proc_mapEPKhlPPhNS_17utf8proc_option_tE", &out->utf8proc_map },
        { "_ZN6duckdb16utf8proc_toupperEi", &out->utf8proc_upper },
        { "_ZN6duckdb16utf8proc_tolowerEi", &out->utf8proc_lower },
    };

    for (size_t i = 0; i < ARRAY_LEN(wanted); i++) {
        void *found = dlsym(handle, wanted[i].name);
        memcpy(wanted[i].place, &found, sizeof found);
    }
}

/* The handle is never closed: DuckDB's threads and data live as long as the process. */
static int load(struct error *e)
{
    void *handle = open_library();

    if (!handle) {
        const char *why = dlerror(); // NOLINT(concurrency-mt-unsafe): under our lock
        return error_set(e, ERROR_UNIMPLEMENTED,
                         "The library of DuckDB, which reads tables, cannot be loaded (%s). Run "
                         "scripts/setup, or name it in TRANCHE_DUCKDB.",
                         why ? why : "no reason");
    }
    if (!find_all(handle, &library))
        return error_set(e, ERROR_UNIMPLEMENTED,
                         "The library of DuckDB is older than this program needs; it needs 1.5.");
    find_unicode(handle, &library);
    return 0;
}

const struct duckdb_library *duckdb_library(struct error *e)
{
    lock(&lock_of_library);
    if (!is_loaded)
        is_loaded = load(e) == 0;
    bool loaded = is_loaded;
    unlock(&lock_of_library);
    return loaded ? &library : NULL;
}
