/* http_pool.h -- HTTP clients for many threads: each call takes one, and gives it back with its open connections.
 *
 * Threads: all.
 */
#ifndef TRANCHE_NET_CLIENT_HTTP_POOL_H
#define TRANCHE_NET_CLIENT_HTTP_POOL_H

#include "net/client/http_client.h"

#define HTTP_POOL_KEPT 16 /* clients that wait for the next call */

struct http_pool;
struct http_pool *http_pool_new(void);
void http_pool_free(struct http_pool *p); /* accepts NULL; every client was given back */
struct http_client *http_pool_take(struct http_pool *p);
void http_pool_give(struct http_pool *p, struct http_client *c);

#endif
