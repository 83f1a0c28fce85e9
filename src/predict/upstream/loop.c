#include "predict/upstream/loop.h"

#include <assert.h>
#include <pthread.h>

#include "base/chan.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/metric.h"
#include "base/thread.h"
#include "predict/upstream/task_files.h"

/* The longest sleep: the loop notices within this time what changes without a wake. */
#define SLEEP_MS 1000
/* Ended exchanges that are read before the queue is looked at again. */
#define BURST 64
#define CREDENTIAL_LOOK_MS 20

struct task_queue {
    struct upstream_task *first, **last;
};

struct upstream_loop {
    struct upstream_route *route;
    struct clock *clock;
    struct http_multi *multi;
    struct schemas *checks;
    struct chan *in, *out, *unchecked;
    pthread_t thread, checker;
    atomic_bool stop, draining, cancels, sleeping, broken;
    atomic_uint in_flight;
    /* Only the loop's thread uses what follows: */
    struct task_queue queue;  /* may be sent */
    struct task_queue unread; /* their files are missing */
    struct file_reader *reader;
    uint32_t files_ahead;                    /* tasks of the queue whose files are read */
    struct upstream_task *done, **done_last; /* answered in this round, and given together */
    struct flight *flight, *pool;
    size_t bodies_bytes;
    struct flight_desk desk;
    uint64_t ready_ns; /* when the first of the queue may go; UINT64_MAX: when an exchange ends */
};

/* ---- The session's side ---- */

static void wake(void *arg)
{
    struct upstream_loop *l = arg;

    if (atomic_exchange(&l->sleeping, false))
        http_multi_wake(l->multi);
}

void upstream_loop_send(struct upstream_loop *l, struct upstream_task *t)
{
    (void)chan_send(l->in, t); /* has room for the whole window */
    wake(l);
}

struct upstream_task *upstream_loop_take(struct upstream_loop *l, uint32_t timeout_ms)
{
    return chan_recv(l->out, timeout_ms);
}

void upstream_loop_cancel(struct upstream_loop *l, struct upstream_task *t)
{
    atomic_store(&t->cancelled, true);
    atomic_store(&l->cancels, true);
    wake(l);
}

void upstream_loop_drain(struct upstream_loop *l)
{
    atomic_store(&l->draining, true);
    wake(l);
}

bool upstream_loop_broken(const struct upstream_loop *l)
{
    return atomic_load(&l->broken);
}

uint32_t upstream_loop_in_flight(const struct upstream_loop *l)
{
    return atomic_load(&l->in_flight);
}

/* ---- The queues ---- */

static void files_drop(struct upstream_loop *l, struct upstream_task *t)
{
    if (!t->files)
        return;
    assert(l->files_ahead > 0);
    l->files_ahead--;
    task_files_free(t->files);
    t->files = NULL;
}

static void give(struct upstream_loop *l, struct upstream_task *t)
{
    files_drop(l, t);
    t->next = NULL;
    *l->done_last = t;
    l->done_last = &t->next;
}

/* Waking the session's thread costs more than an answer does, so it is woken once a round. */
static void give_round(struct upstream_loop *l)
{
    if (l->done)
        (void)chan_send(l->out, l->done); /* has room for the whole window */
    l->done = NULL;
    l->done_last = &l->done;
}

static void give_cancelled(struct upstream_loop *l, struct upstream_task *t)
{
    (void)error_set(&t->answer.error, ERROR_CANCELLED, "The run was stopped before this request.");
    give(l, t);
}

static void queue_add(struct task_queue *q, struct upstream_task *t)
{
    t->next = NULL;
    *q->last = t;
    q->last = &t->next;
}

static void queue_add_first(struct task_queue *q, struct upstream_task *t)
{
    t->next = q->first;
    q->first = t;
    if (!t->next)
        q->last = &t->next;
}

static struct upstream_task *queue_take(struct task_queue *q)
{
    struct upstream_task *t = q->first;

    q->first = t->next;
    if (!q->first)
        q->last = &q->first;
    return t;
}

/* Answers the cancelled tasks of a queue, or all of them. */
static void queue_cancel(struct upstream_loop *l, struct task_queue *q, bool all)
{
    struct upstream_task **at = &q->first;

    while (*at) {
        struct upstream_task *t = *at;
        if (!all && !atomic_load(&t->cancelled)) {
            at = &t->next;
            continue;
        }
        *at = t->next;
        give_cancelled(l, t);
    }
    q->last = at;
}

static void enqueue(struct upstream_loop *l, struct upstream_task *t)
{
    queue_add(task_files_missing(l->route, t) ? &l->unread : &l->queue, t);
}

static void take_in(struct upstream_loop *l)
{
    struct upstream_task *t;

    while ((t = chan_recv(l->in, 0)))
        enqueue(l, t);
}

/* A task whose files are read is older than the queue. */
static void take_read(struct upstream_loop *l)
{
    struct upstream_task *t = file_reader_take(l->reader);

    if (!t)
        return;
    l->files_ahead += t->files != NULL;
    if (atomic_load(&t->cancelled) || atomic_load(&l->draining))
        give_cancelled(l, t);
    else
        queue_add_first(&l->queue, t);
}

static void read_next(struct upstream_loop *l)
{
    take_read(l);
    if (l->unread.first && !file_reader_busy(l->reader) && l->files_ahead < TASK_FILES_AHEAD)
        file_reader_ask(l->reader, queue_take(&l->unread));
}

/* The exchange of a cancelled task goes on without it: a server cannot take back what it has begun. */
static void flights_cancel(struct upstream_loop *l)
{
    for (struct flight *f = l->flight; f; f = f->next) {
        if (!f->task || !atomic_load(&f->task->cancelled))
            continue;
        give_cancelled(l, f->task);
        f->task = NULL;
    }
}

/* ---- Flights ---- */

static struct flight *flight_new(struct upstream_loop *l, struct upstream_task *t)
{
    struct flight *f = l->pool;

    if (f)
        l->pool = f->next;
    else
        f = mem_alloc(sizeof *f);
    f->task = t;
    return f;
}

static void flight_to_pool(struct upstream_loop *l, struct flight *f)
{
    f->next = l->pool;
    l->pool = f;
}

static void flight_link(struct upstream_loop *l, struct flight *f)
{
    f->before = NULL;
    f->next = l->flight;
    if (f->next)
        f->next->before = f;
    l->flight = f;
    l->bodies_bytes += f->body.len;
    atomic_fetch_add(&l->in_flight, 1);
}

static void flight_unlink(struct upstream_loop *l, struct flight *f)
{
    if (f->before)
        f->before->next = f->next;
    else
        l->flight = f->next;
    if (f->next)
        f->next->before = f->before;
    assert(l->bodies_bytes >= f->body.len && atomic_load(&l->in_flight) > 0);
    l->bodies_bytes -= f->body.len;
    atomic_fetch_sub(&l->in_flight, 1);
}

static int flight_start(struct upstream_loop *l, struct flight *f, struct error *e)
{
    const struct http_ask ask = {
        .host = server_http(f->target->server),
        .method = "POST",
        .url = l->desk.url.p,
        .body = buf_str(&f->body),
        .header = l->desk.header.len ? l->desk.header.p : NULL,
        .trace = l->desk.trace.len ? l->desk.trace.p : NULL,
        .timeout_ms = f->target->to->upstream->timeout_ms,
        .body_max = UPSTREAM_REPLY_BYTES_MAX,
        .tag = f,
    };

    server_sent(f->target->server, &f->target->member, f->task->request->text.len, &f->exchange);
    f->exchange.retried = f->task->request->retried;
    if (http_multi_start(l->multi, &ask, e) == 0) {
        flight_link(l, f);
        return 0;
    }
    const struct exchange_result failed = { .end = EXCHANGE_FAILED, .why = e };
    server_ended(f->target->server, &f->exchange, &failed);
    return -1;
}

/* Sends the first of the queue to this target. False: the credential is still being fetched. */
static bool send_first(struct upstream_loop *l, struct target *p, uint64_t now)
{
    struct upstream_task *t = l->queue.first;
    struct flight *f = flight_new(l, t);
    struct error *e = &t->answer.error;

    assert(t->targets & 1u << (p - l->route->target));
    f->target = p;
    int rc = flight_write(f, &l->desk, e);
    if (rc == 0) {
        l->ready_ns = now + CREDENTIAL_LOOK_MS * NS_PER_MS;
        flight_to_pool(l, f);
        return false;
    }
    (void)queue_take(&l->queue);
    files_drop(l, t); /* the body has them */
    if (rc < 0 || flight_start(l, f, e) < 0) {
        flight_to_pool(l, f);
        give(l, t);
    }
    return true;
}

static void give_up_first(struct upstream_loop *l, const struct target *p)
{
    struct upstream_task *t = l->queue.first;
    struct server_stats st;

    server_stats(p->server, &st);
    (void)queue_take(&l->queue);
    t->answer.final = true;
    (void)error_set(&t->answer.error, ERROR_UNAVAILABLE,
                    "%.380s (%s has answered nothing for too long and is given up)", st.last_error,
                    st.upstream->name);
    give(l, t);
}

/* Looks at the queue again when its first task may spill over. */
static void look_again(struct upstream_loop *l, uint64_t since_ns, uint64_t after_ns)
{
    uint64_t at = after_ns < UINT64_MAX - since_ns ? since_ns + after_ns : UINT64_MAX;

    l->ready_ns = at < l->ready_ns ? at : l->ready_ns;
}

/* False: the first of the queue has to wait. */
static bool route_first(struct upstream_loop *l, uint64_t now)
{
    struct upstream_task *t = l->queue.first;
    const struct route_query query = {
        .targets = t->targets,
        .bytes = t->request->text.len,
        .waited_ns = now > t->since_ns ? now - t->since_ns : 0,
        .now_ns = now,
    };
    uint32_t target;

    if (!t->targets) { /* no target accepts it: submit has set its error */
        (void)queue_take(&l->queue);
        give(l, t);
        return true;
    }
    switch (upstream_route_next(l->route, &query, &target, &l->ready_ns)) {
    case ROUTE_GO:
        return send_first(l, &l->route->target[target], now);
    case ROUTE_GIVEN_UP:
        give_up_first(l, &l->route->target[target]);
        return true;
    case ROUTE_WAIT:
        if (l->route->spill_after_ns > query.waited_ns)
            look_again(l, t->since_ns, l->route->spill_after_ns);
        break;
    }
    return false;
}

static void send_queue(struct upstream_loop *l)
{
    uint64_t now = l->clock->mono_ns(l->clock);

    l->ready_ns = UINT64_MAX;
    while (l->queue.first && (!l->flight || l->bodies_bytes < LOOP_BODIES_BYTES_MAX))
        if (!route_first(l, now))
            return;
}

/* True: the target refuses everything, another one may not, and the task waits for that. */
static bool goes_elsewhere(struct upstream_loop *l, struct flight *f)
{
    struct upstream_task *t = f->task;
    uint32_t own = 1u << (f->target - l->route->target);

    if (!t || !upstream_target_refuses(f->target) || !(t->targets & ~own))
        return false;
    t->targets &= ~own;
    t->answer.error = (struct error){ 0 };
    t->answer.retry_after_ms = 0;
    enqueue(l, t);
    return true;
}

static void finish(struct upstream_loop *l, const struct http_done *done)
{
    struct flight *f = done->tag;
    struct exchange_result result;
    struct error why;

    flight_read(f, &l->desk, done, &result, &why);
    server_ended(f->target->server, &f->exchange, &result);
    upstream_route_ended(f->target, &result, l->clock->mono_ns(l->clock));
    if (f->task) {
        f->task->answer.hopeless = upstream_route_hopeless(l->route);
        f->task->answer.own_failure = upstream_target_answers(f->target);
    }
    flight_unlink(l, f);
    if (goes_elsewhere(l, f))
        f->task = NULL;
    else if (f->task && f->task->answer.error.code == ERROR_OK &&
             answer_check_wanted(f->task->request))
        (void)chan_send(l->unchecked, f->task); /* has room for the whole window */
    else if (f->task)
        give(l, f->task);
    flight_to_pool(l, f);
}

/* ---- The checker's thread ---- */

/* An answer that has not its form is an error that keeps its usage: the upstream bills it. The server is
 * not to blame for a model's words. */
static void reject(struct upstream_task *t)
{
    struct answer *a = &t->answer;

    buf_release(&a->response);
    a->rejected = true;
    (void)error_wrap(&a->error, "%s", t->upstream);
    metric_add(metric_counter("tranche_upstream_rejected_total",
                              "Answers of upstream servers that did not match their schema", NULL),
               1);
}

static void *checker_main(void *arg)
{
    struct upstream_loop *l = arg;
    struct upstream_task *t;

    while ((t = chan_recv(l->unchecked, UINT32_MAX))) {
        struct answer *a = &t->answer;
        if (answer_check(l->checks, t->request, buf_str(&a->response), &a->complete, &a->error) < 0)
            reject(t);
        t->next = NULL;
        (void)chan_send(l->out, t); /* has room for the whole window */
    }
    return NULL;
}

/* ---- The loop's thread ---- */

static uint32_t sleep_ms(const struct upstream_loop *l)
{
    uint64_t now = l->clock->mono_ns(l->clock);

    if (!l->queue.first || l->ready_ns >= now + SLEEP_MS * NS_PER_MS)
        return SLEEP_MS;
    return l->ready_ns <= now ? 0 : (uint32_t)((l->ready_ns - now + NS_PER_MS - 1) / NS_PER_MS);
}

/* Waits for the first exchange that ends, then takes what has ended. A sender looks at `sleeping` after
 * it put a task into a channel, and the loop looks at the channels after it set `sleeping`: one of the
 * two sees the other. The reader of files does the same. */
static void take_ended(struct upstream_loop *l)
{
    struct http_done done;
    struct error e;
    uint32_t ms = sleep_ms(l);

    atomic_store(&l->sleeping, true);
    if (chan_count(l->in) || file_reader_ready(l->reader) || atomic_load(&l->cancels) ||
        atomic_load(&l->stop))
        ms = 0;
    for (int i = 0; i < BURST; i++) {
        int rc = http_multi_poll(l->multi, i ? 0 : ms, &done, &e);
        atomic_store(&l->sleeping, false);
        if (rc < 0) {
            log_error("%s", e.msg);
            atomic_store(&l->broken, true);
        }
        if (rc <= 0)
            return;
        finish(l, &done);
    }
}

static void cancel(struct upstream_loop *l)
{
    if (atomic_load(&l->draining)) {
        queue_cancel(l, &l->queue, true);
        queue_cancel(l, &l->unread, true);
    }
    if (atomic_exchange(&l->cancels, false)) {
        queue_cancel(l, &l->queue, false);
        queue_cancel(l, &l->unread, false);
        flights_cancel(l);
    }
}

static void *loop_main(void *arg)
{
    struct upstream_loop *l = arg;

    thread_role_set(THREAD_UPSTREAM);
    while (!atomic_load(&l->stop) && !atomic_load(&l->broken)) {
        take_in(l);
        cancel(l);
        read_next(l);
        send_queue(l);
        give_round(l); /* tasks that end without being sent */
        take_ended(l);
        give_round(l);
    }
    return NULL;
}

/* ---- Start and end ---- */

static void checker_end(struct upstream_loop *l)
{
    chan_close(l->unchecked);
    thread_join(l->checker);
}

static int loop_start(struct upstream_loop *l, uint32_t connections, struct error *e)
{
    l->multi = http_multi_new(connections, e);
    if (!l->multi)
        return -1;
    int rc = pthread_create(&l->checker, NULL, checker_main, l);
    if (rc == 0) {
        rc = pthread_create(&l->thread, NULL, loop_main, l);
        if (rc == 0)
            return 0;
        checker_end(l);
    }
    return error_set(e, ERROR_RESOURCE_EXHAUSTED, "no thread for upstreams (error %d)", rc);
}

static void release(struct upstream_loop *l)
{
    file_reader_free(l->reader);
    http_multi_free(l->multi);
    chan_free(l->in);
    chan_free(l->out);
    chan_free(l->unchecked);
    flight_desk_release(&l->desk);
    mem_free(l);
}

struct upstream_loop *upstream_loop_new(struct upstream_route *route, struct schemas *checks,
                                        const struct predictor_env *env, uint32_t window,
                                        struct error *e)
{
    struct upstream_loop *l = mem_alloc(sizeof *l);

    l->route = route;
    l->checks = checks;
    l->clock = env->clock;
    l->in = chan_new(window);
    l->out = chan_new(window);
    l->unchecked = chan_new(window);
    l->queue.last = &l->queue.first;
    l->unread.last = &l->unread.first;
    l->reader = file_reader_new(route, wake, l);
    l->done_last = &l->done;
    l->desk.clock = env->clock;
    l->desk.chance = env->seed;
    if (loop_start(l, window, e) == 0)
        return l;
    release(l);
    return NULL;
}

static void flights_free(struct flight *f)
{
    while (f) {
        struct flight *next = f->next;
        buf_release(&f->body);
        mem_free(f);
        f = next;
    }
}

/* Open exchanges are ended at their servers too, which other sessions use. */
void upstream_loop_free(struct upstream_loop *l)
{
    const struct exchange_result cancelled = { .end = EXCHANGE_CANCELLED };

    if (!l)
        return;
    atomic_store(&l->stop, true);
    http_multi_wake(l->multi);
    thread_join(l->thread);
    checker_end(l);
    file_reader_free(l->reader); /* it wakes the loop by its connections until here */
    l->reader = NULL;
    for (struct upstream_task *t = l->queue.first; t; t = t->next)
        files_drop(l, t);
    for (struct flight *f = l->flight; f; f = f->next)
        server_ended(f->target->server, &f->exchange, &cancelled);
    http_multi_free(l->multi); /* it reads the bodies until here */
    l->multi = NULL;
    flights_free(l->flight);
    flights_free(l->pool);
    release(l);
}
