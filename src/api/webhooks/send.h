/* send.h -- posts to webhooks when jobs end: signed, retried, and never lost.
 *
 * Shape:   one thread takes the deliveries that are due from the outbox (store/jobs/webhooks.h), counts
 *          the attempt in the delivery's row, posts, and writes the outcome. An answer of 2xx ends a
 *          delivery; after any other the post is repeated after 5 s, 30 s, 2 min, ... for a day.
 *          Many posts are open at once, a few of them for each receiver and project, so a silent receiver
 *          delays its own deliveries only. Redirects are not followed; private addresses are refused, on
 *          the address that is connected to.
 * Signed:  webhook-id, webhook-timestamp, webhook-signature: "v1," and the base64 of HMAC-SHA256 over
 *          "id.timestamp.body", under the webhook's secret ("whsec_" and its base64); during a rotation
 *          two signatures, separated by a space. Posts to a job's own target are signed under the
 *          project's secret.
 * Traced:  a post of a job that was created with a traceparent, and a ping called with one, hand the trace on.
 * Threads: one of its own, which meets the store and the network; webhook_ping and the secrets: any.
 * Source:  https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
 */
#ifndef TRANCHE_API_WEBHOOKS_SEND_H
#define TRANCHE_API_WEBHOOKS_SEND_H

#include "base/error.h"
#include "store/jobs/webhooks.h"

#define WEBHOOK_SECRET_BYTES 64 /* "whsec_", 44 characters of base64, and a NUL */

struct api;
struct webhook_sender;
/* The store, the clock and webhook_allow of a are used until the sender has stopped. */
struct webhook_sender *webhook_sender_start(struct api *a, struct error *e);
/* Ends the thread without waiting for a receiver: pings that wait are answered UNAVAILABLE, as later ones
 * are, and deliveries stay in the outbox. Once, before webhook_sender_free. */
void webhook_sender_end(struct webhook_sender *s);
void webhook_sender_free(struct webhook_sender *s); /* accepts NULL */

/* Posts a message that belongs to no job and answers the call when the webhook has answered. On an error
 * the call is still the caller's. RESOURCE_EXHAUSTED: this project waits for other pings. */
struct call;
int webhook_ping(struct webhook_sender *s, struct call *c, const struct webhook *w,
                 struct error *e) FALLIBLE;

/* A new random secret. */
int webhook_secret_new(char out[WEBHOOK_SECRET_BYTES], struct error *e) FALLIBLE;
/* The secret of a project, for jobs' own targets. */
int webhook_secret_project(struct store *s, const char *project, char out[WEBHOOK_SECRET_BYTES],
                           struct error *e) FALLIBLE;

#endif
