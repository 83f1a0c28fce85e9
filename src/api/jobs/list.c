/* list.c -- pages of jobs for both dialects.
 *
 * Why: a job's resource can have a megabyte, so a page is read and written a few jobs at a time and
 * ends early when it has become large; the client goes on with its token. A page has a token only when
 * another job is known to follow, because clients fail on an empty last page.
 */
#include "api/jobs/jobs.h"

#include <assert.h>

#include "format/job/filter.h"

#define PAGE_SIZE_MAX 1000
#define PAGE_BYTES_MAX ((size_t)8 * 1024 * 1024)
#define CHUNK_JOBS 16
#define REPLY_BYTES_MAX (PAGE_BYTES_MAX + CHUNK_JOBS * (size_t)4 * 1024 * 1024)

/* The name of each dialect's list, and the size of a page unless the client asks for another. */
static const struct {
    const char *name;
    uint64_t size;
} pages[] = {
    [DIALECT_VERTEX] = { "batchPredictionJobs", 100 },
    [DIALECT_GEMINI] = { "operations", 50 },
};

struct job_listing {
    struct call *call;
    enum dialect dialect;
    struct job_place at;
    const struct filter *filter;
    struct str mask;
    uint64_t left;  /* jobs that may still be written; at 0 one more job is looked for */
    int64_t before; /* the last job that was written: the next page begins after it */
    int64_t walk;   /* the last job that was looked at */
    uint32_t written;
    bool walked; /* all jobs were looked at */
    bool more;   /* another job follows the page */
    struct buf out;
    struct json_writer json; /* into out */
};

/* A token is valid for the same list with the same filter only. */
static struct seal seal_of(struct job_listing *l)
{
    struct buf scope = BUF_INIT(FILTER_BYTES_MAX + 512);
    const struct job_place *at = &l->at;
    struct str filter = { 0 };

    (void)http_query(l->call->http, "filter", &filter);
    buf_addf(&scope, "%d %s %s ", (int)l->dialect, at->scope ? at->scope : "",
             at->location ? at->location : "-");
    buf_add_str(&scope, filter);
    struct seal seal = { "page", { arena_copy(l->call->arena, scope.p, scope.len), scope.len } };
    buf_release(&scope);
    return seal;
}

static int token_read(struct job_listing *l, struct error *e)
{
    struct seal seal = seal_of(l);
    int64_t number[2];
    struct str token;

    if (!http_query(l->call->http, "pageToken", &token) || token.len == 0)
        return 0;
    if (!seal_read(l->call->api->store, &seal, token, number))
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "pageToken: It does not belong to this list. Use the nextPageToken of the "
                         "page before, with the same filter.");
    l->before = l->walk = number[0];
    return 0;
}

static int listing_read(struct job_listing *l, struct error *e)
{
    struct str filter = { 0 };

    (void)http_query(l->call->http, "filter", &filter);
    (void)http_query(l->call->http, "readMask", &l->mask);
    l->filter = filter_parse(l->call->arena, filter, e);
    if (!l->filter ||
        call_number(l->call, "pageSize", pages[l->dialect].size, PAGE_SIZE_MAX, &l->left, e) < 0)
        return -1;
    return token_read(l, e);
}

/* The filter asks for the state that the resource shows. */
static bool keep(void *arg, const struct job *j)
{
    const struct job_listing *l = arg;
    struct job shown = *j;

    if (j->asked == ASKED_REMOVE)
        return false;
    if (j->state == JOB_EXPIRED && j->dialect == DIALECT_VERTEX)
        shown.state = l->call->api->expired_as;
    return filter_keeps(l->filter, &shown);
}

static void one_write(struct job_listing *l, const struct job *j)
{
    assert(l->left > 0 && !l->more);
    if (l->written++ == 0)
        json_array(&l->json, pages[l->dialect].name); /* an empty list is {} */
    json_value(&l->json, NULL);
    job_write(l->call, j, l->mask, GEMINI_LISTED, &l->out);
    l->before = j->id;
    l->left = l->out.len < PAGE_BYTES_MAX ? l->left - 1 : 0;
}

static int chunk_write(struct job_listing *l, struct arena *a, struct error *e)
{
    const struct job_query q = {
        .project = l->at.scope,
        .location = l->at.location,
        .dialect = l->dialect,
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

static int chunks_write(struct job_listing *l, struct error *e)
{
    int rc;

    do {
        struct arena a = { 0 };
        rc = chunk_write(l, &a, e);
        arena_release(&a);
    } while (rc == 0 && !l->walked && !l->more);
    return rc;
}

static int end_write(struct job_listing *l, struct error *e)
{
    struct seal seal = seal_of(l);
    char token[SEAL_TEXT_BYTES];

    if (l->written)
        json_end(&l->json);
    if (l->more) {
        if (seal_write(l->call->api->store, &seal, (const int64_t[2]){ l->before, 0 }, token, e) <
            0)
            return -1;
        json_add_c(&l->json, "nextPageToken", token);
    }
    json_end(&l->json);
    return 0;
}

void job_list_call(struct call *c)
{
    struct job_listing l = { .call = c,
                             .dialect = job_dialect(c),
                             .out = BUF_INIT(REPLY_BYTES_MAX) };
    struct error e = { 0 };

    l.json = JSON_WRITER(&l.out);
    json_object(&l.json, NULL);
    if (job_place(c, "list", &l.at, &e) < 0 || listing_read(&l, &e) < 0 ||
        chunks_write(&l, &e) < 0 || end_write(&l, &e) < 0) {
        buf_release(&l.out);
        call_fail(c, &e);
        return;
    }
    call_reply(c, &l.out);
}
