/* load.h -- files that become rows: records of CSV and JSON, chunks of Parquet. For store/tables/duckdb alone.
 *
 * Why: a file comes from outside. CSV and JSON are read here, by the rules of BigQuery's load job; Parquet by a
 *      second engine in memory, which has no table and sees no user's SQL. Neither can reach a project's engine.
 * Limits: the constants below.
 * Threads: one load belongs to one thread.
 */
#ifndef TRANCHE_STORE_TABLES_DUCKDB_LOAD_H
#define TRANCHE_STORE_TABLES_DUCKDB_LOAD_H

#include "base/unpack.h"
#include "store/tables/duckdb/embedded.h"

#define LOAD_RECORD_BYTES_MAX ((size_t)100 * 1024 * 1024) /* of a row, as BigQuery has it */
#define LOAD_SAMPLE_ROWS 500                              /* that autodetect looks at */
#define LOAD_COLUMNS_MAX BQ_COLUMNS_MAX

/* ---- load_text.c: records ---- */
struct text_file {
    const char *path;
    struct unpack *content;
    char *p; /* bytes that were read: [at, len) are not given out */
    size_t at, len, cap;
    bool ended;
    int64_t record_no;     /* of the record that was given out last; from 1 */
    char delimiter, quote; /* of CSV with line ends in quotes; quote 0: a line end ends a record */
};
int text_open(struct text_file *f, const char *path, struct error *e) FALLIBLE;
void text_close(struct text_file *f);
/* 1: the next record, without its line end, until the next call; 0: the end. */
int text_next(struct text_file *f, struct str *out, struct error *e) FALLIBLE;

struct csv_cell {
    struct str text;
    bool quoted;
};
struct csv_row {
    struct csv_cell *cell;
    uint32_t count;
};
/* The cells of a record, in the arena; -1: a quote is not closed, or text stands behind one. quote 0: there is none. */
int csv_cells(struct arena *a, struct str record, char delimiter, char quote, struct csv_row *out,
              struct error *e) FALLIBLE;
/* ISO-8859-1 as UTF-8; in the arena. */
struct str latin1_text(struct arena *a, struct str s);

/* ---- load_detect.c: columns that nobody said ---- */
/* skip: rows before the data, -1 when it is to be found out; set. */
int detect_csv(const struct tables_load *l, struct arena *a, struct bq_schema *out, int64_t *skip,
               struct error *e) FALLIBLE;
int detect_json(const struct tables_load *l, struct arena *a, struct bq_schema *out,
                struct error *e) FALLIBLE;
char load_delimiter(const struct tables_load *l); /* 0: it is none */
char load_quote(const struct tables_load *l);

/* ---- load_parquet.c ---- */
struct parquet;
struct parquet *parquet_open(const char *scratch, const char *path, struct arena *a,
                             struct bq_schema *schema, struct error *e);
/* 1: a batch in the arena; 0: the end. */
int parquet_next(struct parquet *f, struct arena *a, struct bq_batch *out,
                 struct error *e) FALLIBLE;
void parquet_close(struct parquet *f); /* accepts NULL */

/* ---- convert.c ---- */
/* A cell of one field as a cell of another, where BigQuery converts: INTEGER to FLOAT, DATETIME to TIMESTAMP, BYTES to
 * STRING and so on, also inside records. */
int cell_convert(struct arena *a, const struct bq_field *from, const struct bq_field *to,
                 struct bq_cell cell, struct bq_cell *out, struct error *e) FALLIBLE;

/* ---- writer.c ---- */
/* As writer_append, but durable only when the writer commits. A writer is used in one of the two ways. */
int writer_add(struct tables_writer *w, const struct bq_batch *batch, struct error *e) FALLIBLE;

#endif
