/* auth.h -- who calls: keys, access tokens, and the token endpoint for service accounts.
 *
 * Shape:   x-goog-api-key, ?key=, or Authorization: Bearer (a key, or an access token that /token gave
 *          for a service account's signed assertion, RFC 7523). Access tokens are signed by the store's
 *          secret, name their key and end after an hour; a revoked key ends its tokens at once.
 * Errors:  as Google's services say them (wire.md 6.4): a bad key is 400 API_KEY_INVALID in the Gemini
 *          dialect and 401 elsewhere; none at all 403 or 401.
 * Threads: all.
 */
#ifndef TRANCHE_API_AUTH_H
#define TRANCHE_API_AUTH_H

#include "net/http_server.h"
#include "store/keys.h"

struct principal {
    bool all; /* no keys are configured: every project, every right */
    char project[PROJECT_BYTES];
    enum key_role role;
    char key[KEY_ID_BYTES];
};
enum auth_result { AUTH_OK, AUTH_NONE /* nothing was given */, AUTH_BAD };
enum auth_result auth_principal(struct store *s, struct http_call *c, struct principal *out,
                                struct error *e);
/* POST /token: the form's grant_type and assertion -> the JSON answer; false with an OAuth error in it. */
bool auth_token(struct store *s, struct arena *a, struct str form, struct buf *out);

#endif
