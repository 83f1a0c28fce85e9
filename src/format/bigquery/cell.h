/* cell.h -- one value of a table as text: the form in which values cross every border.
 *
 * Why: the REST API answers with texts, load jobs and insertAll bring JSON and CSV, and the table engine has
 * its own types. Between them a value is the text of tabledata.list.
 *
 * Shape:   null, or the text of the field's type:
 *            STRING     as it is              BYTES      base64 with padding
 *            INTEGER    -12                   FLOAT      1.5, NaN, Infinity, -Infinity
 *            BOOLEAN    true, false           NUMERIC    12.5 (no exponent, no zeros at the end)
 *            TIMESTAMP  microseconds from 1970 in UTC, as an integer
 *            DATE       2024-01-31            TIME       12:00:00 or 12:00:00.000001 (6 digits)
 *            DATETIME   2024-01-31T12:00:00[.ffffff]
 *            JSON       JSON text             GEOGRAPHY  WKT
 *            INTERVAL   Y-M D H:M:S[.F]       RANGE      [start, end) with UNBOUNDED
 *            RECORD     {"f":[{"v":...},...]}, a cell a field, in their order
 *            REPEATED   [{"v":...},...]; never null: null is written as []
 *          Inside a RECORD or an array the values are JSON strings with these texts, null, or such objects
 *          and arrays themselves.
 * Errors:  INVALID_ARGUMENT, in BigQuery's words: `Cannot convert value to integer (bad value): x`.
 * Threads: none.
 * Source:  https://cloud.google.com/bigquery/docs/reference/rest/v2/tabledata/list
 */
#ifndef TRANCHE_FORMAT_BIGQUERY_CELL_H
#define TRANCHE_FORMAT_BIGQUERY_CELL_H

#include "format/bigquery/schema.h"

struct bq_cell {
    bool null;
    struct str text;
};

/* Rows of one schema: cell[row * columns + column]. */
struct bq_batch {
    const struct bq_cell *cell;
    uint32_t rows, columns;
};

/* A value of a query: "@name", or by place when the name is empty. */
struct bq_parameter {
    struct str name;
    struct bq_field type; /* an array: BQ_REPEATED; a struct: BQ_RECORD */
    struct bq_cell value;
};

/* The form of TIMESTAMP values in a reply, as clients ask for it. */
enum bq_times {
    BQ_TIMES_SECONDS, /* "1.7E9": seconds as a decimal with an exponent */
    BQ_TIMES_MICROS,  /* "1700000000000000" */
    BQ_TIMES_ISO      /* "2024-01-31T12:00:00.000001Z" */
};
/* The value of "v" in a reply. */
void bq_cell_write(struct json_writer *w, const char *key, const struct bq_field *f,
                   struct bq_cell c, enum bq_times times);

/* The cell of a value as a client sends it in JSON (insertAll, newline-delimited JSON); v NULL: absent. Its text
 * lives in the arena or in v. A REQUIRED field must not be null; absent and null are alike. unknown: members of
 * records that the schema lacks are an error (else they are dropped). */
int bq_cell_from_json(struct arena *a, const struct bq_field *f, yyjson_val *v, bool unknown,
                      struct bq_cell *out, struct error *e) FALLIBLE;
/* The cell of a text that stands alone: CSV, a query's parameter. Not for RECORD and REPEATED. */
int bq_cell_from_text(struct arena *a, const struct bq_field *f, struct str text,
                      struct bq_cell *out, struct error *e) FALLIBLE;
/* The value as plain JSON, as an export to newline-delimited JSON has it: INTEGER and NUMERIC as texts, FLOAT as
 * a number, JSON as itself, RECORD as an object, REPEATED as an array, TIMESTAMP as "2024-01-31 12:00:00 UTC". */
void bq_cell_to_json(struct json_writer *w, const char *key, const struct bq_field *f,
                     struct bq_cell c);
/* The value as plain text, as an export to CSV has it (TIMESTAMP "2024-01-31 12:00:00 UTC"); not for RECORD and
 * REPEATED. Null appends nothing. */
void bq_cell_to_text(struct buf *out, const struct bq_field *f, struct bq_cell c);

#endif
