/* credential.h -- what proves who we are to another service: a key, a token, a service account.
 *
 * Why: a key must never stand on a command line or in a log, a file may be changed while we run, and
 * a service account's token lives an hour: whoever calls wants the header's value and nothing else.
 *
 * Shape:   a credential is made from where its secret is to be found. credential_get never blocks: a
 *          token that has to be fetched is fetched by a thread of its own, about CREDENTIAL_EARLY_S
 *          before the old one ends; credential_wait is for who has time.
 * Files:   are read by credential_new, which fails when they cannot be used. A key's file that changes
 *          is read again; while it is missing or wrong the old key serves, until it is refused. An
 *          account's file is read for each token.
 * Errors:  NOT_FOUND and PERMISSION_DENIED of a file, INVALID_ARGUMENT of what is no key or account,
 *          UNAUTHENTICATED when the token's server refuses, UNAVAILABLE when it does not answer, or not
 *          with a token, FAILED_PRECONDITION when its certificate is not trusted.
 *          A failure is kept for CREDENTIAL_RETRY_S, then tried again. No message has a secret in it.
 * Threads: all calls but new and free from any thread; http_client_init comes before new. The clock is
 *          read by callers only; an assertion is dated by the system's, as its reader's is.
 * Source:  RFC 7523 (JWT bearer), https://developers.google.com/identity/protocols/oauth2/service-account
 */
#ifndef TRANCHE_NET_CLIENT_CREDENTIAL_H
#define TRANCHE_NET_CLIENT_CREDENTIAL_H

#include <stdbool.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/str.h"

#define CREDENTIAL_BYTES_MAX ((size_t)16 * 1024) /* of a key or token, or an account's file */
#define CREDENTIAL_EARLY_S 300
#define CREDENTIAL_RETRY_S 5
#define CREDENTIAL_LOOK_S 1 /* a key's file is looked at so often */

/* At most one of them; all NULL: no credential. The strings must outlive what is made of them. */
struct credential_spec {
    const char *secret;          /* the key or token itself, as read from the environment */
    const char *secret_file;     /* a file with it; white space around it is cut; may change */
    const char *service_account; /* Google's JSON file: client_email, private_key, token_uri */
};
struct credential;
struct credential *credential_new(const struct credential_spec *from, struct clock *clock,
                                  const char *ca_file, struct error *e);
void credential_free(struct credential *c); /* accepts NULL */
/* 1 and the secret into out (cleared first): a key, an access token, or nothing when there is no
 * credential. 0: it is being fetched. */
int credential_get(struct credential *c, struct buf *out, struct error *e) FALLIBLE;
/* As credential_get, but waits up to timeout_ms for it: DEADLINE_EXCEEDED after that. */
int credential_wait(struct credential *c, uint32_t timeout_ms, struct buf *out,
                    struct error *e) FALLIBLE;
/* The far side refused it (401): it is read or fetched anew at the next call. A token younger than
 * CREDENTIAL_RETRY_S stays: the refusal is of the one before it, or a new one would be refused too. */
void credential_refused(struct credential *c);
/* An access token rather than a key: an account's, or what begins like one ("ya29.", "eyJ", "tat."). */
bool credential_is_token(const struct credential *c);

#endif
