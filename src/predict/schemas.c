#include "predict/schemas.h"

#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <xxhash.h>

#include "base/json.h"
#include "base/mem.h"
#include "base/thread.h"
#include "format/tools/functions.h"

/* A schema that was read; it changes no more. */
struct known {
    struct known_schema base; /* first, so that a pointer to it is one to this */
    XXH128_hash_t content;    /* of its text and its dialect */
    struct arena arena;       /* of its parse, which the schema refers to */
    uint64_t used;            /* when it was taken last */
    uint32_t references;      /* of the list and of those who took it */
};

struct schemas {
    pthread_mutex_t lock; /* guards all below, and each known's used and references */
    struct known *known[SCHEMAS_KEPT_MAX];
    uint32_t count;
    uint64_t taken; /* takes so far, the clock of `used` */
};

static void release_locked(struct known *k)
{
    assert(k->references > 0);
    if (--k->references)
        return;
    schema_free(k->base.schema);
    arena_release(&k->arena);
    mem_free(k);
}

void schemas_release(struct schemas *c, const struct known_schema *k)
{
    lock(&c->lock);
    release_locked((struct known *)(uintptr_t)k);
    unlock(&c->lock);
}

struct schemas *schemas_new(void)
{
    struct schemas *c = mem_alloc(sizeof *c);

    lock_init(&c->lock);
    return c;
}

void schemas_free(struct schemas *c)
{
    if (!c)
        return;
    for (uint32_t i = 0; i < c->count; i++) {
        assert(c->known[i]->references == 1);
        release_locked(c->known[i]);
    }
    lock_destroy(&c->lock);
    mem_free(c);
}

/* Reads a schema from its text. */
static struct known *known_new(struct str text, XXH128_hash_t content, enum schema_dialect dialect)
{
    struct known *k = mem_alloc(sizeof *k);
    struct error e = { 0 };
    yyjson_val *root = NULL;
    size_t at;

    k->content = content;
    k->references = 1;
    if (text.len <= SCHEMA_BYTES_MAX)
        root = json_parse(&k->arena, text, &at, &e);
    if (root) {
        k->base.schema = schema_read(root, dialect, SCHEMA_CHECK, &k->base.fault);
        return k;
    }
    (void)snprintf(k->base.fault.message, sizeof k->base.fault.message,
                   "The schema is over %zu bytes.", SCHEMA_BYTES_MAX);
    (void)snprintf(k->base.fault.remedy, sizeof k->base.fault.remedy, "Shorten it.");
    return k;
}

/* Under the lock: the schema with this content, or NULL. */
static struct known *list_find(struct schemas *c, XXH128_hash_t content)
{
    for (uint32_t i = 0; i < c->count; i++) {
        struct known *k = c->known[i];
        if (!XXH128_isEqual(k->content, content))
            continue;
        k->used = ++c->taken;
        k->references++;
        return k;
    }
    return NULL;
}

/* Under the lock: into the list, in place of the least recently used when that is full. */
static void list_add(struct schemas *c, struct known *k)
{
    uint32_t at = 0;

    k->used = ++c->taken;
    k->references++;
    if (c->count < SCHEMAS_KEPT_MAX) {
        c->known[c->count++] = k;
        return;
    }
    for (uint32_t i = 1; i < c->count; i++)
        if (c->known[i]->used < c->known[at]->used)
            at = i;
    release_locked(c->known[at]);
    c->known[at] = k;
}

/* Two threads may read the same one at once: the second keeps its own for this time. */
const struct known_schema *schemas_take(struct schemas *c, yyjson_val *written,
                                        enum schema_dialect dialect)
{
    struct arena scratch = { 0 };
    struct str text = json_text(&scratch, written);
    XXH128_hash_t content = XXH3_128bits_withSeed(text.p, text.len, (XXH64_hash_t)dialect);

    lock(&c->lock);
    struct known *k = list_find(c, content), *first;
    unlock(&c->lock);
    if (!k) {
        k = known_new(text, content, dialect);
        lock(&c->lock);
        first = list_find(c, content);
        if (first)
            release_locked(first);
        else
            list_add(c, k);
        unlock(&c->lock);
    }
    arena_release(&scratch);
    return &k->base;
}

void schema_fault_text(const struct schema_fault *why, char text[FAULT_TEXT_BYTES])
{
    static const struct str subject = STR_INIT("The value ");
    struct str says = str_of(why->message);

    if (str_starts(says, subject))
        says = str_sub(says, subject.len, says.len);
    (void)snprintf(text, FAULT_TEXT_BYTES, "%s %.*s", why->path, STR_ARG(says));
}

int schemas_check_call(struct schemas *c, const struct request *r, struct str name,
                       yyjson_val *args, struct error *e)
{
    char text[FAULT_TEXT_BYTES];
    struct schema_fault why;
    struct function f;
    int rc = 0;

    if (!function_find(r, name, &f))
        return error_set(e, ERROR_INTERNAL,
                         "The answer calls %s, which is not declared or not allowed.",
                         quote(name).text);
    if (!f.schema)
        return 0;
    const struct known_schema *k = schemas_take(c, f.schema, f.dialect);
    if (k->schema && !schema_matches(k->schema, args, &why)) {
        schema_fault_text(&why, text);
        rc = error_set(e, ERROR_INTERNAL, "The call of %s does not match its parameters: %s",
                       quote(name).text, text);
    }
    schemas_release(c, k);
    return rc;
}
