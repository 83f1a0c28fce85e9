/* table.h -- a batch job's tables: the columns that they may have, a row as an input line, an output row as
 * cells.
 *
 * Why: a job from a table is a job from a file of lines, and its output table is made of its output rows.
 * So a carried column crosses twice, as JSON, and comes out with the type and the value that it had.
 *
 * Shape:   a line is {"column":value,...,"request":{...}} in the order of the columns. Null has no
 *          member: JSON has a null of its own. INTEGER and NUMERIC are numbers when a double has them exactly, else texts;
 *          the rest is as BigQuery exports it.
 *          The output has the input's columns, then response JSON, status STRING ('' for success),
 *          processed_time TIMESTAMP, and with reuse reused_from TIMESTAMP. The response of a failed row is
 *          null.
 * Errors:  INVALID_ARGUMENT for columns that a job cannot have, by name and with the remedy.
 * Threads: none.
 * Source:  Vertex AI "Batch inference for BigQuery"; TO_JSON_STRING of GoogleSQL (numbers).
 */
#ifndef TRANCHE_FORMAT_JOB_TABLE_H
#define TRANCHE_FORMAT_JOB_TABLE_H

#include "format/bigquery/cell.h"
#include "format/request/request.h"

/* Refuses a source that the real service refuses. name: for the message, "bq://p.d.t". */
int table_source_check(const struct bq_schema *s, struct str name, struct error *e) FALLIBLE;

/* Appends a row of a source as one line. A request that is a text becomes the object that it holds, if it comes
 * back as it was; with `lines` (the output is JSON lines) also when only its line breaks are lost. */
void table_line_write(struct arena *a, const struct bq_schema *s, const struct bq_cell *cell,
                      bool lines, struct buf *out);

/* The columns of an output, in the arena. carried: of the input, its request too. */
struct bq_schema table_output_columns(struct arena *a, const struct bq_schema *carried, bool reuse);
/* An output row (row.h) as cells of these columns: s->count of them, in the arena or in the row. DATA_LOSS when
 * it is none. */
int table_row_read(struct arena *a, const struct bq_schema *s, struct str row, struct bq_cell *cell,
                   struct error *e) FALLIBLE;

/* The columns that JSON lines make: one for each key that stands beside a request, in the order of their first
 * lines. Booleans, whole numbers, numbers and texts have their types; a key with values of several types is
 * STRING, or JSON when one of them is an object or a list. */
#define LINE_COLUMNS_MAX 1000
struct line_columns;
struct line_columns *line_columns_new(void);
void line_columns_free(struct line_columns *c);
/* text: a line, which may be anything. a: for this call. */
void line_columns_add(struct line_columns *c, struct arena *a, struct str text);
/* Refuses keys that no column can have. */
int line_columns_schema(const struct line_columns *c, struct arena *a, struct bq_schema *out,
                        struct error *e) FALLIBLE;

#endif
