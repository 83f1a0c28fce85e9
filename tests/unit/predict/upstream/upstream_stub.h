/* upstream_stub.h -- an inference server in the test's own process, in OpenAI's words and in Google's.
 *
 * Why: an upstream session is tested against real sockets, with replies that the test decides.
 *
 * Shape:   each request gets `reply(stub, body)`'s status and body; the default echoes the last
 *          text that was sent. Counts what came.
 * Threads: reply runs on the server's workers; counters are atomic. Include after cmocka.h.
 */
#ifndef TRANCHE_TESTS_UPSTREAM_STUB_H
#define TRANCHE_TESTS_UPSTREAM_STUB_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "net/client/http_client.h"
#include "net/server/http_server.h"
#include "predict/predictor.h"
#include "predict/upstream/server.h"

struct stub;
struct stub_reply {
    int status;
    struct buf body;
    const char *retry_after; /* header, or NULL */
    bool held;               /* not answered before stub_let_go */
};
struct stub {
    struct http_server *server;
    char url[64];
    struct upstream upstream; /* that points here */
    void (*reply)(struct stub *s, struct str body, struct stub_reply *out);
    atomic_uint requests, open, most_open;
    atomic_uint failures; /* for reply functions */
    char authorization[256], key[256], path[256];
    pthread_mutex_t lock; /* guards the texts above and what is held */
    pthread_cond_t let_go;
    bool holding;
};

/* "text" members' last value, as it was escaped. */
static struct str stub_last_text(struct str body)
{
    struct str found = STR("");
    const char *names[] = { "\"content\":\"", "\"text\":\"" };

    for (size_t n = 0; n < 2; n++) {
        struct str name = str_of(names[n]), rest = body;
        for (size_t at; (at = str_find(rest, name)) != SIZE_MAX;) {
            rest = str_sub(rest, at + name.len, rest.len);
            size_t len = 0;
            while (len < rest.len && rest.p[len] != '"')
                len += rest.p[len] == '\\' ? 2 : 1;
            found = str_sub(rest, 0, len);
        }
    }
    return found;
}

static void stub_answer(const struct stub *s, struct str text, struct buf *out)
{
    static atomic_uint id;

    if (s->upstream.wire == WIRE_GEMINI)
        buf_addf(out,
                 "{\n  \"candidates\": [{\"content\": {\"role\": \"model\", \"parts\": [{\"text\": "
                 "\"echo: %.*s\"}]}, \"finishReason\": \"STOP\", \"index\": 0}],\n"
                 "  \"modelVersion\": \"far-model\", \"responseId\": \"r%u\",\n"
                 "  \"usageMetadata\": {\"promptTokenCount\": 10, \"candidatesTokenCount\": 5, "
                 "\"cachedContentTokenCount\": 4, \"totalTokenCount\": 15}\n}\n",
                 STR_ARG(text), atomic_fetch_add(&id, 1));
    else
        buf_addf(out,
                 "{\"id\":\"chatcmpl-%u\",\"object\":\"chat.completion\",\"created\":1750000000,"
                 "\"model\":\"far-model\",\"choices\":[{\"index\":0,\"finish_reason\":\"stop\","
                 "\"message\":{\"role\":\"assistant\",\"content\":\"echo: %.*s\"}}],\"usage\":{"
                 "\"prompt_tokens\":10,\"completion_tokens\":5,\"total_tokens\":15,"
                 "\"prompt_tokens_details\":{\"cached_tokens\":4}}}",
                 atomic_fetch_add(&id, 1), STR_ARG(text));
}

static void stub_echo(struct stub *s, struct str body, struct stub_reply *out)
{
    struct str text = stub_last_text(body);

    if (str_find(text, STR("please fail")) != SIZE_MAX) {
        out->status = 400;
        buf_add_c(&out->body, "{\"error\":{\"message\":\"this cannot be answered\",\"code\":400,"
                              "\"status\":\"INVALID_ARGUMENT\"}}");
        return;
    }
    stub_answer(s, text, &out->body);
}

static enum http_next stub_begin(void *arg, struct http_call *c)
{
    (void)arg;
    http_set_keep_max(c, (size_t)4 * 1024 * 1024);
    return HTTP_KEEP;
}

static void stub_note(struct stub *s, const struct http_call *c)
{
    uint32_t open = atomic_fetch_add(&s->open, 1) + 1;

    if (open > atomic_load(&s->most_open))
        atomic_store(&s->most_open, open);
    atomic_fetch_add(&s->requests, 1);
    (void)pthread_mutex_lock(&s->lock);
    (void)snprintf(s->authorization, sizeof s->authorization, "%.*s",
                   STR_ARG(http_header(c, "authorization")));
    (void)snprintf(s->key, sizeof s->key, "%.*s", STR_ARG(http_header(c, "x-goog-api-key")));
    (void)snprintf(s->path, sizeof s->path, "%.*s", STR_ARG(http_path(c)));
    (void)pthread_mutex_unlock(&s->lock);
}

static void stub_handle(void *arg, struct http_call *c)
{
    struct stub *s = arg;
    struct stub_reply r = { .status = 200, .body = BUF_INIT((size_t)1024 * 1024) };

    stub_note(s, c);
    s->reply(s, http_body(c), &r);
    (void)pthread_mutex_lock(&s->lock);
    while (r.held && s->holding)
        (void)pthread_cond_wait(&s->let_go, &s->lock);
    (void)pthread_mutex_unlock(&s->lock);
    if (r.retry_after)
        http_set_header(c, "Retry-After", str_of(r.retry_after));
    atomic_fetch_sub(&s->open, 1);
    http_reply(c, r.status, "application/json", &r.body);
}

static void stub_start(struct stub *s, const char *name, enum upstream_wire wire)
{
    static const struct http_settings set = { .listen = "127.0.0.1:0", .workers = 16 };
    const struct http_handlers h = { .begin = stub_begin, .handle = stub_handle, .arg = s };
    struct error e = { 0 };

    memset(s, 0, sizeof *s);
    (void)pthread_mutex_init(&s->lock, NULL);
    (void)pthread_cond_init(&s->let_go, NULL);
    s->reply = stub_echo;
    s->holding = true;
    s->server = http_server_start(&set, &h, &e);
    if (!s->server)
        fail_msg("stub: %s", e.msg);
    (void)snprintf(s->url, sizeof s->url, "http://127.0.0.1:%u/%s", http_server_port(s->server),
                   wire == WIRE_GEMINI ? "v1beta" : "v1");
    s->upstream = (struct upstream){ .name = name,
                                     .url = s->url,
                                     .wire = wire,
                                     .inline_files = true,
                                     .concurrency = 8,
                                     .concurrency_max = 8,
                                     .timeout_ms = 20000,
                                     .idle_ms = 20000,
                                     .patience_ms = 20000 };
}

static void stub_let_go(struct stub *s)
{
    (void)pthread_mutex_lock(&s->lock);
    s->holding = false;
    (void)pthread_cond_broadcast(&s->let_go);
    (void)pthread_mutex_unlock(&s->lock);
}

static void stub_end(struct stub *s)
{
    stub_let_go(s);
    http_server_free(s->server, 5000);
    (void)pthread_cond_destroy(&s->let_go);
    (void)pthread_mutex_destroy(&s->lock);
}

#endif
