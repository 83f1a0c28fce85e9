/* keys.h -- API keys and service accounts: who may call.
 *
 * Why: a copy of the database must not give access, so a key is stored as its hash.
 *
 * Shape:   a key is "tk_" and 40 characters; the store keeps its SHA-256 and shows its first 8. A
 *          service account has an e-mail name and an RSA public key; its private one is in the JSON
 *          file that `tranche keys create --service-account` wrote, and nowhere else.
 * Threads: all. Another process (`tranche keys`) may change them while the server runs.
 */
#ifndef TRANCHE_STORE_JOBS_KEYS_H
#define TRANCHE_STORE_JOBS_KEYS_H

#include "format/job/job.h"
#include "store/store.h"

enum key_role {
    ROLE_VIEWER = 0,
    ROLE_SUBMITTER = 1,
    ROLE_ADMIN = 2
};                        /* wire: viewer, user, admin */
#define KEY_TEXT_BYTES 44 /* with its NUL */
#define KEY_ID_BYTES 16   /* "tk_" and 8 characters, and a NUL */

struct key {
    char id[KEY_ID_BYTES]; /* what list and revoke name */
    char project[PROJECT_BYTES];
    enum key_role role;
    struct str name;       /* the operator's word for it */
    struct str email;      /* of a service account, else empty */
    struct str public_key; /* PEM, of a service account */
    int64_t create_us, expire_us /* 0: never */, revoke_us /* 0: valid */;
};
/* Fills id and create_us; text is the key itself, shown once ("" for a service account). */
int key_create(struct store *s, struct key *k, char text[KEY_TEXT_BYTES], struct error *e) FALLIBLE;
/* 1 and the valid key that this text is, else 0. */
int key_find(struct store *s, struct arena *a, struct str text, struct key *out,
             struct error *e) FALLIBLE;
int key_find_email(struct store *s, struct arena *a, struct str email, struct key *out,
                   struct error *e) FALLIBLE;
int key_get(struct store *s, struct arena *a, const char *id, struct key *out,
            struct error *e) FALLIBLE; /* 1 when it is valid, 0 when not or absent */
int key_revoke(struct store *s, const char *id, struct error *e) FALLIBLE;
struct key_list {
    struct key *item;
    uint32_t count;
};
int key_list(struct store *s, struct arena *a, struct key_list *out, struct error *e) FALLIBLE;
/* The number of valid keys: with none, the server listens on the loopback address only. */
int key_count(struct store *s, uint64_t *out, struct error *e) FALLIBLE;
const char *key_role_name(enum key_role r); /* "viewer", "user", "admin" */
bool key_role_read(const char *name, enum key_role *out);

#endif
