#include "store/tables/duckdb/catalog.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/thread.h"
#include "format/sql/sql.h"
#include "store/tables/duckdb/engine.h"

#define SCHEMA_BYTES_MAX ((size_t)16 * 1024 * 1024)
#define RETRY_MS 5
#define PHYSICAL_TRIES 1000
#define COUNTED_ROWS 200000 /* a bigger table's bytes are estimated from its first rows */

static const char *const reserved[] = { "main",       "_tranche", "information_schema",
                                        "pg_catalog", "temp",     "system" };

int not_found(struct error *e, const struct tables_name *name)
{
    struct arena a = { 0 };

    error_set(e, ERROR_NOT_FOUND, "Not found: %s %s", name->table.len ? "Table" : "Dataset",
              tables_text(&a, name));
    arena_release(&a);
    return -1;
}

int already_exists(struct error *e, const struct tables_name *name)
{
    struct arena a = { 0 };

    error_set(e, ERROR_ALREADY_EXISTS, "Already Exists: %s %s",
              name->table.len ? "Table" : "Dataset", tables_text(&a, name));
    arena_release(&a);
    return -1;
}

void etag_write(char out[TABLES_ETAG_BYTES], int64_t created_ms, int64_t version)
{
    (void)snprintf(out, TABLES_ETAG_BYTES, "%llx-%llx", (unsigned long long)created_ms,
                   (unsigned long long)version);
}

int etag_check(const char *given, const char *is, const char *what, struct error *e)
{
    if (!given[0] || strcmp(given, is) == 0)
        return 0;
    return error_set(e, ERROR_ABORTED, "Precondition Failed: the %s has changed: its etag is %s",
                     what, is);
}

/* ---- Changes ---- */

int project_change(struct project *p, int (*run)(struct project *p, void *arg, struct error *e),
                   void *arg, struct error *e)
{
    struct clock *clock = clock_system();
    int rc = -1;

    lock(&p->lock);
    for (int i = 0; i < CHANGE_TRIES; i++) {
        if (i)
            clock->sleep_ns(clock, RETRY_MS * NS_PER_MS);
        rc = sql_begin(&p->meta, e);
        if (rc < 0)
            break;
        rc = sql_end(&p->meta, run(p, arg, e), e);
        if (rc == 0 || e->code != ERROR_ABORTED || str_starts(str_of(e->msg), STR("Precondition")))
            break;
    }
    unlock(&p->lock);
    return rc;
}

/* ---- Texts ---- */

void catalog_add_path(const struct project *p, struct buf *sql, struct str dataset_physical,
                      struct str physical)
{
    sql_name(sql, p->catalog);
    buf_add_char(sql, '.');
    sql_name(sql, dataset_physical);
    buf_add_char(sql, '.');
    sql_name(sql, physical);
}

void catalog_add_columns(struct buf *sql, const struct bq_schema *schema,
                         const struct str *defaults)
{
    buf_add_char(sql, '(');
    for (uint32_t i = 0; i < schema->count; i++) {
        const struct bq_field *f = &schema->field[i];
        buf_add_c(sql, i ? ", " : "");
        sql_name(sql, f->name);
        buf_add_char(sql, ' ');
        sql_duckdb_type(sql, f);
        if (f->mode == BQ_REQUIRED)
            buf_add_c(sql, " NOT NULL");
        if (defaults && defaults[i].len) {
            buf_add_c(sql, " DEFAULT (");
            buf_add_str(sql, defaults[i]);
            buf_add_char(sql, ')');
        }
    }
    buf_add_char(sql, ')');
}

/* A table that is partitioned by the time of loading keeps that time in a column of the engine, behind all others,
 * which only _PARTITIONTIME and _PARTITIONDATE of a query name. NULL: it is not such a table. */
const char *catalog_partition_unit(const struct tables_table *t)
{
    static const char *const units[] = { "HOUR", "DAY", "MONTH", "YEAR" };
    struct arena a = { 0 };
    struct error ignored;
    size_t at;
    yyjson_val *options = t->options.len ? json_parse(&a, t->options, &at, &ignored) : NULL;
    yyjson_val *partitions = json_get(options, "timePartitioning");
    struct str type = json_str(json_get(partitions, "type"));
    const char *unit = partitions && !json_get(partitions, "field") ? "DAY" : NULL;

    for (size_t i = 0; unit && i < ARRAY_LEN(units); i++)
        if (str_eq_c(type, units[i]))
            unit = units[i];
    arena_release(&a);
    return unit;
}

/* Behind rename or CREATE TABLE, in the same change. */
int catalog_add_partition_time(struct project *p, const struct tables_table *t,
                               struct str dataset_physical, struct str physical, struct error *e)
{
    struct connection *c = &p->meta;
    const char *unit = t->schema.count ? catalog_partition_unit(t) : NULL;

    if (!unit)
        return 0;
    /* Not with its default at once: for one that is not a constant the engine would change its settings. */
    for (size_t i = 0; i < 3; i++) {
        sql_start(c, i < 2 ? "ALTER TABLE " : "UPDATE ");
        catalog_add_path(p, &c->sql, dataset_physical, physical);
        sql_addf(c, "%s " PARTITION_TIME " ",
                 i == 0   ? " ADD COLUMN"
                 : i == 1 ? " ALTER COLUMN"
                          : " SET");
        if (i == 0)
            sql_addf(c, "TIMESTAMPTZ");
        else
            sql_addf(c, "%s date_trunc('%s', now())", i == 1 ? "SET DEFAULT" : "=", unit);
        if (sql_run(c, e) < 0)
            return -1;
    }
    return 0;
}

struct str schema_text(struct arena *a, const struct bq_schema *schema)
{
    struct buf text = BUF_INIT(SCHEMA_BYTES_MAX);
    struct json_writer w = JSON_WRITER(&text);

    bq_schema_write(&w, NULL, schema, false);
    struct str out = { arena_copy(a, text.p, text.len), text.len };
    buf_release(&text);
    return out;
}

/* ---- Finding ---- */

#define DATASET_COLUMNS                                                                            \
    "name, physical, options, default_expiration_ms, created_ms, changed_ms, version"

static void read_dataset(const struct project *p, const struct bq_cell *cell,
                         struct dataset_row *out)
{
    *out = (struct dataset_row){
        .d = { .name = { .project = str_of(p->name), .dataset = cell[0].text },
               .options = cell[2].text,
               .default_expiration_ms = cell_number(cell[3]),
               .created_ms = cell_number(cell[4]),
               .changed_ms = cell_number(cell[5]) },
        .physical = cell[1].text,
        .version = cell_number(cell[6]),
    };
    etag_write(out->d.etag, out->d.created_ms, out->version);
}

int catalog_find_dataset(struct project *p, struct str dataset, struct arena *a,
                         struct dataset_row *out, struct error *e)
{
    struct grid found;

    if (str_eq(dataset, p->results)) { /* it is there from the beginning, without a record */
        *out =
            (struct dataset_row){ .d.name = { .project = str_of(p->name), .dataset = p->results },
                                  .physical = p->results };
        etag_write(out->d.etag, 0, 0);
        return 1;
    }
    sql_start(&p->meta, "SELECT " DATASET_COLUMNS " FROM _tranche.dataset WHERE name = ");
    sql_add_text(&p->meta, dataset);
    if (sql_fetch(&p->meta, a, &found, e) < 0)
        return -1;
    if (found.rows)
        read_dataset(p, found.cell, out);
    return found.rows > 0;
}

int catalog_need_dataset(struct project *p, const struct tables_name *name, struct arena *a,
                         struct dataset_row *out, struct error *e)
{
    struct tables_name dataset = { name->project, name->dataset, { NULL, 0 } };
    int found = catalog_find_dataset(p, name->dataset, a, out, e);

    return found > 0 ? 0 : found < 0 ? -1 : not_found(e, &dataset);
}

static_assert(TABLES_TABLE == 0 && TABLES_VIEW == 1, "kinds in the records");

enum tables_kind catalog_kind(struct bq_cell cell)
{
    return cell_number(cell) ? TABLES_VIEW : TABLES_TABLE;
}

#define TABLE_COLUMNS                                                                              \
    "name, physical, kind, columns, view_query, options, expires_ms, created_ms, changed_ms, "     \
    "version"

static int read_table(const struct project *p, const struct tables_name *name,
                      const struct bq_cell *cell, struct arena *a, struct table_row *out,
                      struct error *e)
{
    *out = (struct table_row){
        .t = { .name = { str_of(p->name), name->dataset, cell[0].text },
               .kind = catalog_kind(cell[2]),
               .view_query = cell[4].text,
               .view_names = cell_number(cell[2]) == KIND_NAMED_VIEW,
               .options = cell[5].text,
               .expires_ms = cell_number(cell[6]),
               .created_ms = cell_number(cell[7]),
               .changed_ms = cell_number(cell[8]),
               .rows = -1,
               .bytes = -1 },
        .physical = cell[1].text,
        .version = cell_number(cell[9]),
    };
    etag_write(out->t.etag, out->t.created_ms, out->version);
    return bq_schema_parse_stored(cell[3].text, a, &out->t.schema, e);
}

/* The dataset is found already. */
static int find_in(struct project *p, const struct dataset_row *d, const struct tables_name *name,
                   struct arena *a, struct table_row *out, struct error *e)
{
    struct connection *c = &p->meta;
    struct grid found;

    sql_start(c, "SELECT " TABLE_COLUMNS " FROM _tranche.relation WHERE dataset = ");
    sql_add_text(c, name->dataset);
    sql_addf(c, " AND name = ");
    sql_add_text(c, name->table);
    sql_addf(c, " AND (expires_ms = 0 OR expires_ms > %lld)", (long long)project_now_ms(p));
    if (sql_fetch(c, a, &found, e) < 0)
        return -1;
    if (!found.rows)
        return 0;
    if (read_table(p, name, found.cell, a, out, e) < 0)
        return -1;
    out->dataset_physical = d->physical;
    return 1;
}

int catalog_find_table(struct project *p, const struct tables_name *name, struct arena *a,
                       struct table_row *out, struct error *e)
{
    struct dataset_row d;
    int found = catalog_find_dataset(p, name->dataset, a, &d, e);

    return found > 0 ? find_in(p, &d, name, a, out, e) : found;
}

int catalog_need_table(struct project *p, const struct tables_name *name, struct arena *a,
                       struct table_row *out, struct error *e)
{
    struct dataset_row d;

    if (catalog_need_dataset(p, name, a, &d, e) < 0)
        return -1;
    int found = find_in(p, &d, name, a, out, e);
    return found > 0 ? 0 : found < 0 ? -1 : not_found(e, name);
}

/* ---- Names of the engine ---- */

static bool is_reserved(const struct project *p, struct str name)
{
    for (size_t i = 0; i < ARRAY_LEN(reserved); i++)
        if (str_eq_c(name, reserved[i]))
            return true;
    return str_eq(name, p->catalog);
}

/* dataset_physical empty: the name of a schema is wanted. */
int catalog_free_name(struct project *p, struct str dataset_physical, struct str name,
                      struct arena *a, struct str *out, struct error *e)
{
    struct connection *c = &p->meta;
    bool schema = !dataset_physical.len;

    for (int i = 1; i <= PHYSICAL_TRIES; i++) {
        int64_t taken = 0;
        *out = i == 1 ? (struct str){ arena_copy(a, name.p, name.len), name.len }
                      : str_of(arena_textf(a, "%.*s~%d", STR_ARG(name), i));
        if (schema && is_reserved(p, *out))
            continue;
        sql_start(
            c,
            "SELECT count(*) FROM %s WHERE database_name = current_database() AND lower(%s) = "
            "lower(",
            schema ? "duckdb_schemas()"
                   : "(SELECT database_name, schema_name, table_name FROM duckdb_tables() UNION ALL"
                     " SELECT database_name, schema_name, view_name FROM duckdb_views())",
            schema ? "schema_name" : "table_name");
        sql_add_text(c, *out);
        sql_addf(c, ")");
        if (!schema) {
            sql_addf(c, " AND schema_name = ");
            sql_add_text(c, dataset_physical);
        }
        if (sql_fetch_number(c, 0, &taken, e) < 0)
            return -1;
        if (!taken)
            return 0;
    }
    return error_set(e, ERROR_RESOURCE_EXHAUSTED,
                     "Too many names that differ from %.*s by case only.",
                     STR_ARG(str_cut(name, 200)));
}

/* ---- Sizes ---- */

/* Bytes of one value of each type; 0: the length of its text and 2. */
static const uint8_t value_bytes[BQ_TYPE_COUNT] = {
    [BQ_INTEGER] = 8,     [BQ_FLOAT] = 8,     [BQ_BOOLEAN] = 1,  [BQ_TIMESTAMP] = 8,
    [BQ_DATE] = 8,        [BQ_TIME] = 8,      [BQ_DATETIME] = 8, [BQ_NUMERIC] = 16,
    [BQ_BIGNUMERIC] = 32, [BQ_INTERVAL] = 16, [BQ_RANGE] = 16,
};

/* Sum over all rows. A nested value counts as its text, which is near enough. */
static void add_size(struct buf *sql, const struct bq_field *f)
{
    bool nested = f->type == BQ_RECORD;

    if (f->mode == BQ_REPEATED && !nested && value_bytes[f->type]) {
        buf_add_c(sql, "coalesce(sum(len(");
        sql_name(sql, f->name);
        buf_addf(sql, ")), 0) * %u", value_bytes[f->type]);
    } else if (f->mode != BQ_REPEATED && !nested && value_bytes[f->type]) {
        buf_add_c(sql, "count(");
        sql_name(sql, f->name);
        buf_addf(sql, ") * %u", value_bytes[f->type]);
    } else {
        bool bytes = f->mode != BQ_REPEATED && f->type == BQ_BYTES;
        buf_add_c(sql, bytes ? "coalesce(sum(octet_length(" : "coalesce(sum(strlen(CAST(");
        sql_name(sql, f->name);
        buf_add_c(sql, bytes ? ") + 2), 0)" : " AS VARCHAR)) + 2), 0)");
    }
}

int catalog_count(struct project *p, struct table_row *row, struct error *e)
{
    struct connection *c = &p->meta;
    int64_t counted = 0;

    row->t.rows = row->t.bytes = 0;
    if (row->t.kind != TABLES_TABLE || !row->physical.len)
        return 0;
    sql_start(c, "SELECT count(*) FROM ");
    catalog_add_path(p, &c->sql, row->dataset_physical, row->physical);
    if (sql_fetch_number(c, 0, &row->t.rows, e) < 0)
        return -1;
    sql_start(c, "SELECT CAST(");
    for (uint32_t i = 0; i < row->t.schema.count; i++) {
        sql_addf(c, i ? " + " : "");
        add_size(&c->sql, &row->t.schema.field[i]);
    }
    sql_addf(c, " AS BIGINT) FROM (FROM ");
    catalog_add_path(p, &c->sql, row->dataset_physical, row->physical);
    sql_addf(c, " LIMIT %d)", COUNTED_ROWS);
    if (sql_fetch_number(c, 0, &counted, e) < 0)
        return -1;
    row->t.bytes = row->t.rows <= COUNTED_ROWS
                       ? counted
                       : (int64_t)((double)counted / COUNTED_ROWS * (double)row->t.rows);
    return 0;
}
