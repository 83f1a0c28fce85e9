#include "engine/lines/render.h"

#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/sys.h"
#include "base/pack.h"
#include "engine/lines/line_key.h"
#include "engine/lines/walk.h"
#include "engine/lines/writer.h"
#include "format/table/sheet.h"

#define WRITE_BYTES ((size_t)1024 * 1024)
/* An arena that one very large line made grow beyond this is released. */
#define KEEP_BYTES ((size_t)4 * 1024 * 1024)

struct render {
    struct walk walk; /* stands at the next line */
    struct line_rules rules;
    enum row_style style;
    char *path;    /* of the finished output, or what to call it */
    char *partial; /* NULL: fd is written directly */
    int fd;
    bool owns_fd;
    struct writer *writer;
    uint64_t written;         /* lines; also the index of the next one */
    struct kept_writer *keep; /* NULL: no answers are noted */
    uint64_t model[2];        /* that they are of */
    struct arena arena;
    struct violations ignored; /* they are in the row's status already */
    struct buf out;
    uint64_t formulas;
    struct pack *pack; /* packs what goes out; NULL: nothing does */
    struct buf packed;
};

/* Writing over an input would destroy it. */
static int check_not_input(const struct render *r, const char *path, struct error *e)
{
    struct stat out;

    if (stat(path, &out) < 0 || !input_has(r->walk.input, &out))
        return 0;
    return error_set(e, ERROR_INVALID_ARGUMENT,
                     "the output %s is an input too; choose another name", path);
}

static int partial_open(struct render *r, struct error *e)
{
    size_t bytes = strlen(r->path) + sizeof ".partial";

    r->partial = mem_alloc(bytes);
    (void)snprintf(r->partial, bytes, "%s.partial", r->path);
    if (check_not_input(r, r->path, e) < 0 || check_not_input(r, r->partial, e) < 0)
        return -1;
    r->fd = sys_create(r->partial, e);
    return r->fd < 0 ? -1 : 0;
}

static int output_open(struct render *r, const char *path, struct error *e)
{
    struct stat st;
    bool is_stdout = strcmp(path, "-") == 0;

    r->path = mem_strdup(is_stdout ? "standard output" : path);
    r->owns_fd = !is_stdout;
    if (is_stdout) {
        r->fd = STDOUT_FILENO;
        return 0;
    }
    bool exists = stat(path, &st) == 0;
    if (exists && S_ISDIR(st.st_mode))
        return error_set(e, ERROR_INVALID_ARGUMENT, "the output %s is a folder; name a file in it",
                         path);
    if (!exists || S_ISREG(st.st_mode))
        return partial_open(r, e);
    r->fd = sys_open(path, O_WRONLY, e);
    return r->fd < 0 ? -1 : 0;
}

struct render *render_open(const char *path, const struct input *in,
                           const struct ingest_result *job, const struct line_rules *rules,
                           enum row_style style, struct error *e)
{
    struct render *r = mem_alloc(sizeof *r);

    walk_init(&r->walk, in, job, NULL);
    r->rules = *rules;
    r->style = style;
    r->fd = -1;
    r->out = r->packed = BUF_INIT(ROW_BYTES_MAX + WRITE_BYTES);
    if (output_open(r, path, e) < 0)
        goto fail;
    r->pack = pack_new(packing_of_name(str_of(path), NULL));
    if (rules->sheet)
        sheet_write_head(rules->sheet, &r->out);
    r->writer = writer_new(r->fd, r->partial ? r->partial : r->path, r->partial != NULL, e);
    if (!r->writer)
        goto fail;
    return r;
fail:
    render_close(r);
    return NULL;
}

void render_close(struct render *r)
{
    if (!r)
        return;
    writer_free(r->writer);
    if (r->owns_fd && r->fd >= 0)
        (void)close(r->fd);
    pack_free(r->pack);
    buf_release(&r->packed);
    buf_release(&r->out);
    walk_release(&r->walk);
    arena_release(&r->arena);
    mem_free(r->partial);
    mem_free(r->path);
    mem_free(r);
}

void render_tee(struct render *r, void (*fn)(void *arg, const void *p, size_t len), void *arg)
{
    assert(r->written == 0);
    writer_tee(r->writer, fn, arg);
}

void render_keep(struct render *r, struct kept_writer *w, const uint64_t model[2])
{
    assert(r->written == 0);
    r->keep = w;
    r->model[0] = model[0];
    r->model[1] = model[1];
}

static void keep_row(struct render *r, const struct spool_row *row)
{
    struct error e;

    if (!r->keep || line_keep(r->keep, walk_note(&r->walk, row->index), row, r->model, &e) == 0)
        return;
    log_warn("the answers are not kept: %s", e.msg);
    r->keep = NULL;
}

bool render_keeps(const struct render *r)
{
    return r->keep != NULL;
}

/* Finds what the line's row echoes: without a parse, unless ingest's notes are not there. A line
 * with an answer is a JSON object for sure. */
static void take_spans(struct render *r, const struct line *line, bool answered,
                       struct input_line *in)
{
    const struct line_note *n = walk_note(&r->walk, line->index);
    bool is_object = answered || n->request_bytes || n->at == LINE_OBJECT;
    struct str request = { 0 };

    if (n->request_bytes)
        request = str_sub(line->text, n->at, n->request_bytes);
    if (!n->request_bytes && n->at == LINE_TEXT)
        return;
    if (is_object && request_line_spans(&r->arena, line->text, request, &r->rules, in))
        return;
    r->ignored.count = 0;
    (void)request_read_line(&r->arena, line->text, &r->rules, in, &r->ignored);
}

static int write_line(struct render *r, const struct spool_row *row, struct error *e)
{
    struct input_line in = { 0 };
    struct line line = { 0 };

    if (walk_next(&r->walk, &line, e) < 0)
        return -1;
    assert(r->walk.shard && line.index == r->written);
    struct str text = r->walk.shard->overlong ? buf_str(&r->walk.bytes) : line.text;
    arena_reset(&r->arena);
    if (r->arena.bytes > KEEP_BYTES)
        arena_release(&r->arena);
    keep_row(r, row);
    if (r->rules.sheet) {
        const struct sheet_answer answer = { row->status, row->response,
                                             row->origin ? row->answered_us : 0 };
        r->formulas += sheet_write_row(r->rules.sheet, &r->arena, line.text, &answer, &r->out);
    } else {
        if (!r->walk.shard->overlong)
            take_spans(r, &line, row->outcome == OUTCOME_SUCCEEDED, &in);
        const struct row answer = {
            .status = row->status,
            .processed_us = row->processed_us,
            .response = row->response,
            .style = r->style,
            .answered_us = row->origin ? row->answered_us : 0,
        };
        row_write(&in, text, &answer, &r->out);
    }
    if (!buf_ok(&r->out))
        return error_set(e, ERROR_INTERNAL, "the row of answer %llu is too long",
                         (unsigned long long)r->written + 1);
    r->written++;
    return 0;
}

static int hand_over(struct render *r, bool last, struct error *e)
{
    if (r->out.len == 0 && !(r->pack && last))
        return 0;
    if (!r->pack)
        return writer_put(r->writer, &r->out, e);
    pack_add(r->pack, buf_str(&r->out), last, &r->packed);
    buf_clear(&r->out);
    return writer_put(r->writer, &r->packed, e);
}

/* The rows that are there, up to a line: 1, or 0 when one is missing. */
static int write_lines(struct render *r, struct spool *s, uint64_t until, struct error *e)
{
    struct spool_row row;
    int rc = 1;

    while (rc == 1 && r->written < r->walk.job->lines && r->written < until) {
        rc = spool_get(s, r->written, &row, e);
        if (rc == 1 && write_line(r, &row, e) < 0)
            return -1;
        if (r->out.len >= WRITE_BYTES && hand_over(r, false, e) < 0)
            return -1;
    }
    return rc;
}

int render_advance(struct render *r, struct spool *s, struct error *e)
{
    if (spool_look_begin(s, e) < 0)
        return -1;
    int rc = write_lines(r, s, r->written + RENDER_BURST, e);
    spool_look_end(s);
    if (rc < 0 || hand_over(r, false, e) < 0)
        return -1;
    return rc == 1 && r->written < r->walk.job->lines;
}

uint64_t render_lines(const struct render *r)
{
    return r->written;
}

uint64_t render_formulas(const struct render *r)
{
    return r->formulas;
}

int render_finish(struct render *r, struct error *e)
{
    assert(r->written == r->walk.job->lines);
    if (hand_over(r, true, e) < 0 || writer_flush(r->writer, e) < 0)
        return -1;
    return r->partial ? sys_rename(r->partial, r->path, e) : 0;
}
