/* adapters.h -- the adapters that a session has loaded, by their files.
 *
 * Why: tuned models of one base share its session. An adapter is loaded at its first use and stays until
 *      its place is needed, so that thousands may be registered and those in use are fast.
 *
 * Shape:   hold -> load, unless it is ready -> the number for rows -> done. A number is never given
 *          twice, so what a cache holds of a dropped adapter matches nothing any more. A file that is
 *          replaced (another size or time) is another adapter.
 * Errors:  of loading, for every user of the slot; the next one after them tries again.
 * Threads: hold and done the session's, load the compiler's, ready any.
 */
#ifndef TRANCHE_PREDICT_LOCAL_ADAPTERS_H
#define TRANCHE_PREDICT_LOCAL_ADAPTERS_H

#include "predict/local/runtime.h"

/* The number of the adapters of the model itself, which are loaded when it is opened. */
#define ADAPTERS_OWN 1

struct adapters;
struct adapter_slot;
struct adapters *adapters_new(struct runtime *r);
void adapters_free(struct adapters *a); /* no slot is held; accepts NULL */

/* The slot of these files, with one more user; NULL: all are in use. */
struct adapter_slot *adapters_hold(struct adapters *a, const struct adapter_list *files);
void adapters_done(struct adapter_slot *s); /* accepts NULL */
bool adapters_ready(const struct adapter_slot *s);
int adapters_load(struct adapters *a, struct adapter_slot *s, struct error *e) FALLIBLE;
uint32_t adapters_number(const struct adapter_slot *s); /* of one that is ready */

#endif
