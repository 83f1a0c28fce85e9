/* route.h -- which of a model's upstreams takes the next request.
 *
 * Why: several servers answer one name: shares by weight while they are well, and a paid one only
 * when the others cannot.
 *
 * Shape:   of the targets with a weight that can and may take the request, the one that is furthest
 *          behind its share. When all of those are broken, or the request has waited spill_after_ms,
 *          also the targets without a weight, in their order.
 * Threads: the loop's, but room and note, which any thread may call.
 * Source:  smooth weighted round robin, as nginx has it.
 */
#ifndef TRANCHE_PREDICT_UPSTREAM_ROUTE_H
#define TRANCHE_PREDICT_UPSTREAM_ROUTE_H

#include "predict/predictor.h"
#include "predict/upstream/server.h"
#include "predict/upstream/wire.h"

struct target {
    const struct model_upstream *to;
    const struct wire *wire;
    struct upstream_server *server;
    const char *shown;  /* its name, for modelVersion; NULL: the model has no other target */
    struct price price; /* what it bills */
    bool has_price;
    double credit; /* its share so far */
    struct server_member member;
};
struct upstream_route {
    struct target target[MODEL_UPSTREAMS_MAX];
    uint32_t count;
    uint64_t spill_after_ns; /* UINT64_MAX: never */
    bool has_files;
};
/* r must stay where it is until it is released. */
int upstream_route_init(struct upstream_route *r, const struct model *m,
                        struct upstream_servers *servers, bool has_files, struct error *e) FALLIBLE;

void upstream_route_release(struct upstream_route *r);

/* A bit for each target that can say this request; none, and why: the first one's words. */
uint32_t upstream_route_can(const struct upstream_route *r, const struct request *q,
                            struct violation *why);

enum route_go {
    ROUTE_GO,      /* to *target */
    ROUTE_WAIT,    /* until *ready_ns, or until an exchange ends */
    ROUTE_GIVEN_UP /* no target answers any more; *target is the first */
};
struct route_query {
    uint32_t targets; /* that can take it */
    size_t bytes;
    uint64_t waited_ns;
};
enum route_go upstream_route_next(struct upstream_route *r, const struct route_query *w,
                                  uint32_t *target, uint64_t *ready_ns);

uint32_t upstream_route_room(const struct upstream_route *r); /* requests it takes now */
/* What holds requests up, in words; "" when nothing does. */
void upstream_route_note(const struct upstream_route *r, char note[PREDICTOR_NOTE_BYTES]);

#endif
