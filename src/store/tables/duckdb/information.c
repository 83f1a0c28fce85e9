/* information.c -- query.h: INFORMATION_SCHEMA, as queries over the records.
 *
 * Why: a view of it is a SELECT in brackets that format/sql puts in the place of the name, so that the rest of a
 *      query works on it as on any table. It shows what the project has, and of hidden datasets nothing.
 */
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/thread.h"
#include "store/tables/duckdb/engine.h"
#include "store/tables/duckdb/query.h"

#define INFORMATION_BYTES_MAX ((size_t)4 * 1024 * 1024)
#define COUNTED_TABLES_MAX 1000 /* of one look at PARTITIONS and others that count */

#define TIME(column) "make_timestamptz(" column " * 1000)"
#define OPTION(path) "json_extract_string(nullif(r.options, ''), '$." path "')"
#define TABLE_OF "catalog_name AS table_catalog, r.dataset AS table_schema, r.name AS table_name"
#define RELATIONS                                                                                  \
    " FROM (SELECT *, $project AS catalog_name FROM _tranche.relation) r WHERE NOT"                \
    " starts_with(r.dataset, '_') AND (r.expires_ms = 0 OR make_timestamptz(r.expires_ms * 1000) " \
    "> "                                                                                           \
    "now())"
#define FIELDS                                                                                     \
    " FROM (SELECT r.*, f.place, f.top, f.name AS column_name, f.path, f.type, f.nullable,"        \
    " f.description, f.default_value, $project AS catalog_name FROM _tranche.relation r JOIN"      \
    " _tranche.field f ON f.dataset = r.dataset AND f.relation = r.name) r WHERE NOT"              \
    " starts_with(r.dataset, '_')"
#define EMPTY(columns) "SELECT " columns " WHERE false"

/* $project stands for the project's name as a literal. schema_column: what a dataset's name is compared with. */
// clang-format off
static const struct {
    const char *name, *schema_column, *select;
} views[] = {
    { "SCHEMATA", "schema_name",
      "SELECT $project AS catalog_name, d.name AS schema_name, CAST(NULL AS VARCHAR) AS schema_owner, "
      TIME("d.created_ms") " AS creation_time, " TIME("d.changed_ms") " AS last_modified_time, "
      "coalesce(json_extract_string(nullif(d.options, ''), '$.location'), 'US') AS location, "
      "CAST(NULL AS VARCHAR) AS ddl, json_extract_string(nullif(d.options, ''), '$.defaultCollation') AS default_collation_name"
      " FROM _tranche.dataset d WHERE NOT starts_with(d.name, '_')" },
    { "SCHEMATA_OPTIONS", "schema_name",
      "SELECT $project AS catalog_name, d.name AS schema_name, o.n AS option_name, 'STRING' AS option_type, "
      "to_json(o.v)::VARCHAR AS option_value FROM _tranche.dataset d, "
      "(SELECT unnest([{'n': 'description', 'k': '$.description'}, {'n': 'friendly_name', 'k': '$.friendlyName'}]) AS o) x, "
      "LATERAL (SELECT x.o.n AS n, json_extract_string(nullif(d.options, ''), x.o.k) AS v) o WHERE o.v IS NOT NULL" },
    { "VIEWS", "table_schema",
      "SELECT " TABLE_OF ", r.view_query AS view_definition, CAST(NULL AS VARCHAR) AS check_option, "
      "'YES' AS use_standard_sql" RELATIONS " AND r.kind > 0" },
    { "COLUMNS", "table_schema",
      "SELECT " TABLE_OF ", r.column_name, r.top AS ordinal_position, "
      "CASE WHEN r.nullable THEN 'YES' ELSE 'NO' END AS is_nullable, r.type AS data_type, "
      "'NEVER' AS is_generated, CAST(NULL AS VARCHAR) AS generation_expression, CAST(NULL AS VARCHAR) AS is_stored, "
      "'NO' AS is_hidden, CAST(NULL AS VARCHAR) AS is_updatable, 'NO' AS is_system_defined, "
      "CASE WHEN lower(" OPTION("timePartitioning.field") ") = lower(r.column_name) OR lower("
      OPTION("rangePartitioning.field") ") = lower(r.column_name) THEN 'YES' ELSE 'NO' END AS is_partitioning_column, "
      "nullif(list_position(CAST(json_extract(nullif(r.options, ''), '$.clustering.fields') AS VARCHAR[]), r.column_name), 0)"
      " AS clustering_ordinal_position, 'NULL' AS collation_name, coalesce(r.default_value, 'NULL') AS column_default, "
      "CAST(NULL AS VARCHAR) AS rounding_mode" FIELDS " AND NOT contains(r.path, '.')" },
    { "COLUMN_FIELD_PATHS", "table_schema",
      "SELECT " TABLE_OF ", split_part(r.path, '.', 1) AS column_name, r.path AS field_path, r.type AS data_type, "
      "r.description, 'NULL' AS collation_name, CAST(NULL AS VARCHAR) AS rounding_mode" FIELDS },
    { "ROUTINES", "specific_schema",
      EMPTY("'' AS specific_catalog, '' AS specific_schema, '' AS specific_name, '' AS routine_catalog, "
            "'' AS routine_schema, '' AS routine_name, '' AS routine_type, '' AS data_type, '' AS routine_body, "
            "'' AS routine_definition, '' AS external_language, now() AS created, now() AS last_altered, '' AS ddl") },
    { "PARAMETERS", "specific_schema",
      EMPTY("'' AS specific_catalog, '' AS specific_schema, '' AS specific_name, CAST(0 AS BIGINT) AS ordinal_position, "
            "'' AS parameter_mode, '' AS parameter_name, '' AS data_type") },
    { "TABLE_CONSTRAINTS", "table_schema",
      EMPTY("'' AS constraint_catalog, '' AS constraint_schema, '' AS constraint_name, '' AS table_catalog, "
            "'' AS table_schema, '' AS table_name, '' AS constraint_type, '' AS is_deferrable, "
            "'' AS initially_deferred, '' AS enforced") },
    { "KEY_COLUMN_USAGE", "table_schema",
      EMPTY("'' AS constraint_catalog, '' AS constraint_schema, '' AS constraint_name, '' AS table_catalog, "
            "'' AS table_schema, '' AS table_name, '' AS column_name, CAST(0 AS BIGINT) AS ordinal_position, "
            "CAST(0 AS BIGINT) AS position_in_unique_constraint") },
    { "CONSTRAINT_COLUMN_USAGE", "table_schema",
      EMPTY("'' AS table_catalog, '' AS table_schema, '' AS table_name, '' AS column_name, "
            "'' AS constraint_catalog, '' AS constraint_schema, '' AS constraint_name") },
    { "MATERIALIZED_VIEWS", "table_schema",
      EMPTY("'' AS table_catalog, '' AS table_schema, '' AS table_name, now() AS last_refresh_time") },
    { "TABLE_SNAPSHOTS", "table_schema",
      EMPTY("'' AS table_catalog, '' AS table_schema, '' AS table_name, '' AS base_table_catalog, "
            "'' AS base_table_schema, '' AS base_table_name, now() AS snapshot_time") },
};
/* ddl: the statement that would make the table or view again. OPTIONS(...) and the end come behind it. */
#define PARTITION_UNIT "coalesce(" OPTION("timePartitioning.type") ", 'DAY')"
#define PARTITION_FIELD OPTION("timePartitioning.field")
#define DDL_COLUMNS                                                                                \
    "(SELECT string_agg('  ' || f.name || CASE WHEN r.kind > 0 THEN '' ELSE ' ' || f.type || CASE WHEN f.nullable"  \
    " OR starts_with(f.type, 'ARRAY<') THEN '' ELSE ' NOT NULL' END || coalesce(' DEFAULT ' || nullif(f.default_value, ''), '')" \
    " || coalesce(' OPTIONS(description=' || CAST(to_json(nullif(f.description, '')) AS VARCHAR) || ')', '') END,"  \
    " ',' || chr(10) ORDER BY f.place) FROM _tranche.field f WHERE f.dataset = r.dataset AND f.relation = r.name"   \
    " AND NOT contains(f.path, '.'))"
#define DDL_PARTITION                                                                              \
    "CASE WHEN " OPTION("rangePartitioning.field") " IS NOT NULL THEN 'RANGE_BUCKET(' || " OPTION("rangePartitioning.field") \
    " || ', GENERATE_ARRAY(' || " OPTION("rangePartitioning.range.start") " || ', ' || " OPTION("rangePartitioning.range.end") \
    " || ', ' || " OPTION("rangePartitioning.range.interval") " || '))'"                                            \
    " WHEN json_extract(nullif(r.options, ''), '$.timePartitioning') IS NULL THEN NULL"                             \
    " WHEN " PARTITION_FIELD " IS NULL THEN CASE " PARTITION_UNIT " WHEN 'DAY' THEN '_PARTITIONDATE' ELSE"         \
    " 'TIMESTAMP_TRUNC(_PARTITIONTIME, ' || " PARTITION_UNIT " || ')' END"                                          \
    " ELSE (SELECT CASE WHEN f.type = 'DATE' AND " PARTITION_UNIT " = 'DAY' THEN f.name WHEN " PARTITION_UNIT       \
    " = 'DAY' THEN 'DATE(' || f.name || ')' ELSE f.type || '_TRUNC(' || f.name || ', ' || " PARTITION_UNIT " || ')' END" \
    " FROM _tranche.field f WHERE f.dataset = r.dataset AND f.relation = r.name AND lower(f.path) = lower("         \
    PARTITION_FIELD ")) END"
#define DDL                                                                                        \
    "'CREATE ' || CASE r.kind WHEN 0 THEN 'TABLE' ELSE 'VIEW' END || ' `' || r.catalog_name || '.' || r.dataset || '.' ||" \
    " r.name || '`' || CASE r.kind WHEN 1 THEN '' ELSE coalesce(chr(10) || '(' || chr(10) || " DDL_COLUMNS         \
    " || chr(10) || ')', '') END || coalesce(chr(10) || 'PARTITION BY ' || " DDL_PARTITION ", '') ||"              \
    " coalesce(chr(10) || 'CLUSTER BY ' || list_aggregate(CAST(json_extract(nullif(r.options, ''),"                 \
    " '$.clustering.fields') AS VARCHAR[]), 'string_agg', ', '), '') || coalesce(chr(10) || 'OPTIONS(' || chr(10) ||" \
    " (SELECT string_agg('  ' || o.option_name || '=' || o.option_value, ',' || chr(10) ORDER BY o.option_name) FROM ("
#define DDL_END                                                                                    \
    ") o WHERE o.table_schema = r.dataset AND o.table_name = r.name) || chr(10) || ')', '') ||"                     \
    " CASE WHEN r.kind > 0 THEN chr(10) || 'AS ' || r.view_query ELSE '' END || ';'"
#define TABLES_SELECT                                                                              \
    "SELECT " TABLE_OF ", CASE r.kind WHEN 0 THEN 'BASE TABLE' ELSE 'VIEW' END AS table_type, "                     \
    "CAST(NULL AS VARCHAR) AS managed_table_type, "                                                                 \
    "CASE r.kind WHEN 0 THEN 'YES' ELSE 'NO' END AS is_insertable_into, 'NO' AS is_typed, "                         \
    "'NO' AS is_fine_grained_mutations_enabled, 'NO' AS is_change_history_enabled, "                                \
    TIME("r.created_ms") " AS creation_time, CAST(NULL AS VARCHAR) AS base_table_catalog, "                         \
    "CAST(NULL AS VARCHAR) AS base_table_schema, CAST(NULL AS VARCHAR) AS base_table_name, "                        \
    "CAST(NULL AS TIMESTAMPTZ) AS snapshot_time_ms, " DDL
#define JOBS_SELECT                                                                                \
    "SELECT make_timestamptz(created_ms * 1000) AS creation_time, $project AS project_id, CAST(NULL AS BIGINT)" \
    " AS project_number, json_extract_string(resource, '$.user_email') AS user_email, id AS job_id,"            \
    " upper(json_extract_string(resource, '$.configuration.jobType')) AS job_type,"                            \
    " json_extract_string(resource, '$.statistics.query.statementType') AS statement_type, 'INTERACTIVE' AS"    \
    " priority, make_timestamptz(CAST(json_extract_string(resource, '$.statistics.startTime') AS BIGINT) * 1000)" \
    " AS start_time, make_timestamptz(CAST(json_extract_string(resource, '$.statistics.endTime') AS BIGINT) * 1000)" \
    " AS end_time, json_extract_string(resource, '$.configuration.query.query') AS query, state, CAST(0 AS BIGINT)"  \
    " AS total_bytes_processed, CAST(0 AS BIGINT) AS total_slot_ms, false AS cache_hit, nullif(parent, '') AS"   \
    " parent_job_id FROM _tranche.job"
/* Options of a table by their names in SQL. Values are literals of GoogleSQL. */
static const struct {
    const char *name, *path, *type;
} options[] = {
    { "description", "$.description", "STRING" },
    { "friendly_name", "$.friendlyName", "STRING" },
    { "kms_key_name", "$.encryptionConfiguration.kmsKeyName", "STRING" },
    { "require_partition_filter", "$.requirePartitionFilter", "BOOL" },
    { "partition_expiration_days", "$.timePartitioning.expirationMs", "FLOAT64" },
    { "labels", "$.labels", "ARRAY<STRUCT<STRING, STRING>>" },
};
// clang-format on

/* ---- Views with a query of their own ---- */

static void add_table_options(struct buf *out)
{
    buf_add_c(out,
              "SELECT " TABLE_OF ", o.n AS option_name, o.t AS option_type, CASE o.t WHEN"
              " 'STRING' THEN CAST(to_json(o.v) AS VARCHAR) WHEN 'FLOAT64' THEN CAST(CAST(o.v AS"
              " DOUBLE) / 86400000 AS VARCHAR) WHEN 'BOOL' THEN o.v WHEN 'TIMESTAMP' THEN o.v"
              " ELSE '[' || list_aggregate(list_transform(json_keys(o.v), lambda k: 'STRUCT(' ||"
              " CAST(to_json(k) AS VARCHAR) || ', ' || CAST(json_extract(o.v, '$.\"' || k ||"
              " '\"') AS VARCHAR) || ')'), 'string_agg', ', ') || ']' END AS option_value FROM"
              " (SELECT *, $project AS catalog_name FROM _tranche.relation WHERE NOT"
              " starts_with(dataset, '_')) r, LATERAL (");
    for (size_t i = 0; i < ARRAY_LEN(options); i++)
        buf_addf(
            out,
            "SELECT '%s' AS n, '%s' AS t, json_extract_string(nullif(r.options, ''), '%s') AS v"
            " UNION ALL ",
            options[i].name, options[i].type, options[i].path);
    buf_add_c(
        out, "SELECT 'expiration_timestamp', 'TIMESTAMP', CASE WHEN r.expires_ms > 0 THEN"
             " strftime(make_timestamp(r.expires_ms * 1000), 'TIMESTAMP \"%Y-%m-%dT%H:%M:%S.%gZ\"')"
             " END) o WHERE o.v IS NOT NULL");
}

/* The format of a partition's name, by the table's options. */
static const char *partition_format(yyjson_val *time_partitioning)
{
    struct str type = json_str(json_get(time_partitioning, "type"));

    return str_eq_c(type, "HOUR")    ? "%Y%m%d%H"
           : str_eq_c(type, "MONTH") ? "%Y%m"
           : str_eq_c(type, "YEAR")  ? "%Y"
                                     : "%Y%m%d";
}

static void add_partition_id(struct buf *out, yyjson_val *all)
{
    yyjson_val *time = json_get(all, "timePartitioning"),
               *range = json_get(all, "rangePartitioning");
    struct str field = json_str(json_get(time ? time : range, "field"));

    if (time && field.len) {
        buf_add_c(out, "CASE WHEN ");
        sql_name(out, field);
        buf_addf(out, " IS NULL THEN '__NULL__' ELSE strftime(CAST(");
        sql_name(out, field);
        buf_addf(out, " AS TIMESTAMP), '%s') END", partition_format(time));
    } else if (time) {
        buf_addf(out, "strftime(CAST(" PARTITION_TIME " AS TIMESTAMP), '%s')",
                 partition_format(time));
    } else if (range && field.len) {
        struct str start = json_str(json_get(json_get(range, "range"), "start"));
        struct str step = json_str(json_get(json_get(range, "range"), "interval"));
        uint64_t ignored;
        bool ok = str_number(step, &ignored);
        buf_add_c(out, "CAST(");
        sql_name(out, field);
        if (ok)
            buf_addf(out, " - (("), sql_name(out, field),
                buf_addf(out, " - (%.*s)) %% %.*s)", STR_ARG(start), STR_ARG(step));
        buf_add_c(out, " AS VARCHAR)");
    } else {
        buf_add_c(out, "CAST(NULL AS VARCHAR)");
    }
}

static int add_partitions_of(struct project *p, const struct table_row *row, struct arena *a,
                             struct buf *out, struct error *e)
{
    yyjson_val *all = NULL;
    size_t at;

    if (row->t.options.len && !(all = json_parse(a, row->t.options, &at, e)))
        return -1;
    buf_add_c(out, " UNION ALL SELECT $project AS table_catalog, ");
    sql_text(out, row->t.name.dataset);
    buf_add_c(out, " AS table_schema, ");
    sql_text(out, row->t.name.table);
    buf_add_c(out, " AS table_name, ");
    add_partition_id(out, all);
    buf_addf(out,
             " AS partition_id, count(*) AS total_rows, CAST(0 AS BIGINT) AS total_logical_bytes,"
             " CAST(0 AS BIGINT) AS total_billable_bytes, make_timestamptz(%lld * 1000) AS"
             " last_modified_time, 'ACTIVE' AS storage_tier FROM ",
             (long long)row->t.changed_ms);
    catalog_add_path(p, out, row->dataset_physical, row->physical);
    bool partitioned = json_get(all, "timePartitioning") || json_get(all, "rangePartitioning");
    buf_add_c(out, partitioned ? " GROUP BY ALL HAVING count(*) > 0" : "");
    return 0;
}

static void add_literals(struct buf *out, const struct table_row *row)
{
    buf_add_c(out, " UNION ALL SELECT $project, ");
    sql_text(out, row->t.name.dataset);
    buf_add_c(out, ", ");
    sql_text(out, row->t.name.table);
}

/* __TABLES__ */
static int add_counted(struct project *p, struct table_row *row, struct arena *a, struct buf *out,
                       struct error *e)
{
    (void)a;
    if (catalog_count(p, row, e) < 0)
        return -1;
    add_literals(out, row);
    buf_addf(out, ", %lld, %lld, %lld, %lld, %d", (long long)row->t.created_ms,
             (long long)row->t.changed_ms, (long long)row->t.rows, (long long)row->t.bytes,
             row->t.kind == TABLES_VIEW ? 2 : 1);
    return 0;
}

/* TABLE_STORAGE */
static int add_stored(struct project *p, struct table_row *row, struct arena *a, struct buf *out,
                      struct error *e)
{
    (void)a;
    if (row->t.kind == TABLES_VIEW)
        return 0;
    if (catalog_count(p, row, e) < 0)
        return -1;
    add_literals(out, row);
    buf_addf(out,
             ", " TIME("%lld") ", %lld, 0, %lld, %lld, 0, %lld, %lld, 0, " TIME(
                 "%lld") ", 'BASE TABLE', false, $project, NULL",
             (long long)row->t.created_ms, (long long)row->t.rows, (long long)row->t.bytes,
             (long long)row->t.bytes, (long long)row->t.bytes, (long long)row->t.bytes,
             (long long)row->t.changed_ms);
    return 0;
}

static int add_parted(struct project *p, struct table_row *row, struct arena *a, struct buf *out,
                      struct error *e)
{
    return row->t.kind == TABLES_VIEW || !row->physical.len ? 0
                                                            : add_partitions_of(p, row, a, out, e);
}

/* Views whose rows are counted: their columns, as a SELECT of none, and how a table adds its own. */
static const struct {
    const char *name, *schema_column, *none;
    int (*add)(struct project *p, struct table_row *row, struct arena *a, struct buf *out,
               struct error *e);
} counted[] = {
    { "PARTITIONS", "table_schema",
      EMPTY("'' AS table_catalog, '' AS table_schema, '' AS table_name, '' AS partition_id, CAST(0 "
            "AS BIGINT) AS total_rows, CAST(0 AS BIGINT) AS total_logical_bytes, CAST(0 AS BIGINT) "
            "AS total_billable_bytes, now() AS last_modified_time, '' AS storage_tier"),
      add_parted },
    { "TABLE_STORAGE", "table_schema",
      EMPTY("'' AS table_catalog, '' AS table_schema, '' AS table_name, now() AS creation_time, "
            "CAST(0 AS BIGINT) AS total_rows, CAST(0 AS BIGINT) AS total_partitions, CAST(0 AS "
            "BIGINT) AS total_logical_bytes, CAST(0 AS BIGINT) AS active_logical_bytes, CAST(0 AS "
            "BIGINT) AS long_term_logical_bytes, CAST(0 AS BIGINT) AS total_physical_bytes, CAST(0 "
            "AS BIGINT) AS active_physical_bytes, CAST(0 AS BIGINT) AS long_term_physical_bytes, "
            "now() AS storage_last_modified_time, '' AS table_type, false AS deleted, '' AS "
            "project_id, CAST(NULL AS BIGINT) AS project_number"),
      add_stored },
    { "__TABLES__", "dataset_id",
      EMPTY("'' AS project_id, '' AS dataset_id, '' AS table_id, CAST(0 AS BIGINT) AS "
            "creation_time, CAST(0 AS BIGINT) AS last_modified_time, CAST(0 AS BIGINT) AS "
            "row_count, CAST(0 AS BIGINT) AS size_bytes, CAST(0 AS BIGINT) AS type"),
      add_counted },
};

/* Adds all tables of the dataset, or of the project when it is empty. With p->lock held. */
static int add_each(struct project *p, struct str dataset, size_t view, struct arena *a,
                    struct buf *out, struct error *e)
{
    struct connection *c = &p->meta;
    struct grid names;

    buf_add_c(out, counted[view].none);
    sql_start(c, "SELECT dataset, name FROM _tranche.relation WHERE NOT starts_with(dataset, '_')");
    if (dataset.len) {
        sql_addf(c, " AND dataset = ");
        sql_add_text(c, dataset);
    }
    sql_addf(c, " ORDER BY dataset, name LIMIT %d", COUNTED_TABLES_MAX + 1);
    if (sql_fetch(c, a, &names, e) < 0)
        return -1;
    if (names.rows > COUNTED_TABLES_MAX)
        return error_set(e, ERROR_INVALID_ARGUMENT, "%s of over %d tables is not supported",
                         counted[view].name, COUNTED_TABLES_MAX);
    for (uint32_t i = 0; i < names.rows; i++) {
        const struct bq_cell *cell = &names.cell[(size_t)i * names.columns];
        const struct tables_name name = { str_of(p->name), cell[0].text, cell[1].text };
        struct table_row row;
        int found = catalog_find_table(p, &name, a, &row, e);
        if (found < 0 || (found && counted[view].add(p, &row, a, out, e) < 0))
            return -1;
    }
    return 0;
}

/* ---- All ---- */

/* One view that is asked for. */
struct looking {
    struct project *project;
    struct str dataset, view;
    struct arena *arena;
    const char *schema_column; /* set: what the dataset's name is compared with; NULL: nothing */
};

static int add_view(struct looking *l, struct buf *out, struct error *e)
{
    for (size_t i = 0; i < ARRAY_LEN(views); i++)
        if (str_eq_c(l->view, views[i].name)) {
            buf_add_c(out, views[i].select);
            l->schema_column = views[i].schema_column;
            return 0;
        }
    if (str_eq_c(l->view, "JOBS") || str_starts(l->view, STR("JOBS_BY_"))) {
        buf_add_c(out, JOBS_SELECT);
        return 0;
    }
    l->schema_column = "table_schema";
    if (str_eq_c(l->view, "TABLE_OPTIONS")) {
        add_table_options(out);
        return 0;
    }
    if (str_eq_c(l->view, "TABLES")) {
        buf_add_c(out, TABLES_SELECT);
        add_table_options(out);
        buf_add_c(out, DDL_END " AS ddl, 'NULL' AS default_collation_name" RELATIONS);
        return 0;
    }
    for (size_t i = 0; i < ARRAY_LEN(counted); i++)
        if (str_eq_c(l->view, counted[i].name)) {
            l->schema_column = counted[i].schema_column;
            return add_each(l->project, l->dataset, i, l->arena, out, e);
        }
    return error_set(e, ERROR_NOT_FOUND, "Not found: Table %s:%.*s.INFORMATION_SCHEMA.%.*s",
                     l->project->name, STR_ARG(l->dataset), STR_ARG(l->view));
}

/* The template with the project's name as a literal for $project, in brackets. */
static struct str finish(const struct query_run *r, struct str select, struct str dataset,
                         const char *schema_column, struct arena *a)
{
    struct buf out = BUF_INIT(INFORMATION_BYTES_MAX);

    buf_add_c(&out, "(SELECT * FROM (");
    while (select.len) {
        size_t at = str_find(select, STR("$project"));
        buf_add_str(&out, str_sub(select, 0, at == SIZE_MAX ? select.len : at));
        if (at != SIZE_MAX)
            sql_text(&out, str_of(r->project->name));
        select = at == SIZE_MAX ? (struct str){ NULL, 0 }
                                : str_sub(select, at + sizeof "$project" - 1, select.len);
    }
    buf_add_c(&out, ")");
    if (dataset.len && schema_column) {
        buf_addf(&out, " WHERE %s = ", schema_column);
        sql_text(&out, dataset);
    }
    buf_add_c(&out, ")");
    struct str text = { arena_copy(a, out.p, out.len), out.len };
    buf_release(&out);
    return text;
}

int resolve_information(struct query_run *r, const struct sql_name *name, struct str view,
                        struct arena *a, struct str *out, struct error *e)
{
    struct project *p = r->project;
    struct buf select = BUF_INIT(INFORMATION_BYTES_MAX);
    bool region = str_starts(name->dataset, STR("region-"));
    struct tables_name full = { str_of(p->name),
                                region ? (struct str){ NULL, 0 } : name->dataset,
                                { NULL, 0 } };
    struct dataset_row d;
    int rc = 0;

    if (name->project.len && !str_eq_c(name->project, p->name))
        return error_set(e, ERROR_PERMISSION_DENIED, "Access Denied: Project %.*s",
                         STR_ARG(str_cut(name->project, 128)));
    if (!full.dataset.len && !region && !str_eq_c(view, "SCHEMATA") &&
        !str_starts(view, STR("JOBS")))
        full.dataset = r->default_dataset.dataset;
    struct looking l = { p, full.dataset, view, a, NULL };
    lock(&p->lock);
    if (full.dataset.len)
        rc = catalog_need_dataset(p, &full, a, &d, e);
    if (rc == 0)
        rc = add_view(&l, &select, e);
    unlock(&p->lock);
    if (rc == 0)
        *out = finish(r, buf_str(&select), full.dataset, l.schema_column, a);
    buf_release(&select);
    return rc;
}
