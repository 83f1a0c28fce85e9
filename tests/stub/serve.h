/* serve.h -- which call a request is, and the answers that need no work. */
#ifndef TRANCHE_STUB_SERVE_H
#define TRANCHE_STUB_SERVE_H

#include "conn.h"

/* c->call has its head and body. */
void serve_call(struct server *s, struct conn *c);
/* A request that could not be read. */
void serve_bad(struct server *s, struct conn *c, int status);

#endif
