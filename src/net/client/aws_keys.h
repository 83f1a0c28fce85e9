/* aws_keys.h -- the keys that requests to an S3 server are signed with.
 *
 * Why: a key must never be on a command line or in a log, and a short-lived one is replaced while we run.
 *
 * Place:   AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, with AWS_SESSION_TOKEN when there is one; else the section
 *          AWS_PROFILE ("default") of the file AWS_SHARED_CREDENTIALS_FILE (~/.aws/credentials); else a role's (aws_role.h), of
 *          which a web identity goes before the file. The file is read again when it changes; while it is missing or wrong the
 *          old keys stay. A role's keys are fetched again AWS_KEYS_EARLY_S before they end.
 * Errors:  FAILED_PRECONDITION: there are no keys; INVALID_ARGUMENT: the file is not one of keys; those of aws_role.h. No
 *          message has a secret in it.
 * Threads: all calls but new and free from any thread.
 * Source:  https://docs.aws.amazon.com/sdkref/latest/guide/file-format.html
 */
#ifndef TRANCHE_NET_CLIENT_AWS_KEYS_H
#define TRANCHE_NET_CLIENT_AWS_KEYS_H

#include "base/error.h"
#include "base/mem.h"
#include "base/str.h"

#define AWS_KEY_BYTES_MAX 256
#define AWS_TOKEN_BYTES_MAX 8192
#define AWS_FILE_BYTES_MAX ((size_t)256 * 1024)
#define AWS_KEYS_EARLY_S 300

struct aws_keys;
struct aws_keys *aws_keys_new(struct error *e);
void aws_keys_free(struct aws_keys *k); /* accepts NULL */
/* The keys of now, in the arena; token is empty without one. May wait for a role's. */
int aws_keys_get(struct aws_keys *k, struct arena *a, struct str *id, struct str *secret,
                 struct str *token, struct error *e) FALLIBLE;
/* They were refused: a role's are fetched again at the next call. */
void aws_keys_refused(struct aws_keys *k);

#endif
