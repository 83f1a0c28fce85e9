/* auth.h -- who calls: keys, access tokens, and the token endpoint for service accounts.
 *
 * Shape:   Authorization: Bearer (a key, or an access token that /token gave for a service account's
 *          signed assertion, RFC 7523), x-goog-api-key, ?key= or ?access_token=; the first of them
 *          that is given decides. Without any of them a browser's cookie counts, when the call has the header
 *          CONSOLE_HEADER and, unless it only reads, our own address as its Origin; or the ticket of a call that only
 *          reads (?ticket=), which is of this path. Access tokens are signed by the store's secret, name their key and
 *          end after an hour; a revoked key ends its tokens at once.
 *          Until the first key is made the mode is open: everybody who reaches the server may do
 *          anything, so it must listen on the loopback address only, and auth_open_guard keeps browsers
 *          out. A key that is made while the server runs ends the open mode at once; revoking the last
 *          key does not bring it back.
 * Errors:  as Google's services word them: a bad key is 400 API_KEY_INVALID in the Gemini dialect and 401
 *          elsewhere; no key at all is 403 and 401.
 * Threads: all.
 */
#ifndef TRANCHE_API_AUTH_H
#define TRANCHE_API_AUTH_H

#include "net/server/http_server.h"
#include "store/jobs/keys.h"

struct principal {
    bool all; /* the open mode: every project, every right */
    char project[PROJECT_BYTES];
    enum key_role role;
    char key[KEY_ID_BYTES];
};
enum auth_result {
    AUTH_OK,
    AUTH_NONE, /* nothing was given */
    AUTH_BAD,
    AUTH_FAILED /* the store failed: e says why */
};
enum auth_result auth_principal(struct store *s, struct http_call *c, struct principal *out,
                                struct error *e);
/* The text of a browser's session (store/jobs/signins.h), of the cookie; empty: none. */
#define SESSION_COOKIE "tranche_session"
#define CONSOLE_HEADER "x-tranche-console"
struct str auth_cookie(const struct http_call *c);
/* 1: the mode is open, because no key was ever made; 0: it is not. */
int auth_is_open(struct store *s, struct arena *a, struct error *e) FALLIBLE;
/* In the open mode a page that a browser shows must not reach the server: not by a name that it made
 * resolve to this machine (Host), nor by a call to another site (Origin). host and origin: the
 * headers, origin empty when absent. PERMISSION_DENIED. */
int auth_open_guard(struct str host, struct str origin, struct error *e) FALLIBLE;

/* Secrets of the store that sign: access tokens; page tokens and operations; webhooks' secrets. */
#define SECRET_TOKENS "access-token"
#define SECRET_SEALS "seal"
#define SECRET_WEBHOOKS "webhooks"

/* POST /token: appends the JSON answer to the form's grant_type and assertion. False: it is an OAuth error.
 * The assertion is a JWT of RS256: iss (and sub, when it is there) the account's e-mail name, aud
 * ending with "/token", exp at most an hour after iat; clocks may differ by a minute. */
#define AUTH_FORM_BYTES_MAX ((size_t)16 * 1024)
#define AUTH_TOKEN_S 3600
bool auth_token(struct store *s, struct arena *a, struct str form, struct buf *out);
/* The valid key that an access token names: 1; 0 when it is not our token, has expired or is revoked. */
#define AUTH_TOKEN_BYTES 128
int auth_token_find(struct store *s, struct arena *a, struct str token, struct key *out,
                    struct error *e) FALLIBLE;
/* A ticket for reading one path as the key may, for AUTH_TICKET_S: a link that a browser follows carries no header, and
 * its cookie alone counts for nothing. */
#define AUTH_TICKET_S 60
int auth_ticket(struct store *s, const char *key, struct str path, char out[AUTH_TOKEN_BYTES],
                struct error *e) FALLIBLE;
/* The valid key of a ticket for this path: as auth_token_find. */
int auth_ticket_find(struct store *s, struct arena *a, struct str ticket, struct str path,
                     struct key *out, struct error *e) FALLIBLE;

/* A project's name: 1 to PROJECT_BYTES - 1 of A-Z a-z 0-9 "-_.:". */
bool auth_project_valid(struct str name);

#endif
