#include "engine/service/rows.h"

#include <assert.h>
#include <fcntl.h>
#include <string.h>
#include <strings.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <xxhash.h>

#include "base/sys.h"
#include "base/thread.h"
#include "engine/lines/cutter.h"
#include "engine/lines/peek.h"
#include "engine/service/fleet_job.h"
#include "engine/service/service_inner.h"
#include "format/row.h"
#include "format/table/cells.h"
#include "store/tables/table_files.h"

#define INDEX_NAME "rows.index"
#define INDEX_HEAD "tranche rows 2\n" /* another number when an entry's meaning changes */
#define PIECE_BYTES ((size_t)1024 * 1024)
#define GONE_ROWS 256 /* between looks at whether the client is still there */
#define ENTRY_BYTES sizeof(struct rows_entry)
#define OUTPUT "the job's output"

static_assert(sizeof(struct rows_entry) == 32, "the layout of rows.index");
static_assert(sizeof INDEX_HEAD <= ENTRY_BYTES, "the head is as long as an entry");

uint64_t rows_mark(struct str text)
{
    return XXH3_64bits(text.p ? text.p : "", text.len);
}

/* ---- The index grows ---- */

struct growth {
    struct rows *r;
    struct arena arena; /* of one row */
    struct buf piece;   /* of the output, from `at` */
    struct buf entries; /* not written yet */
    uint64_t at;
};

static void add_entry(struct growth *g, struct str row)
{
    struct row_view v;
    struct rows_entry entry = { .at = g->at, .bytes = (uint32_t)row.len };

    arena_reset(&g->arena);
    row_view_read(&g->arena, row, &v);
    entry.end = (uint16_t)v.end;
    entry.seconds = (uint32_t)(v.time_us / 1000000);
    entry.tokens = (uint32_t)v.output_tokens;
    entry.flags = row_view_is_label(&v) ? ROWS_LABEL : 0;
    entry.mark = rows_mark(v.end == ROW_ANSWERED ? v.answer : row_view_cause(&g->arena, &v));
    buf_add(&g->entries, &entry, sizeof entry);
    g->at += row.len + 1;
}

/* The next whole rows of the output; more are read when a row is longer than what is there. */
static int read_rows(struct growth *g, uint64_t end, struct error *e)
{
    size_t want = PIECE_BYTES;

    for (;;) {
        uint64_t left = end - g->at;
        size_t len = left < want ? (size_t)left : want;
        buf_clear(&g->piece);
        char *p = buf_extend(&g->piece, len);
        if (!p)
            return error_set(e, ERROR_DATA_LOSS, "a row of " OUTPUT " is too long");
        int64_t n = sys_read_at(g->r->out, p, len, g->at, OUTPUT, e);
        if (n < 0)
            return -1;
        if ((size_t)n < len)
            return error_set(e, ERROR_ABORTED, OUTPUT " is being made again; try again");
        while (len > 0 && p[len - 1] != '\n')
            len--;
        g->piece.len = len;
        if (len > 0)
            return 0;
        if (left <= want)
            return error_set(e, ERROR_DATA_LOSS, OUTPUT " ends in the middle of a row");
        want *= 2;
    }
}

static int add_rows(struct growth *g, uint64_t end, struct error *e)
{
    if (read_rows(g, end, e) < 0)
        return -1;
    const char *p = g->piece.p, *stop = p + g->piece.len;
    while (p < stop) {
        const char *line_end = memchr(p, '\n', (size_t)(stop - p));
        assert(line_end); /* the piece ends with one */
        add_entry(g, (struct str){ p, (size_t)(line_end - p) });
        p = line_end + 1;
    }
    int rc = sys_write_all(g->r->index, g->entries.p, g->entries.len, INDEX_NAME, e);
    buf_clear(&g->entries);
    return rc;
}

/* Counts the whole entries in the index, and finds where the output goes on behind them. */
static int index_end(const struct rows *r, uint64_t *count, uint64_t *at, struct error *e)
{
    struct rows_entry last = { 0 };
    struct stat st;

    *count = *at = 0;
    if (fstat(r->index, &st) < 0)
        return error_errno(e, INDEX_NAME);
    if ((uint64_t)st.st_size < 2 * ENTRY_BYTES)
        return 0;
    *count = (uint64_t)st.st_size / ENTRY_BYTES - 1;
    if (sys_read_at(r->index, &last, sizeof last, *count * ENTRY_BYTES, INDEX_NAME, e) < 0)
        return -1;
    *at = last.at + last.bytes + 1;
    return 0;
}

/* Under the file's lock: entries of a row that was half written are written again. */
static int grow(struct rows *r, struct error *e)
{
    struct growth g = {
        .r = r,
        .piece = BUF_INIT(ROW_BYTES_MAX),
        .entries = BUF_INIT(PIECE_BYTES * ENTRY_BYTES),
    };
    uint64_t count, step = 0;
    int rc = index_end(r, &count, &g.at, e);

    if (rc == 0 && lseek(r->index, (off_t)((count + 1) * ENTRY_BYTES), SEEK_SET) < 0)
        rc = error_errno(e, INDEX_NAME);
    while (rc == 0 && g.at < r->out_bytes && step < ROWS_STEP_BYTES) {
        uint64_t from = g.at;
        rc = add_rows(&g, r->out_bytes, e);
        step += g.at - from;
    }
    r->whole = g.at >= r->out_bytes;
    arena_release(&g.arena);
    buf_release(&g.piece);
    buf_release(&g.entries);
    return rc;
}

static int map_index(struct rows *r, struct error *e)
{
    uint64_t at;

    if (index_end(r, &r->count, &at, e) < 0)
        return -1;
    /* While the output is rendered again it is shorter than before. */
    r->map_bytes = (size_t)(r->count + 1) * ENTRY_BYTES;
    if (r->count == 0)
        return 0;
    void *map = mmap(NULL, r->map_bytes, PROT_READ, MAP_SHARED, r->index, 0);
    if (map == MAP_FAILED)
        return error_errno(e, INDEX_NAME);
    r->map = map;
    r->entry = (const struct rows_entry *)map + 1;
    while (r->count > 0 && r->entry[r->count - 1].at + r->entry[r->count - 1].bytes >= r->out_bytes)
        r->count--;
    return 0;
}

/* Opens the index, a new one when there is none of this version, and locks it. */
static int open_index(struct rows *r, const char *path, struct error *e)
{
    char head[ENTRY_BYTES] = INDEX_HEAD, found[ENTRY_BYTES];

    for (int attempt = 0; attempt < 2; attempt++) {
        r->index = sys_open(path, O_RDWR | O_CREAT, e);
        if (r->index < 0)
            return -1;
        if (flock(r->index, LOCK_EX) < 0)
            return error_errno(e, INDEX_NAME);
        int64_t n = sys_read_at(r->index, found, sizeof found, 0, INDEX_NAME, e);
        if (n < 0)
            return -1;
        if ((size_t)n < sizeof found)
            return sys_write_all(r->index, head, sizeof head, INDEX_NAME, e);
        if (memcmp(head, found, sizeof head) == 0)
            return 0;
        (void)unlink(path);
        (void)close(r->index);
        r->index = -1;
    }
    return error_set(e, ERROR_UNAVAILABLE, "the index of the job's rows is being made");
}

int rows_open(struct rows *r, struct service *s, const struct job *j, struct error *e)
{
    char path[SERVICE_PATH_BYTES];
    struct error why = { 0 };

    assert_may_wait("the index of a job's rows");
    *r = (struct rows){ .out = -1, .index = -1, .whole = true };
    r->out = service_results(s, j, &r->out_bytes, &why);
    if (r->out < 0 && why.code == ERROR_NOT_FOUND)
        return 0;
    if (r->out < 0) {
        *e = why;
        return -1;
    }
    job_path(s, path, j->id, NULL);
    int rc = sys_mkdirs(path, e);
    job_path(s, path, j->id, INDEX_NAME);
    if (rc == 0)
        rc = open_index(r, path, e);
    if (rc == 0)
        rc = grow(r, e);
    if (rc == 0)
        rc = map_index(r, e);
    if (r->index >= 0)
        (void)flock(r->index, LOCK_UN);
    if (rc < 0)
        rows_close(r);
    return rc;
}

void rows_close(struct rows *r)
{
    if (r->map)
        (void)munmap(r->map, r->map_bytes);
    if (r->out > 0)
        (void)close(r->out);
    if (r->index > 0)
        (void)close(r->index);
    *r = (struct rows){ .out = -1, .index = -1 };
}

int rows_read(const struct rows *r, uint64_t index, struct buf *out, struct error *e)
{
    assert(index < r->count);
    const struct rows_entry *entry = &r->entry[index];

    buf_clear(out);
    char *p = buf_extend(out, entry->bytes);
    if (!p)
        return error_set(e, ERROR_DATA_LOSS, "a row of " OUTPUT " is too long");
    int64_t n = sys_read_at(r->out, p, entry->bytes, entry->at, OUTPUT, e);
    if (n >= 0 && n < (int64_t)entry->bytes)
        return error_set(e, ERROR_ABORTED, OUTPUT " is being made again; try again");
    return n < 0 ? -1 : 0;
}

/* ---- Filters ---- */

bool rows_match(const struct rows *r, uint64_t index, const struct rows_filter *f)
{
    const struct rows_entry *x = &r->entry[index];

    if (f->has_end && x->end != f->end)
        return false;
    if (f->has_label && (x->end != ROW_ANSWERED || x->mark != f->label))
        return false;
    if (f->has_cause && (x->end == ROW_ANSWERED || x->mark != f->cause))
        return false;
    if (!f->differs)
        return true;
    if (index >= f->differs->count)
        return true;
    return f->differs->entry[index].end != x->end || f->differs->entry[index].mark != x->mark;
}

bool rows_has_text(struct str row, const struct rows_filter *f)
{
    struct str text = f->text;

    if (text.len == 0)
        return true;
    if (text.len > row.len)
        return false;
    char low = text.p[0], high = low;
    if (low >= 'a' && low <= 'z')
        high = (char)(low - 'a' + 'A');
    else if (low >= 'A' && low <= 'Z')
        high = (char)(low - 'A' + 'a');
    const char *end = row.p + (row.len - text.len) + 1;
    for (const char *p = row.p; p < end; p++)
        if ((*p == low || *p == high) && strncasecmp(p, text.p, text.len) == 0)
            return true;
    return false;
}

/* ---- Files of rows ---- */

struct table_maker {
    struct arena arena; /* of one row */
    struct buf row, out;
    int fd;
};

static void add_cells(struct table_maker *m, uint64_t index)
{
    struct row_view v;

    arena_reset(&m->arena);
    row_view_read(&m->arena, buf_str(&m->row), &v);
    bool answered = v.end == ROW_ANSWERED;
    buf_addf(&m->out, "%llu,", (unsigned long long)index);
    const struct str cells[] = {
        v.key,
        str_of(row_end_name(v.end)),
        v.request,
        answered ? v.answer : (struct str){ 0 },
        answered ? (struct str){ 0 } : v.answer,
    };
    for (size_t i = 0; i < ARRAY_LEN(cells); i++) {
        cell_write(&m->out, cells[i], ',');
        buf_add_char(&m->out, ',');
    }
    buf_addf(&m->out, "%llu,%llu\n", (unsigned long long)v.prompt_tokens,
             (unsigned long long)v.output_tokens);
}

static int flush(struct table_maker *m, size_t least, struct error *e)
{
    if (!buf_ok(&m->out))
        return error_set(e, ERROR_RESOURCE_EXHAUSTED, "a row is too long for a table");
    if (m->out.len < least || m->out.len == 0)
        return 0;
    int rc = sys_write_all(m->fd, m->out.p, m->out.len, "the file of rows", e);
    buf_clear(&m->out);
    return rc;
}

static int write_row(struct table_maker *m, const struct rows_file *f, uint64_t i, struct error *e)
{
    if (rows_read(f->rows, i, &m->row, e) < 0)
        return -1;
    if (!rows_has_text(buf_str(&m->row), f->filter))
        return 0;
    if (f->form == ROWS_JSONL) {
        buf_add_str(&m->out, buf_str(&m->row));
        buf_add_char(&m->out, '\n');
    } else {
        add_cells(m, i);
    }
    return flush(m, PIECE_BYTES, e);
}

static int write_rows(const struct rows_file *f, int fd, struct error *e)
{
    struct table_maker m = { .row = BUF_INIT(ROW_BYTES_MAX),
                             .out = BUF_INIT(2 * ROW_BYTES_MAX),
                             .fd = fd };
    int rc = 0;

    if (f->form != ROWS_JSONL)
        buf_add_c(&m.out, ROWS_COLUMNS "\n");
    for (uint64_t i = 0; rc == 0 && i < f->rows->count; i++) {
        if (i % GONE_ROWS == 0 && f->gone && f->gone(f->arg))
            rc = error_set(e, ERROR_CANCELLED, "the client is gone");
        if (rc == 0 && rows_match(f->rows, i, f->filter))
            rc = write_row(&m, f, i, e);
    }
    if (rc == 0)
        rc = flush(&m, 0, e);
    arena_release(&m.arena);
    buf_release(&m.row);
    buf_release(&m.out);
    return rc;
}

/* A file of a table engine has a name while it is made. Returns its descriptor. */
static int to_parquet(const char *dir, int csv, struct error *e)
{
    static struct table_column column[] = {
        { STR_INIT("index"), STR_INIT("BIGINT") },
        { STR_INIT("key"), STR_INIT("VARCHAR") },
        { STR_INIT("status"), STR_INIT("VARCHAR") },
        { STR_INIT("request"), STR_INIT("VARCHAR") },
        { STR_INIT("answer"), STR_INIT("VARCHAR") },
        { STR_INIT("error"), STR_INIT("VARCHAR") },
        { STR_INIT("prompt_tokens"), STR_INIT("BIGINT") },
        { STR_INIT("output_tokens"), STR_INIT("BIGINT") },
    };
    const struct table_columns columns = { column, ARRAY_LEN(column) };
    char from[64], to[SERVICE_PATH_BYTES + 64];
    struct table_files *engine = table_files_open(dir, e);
    int fd = -1;

    if (!engine)
        return -1;
    (void)snprintf(from, sizeof from, "/proc/self/fd/%d", csv);
    (void)snprintf(to, sizeof to, "%s/rows-%d.parquet", dir, csv);
    if (table_files_write(engine, from, &columns, str_of(to), e) >= 0)
        fd = sys_open(to, O_RDONLY, e);
    (void)unlink(to);
    table_files_close(engine);
    return fd;
}

int rows_write(struct service *s, const struct job *j, const struct rows_file *f, uint64_t *bytes,
               struct error *e)
{
    char dir[SERVICE_PATH_BYTES];
    struct stat st = { 0 };

    job_path(s, dir, j->id, NULL);
    int fd = sys_open_nameless(dir, e);
    if (fd < 0)
        return -1;
    int rc = write_rows(f, fd, e);
    if (rc == 0 && f->form == ROWS_PARQUET) {
        int table = to_parquet(dir, fd, e);
        (void)close(fd);
        fd = table;
        rc = fd < 0 ? -1 : 0;
    }
    if (rc == 0 && fstat(fd, &st) < 0)
        rc = error_errno(e, "the file of rows");
    if (rc < 0) {
        if (fd >= 0)
            (void)close(fd);
        return -1;
    }
    *bytes = (uint64_t)st.st_size;
    return fd;
}

/* ---- Rows behind lines that are open ---- */

int rows_each_answered(struct service *s, const struct job *j, const struct rows_answered *d,
                       uint64_t *total, struct error *e)
{
    char dir[SERVICE_PATH_BYTES];
    struct arena a = { 0 };
    struct input in = { 0 };
    struct spool *spool = NULL;
    struct counters done = { 0 };
    int rc = -1;

    assert_may_wait("the rows of a job that runs");
    if (s->env.fleet)
        return fleet_rows_answered(s, j, d, total, e);
    job_path(s, dir, j->id, NULL);
    if (job_input_open(s, &a, j->id, &in, e) == 0)
        spool = spool_peek(dir, e);
    if (spool) {
        const struct peek p = {
            .input = &in,
            .spool = spool,
            .rules = job_rules(j),
            .style = job_row_style(j),
            .from = d->from,
            .on_row = d->fn,
            .arg = d->arg,
        };
        spool_counters(spool, &done);
        *total = counters_done(&done);
        rc = peek_run(&p, e);
    }
    spool_close(spool);
    input_release(&in);
    arena_release(&a);
    return rc;
}

/* ---- A line of the input ---- */

static int find_line(const struct input *in, uint64_t index, struct buf *out, struct error *e)
{
    struct piece piece = { 0 };
    struct cutter cutter;
    struct shard shard;
    struct line line;
    int rc;

    cutter_init(&cutter, in, 0, 0);
    while ((rc = cutter_next(&cutter, &piece, &shard, e)) > 0)
        if (index < shard.index + shard.line_count)
            break;
    if (rc > 0 && !shard.overlong) {
        struct lines lines;
        lines_init(&lines, &shard, piece.p, in->cut);
        while (lines_next(&lines, &line))
            if (line.index == index)
                buf_add_str(out, line.text);
    }
    piece_release(&piece);
    if (rc == 0)
        return error_set(e, ERROR_NOT_FOUND, "the input has no such line");
    return rc < 0 ? -1 : 0;
}

int rows_input(struct service *s, const struct job *j, uint64_t index, struct buf *out,
               struct error *e)
{
    struct arena a = { 0 };
    struct input in = { 0 };
    uint64_t first = 0; /* of the input that is opened */
    int rc = s->env.fleet ? fleet_open_around(s, j->id, index, &in, &first, e) : 0;

    if (rc == 0)
        rc = job_input_open(s, &a, j->id, &in, e);
    if (rc >= 0)
        rc = find_line(&in, index - first, out, e);
    input_release(&in);
    arena_release(&a);
    return rc;
}
