/* chan.h -- a bounded queue of pointers between threads.
 *
 * Why: threads meet only at channels and in the store; a bound is back-pressure, so memory stays
 * constant (I5).
 *
 * Errors:  none; the return values below say what happened and who owns the item.
 * Threads: any number may send and receive.
 */
#ifndef TRANCHE_BASE_CHAN_H
#define TRANCHE_BASE_CHAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct chan;

struct chan *chan_new(size_t cap);
void chan_free(struct chan *c); /* no thread may use it any more; items left are not freed */
/* Blocks while full. True: the channel owns item now. False: closed, item is still the caller's. */
bool chan_send(struct chan *c, void *item);
/* As chan_send but never blocks: false also when full. */
bool chan_try_send(struct chan *c, void *item);
/* Takes one: waits up to timeout_ms (0: not at all, UINT32_MAX: for ever). NULL after the time, or
 * when closed and empty. */
void *chan_recv(struct chan *c, uint32_t timeout_ms);
void chan_close(struct chan *c); /* send then refuses, recv drains what is left */
bool chan_closed(const struct chan *c);
size_t chan_count(const struct chan *c);

#endif
