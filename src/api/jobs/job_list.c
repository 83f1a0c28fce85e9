/* job_list.c -- pages of jobs for both dialects.
 *
 * Why: a job's resource may have a megabyte, so a page is read and written a few jobs at a time and
 * ends early when it has become large; the client goes on with its token. A token is only given when
 * another job is known to follow: clients fail on an empty last page.
 */
#include "api/jobs/job_calls.h"
#include "format/job/filter.h"

#define PAGE_SIZE_MAX 1000
#define PAGE_BYTES_MAX ((size_t)8 * 1024 * 1024)
#define CHUNK_JOBS 16
#define REPLY_BYTES_MAX (PAGE_BYTES_MAX + CHUNK_JOBS * (size_t)4 * 1024 * 1024)

struct listing {
    struct call *call;
    const struct job_page *page;
    const struct filter *filter;
    struct str mask;
    uint64_t left;  /* jobs that may still be written; then one more is looked for */
    int64_t before; /* of the next page: the last job that was written */
    int64_t walk;   /* where the walk has come */
    uint32_t written;
    bool walked; /* all jobs were looked at */
    bool more;   /* another job follows the page */
    struct buf out;
};

/* A token holds for the same question only. */
static struct seal seal_of(struct listing *l)
{
    struct buf scope = BUF_INIT(FILTER_BYTES_MAX + 512);
    const struct job_place *at = &l->page->at;
    struct str filter = { 0 };

    (void)http_query(l->call->http, "filter", &filter);
    buf_addf(&scope, "%d %s %s ", (int)l->page->dialect, at->scope ? at->scope : "",
             at->location ? at->location : "-");
    buf_add_str(&scope, filter);
    struct seal seal = { "page", { arena_copy(l->call->arena, scope.p, scope.len), scope.len } };
    buf_release(&scope);
    return seal;
}

static int token_read(struct listing *l, struct error *e)
{
    struct seal seal = seal_of(l);
    int64_t number[2];
    struct str token;

    if (!http_query(l->call->http, "pageToken", &token) || token.len == 0)
        return 0;
    if (!seal_read(l->call->api->store, &seal, token, number))
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "pageToken: It is none of this list. Use the nextPageToken of the page "
                         "before, with the same filter.");
    l->before = l->walk = number[0];
    return 0;
}

static int listing_read(struct listing *l, struct error *e)
{
    struct str filter = { 0 };

    (void)http_query(l->call->http, "filter", &filter);
    (void)http_query(l->call->http, "readMask", &l->mask);
    l->filter = filter_parse(l->call->arena, filter, e);
    if (!l->filter ||
        call_number(l->call, "pageSize", l->page->size_default, PAGE_SIZE_MAX, &l->left, e) < 0)
        return -1;
    return token_read(l, e);
}

/* The filter asks for the state that the resource shows. */
static bool keep(void *arg, const struct job *j)
{
    const struct listing *l = arg;
    struct job shown = *j;

    if (j->state == JOB_EXPIRED && j->dialect == DIALECT_VERTEX)
        shown.state = l->call->api->expired_as;
    return filter_keeps(l->filter, &shown);
}

static void one_write(struct listing *l, const struct job *j)
{
    if (l->written++)
        buf_add_char(&l->out, ',');
    else
        buf_addf(&l->out, "{\"%s\":[", l->page->name);
    job_write(l->call, j, l->mask, GEMINI_LISTED, &l->out);
    l->before = j->id;
    l->left = l->out.len < PAGE_BYTES_MAX ? l->left - 1 : 0;
}

static int chunk_write(struct listing *l, struct arena *a, struct error *e)
{
    const struct job_query q = {
        .project = l->page->at.scope,
        .location = l->page->at.location,
        .dialect = l->page->dialect,
        .before = l->walk,
        .most = l->left < CHUNK_JOBS ? (uint32_t)l->left + 1 : CHUNK_JOBS,
        .keep = keep,
        .arg = l,
    };
    struct job_list list;

    if (job_query(l->call->api->store, a, &q, &list, e) < 0)
        return -1;
    for (uint32_t i = 0; i < list.count; i++) {
        if (l->left == 0) {
            l->more = true;
            return 0;
        }
        one_write(l, &list.item[i]);
    }
    l->walk = list.last;
    l->walked = !list.more;
    return 0;
}

static int chunks_write(struct listing *l, struct error *e)
{
    int rc;

    do {
        struct arena a = { 0 };
        rc = chunk_write(l, &a, e);
        arena_release(&a);
    } while (rc == 0 && !l->walked && !l->more);
    return rc;
}

static int end_write(struct listing *l, struct error *e)
{
    struct seal seal = seal_of(l);
    char token[SEAL_TEXT_BYTES];

    buf_add_c(&l->out, l->written ? "]" : "{");
    if (l->more) {
        if (seal_write(l->call->api->store, &seal, (const int64_t[2]){ l->before, 0 }, token, e) <
            0)
            return -1;
        buf_addf(&l->out, "%s\"nextPageToken\":\"%s\"", l->written ? "," : "", token);
    }
    buf_add_char(&l->out, '}');
    return 0;
}

void job_list_reply(struct call *c, const struct job_page *p)
{
    struct listing l = { .call = c, .page = p, .out = BUF_INIT(REPLY_BYTES_MAX) };
    struct error e = { 0 };

    if (listing_read(&l, &e) < 0 || chunks_write(&l, &e) < 0 || end_write(&l, &e) < 0) {
        buf_release(&l.out);
        call_fail(c, &e);
        return;
    }
    call_reply(c, &l.out);
}
