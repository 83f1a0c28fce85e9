#include "engine/lines/pipeline.h"

#include <assert.h>
#include <string.h>

#include "base/log.h"
#include "engine/lines/ledger.h"
#include "engine/lines/line_key.h"
#include "engine/lines/walk.h"
#include "engine/lines/window.h"

/* Lines, or answers, that are taken before the other of the two gets its turn. */
#define BURST 256
#define PROGRESS_EVERY_MS 100
/* Requests open at once under a budget while no answer shows what one costs. */
#define BUDGET_BLIND 16
/* The longest wait: the stop flag is looked at this often. */
#define WAIT_MAX_MS 50

struct run {
    const struct pipeline_job *job;
    struct walk walk; /* lines that have no row and are not in the window yet */
    struct window *window;
    struct ledger ledger;
    struct violations violations; /* of the line that is being read */
    struct buf identity;          /* of its request, when ingest kept no notes */
    struct progress progress;
    uint32_t in_flight_max;
    struct retry_rules retry;
    uint64_t retries_max;
    uint64_t began_ns, progress_due_ns;
    uint64_t ready_ns; /* when the next line that waits for a time is ready */
    uint64_t seed;
    bool fed;             /* no line is left to enter */
    bool hungry;          /* lines could enter at once */
    bool behind;          /* rows are committed that are not rendered yet */
    bool answered;        /* at least one line, since this run began */
    struct error refusal; /* of all that was sent, while nothing is answered; code OK: none */
    bool limited;         /* a limit is passed: end says which */
    enum pipeline_end end;
    bool draining; /* failures are not judged any more: their lines stay pending */
};

static uint64_t now_ns(const struct run *r)
{
    return r->job->clock->mono_ns(r->job->clock);
}

/* Only committed rows count (I2). */
static void take_counters(struct run *r)
{
    spool_counters(r->job->spool, &r->progress.counters);
    assert(counters_balanced(&r->progress.counters)); /* I6 */
}

static void run_init(struct run *r, const struct pipeline_job *j)
{
    uint32_t window = j->predictor->window;

    *r = (struct run){ .job = j, .seed = j->seed, .ready_ns = UINT64_MAX };
    r->end = PIPELINE_INTERRUPTED;
    r->identity = BUF_INIT(LINE_BYTES_MAX);
    walk_init(&r->walk, j->input, j->ingest, j->spool);
    r->window = window_new();
    ledger_init(&r->ledger, j->spool, &j->price, j->clock);
    r->ledger.reuse = j->reuse;
    r->in_flight_max = j->in_flight_max && j->in_flight_max < window ? j->in_flight_max : window;
    r->retry = j->retry;
    if (r->retry.attempts_max == 0)
        r->retry.attempts_max =
            j->predictor->attempts ? j->predictor->attempts : RETRY_ATTEMPTS_MAX;
    r->retries_max = retry_budget(&r->retry, j->ingest->lines);
    r->progress.counters.total = j->ingest->lines;
    r->began_ns = now_ns(r);
    r->progress_due_ns = r->began_ns;
}

/* The session goes first: it may still read requests that the window holds. */
static void run_release(struct run *r)
{
    r->job->predictor->ops->close(r->job->predictor);
    window_free(r->window);
    walk_release(&r->walk);
    buf_release(&r->identity);
    ledger_release(&r->ledger);
}

static bool stopped(const struct run *r)
{
    return r->job->stop && atomic_load(r->job->stop);
}

/* The time in which only an answer can bring work. A retry that is due counts only when it could
 * be sent: while the predictor is full, an answer comes first. */
static uint32_t wait_ms(const struct run *r)
{
    uint64_t now = now_ns(r), until = now + WAIT_MAX_MS * NS_PER_MS;

    if (r->hungry || r->behind)
        return 0;
    if (r->ready_ns < until && r->progress.in_flight < r->in_flight_max)
        until = r->ready_ns;
    if (r->ledger.rows && r->ledger.group_due_ns < until)
        until = r->ledger.group_due_ns;
    return until <= now ? 0 : (uint32_t)((until - now + NS_PER_MS - 1) / NS_PER_MS);
}

static int take_bad(struct run *r, uint64_t index, struct error *e)
{
    struct error why;

    ingest_error(&r->violations, &why);
    return ledger_failure(&r->ledger, index, &why, e);
}

static int take_overlong(struct run *r, const struct line *line, struct error *e)
{
    ingest_overlong(&r->job->rules, &r->violations);
    return take_bad(r, line->index, e);
}

/* Only of requests that may stand there again: the digest of another would never be asked for. */
static void set_digest(struct run *r, struct open_line *l)
{
    const struct line_note *n = walk_note(&r->walk, l->line.index);
    uint64_t digest[2] = { n->digest[0], n->digest[1] };

    static_assert(sizeof digest == SPOOL_DIGEST_BYTES, "a digest is stored as it is");
    if (n->flags == 0) /* ingest kept no notes */
        l->has_digest = request_deterministic(l->in.request) &&
                        line_digest(l->in.request, NULL, &r->identity, digest);
    else
        l->has_digest = n->flags & NOTE_DETERMINISTIC;
    l->has_digest = l->has_digest && repeats_maybe(r->job->ingest->repeats, digest);
    memcpy(l->digest, digest, sizeof digest);
}

/* A bad line gets its row at once, a copy of an answered one too; all others go to the window. */
static int take_line(struct run *r, const struct line *line, struct error *e)
{
    struct open_line *l = window_line(r->window);
    int rc = 0;

    arena_reserve(&l->arena, line->text.len * WINDOW_ARENA_FACTOR);
    l->line = *line;
    l->line.text.p = arena_copy(&l->arena, line->text.p, line->text.len);
    r->violations.count = 0;
    if (!ingest_line(&l->arena, l->line.text, &r->job->rules, r->job->predictor, &l->in,
                     &r->violations)) {
        rc = take_bad(r, line->index, e);
        window_drop(r->window, l);
        return rc;
    }
    l->in.request->files = r->job->files;
    l->in.request->trace = r->job->trace;
    set_digest(r, l);
    if (l->has_digest)
        rc = ledger_copy(&r->ledger, l, e);
    if (rc == 0)
        window_add(r->window, l);
    else
        window_drop(r->window, l);
    return rc < 0 ? -1 : 0;
}

/* Lines into the window, as far as there is room. */
static int take_in(struct run *r, struct error *e)
{
    struct line line;

    r->hungry = false;
    for (int i = 0; i < BURST; i++) {
        int rc = walk_peek(&r->walk, &line, e);
        if (rc < 0)
            return -1;
        r->fed = rc == 0;
        if (r->fed || !window_has_room(r->window, line.index, line.text.len))
            return 0;
        if (r->walk.shard->overlong)
            rc = take_overlong(r, &line, e);
        else
            rc = ledger_kept(&r->ledger, line.index, walk_note(&r->walk, line.index), e);
        if (rc == 0 && !r->walk.shard->overlong)
            rc = take_line(r, &line, e);
        if (rc < 0)
            return -1;
        walk_take(&r->walk);
    }
    r->hungry = true;
    return 0;
}

enum may_send {
    SEND_NEXT,
    SEND_LATER, /* what is in flight may use up what is left of the budget */
    SEND_NOTHING
};

static enum may_send stop_at(struct run *r, enum pipeline_end end)
{
    r->limited = true;
    r->end = end;
    return SEND_NOTHING;
}

/* Requests in flight count at the mean cost so far, so that a budget holds however many are open. Before
 * the first answer, few are open. */
static bool fits(const struct run *r, const struct counters *c, uint64_t used, uint64_t max)
{
    uint64_t computed = c->succeeded - c->duplicates - c->reused, open = r->progress.in_flight;

    if (max == 0 || open == 0)
        return true;
    if (computed == 0)
        return open < BUDGET_BLIND;
    return (double)used + (double)used / (double)computed * (double)(open + 1) <= (double)max;
}

/* Count every answered line, committed or not, and refused answers, which the upstream bills too. A
 * duplicate costs no tokens. */
static enum may_send look_at_limits(struct run *r)
{
    const struct pipeline_limits *l = &r->job->limits;
    struct counters c = { 0 };

    spool_counters_open(r->job->spool, &c);
    uint64_t tokens = c.prompt_tokens + c.candidate_tokens + c.thought_tokens + c.rejected_tokens;
    uint64_t cost = c.cost_nano + c.rejected_cost_nano;
    uint64_t failed = c.failed + l->failed_before;
    uint64_t ended = c.succeeded + c.failed + l->ended_before;
    if ((l->cost_nano_max && cost >= l->cost_nano_max) ||
        (l->tokens_max && tokens >= l->tokens_max))
        return stop_at(r, PIPELINE_BUDGET);
    if (l->error_lines_min && ended >= l->error_lines_min &&
        (double)failed > l->error_rate_max * (double)ended)
        return stop_at(r, PIPELINE_ERRORS);
    return fits(r, &c, cost, l->cost_nano_max) && fits(r, &c, tokens, l->tokens_max) ? SEND_NEXT
                                                                                     : SEND_LATER;
}

/* Lines from the window to the predictor, as many as it takes. */
static int send(struct run *r, struct error *e)
{
    struct predictor *p = r->job->predictor;
    uint64_t now = now_ns(r);
    struct error full;

    while (r->progress.in_flight < r->in_flight_max && r->refusal.code == ERROR_OK) {
        struct open_line *l = window_next(r->window, now, &r->ready_ns);
        if (!l)
            return 0;
        if (look_at_limits(r) != SEND_NEXT) {
            window_unsend(r->window, l);
            return 0;
        }
        if (p->ops->submit(p, l->in.request, l, &full) < 0) {
            window_unsend(r->window, l);
            if (full.code == ERROR_RESOURCE_EXHAUSTED)
                return 0;
            *e = full;
            return error_wrap(e, "the model's session broke");
        }
        r->progress.in_flight++;
    }
    return 0;
}

/* A request that is wrong is wrong for all its followers; after any other failure, the first of
 * them is tried on its own. */
static int fail_line(struct run *r, struct open_line *l, const struct error *why, struct error *e)
{
    const struct open_line *f = l;
    bool same_for_all = why->code == ERROR_INVALID_ARGUMENT;

    do {
        if (ledger_failure(&r->ledger, f->line.index, why, e) < 0)
            return -1;
        f = f->follower;
    } while (f && same_for_all);
    if (f)
        window_pass_on(r->window, l);
    else
        window_drop(r->window, l);
    return 0;
}

/* A failure is tried again, unless that cannot help, the line has had its attempts, or the job all
 * its retries: what fails for everybody must not cost a multiple of the job. */
static bool retry_line(struct run *r, struct open_line *l, const struct answer *a,
                       struct error *why)
{
    uint32_t wait;

    *why = a->error;
    l->attempt++;
    l->rejected += a->rejected;
    if (a->rejected && l->rejected > 1 && request_deterministic(l->in.request))
        return false; /* a server's rounding may differ once, but the words are what they are */
    const struct retry_failure failure = { .attempt = l->attempt,
                                           .code = a->error.code,
                                           .retry_after_ms = a->retry_after_ms,
                                           .own = a->own_failure };
    if (a->final || !retry_next(&r->retry, &failure, &r->seed, &wait))
        return false;
    if (r->progress.retries >= r->retries_max) {
        (void)error_set(why, a->error.code,
                        "%.380s (not tried again: the job's %llu retries are "
                        "used up)",
                        a->error.msg, (unsigned long long)r->retries_max);
        return false;
    }
    r->progress.retries++;
    l->in.request->retried = true;
    window_retry(r->window, l, now_ns(r) + wait * NS_PER_MS);
    return true;
}

static int take_answer(struct run *r, const struct answer *a, struct error *e)
{
    struct open_line *l = a->tag;
    struct error why;

    r->progress.in_flight--;
    if (a->error.code == ERROR_OK) {
        r->answered = true;
        r->refusal.code = ERROR_OK;
        int rc = ledger_answer(&r->ledger, l, a, e);
        window_drop(r->window, l);
        return rc;
    }
    if (a->rejected && ledger_reject(&r->ledger, a, e) < 0)
        return -1;
    if (r->draining && (a->error.code == ERROR_CANCELLED || error_retryable(a->error.code)))
        return 0;
    if (a->hopeless && !r->answered) { /* unless what is in flight proves otherwise */
        r->refusal = a->error;
        window_unsend(r->window, l);
        return 0;
    }
    return retry_line(r, l, a, &why) ? 0 : fail_line(r, l, &why, e);
}

/* Waits for the first answer, then takes what is there. */
static int take_answers(struct run *r, uint32_t wait_ms, struct error *e)
{
    struct predictor *p = r->job->predictor;

    if (r->progress.in_flight == 0) {
        if (wait_ms)
            r->job->clock->sleep_ns(r->job->clock, wait_ms * NS_PER_MS);
        return 0;
    }
    for (int i = 0; i < BURST && r->progress.in_flight; i++) {
        struct answer a = { 0 };
        int rc = p->ops->wait(p, i ? 0 : wait_ms, &a, e);
        if (rc < 0)
            return error_wrap(e, "the model's session broke");
        if (rc == 0)
            return 0;
        rc = take_answer(r, &a, e);
        answer_release(&a);
        if (rc < 0)
            return -1;
    }
    return 0;
}

static void show_progress(struct run *r, uint64_t now)
{
    struct predictor *p = r->job->predictor;

    if (p->ops->stats)
        p->ops->stats(p, &r->progress.predictor);
    r->progress.elapsed_ns = now - r->began_ns;
    r->progress_due_ns = now + PROGRESS_EVERY_MS * NS_PER_MS;
    if (r->job->on_progress)
        r->job->on_progress(r->job->arg, &r->progress);
}

/* Commits when it is time (or now), and only then counts and renders (I2). A resumed run may have
 * much to render, which it does by and by: the predictor must not wait for that. Who asks for commits hears of the last one
 * again while nothing is answered, so that its time may come. */
static int settle(struct run *r, bool now, struct error *e)
{
    uint64_t time = now_ns(r);
    bool again = r->job->on_committed && time >= r->progress_due_ns;

    if (now || again || r->behind || ledger_due(&r->ledger, time)) {
        if (ledger_commit(&r->ledger, e) < 0)
            return -1;
        take_counters(r);
        int more = render_advance(r->job->render, r->job->spool, e);
        if (more < 0)
            return -1;
        r->behind = more;
        if (r->job->on_committed && r->job->on_committed(r->job->arg, &r->progress, e) < 0)
            return -1;
    }
    if (now || time >= r->progress_due_ns)
        show_progress(r, time);
    return 0;
}

/* Every line has its row: what is left is to commit and render the last of them. */
static int finish(struct run *r, struct error *e)
{
    int rc = settle(r, true, e);

    while (rc == 0 && r->behind && !stopped(r))
        rc = settle(r, false, e);
    return rc;
}

static bool is_discarded(const struct run *r)
{
    return r->job->discard && atomic_load(r->job->discard);
}

/* Nothing new is sent; what the predictor has begun may end within the time. */
static int drain(struct run *r, struct error *e)
{
    struct predictor *p = r->job->predictor;
    uint64_t until = now_ns(r) + r->job->drain_ms * NS_PER_MS;

    r->draining = true;
    r->hungry = false;
    r->ready_ns = UINT64_MAX;
    if (p->ops->drain)
        p->ops->drain(p);
    while (r->progress.in_flight && now_ns(r) < until && !is_discarded(r)) {
        if (take_answers(r, WAIT_MAX_MS, e) < 0 || settle(r, false, e) < 0)
            return -1;
    }
    return settle(r, true, e);
}

static int run_lines(struct run *r, struct error *e)
{
    while (!stopped(r)) {
        if (take_in(r, e) < 0 || send(r, e) < 0)
            return -1;
        if (r->limited)
            break;
        if (r->refusal.code != ERROR_OK && r->progress.in_flight == 0) {
            *e = r->refusal;
            return error_wrap(e, "no request can be answered");
        }
        if (r->fed && window_count(r->window) == 0)
            return finish(r, e);
        if (take_answers(r, wait_ms(r), e) < 0 || settle(r, false, e) < 0)
            return -1;
    }
    return drain(r, e);
}

int pipeline_run(const struct pipeline_job *j, struct progress *out, enum pipeline_end *end,
                 struct error *e)
{
    struct run r;
    struct error ignored;

    run_init(&r, j);
    take_counters(&r);
    r.progress.resumed = counters_done(&r.progress.counters);
    int rc = run_lines(&r, e);
    /* Answers that came before a failure of the predictor or the output are kept. */
    if (rc < 0 && ledger_commit(&r.ledger, &ignored) < 0)
        log_warn("%s", ignored.msg);
    take_counters(&r);
    *end = render_lines(j->render) == j->ingest->lines ? PIPELINE_DONE : r.end;
    if (rc == 0 && *end == PIPELINE_DONE)
        rc = render_finish(j->render, e);
    r.progress.elapsed_ns = now_ns(&r) - r.began_ns;
    *out = r.progress;
    run_release(&r);
    return rc;
}
