#include "api/webhooks/send.h"

#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "api/call.h"
#include "base/base64.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/metric.h"
#include "base/random.h"
#include "base/thread.h"
#include "format/trace.h"
#include "net/client/http_multi.h"

#define SECRET_PREFIX "whsec_"
#define SECRET_RAW_BYTES 32
#define SECRET_TEXT_BYTES 44 /* base64 of them */
#define POLL_MS 500
#define POST_TIMEOUT_MS 15000
#define POST_CONNECT_MS 5000
#define ANSWER_BYTES_MAX ((size_t)64 * 1024)
#define SECOND_US ((int64_t)1000000)
#define OPEN_MAX 1024       /* posts at once */
#define OPEN_RECEIVER_MAX 4 /* of them to one URI of a project */
#define OPEN_PROJECT_MAX 16 /* of them of one project */
#define DUE_MAX 128         /* deliveries of one look; each project's next one comes first */
#define PINGS_PROJECT_MAX 4 /* pings of one project at once */
#define HEADER_BYTES 512
#define BODY_EXTRA_BYTES 256 /* of the text that is signed */

/* Pauses after the first failed attempt, the second, ...; after the last one the delivery is given up. */
static const int64_t waits_s[] = { 5, 30, 120, 600, 1800, 3600, 7200, 14400, 28800, 28800 };
#define ATTEMPTS_MAX (ARRAY_LEN(waits_s) + 1)

/* A post under way: a delivery's, or a ping. The sender's thread owns it from when it is started. */
struct post {
    struct post *next;
    struct arena arena;            /* of all its texts */
    struct delivery d;             /* of a ping: uri, project and body only */
    struct call *ping;             /* whose answer is due; NULL: a delivery's */
    struct str secret, secret_old; /* secret_old: during a rotation, or empty */
    const char *id;                /* of the message */
    struct trace trace;            /* of the job's creation, or of the ping's call */
    const char *header[7];
    struct http_host host;
};

struct webhook_sender {
    struct api *api; /* constant while the thread runs, as the next two */
    pthread_t thread;
    struct http_multi *multi; /* the thread's; http_multi_wake any thread's */
    uint64_t look_ns;         /* the thread's: when to look for deliveries that are due */
    pthread_mutex_t lock;     /* guards all below; the posts in the lists are the thread's */
    struct post *asked;       /* pings that are not started */
    struct post *open;
    uint32_t open_count;
    bool ended;
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
    if (store_mac(s, SECRET_WEBHOOKS, str_of(project), raw, e) < 0)
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

/* The trace's one or two lines, from header[n] on. */
static void trace_headers(struct post *p, size_t n)
{
    struct buf lines = BUF_INIT(TRACE_LINES_BYTES_MAX);
    uint64_t parent;
    struct error e;
    struct str line;

    if (!p->trace.id[0])
        return;
    if (random_bytes(&parent, sizeof parent, &e) < 0) {
        log_warn("a webhook's post has no traceparent: %s", e.msg);
        return;
    }
    trace_write(&p->trace, parent, &lines);
    for (struct str rest = buf_str(&lines); str_next(&rest, '\n', &line);)
        p->header[n++] = arena_copy(&p->arena, line.p, line.len);
    buf_release(&lines);
}

/* The lines of the head that say who sends what, when, and prove it. */
static void post_headers(struct post *p, int64_t now_us)
{
    long long seconds = (long long)(now_us / SECOND_US);
    struct buf text = BUF_INIT(p->d.body.len + BODY_EXTRA_BYTES);
    struct buf signatures = BUF_INIT(HEADER_BYTES);

    buf_addf(&text, "%s.%lld.", p->id, seconds);
    buf_add_str(&text, p->d.body);
    add_signature(p->secret, buf_str(&text), &signatures);
    add_signature(p->secret_old, buf_str(&text), &signatures);
    p->header[0] = "Content-Type: application/json";
    p->header[1] = arena_textf(&p->arena, "webhook-id: %s", p->id);
    p->header[2] = arena_textf(&p->arena, "webhook-timestamp: %lld", seconds);
    p->header[3] = arena_textf(&p->arena, "webhook-signature: %.*s", STR_ARG(buf_str(&signatures)));
    trace_headers(p, 4);
    buf_release(&text);
    buf_release(&signatures);
}

/* ---- Posts under way ---- */

static int64_t now_us(const struct webhook_sender *s)
{
    return s->api->clock->wall_us(s->api->clock);
}

static void post_free(struct post *p)
{
    arena_release(&p->arena);
    mem_free(p);
}

static struct str keep(struct arena *a, struct str text)
{
    return (struct str){ arena_copy(a, text.p, text.len), text.len };
}

/* Hands the post to the network. When that fails p is not open. */
static int post_start(struct webhook_sender *s, struct post *p, struct error *e)
{
    post_headers(p, now_us(s));
    p->host = (struct http_host){
        .header = p->header,
        .http1 = true,
        .connect_ms = POST_CONNECT_MS,
        .guard = true,
        .guard_allow = s->api->webhook_allow,
    };
    const struct http_ask ask = {
        .host = &p->host,
        .method = "POST",
        .url = arena_copy(&p->arena, p->d.uri.p, p->d.uri.len),
        .body = p->d.body,
        .timeout_ms = POST_TIMEOUT_MS,
        .body_max = ANSWER_BYTES_MAX,
        .tag = p,
    };
    if (http_multi_start(s->multi, &ask, e) < 0)
        return -1;
    lock(&s->lock);
    p->next = s->open;
    s->open = p;
    s->open_count++;
    unlock(&s->lock);
    return 0;
}

static void open_remove(struct webhook_sender *s, struct post *p)
{
    lock(&s->lock);
    struct post **at = &s->open;
    while (*at != p)
        at = &(*at)->next;
    *at = p->next;
    assert(s->open_count > 0);
    s->open_count--;
    unlock(&s->lock);
}

/* ---- Pings ---- */

/* Answers the call; status < 0: e says why there is no answer. Takes p. */
static void ping_ended(struct post *p, int status, const struct error *e)
{
    struct error why = *e;

    if (status >= 200 && status < 300) {
        call_reply_c(p->ping, "{}");
    } else {
        if (status >= 0)
            (void)error_set(&why, ERROR_FAILED_PRECONDITION, "the webhook answered HTTP %d",
                            status);
        else if (why.code != ERROR_UNAVAILABLE)
            why.code = ERROR_FAILED_PRECONDITION;
        call_fail(p->ping, &why);
    }
    post_free(p);
}

/* The pings of one project in a list. */
static uint32_t pings_of(const struct post *list, struct str project)
{
    uint32_t count = 0;

    for (const struct post *p = list; p; p = p->next)
        count += p->ping && str_eq(p->d.project, project);
    return count;
}

int webhook_ping(struct webhook_sender *s, struct call *c, const struct webhook *w, struct error *e)
{
    struct post *p = mem_alloc(sizeof *p);
    int rc = 0;

    p->ping = c;
    p->id = "msg_ping";
    p->trace = c->trace;
    p->d.uri = keep(&p->arena, w->uri);
    p->d.project = keep(&p->arena, w->project);
    p->d.body = STR("{\"type\":\"ping\",\"data\":{}}"); /* a constant of the protocol */
    p->secret = keep(&p->arena, w->secret);
    lock(&s->lock);
    if (s->ended)
        rc = error_set(e, ERROR_UNAVAILABLE, "the server is stopping");
    else if (pings_of(s->asked, p->d.project) + pings_of(s->open, p->d.project) >=
             PINGS_PROJECT_MAX)
        rc = error_set(e, ERROR_RESOURCE_EXHAUSTED,
                       "%d pings of this project wait for their answers; try again later",
                       PINGS_PROJECT_MAX);
    if (rc == 0) {
        p->next = s->asked;
        s->asked = p;
    }
    unlock(&s->lock);
    if (rc < 0)
        post_free(p);
    else
        http_multi_wake(s->multi);
    return rc;
}

/* ---- The outbox ---- */

/* The secrets that sign this delivery, into *p. 0: the webhook is gone or disabled, so nothing is sent. */
static int find_secret(struct webhook_sender *s, struct post *p, struct error *e)
{
    struct api *a = s->api;
    const struct delivery *d = &p->d;
    struct arena *arena = &p->arena;
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
    if (w.secret_old.len && w.secret_old_until_us > now_us(s))
        p->secret_old = w.secret_old;
    return 1;
}

/* Counts the attempt before it is made: a post is repeated at its time, also when its outcome cannot be
 * written or the program ends meanwhile. */
static void attempt_begins(struct delivery *d, int64_t now)
{
    assert(d->state == DELIVERY_WAITS && d->attempts < ATTEMPTS_MAX);
    size_t wait = d->attempts < ARRAY_LEN(waits_s) ? d->attempts : ARRAY_LEN(waits_s) - 1;
    d->attempts++;
    d->due_us = now + waits_s[wait] * SECOND_US + POST_TIMEOUT_MS * (int64_t)1000;
}

/* Moves the delivery to its next state: done, waiting for the next attempt, or given up. */
static void attempt_ended(struct delivery *d, int status, const struct error *e, int64_t now)
{
    assert(d->state == DELIVERY_WAITS && d->attempts > 0);
    d->last_status = status > 0 ? status : 0;
    d->last_error = status > 0 ? (struct str){ 0 } : str_of(e->msg);
    if (status >= 200 && status < 300)
        d->state = DELIVERY_DONE;
    else if (d->attempts >= ATTEMPTS_MAX)
        d->state = DELIVERY_GIVEN_UP;
    else
        d->due_us = now + waits_s[d->attempts - 1] * SECOND_US;
}

/* The outcome of an attempt that another process has made again meanwhile, or a client replayed, is not written. */
static void delivery_write(struct webhook_sender *s, const struct delivery *d)
{
    struct error e = { 0 };

    if (delivery_update(s->api->store, d, d->attempts, &e) < 0)
        log_error("webhook delivery %lld: %s", (long long)d->id, e.msg);
}

/* Writes the outcome of an attempt. Takes p. */
static void delivery_ended(struct webhook_sender *s, struct post *p, int status,
                           const struct error *e)
{
    struct delivery *d = &p->d;

    attempt_ended(d, status, e, now_us(s));
    metric_add(
        metric_counter("tranche_webhook_posts_total", "Webhook posts by outcome",
                       d->state == DELIVERY_DONE ? "outcome=\"taken\"" : "outcome=\"failed\""),
        1);
    if (d->state != DELIVERY_DONE)
        log_warn("webhook delivery %lld of job %lld: attempt %u: %s (HTTP %d)", (long long)d->id,
                 (long long)d->job, d->attempts, status < 0 ? e->msg : "refused", d->last_status);
    delivery_write(s, d);
    post_free(p);
}

static void delivery_give_up(struct webhook_sender *s, struct post *p, const char *why)
{
    p->d.state = DELIVERY_GIVEN_UP;
    if (why)
        p->d.last_error = str_of(why);
    delivery_write(s, &p->d);
    post_free(p);
}

/* Posts the delivery, once its attempt is counted in the store as this process's. Takes p. */
static void delivery_start(struct webhook_sender *s, struct post *p)
{
    uint32_t attempts_before = p->d.attempts;
    struct error e = { 0 };

    if (p->d.attempts >= ATTEMPTS_MAX) { /* the outcome of the last one was not written */
        delivery_give_up(s, p, NULL);
        return;
    }
    p->id = arena_textf(&p->arena, "msg_%lld", (long long)p->d.id);
    int rc = find_secret(s, p, &e);
    if (rc == 0) {
        delivery_give_up(s, p, "the webhook is gone or disabled");
        return;
    }
    attempt_begins(&p->d, now_us(s));
    int ours = rc < 0 ? -1 : delivery_update(s->api->store, &p->d, attempts_before, &e);
    if (ours < 0)
        log_error("webhook delivery %lld: not posted: %s", (long long)p->d.id, e.msg);
    if (ours <= 0) {
        post_free(p);
    } else if (post_start(s, p, &e) < 0) {
        delivery_ended(s, p, -1, &e);
    }
}

/* May this delivery be posted beside those that are open? Each receiver and each project has a share of
 * them, so that a silent one delays nobody else. */
static bool has_room(struct webhook_sender *s, const struct delivery *d)
{
    uint32_t of_receiver = 0, of_project = 0;
    bool is_open = false;

    lock(&s->lock);
    for (const struct post *p = s->open; p; p = p->next) {
        bool same = str_eq(p->d.project, d->project);
        of_project += same;
        of_receiver += same && str_eq(p->d.uri, d->uri);
        is_open = is_open || (!p->ping && p->d.id == d->id); /* a moved clock made it due again */
    }
    bool room = !is_open && s->open_count < OPEN_MAX && of_receiver < OPEN_RECEIVER_MAX &&
                of_project < OPEN_PROJECT_MAX;
    unlock(&s->lock);
    return room;
}

static struct post *post_of(const struct delivery *d)
{
    struct post *p = mem_alloc(sizeof *p);

    p->d = *d;
    p->d.project = keep(&p->arena, d->project);
    p->d.webhook = keep(&p->arena, d->webhook);
    p->d.uri = keep(&p->arena, d->uri);
    p->d.body = keep(&p->arena, d->body);
    p->d.last_error = keep(&p->arena, d->last_error);
    trace_of_text(d->trace, &p->trace);
    return p;
}

static void start_due(struct webhook_sender *s)
{
    const struct delivery_share share = { OPEN_RECEIVER_MAX, OPEN_PROJECT_MAX, DUE_MAX };
    struct arena arena = { 0 };
    struct delivery_list due;
    struct error e;

    if (delivery_due(s->api->store, &arena, now_us(s), &share, &due, &e) < 0) {
        log_error("webhooks: %s", e.msg);
        due.count = 0;
    }
    for (uint32_t i = 0; i < due.count; i++)
        if (has_room(s, &due.item[i]))
            delivery_start(s, post_of(&due.item[i]));
    arena_release(&arena);
}

/* ---- The thread ---- */

static void post_ended(struct webhook_sender *s, struct post *p, int status, const struct error *e)
{
    if (p->ping)
        ping_ended(p, status, e);
    else
        delivery_ended(s, p, status, e);
}

/* False: the sender has ended. */
static bool start_asked(struct webhook_sender *s)
{
    struct error e = { 0 };

    lock(&s->lock);
    bool ended = s->ended;
    struct post *asked = ended ? NULL : s->asked;
    s->asked = ended ? s->asked : NULL;
    unlock(&s->lock);
    for (struct post *p = asked, *next; p; p = next) {
        next = p->next;
        if (post_start(s, p, &e) < 0)
            ping_ended(p, -1, &e);
    }
    return !ended;
}

static void *sender_run(void *arg)
{
    struct webhook_sender *s = arg;
    struct clock *system = clock_system();
    struct http_done done;
    struct error e = { 0 };

    while (start_asked(s)) {
        if (system->mono_ns(system) >= s->look_ns) {
            start_due(s);
            s->look_ns = system->mono_ns(system) + POLL_MS * NS_PER_MS;
        }
        int rc = http_multi_poll(s->multi, POLL_MS, &done, &e);
        if (rc < 0) {
            log_error("webhooks: %s", e.msg);
            system->sleep_ns(system, POLL_MS * NS_PER_MS);
        } else if (rc > 0) {
            open_remove(s, done.tag);
            post_ended(s, done.tag, done.error.code == ERROR_OK ? done.status : -1, &done.error);
        }
    }
    return NULL;
}

struct webhook_sender *webhook_sender_start(struct api *a, struct error *e)
{
    struct webhook_sender *s = mem_alloc(sizeof *s);

    s->api = a;
    lock_init(&s->lock);
    s->multi = http_multi_new(OPEN_MAX, e);
    if (s->multi && pthread_create(&s->thread, NULL, sender_run, s) == 0)
        return s;
    if (s->multi)
        (void)error_set(e, ERROR_RESOURCE_EXHAUSTED, "cannot start the thread of webhooks");
    s->ended = true;
    webhook_sender_free(s);
    return NULL;
}

/* Answers a list of pings and frees its posts: the outbox has the deliveries. */
static void drop_posts(struct post *list)
{
    static const struct error stop = { ERROR_UNAVAILABLE, "the server is stopping" };

    for (struct post *p = list, *next; p; p = next) {
        next = p->next;
        if (p->ping)
            ping_ended(p, -1, &stop);
        else
            post_free(p);
    }
}

void webhook_sender_end(struct webhook_sender *s)
{
    lock(&s->lock);
    assert(!s->ended);
    s->ended = true;
    unlock(&s->lock);
    http_multi_wake(s->multi);
    thread_join(s->thread);
    http_multi_free(s->multi);
    s->multi = NULL;
    drop_posts(s->asked);
    drop_posts(s->open);
    s->asked = s->open = NULL;
}

void webhook_sender_free(struct webhook_sender *s)
{
    if (!s)
        return;
    assert(s->ended && !s->open);
    http_multi_free(s->multi);
    lock_destroy(&s->lock);
    mem_free(s);
}
