/* connections.h -- the connections of one process to a store's database, and the time by that database's clock.
 *
 * Why: a connection costs the server memory and us a round trip or three, so they are kept and their number is bounded. A fleet
 * needs one clock, and the database has it.
 *
 * Shape:   one owner between take and give. A connection that was lost is closed when it is given back.
 * Time:    each connection that is made and each transaction that begins reads the database's clock, between two moments of
 *          ours. The offset lies in all these intervals, less what clocks may drift apart meanwhile.
 * Errors:  UNAVAILABLE: all are in use for CONNECTION_WAIT_MS, or the database cannot be reached. For CONNECTION_PAUSE_MS after a
 *          failure to connect nobody tries, so that threads do not queue for a dead server.
 * Threads: all.
 */
#ifndef TRANCHE_STORE_CONNECTIONS_H
#define TRANCHE_STORE_CONNECTIONS_H

#include "store/db/db.h"

#define CONNECTION_WAIT_MS 10000
#define CONNECTION_PAUSE_MS 500

struct connections;
/* place: borrowed; a file is opened to read. most: open at once, of a PostgreSQL database. */
struct connections *connections_new(const char *place, uint32_t most);
void connections_free(struct connections *c); /* accepts NULL */

struct db *connection_take(struct connections *c, struct error *e);
void connection_give(struct connections *c, struct db *d);

/* After the begin of a transaction: has it a clock, it was read. */
void connection_read_clock(struct connections *c, const struct db *d);
/* Wall time by the database's clock, in microseconds. False: it has none, or it was never read. */
bool connections_now(struct connections *c, int64_t *out);

#endif
