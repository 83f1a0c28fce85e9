/* credential_inner.h -- what the files of a credential share.
 *
 * Data:    credential.c         what callers use; keeps the secret and renews it
 *          credential_source.c  a key or token, given or in a file; an account's file
 *          credential_token.c   an account's assertion, and the token it is exchanged for
 */
#ifndef TRANCHE_NET_CLIENT_CREDENTIAL_INNER_H
#define TRANCHE_NET_CLIENT_CREDENTIAL_INNER_H

#include <stdatomic.h>
#include <sys/stat.h>

#include <openssl/evp.h>

#include "base/mem.h"
#include "net/client/credential.h"

#define CREDENTIAL_KEY_BITS_MIN 2048
#define CREDENTIAL_KEY_BITS_MAX 8192
#define CREDENTIAL_FETCH_MS 30000
#define CREDENTIAL_LIFE_S 3600 /* of an assertion, and of a token that does not say */
#define CREDENTIAL_LIFE_S_MAX 86400

/* Tells whether a file has changed. */
struct credential_stamp {
    struct timespec mtime;
    off_t size;
    ino_t inode; /* 0: not yet read */
};

/* credential_source.c */
/* Text without the white space around it into out, which is emptied first. `where` names it in errors. */
int credential_secret_take(struct str text, const char *where, struct buf *out,
                           struct error *e) FALLIBLE;
/* Reads the file when it is not the one of the stamp: 1 and its key in out; 0: it is the same. */
int credential_secret_read(const char *path, struct credential_stamp *stamp, struct buf *out,
                           struct error *e) FALLIBLE;
bool credential_secret_is_token(struct str secret);
void credential_wipe(struct buf *b); /* overwrites and releases it */

struct credential_account {
    struct arena arena; /* of the texts */
    enum { ACCOUNT_SERVICE, ACCOUNT_USER, ACCOUNT_MACHINE } kind;
    const char *email; /* or another name for errors */
    const char *token_uri;
    const char *key_id; /* of a service account, with key */
    EVP_PKEY *key;
    const char *client_id, *client_secret, *refresh_token; /* of a user */
};
/* path: NULL: the machine's account, of the metadata server. */
int credential_account_read(const char *path, struct credential_account *out,
                            struct error *e) FALLIBLE;
void credential_account_release(struct credential_account *a); /* accepts a zeroed one */
/* The file of the application default credentials, to be freed by mem_free; NULL: there is none. */
char *credential_default_path(void);

/* credential_token.c */
/* A new token and how long it lives; CANCELLED soon after *stop is set. */
int credential_token_fetch(const struct credential_account *a, const char *ca_file,
                           const atomic_bool *stop, struct buf *token, uint32_t *life_s,
                           struct error *e) FALLIBLE;

#endif
