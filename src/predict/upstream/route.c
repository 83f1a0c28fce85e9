#include "predict/upstream/route.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

int upstream_route_init(struct upstream_route *r, const struct model *m,
                        struct upstream_servers *servers, bool has_files, struct error *e)
{
    *r = (struct upstream_route){
        .count = m->upstream_count,
        .spill_after_ns = m->spill_after_ms ? m->spill_after_ms * NS_PER_MS : UINT64_MAX,
        .has_files = has_files,
    };
    for (uint32_t i = 0; i < r->count; i++) {
        struct target *p = &r->target[i];
        p->to = &m->upstream[i];
        p->wire = wire_of(p->to->upstream->wire);
        p->shown = m->upstream_count > 1 ? p->to->upstream->name : NULL;
        p->server = upstream_server_join(servers, p->to->upstream, &p->member, e);
        if (!p->server)
            return -1;
        p->completion_tokens = p->to->upstream->max_completion_tokens;
        p->failing = 1; /* until it has answered some */
        p->has_price = model_upstream_price(m, i, &p->price);
    }
    return 0;
}

void upstream_route_release(struct upstream_route *r)
{
    for (uint32_t i = 0; i < r->count; i++)
        if (r->target[i].server)
            server_leave(r->target[i].server, &r->target[i].member);
}

uint32_t upstream_route_can(const struct upstream_route *r, const struct request *q,
                            struct violation *why)
{
    struct violation ignored;
    uint32_t targets = 0;

    for (uint32_t i = 0; i < r->count; i++)
        if (r->target[i].wire->accepts(r->target[i].to, r->has_files, q, i ? &ignored : why))
            targets |= 1u << i;
    return targets;
}

/* The result of one pass over the targets with a weight, or over those without. */
struct pass {
    int64_t best;  /* target, or -1 */
    bool well;     /* at least one is not broken */
    bool given_up; /* all are given up */
    uint64_t ready_ns;
};

static void look(struct upstream_route *r, const struct route_query *q, uint32_t targets,
                 bool weighted, struct pass *out)
{
    double total = 0;

    *out = (struct pass){ .best = -1, .given_up = true, .ready_ns = UINT64_MAX };
    for (uint32_t i = 0; i < r->count; i++) {
        struct target *p = &r->target[i];
        uint64_t ready_ns;
        if (!(targets & 1u << i) || (p->to->weight > 0) != weighted)
            continue;
        enum server_go go = server_ask(p->server, &p->member, q->bytes, &ready_ns);
        out->well = out->well || go < SERVER_BROKEN;
        out->given_up = out->given_up && go == SERVER_GIVEN_UP;
        out->ready_ns = ready_ns < out->ready_ns ? ready_ns : out->ready_ns;
        if (go != SERVER_GO)
            continue;
        total += p->to->weight;
        p->credit += p->to->weight;
        if (out->best < 0 || (weighted && p->credit > r->target[out->best].credit))
            out->best = i;
    }
    if (out->best >= 0)
        r->target[out->best].credit -= total;
}

/* Those of the targets that have not refused lately; all when all have. */
static uint32_t hopeful(const struct upstream_route *r, uint32_t targets, uint64_t now_ns)
{
    uint32_t left = 0;

    for (uint32_t i = 0; i < r->count; i++) {
        const struct target *p = &r->target[i];
        if (!upstream_target_refuses(p) || now_ns - p->refused_ns >= ROUTE_REFUSED_MS * NS_PER_MS)
            left |= targets & 1u << i;
    }
    return left ? left : targets;
}

enum route_go upstream_route_next(struct upstream_route *r, const struct route_query *q,
                                  uint32_t *target, uint64_t *ready_ns)
{
    struct pass first, spill = { .best = -1, .given_up = true, .ready_ns = UINT64_MAX };
    uint32_t targets = hopeful(r, q->targets, q->now_ns);

    look(r, q, targets, true, &first);
    if (first.best < 0 && (!first.well || q->waited_ns >= r->spill_after_ns))
        look(r, q, targets, false, &spill);
    int64_t best = first.best >= 0 ? first.best : spill.best;
    *target = best >= 0 ? (uint32_t)best : (uint32_t)__builtin_ctz(targets);
    *ready_ns = first.ready_ns < spill.ready_ns ? first.ready_ns : spill.ready_ns;
    if (best < 0 && !first.well && first.given_up && spill.given_up)
        return ROUTE_GIVEN_UP;
    return best >= 0 ? ROUTE_GO : ROUTE_WAIT;
}

void upstream_route_ended(struct target *p, const struct exchange_result *result, uint64_t now_ns)
{
    enum error_code code = result->why ? result->why->code : ERROR_OK;

    bool failed = result->end == EXCHANGE_OVERLOAD || result->end == EXCHANGE_FAILED;

    if (result->end != EXCHANGE_CANCELLED)
        p->failing += (failed - p->failing) / ROUTE_RECENT;
    assert(p->failing >= 0 && p->failing <= 1);
    p->answered = p->answered || result->end == EXCHANGE_ANSWERED;
    p->refused =
        code == ERROR_UNAUTHENTICATED || code == ERROR_PERMISSION_DENIED || code == ERROR_NOT_FOUND;
    if (p->refused)
        p->refused_ns = now_ns;
}

bool upstream_target_answers(const struct target *p)
{
    return p->failing < 0.5;
}

bool upstream_target_refuses(const struct target *p)
{
    return p->refused && !p->answered;
}

bool upstream_route_hopeless(const struct upstream_route *r)
{
    for (uint32_t i = 0; i < r->count; i++)
        if (!upstream_target_refuses(&r->target[i]))
            return false;
    return true;
}

uint32_t upstream_route_room(const struct upstream_route *r)
{
    uint32_t room = 0;

    for (uint32_t i = 0; i < r->count; i++)
        room += server_room(r->target[i].server);
    return room;
}

static void note_of(const struct server_stats *st, bool paced, char *note)
{
    const char *name = st->upstream->name;

    if (st->breaker != BREAKER_CLOSED)
        (void)snprintf(note, PREDICTOR_NOTE_BYTES, "%.40s %s: %.120s", name,
                       st->given_up ? "is given up" : "fails",
                       strncmp(st->last_error, name, strlen(name)) == 0
                           ? st->last_error + strlen(name) +
                                 strspn(st->last_error + strlen(name), ": ")
                           : st->last_error);
    else if (st->paused_ms)
        (void)snprintf(note, PREDICTOR_NOTE_BYTES, "%s asked for a pause of %.1f s", name,
                       st->paused_ms / 1e3);
    else if (st->lapsed)
        (void)snprintf(note, PREDICTOR_NOTE_BYTES, "no part of the limits of %s is leased", name);
    else if (paced)
        (void)snprintf(note, PREDICTOR_NOTE_BYTES, "%s is at its limit per minute", name);
}

void upstream_route_note(const struct upstream_route *r, char note[PREDICTOR_NOTE_BYTES])
{
    struct server_stats st;

    note[0] = '\0';
    for (uint32_t i = 0; i < r->count && !note[0]; i++) {
        uint64_t ready_ns;
        bool paced = server_ask(r->target[i].server, NULL, 1, &ready_ns) == SERVER_PACED;
        server_stats(r->target[i].server, &st);
        note_of(&st, paced, note);
    }
}
