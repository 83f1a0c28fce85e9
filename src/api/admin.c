/* admin.c -- the service about itself: health, metrics, tokens, version and models, events, test clock. */
#include "api/call.h"

#include <inttypes.h>
#include <sys/resource.h>

#include "api/jobs/events.h"
#include "api/jobs/jobs.h"
#include "base/metric.h"
#include "base/sys.h"
#include "store/db/store_metrics.h"
#include "store/fleet/fleet.h"

#define METRICS_BYTES_MAX ((size_t)8 * 1024 * 1024)
#define INFO_BYTES_MAX ((size_t)1024 * 1024)
#define ADVANCE_S_MAX ((int64_t)10 * 366 * 86400)
#define PROBE_BYTES_MAX 256
#define READY_ROOM_BYTES ((uint64_t)16 * 1024 * 1024) /* with less, a job could not be taken */

static void reply_text(struct call *c, int status, const char *text)
{
    struct buf body = BUF_INIT(PROBE_BYTES_MAX);

    buf_add_c(&body, text);
    http_reply(c->http, status, "text/plain; charset=utf-8", &body);
}

/* ---- Health ---- */

static void get_healthz(struct call *c)
{
    reply_text(c, 200, "ok\n");
}

/* On the connection's thread: the check says that the process lives, and must not wait behind calls. */
static bool healthz_begin(struct call *c)
{
    get_healthz(c);
    return false;
}

/* Why the store cannot be used now; NULL: it can. A shared one is not asked: the process's lease says if the database
 * answers, and the last call of the bucket. */
static const char *store_trouble(const struct call *c)
{
    struct error e;
    uint64_t count;

    if (!store_is_shared(c->api->store))
        return key_count(c->api->store, &count, &e) < 0 ? "the store does not answer" : NULL;
    if (!fleet_holds(c->api->store))
        return "the database does not answer: this process has no lease, and works on nothing";
    return store_part_fails(STORE_BUCKET) ? "the bucket does not answer" : NULL;
}

/* Ready: the store answers and has room, the server does not drain, the scheduler works, and the default model can
 * be opened. */
static void get_readyz(struct call *c)
{
    struct error e = { 0 };
    uint64_t room = 0;
    const char *trouble = store_trouble(c);

    if (atomic_load(&c->api->draining))
        reply_text(c, 503, "draining\n");
    else if (trouble)
        call_fail_as(c, 503, NULL, trouble);
    else if (sys_room(store_dir(c->api->store), &room, &e) < 0 || room < READY_ROOM_BYTES)
        call_fail_as(c, 503, NULL, "the disk of the state folder is full, or cannot be looked at");
    else if (!service_moves(c->api->service))
        call_fail_as(c, 503, NULL, "the scheduler does not move: no job is begun or ended");
    else if (c->api->model_ready && c->api->model_ready(c->api->config_arg, &e) < 0)
        call_fail_as(c, 503, NULL, e.msg);
    else
        reply_text(c, 200, "ok\n");
}

static void set_model(void *arg, const char *model, const struct hub_stats *st)
{
    char labels[METRIC_LABELS_BYTES];

    (void)arg;
    metric_labels(labels, (const char *const[]){ "model", model, NULL });
    metric_set(metric_gauge("tranche_model_in_flight", "Requests a model works at", labels),
               st->in_flight);
    metric_set(metric_gauge("tranche_model_waiting", "Requests that wait for a model", labels),
               st->waiting);
    metric_set(metric_gauge("tranche_model_shares", "Jobs that share a model", labels), st->shares);
    metric_set(metric_gauge("tranche_model_loaded", "1: the model is loaded", labels), st->loaded);
    metric_set(metric_counter_real("tranche_model_requests_total",
                                   "Requests given to a model's session", labels),
               (double)st->submitted);
    metric_set(metric_counter_real("tranche_model_failures_total",
                                   "Requests that a model's session failed", labels),
               (double)st->failed);
    metric_set(metric_counter_real("tranche_model_generated_tokens_total",
                                   "Tokens that a model's session generated", labels),
               (double)st->session.generated_tokens);
    metric_set(metric_counter_real("tranche_model_forced_tokens_total",
                                   "Generated tokens that were the only ones that a schema "
                                   "allowed",
                                   labels),
               (double)st->session.forced_tokens);
    metric_set(metric_counter_real("tranche_model_crashes_total",
                                   "Times that a model's process ended by itself or was ended "
                                   "because it hung",
                                   labels),
               (double)st->session.crashes);
    metric_set(metric_counter_real("tranche_model_restarts_total",
                                   "Times that a model's process was started again", labels),
               (double)st->session.restarts);
}

static void add_process_metric(struct buf *out, const char *name, const char *kind,
                               const char *help, double value)
{
    buf_addf(out, "# HELP process_%s %s\n# TYPE process_%s %s\nprocess_%s ", name, help, name, kind,
             name);
    buf_add_double(out, value);
    buf_add_char(out, '\n');
}

/* The names that Prometheus' own clients give to what every process has. */
static void add_process(struct call *c, struct buf *out)
{
    struct rusage used = { 0 };
    struct rlimit files = { 0 };

    (void)getrusage(RUSAGE_SELF, &used);
    (void)getrlimit(RLIMIT_NOFILE, &files);
    add_process_metric(out, "cpu_seconds_total", "counter", "User and system time",
                       (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
                           (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6);
    add_process_metric(out, "max_resident_memory_bytes", "gauge", "Largest resident memory so far",
                       (double)used.ru_maxrss * 1024);
    add_process_metric(out, "max_fds", "gauge", "Limit of open file descriptors",
                       (double)files.rlim_cur);
    add_process_metric(out, "start_time_seconds", "gauge", "Start of the service since 1970",
                       (double)c->api->start_us / 1e6);
}

static void get_metrics(struct call *c)
{
    struct buf body = BUF_INIT(METRICS_BYTES_MAX);
    struct error e = { 0 };
    uint64_t room;

    metric_set(metric_gauge("tranche_build_info", "1, with the program's version",
                            "version=\"" TRANCHE_VERSION "\""),
               1);

    if (sys_room(store_dir(c->api->store), &room, &e) == 0)
        metric_set(metric_gauge("tranche_state_free_bytes",
                                "Room on the file system of the state folder", NULL),
                   (double)room);
    service_measure(c->api->service);
    service_measure_queue(c->api->service);
    service_models(c->api->service, set_model, NULL);
    upstream_servers_measure(service_upstreams(c->api->service));
    metric_write(&body);
    add_process(c, &body);
    http_reply(c->http, 200, "text/plain; version=0.0.4; charset=utf-8", &body);
}

/* ---- Tokens ---- */

static void post_token(struct call *c)
{
    struct buf body = BUF_INIT(ERROR_MSG_BYTES);
    bool given = auth_token(c->api->store, c->arena, http_body(c->http), &body);

    http_set_header(c->http, "Cache-Control", STR("no-store"));
    http_reply(c->http, given ? 200 : 400, "application/json; charset=UTF-8", &body);
}

/* ---- Version and models ---- */

/* The price of a model under this name; a free one has none. */
static void add_price(struct json_writer *w, const struct model *m, const char *name)
{
    struct price p = model_price(m, name);

    if (p.input <= 0 && p.output <= 0)
        return;
    json_object(w, "price");
    json_add_double(w, "input", p.input);
    json_add_double(w, "output", p.output);
    json_add_double(w, "cached", p.cached);
    json_add_bool(w, "batchIsHalf", !p.no_batch_price);
    json_end(w);
}

static void add_model(struct json_writer *w, const struct model *m, const char *name)
{
    json_add_c(w, "name", m->pattern);
    json_add_c(w, "kind", model_kind_name(m->kind));
    json_add_text(w, "about", str_of(m->about));
    add_price(w, m, name);
    if (m->upstream_count) {
        json_array(w, "upstreams");
        for (uint32_t i = 0; i < m->upstream_count; i++)
            json_add_c(w, NULL, m->upstream[i].upstream->name);
        json_end(w);
    }
    if (m->adapters.count)
        json_add_uint(w, "adapters", m->adapters.count);
}

static void get_info(struct call *c)
{
    const struct models *models = call_models(c);
    struct buf body = BUF_INIT(INFO_BYTES_MAX);
    struct json_writer w = JSON_WRITER(&body);

    json_object(&w, NULL);
    json_add_c(&w, "name", "tranche");
    json_add_c(&w, "version", TRANCHE_VERSION);
    json_add_bool(&w, "testClock", c->api->test_clock);
    json_array(&w, "models");
    for (uint32_t i = 0; i < models->count; i++) {
        json_object(&w, NULL);
        add_model(&w, &models->item[i], models->item[i].pattern);
        json_end(&w);
    }
    call_models_done(c, models);
    json_end(&w);
    json_end(&w);
    buf_add_char(&body, '\n');
    call_reply(c, &body);
}

/* The configured model that answers a name, and the price of that name. */
static void get_model(struct call *c)
{
    const char *name = arena_textf(c->arena, "%.*s", STR_ARG(c->param[0]));
    const struct models *models = call_models(c);
    struct buf body = BUF_INIT(INFO_BYTES_MAX);
    struct json_writer w = JSON_WRITER(&body);
    struct error e = { 0 };
    const struct model *m = model_find(models, name, &e);

    if (m) {
        json_object(&w, NULL);
        add_model(&w, m, name);
        json_end(&w);
        call_reply(c, &body);
    } else {
        call_fail(c, &e);
    }
    call_models_done(c, models);
}

/* ---- The test clock ---- */

static void reply_clock(struct call *c)
{
    struct clock *clock = c->api->clock;
    struct buf body = BUF_INIT(PROBE_BYTES_MAX);
    struct json_writer w = JSON_WRITER(&body);

    json_object(&w, NULL);
    call_add_time(&w, "now", clock->wall_us(clock));
    json_end(&w);
    buf_add_char(&body, '\n');
    call_reply(c, &body);
}

/* False: there is no test clock, and that is answered. */
static bool has_test_clock(struct call *c)
{
    if (!c->api->test_clock)
        call_fail_as(c, 404, NULL,
                     "There is no test clock: start the server with `tranche serve --test-clock`.");
    return c->api->test_clock;
}

static void get_clock(struct call *c)
{
    if (has_test_clock(c))
        reply_clock(c);
}

static int advance_seconds(struct call *c, int64_t *out, struct error *e)
{
    yyjson_val *body = call_json(c, e);
    yyjson_val *seconds = body ? json_get(body, "seconds") : NULL;

    if (!body)
        return -1;
    if (!yyjson_is_uint(seconds) || yyjson_get_uint(seconds) > (uint64_t)ADVANCE_S_MAX)
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "seconds: a whole number from 0 to %" PRId64 " is needed, as in "
                         "{\"seconds\": 3600}",
                         ADVANCE_S_MAX);
    *out = (int64_t)yyjson_get_uint(seconds);
    return 0;
}

static void post_clock_advance(struct call *c)
{
    struct error e = { 0 };
    int64_t seconds = 0;

    if (!has_test_clock(c))
        return;
    if (advance_seconds(c, &seconds, &e) < 0) {
        call_fail(c, &e);
        return;
    }
    clock_advance(seconds * 1000000);
    service_wake(c->api->service);
    reply_clock(c);
}

/* ---- Events ---- */

static void listen_to(struct call *c, struct api_listener who)
{
    struct str last = http_header(c->http, "Last-Event-ID");
    struct error e = { 0 };

    if (last.len && !call_int64(last, &who.after))
        call_fail_as(c, 400, NULL, "Last-Event-ID must be the id of an event, a number.");
    else if (api_events_listen(c->api->events, &who, c->http, &e) < 0)
        call_fail(c, &e);
}

/* The events of all jobs that the caller may see, from now on. */
static void get_events(struct call *c)
{
    struct str progress = { 0 };

    (void)http_query(c->http, "progress", &progress);
    listen_to(c, (struct api_listener){ .project = call_scope(c),
                                        .key = c->who.key,
                                        .after = events_last(c->api->store),
                                        .progress = str_eq_c(progress, "true") });
}

/* A job's own stream begins with its creation. */
static void get_job_events(struct call *c)
{
    struct error e = { 0 };
    struct job j;

    if (job_of_path(c, &j, &e) < 0)
        call_fail(c, &e);
    else
        listen_to(
            c, (struct api_listener){ .project = call_scope(c), .key = c->who.key, .job = j.id });
}

#define JOB_PLACE "/(v1|v1beta1)/projects/{}/locations/{}/batchPredictionJobs/{}"
#define JOB_EXPRESS "/(v1|v1beta1)/batchPredictionJobs/{}"
#define JOB_BATCH "/(v1|v1beta|v1alpha)/batches/{}"

const struct route api_admin_routes[] = {
    { HTTP_GET, "/healthz", ROLE_VIEWER, ROUTE_PUBLIC | ROUTE_TEXT | ROUTE_LOCAL, get_healthz, 0,
      healthz_begin },
    { HTTP_GET, "/readyz", ROLE_VIEWER, ROUTE_PUBLIC | ROUTE_TEXT | ROUTE_LOCAL, get_readyz, 0,
      NULL },
    { HTTP_GET, "/metrics", ROLE_VIEWER, ROUTE_TEXT, get_metrics, 0, NULL },
    { HTTP_POST, "/token", ROLE_VIEWER, ROUTE_PUBLIC, post_token, AUTH_FORM_BYTES_MAX, NULL },
    { HTTP_GET, "/tranche/v1/info", ROLE_VIEWER, 0, get_info, 0, NULL },
    { HTTP_GET, "/tranche/v1/models/{}", ROLE_VIEWER, 0, get_model, 0, NULL },
    { HTTP_GET, "/tranche/v1/clock", ROLE_VIEWER, 0, get_clock, 0, NULL },
    { HTTP_POST, "/tranche/v1/clock:advance", ROLE_SUBMITTER, 0, post_clock_advance, 0, NULL },
    { HTTP_GET, "/tranche/v1/events", ROLE_VIEWER, 0, get_events, 0, NULL },
    { HTTP_GET, JOB_PLACE ":events", ROLE_VIEWER, 0, get_job_events, 0, NULL },
    { HTTP_GET, JOB_EXPRESS ":events", ROLE_VIEWER, 0, get_job_events, 0, NULL },
    { HTTP_GET, JOB_BATCH ":events", ROLE_VIEWER, 0, get_job_events, 0, NULL },
    { 0 },
};
