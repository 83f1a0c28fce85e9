/* credential.h -- proves who we are to another service: a key, a token, a service account.
 *
 * Why: a key must never be on a command line or in a log, a key's file may change while we run, and a
 * service account's token lives for an hour; a caller only wants the header's value.
 *
 * Shape:   a credential is made from the place of its secret. credential_get never blocks: a thread of
 *          the credential fetches a token, about CREDENTIAL_EARLY_S before the old one ends;
 *          credential_wait blocks.
 * Files:   credential_new reads them, and fails when they cannot be used. A key's file is read again
 *          when it changes; while it is missing or wrong the old key is used, until it is refused. An
 *          account's file is read for each token.
 * Errors:  NOT_FOUND and PERMISSION_DENIED of a file, INVALID_ARGUMENT of a text that is not a key or account,
 *          UNAUTHENTICATED when the token's server refuses, UNAVAILABLE when it does not answer, or not
 *          with a token, FAILED_PRECONDITION when its certificate is not trusted.
 *          A failure is kept for CREDENTIAL_RETRY_S, then tried again. No message has a secret in it.
 * Threads: all calls but new and free from any thread; http_client_init comes before new. Only callers
 *          read the clock; the system's clock dates an assertion, because the token's server has it too.
 * Source:  RFC 6749 section 6 (refresh tokens), RFC 7523 (JWT bearer),
 *          https://cloud.google.com/docs/authentication/application-default-credentials, https://developers.google.com/identity/protocols/oauth2/service-account
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
#define CREDENTIAL_LOOK_S 1 /* between two looks at a key's file */

/* At most one of them; all NULL: no credential. The strings must outlive what is made of them. */
struct credential_spec {
    const char *secret;          /* the key or token itself, as read from the environment */
    const char *secret_file;     /* a file with it; white space around it is cut; may change */
    const char *service_account; /* Google's JSON file: of a service account, or of a user */
    /* Google's application default credentials: the file of $GOOGLE_APPLICATION_CREDENTIALS, else that of
     * `gcloud auth application-default login`, else the metadata server of Google's machines
     * ($GCE_METADATA_HOST). Looked for once. */
    bool adc;
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
/* The service refused it (401): the next call reads or fetches it again. A token younger than
 * CREDENTIAL_RETRY_S stays: the refusal was of its predecessor, or a new one would be refused too. */
void credential_refused(struct credential *c);
/* Is it an access token and not a key? An account's is, and a text that begins as one ("ya29.", "eyJ",
 * "tat."). */
bool credential_is_token(const struct credential *c);

#endif
