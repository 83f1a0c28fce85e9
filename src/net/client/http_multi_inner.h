/* http_multi_inner.h -- what the files of http_multi share.
 *
 * Data:    http_multi.c   start, poll, end         http_flight.c  one request: its handle and its answer
 *          http_socket.c  epoll and libcurl's timer
 * Owns:    a flight is in one list at a time: `open` while libcurl works at it, `done` until poll
 *          gives it, `last` until the next call, then `spare`, with its handle, buffers and headers, so
 *          that the next request like it needs no memory and sets next to nothing.
 * Shards:  libcurl walks through all connections of a multi handle at the start and end of each request,
 *          so no handle gets more than some 64: a request goes to the first that has a free connection.
 * Threads: the multi's owner, but for the eventfd.
 */
#ifndef TRANCHE_NET_CLIENT_HTTP_MULTI_INNER_H
#define TRANCHE_NET_CLIENT_HTTP_MULTI_INNER_H

#include <curl/curl.h>

#include "net/client/http_curl.h"
#include "net/client/http_multi.h"

#define HTTP_SHARD_CONNECTIONS 64 /* more only when HTTP_SHARDS_MAX are not enough */
#define HTTP_SHARDS_MAX 16
#define HTTP_SPARE_MAX 1024                  /* flights that wait for use */
#define HTTP_SPARE_BYTES ((size_t)32 * 1024) /* a buffer that grew over it is given back */

struct http_flight {
    struct http_flight *prev, *next;
    struct http_multi *multi;
    struct http_shard *shard; /* that has its handle; NULL: none has */

    CURL *curl;  /* what it is set to, when `set`: */
    bool traced; /* its headers are those of one request */
    bool set, has_body;
    struct http_host host;
    struct buf method, url, line; /* line: the ask's own header */
    struct curl_slist *header;
    char authority[HTTP_AUTHORITY_BYTES];

    void *tag;
    uint64_t begun_ns, ended_ns;
    uint32_t connection; /* its local port */
    uint64_t due_ns;     /* UINT64_MAX: no limit */
    uint64_t byte_ns;    /* when the last byte came or went; 0: has no connection yet */
    uint64_t idle_ns;    /* how long there may be none; UINT64_MAX: no limit */
    curl_off_t uploaded; /* of the body, seen by the last look */
    struct buf headers, body;
    bool head_whole, sent;
    int status;
    bool guarded;                   /* the address must be a public one */
    char refused[INET6_ADDRSTRLEN]; /* the address that the guard refused, or "" */
    struct error error;             /* OK until it fails */
    char text[CURL_ERROR_SIZE];     /* libcurl's message */
};

struct http_flights {
    struct http_flight *first, *last;
    uint32_t count;
};

struct http_shard {
    struct http_multi *multi;
    CURLM *curl;
    uint64_t timer_ns; /* when libcurl wants to be called; UINT64_MAX: not */
    uint32_t connections_max, open;
};

/* A socket, by its number: the events that libcurl wants, and those that epoll watches. */
struct http_socket {
    struct http_shard *shard;
    uint32_t want, have; /* EPOLLIN | EPOLLOUT */
    bool ours;           /* our callbacks open and close it */
};

struct http_multi {
    struct http_shard shard[HTTP_SHARDS_MAX];
    uint32_t shard_count;
    int epoll, wakeup;
    struct http_socket *socket;
    size_t socket_count;
    uint64_t now_ns;   /* as read last */
    uint64_t watch_ns; /* when the open ones are looked at; UINT64_MAX: not */
    bool woken;
    struct http_flights open, done, spare;
    struct http_flight *last; /* that poll returned: its bytes may be in use */
};

uint64_t http_multi_now(struct http_multi *m); /* reads the clock into now_ns */
void http_multi_collect(struct http_shard *s); /* takes what ended */

/* http_flight.c */
/* A flight for the ask, with its handle set, not yet started; NULL: the ask is wrong. */
struct http_flight *http_flight_take(struct http_multi *m, const struct http_ask *ask,
                                     struct error *e) FALLIBLE;
/* Hands it to libcurl; it is then open. Takes f, also when it fails. */
int http_flight_enter(struct http_flight *f, struct error *e) FALLIBLE;
void http_flight_leave(struct http_flight *f); /* takes it from libcurl, if that has it */
void http_flight_give(struct http_flight *f);  /* keeps it for a later request, or frees it */
void http_flight_free(struct http_flight *f);
/* libcurl has ended it; it is then done. */
void http_flight_ended(struct http_flight *f, CURLcode code);
/* Ends it with an error when it is over one of its times. Else false, and *next_ns may become earlier. */
bool http_flight_overdue(struct http_flight *f, uint64_t *next_ns);
void http_flights_remove(struct http_flights *l, struct http_flight *f);

/* http_socket.c */
int http_sockets_init(struct http_multi *m, struct error *e) FALLIBLE;
void http_sockets_serve(struct http_shard *s); /* sets the callbacks of a shard's handle */
void http_sockets_release(struct http_multi *m);
void http_socket_options(struct http_flight *f);
/* Waits until a socket is ready, libcurl's timer is due, someone wakes us, or until_ns. */
int http_sockets_wait(struct http_multi *m, uint64_t until_ns, struct error *e) FALLIBLE;
/* Lets libcurl do what is due: new requests go out. */
int http_sockets_timer(struct http_multi *m, struct error *e) FALLIBLE;

#endif
