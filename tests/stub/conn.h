/* conn.h -- a connection: bytes in, one call at a time, bytes out.
 *
 * Why: clients keep connections alive and may send the next request before the last is answered;
 * answers must come in order, so the next one stays in the input until this one is answered.
 *
 * Shape:   while a call is open the input does not move, so that the call's slices hold. Events are
 *          edge-triggered: what could not be done yet is remembered.
 *          A client that closes its side is gone: its call is abandoned, as inference servers do.
 * Threads: none.
 */
#ifndef TRANCHE_STUB_CONN_H
#define TRANCHE_STUB_CONN_H

#include "server.h"
#include "spoil.h"

enum conn_state {
    CONN_IDLE,    /* between calls, or in the middle of a request's bytes */
    CONN_QUEUED,  /* its call waits for a slot */
    CONN_WORKING, /* its call has one; the timer tells when it is answered */
    CONN_HANGING,
    CONN_DRIPPING,
    CONN_ENDLESS,
    CONN_CLOSING, /* when all is sent */
    CONN_RESETTING,
};

struct conn {
    int fd;
    enum conn_state state;
    bool readable;  /* there may be more to read */
    bool continued; /* 100 was sent for the request that is being read */
    bool has_slot;
    struct buf in, out;
    size_t in_at;  /* what stands before was handled */
    size_t out_at; /* what stands before was sent */
    size_t held;   /* bytes at the end of out that wait for the timer */
    struct timer timer;
    struct call call;
    struct conn *prev, *next; /* in the queue, or among the dead */
};

void conn_open(struct server *s, int fd);
void conn_close(struct server *s, struct conn *c); /* freed at the end of the round */
void conn_event(struct server *s, struct conn *c, uint32_t events);
void conn_tick(struct server *s, struct conn *c); /* its timer */
/* Sends what is there and goes on with what was read; c may be closed after. */
void conn_advance(struct server *s, struct conn *c);
/* The call's reply is in out: this is how it goes on. */
void conn_replied(struct server *s, struct conn *c, struct spoiled how);

#endif
