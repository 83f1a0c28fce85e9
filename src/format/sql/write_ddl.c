/* write_ddl.c -- see write.h: DDL as a description (sql.h): columns, partitions and options as the REST resource has them. */
#include "format/sql/lexer.h"
#include "format/sql/write.h"

/* ---- Options ---- */

enum option_form {
    FORM_TEXT,
    FORM_BOOL,
    FORM_NUMBER,        /* an integer, as a text */
    FORM_DAYS,          /* days, as milliseconds in a text */
    FORM_LABELS,        /* [("key", "value"), ...] */
    FORM_TIME,          /* a TIMESTAMP that the engine must compute */
    FORM_PARTITION_DAYS /* days, within timePartitioning */
};

static const struct option_row {
    const char *name;
    unsigned int objects; /* bits of enum sql_object */
    enum option_form form;
    const char *member;
} option_rows[] = {
#define TABLES (1u << OBJECT_TABLE)
#define VIEWS (1u << OBJECT_VIEW)
#define SCHEMAS (1u << OBJECT_SCHEMA)
    { "DESCRIPTION", TABLES | VIEWS | SCHEMAS, FORM_TEXT, "description" },
    { "FRIENDLY_NAME", TABLES | VIEWS | SCHEMAS, FORM_TEXT, "friendlyName" },
    { "LABELS", TABLES | VIEWS | SCHEMAS, FORM_LABELS, "labels" },
    { "EXPIRATION_TIMESTAMP", TABLES | VIEWS, FORM_TIME, "expirationTime" },
    { "PARTITION_EXPIRATION_DAYS", TABLES, FORM_PARTITION_DAYS, "expirationMs" },
    { "REQUIRE_PARTITION_FILTER", TABLES, FORM_BOOL, "requirePartitionFilter" },
    { "KMS_KEY_NAME", TABLES, FORM_TEXT, "kmsKeyName" },
    { "DEFAULT_ROUNDING_MODE", TABLES | SCHEMAS, FORM_TEXT, "defaultRoundingMode" },
    { "ENABLE_CHANGE_HISTORY", TABLES, FORM_BOOL, "enableChangeHistory" },
    { "MAX_STALENESS", TABLES | VIEWS, FORM_TEXT, "maxStaleness" },
    { "ENABLE_REFRESH", VIEWS, FORM_BOOL, "enableRefresh" },
    { "REFRESH_INTERVAL_MINUTES", VIEWS, FORM_NUMBER, "refreshIntervalMinutes" },
    { "ALLOW_NON_INCREMENTAL_DEFINITION", VIEWS, FORM_BOOL, "allowNonIncrementalDefinition" },
    { "LOCATION", SCHEMAS, FORM_TEXT, "location" },
    { "DEFAULT_TABLE_EXPIRATION_DAYS", SCHEMAS, FORM_DAYS, "defaultTableExpirationMs" },
    { "DEFAULT_PARTITION_EXPIRATION_DAYS", SCHEMAS, FORM_DAYS, "defaultPartitionExpirationMs" },
    { "IS_CASE_INSENSITIVE", SCHEMAS, FORM_BOOL, "isCaseInsensitive" },
    { "MAX_TIME_TRAVEL_HOURS", SCHEMAS, FORM_NUMBER, "maxTimeTravelHours" },
    { "STORAGE_BILLING_MODEL", SCHEMAS, FORM_TEXT, "storageBillingModel" },
#undef TABLES
#undef VIEWS
#undef SCHEMAS
};

struct resource {
    struct sql_writer *w;
    struct buf text;
    struct json_writer json;
    struct str *expires_sql;
    struct expr *partition_days; /* written within timePartitioning */
    bool any;
};

static void resource_open(struct resource *r, struct sql_writer *w, struct str *expires_sql)
{
    *r = (struct resource){ .w = w,
                            .text = BUF_INIT(SQL_OUTPUT_BYTES_MAX),
                            .expires_sql = expires_sql };
    r->json = JSON_WRITER(&r->text);
    json_object(&r->json, NULL);
}

/* The object, in the arena; empty when it has no members. */
static struct str resource_close(struct resource *r)
{
    struct str out = { 0 };

    json_end(&r->json);
    if (r->any)
        out = (struct str){ arena_copy(r->w->arena, r->text.p, r->text.len), r->text.len };
    buf_release(&r->text);
    return out;
}

static int option_fail(struct resource *r, const struct option *o, const char *what)
{
    return write_fail(r->w, o->at, "Option %.*s needs %s", STR_ARG(o->name), what);
}

static int add_labels(struct resource *r, const struct option_row *row, const struct option *o)
{
    const struct expr *list = o->value;

    if (list->kind != EXPR_ARRAY)
        return option_fail(r, o, "an array of pairs");
    json_object(&r->json, row->member);
    for (uint32_t i = 0; i < list->count; i++) {
        const struct expr *pair = list->item[i];
        bool ok = pair->kind == EXPR_STRUCT && pair->count == 2 &&
                  pair->item[0]->kind == EXPR_STRING && pair->item[1]->kind == EXPR_STRING;
        if (!ok) {
            json_end(&r->json);
            return option_fail(r, o, "an array of pairs of strings");
        }
        json_key(&r->json, pair->item[0]->text);
        json_add_text(&r->json, NULL, pair->item[1]->text);
    }
    json_end(&r->json);
    return 0;
}

/* Days as milliseconds: a whole or a broken number. */
static bool days_of(const struct expr *x, int64_t *ms)
{
    double days = 0, scale = 1;
    bool point = false;

    if (x->kind != EXPR_INTEGER && x->kind != EXPR_FLOAT)
        return false;
    for (size_t i = 0; i < x->text.len; i++) {
        char c = x->text.p[i];
        if (c == '.' && !point) {
            point = true;
            continue;
        }
        if (c < '0' || c > '9')
            return false;
        days = days * 10 + (c - '0');
        scale *= point ? 10 : 1;
    }
    days /= scale;
    if (days > 3650000)
        return false;
    *ms = (int64_t)(days * 86400000.0);
    return true;
}

/* The engine computes when it is. */
static int add_time(struct resource *r, const struct option *o)
{
    struct sql_writer *w = r->w;
    size_t mark = write_mark(w);

    buf_add_c(&w->out, "SELECT epoch_ms(CAST(");
    if (write_expr(w, o->value) < 0)
        return -1;
    buf_add_c(&w->out, " AS TIMESTAMPTZ))");
    *r->expires_sql = write_take(w, mark);
    return 0;
}

static int add_option(struct resource *r, const struct option_row *row, const struct option *o)
{
    const struct expr *x = o->value;
    int64_t ms;

    if (row->form == FORM_PARTITION_DAYS) {
        r->partition_days = o->value;
        return days_of(x, &ms) || x->kind == EXPR_NULL ? 0 : option_fail(r, o, "a number of days");
    }
    if (row->form == FORM_TIME && x->kind != EXPR_NULL)
        return add_time(r, o);
    r->any = true;
    if (x->kind == EXPR_NULL) {
        json_add_null(&r->json, row->member);
        return 0;
    }
    switch (row->form) {
    case FORM_TEXT:
        if (x->kind != EXPR_STRING && x->kind != EXPR_INTERVAL)
            return option_fail(r, o, "a STRING");
        json_add_text(&r->json, row->member,
                      x->kind == EXPR_STRING ? x->text
                                             : str_sub(r->w->text, x->at, x->end - x->at));
        return 0;
    case FORM_BOOL:
        if (x->kind != EXPR_BOOL)
            return option_fail(r, o, "a BOOL");
        json_add_bool(&r->json, row->member, sql_word_is(x->text, "TRUE"));
        return 0;
    case FORM_NUMBER:
        if (x->kind != EXPR_INTEGER)
            return option_fail(r, o, "an INT64");
        json_add_text(&r->json, row->member, x->text);
        return 0;
    case FORM_DAYS:
        if (!days_of(x, &ms))
            return option_fail(r, o, "a number of days");
        json_addf(&r->json, row->member, "%lld", (long long)ms);
        return 0;
    case FORM_LABELS:
        return add_labels(r, row, o);
    case FORM_TIME:
    case FORM_PARTITION_DAYS:
        break;
    }
    return -1;
}

static int add_options(struct resource *r, const struct options *list, enum sql_object object)
{
    for (uint32_t i = 0; i < list->count; i++) {
        const struct option_row *row = NULL;
        for (size_t n = 0; n < ARRAY_LEN(option_rows); n++)
            if (option_rows[n].objects & 1u << object &&
                sql_word_is(list->item[i].name, option_rows[n].name))
                row = &option_rows[n];
        if (!row)
            return write_fail(r->w, list->item[i].at, "Unknown option: %.*s",
                              STR_ARG(list->item[i].name));
        if (add_option(r, row, &list->item[i]) < 0)
            return -1;
    }
    return 0;
}

/* ---- Partitions ---- */

static bool is_pseudo(const struct expr *x)
{
    return x->kind == EXPR_NAME &&
           (sql_word_is(x->text, "_PARTITIONTIME") || sql_word_is(x->text, "_PARTITIONDATE"));
}

static void add_time_partition(struct resource *r, struct str type, const struct expr *column)
{
    int64_t ms;

    json_object(&r->json, "timePartitioning");
    json_add_text(&r->json, "type", type);
    if (column && !is_pseudo(column))
        json_add_text(&r->json, "field", column->text);
    if (r->partition_days && days_of(r->partition_days, &ms))
        json_addf(&r->json, "expirationMs", "%lld", (long long)ms);
    json_end(&r->json);
}

/* RANGE_BUCKET(column, GENERATE_ARRAY(start, end, interval)) */
static int add_range_partition(struct resource *r, const struct expr *x)
{
    const struct expr *array = x->count == 2 ? x->item[1] : NULL;
    bool ok = array && x->item[0]->kind == EXPR_NAME && array->kind == EXPR_CALL &&
              sql_word_is(array->call->name, "GENERATE_ARRAY") &&
              (array->count == 2 || array->count == 3);

    for (uint32_t i = 0; ok && i < array->count; i++)
        ok = array->item[i]->kind == EXPR_INTEGER;
    if (!ok)
        return write_fail(
            r->w, x->at, "PARTITION BY RANGE_BUCKET needs a column and GENERATE_ARRAY of literals");
    json_object(&r->json, "rangePartitioning");
    json_add_text(&r->json, "field", x->item[0]->text);
    json_object(&r->json, "range");
    json_add_text(&r->json, "start", array->item[0]->text);
    json_add_text(&r->json, "end", array->item[1]->text);
    json_add_text(&r->json, "interval", array->count == 3 ? array->item[2]->text : STR("1"));
    json_end(&r->json);
    json_end(&r->json);
    return 0;
}

static int add_partition(struct resource *r, const struct expr *x)
{
    const struct sql_call call = { .expr = x, .item = x->item, .count = x->count };
    struct str part;

    r->any = true;
    if (x->kind == EXPR_NAME) {
        add_time_partition(r, STR("DAY"), x);
        return 0;
    }
    if (x->kind == EXPR_CALL && sql_word_is(x->call->name, "RANGE_BUCKET"))
        return add_range_partition(r, x);
    if (x->kind == EXPR_CALL && x->count == 1 && x->item[0]->kind == EXPR_NAME &&
        (sql_word_is(x->call->name, "DATE") || sql_word_is(x->call->name, "TIMESTAMP"))) {
        add_time_partition(r, STR("DAY"), x->item[0]);
        return 0;
    }
    if (x->kind == EXPR_CALL && x->count == 2 && x->item[0]->kind == EXPR_NAME &&
        (sql_word_is(x->call->name, "DATE_TRUNC") ||
         sql_word_is(x->call->name, "TIMESTAMP_TRUNC") ||
         sql_word_is(x->call->name, "DATETIME_TRUNC")) &&
        sql_call_part(&call, 1, &part) &&
        (sql_word_is(part, "HOUR") || sql_word_is(part, "DAY") || sql_word_is(part, "MONTH") ||
         sql_word_is(part, "YEAR"))) {
        add_time_partition(r, part, x->item[0]);
        return 0;
    }
    return write_fail(r->w, x->at,
                      "PARTITION BY expression must be DATE(<timestamp_column>), "
                      "DATE(<datetime_column>), DATE_TRUNC(<date_column>, MONTH/YEAR), "
                      "TIMESTAMP_TRUNC(<timestamp_column>, DAY/HOUR/MONTH/YEAR), "
                      "RANGE_BUCKET(<int64_column>, GENERATE_ARRAY(...)) or a DATE column");
}

static void add_clustering(struct resource *r, const struct ddl *d)
{
    if (!d->cluster_count)
        return;
    r->any = true;
    json_object(&r->json, "clustering");
    json_array(&r->json, "fields");
    for (uint32_t i = 0; i < d->cluster_count; i++)
        json_add_text(&r->json, NULL, d->cluster[i]);
    json_end(&r->json);
    json_end(&r->json);
}

/* ---- Columns ---- */

/* OPTIONS of a column: its description. *null: it was taken away. */
static int column_options(struct sql_writer *w, const struct options *list, struct bq_field *f,
                          bool *null)
{
    for (uint32_t i = 0; i < list->count; i++) {
        const struct option *o = &list->item[i];
        if (sql_word_is(o->name, "DESCRIPTION") && o->value->kind == EXPR_STRING)
            f->description = o->value->text;
        else if (sql_word_is(o->name, "DESCRIPTION") && o->value->kind == EXPR_NULL)
            *null = true;
        else if (!sql_word_is(o->name, "ROUNDING_MODE"))
            return write_fail(w, o->at, "Unknown option: %.*s", STR_ARG(o->name));
    }
    return 0;
}

/* A DEFAULT as DuckDB SQL: with the column's type. */
static int default_sql(struct sql_writer *w, const struct expr *x, const struct bq_field *type,
                       struct str *out)
{
    size_t mark = write_mark(w);

    if (!x)
        return 0;
    if (write_as(w, x, type) < 0)
        return -1;
    *out = write_take(w, mark);
    return 0;
}

static int write_column_defs(struct sql_writer *w, const struct ddl *d, struct sql_ddl *out)
{
    bool null;

    if (!d->column_count || d->object != OBJECT_TABLE)
        return 0;
    out->columns.field = arena_array(w->arena, d->column_count, sizeof(struct bq_field));
    out->default_sql = arena_array(w->arena, d->column_count, sizeof(struct str));
    for (uint32_t i = 0; i < d->column_count; i++) {
        struct bq_field *f = &out->columns.field[out->columns.count++];
        *f = d->column[i].field;
        if (!d->column[i].typed)
            return write_fail(w, d->column[i].at, "Column %.*s needs a type", STR_ARG(f->name));
        if (column_options(w, &d->column[i].options, f, &null) < 0 ||
            default_sql(w, d->column[i].default_value, f, &out->default_sql[i]) < 0)
            return -1;
    }
    return 0;
}

/* ---- Statements ---- */

static int write_alter(struct sql_writer *w, const struct ddl *d, const struct alter *a,
                       struct sql_alter *out)
{
    struct resource r;
    int rc;

    *out = a->out;
    if (a->out.kind == SQL_ALTER_DEFAULT && a->default_value) {
        size_t mark = write_mark(w);
        if (write_expr(w, a->default_value) < 0)
            return -1;
        out->default_sql = write_take(w, mark);
        return 0;
    }
    if (a->out.kind != SQL_ALTER_OPTIONS)
        return column_options(w, &a->options, &out->column, &out->description_null) < 0
                   ? -1
                   : default_sql(w, a->default_value, &out->column, &out->default_sql);
    resource_open(&r, w, &out->expires_sql);
    rc = add_options(&r, &a->options, d->object);
    if (rc == 0 && r.partition_days) {
        int64_t ms;
        r.any = true;
        json_object(&r.json, "timePartitioning");
        if (days_of(r.partition_days, &ms))
            json_addf(&r.json, "expirationMs", "%lld", (long long)ms);
        else
            json_add_null(&r.json, "expirationMs");
        json_end(&r.json);
    }
    out->options = resource_close(&r);
    return rc;
}

static int write_resource(struct sql_writer *w, const struct ddl *d, struct sql_ddl *out)
{
    struct resource r;
    int rc;

    resource_open(&r, w, &out->expires_sql);
    rc = add_options(&r, &d->options, d->object);
    if (rc == 0 && d->partition)
        rc = add_partition(&r, d->partition);
    add_clustering(&r, d);
    out->options = resource_close(&r);
    return rc;
}

int write_ddl(struct sql_writer *w, const struct ddl *d)
{
    struct sql_ddl *out = arena_alloc(w->arena, sizeof(*out));

    *out = d->out;
    w->written->ddl = out;
    w->written->target = d->out.name;
    if (write_column_defs(w, d, out) < 0 || write_resource(w, d, out) < 0)
        return -1;
    out->alter = arena_array(w->arena, d->alter_count, sizeof(*out->alter));
    out->alter_count = d->alter_count;
    for (uint32_t i = 0; i < d->alter_count; i++)
        if (write_alter(w, d, &d->alter[i], &out->alter[i]) < 0)
            return -1;
    return d->query ? write_query(w, d->query, false) : 0;
}
