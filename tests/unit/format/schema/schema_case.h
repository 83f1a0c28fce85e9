/* schema_case.h -- reading a schema in a test, and whether a grammar follows it. Include after cmocka.h. */
#ifndef TRANCHE_TESTS_SCHEMA_CASE_H
#define TRANCHE_TESTS_SCHEMA_CASE_H

#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "format/schema/schema.h"

struct reading {
    struct arena arena;
    struct schema *schema;
    struct schema_fault fault;
};

static inline yyjson_val *parse(struct arena *a, const char *json)
{
    struct error e = { 0 };
    size_t at;
    yyjson_val *v = json_parse(a, str_of(arena_copy(a, json, strlen(json))), &at, &e);

    if (!v)
        fail_msg("%s: %s", json, e.msg);
    return v;
}

static inline void read_text(struct reading *r, const char *json, enum schema_dialect dialect,
                             enum schema_use use)
{
    *r = (struct reading){ 0 };
    r->schema = schema_read(parse(&r->arena, json), dialect, use, &r->fault);
}

static inline void reading_release(struct reading *r)
{
    schema_free(r->schema);
    arena_release(&r->arena);
}

/* True when it can be made into a grammar; else the fault is in *r. */
static inline bool has_grammar(struct reading *r, const char *json, enum schema_dialect dialect)
{
    struct buf out = BUF_INIT(SCHEMA_GRAMMAR_BYTES_MAX);

    read_text(r, json, dialect, SCHEMA_GRAMMAR);
    bool ok = r->schema && schema_grammar(r->schema, &out, &r->fault);
    buf_release(&out);
    return ok;
}

static inline void assert_followed(const char *json, enum schema_dialect dialect, bool want)
{
    struct reading r;

    if (has_grammar(&r, json, dialect) != want)
        fail_msg("%.200s: %s %s", json, r.fault.path, r.fault.message);
    reading_release(&r);
}

#endif
