#include "predict/upstream/answer_check.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <xxhash.h>

#include "base/json.h"
#include "base/mem.h"
#include "base/thread.h"
#include "format/request/fields.h"
#include "format/schema/schema.h"

#define QUOTED_BYTES 60 /* of an answer, in the message of its error */

/* A schema that was read; it changes no more. */
struct known {
    XXH128_hash_t content; /* of its text and its dialect */
    struct arena arena;    /* of its parse, which the schema refers to */
    struct schema *schema; /* NULL: it was refused */
    struct schema_fault fault;
    uint64_t used;       /* when it was taken last */
    uint32_t references; /* of the list and of those who took it */
};

struct answer_checks {
    pthread_mutex_t lock; /* guards all below, and each known's used and references */
    struct known *known[ANSWER_CHECK_SCHEMAS_MAX];
    uint32_t count;
    uint64_t taken; /* takes so far, the clock of `used` */
};

/* ---- Schemas ---- */

static void release_locked(struct known *k)
{
    assert(k->references > 0);
    if (--k->references)
        return;
    schema_free(k->schema);
    arena_release(&k->arena);
    mem_free(k);
}

static void release(struct answer_checks *c, struct known *k)
{
    lock(&c->lock);
    release_locked(k);
    unlock(&c->lock);
}

struct answer_checks *answer_checks_new(void)
{
    struct answer_checks *c = mem_alloc(sizeof *c);

    lock_init(&c->lock);
    return c;
}

void answer_checks_free(struct answer_checks *c)
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
        k->schema = schema_read(root, dialect, SCHEMA_CHECK, &k->fault);
        return k;
    }
    (void)snprintf(k->fault.message, sizeof k->fault.message, "The schema is over %zu bytes.",
                   SCHEMA_BYTES_MAX);
    (void)snprintf(k->fault.remedy, sizeof k->fault.remedy, "Shorten it.");
    return k;
}

/* Under the lock: the schema with this content, or NULL. */
static struct known *list_find(struct answer_checks *c, XXH128_hash_t content)
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
static void list_add(struct answer_checks *c, struct known *k)
{
    uint32_t at = 0;

    k->used = ++c->taken;
    k->references++;
    if (c->count < ANSWER_CHECK_SCHEMAS_MAX) {
        c->known[c->count++] = k;
        return;
    }
    for (uint32_t i = 1; i < c->count; i++)
        if (c->known[i]->used < c->known[at]->used)
            at = i;
    release_locked(c->known[at]);
    c->known[at] = k;
}

/* The schema of a request, read when it is not known; to be released. Two threads may read the same one at
 * once: the second keeps its own for this time. */
static struct known *take(struct answer_checks *c, const struct generation *g)
{
    enum schema_dialect dialect = g->json_schema ? SCHEMA_JSON : SCHEMA_GOOGLE;
    struct arena scratch = { 0 };
    struct str text = json_text(&scratch, g->json_schema ? g->json_schema : g->schema);
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
    return k;
}

bool answer_check_wanted(const struct request *r)
{
    return r->kind == REQUEST_GENERATE && r->generation.form != ANSWER_TEXT;
}

bool answer_checks_can(struct answer_checks *c, const struct request *r, struct violation *why)
{
    const struct generation *g = &r->generation;

    if (!answer_check_wanted(r) || g->form != ANSWER_JSON || (!g->schema && !g->json_schema))
        return true;
    struct known *k = take(c, g);
    bool can = k->schema != NULL;
    if (!can) {
        *why = (struct violation){ 0 };
        (void)snprintf(why->path, sizeof why->path, "generationConfig.%s%s%.155s",
                       g->json_schema ? "responseJsonSchema" : "responseSchema",
                       k->fault.path[0] && k->fault.path[0] != '[' ? "." : "", k->fault.path);
        (void)snprintf(why->message, sizeof why->message, "%s", k->fault.message);
        (void)snprintf(why->remedy, sizeof why->remedy, "%s", k->fault.remedy);
    }
    release(c, k);
    return can;
}

/* ---- One text ---- */

/* The check of one answer. */
struct inspection {
    struct answer_checks *all;
    const struct generation *g;
    struct arena arena;
    struct error *e;
};

static struct str begin_of(struct str text)
{
    text = str_cut(text, QUOTED_BYTES);
    text.len = str_utf8_valid(text);
    return text;
}

static int check_enum(struct inspection *k, struct str text)
{
    yyjson_val *schema = k->g->schema ? k->g->schema : k->g->json_schema, *value;
    struct values it = values_of(request_field(schema, "enum"));

    while ((value = values_next(&it)))
        if (str_eq(json_str(value), text))
            return 0;
    return error_set(k->e, ERROR_INTERNAL, "The answer %s is not one of the enum's values.",
                     quote(begin_of(text)).text);
}

/* "$.items[2].price is too small (properties.items...)": the fault's sentence with the place in it. */
static int check_schema(struct inspection *k, yyjson_val *value)
{
    static const struct str subject = STR_INIT("The value ");
    struct schema_fault why;
    struct known *known;
    int rc = 0;

    if (!k->g->schema && !k->g->json_schema)
        return 0;
    known = take(k->all, k->g);
    if (!known->schema)
        rc = error_set(k->e, ERROR_INVALID_ARGUMENT, "%s %s", known->fault.message,
                       known->fault.remedy); /* validation did not ask this model */
    else if (!schema_matches(known->schema, value, &why)) {
        struct str says = str_of(why.message);
        if (str_starts(says, subject))
            says = str_sub(says, subject.len, says.len);
        rc = error_set(k->e, ERROR_INTERNAL, "The answer does not match the schema: %s %.*s",
                       why.path, STR_ARG(says));
    }
    release(k->all, known);
    return rc;
}

static int check_json(struct inspection *k, struct str text)
{
    struct error broken = { 0 };
    size_t at = 0;
    yyjson_val *value = json_parse(&k->arena, text, &at, &broken);
    struct buf path = BUF_INIT(SCHEMA_PATH_BYTES);
    int rc = 0;

    if (!value)
        return error_set(k->e, ERROR_INTERNAL,
                         "The answer %s is not JSON after %zu of %zu bytes: %s.",
                         quote(begin_of(text)).text, at, text.len, broken.msg);
    if (json_check(value, &path, &broken) < 0)
        rc = error_set(k->e, ERROR_INTERNAL, "The answer does not match the schema: $%s%s: %s.",
                       path.len && path.p[0] != '[' ? "." : "", path.p ? path.p : "", broken.msg);
    buf_release(&path);
    return rc < 0 ? -1 : check_schema(k, value);
}

/* ---- The answer ---- */

static bool is_text(yyjson_val *part)
{
    return yyjson_is_str(request_field(part, "text")) &&
           !yyjson_is_true(request_field(part, "thought"));
}

/* All texts of a candidate as one; false when it calls a function. */
static bool texts_of(struct arena *a, yyjson_val *parts, struct str *out)
{
    size_t i, max, total = 0, count = 0;
    struct str only = { 0 };
    yyjson_val *part;

    yyjson_arr_foreach(parts, i, max, part)
    {
        if (request_field(part, "functionCall"))
            return false;
        if (is_text(part)) {
            only = json_str(request_field(part, "text"));
            total += only.len;
            count++;
        }
    }
    *out = only;
    if (count < 2)
        return true;
    char *text = arena_alloc_raw(a, total + 1);
    *out = (struct str){ text, total };
    yyjson_arr_foreach(parts, i, max, part)
    {
        struct str piece = json_str(request_field(part, "text"));
        if (is_text(part) && piece.len) {
            memcpy(text, piece.p, piece.len);
            text += piece.len;
        }
    }
    return true;
}

/* 0 and whether the candidate ended by itself; -1 when it did and has not the form. */
static int check_candidate(struct inspection *k, yyjson_val *candidate, bool *ended)
{
    yyjson_val *parts = request_field(request_field(candidate, "content"), "parts");
    struct str text;

    *ended = str_eq_c(json_str(request_field(candidate, "finishReason")), "STOP");
    if (!*ended || !texts_of(&k->arena, parts, &text))
        return 0;
    return k->g->form == ANSWER_ENUM ? check_enum(k, text) : check_json(k, text);
}

static int check_candidates(struct inspection *k, yyjson_val *candidates, bool *complete)
{
    size_t i, max;
    yyjson_val *candidate;
    bool ended, all = yyjson_arr_size(candidates) > 0;

    yyjson_arr_foreach(candidates, i, max, candidate)
    {
        if (check_candidate(k, candidate, &ended) < 0)
            return max == 1 ? -1 : error_wrap(k->e, "Candidate %zu", i);
        all = all && ended;
    }
    *complete = all;
    return 0;
}

int answer_check(struct answer_checks *c, const struct request *r, struct str response,
                 bool *complete, struct error *e)
{
    struct inspection k = { .all = c, .g = &r->generation, .e = e };
    size_t at = 0;
    yyjson_val *root = json_parse(&k.arena, response, &at, e);
    int rc = -1;

    assert(answer_check_wanted(r));
    if (root)
        rc = check_candidates(&k, request_field(root, "candidates"), complete);
    arena_release(&k.arena);
    return rc;
}
