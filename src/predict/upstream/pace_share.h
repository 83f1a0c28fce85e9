/* pace_share.h -- this process's part of a server's configured limits, when several processes use the server.
 *
 * Why: a limit a minute, or of requests in flight, is the account's or the server's. Processes that each kept all of it would
 * pass it together. Their parts come from outside, and say until when they hold.
 *
 * Shape:   share_need (what this process holds, and what it could use) -> a lease by the caller -> share_set. Between two of them
 *          share_held notes what a part has held back, and share_sent what was sent under it. After its end a part is
 *          nothing: no request goes until there is a new one.
 * Units:   requests and tokens a minute, slots (requests in flight); nanoseconds, monotonic, but for the end of a part,
 *          which is on the clock that goes on while the machine sleeps (boot_ns).
 * Threads: none; guarded by its owner.
 */
#ifndef TRANCHE_PREDICT_UPSTREAM_PACE_SHARE_H
#define TRANCHE_PREDICT_UPSTREAM_PACE_SHARE_H

#include <stdbool.h>
#include <stdint.h>

#define SHARE_IDLE_MS 10000 /* so long after its last request a process needs its part no more */
#define SHARE_LOOK_MS 20    /* a request that waits for a part asks again after this time */

enum share_kind { SHARE_REQUESTS, SHARE_TOKENS, SHARE_SLOTS, SHARE_KINDS };
struct share {
    double limit[SHARE_KINDS]; /* configured; 0: none */
    double part[SHARE_KINDS];  /* valid until until_ns */
    uint64_t until_ns;         /* of boot_ns */
    double sent[SHARE_KINDS];  /* since looked_ns; of slots: unused */
    bool held[SHARE_KINDS];    /* a request had to wait for it since then */
    double need[SHARE_KINDS];  /* as of the last look */
    uint64_t looked_ns;
    uint64_t asked_ns; /* when a request last wanted to go */
    bool asked;
};
struct share_need {
    double limit[SHARE_KINDS];
    double holds[SHARE_KINDS]; /* the most that can be spent from now on, without another part */
    double need[SHARE_KINDS];  /* what it could use; INFINITY: it was held back */
    double unit[SHARE_KINDS];  /* of one request */
    bool wants;                /* false: nothing of it is in use or waited for */
};

/* Has the server a limit that can be shared? */
bool share_limits(const struct share *s);
bool share_valid(const struct share *s, uint64_t boot_ns);
void share_asked(struct share *s, uint64_t now_ns);
void share_held(struct share *s, enum share_kind kind);
void share_sent(struct share *s, double tokens);
struct share_use {
    uint32_t in_flight; /* requests at the server now */
    double tokens;      /* of a request, as estimated */
    uint64_t now_ns;
    bool valid; /* share_valid */
};
/* Looks back on the time since the last call, a second at least. */
void share_need(struct share *s, const struct share_use *use, struct share_need *out);
void share_set(struct share *s, const double part[SHARE_KINDS], uint64_t until_ns);

#endif
