/* http_curl.h -- settings and errors of libcurl that both HTTP clients share.
 *
 * Why: a request means the same and fails in the same words whether it is sent alone (http_client) or
 * among thousands (http_multi).
 *
 * Errors:  the codes that http_client.h promises; "host:port: the cause". No header, path or query of
 *          a request is in a message: they may hold a key.
 * Threads: as the handle that is passed in; nothing is shared.
 */
#ifndef TRANCHE_NET_CLIENT_HTTP_CURL_H
#define TRANCHE_NET_CLIENT_HTTP_CURL_H

#include <arpa/inet.h>
#include <curl/curl.h>

#include "base/error.h"
#include "base/str.h"

#define HTTP_AUTHORITY_BYTES 320 /* a host name has at most 255 bytes */

/* "host:port" of a URL. */
int http_curl_authority(const char *url, char out[HTTP_AUTHORITY_BYTES], struct error *e) FALLIBLE;
bool http_curl_this_machine(const char *authority);
/* Is "host:port" in the list, which ends in NULL and may be NULL? */
bool http_curl_listed(const char *const *list, const char *authority);
/* The guard: false for an address that is not public. Its text, also of one that cannot be read, is in
 * out. */
bool http_curl_public(const struct curl_sockaddr *a, char out[INET6_ADDRSTRLEN]);
int http_curl_refused(const char *authority, const char *address, struct error *e);

/* The lines that are sent: those of the list, which ends in NULL, and one more; both may be NULL. *out
 * is to be freed with curl_slist_free_all, also after a failure. */
int http_curl_headers(const char *const *header, const char *one_more, struct curl_slist **out,
                      struct error *e) FALLIBLE;
/* Adds lines with '\n' between them; lines may be NULL. */
int http_curl_add_lines(struct curl_slist **list, const char *lines, struct error *e) FALLIBLE;

/* Only http and https, no signals, our name; ending a transfer never waits for a name server. */
void http_curl_defaults(CURL *c);
/* The body is borrowed until the transfer ends. */
void http_curl_method(CURL *c, const char *method, struct str body);
/* Another body on a handle whose method was set with one. */
void http_curl_body(CURL *c, struct str body);
/* Is a body sent with this method, if only an empty one? */
bool http_curl_has_body(const char *method, struct str body);

/* Takes one line of a head: the first line of an answer forgets what `headers` holds, others are added
 * as "name: value\n" with the name in lower case. False: over the buffer's maximum. */
bool http_curl_head_line(struct buf *headers, struct str line);
/* Is this the empty line that ends an answer's head, and not that of a 100 Continue? libcurl reports no
 * error for an answer that was cut off before it. */
bool http_curl_head_ends(CURL *c, struct str line);
/* The first value of a name, in lower case, in such lines; empty when absent. */
struct str http_curl_header(struct str headers, const char *name);

/* Why a transfer failed. text: what the library wrote into its error buffer, or "". */
int http_curl_fail(CURL *c, CURLcode code, const char *authority, const char *text,
                   struct error *e);

#endif
