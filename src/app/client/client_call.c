/* client_call.c -- one exchange with the service, tried again while that can help, and its errors. */
#include "app/client/client.h"

#include <stdio.h>
#include <string.h>

#include "app/cli/options.h"
#include "base/mem.h"
#include "base/clock.h"
#include "engine/lines/retry.h"

/* After the n-th failure a wait of up to 0.5 s * 2^(n-1), at most 8 s: some 10 s in all, and minutes for
 * the patient. */
#define ATTEMPTS_MAX 6
#define ATTEMPTS_PATIENT_MAX 40
#define WAIT_BASE_MS 500
#define WAIT_CAP_MS 8000
#define START_WAITS_MAX 12 /* three seconds in all */
#define START_WAIT_MS 250
#define SLEEP_STEP_MS 100
#define HEADERS_MAX 8
#define SHOWN_BYTES 160 /* of an answer that is not JSON */

/* One call through all its attempts. */
struct exchange {
    struct client *client;
    const struct client_call *call;
    struct http_in *in;
    const char *header[HEADERS_MAX + 1];
    bool delivered; /* of a streamed answer some bytes have come */
    bool repeat;    /* the last failure is worth another attempt */
};

/* ---- The error that an answer carries ---- */

/* HTTP statuses that no code of ours has. */
static const struct {
    int status;
    enum error_code code;
} other_statuses[] = {
    { 408, ERROR_UNAVAILABLE },
    { 412, ERROR_FAILED_PRECONDITION },
    { 416, ERROR_OUT_OF_RANGE },
    { 502, ERROR_UNAVAILABLE },
};

/* Only a first guess: the service's own name of the error decides, when it says one. */
static enum error_code code_of_status(int status)
{
    for (int code = 1; code < ERROR_CODE_COUNT; code++)
        if (error_http((enum error_code)code) == status)
            return (enum error_code)code;
    for (size_t i = 0; i < ARRAY_LEN(other_statuses); i++)
        if (other_statuses[i].status == status)
            return other_statuses[i].code;
    return status >= 500 ? ERROR_INTERNAL : ERROR_FAILED_PRECONDITION;
}

static const char *remedy(const struct client *c, enum error_code code)
{
    if (code == ERROR_UNAUTHENTICATED && c->google)
        return "; set TRANCHE_TOKEN to what `gcloud auth print-access-token` prints";
    if (code == ERROR_UNAUTHENTICATED)
        return c->auth ? "; the key in $TRANCHE_API_KEY or $TRANCHE_TOKEN is not known there"
                       : "; set TRANCHE_API_KEY to a key that `tranche keys create` printed";
    if (code == ERROR_PERMISSION_DENIED)
        return "; --project, and the role of the key, decide what it may do";
    return "";
}

/* Google's error object, or text: a proxy's page, another program. */
static void words_of_status(const struct client *c, const char *url, const struct http_in *in,
                            struct error *e)
{
    struct arena a = { 0 };
    struct error ignored = { 0 };
    struct buf shown = BUF_INIT((size_t)4 * SHOWN_BYTES);
    enum error_code named;
    size_t at = 0;

    yyjson_val *root = json_parse(&a, buf_str(&in->body), &at, &ignored);
    yyjson_val *error = json_get(yyjson_is_arr(root) ? yyjson_arr_get_first(root) : root, "error");
    struct str message = json_str(json_get(error, "message"));
    const char *status = yyjson_get_str(json_get(error, "status"));
    if (status && error_from_name(status, &named) && named != ERROR_OK)
        e->code = named;
    if (message.len) {
        const char *more = remedy(c, e->code);
        if (more[0] && str_ends(message, STR(".")))
            message.len--;
        (void)error_set(e, e->code, "%.*s%s", STR_ARG(message), more);
    } else {
        buf_add_plain(&shown, str_cut(str_trim(buf_str(&in->body)), SHOWN_BYTES), false);
        (void)error_set(e, e->code, "%s answered HTTP %d%s%s%s", url, in->status,
                        shown.len ? ": " : "", shown.len ? shown.p : "", remedy(c, e->code));
    }
    buf_release(&shown);
    arena_release(&a);
}

/* ---- One attempt ---- */

/* An upload goes on at a URL that the service gave: the credential goes along only when it is one of
 * the two servers'. */
static bool is_ours(const struct client *c, const char *url)
{
    const char *const bases[] = { c->server, c->storage };

    for (size_t i = 0; i < 2; i++) {
        size_t len = strlen(bases[i]);
        if (strncmp(url, bases[i], len) == 0 && strchr("/?", url[len]) && url[len] != '\0')
            return true;
    }
    return false;
}

static void make_headers(struct exchange *x)
{
    const struct client_call *call = x->call;
    const char *const *more = call->header;
    size_t n = 0;

    if (x->client->auth && is_ours(x->client, call->url))
        x->header[n++] = x->client->auth;
    if (call->body.len && !call->single)
        x->header[n++] = "Content-Type: application/json";
    while (more && *more && n < HEADERS_MAX)
        x->header[n++] = *more++;
}

static int on_body(void *arg, const void *p, size_t len, struct error *e)
{
    struct exchange *x = arg;

    x->delivered = true;
    return x->call->on_body(x->call->arg, p, len, e);
}

static void words_of_break(const struct client *c, const char *url, struct error *e)
{
    if (e->code == ERROR_CANCELLED)
        (void)error_set(e, ERROR_CANCELLED, "interrupted");
    if (e->code == ERROR_FAILED_PRECONDITION) {
        const struct error was = *e;
        (void)error_set(e, was.code, "%s; set TRANCHE_CA_FILE to trust a certificate of your own",
                        was.msg);
    }
    if (e->code != ERROR_UNAVAILABLE)
        return;
    if (c->reached)
        (void)error_wrap(e, "the service does not answer any more");
    else if (c->google || !is_ours(c, url))
        (void)error_wrap(e, "cannot reach the service");
    else
        (void)error_set(e, e->code,
                        "cannot reach %s: is `tranche serve` running there? --server or "
                        "$TRANCHE_SERVER names another",
                        c->server);
}

/* Sends it once. A request that did not arrive, or that may be carried out twice, is repeated. A service
 * that has never answered is more likely absent than busy, but see may_be_starting. */
static int attempt(struct exchange *x, struct error *e)
{
    struct client *c = x->client;
    const struct client_call *call = x->call;
    const struct http_out out = {
        .method = call->method,
        .url = call->url,
        .header = x->header,
        .body = call->body,
        .timeout_ms = call->on_body || call->single ? 0 : CLIENT_CALL_MS,
        .ca_file = c->ca_file,
        .on_body = call->on_body ? on_body : NULL,
        .arg = x,
        .body_max = CLIENT_ANSWER_BYTES_MAX,
        .stop = c->stop,
    };

    if (http_do(c->http, &out, x->in, e) < 0) {
        x->repeat = c->reached && !call->once && !x->delivered;
        words_of_break(c, call->url, e);
        return -1;
    }
    c->reached = true;
    if (x->in->status / 100 == 2 || x->in->status == 308)
        return 0;
    e->code = code_of_status(x->in->status);
    /* These two say that nothing was begun. */
    x->repeat = !call->once || x->in->status == 429 || x->in->status == 503;
    words_of_status(c, call->url, x->in, e);
    return -1;
}

static uint32_t retry_after_ms(const struct http_in *in)
{
    uint64_t seconds;

    if (!str_number_in(http_in_header(in, "retry-after"), 0, RETRY_AFTER_MAX_MS / 1000, &seconds))
        return 0; /* absent, a date, or more than we would wait */
    return (uint32_t)seconds * 1000;
}

/* ---- All attempts ---- */

/* A service on this machine that was started a moment ago, as in `tranche serve & tranche submit`. */
static bool may_be_starting(const struct exchange *x, uint32_t n, const struct error *failed)
{
    const struct client *c = x->client;

    return !c->reached && failed->code == ERROR_UNAVAILABLE && !x->call->once &&
           n <= START_WAITS_MAX && is_ours(c, x->call->url) &&
           str_starts(str_of(c->server), STR("http://127.0.0.1:"));
}

/* Signals end a sleep early, but not all of them mean stop. */
int client_sleep(struct client *c, uint32_t ms, struct error *e)
{
    struct clock *clock = clock_system();
    uint64_t end = clock->mono_ns(clock) + ms * NS_PER_MS;

    for (;;) {
        uint64_t now = clock->mono_ns(clock);
        if (atomic_load(c->stop))
            return error_set(e, ERROR_CANCELLED, "interrupted");
        if (now >= end)
            return 0;
        uint64_t step = SLEEP_STEP_MS * NS_PER_MS;
        clock->sleep_ns(clock, end - now < step ? end - now : step);
    }
}

int client_do(struct client *c, const struct client_call *call, struct http_in *in, struct error *e)
{
    const struct retry_rules rules = {
        .attempts_max = c->patient ? ATTEMPTS_PATIENT_MAX : ATTEMPTS_MAX,
        .base_ms = WAIT_BASE_MS,
        .cap_ms = WAIT_CAP_MS,
    };
    struct exchange x = { .client = c, .call = call, .in = in };

    make_headers(&x);
    for (uint32_t n = 1;; n++) {
        struct error failed = { 0 };
        uint32_t wait_ms = 0;
        if (attempt(&x, &failed) == 0)
            return 0;
        const struct retry_failure failure = { .attempt = n,
                                               .code = failed.code,
                                               .retry_after_ms = retry_after_ms(in) };
        http_in_release(in);
        if (may_be_starting(&x, n, &failed)) {
            wait_ms = START_WAIT_MS;
        } else if (!x.repeat || call->single || !retry_next(&rules, &failure, &c->seed, &wait_ms)) {
            *e = failed;
            return -1;
        }
        if (client_sleep(c, wait_ms, e) < 0)
            return -1;
    }
}

yyjson_val *client_json(struct client *c, const struct client_call *call, struct arena *a,
                        struct str *text, struct error *e)
{
    struct http_in in;
    size_t at = 0;
    struct error bad = { 0 };
    yyjson_val *v = NULL;

    if (client_do(c, call, &in, e) < 0)
        return NULL;
    struct str copy = { arena_copy(a, in.body.p, in.body.len), in.body.len };
    http_in_release(&in);
    v = json_parse(a, copy, &at, &bad);
    if (!v || !yyjson_is_obj(v)) {
        (void)error_set(
            e, ERROR_INTERNAL,
            "%s did not answer with a JSON object (%s); is that a Gemini batch service?", call->url,
            v ? "it is another value" : bad.msg);
        return NULL;
    }
    if (text)
        *text = copy;
    return v;
}
