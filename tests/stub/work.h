/* work.h -- what an inference server does between a request and its answer: it refuses, lets wait, or
 * takes its time in one of its slots.
 *
 * Threads: none.
 */
#ifndef TRANCHE_STUB_WORK_H
#define TRANCHE_STUB_WORK_H

#include "conn.h"

void work_init(struct server *s);
void work_release(struct server *s);
void work_arrive(struct server *s, struct conn *c); /* its call is read */
void work_done(struct server *s, struct conn *c);   /* the time is over: its reply goes to out */
void work_leave(struct server *s, struct conn *c);  /* it closes, whatever it had */
/* Gives a free slot to the one that waited longest; false when there is none of either. */
bool work_next(struct server *s);

#endif
