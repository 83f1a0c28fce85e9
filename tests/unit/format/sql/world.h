/* world.h -- a project with a few tables for tests of format/sql: what the catalog's callbacks answer. */
#ifndef TRANCHE_TESTS_UNIT_FORMAT_SQL_WORLD_H
#define TRANCHE_TESTS_UNIT_FORMAT_SQL_WORLD_H

#include <string.h>

#include "format/sql/sql.h"

/* Tables d.t and d.u with a column of each kind, and d.ev_1, d.ev_2, which the wildcard d.ev_* finds; d.many_*
 * stands for the most tables that a wildcard may, d.more_* for one more. */
static const char world_columns[] =
    "[{\"name\":\"id\",\"type\":\"INTEGER\"},{\"name\":\"name\",\"type\":\"STRING\"},"
    "{\"name\":\"tags\",\"type\":\"STRING\",\"mode\":\"REPEATED\"},{\"name\":\"js\",\"type\":"
    "\"JSON\"},"
    "{\"name\":\"items\",\"type\":\"RECORD\",\"mode\":\"REPEATED\",\"fields\":[{\"name\":\"sku\","
    "\"type\":"
    "\"STRING\"},{\"name\":\"n\",\"type\":\"INTEGER\"}]},{\"name\":\"addr\",\"type\":\"RECORD\","
    "\"fields\":["
    "{\"name\":\"city\",\"type\":\"STRING\"},{\"name\":\"zip\",\"type\":\"RECORD\",\"fields\":[{"
    "\"name\":\"a\","
    "\"type\":\"INTEGER\"},{\"name\":\"b\",\"type\":\"INTEGER\"}]}]}]";

static int world_find(void *arg, const struct sql_name *name, struct arena *a,
                      struct sql_table *out, struct error *e)
{
    (void)arg;
    *out = (struct sql_table){ 0 };
    if ((!str_eq_c(name->dataset, "d") && name->dataset.len) || str_eq_c(name->project, "other") ||
        (!str_eq_c(name->table, "t") && !str_eq_c(name->table, "u")))
        return error_set(e, ERROR_NOT_FOUND, "Not found: Table p:%.*s.%.*s", STR_ARG(name->dataset),
                         STR_ARG(name->table));
    out->physical = str_of(arena_textf(a, "\"d\".\"%.*s\"", STR_ARG(name->table)));
    return bq_schema_parse(str_of(world_columns), a, &out->schema, e);
}

/* As many tables with one column. */
static int world_many(uint32_t count, struct arena *a, struct sql_wildcard *out, struct error *e)
{
    struct bq_schema one;

    if (bq_schema_parse(STR("[{\"name\":\"a\",\"type\":\"INTEGER\"}]"), a, &one, e) < 0)
        return -1;
    out->count = count;
    out->table = arena_array(a, count, sizeof(*out->table));
    out->suffix = arena_array(a, count, sizeof(*out->suffix));
    for (uint32_t i = 0; i < count; i++) {
        out->suffix[i] = str_of(arena_textf(a, "%u", i));
        out->table[i] = (struct sql_table){ .physical = STR("\"d\".\"m\""), .schema = one };
    }
    return 0;
}

static int world_wildcard(void *arg, const struct sql_name *name, struct arena *a,
                          struct sql_wildcard *out, struct error *e)
{
    static const char *const suffixes[] = { "2", "1" };

    (void)arg;
    if (str_eq_c(name->table, "many_") || str_eq_c(name->table, "more_"))
        return world_many(SQL_WILDCARD_MAX + str_eq_c(name->table, "more_"), a, out, e);
    if (!str_eq_c(name->table, "ev_"))
        return error_set(e, ERROR_NOT_FOUND, "Not found: Table p:d.%.*s*", STR_ARG(name->table));
    out->count = 2;
    out->table = arena_array(a, 2, sizeof(*out->table));
    out->suffix = arena_array(a, 2, sizeof(*out->suffix));
    for (uint32_t i = 0; i < 2; i++) {
        out->suffix[i] = str_of(suffixes[i]);
        out->table[i].physical = str_of(arena_textf(a, "\"d\".\"ev_%s\"", suffixes[i]));
        if (bq_schema_parse(i ? STR("[{\"name\":\"a\",\"type\":\"INTEGER\"}]")
                              : STR("[{\"name\":\"a\",\"type\":\"INTEGER\"},{\"name\":\"b\","
                                    "\"type\":\"DATE\"}]"),
                            a, &out->table[i].schema, e) < 0)
            return -1;
    }
    return 0;
}

static const struct sql_catalog world_catalog = { .find = world_find, .wildcard = world_wildcard };

static const struct bq_parameter world_parameters[] = {
    { .name = STR_INIT("Day"), .type = { .type = BQ_DATE } },
    { .name = STR_INIT("ids"), .type = { .type = BQ_INTEGER, .mode = BQ_REPEATED } },
};
static const struct sql_variable world_variables[] = {
    { STR_INIT("counter"), { .type = BQ_INTEGER } },
};
static const struct sql_env world_env = {
    .project = STR_INIT("p"),
    .default_dataset = { .project = STR_INIT("p"), .dataset = STR_INIT("d") },
    .parameter = world_parameters,
    .parameter_count = ARRAY_LEN(world_parameters),
    .variable = world_variables,
    .variable_count = ARRAY_LEN(world_variables),
    .catalog = &world_catalog,
};

/* Writes the last step of a text that has something to write. -1 with the error of the parse or of the step. */
static inline int world_write(struct arena *a, const char *text, struct sql_written *out,
                              struct error *e)
{
    struct sql_script *s = sql_parse(a, str_of(text), e);
    int rc = -1;

    for (uint32_t i = 0; s && i < s->count; i++)
        if (s->step[i].inner && (rc = sql_write(s, &s->step[i], &world_env, a, out, e)) < 0)
            return -1;
    return s ? rc : -1;
}

#endif
