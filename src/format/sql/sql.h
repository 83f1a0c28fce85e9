/* sql.h -- GoogleSQL: a text is read into a list of steps; each step is written as DuckDB SQL when it runs.
 *
 * Why: DuckDB's parser does not read GoogleSQL, and what users send must not reach DuckDB unread: this reader
 * is also the wall. Every statement, function, table and option is on a list of ours; the rest is refused in
 * words. Types are left to DuckDB's binder: operators and functions whose meaning depends on them are
 * printed as calls of bq_* functions (function.h).
 *
 * Shape:   sql_parse(text) -> struct sql_script: a program of steps with jumps, which the caller walks:
 *              for (at = 0; at < script->count;) switch (script->step[at].kind) ...
 *          sql_write(step) -> struct sql_written: one DuckDB statement, or the description of DDL. It is
 *          called when the step runs, since earlier steps may have changed tables and variables.
 * Names:   tables and views are printed as the catalog's callbacks say. Parameters are printed as $p_NAME
 *          (lower case) and $p_1, $p_2 by place; variables of scripts as $v_NAME (lower case). The caller binds
 *          those that occur.
 * Errors:  INVALID_ARGUMENT in BigQuery's words, ending in " at [line:column]" (from 1, in characters);
 *          UNIMPLEMENTED: GoogleSQL that is not on our lists, in words, with the same ending; and those of the
 *          callbacks, such as NOT_FOUND.
 * Limits:  the constants below. Depth is bounded in the text, the tree and the output.
 * Threads: none; a script may be written by any number of threads once it is parsed.
 * Owns:    everything lives in the arena of the call; a script borrows its text.
 * Source:  https://cloud.google.com/bigquery/docs/reference/standard-sql/query-syntax
 */
#ifndef TRANCHE_FORMAT_SQL_SQL_H
#define TRANCHE_FORMAT_SQL_SQL_H

#include "format/bigquery/cell.h"
#include "format/bigquery/schema.h"

#define SQL_TEXT_BYTES_MAX ((size_t)1024 * 1024)       /* of a query's text */
#define SQL_OUTPUT_BYTES_MAX ((size_t)8 * 1024 * 1024) /* of a statement of DuckDB */
#define SQL_DEPTH_MAX 100           /* brackets, subqueries, CASE and types within each other */
#define SQL_HEIGHT_MAX 500          /* operators applied to each other: a + b + ... */
#define SQL_EXPRESSIONS_MAX 1000000 /* of a statement; a function's body counts at each call */
#define SQL_BLOCKS_MAX 50           /* blocks of a script within each other */
#define SQL_STEPS_MAX 10000         /* of a script */
#define SQL_WILDCARD_MAX 1000       /* tables that `events_*` may stand for */
#define SQL_FUNCTION_CALLS_MAX 16   /* of a script's own functions within each other */

/* A table, view, dataset (table empty) or routine; parts that are not written are empty. */
struct sql_name {
    struct str project, dataset, table;
    uint32_t at; /* byte in the text */
};

/* ---- A script is a program ---- */

enum sql_step_kind {
    SQL_STATEMENT,   /* sql_write, then run it */
    SQL_DECLARE,     /* names; the type, or none; the value is the row of sql_write's SELECT */
    SQL_SET,         /* names; their values are the row of sql_write's SELECT, a column each */
    SQL_JUMP,        /* go on at target */
    SQL_JUMP_UNLESS, /* sql_write's SELECT gives one BOOL: go on at target unless it is true */
    SQL_FOR,         /* run sql_write's SELECT and keep its rows; go on at the next step */
    SQL_FOR_NEXT, /* the next row as the STRUCT names[0]; after the last one forget them, go on at target */
    SQL_FOR_LEAVE, /* forget the rows of the innermost SQL_FOR */
    SQL_BLOCK, /* variables declared from here on live until the SQL_BLOCK_END that belongs to it. target:
                        the step where an error in it is handled (the block is left by then), or 0. */
    SQL_BLOCK_END,   /* jumps that leave a block have one each before them */
    SQL_HANDLER_END, /* @@error is forgotten */
    SQL_RAISE, /* without text: the error that is handled; else sql_write's SELECT gives the message */
    SQL_EXECUTE, /* EXECUTE IMMEDIATE: row of sql_write's SELECT: the text, then the parameters (names[into_count
                        ...], empty by place); the first into_count names take the columns of its result's row */
    SQL_BEGIN, /* BEGIN TRANSACTION */
    SQL_COMMIT,
    SQL_ROLLBACK,
    SQL_RETURN /* ends the script */
};

struct sql_inner; /* what sql_write needs of it */
struct sql_step {
    enum sql_step_kind kind;
    uint32_t at, end;  /* its bytes in the text */
    uint32_t target;   /* a step's index */
    struct str *names; /* variables, as written; a system variable begins with "@@" */
    uint32_t name_count, into_count;
    bool declared;        /* SQL_DECLARE: type says what it is; else its value does */
    struct bq_field type; /* SQL_DECLARE */
    bool set_from_record; /* SQL_SET: the row has one column, a STRUCT with a field a name */
    const struct sql_inner *inner;
};
struct sql_script {
    struct str text;
    struct sql_step *step;
    uint32_t count;
    bool single; /* one statement alone: its job is not a SCRIPT */
};

/* NULL on an error. An empty text is an error too. */
struct sql_script *sql_parse(struct arena *a, struct str text, struct error *e) FALLIBLE;
/* Parses a view's query or another single SELECT. */
struct sql_script *sql_parse_query(struct arena *a, struct str text, struct error *e) FALLIBLE;

/* ---- The world that a step is written for ---- */

struct sql_table {
    struct str physical; /* as DuckDB SQL has it, with quotes: "dataset"."table" */
    struct bq_schema schema;
    bool view;
};
struct sql_wildcard {
    struct sql_table *table; /* the newest first */
    struct str *suffix;
    uint32_t count;
};
struct sql_catalog {
    void *arg;
    /* The table of a name as written. */
    int (*find)(void *arg, const struct sql_name *name, struct arena *a, struct sql_table *out,
                struct error *e);
    /* All tables whose names begin with name->table. None is NOT_FOUND. */
    int (*wildcard)(void *arg, const struct sql_name *name, struct arena *a,
                    struct sql_wildcard *out, struct error *e);
    /* The columns that a SELECT of DuckDB would have: prepared, not run. */
    int (*describe)(void *arg, struct str sql, struct arena *a, struct bq_schema *out,
                    struct error *e);
    /* The SELECT of DuckDB in brackets that gives a view of INFORMATION_SCHEMA, such as COLUMNS (upper case), of a
     * dataset, or of a region or project (name->dataset empty). NOT_FOUND when there is none. */
    int (*information)(void *arg, const struct sql_name *name, struct str view, struct arena *a,
                       struct str *out, struct error *e);
};

struct sql_variable {
    struct str name;
    struct bq_field type;
};
struct sql_env {
    struct str project;              /* that runs the query */
    struct sql_name default_dataset; /* none: names of one part are an error */
    const struct bq_parameter *parameter;
    uint32_t parameter_count;
    const struct sql_variable *variable; /* the innermost last */
    uint32_t variable_count;
    bool dry_run; /* parameters that lack are collected, not refused */
    /* Texts of @@error.message, .statement_text; @@session_id, @@script.job_id ... are NULL when not given. */
    struct str error_message, error_statement, session_id, job_id, location, user;
    int64_t row_count; /* @@row_count */
    const struct sql_catalog *catalog;
};

/* ---- Written ---- */

// clang-format off
#define SQL_KINDS(X)                                           \
    X(SELECT) X(INSERT) X(UPDATE) X(DELETE) X(MERGE)           \
    X(TRUNCATE_TABLE) X(CREATE_TABLE) X(CREATE_TABLE_AS_SELECT) \
    X(CREATE_VIEW) X(CREATE_SCHEMA) X(CREATE_FUNCTION)         \
    X(DROP_TABLE) X(DROP_VIEW) X(DROP_SCHEMA) X(DROP_FUNCTION) \
    X(ALTER_TABLE) X(ALTER_VIEW) X(ALTER_SCHEMA) X(CREATE_SNAPSHOT_TABLE) \
    X(ASSERT) X(DROP_SNAPSHOT_TABLE)                           \
    X(VALUES) /* the SELECT of a step that is no statement */
// clang-format on
enum sql_kind {
#define X(name) SQL_##name,
    SQL_KINDS(X)
#undef X
        SQL_KIND_COUNT
};
const char *sql_kind_name(enum sql_kind kind); /* BigQuery's statementType */

/* An action of ALTER TABLE, in the order written. */
enum sql_alter_kind {
    SQL_ALTER_ADD_COLUMN,    /* column; if_not (exists) */
    SQL_ALTER_DROP_COLUMN,   /* column.name; if_not: if exists */
    SQL_ALTER_RENAME_COLUMN, /* column.name to new_name; if_not: if exists */
    SQL_ALTER_RENAME,        /* the table to new_name */
    SQL_ALTER_OPTIONS,       /* options of the table */
    SQL_ALTER_TYPE,          /* of column.name to the type of column */
    SQL_ALTER_DROP_NOT_NULL, /* column.name */
    SQL_ALTER_DEFAULT,       /* column.name, column.default_value (empty: dropped) */
    SQL_ALTER_COLUMN_OPTIONS /* column.name; column.description, or description_null */
};
struct sql_alter {
    enum sql_alter_kind kind;
    struct bq_field column;
    struct str default_sql; /* of column.default_value, as DuckDB SQL */
    struct str new_name;
    struct str options;     /* as sql_ddl.options */
    struct str expires_sql; /* as sql_ddl.expires_sql */
    bool if_not, description_null;
};

struct sql_ddl {
    struct sql_name name;
    bool or_replace, if_not_exists, if_exists, cascade, temporary, materialized;
    /* Columns as written; a column of AS SELECT's list without a type does not occur. None: those of the query. */
    struct bq_schema columns;
    struct str *default_sql; /* a column each, DuckDB SQL; empty: none */
    /* Members of the REST resource as a JSON object: timePartitioning, rangePartitioning, clustering, description,
     * labels, friendlyName, expirationTime and so on; a member that is set to NULL is null. Empty: none. */
    struct str options;
    struct sql_name like,
        copy; /* LIKE; COPY, CLONE or a snapshot's source; dataset and table empty: none */
    /* A SELECT of DuckDB that gives expirationTime in ms; empty: not said, or NULL (then options has it). */
    struct str expires_sql;
    bool has_query;
    struct str query_text;    /* GoogleSQL of the view or of AS SELECT, as written */
    struct str *column_names; /* CREATE VIEW v (a, b): names of its columns; NULL: the query's */
    uint32_t column_name_count;
    struct sql_alter *alter; /* ALTER */
    uint32_t alter_count;
};

struct sql_written {
    enum sql_kind kind;
    /* SELECT and VALUES: the query. DML: the statement; it gives one number, the rows that were changed, and MERGE
     * gives a row for each change: a text INSERT, UPDATE or DELETE. CREATE TABLE AS and CREATE VIEW: the query.
     * Other DDL: empty. */
    struct str sql;
    struct sql_name target; /* DML, DDL: as written */
    struct sql_ddl *ddl;    /* DDL, TRUNCATE; else NULL */
    struct sql_name *read;  /* tables and views, each once, as written */
    uint32_t read_count;
    struct bq_field
        *undeclared; /* dry run: parameters that were used and not given (type STRING) */
    uint32_t undeclared_count;
};

/* Steps without a SELECT (jumps and the like) must not be given. */
int sql_write(const struct sql_script *s, const struct sql_step *step, const struct sql_env *env,
              struct arena *a, struct sql_written *out, struct error *e) FALLIBLE;

/* A type of DuckDB for a column: BIGINT, DECIMAL(38,9), STRUCT("a" VARCHAR)[]. */
void sql_duckdb_type(struct buf *out, const struct bq_field *f);
/* "name" with its quotes doubled. */
void sql_duckdb_name(struct buf *out, struct str name);

/* One function, for the documentation. False after the last. */
struct sql_function_info {
    const char *name; /* upper case */
    const char *group;
};
bool sql_function_at(uint32_t i, struct sql_function_info *out);

#endif
