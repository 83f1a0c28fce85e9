/* service_account.h -- a service account's file, as Google's auth libraries read it.
 *
 * Why: a client that knows only service accounts (ADC) gets access tokens from our /token with it and
 * nothing else changed.
 *
 * Shape:   JSON with type, project_id, private_key_id, private_key (PKCS #8 as PEM), client_email,
 *          client_id, token_uri = URL/token. RSA, 2048 bits. The private key is nowhere else.
 * Threads: none.
 * Source:  https://cloud.google.com/iam/docs/keys-create-delete
 */
#ifndef TRANCHE_APP_SERVE_SERVICE_ACCOUNT_H
#define TRANCHE_APP_SERVE_SERVICE_ACCOUNT_H

#include "base/error.h"
#include "base/mem.h"
#include "base/str.h"

struct service_account {
    struct str email;      /* "name-1a2b3c@PROJECT.tranche.internal" */
    struct str public_key; /* PEM */
    struct buf file;       /* the JSON; a secret: service_account_release wipes it */
};
/* url: where clients find the server. The texts live in the arena. */
int service_account_make(struct arena *a, const char *project, const char *name, const char *url,
                         struct service_account *out, struct error *e) FALLIBLE;
void service_account_release(struct service_account *s);
/* Writes the file, readable by its owner only; ALREADY_EXISTS when there is one. */
int service_account_write(const struct service_account *s, const char *path,
                          struct error *e) FALLIBLE;

#endif
