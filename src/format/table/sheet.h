/* sheet.h -- rows of a table as requests, and their answers as rows.
 *
 * Why: people have tables, not requests. A row becomes a request the moment its line is read, and its output
 * row is made of the input's bytes and the answer, so that a table runs as any job does: in constant
 * memory, resumable, without a file of requests.
 *
 * Shape:   one struct sheet for a job: the form of its inputs, their columns, what to ask, and the form of
 *          the output. A row is one line (struct line_cut): a record of CSV or TSV, or a JSON object whose
 *          members are the cells. Input columns go out byte for byte. Then come `answer`, or a column
 *          for each property of the schema, or `embedding` with a list of numbers, then `error`, `tokens`, and if asked for `reused`; a name that the input
 *          has already gets _2 and so on.
 *          Rows that are not lines (Parquet, tables of DuckDB) are copied once to CSV, which is then the job's
 *          input (app/run/engine_tables.h).
 * Units:   line_no from 1; bytes of a head from the start of the file.
 * Errors:  of the settings: INVALID_ARGUMENT, NOT_FOUND for a column. A row has violations, whose path
 *          is the column.
 * Threads: any number may use one table at once, after sheet_ask.
 * Owns:    all that it needs, in its arena.
 * Source:  docs/reference/tables.md; RFC 4180.
 */
#ifndef TRANCHE_FORMAT_TABLE_SHEET_H
#define TRANCHE_FORMAT_TABLE_SHEET_H

#include "format/lines.h"
#include "format/request/violation.h"
#include "format/table/template.h"
#include "format/table/where.h"

/* A header, and the names of JSON rows, are looked for in the first bytes of a file. */
#define SHEET_HEAD_BYTES ((size_t)256 * 1024)
#define SHEET_FIELDS_MAX 256 /* of a schema */
#define SHEET_PARAMS_MAX 64

enum sheet_form { SHEET_UNKNOWN, SHEET_CSV, SHEET_TSV, SHEET_JSONL };
/* The form by a path's ending, .gz and .zst aside; SHEET_UNKNOWN for any other. -1 with the remedy for one that
 * has no lines: .parquet, .xlsx, .duckdb. A table of BigQuery (bq://) is copied to and from JSON rows. */
int sheet_form_of(const char *path, enum sheet_form *out, struct error *e) FALLIBLE;

/* The settings as the user wrote them; NULL or empty where not given. */
struct sheet_options {
    const char *prompt, *system; /* texts; @FILE is read already */
    const char *schema;          /* JSON */
    const char *enum_values;     /* between commas */
    const char *const *param;    /* NAME=VALUE */
    uint32_t param_count;
    const char *where;
    const char *keep_columns; /* between commas; NULL: all */
    bool embed; /* the filled-in prompt is a text to embed; params are members of its request */
    bool excel,
        mark_reused; /* mark_reused: another column says which answers are kept ones, and of when */
    enum sheet_form output; /* SHEET_UNKNOWN: as the input */
};

/* The first bytes of one input. */
struct sheet_head {
    const char *name; /* for messages */
    struct str bytes; /* at most SHEET_HEAD_BYTES */
    bool whole;       /* they are all of it */
    uint64_t begin;   /* out: of the first row; 0: the file's first line */
    uint64_t line_no; /* out: of that row */
};

struct sheet {
    struct arena arena;
    const char *first; /* name of the first input; NULL: none is added yet */
    enum sheet_form form, output;
    char delimiter, output_delimiter; /* 0: JSON rows */
    bool bom, crlf;                   /* as the first input has them, or for --excel */
    bool excel, mark_reused, embed;
    struct columns columns;
    struct str *header; /* their names as the first input writes them; NULL: JSON rows */
    bool *keep;         /* of each column */
    bool keep_all;
    struct template prompt;
    const struct where *where; /* NULL: all rows */
    struct str before, after;  /* the filled-in prompt stands between them in a request */
    struct str *field;         /* properties of the schema; field_count 0: one answer */
    struct str *field_type;    /* of each, in SQL's words: BIGINT, DOUBLE, BOOLEAN, JSON, VARCHAR */
    uint32_t field_count;
    struct str
        *added; /* names of the columns behind the input's: added_count; `tokens` at tokens_at */
    uint32_t tokens_at;
    uint32_t added_count;
    struct line_cut cut; /* for the readers of its lines */
};
/* Looks at the beginning of the next input: begin and line_no of h are set. The inputs of a sheet must be
 * alike. t begins zeroed and is released whatever happens. */
int sheet_add_input(struct sheet *t, struct sheet_head *h, struct error *e) FALLIBLE;
/* All inputs are added: reads the settings against their columns. */
int sheet_ask(struct sheet *t, const struct sheet_options *o, struct error *e) FALLIBLE;
void sheet_release(struct sheet *t);

/* The request of a row, in the arena; false with what is wrong with the row. */
bool sheet_request(const struct sheet *t, struct arena *a, struct str record, struct str *request,
                   struct violations *bad);
/* Appends the prompt of a row as a person reads it: for a first look. False as above. */
bool sheet_prompt(const struct sheet *t, struct arena *a, struct str record, struct buf *out,
                  struct violations *bad);

/* ---- The output ---- */

struct sheet_answer {
    struct str status;   /* empty for an answer, else as row_status wrote it */
    struct str response; /* JSON */
    int64_t reused_us;   /* when an answer that is used again was made; 0: it is new */
};
void sheet_write_head(const struct sheet *t, struct buf *out);
/* One row. Returns the number of its answers that a spreadsheet would take for a formula. */
uint32_t sheet_write_row(const struct sheet *t, struct arena *a, struct str record,
                         const struct sheet_answer *answer, struct buf *out);

#endif
