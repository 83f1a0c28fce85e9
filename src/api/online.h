/* online.h -- the steps that all online calls share: the model of the path, and a client that leaves.
 *
 * Threads: handlers run on workers; nothing is shared.
 */
#ifndef TRANCHE_API_ONLINE_H
#define TRANCHE_API_ONLINE_H

#include "api/call.h"

#define ONLINE_BODY_MAX LINE_BYTES_MAX

/* The model is the last parameter of the path; project and location may stand before it. */
int online_model(struct call *c, char name[MODEL_NAME_BYTES], const char **project,
                 struct error *e) FALLIBLE;
/* For call.gone: the client has left, and the model need not answer. */
void online_gone(struct call *c);
/* After service_ask: the client may have left before the model knew the call. */
void online_asked(struct call *c);

#endif
