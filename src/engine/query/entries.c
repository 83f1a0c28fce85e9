/* entries.c -- jobs in memory, and who waits for them. */
#include "engine/query/query_inner.h"

#include <assert.h>
#include <string.h>

#define DONE_MAX 512                              /* done jobs that stay in memory */
#define DONE_BYTES_MAX ((size_t)16 * 1024 * 1024) /* of their texts */
#define REQUEST_MS INT64_C(900000)                /* a request id counts for 15 minutes */

int64_t query_now_ms(const struct queries *q)
{
    return q->clock->wall_us(q->clock) / 1000;
}

struct str query_str_dup(struct str s)
{
    char *p = mem_alloc(s.len + 1);

    if (s.len)
        memcpy(p, s.p, s.len);
    return (struct str){ p, s.len };
}

void query_str_drop(struct str *s)
{
    mem_free((char *)(uintptr_t)s->p);
    *s = (struct str){ 0 };
}

void query_entry_free(struct query_entry *n)
{
    assert(!n->waiter);
    tables_cancel_release(&n->cancel);
    query_str_drop(&n->project);
    query_str_drop(&n->id);
    query_str_drop(&n->request_id);
    query_str_drop(&n->json);
    mem_free(n);
}

/* Under the lock. */
struct query_entry *query_entry_find(const struct queries *q, struct str project, struct str id)
{
    struct query_entry *n = q->entry;

    while (n && !(str_eq(n->id, id) && str_eq(n->project, project)))
        n = n->next;
    return n;
}

/* Under the lock. */
struct query_entry *query_request_find(const struct queries *q, struct str project,
                                       struct str request)
{
    struct query_entry *n = q->entry;

    while (n && request.len &&
           !(str_eq(n->request_id, request) && str_eq(n->project, project) &&
             query_now_ms(q) - n->created_ms < REQUEST_MS))
        n = n->next;
    return request.len ? n : NULL;
}

/* Under the lock: removes it from the list. */
void query_entry_unlink(struct queries *q, struct query_entry *n)
{
    struct query_entry **at = &q->entry;

    while (*at != n)
        at = &(*at)->next;
    *at = n->next;
    q->entry_count--;
}

/* Under the lock: the oldest done jobs beyond the limits go; they have records. */
void query_drop_done(struct queries *q)
{
    uint32_t count = 0;
    size_t bytes = 0;

    for (struct query_entry **at = &q->entry; *at;) {
        struct query_entry *n = *at;
        bool idle = n->state == BQ_DONE && !n->waiter;
        count += idle;
        bytes += idle ? n->json.len : 0;
        if (!idle || (count <= DONE_MAX && bytes <= DONE_BYTES_MAX)) {
            at = &n->next;
            continue;
        }
        *at = n->next;
        q->entry_count--;
        query_entry_free(n);
    }
}

/* Takes those whose time has come off the list of an entry; all: every one. */
struct query_waiter *query_waiters_take(struct query_entry *n, uint64_t now_ns, bool all)
{
    struct query_waiter *taken = NULL;

    for (struct query_waiter **at = &n->waiter; *at;) {
        struct query_waiter *w = *at;
        if (!all && w->deadline_ns > now_ns) {
            at = &w->next;
            continue;
        }
        *at = w->next;
        w->next = taken;
        taken = w;
    }
    return taken;
}

void query_waiters_tell(struct query_waiter *w)
{
    while (w) {
        struct query_waiter *next = w->next;
        w->done(w->arg);
        mem_free(w);
        w = next;
    }
}

/* ---- One job ---- */

struct str query_job_text(const struct bq_job *j)
{
    struct buf text = BUF_INIT(SIZE_MAX);
    struct json_writer w = JSON_WRITER(&text);

    bq_job_write(&w, NULL, j, BQ_JOB_STORED, (struct str){ 0 });
    struct str kept = query_str_dup(buf_str(&text));
    buf_release(&text);
    return kept;
}

/* Under the lock: the new text of an entry. */
void query_entry_set(struct query_entry *n, const struct bq_job *j)
{
    struct str text = query_job_text(j);

    query_str_drop(&n->json);
    n->json = text;
    n->state = j->state;
}

/* Under the lock. */
struct query_entry *query_entry_add(struct queries *q, const struct bq_job *j,
                                    struct str request_id)
{
    struct query_entry *n = mem_alloc(sizeof *n);

    *n = (struct query_entry){
        .next = q->entry,
        .project = query_str_dup(j->project),
        .id = query_str_dup(j->id),
        .request_id = query_str_dup(request_id),
        .created_ms = j->created_ms,
    };
    tables_cancel_init(&n->cancel);
    query_entry_set(n, j);
    n->state = BQ_PENDING;
    q->entry = n;
    q->entry_count++;
    return n;
}

/* Under the lock: the job may run now, or goes again. */
void query_entry_ready(struct queries *q, struct query_entry *n)
{
    n->ready = true;
    cond_broadcast(&q->changed);
}
