/* Goal: no text crashes the reader of GoogleSQL or the writer of DuckDB SQL, and each is read, or refused with a valid
 * message; what is written is bounded and its quotes are closed.
 * Method: parse, then write every step against a catalog with one table for any name. */
#include <assert.h>

#include "format/sql/sql.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct bq_field fields[] = {
    { .name = STR_INIT("b"), .type = BQ_STRING },
    { .name = STR_INIT("j"), .type = BQ_JSON },
};
static struct bq_field columns[] = {
    { .name = STR_INIT("a"), .type = BQ_INTEGER },
    { .name = STR_INIT("s"), .type = BQ_RECORD, .fields = fields, .field_count = 2 },
    { .name = STR_INIT("l"),
      .type = BQ_RECORD,
      .mode = BQ_REPEATED,
      .fields = fields,
      .field_count = 2 },
};

static int find(void *arg, const struct sql_name *name, struct arena *a, struct sql_table *out,
                struct error *e)
{
    (void)arg;
    (void)a;
    if (str_eq_c(name->table, "none"))
        return error_set(e, ERROR_NOT_FOUND, "Not found: Table p:d.none");
    *out = (struct sql_table){ .physical = STR("\"d\".\"t\""), .schema = { columns, 3 } };
    return 0;
}

static int wildcard(void *arg, const struct sql_name *name, struct arena *a,
                    struct sql_wildcard *out, struct error *e)
{
    out->count = 1;
    out->suffix = arena_array(a, 1, sizeof(*out->suffix));
    out->suffix[0] = STR("1");
    out->table = arena_array(a, 1, sizeof(*out->table));
    return find(arg, name, a, out->table, e);
}

/* Outside of quotes there is neither a comment nor a semicolon, and every quote is closed. */
static void check_quotes(struct str sql)
{
    char quote = '\0';

    for (size_t i = 0; i < sql.len; i++) {
        char c = sql.p[i];
        assert(c != '\0');
        if (quote) {
            quote = c == quote ? '\0' : quote;
        } else {
            assert(c != ';' && !(c == '-' && i + 1 < sql.len && sql.p[i + 1] == '-'));
            quote = c == '\'' || c == '"' ? c : '\0';
        }
    }
    assert(!quote);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct sql_catalog catalog = { .find = find, .wildcard = wildcard };
    static const struct bq_parameter parameter = { .name = STR_INIT("p"),
                                                   .type = { .type = BQ_DATE } };
    static const struct sql_variable variable = { STR_INIT("v"), { .type = BQ_INTEGER } };
    const struct sql_env env = {
        .project = STR("p"),
        .parameter = &parameter,
        .parameter_count = 1,
        .variable = &variable,
        .variable_count = 1,
        .dry_run = size % 2,
        .catalog = &catalog,
    };
    struct arena a = { 0 };
    struct error e = { 0 };
    struct sql_script *s = sql_parse(&a, (struct str){ (const char *)data, size }, &e);

    if (!s)
        assert(e.code && str_utf8_valid(str_of(e.msg)) > 0);
    for (uint32_t i = 0; s && i < s->count; i++) {
        struct sql_written w;
        assert(s->step[i].target <= s->count);
        if (!s->step[i].inner)
            continue;
        if (sql_write(s, &s->step[i], &env, &a, &w, &e) < 0)
            assert(e.code && str_utf8_valid(str_of(e.msg)) > 0);
        else
            check_quotes(w.sql);
    }
    arena_release(&a);
    return 0;
}
