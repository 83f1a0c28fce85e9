/* webhook_send.h -- tells registered webhooks of jobs: signed, retried, never lost.
 *
 * Shape:   a thread takes what is due from the outbox (store/jobs/webhooks.h), posts it and writes down what
 *          came of it. A receiver that answers 2xx has it; else it is tried again after 5 s, 30 s,
 *          2 min, ... for a day. Redirects are not followed; private addresses are refused, on the
 *          address that is connected to.
 * Signed:  webhook-id, webhook-timestamp, webhook-signature: "v1," and the base64 of HMAC-SHA256 over
 *          "id.timestamp.body", under the webhook's secret ("whsec_" and its base64); during a rotation
 *          two, separated by a space. A job's own target is signed under the project's secret.
 * Threads: one of its own.
 * Source:  https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
 */
#ifndef TRANCHE_API_WEBHOOKS_WEBHOOK_SEND_H
#define TRANCHE_API_WEBHOOKS_WEBHOOK_SEND_H

#include "base/error.h"
#include "store/jobs/webhooks.h"

#define WEBHOOK_SECRET_BYTES 64 /* "whsec_", 44 characters of base64, and a NUL */

struct api;
struct webhook_sender;
struct webhook_sender *webhook_sender_start(struct api *a, struct error *e);
void webhook_sender_stop(struct webhook_sender *s); /* accepts NULL */

/* A new random secret. */
void webhook_secret_new(char out[WEBHOOK_SECRET_BYTES]);
/* The secret of a project, for jobs' own targets. */
int webhook_secret_project(struct store *s, const char *project, char out[WEBHOOK_SECRET_BYTES],
                           struct error *e) FALLIBLE;

/* One post, at once: the HTTP status, or -1. secret_old may be empty. */
struct webhook_post {
    struct str uri, body, secret, secret_old;
    const char *id; /* of the message */
    const char *const *allow;
    int64_t now_us;
};
struct http_client;
int webhook_post(struct http_client *http, const struct webhook_post *p, struct error *e) FALLIBLE;

#endif
