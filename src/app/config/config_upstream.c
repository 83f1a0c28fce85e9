/* config_upstream.c -- the section `upstreams:` and the places of models, judged. */
#include "app/config/config.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/env.h"
#include "base/mem.h"
#include "app/config/config_schema.h"

#define UPSTREAM_WEIGHT_MAX 1e6
#define POLL_MS_DEFAULT 30000

static int take_wire(const char *dialect, const char *url, enum upstream_wire *out,
                     struct error *e);
static int take_credential(struct config *c, const struct upstream_entry *in, struct upstream *u,
                           struct error *e);
static int take_headers(struct config *c, const struct upstream_entry *in, struct upstream *u,
                        struct error *e);
static int take_limits(const struct upstream_entry *in, struct upstream *u, struct error *e);

static bool is_url(const char *url)
{
    return url && (strncasecmp(url, "http://", 7) == 0 || strncasecmp(url, "https://", 8) == 0);
}

/* Without the slashes at its end, so that a path can be appended. */
static const char *take_url(struct config *c, const char *url)
{
    size_t len = strlen(url);

    while (len && url[len - 1] == '/')
        len--;
    return arena_copy(&c->arena, url, len);
}

static bool is_vertex(const struct upstream *u)
{
    return u->wire == WIRE_GEMINI && strstr(u->url, "/projects/");
}

static int take_upstream(struct config *c, const struct upstream_entry *in, struct upstream *u,
                         struct error *e)
{
    if (!in->name || !*in->name || strlen(in->name) >= UPSTREAM_NAME_BYTES)
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "an upstream needs a name of at most %d bytes, such as \"vllm\"",
                         UPSTREAM_NAME_BYTES - 1);
    if (!is_url(in->url))
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "an upstream needs a url, such as http://127.0.0.1:8000/v1");
    *u = (struct upstream){
        .name = in->name,
        .url = take_url(c, in->url),
        .ca_file = in->ca_file ? config_beside(c, in->ca_file) : NULL,
        .proxy = in->proxy,
        .http1 = in->http1,
    };
    if (u->proxy && strcmp(u->proxy, "none") == 0)
        u->proxy = "";
    if (take_wire(in->dialect, u->url, &u->wire, e) < 0 || take_credential(c, in, u, e) < 0 ||
        take_headers(c, in, u, e) < 0)
        return -1;
    u->inline_files = in->inline_files ? *in->inline_files : !is_vertex(u);
    return take_limits(in, u, e);
}

int config_upstreams_load(struct config *c, struct error *e)
{
    uint32_t count = c->file ? c->file->upstreams_count : 0;

    c->upstream = arena_array(&c->arena, count + 1, sizeof *c->upstream);
    for (uint32_t i = 0; i < count; i++) {
        const struct upstream_entry *in = &c->file->upstreams[i];
        if (take_upstream(c, in, &c->upstream[i], e) < 0)
            return error_wrap(e, "%s: upstreams[%u]%s%s", c->path, i, in->name ? " " : "",
                              in->name ? in->name : "");
        for (uint32_t k = 0; k < i; k++)
            if (strcmp(c->upstream[k].name, in->name) == 0)
                return error_set(e, ERROR_INVALID_ARGUMENT,
                                 "%s: upstreams[%u]: the name %s stands twice", c->path, i,
                                 in->name);
    }
    c->upstream_count = count;
    return 0;
}

/* ---- From --upstream ---- */

/* "http://127.0.0.1:8000/v1" gives "127.0.0.1:8000". */
static const char *host_of(struct arena *a, const char *url)
{
    const char *from = strstr(url, "://") + 3;
    size_t len = strcspn(from, "/?#");

    return arena_copy(a, from, len < UPSTREAM_NAME_BYTES ? len : UPSTREAM_NAME_BYTES - 1);
}

static int wish_check(const struct upstream_wish *w, struct error *e)
{
    const char *host = is_url(w->url) ? strstr(w->url, "://") + 3 : "";

    if (!*host || memchr(host, '@', strcspn(host, "/?#")))
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "--upstream must be a URL such as http://127.0.0.1:8000/v1, without user "
                         "or password");
    if (!w->model || !*w->model || strlen(w->model) >= MODEL_NAME_BYTES)
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "--upstream needs --model, the model's name there");
    return 0;
}

const struct model *config_upstream_model(struct config *c, const struct upstream_wish *w,
                                          struct error *e)
{
    const struct upstream_entry in = {
        .url = arena_copy(&c->arena, w->url ? w->url : "", strlen(w->url ? w->url : "")),
        .key_env = arena_copy(&c->arena, UPSTREAM_KEY_VARIABLE, strlen(UPSTREAM_KEY_VARIABLE)),
        .max_rpm = w->max_rpm,
    };
    struct upstream *u = arena_alloc(&c->arena, sizeof *u);
    struct model *m = arena_alloc(&c->arena, sizeof *m);

    if (wish_check(w, e) < 0)
        return NULL;
    *u = (struct upstream){
        .name = host_of(&c->arena, in.url),
        .url = take_url(c, in.url),
        .credential.secret = env_get(UPSTREAM_KEY_VARIABLE),
        .max_rpm = w->max_rpm,
        .max_tpm = w->max_tpm,
    };
    if (take_wire(w->dialect, u->url, &u->wire, e) < 0 || take_limits(&in, u, e) < 0)
        return NULL;
    u->max_tpm = w->max_tpm;
    u->inline_files = !is_vertex(u);
    *m = (struct model){ .pattern = w->model, .kind = MODEL_UPSTREAM, .about = u->url };
    m->upstream[m->upstream_count++] =
        (struct model_upstream){ .upstream = u, .model = w->model, .weight = 1 };
    return m;
}

/* ---- Models ---- */

static int take_place(struct config *c, const struct model_entry *model,
                      const struct place_entry *in, struct model_upstream *out, struct error *e)
{
    double weight = in->weight ? *in->weight : 1.0;

    *out = (struct model_upstream){ .model = in->model ? in->model : "", .weight = weight };
    for (uint32_t i = 0; in->upstream && i < c->upstream_count; i++)
        if (strcmp(c->upstream[i].name, in->upstream) == 0)
            out->upstream = &c->upstream[i];
    if (!out->upstream)
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "upstream \"%s\" is not one of the section `upstreams`",
                         in->upstream ? in->upstream : "");
    if (!(weight >= 0 && weight <= UPSTREAM_WEIGHT_MAX))
        return error_set(e, ERROR_INVALID_ARGUMENT, "weight is %g; 1 is usual", weight);
    if (!in->model && strpbrk(model->name, "*?"))
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "the model's name is a pattern: say which `model` is asked for there");
    if (!in->model)
        out->model = model->name;
    out->has_price = in->price != NULL;
    return in->price ? config_price(in->price, &out->price, e) : 0;
}

static int check_weights(const struct model *m, struct error *e)
{
    for (uint32_t i = 0; i < m->upstream_count; i++)
        if (m->upstream[i].weight > 0)
            return 0;
    return error_set(e, ERROR_INVALID_ARGUMENT,
                     "it needs `upstreams`, at least one of them with a weight above 0");
}

static int check_remote(struct model *m, struct error *e)
{
    const struct upstream *u = m->upstream[0].upstream;

    if (m->kind != MODEL_REMOTE_BATCH)
        return 0;
    m->poll_ms = m->poll_ms ? m->poll_ms : POLL_MS_DEFAULT;
    if (m->upstream_count != 1 || u->wire != WIRE_GEMINI)
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "a remote batch has one upstream, of dialect gemini");
    if (is_vertex(u) && (!m->staging || strncmp(m->staging, "gs://", 5) != 0))
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "a remote batch on Vertex needs `staging`, such as gs://bucket/prefix");
    return 0;
}

int config_places(struct config *c, const struct model_entry *in, struct model *m, struct error *e)
{
    bool far = m->kind == MODEL_UPSTREAM || m->kind == MODEL_REMOTE_BATCH;

    if (!far && (in->upstreams_count || in->staging))
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "`upstreams` is for models of kind upstream or remote-batch");
    if (!far)
        return 0;
    m->spill_after_ms = in->spill_after_ms;
    m->staging = in->staging;
    m->poll_ms = in->poll_ms;
    for (uint32_t i = 0; i < in->upstreams_count; i++)
        if (take_place(c, in, &in->upstreams[i], &m->upstream[m->upstream_count++], e) < 0)
            return error_wrap(e, "upstreams[%u]", i);
    return check_weights(m, e) < 0 ? -1 : check_remote(m, e);
}

/* ---- The parts of an upstream ---- */

static int take_wire(const char *dialect, const char *url, enum upstream_wire *out, struct error *e)
{
    static const struct {
        const char *name;
        enum upstream_wire wire;
    } wires[] = { { "openai", WIRE_OPENAI }, { "gemini", WIRE_GEMINI } };

    *out = strstr(url, "googleapis.com") ? WIRE_GEMINI : WIRE_OPENAI;
    for (size_t i = 0; dialect && i < ARRAY_LEN(wires); i++) {
        if (strcmp(dialect, wires[i].name) == 0) {
            *out = wires[i].wire;
            return 0;
        }
    }
    return dialect ? error_set(e, ERROR_INVALID_ARGUMENT,
                               "dialect \"%s\" is not known; write openai or gemini", dialect)
                   : 0;
}

static int take_credential(struct config *c, const struct upstream_entry *in, struct upstream *u,
                           struct error *e)
{
    if ((in->key_env != NULL) + (in->key_file != NULL) + (in->service_account != NULL) > 1)
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "one of key_env, key_file and service_account is enough");
    if (in->key_file)
        u->credential.secret_file = config_beside(c, in->key_file);
    if (in->service_account)
        u->credential.service_account = config_beside(c, in->service_account);
    if (!in->key_env)
        return 0;
    u->credential.secret = env_get(in->key_env);
    return u->credential.secret ? 0
                                : error_set(e, ERROR_INVALID_ARGUMENT,
                                            "the variable %s (key_env) is not set", in->key_env);
}

static int take_headers(struct config *c, const struct upstream_entry *in, struct upstream *u,
                        struct error *e)
{
    const char **list = arena_array(&c->arena, in->headers_count + 1, sizeof *list);

    for (uint32_t i = 0; i < in->headers_count; i++) {
        const char *colon = strchr(in->headers[i], ':');
        if (!colon || colon == in->headers[i] || strpbrk(in->headers[i], "\r\n"))
            return error_set(e, ERROR_INVALID_ARGUMENT,
                             "headers[%u]: a line such as \"X-Team: search\" is needed", i);
        list[i] = in->headers[i];
    }
    u->header = list;
    return 0;
}

static int take_limits(const struct upstream_entry *in, struct upstream *u, struct error *e)
{
    u->max_rpm = in->max_rpm;
    u->max_tpm = in->max_tpm ? *in->max_tpm : 0;
    u->concurrency = in->concurrency;
    u->concurrency_max = in->concurrency_max ? in->concurrency_max : UPSTREAM_CONCURRENCY_DEFAULT;
    u->timeout_ms = in->timeout_ms ? *in->timeout_ms : UPSTREAM_TIMEOUT_MS;
    u->idle_ms = in->idle_ms ? *in->idle_ms : UPSTREAM_IDLE_MS;
    u->patience_ms = in->patience_ms ? *in->patience_ms : UPSTREAM_PATIENCE_MS;
    if (u->timeout_ms == 0)
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "timeout_ms is 0; a request that hangs must end: write 1 or more");
    if (u->concurrency > UPSTREAM_CONCURRENCY_MAX || u->concurrency_max > UPSTREAM_CONCURRENCY_MAX)
        return error_set(e, ERROR_INVALID_ARGUMENT, "at most %d requests can be open at once",
                         UPSTREAM_CONCURRENCY_MAX);
    if (u->concurrency > u->concurrency_max)
        u->concurrency_max = u->concurrency;
    return 0;
}
