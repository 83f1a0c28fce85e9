/* operations.h -- operations of tuned models and endpoints, asked for by their names.
 *
 * Threads: as call.h says of a handler.
 */
#ifndef TRANCHE_API_MODELS_OPERATIONS_H
#define TRANCHE_API_MODELS_OPERATIONS_H

#include "api/models/models.h"

/* Answers a call on .../operations/{}, when that is one on a model or endpoint of the project; forget: it
 * is cancelled or deleted, which changes nothing. False: it is none of them. */
bool model_answer_operation(struct call *c, bool forget);

/* The members of an endpoint, and the model that it has deployed (endpoints.c). */
void endpoint_add_members(struct json_writer *w, const struct model_place *at,
                          const struct endpoint *p);
void endpoint_add_deployed(struct json_writer *w, const char *key, const struct model_place *at,
                           const struct endpoint *p);

#endif
