/* allowance.h -- the configured limits of an upstream server, leased over the processes that share a store.
 *
 * Why: a limit of requests or tokens a minute, or of requests in flight, is the account's or the server's. Processes that
 * each kept the whole of it would together pass it as many times as there are of them.
 *
 * Shape:   a row an upstream and process: its share of each kind, what it needs, and until when that holds. A process renews
 *          its rows every ALLOWANCE_RENEW_MS. Shares go by need: nobody gets more than it needs while another one
 *          lacks, and what nobody needs is given to all alike. A remainder of slots goes round, so that with
 *          fewer slots than processes each has its turn.
 * Rule:    the sum of the shares that are valid never passes the limit. A share that grows does so in the transaction
 *          that finds room for it. One that shrinks does so in two steps: the process first spends less, and
 *          says with its next renewal what it holds now; only then is the rest anybody's.
 *          A minute's burst of each process but one is kept back, so that no sixty seconds pass a limit while
 *          shares move from one to another.
 * Time:    a share is valid for ALLOWANCE_VALID_MS after its renewal by the database's clock, and is counted as spent until
 *          then. The process trusts it until ALLOWANCE_MARGIN_MS before that, from the moment before it asked.
 *          Requests that are in flight when a share ends run on, and count for nobody.
 * Locks:   the upstream's row (process 0) is locked while its shares are read and changed; upstreams in the order of
 *          their names.
 * Errors:  UNAVAILABLE: the database cannot be asked now; what was leased holds to its end. ABORTED: the process is not
 *          of the fleet any more.
 * Threads: all.
 */
#ifndef TRANCHE_STORE_FLEET_ALLOWANCE_H
#define TRANCHE_STORE_FLEET_ALLOWANCE_H

#include "store/store.h"

#define ALLOWANCE_RENEW_MS 2000
#define ALLOWANCE_VALID_MS 6000
#define ALLOWANCE_MARGIN_MS 1000
#define ALLOWANCE_ROTATE_MS 10000 /* how long a remainder of slots stays where it is */

/* Requests and tokens are a minute's, slots are whole requests in flight. */
enum allowance_kind { ALLOWANCE_REQUESTS, ALLOWANCE_TOKENS, ALLOWANCE_SLOTS, ALLOWANCE_KINDS };
struct allowance_ask {
    const char *upstream;
    double limit[ALLOWANCE_KINDS]; /* configured; 0: none of this kind */
    double
        holds[ALLOWANCE_KINDS];   /* the most that the process may spend from before this call on */
    double need[ALLOWANCE_KINDS]; /* what it could use; INFINITY: it was held back */
    double unit[ALLOWANCE_KINDS]; /* of one request: 1 request, its tokens */
    bool leaves;                  /* it needs none of it: its row goes, and the share is 0 */
};
struct allowance {
    double share
        [ALLOWANCE_KINDS]; /* from now on; less than it holds: to be spent at once, and then said */
    bool shrank;           /* it is worth saying so without delay */
};
/* Renews the rows of this process, which has joined the fleet, in one transaction. asks in the order of their upstreams'
 * names. Valid from the caller's moment before the call for ALLOWANCE_VALID_MS - ALLOWANCE_MARGIN_MS. */
int allowance_renew(struct store *s, const struct allowance_ask *ask, uint32_t count,
                    struct allowance *out, struct error *e) FALLIBLE;

#endif
