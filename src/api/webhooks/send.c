#include "api/webhooks/send.h"

#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "api/context.h"
#include "base/base64.h"
#include "base/chan.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/metric.h"
#include "base/random.h"
#include "base/thread.h"
#include "net/client/http_client.h"

#define SECRET_PREFIX "whsec_"
#define SECRET_RAW_BYTES 32
#define SECRET_TEXT_BYTES 44 /* base64 of them */
#define POLL_MS 500
#define POST_TIMEOUT_MS 15000
#define POST_CONNECT_MS 5000
#define ANSWER_BYTES_MAX ((size_t)64 * 1024)
#define DUE_MAX 16
#define SECOND_US ((int64_t)1000000)

/* Pauses after the first failed attempt, the second, ...; after the last one the delivery is given up. */
static const int64_t waits_s[] = { 5, 30, 120, 600, 1800, 3600, 7200, 14400, 28800, 28800 };
#define ATTEMPTS_MAX (ARRAY_LEN(waits_s) + 1)

/* Constant while the thread runs. */
struct webhook_sender {
    struct api *api;
    pthread_t thread;
    struct chan *stop; /* nothing is sent to it; closed: the thread ends */
    struct http_client *http;
};

/* ---- Secrets and signatures ---- */

static void secret_text(const unsigned char raw[SECRET_RAW_BYTES], char out[WEBHOOK_SECRET_BYTES])
{
    struct buf text = BUF_INIT(WEBHOOK_SECRET_BYTES - 1);

    static_assert(sizeof SECRET_PREFIX + SECRET_TEXT_BYTES <= WEBHOOK_SECRET_BYTES, "with a NUL");
    buf_add_c(&text, SECRET_PREFIX);
    base64_add(raw, SECRET_RAW_BYTES, &text);
    memcpy(out, text.p, text.len + 1);
    buf_release(&text);
}

int webhook_secret_new(char out[WEBHOOK_SECRET_BYTES], struct error *e)
{
    unsigned char raw[SECRET_RAW_BYTES];

    if (random_bytes(raw, sizeof raw, e) < 0)
        return -1;
    secret_text(raw, out);
    return 0;
}

int webhook_secret_project(struct store *s, const char *project, char out[WEBHOOK_SECRET_BYTES],
                           struct error *e)
{
    unsigned char raw[STORE_MAC_BYTES];

    static_assert(sizeof raw == SECRET_RAW_BYTES, "a secret is a whole MAC");
    if (store_mac(s, "webhooks", str_of(project), raw, e) < 0)
        return -1;
    secret_text(raw, out);
    return 0;
}

/* The bytes that a secret's text stands for; of a text in another form its own bytes. */
static size_t secret_raw(struct str text, unsigned char out[WEBHOOK_SECRET_BYTES])
{
    struct str coded = str_sub(text, sizeof SECRET_PREFIX - 1, text.len);
    size_t len;

    if (str_starts(text, STR(SECRET_PREFIX)) && coded.len == SECRET_TEXT_BYTES &&
        base64_read(coded, false, out, &len))
        return len;
    len = text.len < WEBHOOK_SECRET_BYTES ? text.len : WEBHOOK_SECRET_BYTES;
    memcpy(out, text.p, len);
    return len;
}

static void add_signature(struct str secret, struct str signed_text, struct buf *out)
{
    unsigned char key[WEBHOOK_SECRET_BYTES], mac[EVP_MAX_MD_SIZE];
    unsigned int len = sizeof mac;

    if (secret.len == 0)
        return;
    size_t bytes = secret_raw(secret, key);
    (void)HMAC(EVP_sha256(), key, (int)bytes, (const unsigned char *)signed_text.p, signed_text.len,
               mac, &len);
    buf_add_c(out, out->len ? " v1," : "v1,");
    base64_add(mac, len, out);
}

static void sign(const struct webhook_post *p, int64_t seconds, struct buf *out)
{
    struct buf text = BUF_INIT(p->body.len + 256);

    buf_addf(&text, "%s.%lld.", p->id, (long long)seconds);
    buf_add_str(&text, p->body);
    add_signature(p->secret, buf_str(&text), out);
    add_signature(p->secret_old, buf_str(&text), out);
    buf_release(&text);
}

int webhook_post(struct http_client *http, const struct webhook_post *p, struct error *e)
{
    char id[96], time[64], uri[WEBHOOK_URI_MAX + 1], signature[512];
    int64_t seconds = p->now_us / SECOND_US;
    struct buf signatures = BUF_INIT(400);
    struct http_in in = { 0 };

    if (p->uri.len >= sizeof uri)
        return error_set(e, ERROR_INVALID_ARGUMENT, "the webhook's URI is too long");
    memcpy(uri, p->uri.p, p->uri.len);
    uri[p->uri.len] = '\0';
    sign(p, seconds, &signatures);
    (void)snprintf(id, sizeof id, "webhook-id: %s", p->id);
    (void)snprintf(time, sizeof time, "webhook-timestamp: %lld", (long long)seconds);
    (void)snprintf(signature, sizeof signature, "webhook-signature: %.*s",
                   STR_ARG(buf_str(&signatures)));
    buf_release(&signatures);
    const char *headers[] = { "Content-Type: application/json", id, time, signature, NULL };
    struct http_out out = {
        .method = "POST",
        .url = uri,
        .header = headers,
        .body = p->body,
        .timeout_ms = POST_TIMEOUT_MS,
        .connect_ms = POST_CONNECT_MS,
        .guard = true,
        .guard_allow = p->allow,
        .body_max = ANSWER_BYTES_MAX,
    };
    int rc = http_do(http, &out, &in, e);
    int status = in.status;
    http_in_release(&in);
    return rc < 0 ? -1 : status;
}

/* ---- The outbox ---- */

/* The secrets that sign this delivery, into *p. 0: the webhook is gone or disabled, so nothing is sent. */
static int find_secret(struct api *a, struct arena *arena, const struct delivery *d,
                       struct webhook_post *p, struct error *e)
{
    struct webhook w;
    char project[PROJECT_BYTES] = { 0 };

    if (d->webhook.len == 0) {
        char *secret = arena_alloc(arena, WEBHOOK_SECRET_BYTES);
        memcpy(project, d->project.p,
               d->project.len < sizeof project ? d->project.len : sizeof project - 1);
        if (webhook_secret_project(a->store, project, secret, e) < 0)
            return -1;
        p->secret = str_of(secret);
        return 1;
    }
    int rc = webhook_get(a->store, arena, NULL, d->webhook, &w, e);
    if (rc <= 0 || !w.enabled)
        return rc < 0 ? -1 : 0;
    p->secret = w.secret;
    if (w.secret_old.len && w.secret_old_until_us > p->now_us)
        p->secret_old = w.secret_old;
    return 1;
}

/* Moves the delivery to its next state: done, waiting for the next attempt, or given up. */
static void attempt_ended(struct delivery *d, int status, const struct error *e, int64_t now_us)
{
    assert(d->state == DELIVERY_WAITS);
    d->attempts++;
    d->last_status = status > 0 ? status : 0;
    d->last_error = status > 0 ? (struct str){ 0 } : str_of(e->msg);
    if (status >= 200 && status < 300)
        d->state = DELIVERY_DONE;
    else if (d->attempts >= ATTEMPTS_MAX)
        d->state = DELIVERY_GIVEN_UP;
    else
        d->due_us = now_us + waits_s[d->attempts - 1] * SECOND_US;
}

static void deliver(struct webhook_sender *s, struct arena *arena, struct delivery *d)
{
    struct api *a = s->api;
    struct error e = { 0 };
    char id[40];
    struct webhook_post p = {
        .uri = d->uri,
        .body = d->body,
        .id = id,
        .allow = a->webhook_allow,
        .now_us = a->clock->wall_us(a->clock),
    };

    (void)snprintf(id, sizeof id, "msg_%lld", (long long)d->id);
    int rc = find_secret(a, arena, d, &p, &e);
    if (rc == 0) {
        d->state = DELIVERY_GIVEN_UP;
        d->last_error = STR("the webhook is gone or disabled");
    } else {
        int status = rc < 0 ? -1 : webhook_post(s->http, &p, &e);
        attempt_ended(d, status, &e, p.now_us);
        metric_add(
            metric_counter("tranche_webhook_posts_total", "Webhook posts by outcome",
                           d->state == DELIVERY_DONE ? "outcome=\"taken\"" : "outcome=\"failed\""),
            1);
        if (d->state != DELIVERY_DONE)
            log_warn("webhook delivery %lld of job %lld: attempt %u: %s (HTTP %d)",
                     (long long)d->id, (long long)d->job, d->attempts,
                     status < 0 ? e.msg : "refused", d->last_status);
    }
    if (delivery_update(a->store, d, &e) < 0)
        log_error("webhook delivery %lld: %s", (long long)d->id, e.msg);
}

static uint32_t deliver_due(struct webhook_sender *s)
{
    struct arena arena = { 0 };
    struct delivery_list due;
    struct error e;
    int64_t now = s->api->clock->wall_us(s->api->clock);

    if (delivery_due(s->api->store, &arena, now, DUE_MAX, &due, &e) < 0) {
        log_error("webhooks: %s", e.msg);
        due.count = 0;
    }
    for (uint32_t i = 0; i < due.count && !chan_closed(s->stop); i++)
        deliver(s, &arena, &due.item[i]);
    arena_release(&arena);
    return due.count;
}

static void *sender_run(void *arg)
{
    struct webhook_sender *s = arg;

    while (!chan_closed(s->stop))
        if (deliver_due(s) == 0)
            (void)chan_recv(s->stop, POLL_MS);
    return NULL;
}

static void sender_free(struct webhook_sender *s)
{
    http_client_free(s->http);
    chan_free(s->stop);
    mem_free(s);
}

struct webhook_sender *webhook_sender_start(struct api *a, struct error *e)
{
    struct webhook_sender *s = mem_alloc(sizeof *s);

    *s = (struct webhook_sender){ .api = a, .stop = chan_new(1), .http = http_client_new() };
    if (pthread_create(&s->thread, NULL, sender_run, s) == 0)
        return s;
    (void)error_set(e, ERROR_RESOURCE_EXHAUSTED, "cannot start the thread of webhooks");
    sender_free(s);
    return NULL;
}

void webhook_sender_stop(struct webhook_sender *s)
{
    if (!s)
        return;
    chan_close(s->stop);
    thread_join(s->thread);
    sender_free(s);
}
