#include "predict/local/batcher.h"

#include <assert.h>
#include <string.h>

#include "base/clock.h"
#include "predict/local/masker.h"
#include "predict/local/prefix_cache.h"
#include "predict/touch.h"

/* Cells that a new candidate must find beyond its prompt, so that it can begin to answer. */
#define ANSWER_CELLS_MIN 32
/* A candidate may be preferred to an earlier one when its answer may be this many times as long. */
#define LONGER_BY 2

/* An ordered list of candidates. */
struct runs {
    struct candidate_run **item;
    uint32_t count;
};

/* The time of a round that constraints have taken. Processor time is looked at only when the usual clock says that it could be
 * too much. */
struct round {
    uint64_t wall_ns; /* the whole cost of constraints when the round began */
    uint64_t spent_ns,
        since_ns; /* processor time of stretches that are over, and of the thread when this one began */
};

struct batcher {
    struct runtime *runtime;
    struct runtime_info info;
    struct batcher_plan plan;
    struct prefix_cache *cache;
    struct runs waiting, active; /* in order of arrival, and of beginning */
    struct task *done, **done_end;
    struct runtime_row *row;      /* [info.rows_max]: the forward that is being packed */
    struct candidate_run **owner; /* [info.rows_max]: of each row */
    uint32_t row_count;
    struct sampling_scratch sampling;
    struct masker *masker;
    struct round round;
    uint64_t arrivals;
    uint32_t open;
    bool full; /* a candidate was preempted and none has ended since: nothing new begins */
    struct batcher_stats stats;
};

/* ---- The time of a round ---- */

static uint64_t wall_of(const struct batcher *b)
{
    return b->sampling.cost.follow_ns + b->sampling.cost.mask_ns;
}

static void round_begin(struct batcher *b)
{
    b->round = (struct round){ .wall_ns = wall_of(b), .since_ns = clock_thread_ns() };
}

/* Before and after the forward, whose time is not the constraints'. */
static void round_pause(struct batcher *b)
{
    b->round.spent_ns += clock_thread_ns() - b->round.since_ns;
}

static void round_resume(struct batcher *b)
{
    b->round.since_ns = clock_thread_ns();
}

static bool round_is_spent(const struct batcher *b)
{
    const struct round *r = &b->round;

    return wall_of(b) - r->wall_ns >= b->plan.follow_ns &&
           r->spent_ns + clock_thread_ns() - r->since_ns >= b->plan.follow_ns;
}

/* Processor time that the round may still spend, right after round_resume. */
static uint64_t round_left(const struct batcher *b)
{
    return b->round.spent_ns < b->plan.follow_ns ? b->plan.follow_ns - b->round.spent_ns : 0;
}

/* ---- Lists of candidates ---- */

static void runs_insert(struct runs *l, uint32_t at, struct candidate_run *r)
{
    assert(at <= l->count);
    l->item = mem_list_grow(l->item, l->count, sizeof(struct candidate_run *));
    memmove(l->item + at + 1, l->item + at, (l->count - at) * sizeof(struct candidate_run *));
    l->item[at] = r;
    l->count++;
}

static void runs_remove(struct runs *l, uint32_t at)
{
    assert(at < l->count);
    l->count--;
    memmove(l->item + at, l->item + at + 1, (l->count - at) * sizeof(struct candidate_run *));
}

static uint32_t runs_find(const struct runs *l, const struct candidate_run *r)
{
    uint32_t i = 0;

    while (i < l->count && l->item[i] != r)
        i++;
    assert(i < l->count);
    return i;
}

/* ---- Tasks in and out ---- */

struct batcher *batcher_new(struct runtime *r, const struct batcher_plan *plan)
{
    struct batcher *b = mem_alloc(sizeof *b);

    b->runtime = r;
    r->ops->info(r, &b->info);
    b->plan = *plan;
    if (!b->plan.follow_ns)
        b->plan.follow_ns = BATCHER_FOLLOW_NS;
    assert(plan->sequences <= b->info.sequences && plan->rows_max <= b->info.rows_max);
    b->cache = prefix_cache_new(r);
    b->masker = masker_new();
    b->done_end = &b->done;
    b->row = mem_array(b->info.rows_max, sizeof *b->row);
    b->owner = mem_array(b->info.rows_max, sizeof(struct candidate_run *));
    b->sampling = (struct sampling_scratch){
        .runtime = r,
        .info = b->info,
        .vocab = b->info.vocab,
        .context_max = b->info.context_max,
        .logits = mem_array(b->info.vocab, sizeof(float)),
        .piece = BUF_INIT(RESPONSE_BYTES_MAX),
    };
    return b;
}

void batcher_add(struct batcher *b, struct task *t)
{
    assert(t->tokens_max && t->prompt.count && t->candidate_count <= REQUEST_CANDIDATES_MAX);
    b->open++;
    t->open = t->candidate_count;
    for (uint32_t i = 0; i < t->candidate_count; i++) {
        struct candidate_run *r = candidate_new(t, i);
        r->order = b->arrivals++;
        runs_insert(&b->waiting, b->waiting.count, r);
    }
}

struct task *batcher_done(struct batcher *b)
{
    struct task *t = b->done;

    if (!t)
        return NULL;
    b->done = t->next;
    if (!b->done)
        b->done_end = &b->done;
    assert(!t->open);
    t->next = NULL;
    return t;
}

/* One candidate of its task is finished, with an answer or (e not NULL) without. */
static void close_run(struct batcher *b, struct candidate_run *r, const struct error *e)
{
    struct task *t = r->task;

    assert(t->open && b->open);
    if (e && t->error.code == ERROR_OK)
        t->error = *e;
    candidate_free(r);
    if (--t->open)
        return;
    b->open--;
    *b->done_end = t;
    b->done_end = &t->next;
}

static void fail_all(struct batcher *b, const struct error *e)
{
    for (uint32_t i = 0; i < b->active.count; i++)
        close_run(b, b->active.item[i], e);
    for (uint32_t i = 0; i < b->waiting.count; i++)
        close_run(b, b->waiting.item[i], e);
    b->active.count = b->waiting.count = 0;
}

void batcher_drop_waiting(struct batcher *b, const struct error *why)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < b->waiting.count; i++) {
        struct candidate_run *r = b->waiting.item[i];
        if (r->task->begun)
            b->waiting.item[kept++] = r;
        else
            close_run(b, r, why);
    }
    b->waiting.count = kept;
}

void batcher_free(struct batcher *b)
{
    struct error closed = { ERROR_CANCELLED, "The session was closed." };
    struct task *t;

    if (!b)
        return;
    fail_all(b, &closed);
    while ((t = batcher_done(b)))
        task_free(t);
    masker_free(b->masker);
    prefix_cache_free(b->cache);
    mem_free(b->waiting.item);
    mem_free(b->active.item);
    mem_free(b->row);
    mem_free(b->owner);
    mem_free(b->sampling.logits);
    buf_release(&b->sampling.piece);
    mem_free(b);
}

/* ---- Admission ---- */

/* Tokens that may be reused. The last one is always computed: its logits choose the next. */
static uint32_t reusable(const struct candidate_run *r)
{
    return r->tokens.count - 1;
}

/* Its first `count` tokens, which the cache may have. */
static struct prefix prefix_of(const struct candidate_run *r, uint32_t count)
{
    return (struct prefix){ r->tokens.item, count, r->task->adapter };
}

/* True when a candidate that computes now will soon have more of r's beginning than the cache. */
static bool is_deferred(const struct batcher *b, const struct candidate_run *r)
{
    uint32_t have = prefix_cache_match(b->cache, prefix_of(r, reusable(r)));

    if (!b->info.shares)
        return false;
    for (uint32_t i = 0; i < b->active.count; i++) {
        const struct candidate_run *a = b->active.item[i];
        if (a->computed >= a->task->prompt.count || a->task->adapter != r->task->adapter)
            continue;
        uint32_t soon =
            tokens_common(a->tokens.item, a->task->prompt.count, r->tokens.item, reusable(r));
        if (soon >= have + PREFIX_TOKENS_MIN && soon > a->computed)
            return true;
    }
    return false;
}

/* Cells that are in use or will be, by what has been admitted. */
static uint64_t cells_claimed(const struct batcher *b)
{
    uint64_t cells = prefix_cache_tokens(b->cache);

    for (uint32_t i = 0; i < b->active.count; i++) {
        const struct candidate_run *a = b->active.item[i];
        uint32_t prompt = a->computed < a->task->prompt.count ? a->computed : a->task->prompt.count;
        cells += a->tokens.count - prompt;
    }
    return cells;
}

static bool has_room(const struct batcher *b, const struct candidate_run *r)
{
    uint32_t reused = prefix_cache_match(b->cache, prefix_of(r, reusable(r)));
    uint32_t more = r->task->tokens_max < ANSWER_CELLS_MIN ? r->task->tokens_max : ANSWER_CELLS_MIN;

    return !b->active.count ||
           cells_claimed(b) + (r->tokens.count - reused) + more <= b->info.cells;
}

/* The index of the waiting candidate that begins next, or waiting.count: the first that need not wait
 * for a prefix. One whose answer may be much longer goes first, so that no long one is left for the
 * end; the same candidate is passed at most plan.sequences times. */
static uint32_t pick(struct batcher *b)
{
    uint32_t best = b->waiting.count, looked = 0;

    for (uint32_t i = 0; i < b->waiting.count && looked < b->plan.sequences; i++) {
        struct candidate_run *r = b->waiting.item[i];
        if (is_deferred(b, r))
            continue;
        looked++;
        if (best == b->waiting.count) {
            best = i;
            continue;
        }
        struct candidate_run *first = b->waiting.item[best];
        if (first->passed < b->plan.sequences &&
            r->task->tokens_max / LONGER_BY >= first->task->tokens_max) {
            first->passed++;
            best = i;
        }
    }
    return best;
}

/* Counts the first beginning only, not that of a candidate which was preempted. */
static void count_begin(struct batcher *b, struct candidate_run *r, uint32_t reused)
{
    if (!r->task->begun)
        r->task->cached_tokens = reused;
    r->task->begun = true;
    if (r->begun)
        return;
    r->begun = true;
    b->stats.prompt_tokens += r->tokens.count;
    b->stats.reused_tokens += reused;
}

/* Counts the tokens that the candidate has generated since the last time. */
static void count_generated(struct batcher *b, struct candidate_run *r)
{
    const struct generated *g = &r->task->candidate[r->candidate];

    uint32_t tokens = g->token_count + g->thought_count;

    b->stats.generated_tokens += tokens - r->counted_tokens;
    b->stats.forced_tokens += g->forced_count - r->counted_forced;
    r->counted_tokens = tokens;
    r->counted_forced = g->forced_count;
}

/* Starts waiting candidate `at`; false when no sequence or no room is left for it now. */
static bool begin(struct batcher *b, uint32_t at)
{
    struct candidate_run *r = b->waiting.item[at];

    touch_add(b->plan.touch, TOUCH_FORWARD, r->task->tag);
    if (candidate_begin(r, &b->sampling)) {
        runs_remove(&b->waiting, at);
        count_generated(b, r);
        close_run(b, r, NULL);
        return true;
    }
    while (!has_room(b, r))
        if (!prefix_cache_evict(b->cache))
            return false;
    if (!prefix_cache_take(b->cache, prefix_of(r, reusable(r)), &r->sequence, &r->computed))
        return false;
    assert(r->computed <= reusable(r));
    count_begin(b, r, r->computed);
    runs_remove(&b->waiting, at);
    runs_insert(&b->active, b->active.count, r);
    return true;
}

/* At least one in each round: to begin can take time, too. */
static void admit(struct batcher *b)
{
    bool first = true;

    while (b->active.count < b->plan.sequences && b->waiting.count &&
           (!b->full || !b->active.count) && (first || !round_is_spent(b))) {
        uint32_t at = pick(b);
        if (at == b->waiting.count || !begin(b, at))
            return;
        first = false;
    }
    assert(b->active.count <= b->plan.sequences);
}

/* ---- Room ---- */

/* The longest beginning of r's prompt that a waiting candidate has too. */
static uint32_t wanted_prefix(const struct batcher *b, const struct candidate_run *r)
{
    uint32_t most = 0;

    for (uint32_t i = 0; i < b->waiting.count; i++) {
        const struct candidate_run *w = b->waiting.item[i];
        if (w->task->adapter != r->task->adapter)
            continue;
        uint32_t same =
            tokens_common(r->tokens.item, r->task->prompt.count, w->tokens.item, reusable(w));
        most = same > most ? same : most;
    }
    return most;
}

/* Takes active candidate `at` off its sequence. */
static struct candidate_run *retire(struct batcher *b, uint32_t at)
{
    struct candidate_run *r = b->active.item[at];

    prefix_cache_give_back(b->cache, r->sequence, wanted_prefix(b, r));
    r->computed = 0;
    runs_remove(&b->active, at);
    b->full = false;
    return r;
}

/* The youngest candidate gives its cells up and waits again, before all younger ones. */
static void preempt_youngest(struct batcher *b)
{
    uint32_t youngest = 0, at = 0;

    assert(b->active.count > 1);
    for (uint32_t i = 1; i < b->active.count; i++)
        if (b->active.item[i]->order > b->active.item[youngest]->order)
            youngest = i;
    struct candidate_run *r = b->active.item[youngest];
    prefix_cache_give_back(b->cache, r->sequence, 0);
    candidate_unhold(r);
    r->computed = 0;
    runs_remove(&b->active, youngest);
    while (at < b->waiting.count && b->waiting.item[at]->order < r->order)
        at++;
    runs_insert(&b->waiting, at, r);
    b->full = true;
    b->stats.preempted++;
}

/* The forward found no room: gives some up, so that a later one will. */
static void make_room(struct batcher *b)
{
    static const struct error too_big = { ERROR_FAILED_PRECONDITION,
                                          "The request does not fit into the model's cache." };

    if (prefix_cache_evict(b->cache))
        return;
    if (b->active.count > 1) {
        preempt_youngest(b);
        return;
    }
    struct candidate_run *r = retire(b, 0);
    if (r->tokens.count > r->task->prompt.count)
        candidate_finish(r, FINISH_MAX_TOKENS);
    close_run(b, r, r->tokens.count > r->task->prompt.count ? NULL : &too_big);
}

/* ---- Cancelling ---- */

static bool is_unwanted(const struct candidate_run *r)
{
    return atomic_load(&r->task->cancelled) || r->task->error.code != ERROR_OK;
}

static void drop_unwanted(struct batcher *b)
{
    static const struct error cancelled = { ERROR_CANCELLED, "The request was cancelled." };
    uint32_t kept = 0;

    for (uint32_t i = b->active.count; i-- > 0;)
        if (is_unwanted(b->active.item[i]))
            close_run(b, retire(b, i), &cancelled);
    for (uint32_t i = 0; i < b->waiting.count; i++) {
        struct candidate_run *r = b->waiting.item[i];
        if (is_unwanted(r))
            close_run(b, r, &cancelled);
        else
            b->waiting.item[kept++] = r;
    }
    b->waiting.count = kept;
}

/* ---- Packing and computing ---- */

/* The media that hold the candidate's next row; NULL: it is a token. */
static const struct task_media *next_media(const struct candidate_run *r)
{
    const struct task_media *m = task_media_from(r->task, r->computed);

    return m && m->at <= r->computed ? m : NULL;
}

/* Makes a row of media of one that is packed. */
static void set_media(struct batcher *b, struct runtime_row *row, const struct task_media *m)
{
    const struct media_chunk *c = m->chunk;
    uint32_t i = row->position - m->at;

    row->embedding = c->embedding + (size_t)i * b->info.media_width;
    row->whole = c->whole;
    row->x = m->place + (c->place ? c->place[i].x : i);
    row->y = m->place + (c->place ? c->place[i].y : i);
}

/* m: the media that hold all of these rows, or NULL. */
static void pack_rows(struct batcher *b, struct candidate_run *r, uint32_t count,
                      const struct task_media *m)
{
    for (uint32_t i = 0; i < count; i++) {
        uint32_t position = r->computed + i;
        b->owner[b->row_count] = r;
        b->row[b->row_count] = (struct runtime_row){
            .token = r->tokens.item[position],
            .sequence = r->sequence,
            .position = position,
            .logits = position + 1 == r->tokens.count,
            .adapter = r->task->adapter,
            .shift = task_shift(r->task, position),
        };
        if (m)
            set_media(b, &b->row[b->row_count], m);
        b->row_count++;
    }
}

/* Its tokens, up to the next media. */
static void pack_run(struct batcher *b, struct candidate_run *r)
{
    const struct task_media *m = task_media_from(r->task, r->computed);
    uint32_t room = b->plan.rows_max - b->row_count, left = candidate_left(r);

    assert(left);
    if (m)
        left = m->at > r->computed ? m->at - r->computed : 0;
    pack_rows(b, r, left < room ? left : room, NULL);
}

#define ANY_ADAPTER UINT32_MAX

static bool is_of(const struct candidate_run *r, uint32_t adapter)
{
    return adapter == ANY_ADAPTER || adapter == r->task->adapter;
}

static void pack(struct batcher *b, bool answering, uint32_t adapter)
{
    for (uint32_t i = 0; i < b->active.count; i++) {
        struct candidate_run *r = b->active.item[i];
        if (!r->held && candidate_answering(r) == answering && is_of(r, adapter))
            pack_run(b, r);
    }
}

/* Row i has been computed for its candidate; true when the candidate has ended with it. */
static bool row_computed(struct batcher *b, uint32_t i)
{
    struct candidate_run *r = b->owner[i];
    bool last = i + 1 == b->row_count || b->owner[i + 1] != r;
    uint32_t prompt = r->task->prompt.count;

    assert(r->computed == b->row[i].position);
    r->computed++;
    /* Within media nothing is shared: their rows are reused all or none. */
    const struct task_media *m = next_media(r);
    if (r->computed == prompt || (last && r->computed < prompt && (!m || m->at == r->computed)))
        prefix_cache_computed(b->cache, r->sequence, prefix_of(r, r->computed));
    if (!b->row[i].logits)
        return false;
    const struct runtime_ops *ops = b->runtime->ops;
    struct logits_summary summary;
    struct sampled_row row = { ops->logits(b->runtime, i), NULL };
    if (ops->summary) {
        summary = ops->summary(b->runtime, i);
        row.summary = &summary;
    }
    if (r->follower && round_is_spent(b)) {
        candidate_hold(r, b->info.vocab, &row);
        r->held_since = b->stats.held++;
        return false;
    }
    bool over = candidate_advance(r, &b->sampling, &row);
    count_generated(b, r);
    return over;
}

/* The forward, and beside it the masks that its logits will need. */
static int forward(struct batcher *b, struct error *e)
{
    for (uint32_t i = 0; i < b->row_count; i++)
        if (b->row[i].logits && candidate_needs_mask(b->owner[i]))
            masker_add(b->masker, b->owner[i]->follower);
    for (uint32_t i = 0; i < b->active.count; i++)
        if (b->active.item[i]->held && candidate_needs_mask(b->active.item[i]))
            masker_add(b->masker, b->active.item[i]->follower);
    masker_start(b->masker);
    round_pause(b);
    int rc = b->runtime->ops->forward(b->runtime, b->row, b->row_count, e);
    round_resume(b);
    uint64_t begun = clock_system()->mono_ns(clock_system());
    masker_wait(b->masker, round_left(b));
    b->sampling.cost.mask_ns += clock_system()->mono_ns(clock_system()) - begun;
    return rc;
}

/* Computes what is packed. */
static int compute(struct batcher *b, struct error *e)
{
    struct error why = { 0 };

    if (!b->row_count)
        return 0;
    if (forward(b, &why) < 0) {
        b->row_count = 0;
        if (why.code == ERROR_RESOURCE_EXHAUSTED) {
            make_room(b);
            return 0;
        }
        fail_all(b, &why);
        *e = why;
        return -1;
    }
    b->stats.computed_tokens += b->row_count;
    for (uint32_t i = 0; i < b->row_count; i++)
        if (row_computed(b, i))
            close_run(b, retire(b, runs_find(&b->active, b->owner[i])), NULL);
    b->row_count = 0;
    return 0;
}

/* Rows of media that attend to what is before them, of many candidates in one forward. */
static int compute_causal_media(struct batcher *b, uint32_t adapter, struct error *e)
{
    for (uint32_t i = 0; i < b->active.count; i++) {
        struct candidate_run *r = b->active.item[i];
        const struct task_media *m = next_media(r);
        if (!m || m->chunk->whole || !is_of(r, adapter))
            continue;
        uint32_t room = b->plan.rows_max - b->row_count;
        uint32_t left = m->at + m->chunk->count - r->computed;
        pack_rows(b, r, left < room ? left : room, m);
    }
    return compute(b, e);
}

/* Chunks whose rows attend to each other both ways: a forward each. */
static int compute_whole_media(struct batcher *b, uint32_t adapter, struct error *e)
{
    for (uint32_t i = 0; i < b->active.count; i++) {
        struct candidate_run *r = b->active.item[i];
        const struct task_media *m = next_media(r);
        if (!m || !m->chunk->whole || !is_of(r, adapter))
            continue;
        assert(m->at == r->computed && m->chunk->count <= b->info.rows_max);
        pack_rows(b, r, m->chunk->count, m);
        if (compute(b, e) < 0)
            return -1;
    }
    return 0;
}

/* The index of the candidate whose choice has been put off for longest, or active.count. */
static uint32_t longest_held(const struct batcher *b)
{
    uint32_t at = b->active.count;

    for (uint32_t i = 0; i < b->active.count; i++)
        if (b->active.item[i]->held &&
            (at == b->active.count ||
             b->active.item[i]->held_since < b->active.item[at]->held_since))
            at = i;
    return at;
}

/* The choices that were put off: at least one of them. */
static void choose_held(struct batcher *b)
{
    uint32_t at;

    for (bool first = true; first || !round_is_spent(b); first = false) {
        at = longest_held(b);
        if (at == b->active.count)
            return;
        struct candidate_run *r = b->active.item[at];
        bool over = candidate_resume(r, &b->sampling);
        count_generated(b, r);
        if (over)
            close_run(b, retire(b, at), NULL);
    }
}

/* Every request that this round can compute or choose for; begin adds those that are admitted. */
static void touch_active(struct batcher *b)
{
    touch_end(b->plan.touch, TOUCH_FORWARD);
    for (uint32_t i = 0; b->plan.touch && i < b->active.count; i++)
        touch_add(b->plan.touch, TOUCH_FORWARD, b->active.item[i]->task->tag);
}

/* Computes the rows of one adapter's candidates, or of all. */
static int compute_adapter(struct batcher *b, uint32_t adapter, struct error *e)
{
    pack(b, true, adapter);
    if (b->plan.decode_apart && compute(b, e) < 0)
        return -1;
    pack(b, false, adapter);
    if (compute(b, e) < 0 || compute_causal_media(b, adapter, e) < 0)
        return -1;
    return compute_whole_media(b, adapter, e);
}

/* The least number of an adapter, at least `from`, of an active candidate; ANY_ADAPTER: there is none. */
static uint32_t next_adapter(const struct batcher *b, uint32_t from)
{
    uint32_t next = ANY_ADAPTER;

    for (uint32_t i = 0; i < b->active.count; i++) {
        uint32_t adapter = b->active.item[i]->task->adapter;
        if (adapter >= from && adapter < next)
            next = adapter;
    }
    return next;
}

int batcher_step(struct batcher *b, struct error *e)
{
    drop_unwanted(b);
    touch_active(b);
    round_begin(b);
    choose_held(b);
    admit(b);
    if (!b->info.adapters_apart)
        return compute_adapter(b, ANY_ADAPTER, e);
    for (uint32_t a = next_adapter(b, 0); a != ANY_ADAPTER; a = next_adapter(b, a + 1))
        if (compute_adapter(b, a, e) < 0)
            return -1;
    return 0;
}

uint32_t batcher_open(const struct batcher *b)
{
    return b->open;
}

void batcher_stats(const struct batcher *b, struct batcher_stats *out)
{
    *out = b->stats;
    out->active = b->active.count;
    out->constraints = b->sampling.cost;
}
