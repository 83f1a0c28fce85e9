/* auth.h -- who calls: keys, access tokens, and the token endpoint for service accounts.
 *
 * Shape:   Authorization: Bearer (a key, or an access token that /token gave for a service account's
 *          signed assertion, RFC 7523), x-goog-api-key, ?key= or ?access_token=; the first of them
 *          that is given decides. Access tokens are signed by the store's secret, name their key and
 *          end after an hour; a revoked key ends its tokens at once.
 *          While no key was ever made the mode is open: whoever reaches the server may everything,
 *          so it must listen on the loopback address only, and auth_open_guard keeps browsers out. A
 *          key made while it runs ends that at once; revoking the last one does not bring it back.
 * Errors:  as Google's services say them: a bad key is 400 API_KEY_INVALID in the Gemini
 *          dialect and 401 elsewhere; none at all 403 or 401.
 * Threads: all.
 */
#ifndef TRANCHE_API_AUTH_H
#define TRANCHE_API_AUTH_H

#include "net/server/http_server.h"
#include "store/jobs/keys.h"

struct principal {
    bool all; /* no keys are configured: every project, every right */
    char project[PROJECT_BYTES];
    enum key_role role;
    char key[KEY_ID_BYTES];
};
enum auth_result {
    AUTH_OK,
    AUTH_NONE, /* nothing was given */
    AUTH_BAD,
    AUTH_FAILED /* the store cannot tell: e says why */
};
enum auth_result auth_principal(struct store *s, struct http_call *c, struct principal *out,
                                struct error *e);
/* 1: no key was ever made, so the mode is open; 0: it is not. */
int auth_is_open(struct store *s, struct arena *a, struct error *e) FALLIBLE;
/* In the open mode a page that a browser shows must not reach the server: not by a name that it made
 * resolve to this machine (Host), nor by a call to another site (Origin). host and origin: the
 * headers, origin empty when absent. PERMISSION_DENIED. */
int auth_open_guard(struct str host, struct str origin, struct error *e) FALLIBLE;

/* POST /token: the form's grant_type and assertion -> the JSON answer; false with an OAuth error in
 * it. The assertion is a JWT of RS256: iss (and sub, when it is there) the account's e-mail name, aud
 * ending with "/token", exp at most an hour after iat; clocks may differ by a minute. */
#define AUTH_FORM_BYTES_MAX ((size_t)16 * 1024)
#define AUTH_TOKEN_S 3600
bool auth_token(struct store *s, struct arena *a, struct str form, struct buf *out);
/* An access token, and back: 1 and its valid key, 0 when it is none of ours, ended or revoked. */
#define AUTH_TOKEN_BYTES 128
int auth_token_make(struct store *s, const char *key, char out[AUTH_TOKEN_BYTES],
                    struct error *e) FALLIBLE;
int auth_token_find(struct store *s, struct arena *a, struct str token, struct key *out,
                    struct error *e) FALLIBLE;

/* What may name a project: 1 to PROJECT_BYTES - 1 of A-Z a-z 0-9 "-_.:". */
bool auth_project_valid(struct str name);

#endif
