/* aws_role.h -- short-lived keys that Amazon's machines give to a role.
 *
 * Why: a machine, container or pod has no key of its own to keep; its role says what it may do.
 *
 * Place:   the first of: a web identity (AWS_WEB_IDENTITY_TOKEN_FILE and AWS_ROLE_ARN, exchanged at STS), a container's or pod's
 *          credentials (AWS_CONTAINER_CREDENTIALS_FULL_URI or _RELATIVE_URI), the machine's (IMDSv2, unless
 *          AWS_EC2_METADATA_DISABLED is true).
 * Errors:  NOT_FOUND: there is no role; UNAVAILABLE: its server does not answer, or not with keys; PERMISSION_DENIED: it refuses.
 * Threads: none; waits for the network.
 * Source:  https://docs.aws.amazon.com/sdkref/latest/guide/standardized-credentials.html
 */
#ifndef TRANCHE_NET_CLIENT_AWS_ROLE_H
#define TRANCHE_NET_CLIENT_AWS_ROLE_H

#include "base/mem.h"
#include "net/client/http_client.h"

struct aws_role_keys {
    struct str id, secret, token; /* in the arena */
    int64_t until_us;             /* wall time; 0: it is not said */
};
enum aws_role { AWS_ROLE_NONE, AWS_ROLE_WEB, AWS_ROLE_CONTAINER, AWS_ROLE_MACHINE };
/* Which one the environment names; the machine's may be there or not. */
enum aws_role aws_role_named(void);
int aws_role_fetch(enum aws_role role, struct http_client *http, struct arena *a,
                   struct aws_role_keys *out, struct error *e) FALLIBLE;

#endif
