/* limits.h -- this process's parts of the configured limits of upstream servers, in a store that several processes share.
 *
 * Why: predict paces requests and knows no store; the store leases limits (store/fleet/allowance.h) and knows no requests.
 *
 * Shape:   a thread renews the part of each upstream that is in use, every ALLOWANCE_RENEW_MS, and soon when a request waits
 *          for one. A part that shrank is renewed again at once, so that others need not wait for what it gave away.
 *          An upstream that nothing has used for SHARE_IDLE_MS gets no part, and its row goes.
 * Errors:  a database that does not answer: the parts end, requests wait, and the log says so once.
 * Threads: limits_start and limits_stop: the service's. The clock is the store's.
 */
#ifndef TRANCHE_ENGINE_SERVICE_LIMITS_H
#define TRANCHE_ENGINE_SERVICE_LIMITS_H

#include "predict/upstream/server.h"
#include "store/store.h"

struct limits;
/* store: has joined its fleet. Before the first session; both outlive it. NULL when there is no thread for it. */
struct limits *limits_start(struct store *store, struct upstream_servers *servers, struct error *e);
void limits_stop(struct limits *l); /* gives back what is leased; accepts NULL */

#endif
