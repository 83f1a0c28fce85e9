#include "engine/lines/ingest.h"

#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/thread.h"
#include "base/mem.h"
#include "engine/lines/cutter.h"
#include "engine/lines/digest.h"
#include "engine/lines/line_index.h"
#include "format/table/sheet.h"
#include "engine/lines/line_key.h"

#define THREADS_MAX 64
/* A worker gives back what one very long line made it take. */
#define ARENA_KEEP_BYTES ((size_t)4 * 1024 * 1024)
#define PIECE_KEEP_BYTES (SHARD_BYTES_MAX * 2)

/* The findings of one shard. */
struct found {
    struct shard_figures figures;
    uint64_t warned;
    bool sampled_again; /* a request that is not deterministic may have been met before */
    bool found_in[SHARD_LINES_MAX]; /* the line is bad or has warnings */
    struct line_note note[SHARD_LINES_MAX];
};

/* The shared state of one ingest_run. Shards are cut in order under the lock, validated outside it,
 * and handed in again in order: the worker whose turn it is works alone. */
struct ingest {
    const struct input *in;
    const struct ingest_options *o;
    pthread_mutex_t lock; /* guards everything below */
    pthread_cond_t turned;
    struct cutter cutter;
    uint64_t cut, turn; /* shards cut, and the one to be handed in next */
    bool sampled_again; /* lines need ordinals */
    bool failed;        /* error holds why; all workers end */
    struct error error;
    struct ingest_result *out;
    struct line_index_writer *index; /* the worker whose turn it is has it; NULL: none is made */
};

/* One thread. */
struct worker {
    struct ingest *all;
    pthread_t thread;
    struct piece piece;
    struct arena arena;
    struct violations violations;
    struct buf identity; /* of one request */
    struct found found;
};

/* ---- One line ---- */

/* Puts "request" before a path that is relative to the request, if the line wraps it. */
static void make_absolute(struct str text, const struct input_line *in, struct violation *v)
{
    char relative[VIOLATION_PATH_BYTES];

    if (in->request_text.p == str_trim(text).p)
        return;
    memcpy(relative, v->path, sizeof relative);
    const char *dot = relative[0] == '\0' || relative[0] == '[' ? "" : ".";
    /* A path too long is cut: the offset stays exact. */
    int n = snprintf(v->path, sizeof v->path, "request%s%s", dot, relative);
    if (n >= (int)sizeof v->path)
        v->path[sizeof v->path - 1] = '\0';
}

/* Batches of the Gemini API are of one kind; its two calls for them are known by their names. */
static bool kind_accepted(enum line_kinds kinds, const struct request *r, struct violation *why)
{
    bool embeds = r->kind == REQUEST_EMBED;

    if (kinds == LINES_ANY || (kinds == LINES_EMBED) == embeds)
        return true;
    (void)snprintf(why->path, sizeof why->path, "%s", embeds ? "content" : "contents");
    (void)snprintf(why->message, sizeof why->message,
                   embeds ? "A batch of batchGenerateContent takes no request to embed."
                          : "A batch of asyncBatchEmbedContent takes only requests to embed.");
    (void)snprintf(
        why->remedy, sizeof why->remedy,
        embeds ? "Create the batch with asyncBatchEmbedContent; to generate, write contents."
               : "Create the batch with batchGenerateContent; to embed, write content.");
    return false;
}

static bool job_accepts(const struct line_rules *rules, struct predictor *p, struct str text,
                        const struct input_line *in, struct violations *bad)
{
    struct violation why = { 0 };

    if (kind_accepted(rules->kinds, in->request, &why) &&
        (!p || !p->ops->accepts || p->ops->accepts(p, in->request, &why)))
        return true;
    size_t request_at = (size_t)(in->request_text.p - text.p);
    why.offset = request_at + json_locate(in->request_text, str_of(why.path));
    make_absolute(text, in, &why);
    *violations_add(bad) = why;
    return false;
}

/* The row's request is not in the file: what is wrong with it is wrong with the row. */
static bool read_row(struct arena *a, struct str record, const struct line_rules *rules,
                     struct predictor *p, struct input_line *out, struct violations *bad)
{
    struct str request;

    *out = (struct input_line){ 0 };
    if (!sheet_request(rules->sheet, a, record, &request, bad))
        return false;
    bool good =
        request_read_line(a, request, rules, out, bad) && job_accepts(rules, p, request, out, bad);
    for (unsigned i = 0; i < violations_held(bad); i++)
        bad->item[i].offset = 0;
    return good;
}

bool ingest_line(struct arena *a, struct str text, const struct line_rules *rules,
                 struct predictor *p, struct input_line *out, struct violations *bad)
{
    if (rules->sheet)
        return read_row(a, text, rules, p, out, bad);
    return request_read_line(a, text, rules, out, bad) && job_accepts(rules, p, text, out, bad);
}

void ingest_overlong(const struct line_rules *rules, struct violations *bad)
{
    bool row = rules->sheet != NULL;

    bad->count = bad->warnings = 0;
    struct violation *v = violations_add(bad);
    *v = (struct violation){ 0 };
    (void)snprintf(v->message, sizeof v->message, "The %s is over %zu MiB.", row ? "row" : "line",
                   LINE_BYTES_MAX >> 20);
    (void)snprintf(v->remedy, sizeof v->remedy, "%s",
                   row ? "Look for a quote that is not closed."
                       : "Shorten it, or refer to large media by fileData.fileUri.");
}

void ingest_error(const struct violations *bad, struct error *e)
{
    const struct violation *v = &bad->item[0];

    (void)error_set(e, ERROR_INVALID_ARGUMENT, "%s%s%s %s", v->path, v->path[0] ? ": " : "",
                    v->message, v->remedy);
}

/* ---- Shards ---- */

/* Under the lock. */
static bool cut_next(struct worker *w, struct shard *s, uint64_t *number)
{
    struct ingest *all = w->all;

    if (all->failed)
        return false;
    if (all->o->stop && atomic_load(all->o->stop)) {
        (void)error_set(&all->error, ERROR_CANCELLED, "interrupted");
        all->failed = true;
        return false;
    }
    int rc = cutter_next(&all->cutter, &w->piece, s, &all->error);
    if (rc < 0)
        all->failed = true;
    if (rc == 1)
        *number = all->cut++;
    return rc == 1;
}

static bool take_shard(struct worker *w, struct shard *s, uint64_t *number)
{
    lock(&w->all->lock);
    bool taken = cut_next(w, s, number);
    if (w->all->failed)
        cond_broadcast(&w->all->turned);
    unlock(&w->all->lock);
    return taken;
}

static bool read_line(struct worker *w, struct str text, struct input_line *in)
{
    arena_reset(&w->arena);
    if (w->arena.bytes > ARENA_KEEP_BYTES)
        arena_release(&w->arena);
    w->violations.count = 0;
    return ingest_line(&w->arena, text, &w->all->o->rules, w->all->o->predictor, in,
                       &w->violations);
}

static void count_text(const struct content *c, uint64_t *bytes)
{
    for (uint32_t i = 0; c && i < c->part_count; i++)
        *bytes += c->part[i].text.len;
}

/* The digest of requests that may be computed once, or whose answers are kept. */
static void note_digest(struct worker *w, const struct request *r, struct line_note *n)
{
    const struct ingest_options *o = w->all->o;
    const struct file_digests *files = request_self_contained(r) ? NULL : o->files;
    bool deterministic = request_deterministic(r);

    if (!deterministic && !o->keys)
        return;
    bool known = files && line_digest(r, files, &w->identity, n->digest);
    if (!known && !line_digest(r, NULL, &w->identity, n->digest))
        return;
    n->flags = deterministic ? NOTE_DETERMINISTIC : 0;
    if (known || request_self_contained(r))
        n->flags |= NOTE_KEYED;
    if (repeats_note(w->all->out->repeats, n->digest) && !deterministic)
        w->found.sampled_again = true;
}

/* Bytes of the longest value that an enum leaves to the answer, which has at most as many tokens; 0: the
 * answer has another form. */
static uint32_t enum_bytes(const struct generation *g)
{
    yyjson_val *schema = g->schema ? g->schema : g->json_schema, *value;
    yyjson_val *values = schema ? request_field(schema, "enum") : NULL;
    size_t i, count, longest = 0, quotes = g->form == ANSWER_JSON ? 2 : 0;

    if (g->form != ANSWER_ENUM && g->form != ANSWER_JSON)
        return 0;
    yyjson_arr_foreach(values, i, count, value)
    {
        if (!yyjson_is_str(value))
            return 0;
        size_t bytes = json_str(value).len + quotes;
        longest = bytes > longest ? bytes : longest;
    }
    return longest < UINT32_MAX ? (uint32_t)longest : 0;
}

static void count_good(struct worker *w, const struct request *r)
{
    struct found *f = &w->found;

    count_text(r->system, &f->figures.text_bytes);
    for (uint32_t i = 0; i < r->content_count; i++)
        count_text(&r->content[i], &f->figures.text_bytes);
    uint32_t output = r->generation.max_output_tokens, longest = enum_bytes(&r->generation);
    if (longest && (output == 0 || longest < output))
        output = longest;
    f->figures.output_max += output;
    f->figures.output_unset += r->kind == REQUEST_GENERATE && output == 0;
}

static bool lies_in(struct str part, struct str text)
{
    uintptr_t from = (uintptr_t)text.p, at = (uintptr_t)part.p;

    return at >= from && at + part.len <= from + text.len;
}

/* The note that the line's row needs: of a bad line only its form, and nothing of an output row whose
 * request is a string, as that may quote a whole line. */
static struct line_note note_of(struct str text, const struct input_line *in, bool good,
                                const struct line_rules *rules)
{
    struct str r = in->request_text;

    if (rules->sheet) /* the output row is made of the record */
        return (struct line_note){ .at = LINE_UNKNOWN };
    if (rules->from_output && (r.len == 0 || r.p[0] == '"' || !lies_in(r, text)))
        return (struct line_note){ .at = LINE_UNKNOWN };
    if (r.len == 0)
        return (struct line_note){ .at = LINE_TEXT };
    if (!good)
        return (struct line_note){ .at = LINE_OBJECT };
    return (struct line_note){ .at = (uint32_t)(r.p - text.p), .request_bytes = (uint32_t)r.len };
}

static void validate(struct worker *w, struct shard *s)
{
    struct found *f = &w->found;
    struct input_line in;
    struct lines it;
    struct line line;

    f->figures = (struct shard_figures){ 0 };
    f->warned = 0;
    f->sampled_again = false;
    memset(f->found_in, 0, s->line_count * sizeof f->found_in[0]);
    memset(f->note, 0, s->line_count * sizeof f->note[0]);
    if (s->overlong) {
        f->figures.bad = s->line_count;
        f->found_in[0] = true;
        return;
    }
    assert(s->digest[0] == 0 && s->digest[1] == 0); /* it is set once */
    digest_of(w->piece.p, (size_t)s->bytes, s->digest);
    lines_init(&it, s, w->piece.p, w->all->in->cut);
    while (lines_next(&it, &line)) {
        bool good = read_line(w, line.text, &in);
        f->found_in[line.index - s->index] = violations_held(&w->violations) > 0;
        f->figures.bad += !good;
        f->warned += good && w->violations.warnings;
        struct line_note *note = &f->note[line.index - s->index];
        *note = note_of(line.text, &in, good, &w->all->o->rules);
        if (!good)
            continue;
        count_good(w, in.request);
        note_digest(w, in.request, note);
    }
}

/* Lines with findings are few, so they are read a second time here instead of keeping what was found. */
static void report(struct worker *w, const struct shard *s)
{
    const struct ingest_options *o = w->all->o;
    struct input_line in;
    struct lines it;
    struct line line = { .offset = s->offset, .line_no = s->line_no, .index = s->index };

    if (w->found.figures.bad + w->found.warned == 0 || (!o->on_bad && !o->on_warned))
        return;
    if (s->overlong) {
        ingest_overlong(&o->rules, &w->violations);
        if (o->on_bad)
            o->on_bad(o->arg, w->all->in, s, &line, &w->violations);
        return;
    }
    lines_init(&it, s, w->piece.p, w->all->in->cut);
    while (lines_next(&it, &line)) {
        if (!w->found.found_in[line.index - s->index])
            continue;
        bool good = read_line(w, line.text, &in);
        if (!good && o->on_bad)
            o->on_bad(o->arg, w->all->in, s, &line, &w->violations);
        if (good && o->on_warned && w->violations.warnings)
            o->on_warned(o->arg, w->all->in, s, &line, &w->violations);
    }
}

static void keep_shard(struct shard_list *list, const struct shard *s)
{
    list->item = mem_list_grow(list->item, list->count, sizeof *list->item);
    list->item[list->count++] = *s;
}

static void keep_found(struct ingest_result *r, const struct shard *s, const struct found *f)
{
    assert(s->index == r->lines && s->line_count <= SHARD_LINES_MAX); /* shards adjoin */
    assert(f->figures.bad <= s->line_count);
    keep_shard(&r->shards, s);
    r->lines += s->line_count;
    r->bytes += s->bytes;
    r->bad += f->figures.bad;
    r->warned += f->warned;
    r->text_bytes += f->figures.text_bytes;
    r->output_max += f->figures.output_max;
    r->output_unset += f->figures.output_unset;
}

/* Waits for its turn; false when the run has failed. */
static bool hand_in(struct worker *w, const struct shard *s, uint64_t number)
{
    struct ingest *all = w->all;

    lock(&all->lock);
    while (all->turn != number && !all->failed)
        cond_wait(&all->turned, &all->lock);
    bool failed = all->failed;
    unlock(&all->lock);
    if (failed)
        return false;

    report(w, s);
    if (all->o->on_shard)
        all->o->on_shard(all->o->arg, s, &w->found.figures);
    if (all->index)
        line_index_add(all->index, s, w->found.note);
    lock(&all->lock);
    keep_found(all->out, s, &w->found);
    all->sampled_again |= w->found.sampled_again;
    all->turn++;
    cond_broadcast(&all->turned);
    unlock(&all->lock);
    return true;
}

/* The job's name must depend on all that can change its output: which bytes, cut into which lines. */
static void digest_shards(struct ingest_result *r)
{
    struct digest *d = digest_new();

    for (size_t i = 0; i < r->shards.count; i++) {
        const struct shard *s = &r->shards.item[i];
        uint64_t fact[4] = { s->digest[0], s->digest[1], s->line_count, s->overlong };
        digest_add(d, fact, sizeof fact);
    }
    digest_end(d, r->digest);
    digest_free(d);
}

static void *work(void *arg)
{
    struct worker *w = arg;
    struct shard s;
    uint64_t number = 0;

    while (take_shard(w, &s, &number)) {
        validate(w, &s);
        if (!hand_in(w, &s, number))
            break;
        if (w->piece.cap > PIECE_KEEP_BYTES)
            piece_release(&w->piece);
    }
    piece_release(&w->piece);
    buf_release(&w->identity);
    arena_release(&w->arena);
    return NULL;
}

static uint32_t thread_count(const struct ingest_options *o)
{
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    uint32_t wanted = o->threads ? o->threads : cpus > 0 ? (uint32_t)cpus : 1;

    return wanted < THREADS_MAX ? wanted : THREADS_MAX;
}

/* The caller's thread is the first worker, so a thread that cannot be made only makes it slower. */
static void worker_run_all(struct ingest *all)
{
    uint32_t wanted = thread_count(all->o), count = 1;
    struct worker *w = mem_array(wanted, sizeof *w);

    for (uint32_t i = 0; i < wanted; i++) {
        w[i].all = all;
        w[i].identity = BUF_INIT(LINE_BYTES_MAX);
    }
    for (; count < wanted; count++) {
        if (pthread_create(&w[count].thread, NULL, work, &w[count]) != 0)
            break;
    }
    (void)work(&w[0]);
    for (uint32_t i = 1; i < count; i++)
        thread_join(w[i].thread);
    mem_free(w);
}

struct numbering {
    const struct repeats *repeats;
    struct ordinals *ordinals;
};

/* A request that is nowhere again is the first of its kind, whoever counts. */
static void number_lines(void *arg, struct line_note *note, uint32_t count)
{
    struct numbering *n = arg;

    for (uint32_t i = 0; i < count; i++) {
        if (!(note[i].flags & NOTE_KEYED) || note[i].flags & NOTE_DETERMINISTIC ||
            !repeats_maybe(n->repeats, note[i].digest))
            continue;
        if (!ordinals_next(n->ordinals, note[i].digest, &note[i].ordinal))
            note[i].flags &= ~(uint32_t)NOTE_KEYED;
    }
}

/* Only now is it known which requests repeat. */
static void number_all(struct ingest *all)
{
    struct numbering n = { all->out->repeats, ordinals_new() };

    line_index_revise(all->index, all->out, number_lines, &n);
    ordinals_free(n.ordinals);
}

void ingest_result_release(struct ingest_result *r)
{
    line_index_free(r->index);
    repeats_free(r->repeats);
    mem_free(r->shards.item);
    *r = (struct ingest_result){ 0 };
}

int ingest_run(const struct input *in, const struct ingest_options *o, struct ingest_result *out,
               struct error *e)
{
    struct ingest all = { .in = in, .o = o, .out = out };

    *out = (struct ingest_result){ .repeats = repeats_new(in->bytes) };
    if (o->index_path || o->index_folder)
        all.index = line_index_begin(o->index_folder, o->index_path);
    cutter_init(&all.cutter, in, o->limit, o->lines_max);
    lock_init(&all.lock);
    cond_init(&all.turned);
    worker_run_all(&all);
    cond_destroy(&all.turned);
    lock_destroy(&all.lock);
    if (all.failed) {
        line_index_abort(all.index);
        ingest_result_release(out);
        *e = all.error;
        return -1;
    }
    digest_shards(out);
    if (all.index && all.sampled_again)
        number_all(&all);
    line_index_end(all.index, in, out);
    return 0;
}
