/* schema.h -- the columns of a BigQuery table: names, types and modes, and their JSON.
 *
 * Why: the REST API, the table engine and the jobs that read and write tables must mean the same by a
 * column. No type of an engine appears here.
 *
 * Shape:   a RECORD has fields; a REPEATED field is an array of its type. An array of arrays does not exist.
 *          An unset mode is NULLABLE: the difference is only in what a table's resource shows again.
 * Names:   types have two: REST writes the legacy one (INTEGER), SQL the standard one (INT64). Both are read,
 *          in any case. Columns are found without regard to case.
 * Errors:  INVALID_ARGUMENT, in BigQuery's words where they are known.
 * Threads: none. Everything lives in the arena that the caller gives.
 * Source:  https://cloud.google.com/bigquery/docs/reference/rest/v2/tables#TableFieldSchema
 */
#ifndef TRANCHE_FORMAT_BIGQUERY_SCHEMA_H
#define TRANCHE_FORMAT_BIGQUERY_SCHEMA_H

#include "base/error.h"
#include "base/json.h"
#include "base/json_write.h"
#include "base/mem.h"

// clang-format off
#define BQ_TYPES(X)                    \
    /* code     REST         SQL */    \
    X(STRING,   "STRING",    "STRING") \
    X(BYTES,    "BYTES",     "BYTES")  \
    X(INTEGER,  "INTEGER",   "INT64")  \
    X(FLOAT,    "FLOAT",     "FLOAT64")\
    X(BOOLEAN,  "BOOLEAN",   "BOOL")   \
    X(TIMESTAMP,"TIMESTAMP", "TIMESTAMP") \
    X(DATE,     "DATE",      "DATE")   \
    X(TIME,     "TIME",      "TIME")   \
    X(DATETIME, "DATETIME",  "DATETIME") \
    X(NUMERIC,  "NUMERIC",   "NUMERIC") \
    X(BIGNUMERIC,"BIGNUMERIC","BIGNUMERIC") \
    X(JSON,     "JSON",      "JSON")   \
    X(GEOGRAPHY,"GEOGRAPHY", "GEOGRAPHY") \
    X(INTERVAL, "INTERVAL",  "INTERVAL") \
    X(RANGE,    "RANGE",     "RANGE")  \
    X(RECORD,   "RECORD",    "STRUCT")
// clang-format on

enum bq_type {
#define X(code, rest, sql) BQ_##code,
    BQ_TYPES(X)
#undef X
        BQ_TYPE_COUNT
};

enum bq_mode { BQ_UNSET, BQ_NULLABLE, BQ_REQUIRED, BQ_REPEATED };

struct bq_field {
    struct str name;
    enum bq_type type;
    enum bq_mode mode;
    struct bq_field *fields; /* of a RECORD */
    uint32_t field_count;
    enum bq_type range_type; /* of a RANGE: DATE, DATETIME or TIMESTAMP */
    int64_t max_length;      /* STRING(n), BYTES(n); 0: unlimited */
    int64_t precision;       /* NUMERIC(precision, scale); 0: the type's own */
    int64_t scale;
    struct str description;   /* empty: none */
    struct str default_value; /* an expression of SQL; empty: none */
    struct str
        extra; /* the other members as a JSON object (policyTags, collation, ...); empty: none */
};

struct bq_schema {
    struct bq_field *field;
    uint32_t count;
};

#define BQ_COLUMNS_MAX 10000 /* with those of records */
#define BQ_DEPTH_MAX 15      /* of records */
#define BQ_NAME_BYTES_MAX 300

const char *bq_type_name(enum bq_type t); /* "INTEGER" */
const char *bq_type_sql(enum bq_type t);  /* "INT64" */
/* Any name of a type, also INT, BIGINT, DECIMAL and others of SQL's; false: none. */
bool bq_type_find(struct str name, enum bq_type *out);

/* {"fields": [...]}, the list alone, or absent (NULL), which gives no columns. */
int bq_schema_read(yyjson_val *schema, struct arena *a, struct bq_schema *out,
                   struct error *e) FALLIBLE;
/* The same from text. */
int bq_schema_parse(struct str json, struct arena *a, struct bq_schema *out,
                    struct error *e) FALLIBLE;
/* For text of bq_schema_write: names that BigQuery reserves are fine, as a result's columns may have them. */
int bq_schema_parse_stored(struct str json, struct arena *a, struct bq_schema *out,
                           struct error *e) FALLIBLE;
/* {"fields": [...]}. all_modes: an unset mode is written as NULLABLE, as in the schema of a query's result. */
void bq_schema_write(struct json_writer *w, const char *key, const struct bq_schema *s,
                     bool all_modes);
/* The type as GoogleSQL writes it: ARRAY<STRUCT<a INT64, b STRING(10)>>. */
void bq_field_sql(struct buf *out, const struct bq_field *f);

/* The column of that name, in any case; NULL: none. */
const struct bq_field *bq_schema_find(const struct bq_schema *s, struct str name);
/* The same columns in another arena, texts too. */
struct bq_schema bq_schema_copy(struct arena *a, const struct bq_schema *s);

/* May a table of the columns `old` get the columns `next`? New columns must not be REQUIRED, a mode may only go
 * from REQUIRED to NULLABLE, types stay, and none of the old ones may lack. table is "p:d.t", for the
 * message. */
int bq_schema_may_become(const struct bq_schema *old, const struct bq_schema *next,
                         struct str table, struct error *e) FALLIBLE;

/* A column that timePartitioning, rangePartitioning or clustering of this resource names must be in the schema. */
int bq_check_columns(yyjson_val *resource, const struct bq_schema *s, struct error *e) FALLIBLE;

#endif
