/* service_case.h -- the whole service in the test's process, and calls to it over a socket.
 *
 * Why: what a handler promises is what a client sees, with the store, the scheduler and the server that
 * users have; only the model is a fake. Include after cmocka.h.
 *
 * Shape:   a call is ask or ask_with; its answer stands in struct serving until the next call. In bodies '
 *          stands for ".
 */
#ifndef TRANCHE_TESTS_SERVICE_CASE_H
#define TRANCHE_TESTS_SERVICE_CASE_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "api/api.h"
#include "base/json.h"
#include "engine/lines/pipeline.h"
#include "scratch.h"

#define REPLY_MAX ((size_t)16 * 1024 * 1024)

struct serving {
    struct scratch dir;
    struct store *store;
    struct service *service;
    struct service_settings settings;
    struct http_server *server;
    struct tables *tables; /* NULL: none (serving_with_tables) */
    struct api api;
    struct arena arena;
    struct buf reply; /* of the last call, head and body */
    int status;
    struct str head, body;
};

/* The slow one answers after a minute: its jobs stay as they are while a test looks at them. */
static const struct model serving_fakes[] = {
    { .pattern = "slow", .kind = MODEL_FAKE, .about = "slow", .fake = { .delay_ms = 60000 } },
    { .pattern = "gemini-*", .kind = MODEL_FAKE, .about = "fast" },
    { .pattern = "777", .kind = MODEL_FAKE, .about = "tuned" },
    { .pattern = "odd\"\\\001*", .kind = MODEL_FAKE, .about = "a \"name\"" },
};
static const struct models serving_models = { serving_fakes, 4, "slow, gemini-*, 777, odd*" };

/* Services that start from now on have tables. */
static bool serving_with_tables;
/* Called before a model is looked up for a request; or NULL. */
static void (*serving_looks)(const char *name);

static const struct model *serving_model(void *arg, const char *project, const char *name,
                                         struct error *e)
{
    (void)project;
    if (serving_looks)
        serving_looks(name);
    return model_find(arg, name, e);
}

static const struct models *serving_all(void *arg)
{
    (void)arg;
    return &serving_models;
}

static void serving_all_done(void *arg, const struct models *m)
{
    (void)arg;
    assert_ptr_equal(m, &serving_models);
}

static inline void serving_start(struct serving *w)
{
    const struct http_settings http = { .listen = "127.0.0.1:0" };
    struct error e = { 0 };
    char path[SCRATCH_PATH_BYTES];

    *w = (struct serving){ .reply = BUF_INIT(REPLY_MAX) };
    scratch_make(&w->dir);
    w->store = store_open(scratch_path(&w->dir, "s", path), true, clock_system(), &e);
    if (!w->store)
        fail_msg("%s", e.msg);
    union {
        const struct models *in;
        void *out;
    } models = { .in = &serving_models };
    if (serving_with_tables)
        w->tables =
            tables_duckdb_open(scratch_path(&w->dir, "s/tables", path), NULL, clock_system());
    const struct service_env env = {
        .store = w->store,
        .tables = w->tables,
        .clock = clock_system(),
        .model = serving_model,
        .arg = models.out,
        .open = predictor_fake_open,
        .state_dir = store_dir(w->store),
        .seed = 1,
        .scripted = true,
        .checkers = 1,
    };
    w->settings = (struct service_settings){
        .lines_max = 200000,
        .input_bytes_max = (uint64_t)1024 * 1024 * 1024,
        .queue_hours = 72,
        .run_hours = 24,
        .paused_hours = 72,
        .running_max = 8,
        .queued_max = 10000,
        .drain_ms = DRAIN_DEFAULT_MS,
        .online_deadline_ms = 600000,
        .file_hours = 48,
        .retry = { RETRY_ATTEMPTS_MAX, RETRY_BASE_MS, RETRY_CAP_MS, 3.0 },
    };
    w->service = service_start(&env, &w->settings, &e);
    if (!w->service)
        fail_msg("%s", e.msg);
    w->api = (struct api){
        .store = w->store,
        .service = w->service,
        .clock = clock_system(),
        .default_location = "us-central1",
        .default_project = "default",
        .expired_as = JOB_EXPIRED,
        .test_clock = true,
        .open = true,
        .models = serving_all,
        .models_done = serving_all_done,
    };
    if (w->tables) {
        w->api.tables = w->tables;
        w->api.queries = queries_new(w->tables, w->store, clock_system());
    }
    if (api_serve(&w->api, &http, &w->server, &e) < 0)
        fail_msg("%s", e.msg);
}

static inline void serving_stop(struct serving *w)
{
    service_drain(w->service);
    api_close(&w->api, w->server, 1000);
    service_free(w->service);
    queries_free(w->api.queries);
    if (w->tables)
        w->tables->ops->close(w->tables);
    store_close(w->store);
    scratch_remove(&w->dir);
    arena_release(&w->arena);
    buf_release(&w->reply);
}

/* For tests that each have a service of their own: ONE(test) in the table, and *state in the test. */
static inline int serving_set_up(void **state)
{
    static struct serving world;

    serving_start(&world);
    *state = &world;
    return 0;
}

static inline int serving_tear_down(void **state)
{
    serving_stop(*state);
    return 0;
}

#define ONE(test) cmocka_unit_test_setup_teardown(test, serving_set_up, serving_tear_down)

static inline int serving_connect(const struct serving *w)
{
    struct sockaddr_in to = { .sin_family = AF_INET,
                              .sin_port = htons(http_server_port(w->server)) };
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&to, sizeof to), 0);
    return fd;
}

/* Joins the chunks of the body, in place. */
static inline void serving_unchunk(struct serving *w)
{
    char *from = w->reply.p + (w->body.p - w->reply.p), *to = from;

    for (;;) {
        size_t n = strtoul(from, &from, 16);
        from += 2;
        if (n == 0)
            break;
        memmove(to, from, n);
        to += n;
        from += n + 2;
    }
    w->body.len = (size_t)(to - w->body.p);
}

/* One call; each header ends in CRLF. A ' in the body stands for ". The answer is in w until the next call. */
static inline int ask_with(struct serving *w, const char *method, const char *path,
                           const char *headers, const char *body)
{
    struct buf text = BUF_INIT(REPLY_MAX);
    char part[4096];
    int fd = serving_connect(w);
    ssize_t n;

    buf_addf(
        &text,
        "%s %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n%sContent-Length: %zu\r\n\r\n",
        method, path, headers, strlen(body));
    for (const char *p = body; *p; p++)
        buf_add_char(&text, *p == '\'' ? '"' : *p);
    for (size_t at = 0; at < text.len; at += (size_t)n) {
        n = write(fd, text.p + at, text.len - at);
        assert_true(n > 0);
    }
    buf_release(&text);
    buf_clear(&w->reply);
    while ((n = read(fd, part, sizeof part)) > 0)
        buf_add(&w->reply, part, (size_t)n);
    (void)close(fd);
    size_t end = str_find(buf_str(&w->reply), STR("\r\n\r\n"));
    assert_true(end < SIZE_MAX);
    w->head = str_sub(buf_str(&w->reply), 0, end);
    w->body = str_sub(buf_str(&w->reply), end + 4, SIZE_MAX);
    w->status = (int)strtol(w->reply.p + sizeof "HTTP/1.1 " - 1, NULL, 10);
    if (str_find(w->head, STR("hunked")) < SIZE_MAX)
        serving_unchunk(w);
    return w->status;
}

static inline int ask(struct serving *w, const char *method, const char *path, const char *body)
{
    return ask_with(w, method, path, "", body);
}

/* The body, parsed. A body that is not JSON fails the test. */
static inline yyjson_val *answer(struct serving *w)
{
    struct error e = { 0 };
    size_t at;
    yyjson_val *root = json_parse(&w->arena, w->body, &at, &e);

    if (!root)
        fail_msg("%s: %.*s", e.msg, STR_ARG(w->body));
    return root;
}

/* The text at a path of keys between dots; "" when there is none. */
static inline const char *answer_text(struct serving *w, const char *path)
{
    yyjson_val *v = answer(w);

    while (*path && v) {
        size_t len = strcspn(path, ".");
        const char *key = arena_copy(&w->arena, path, len);
        v = yyjson_is_arr(v) ? yyjson_arr_get(v, strtoul(key, NULL, 10)) : json_get(v, key);
        path += path[len] ? len + 1 : len;
    }
    struct str s = json_str(v);
    return s.len ? arena_copy(&w->arena, s.p, s.len) : "";
}

#define assert_asked(w, want)                                                                      \
    do {                                                                                           \
        if ((w)->status != (want))                                                                 \
            fail_msg("HTTP %d: %.*s", (w)->status, STR_ARG((w)->body));                            \
    } while (0)
#define assert_failed(w, http, name, words)                                                        \
    do {                                                                                           \
        assert_asked(w, http);                                                                     \
        assert_string_equal(answer_text(w, "error.status"), name);                                 \
        if (!strstr(answer_text(w, "error.message"), words))                                       \
            fail_msg("\"%s\" is not in: %s", words, answer_text(w, "error.message"));              \
    } while (0)

static inline const char *joined(struct serving *w, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
static inline const char *joined(struct serving *w, const char *fmt, ...)
{
    char text[1024];
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return arena_copy(&w->arena, text, strlen(text));
}

/* The header that carries a new key. From then on calls without one are refused. */
static inline const char *key_header(struct serving *w, const char *project, enum key_role role)
{
    struct key k = { .role = role, .name = STR("test") };
    char text[KEY_TEXT_BYTES];
    struct error e = { 0 };

    (void)snprintf(k.project, sizeof k.project, "%s", project);
    if (key_create(w->store, &k, text, &e) < 0)
        fail_msg("%s", e.msg);
    return joined(w, "x-goog-api-key: %s\r\n", text);
}

static inline const char *header_value(struct serving *w, const char *name)
{
    size_t at = str_find(w->head, str_of(name));

    assert_true(at < SIZE_MAX);
    struct str s = str_sub(w->head, at + strlen(name) + 2, w->head.len);
    s = str_sub(s, 0, str_find(s, STR("\r\n")));
    return arena_copy(&w->arena, s.p, s.len);
}

/* The path of the address that a header names, such as an upload's. */
static inline const char *header_path(struct serving *w, const char *name)
{
    return strchr(header_value(w, name) + sizeof "http://" - 1, '/');
}

/* A Gemini batch of one or two inline requests. */
#define ONE_MORE ",{'request':{'contents':[{'parts':[{'text':'b'}]}]},'metadata':{'key':'k2'}}"
#define INLINE(more)                                                                               \
    "{'batch':{'inputConfig':{'requests':{'requests':[{'request':{'contents':[{'parts':[{'text':"  \
    "'a'}]}]},'metadata':{'key':'k1'}}" more "]}},'displayName':'dn'}}"
#define CREATE_BATCH "/v1/models/gemini-2.5-flash:batchGenerateContent"
#define CREATE_SLOW "/v1/models/slow:batchGenerateContent"

/* Creates a job, and gives its path under a version. */
static inline const char *made(struct serving *w, const char *version, const char *path,
                               const char *body)
{
    (void)ask(w, "POST", path, body);
    assert_asked(w, 200);
    return joined(w, "/%s/%s", version, answer_text(w, "name"));
}

/* Asks for a path until the text at `at` is `want`, for up to 20 s. */
static inline void wait_for(struct serving *w, const char *path, const char *at, const char *want)
{
    struct clock *clock = clock_system();

    for (int i = 0; i < 400; i++) {
        (void)ask(w, "GET", path, "");
        if (strcmp(answer_text(w, at), want) == 0)
            return;
        clock->sleep_ns(clock, 50 * NS_PER_MS);
    }
    fail_msg("%s never became %s: %.*s", path, want, STR_ARG(w->body));
}

#endif
