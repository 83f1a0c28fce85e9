/* send.h -- posts to webhooks when jobs end: signed, retried, and never lost.
 *
 * Shape:   a thread takes the deliveries that are due from the outbox (store/jobs/webhooks.h), posts each
 *          and writes the outcome into its row. An answer of 2xx ends a delivery; after any other the
 *          post is repeated after 5 s, 30 s, 2 min, ... for a day. Redirects are not followed; private
 *          addresses are refused, on the address that is connected to.
 * Signed:  webhook-id, webhook-timestamp, webhook-signature: "v1," and the base64 of HMAC-SHA256 over
 *          "id.timestamp.body", under the webhook's secret ("whsec_" and its base64); during a rotation
 *          two signatures, separated by a space. Posts to a job's own target are signed under the
 *          project's secret.
 * Threads: one of its own, which only the store and the network meet; webhook_post and the secrets from
 *          any.
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
/* Ends the thread after the post under way, if there is one; accepts NULL. */
void webhook_sender_stop(struct webhook_sender *s);

/* A new random secret. */
int webhook_secret_new(char out[WEBHOOK_SECRET_BYTES], struct error *e) FALLIBLE;
/* The secret of a project, for jobs' own targets. */
int webhook_secret_project(struct store *s, const char *project, char out[WEBHOOK_SECRET_BYTES],
                           struct error *e) FALLIBLE;

/* Posts once and waits for the answer: its HTTP status, or -1. secret_old may be empty. */
struct webhook_post {
    struct str uri, body, secret, secret_old;
    const char *id; /* of the message */
    const char *const *allow;
    int64_t now_us;
};
struct http_client;
int webhook_post(struct http_client *http, const struct webhook_post *p, struct error *e) FALLIBLE;

#endif
