/* route.h -- which of a model's upstreams takes the next request.
 *
 * Why: several servers answer one model: they share its requests by weight while they are healthy, and
 * a paid one takes some only when the others cannot.
 *
 * Shape:   the request goes to the target that is furthest behind its share, of those that have a
 *          weight, accept the request and have a free slot. When all targets with a weight are broken,
 *          or the request has waited for spill_after_ms, the targets without a weight follow in order.
 *          A target that refuses the key or the model, and has never answered, gets no requests for
 *          ROUTE_REFUSED_MS while another one may take them; those that it refused go to the others.
 * Threads: the loop's, but can, room and note, which any thread may call.
 * Source:  smooth weighted round robin, as in nginx.
 */
#ifndef TRANCHE_PREDICT_UPSTREAM_ROUTE_H
#define TRANCHE_PREDICT_UPSTREAM_ROUTE_H

#include "predict/predictor.h"
#include "predict/upstream/server.h"
#include "predict/upstream/wire.h"

#define ROUTE_REFUSED_MS 30000
#define ROUTE_RECENT 32

struct target {
    const struct model_upstream *to;
    const struct wire *wire;
    struct upstream_server *server;
    const char *shown;  /* its name, for modelVersion; NULL: the model has only one target */
    struct price price; /* with has_price */
    bool has_price;
    bool completion_tokens; /* it wants max_completion_tokens: set, or learnt. The loop's */
    bool answered, refused; /* a request was; refused: key or model. The loop's */
    uint64_t refused_ns;    /* when it last refused one. The loop's */
    double failing; /* share of its exchanges that failed, the last ROUTE_RECENT most. The loop's */
    double credit;  /* how far it is behind its share */
    struct server_member member;
};
struct upstream_route {
    struct target target[MODEL_UPSTREAMS_MAX];
    uint32_t count;
    uint64_t spill_after_ns; /* UINT64_MAX: never */
    bool has_files;
};
/* r must not move until it is released. */
int upstream_route_init(struct upstream_route *r, const struct model *m,
                        struct upstream_servers *servers, bool has_files, struct error *e) FALLIBLE;

void upstream_route_release(struct upstream_route *r);

/* A bit for each target that accepts this request. None: *why is the first target's violation. */
uint32_t upstream_route_can(const struct upstream_route *r, const struct request *q,
                            struct violation *why);

enum route_go {
    ROUTE_GO,      /* to *target */
    ROUTE_WAIT,    /* until *ready_ns, or until an exchange ends */
    ROUTE_GIVEN_UP /* all targets are given up; *target is the first */
};
struct route_query {
    uint32_t targets; /* a bit for each that accepts it */
    size_t bytes;
    uint64_t waited_ns, now_ns;
};
enum route_go upstream_route_next(struct upstream_route *r, const struct route_query *q,
                                  uint32_t *target, uint64_t *ready_ns);

/* Records how an exchange with a target ended. */
void upstream_route_ended(struct target *p, const struct exchange_result *result, uint64_t now_ns);
/* Most of the recent requests were answered, or refused for what they are: a failure is its request's own. */
bool upstream_target_answers(const struct target *p);
/* It has refused the key or the model, and never answered. */
bool upstream_target_refuses(const struct target *p);
/* All targets refuse so: no request can escape that. */
bool upstream_route_hopeless(const struct upstream_route *r);

uint32_t upstream_route_room(const struct upstream_route *r); /* slots of all its servers */
/* A sentence about what holds requests up; "" when nothing does. */
void upstream_route_note(const struct upstream_route *r, char note[PREDICTOR_NOTE_BYTES]);

#endif
