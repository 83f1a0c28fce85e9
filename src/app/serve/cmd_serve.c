/* cmd_serve.c -- `tranche serve`: its options, its parts in order of starting, and its signals. */
#include "app/cli/command.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "api/api.h"
#include "api/auth.h"
#include "app/backends.h"
#include "app/cli/terminal.h"
#include "app/serve/serve.h"
#include "base/json_write.h"
#include "base/mem.h"
#include "base/log.h"
#include "base/sys.h"
#include "base/thread.h"
#include "net/client/http_client.h"
#include "store/tables/tables.h"

#define CLOSE_MS 10000 /* calls under way may take so long to end */
#define READY_LOOK_MS 5
#define READY_BYTES_MAX ((size_t)16 * 1024)
#define LOCATION "us-central1"

struct serve_options {
    const char *listen, *state, *store, *bucket, *config, *tls_cert, *tls_key, *public_url,
        *log_format;
    bool test_clock, json, no_work;
};

struct serve {
    const struct serve_options *o;
    struct terminal terminal;
    struct arena arena;
    struct serve_configs configs;
    const struct config *first; /* of the start, held: what no reload changes is of it */
    struct http_settings http;
    struct clock *clock;
    struct store_place place;
    struct store *store;
    struct tables *tables;
    struct service *service;
    struct api api;
    struct http_server *server;
    uint64_t turns;      /* of the scheduler, at the last report to systemd */
    enum exit_code code; /* of a step that fails */
};

static const char *either(const char *option, const char *configured)
{
    return option ? option : configured;
}

/* libcurl must start before any thread does. */
static int step_settings(struct serve *s, struct error *e)
{
    if (http_client_init(e) < 0 || serve_load(&s->configs, s->o->config, s->o->test_clock, e) < 0)
        return -1;
    s->first = serve_hold(&s->configs);
    if (s->first->tests.count && !s->o->test_clock)
        return error_set(
            e, ERROR_INVALID_ARGUMENT,
            "test: scripts of jobs and files are for tests: start with --test-clock, or "
            "remove them");
    const struct config_service *c = &s->first->service;
    s->http = (struct http_settings){
        .listen = serve_listen_address(&s->arena, either(s->o->listen, c->listen)),
        .tls_cert = either(s->o->tls_cert, c->tls_cert),
        .tls_key = either(s->o->tls_key, c->tls_key),
        .connections_max = c->connections_max,
    };
    return http_server_check_address(s->http.listen, e) < 0
               ? -1
               : http_server_check_tls(s->http.tls_cert, s->http.tls_key, e);
}

static int step_store(struct serve *s, struct error *e)
{
    s->clock = s->o->test_clock ? clock_movable() : clock_system();
    s->store = store_open_at(&s->place, true, s->clock, e);
    return s->store ? 0 : -1;
}

/* Nothing is loaded, and nobody asked, before a job or a call names a table. Records of jobs are BigQuery's own when the
 * tables are there, so our API serves embedded ones only; and those are files of one process, so a store that several share
 * has none. */
static int step_tables(struct serve *s, struct error *e)
{
    const struct config_service *c = &s->first->service;
    struct tables_limits limits = tables_limits_default();

    if (c->tables_in_bigquery) {
        const char *folder = arena_textf(&s->arena, "%s/bigquery", store_dir(s->store));
        s->tables = config_bigquery_open(s->first, NULL, folder, s->clock, e);
        return s->tables && s->tables->ops->sweep(s->tables, e) == 0 ? 0 : -1;
    }
    if (store_is_shared(s->store))
        return 0;
    limits.memory_bytes = c->tables_memory;
    limits.temp_bytes = c->tables_temp;
    limits.threads = c->tables_threads;
    limits.query_ms = (int64_t)c->tables_query_s * 1000;
    s->tables = tables_duckdb_open(arena_textf(&s->arena, "%s/tables", store_dir(s->store)),
                                   &limits, s->clock);
    return 0;
}

static int refuse_open(const struct serve *s, struct error *e)
{
    if (s->place.database)
        return error_set(
            e, ERROR_FAILED_PRECONDITION,
            "%s can be reached from other machines, and no key exists: anybody could do "
            "anything. Make a key first (tranche keys create --project NAME, with the same "
            "--store, --bucket or --config), or listen on 127.0.0.1",
            s->http.listen);
    return error_set(e, ERROR_FAILED_PRECONDITION,
                     "%s can be reached from other machines, and no key exists: anybody could do "
                     "anything. Make a key first (tranche keys create --project NAME --state "
                     "%s), or listen on 127.0.0.1",
                     s->http.listen, s->place.dir);
}

/* Nothing is created for a start that must be refused. */
static int step_guard(struct serve *s, struct error *e)
{
    const struct serve_place o = { s->o->config, s->o->state, s->o->store, s->o->bucket };

    if (serve_store_place(&s->arena, &o, &s->first->service, false, &s->place, e) < 0)
        return -1;
    if (s->place.database || http_server_loopback(s->http.listen) ||
        serve_state_exists(&s->arena, s->place.dir))
        return 0;
    return refuse_open(s, e);
}

static int step_keys(struct serve *s, struct error *e)
{
    uint64_t keys = 0;

    if (http_server_loopback(s->http.listen))
        return 0;
    if (key_count(s->store, &keys, e) < 0)
        return -1;
    return keys ? 0 : refuse_open(s, e);
}

/* The name of this process in the list of a fleet's processes. */
static const char *fleet_name(struct serve *s)
{
    char host[256] = "";

    if (!store_is_shared(s->store))
        return NULL;
    if (gethostname(host, sizeof host - 1) < 0)
        (void)snprintf(host, sizeof host, "unknown");
    return arena_textf(&s->arena, "%s:%ld", host, (long)getpid());
}

static int step_service(struct serve *s, struct error *e)
{
    bool idle = s->o->no_work || !s->first->service.work;
    const struct service_env env = {
        .store = s->store,
        .tables = s->tables,
        .clock = s->clock,
        .model = serve_model,
        .model_done = serve_model_done,
        .current = serve_model_current,
        .arg = &s->configs,
        .open = backend_open,
        .state_dir = store_dir(s->store),
        .seed = (uint64_t)clock_system()->wall_us(clock_system()) ^ ((uint64_t)getpid() << 48),
        .scripted = s->o->test_clock,
        .fleet = fleet_name(s),
        .idle = idle,
    };

    if (idle && !env.fleet)
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "nobody would work on the jobs: --no-work and service.work are for "
                         "processes that share a store with others (--store)");
    s->configs.store = s->store;
    s->service = service_start(&env, &s->first->service.settings, e);
    if (!s->service)
        return -1;
    service_upstreams_set(s->service, s->first->upstream, s->first->upstream_count);
    return 0;
}

/* For /readyz: jobs without a model of their own would fail. */
static int model_ready(void *arg, struct error *e)
{
    const struct config *c = serve_hold(arg);
    const struct model *m = model_find(&c->models, c->default_model, e);
    int rc = m ? config_model_present(m, e) : -1;

    serve_done(arg, c);
    return rc;
}

static const struct models *models_hold(void *arg)
{
    return &serve_hold(arg)->models;
}

static void models_done(void *arg, const struct models *m)
{
    serve_done(arg, (const struct config *)((const char *)m - offsetof(struct config, models)));
}

static int step_listen(struct serve *s, struct error *e)
{
    const struct config *config = s->first;

    s->api.store = s->store;
    s->api.service = s->service;
    if (s->tables && !config->service.tables_in_bigquery) {
        s->api.tables = s->tables;
        s->api.queries = queries_new(s->tables, s->store, s->clock);
    }
    s->api.clock = s->clock;
    s->api.default_location = LOCATION;
    s->api.default_project = config->service.default_project;
    s->api.public_url = either(s->o->public_url, config->service.public_url);
    s->api.expired_as = config->service.expired_as;
    s->api.test_clock = s->o->test_clock;
    s->api.rule = config->tests.item;
    s->api.rule_count = config->tests.count;
    s->api.open = http_server_loopback(s->http.listen);
    s->api.models = models_hold;
    s->api.models_done = models_done;
    s->api.model_ready = model_ready;
    s->api.config_arg = &s->configs;
    s->api.webhook_allow = config->service.webhook_allow;
    s->api.locations = config->service.locations;
    return api_serve(&s->api, &s->http, &s->server, e);
}

/* "http://127.0.0.1:8080": the address as it was given, with the port that it became. */
static void write_url(const struct serve *s, struct buf *out)
{
    const char *colon = strrchr(s->http.listen, ':');
    size_t host = colon ? (size_t)(colon - s->http.listen) : strlen(s->http.listen);

    buf_addf(out, "%s://%.*s:%u", s->http.tls_cert ? "https" : "http", (int)host, s->http.listen,
             http_server_port(s->server));
}

/* We are ready when the scheduler works, not when its thread was made. Without the report systemd ends us at its own
 * time. */
static bool await_scheduler(struct serve *s)
{
    struct clock *clock = clock_system();
    uint64_t deadline = deadline_in_ms(SERVICE_STILL_MS);

    while (!service_moves(s->service) && clock->mono_ns(clock) < deadline)
        clock->sleep_ns(clock, READY_LOOK_MS * NS_PER_MS);
    bool works = service_moves(s->service);
    if (!works)
        log_error("the scheduler does not move; systemd is not told that the service is ready");
    return works;
}

/* For commands that work on the folder and must ask us instead (`tranche table`). */
static void keep_url(const struct serve *s, struct str url)
{
    struct arena a = { 0 };
    const char *path = arena_textf(&a, "%s/" SERVE_URL_FILE, store_dir(s->store));
    struct error e = { 0 };
    int fd = sys_open(path, O_WRONLY | O_CREAT | O_TRUNC, &e);

    if (fd < 0 || sys_write_all(fd, url.p, url.len, path, &e) < 0)
        log_warn("`tranche table` will not find this service: %s", e.msg);
    if (fd >= 0)
        (void)close(fd);
    arena_release(&a);
}

static void print_ready(struct serve *s)
{
    bool works = await_scheduler(s);
    struct buf url = BUF_INIT(READY_BYTES_MAX), line = BUF_INIT(READY_BYTES_MAX);
    struct json_writer w = JSON_WRITER(&line);
    struct error e = { 0 };

    write_url(s, &url);
    keep_url(s, buf_str(&url));
    if (s->o->json) {
        json_object(&w, NULL);
        json_add_text(&w, "url", buf_str(&url));
        json_add_c(&w, "state", store_dir(s->store));
        json_add_int(&w, "pid", getpid());
        json_end(&w);
        buf_add_char(&line, '\n');
    } else {
        buf_addf(&line, "serving on %s\n", url.p);
    }
    terminal_write(STDOUT_FILENO, buf_str(&line));
    if (!s->o->json)
        terminal_note(&s->terminal, "the console is at %s/, for a browser", url.p);
    const char *file = s->first->path;
    log_info("tranche %s serves on %s, state %s, configuration %s", TRANCHE_VERSION, url.p,
             store_dir(s->store), file ? file : "built in");
    if (s->api.open && auth_is_open(s->store, &s->arena, &e) > 0)
        terminal_note(&s->terminal,
                      "no key exists: every call from this machine may do everything; "
                      "`tranche keys create` ends that");
    if (works)
        serve_notify("READY=1");
    buf_release(&url);
    buf_release(&line);
}

/* A bad configuration changes nothing. Addresses and TLS are as they were at the start. */
static void reload(struct serve *s)
{
    struct buf late = BUF_INIT(READY_BYTES_MAX);
    struct error e = { 0 };

    if (serve_load(&s->configs, s->o->config, s->o->test_clock, &e) < 0) {
        log_error("configuration not reloaded, the old one stays: %s", e.msg);
        return;
    }
    const struct config *config = serve_hold(&s->configs);
    config_needs_restart(s->first, config, &late);
    service_set(s->service, &config->service.settings);
    service_upstreams_set(s->service, config->upstream, config->upstream_count);
    serve_done(&s->configs, config);
    log_info("configuration reloaded%s%s", late.len ? "; these count at the next start: " : "",
             late.len ? late.p : "");
    buf_release(&late);
}

/* systemd ends and starts again a server that reports nothing, so we report only while the scheduler turns. */
static void report_life(struct serve *s)
{
    uint64_t turns = service_turns(s->service);

    if (turns != s->turns)
        serve_notify("WATCHDOG=1");
    else
        log_error("the scheduler does not move; systemd gets no report");
    s->turns = turns;
}

static void reload_and_report(struct serve *s)
{
    char text[64];
    uint64_t now_ns = clock_system()->mono_ns(clock_system());

    (void)snprintf(text, sizeof text, "RELOADING=1\nMONOTONIC_USEC=%llu",
                   (unsigned long long)now_ns / 1000);
    serve_notify(text);
    reload(s);
    if (await_scheduler(s))
        serve_notify("READY=1");
}

static void wait_for_end(struct serve *s, const sigset_t *signals)
{
    uint64_t us = serve_watchdog_us();
    const struct timespec pause = { (time_t)(us / 1000000), (long)(us % 1000000) * 1000 };
    int got = SIGHUP;

    for (;;) {
        got = us ? sigtimedwait(signals, NULL, &pause) : sigwaitinfo(signals, NULL);
        if (got == SIGHUP)
            reload_and_report(s);
        else if (got > 0)
            break;
        else if (us && errno == EAGAIN)
            report_life(s);
    }
    log_info("%s: running jobs stop and continue at the next start",
             got == SIGINT ? "interrupted" : "asked to end");
}

/* A second signal ends the program at once, as a crash may; nothing is lost by it. */
static void stop(struct serve *s, const sigset_t *signals)
{
    struct sigaction at_once = { .sa_handler = SIG_DFL }, never = { .sa_handler = SIG_IGN };

    (void)sigaction(SIGINT, &at_once, NULL);
    (void)sigaction(SIGTERM, &at_once, NULL);
    (void)sigaction(SIGHUP, &never, NULL);
    (void)pthread_sigmask(SIG_UNBLOCK, signals, NULL);
    serve_notify("STOPPING=1");
    atomic_store(&s->api.draining, true);
    http_server_quiesce(s->server);
    service_drain(s->service);
}

static void release(struct serve *s)
{
    api_close(&s->api, s->server, CLOSE_MS);
    service_free(s->service);
    queries_free(s->api.queries);
    if (s->tables)
        s->tables->ops->close(s->tables);
    store_close(s->store);
    if (s->first)
        serve_done(&s->configs, s->first);
    serve_release(&s->configs);
    arena_release(&s->arena);
}

static const struct {
    int (*run)(struct serve *s, struct error *e);
    enum exit_code code; /* when it fails */
} steps[] = {
    { step_settings, EXIT_USAGE }, { step_guard, EXIT_USAGE },    { step_store, EXIT_STOPPED },
    { step_keys, EXIT_USAGE },     { step_tables, EXIT_STOPPED }, { step_service, EXIT_INTERNAL },
    { step_listen, EXIT_STOPPED },
};

/* They are waited for by the main thread alone; the threads that it starts inherit the mask. */
static void block_signals(sigset_t *set)
{
    struct sigaction ignore = { .sa_handler = SIG_IGN };

    (void)sigemptyset(set);
    (void)sigaddset(set, SIGTERM);
    (void)sigaddset(set, SIGINT);
    (void)sigaddset(set, SIGHUP);
    (void)pthread_sigmask(SIG_BLOCK, set, NULL);
    (void)sigaction(SIGPIPE, &ignore, NULL);
    (void)sigaction(SIGXFSZ, &ignore, NULL);
}

static enum exit_code serve_run(const struct command *c, const struct arguments *given)
{
    struct serve s = { .o = given->options, .code = EXIT_OK };
    struct error e = { 0 };
    sigset_t signals;

    (void)c;
    terminal_init(&s.terminal, false, s.o->log_format ? s.o->log_format : "text");
    serve_init(&s.configs);
    block_signals(&signals);
    for (size_t i = 0; i < ARRAY_LEN(steps) && s.code == EXIT_OK; i++)
        if (steps[i].run(&s, &e) < 0)
            s.code = steps[i].code;
    if (s.code == EXIT_OK) {
        print_ready(&s);
        wait_for_end(&s, &signals);
        stop(&s, &signals);
    } else {
        terminal_error(&s.terminal, "%s", e.msg);
    }
    release(&s);
    return s.code;
}

#define OPTIONS struct serve_options
static const struct option_spec options[] = {
    OPT_TEXT("listen", 0, listen, "ADDR:PORT",
             "address to listen on (default 127.0.0.1:8080); port 0: any free one"),
    OPT_DIR("state", 0, state, "folder of jobs, objects and keys"),
    SERVE_PLACE_OPTIONS,
    OPT_FILE("config", 'c', config, "configuration file; SIGHUP reads it again"),
    OPT_FILE("tls-cert", 0, tls_cert, "certificate as PEM: serve HTTPS"),
    OPT_FILE("tls-key", 0, tls_key, "its private key as PEM"),
    OPT_TEXT("public-url", 0, public_url, "URL",
             "URL of the server for its clients, when it stands behind a proxy"),
    OPT_FLAG("test-clock", 0, test_clock,
             "let clients advance the time and script outcomes, for tests"),
    OPT_FLAG("no-work", 0, no_work,
             "serve calls only; other processes on the same store work on the jobs"),
    OPT_FLAG("json", 0, json, "print a JSON object when ready"),
    OPT_CHOICE("log-format", 0, log_format, "text|json", "format of the log lines"),
    { 0 },
};

const struct command command_serve = {
    .name = "serve",
    .summary = "run the batch prediction service for Google's own clients",
    .arguments = "",
    .about =
        "Serves both dialects of the Gemini API and the object store that jobs read and write. It "
        "prints one line on standard output when it is ready.\n"
        "\n"
        "Without any key it serves this machine only, and every call may do anything. `tranche "
        "keys create` makes a key; then each call needs one.\n"
        "\n"
        "SIGTERM and Ctrl-C end it in order, and its jobs continue at the next start; a second one "
        "ends it at once. SIGHUP makes it read the configuration again.\n"
        "\n"
        "With --store and --bucket it is one of several processes that share a database and a "
        "bucket, "
        "on as many machines; each serves all calls and works on all jobs.\n"
        "\n"
        "Examples:\n"
        "  tranche serve\n"
        "  tranche serve --listen 0.0.0.0:8443 --tls-cert cert.pem --tls-key key.pem\n"
        "  tranche serve --store postgres://tranche@db/tranche --bucket s3://tranche\n"
        "  tranche serve --listen 127.0.0.1:0 --state ./ci --test-clock --json",
    .options = options,
    .options_bytes = sizeof(struct serve_options),
    .run = serve_run,
};
