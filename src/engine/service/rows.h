/* rows.h -- a job's output rows by their number: found, filtered and counted while the job runs and after.
 *
 * Why: an output has hundreds of thousands of rows of any length. A browser looks at fifty of them, of one
 * status or label, anywhere in it, and reading the output for each look would take seconds.
 *
 * Shape:   DIR/jobs/ID/rows.index has 32 bytes a row (struct rows_entry), behind a head of the same size. It
 *          is made by the first look, and grows with the output: ROWS_STEP_BYTES of it at most in one call.
 *          Rows stand in the order of the input, so a row's number is its line's index.
 * Trust:   an output is rendered again after a crash with the same bytes, so an entry stays true. Nothing
 *          depends on the file: one of another version is made again.
 * Errors:  those of service_results.
 * Threads: each caller has its own struct rows; the file is locked while it grows. May wait.
 */
#ifndef TRANCHE_ENGINE_SERVICE_ROWS_H
#define TRANCHE_ENGINE_SERVICE_ROWS_H

#include "engine/service/service.h"
#include "format/job/row_view.h"

#define ROWS_STEP_BYTES ((uint64_t)64 * 1024 * 1024)

enum { ROWS_LABEL = 1 };

struct rows_entry {
    uint64_t at;      /* of the row in the output */
    uint64_t mark;    /* of its answer; of a failure, of its cause */
    uint32_t bytes;   /* without its line end */
    uint32_t seconds; /* since 1970, when it ended; 0: not known */
    uint32_t tokens;  /* of the answer */
    uint16_t end;     /* an enum row_end */
    uint16_t flags;   /* ROWS_LABEL: the answer may be a label */
};

struct rows {
    const struct rows_entry *entry; /* count of them */
    uint64_t count;
    bool whole; /* all rows that the output has are in it */
    /* ---- inner ---- */
    int out, index;
    uint64_t out_bytes;
    void *map;
    size_t map_bytes;
};
/* The rows so far; none of a job without an output yet. */
int rows_open(struct rows *r, struct service *s, const struct job *j, struct error *e) FALLIBLE;
void rows_close(struct rows *r); /* accepts a zeroed one */
/* The row's bytes into out, which is cleared first. */
int rows_read(const struct rows *r, uint64_t index, struct buf *out, struct error *e) FALLIBLE;

/* Which rows are meant. A zeroed filter means all. */
struct rows_filter {
    bool has_end, has_label, has_cause;
    enum row_end end;
    uint64_t label; /* rows_mark of the answer */
    uint64_t cause; /* the mark of failed rows */
    /* Rows with another answer than here; one that is missing here differs too. NULL: any. */
    const struct rows *differs;
    struct str text; /* stands in the row as written, in either case of ASCII letters; empty: any */
};
uint64_t rows_mark(struct str text);
/* Decides by the index alone: the text is not looked at. */
bool rows_match(const struct rows *r, uint64_t index, const struct rows_filter *f);
/* Has the row, as rows_read gave it, the filter's text? */
bool rows_has_text(struct str row, const struct rows_filter *f);

/* The matching rows as a file that is made for this call: JSON lines, CSV with a header (ROWS_COLUMNS), or
 * Parquet of the same columns, for which the library of DuckDB must be there. gone: asked now and then, ends
 * the work with CANCELLED. A descriptor and its bytes. */
enum rows_form { ROWS_JSONL, ROWS_CSV, ROWS_PARQUET };
#define ROWS_COLUMNS "index,key,status,request,answer,error,prompt_tokens,output_tokens"
struct rows_file {
    const struct rows *rows;
    const struct rows_filter *filter;
    enum rows_form form;
    bool (*gone)(void *arg);
    void *arg;
};
int rows_write(struct service *s, const struct job *j, const struct rows_file *f, uint64_t *bytes,
               struct error *e) FALLIBLE;

/* The rows of a job that runs, also behind lines that are open, in input order: all that are answered from line `from`
 * on. fn's 1 ends the walk. total: rows that are answered by now; in a fleet, that are recorded. Reads the job's input. NOT_FOUND before the first row. */
struct rows_answered {
    uint64_t from;
    int (*fn)(void *arg, uint64_t index, struct str row, struct error *e);
    void *arg;
};
int rows_each_answered(struct service *s, const struct job *j, const struct rows_answered *d,
                       uint64_t *total, struct error *e) FALLIBLE;

/* The text of input line `index`, which rows of the Gemini API do not repeat. NOT_FOUND when the input is
 * gone. Reads the input up to the line. */
int rows_input(struct service *s, const struct job *j, uint64_t index, struct buf *out,
               struct error *e) FALLIBLE;

#endif
