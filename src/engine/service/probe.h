/* probe.h -- does the bucket of a shared store answer this process?
 *
 * Why: a process that takes calls and works on nothing may not touch the bucket for hours. /readyz must know, and must not
 * wait for it itself.
 *
 * Shape:   a thread asks the bucket for the size of an object every PROBE_EVERY_MS; store_part_fails (store_metrics.h) then
 *          says how that ended. The database needs none: the lease is renewed all the time (fleet.h).
 * Threads: probe_start and probe_stop: the service's.
 */
#ifndef TRANCHE_ENGINE_SERVICE_PROBE_H
#define TRANCHE_ENGINE_SERVICE_PROBE_H

#include "store/store.h"

#define PROBE_EVERY_MS 10000

struct probe;
struct probe *probe_start(struct store *store, struct error *e);
void probe_stop(struct probe *p); /* accepts NULL */

#endif
