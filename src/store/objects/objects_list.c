/* objects_list.c -- listing: a walk over the index of names that leaps over what a delimiter folds.
 *
 * Shape:   the walk stands at a lower bound of names, moves by one name or, at a common prefix, to the
 *          prefix' end: so a page costs what it shows, not what the bucket holds. With a glob it
 *          ends early, with a page that is not full, when it has looked at LOOK_MAX names or
 *          compared GLOB_WORK_MAX characters.
 */
#include <assert.h>
#include <string.h>

#include "store/objects/object_glob.h"
#include "base/mem.h"
#include "store/objects/objects_inner.h"

#define LOOK_MAX 20000
/* Rows of one statement. */
#define PAGE_MIN 16
#define PAGE_MAX 1024
/* Steps of the pattern times bytes of names: about a tenth of a second. */
#define GLOB_WORK_MAX ((uint64_t)64 * 1024 * 1024)

/* A bound and room to write it: a prefix' end is the prefix with its last byte one higher. */
struct bound {
    char p[OBJECT_NAME_MAX + 1];
    size_t len;
    bool after; /* names after it; else it and after */
};

struct walk {
    const struct object_query *q;
    struct db *d;
    struct arena *a;
    struct glob *glob; /* NULL: none */
    struct object_list *out;
    struct bound low, high; /* high.len 0: no end */
    struct stmt *rows;      /* NULL: to be begun at low */
    uint32_t page, left;    /* rows that it gives at most, and how many of them are to come */
    uint32_t looked;
    uint64_t work;
    struct str last; /* the newest name or prefix that was looked at, in the arena */
    bool full;
};

/* Longer ones name nothing; refusing them bounds everything after. */
static int query_check(const struct object_query *q, struct error *e)
{
    const struct str text[] = { q->prefix, q->delimiter, q->start, q->end, q->glob, q->after };

    for (size_t i = 0; i < ARRAY_LEN(text); i++) {
        if (text[i].len > OBJECT_NAME_MAX)
            return error_set(e, ERROR_INVALID_ARGUMENT,
                             "a prefix, delimiter, offset, pattern or page token is over %d bytes",
                             OBJECT_NAME_MAX);
    }
    return 0;
}
static_assert(GLOB_BYTES_MAX >= OBJECT_NAME_MAX, "a checked pattern compiles");

static struct str bound_str(const struct bound *b)
{
    return (struct str){ b->p, b->len };
}

static void bound_set(struct bound *b, struct str s, bool after)
{
    memcpy(b->p, s.p ? s.p : "", s.len);
    b->len = s.len;
    b->after = after;
}

/* The first name that no longer begins with s. Empty when there is none. */
static void bound_end_of(struct bound *b, struct str s)
{
    bound_set(b, s, false);
    while (b->len > 0 && (unsigned char)b->p[b->len - 1] == 0xff)
        b->len--;
    if (b->len > 0)
        b->p[b->len - 1]++;
}

static void bound_raise(struct bound *low, struct str s)
{
    if (str_cmp(s, bound_str(low)) > 0)
        bound_set(low, s, false);
}

static void bound_lower(struct bound *high, struct str s)
{
    if (s.len > 0 && (high->len == 0 || str_cmp(s, bound_str(high)) < 0))
        bound_set(high, s, false);
}

/* The beginning of name up to and with the first delimiter after the prefix; empty without one. */
static struct str folded(const struct object_query *q, struct str name)
{
    if (q->delimiter.len == 0 || !str_starts(name, q->prefix))
        return (struct str){ 0 };
    size_t at = str_find(str_sub(name, q->prefix.len, SIZE_MAX), q->delimiter);
    if (at == SIZE_MAX)
        return (struct str){ 0 };
    return str_sub(name, 0, q->prefix.len + at + q->delimiter.len);
}

/* A page token inside a folded prefix means that prefix was shown: the walk goes on behind it. */
static void begin_after(struct walk *w)
{
    struct str fold = folded(w->q, w->q->after);
    struct bound end;

    if (fold.len > 0) {
        bound_end_of(&end, fold);
        bound_raise(&w->low, bound_str(&end));
    } else if (w->q->after.len > 0 && str_cmp(w->q->after, bound_str(&w->low)) >= 0)
        bound_set(&w->low, w->q->after, true);
}

static int walk_begin(struct walk *w, struct error *e)
{
    const struct object_query *q = w->q;
    struct bound end = { 0 };

    bound_set(&w->low, q->prefix, false);
    bound_end_of(&w->high, q->prefix);
    bound_raise(&w->low, q->start);
    bound_lower(&w->high, q->end);
    if (q->glob.len > 0) {
        w->glob = glob_compile(w->a, q->glob);
        if (!w->glob)
            return error_set(e, ERROR_INVALID_ARGUMENT, "the pattern is too long");
        bound_raise(&w->low, glob_prefix(w->glob));
        bound_end_of(&end, glob_prefix(w->glob));
        bound_lower(&w->high, bound_str(&end));
    }
    begin_after(w);
    return 0;
}

/* Begins the statement at low. One constant each, so that each is a range of the index. A database that sends all rows of a
 * statement sends no more than will be looked at: few, when the next folded prefix begins another statement. */
static void rows_begin(struct walk *w)
{
#define ROWS(from, to)                                                                             \
    "SELECT " OBJECT_COLUMNS " FROM object WHERE bucket = ?1 AND name " from " ?2" to              \
    " ORDER BY name LIMIT ?3"
    static const char *const sql[2][2] = {
        { ROWS(">=", ""), ROWS(">=", " AND name < ?4") },
        { ROWS(">", ""), ROWS(">", " AND name < ?4") },
    };
#undef ROWS
    /* No name is less than one byte of 0, so it is as good a bound as none. */
    struct str low = w->low.len > 0 ? bound_str(&w->low) : (struct str){ "\0", 1 };

    w->rows = db_stmt(w->d, sql[w->low.after][w->high.len > 0]);
    db_bind(w->rows, "tbi", w->q->bucket, low, (int64_t)w->page);
    if (w->high.len > 0)
        db_bind_from(w->rows, 4, "b", bound_str(&w->high));
    w->left = w->page;
}

static bool is_wanted(struct walk *w, struct str name)
{
    if (!w->glob)
        return true;
    w->work += (uint64_t)name.len * w->q->glob.len;
    return glob_match(w->glob, name);
}

static void item_add(struct walk *w)
{
    struct object_list *out = w->out;

    out->item = arena_list_grow(w->a, out->item, out->count, sizeof *out->item);
    object_row(w->rows, w->a, &out->item[out->count++]);
}

static void prefix_add(struct walk *w, struct str prefix)
{
    struct object_list *out = w->out;

    out->prefix = arena_list_grow(w->a, out->prefix, out->prefix_count, sizeof *out->prefix);
    out->prefix[out->prefix_count++] = prefix;
}

/* A folded prefix matches a pattern with its delimiter or without. */
static bool is_prefix_wanted(struct walk *w, struct str prefix)
{
    return is_wanted(w, prefix) ||
           is_wanted(w, str_sub(prefix, 0, prefix.len - w->q->delimiter.len));
}

/* After a folded one the statement begins again behind its prefix. */
static void row_take(struct walk *w)
{
    struct str name = db_bytes(w->rows, 1);
    struct str fold = folded(w->q, name);

    w->left--;
    if (fold.len == 0 || (w->q->trailing_delimiter && fold.len == name.len)) {
        if (is_wanted(w, name))
            item_add(w);
    }
    w->last = fold.len > 0 ? fold : name;
    w->last.p = arena_copy(w->a, w->last.p, w->last.len);
    if (fold.len > 0) {
        if (is_prefix_wanted(w, w->last))
            prefix_add(w, w->last);
        bound_end_of(&w->low, w->last);
        w->rows = NULL;
        w->page = PAGE_MIN;
    }
    w->looked++;
    w->full = w->out->count + w->out->prefix_count >= w->q->most || w->looked >= LOOK_MAX ||
              w->work >= GLOB_WORK_MAX;
}

static int walk_run(struct walk *w, struct error *e)
{
    int rc = 1;

    while (rc == 1) {
        if (!w->rows)
            rows_begin(w);
        rc = db_step(w->rows, "cannot list objects", e);
        if (rc == 0 && w->left == 0) {
            bound_set(&w->low, w->last, true);
            w->rows = NULL;
            w->page = w->page < PAGE_MAX / 4 ? w->page * 4 : PAGE_MAX;
            rc = 1;
            continue;
        }
        if (rc == 1 && w->full) {
            w->out->last = w->last;
            return 0;
        }
        if (rc == 1)
            row_take(w);
    }
    return rc;
}

int object_query(struct store *s, struct arena *a, const struct object_query *q,
                 struct object_list *out, struct error *e)
{
    *out = (struct object_list){ 0 };
    if (query_check(q, e) < 0)
        return -1;
    struct walk *w = arena_alloc(a, sizeof *w);
    w->q = q;
    w->a = a;
    w->out = out;
    w->page = q->delimiter.len > 0 ? PAGE_MIN : PAGE_MAX;
    w->d = store_read(s, e);
    if (!w->d)
        return -1;
    int rc = bucket_check(w->d, q->project, q->bucket, e);
    if (rc == 0)
        rc = walk_begin(w, e);
    if (rc == 0 && q->most > 0)
        rc = walk_run(w, e);
    store_read_done(s, w->d);
    return rc;
}
