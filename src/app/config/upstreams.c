/* upstreams.c -- the sections `upstreams` of the configuration and of a model, checked. */
#include "app/config/config.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "base/env.h"

#define POLL_MS_DEFAULT 30000

static bool is_url(const char *url)
{
    return url && (strncasecmp(url, "http://", 7) == 0 || strncasecmp(url, "https://", 8) == 0);
}

/* So that a path can be appended. */
static const char *without_slashes(struct config *c, const char *url)
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

static enum upstream_wire wire_of(uint32_t dialect, const char *url)
{
    if (dialect == UPSTREAM_BY_URL)
        dialect = strstr(url, "googleapis.com") ? UPSTREAM_GEMINI : UPSTREAM_OPENAI;
    return dialect == UPSTREAM_GEMINI ? WIRE_GEMINI : WIRE_OPENAI;
}

static void check_credential(struct config *c, const struct upstream_entry *in, struct upstream *u)
{
    struct credential_spec *spec = &u->credential;

    if ((in->key_env != NULL) + (spec->secret_file != NULL) + (spec->service_account != NULL) > 1)
        config_error(c, in, NULL, "one of key_env, key_file and service_account is enough");
    spec->secret = in->key_env ? env_get(in->key_env) : NULL;
    if (in->key_env && !spec->secret)
        config_error(c, in, "key_env", "the environment variable %s is not set", in->key_env);
}

static void check_headers(struct config *c, const struct upstream_entry *in)
{
    const char *const *header = in->upstream.header;

    for (uint32_t i = 0; header && header[i]; i++) {
        const char *colon = strchr(header[i], ':');
        if (!colon || colon == header[i] || strpbrk(header[i], "\r\n"))
            config_error(c, in, "headers", "the item %u must be a line such as \"X-Team: search\"",
                         i + 1);
    }
}

/* Both kinds of upstream: from the file, from --upstream. */
static void complete(struct config *c, struct upstream *u, uint32_t dialect, int8_t inline_files)
{
    u->url = without_slashes(c, u->url);
    u->wire = wire_of(dialect, u->url);
    u->inline_files = inline_files < 0 ? !is_vertex(u) : inline_files;
    if (u->concurrency_max == 0)
        u->concurrency_max = UPSTREAM_CONCURRENCY_DEFAULT;
    if (u->concurrency > u->concurrency_max)
        u->concurrency_max = u->concurrency;
}

static void take_upstream(struct config *c, const struct upstream_entry *in, struct upstream *u)
{
    *u = in->upstream;
    if (!u->name || strlen(u->name) >= UPSTREAM_NAME_BYTES)
        config_error(c, in, "name",
                     "an upstream needs a name of at most %d bytes, such as \"vllm\"",
                     UPSTREAM_NAME_BYTES - 1);
    if (!is_url(u->url)) {
        config_error(c, in, "url", "an upstream needs a url, such as http://127.0.0.1:8000/v1");
        return;
    }
    complete(c, u, in->dialect, in->inline_files);
    if (u->proxy && strcmp(u->proxy, "none") == 0)
        u->proxy = "";
    check_credential(c, in, u);
    check_headers(c, in);
}

void config_upstreams_load(struct config *c)
{
    const struct upstream_entry *in = c->upstreams.item;

    c->upstream_count = c->upstreams.count;
    c->upstream = arena_array(&c->arena, c->upstream_count + 1, sizeof *c->upstream);
    for (uint32_t i = 0; i < c->upstream_count; i++) {
        struct upstream *u = &c->upstream[i];
        if (config_clean(c, &in[i]))
            take_upstream(c, &in[i], u);
        else
            *u = in[i].upstream; /* models that name it have no fault */
        for (uint32_t k = 0; k < i; k++)
            if (u->name && str_eq(str_of(c->upstream[k].name), str_of(u->name)))
                config_error(c, &in[i], "name", "the name %s stands twice", u->name);
    }
}

/* ---- From --upstream ---- */

/* "http://127.0.0.1:8000/v1" gives "127.0.0.1:8000". */
static const char *host_of(struct arena *a, const char *url)
{
    const char *from = strstr(url, "://") + 3;
    size_t len = strcspn(from, "/?#");

    return arena_copy(a, from, len < UPSTREAM_NAME_BYTES ? len : UPSTREAM_NAME_BYTES - 1);
}

static int options_check(const struct upstream_options *o, struct error *e)
{
    const char *host = is_url(o->url) ? strstr(o->url, "://") + 3 : "";

    if (!*host || memchr(host, '@', strcspn(host, "/?#")))
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "--upstream must be a URL such as http://127.0.0.1:8000/v1, without user "
                         "or password");
    if (!o->model || !*o->model || strlen(o->model) >= MODEL_NAME_BYTES)
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "--upstream needs --model, the model's name there");
    return 0;
}

const struct model *config_upstream_model(struct config *c, const struct upstream_options *o,
                                          struct error *e)
{
    struct upstream_entry *in;
    struct model *m = arena_alloc(&c->arena, sizeof *m);
    uint32_t dialect = UPSTREAM_BY_URL;

    if (options_check(o, e) < 0)
        return NULL;
    if (o->dialect) /* --dialect takes these two alone */
        dialect = strcmp(o->dialect, "gemini") == 0 ? UPSTREAM_GEMINI : UPSTREAM_OPENAI;
    in = config_upstream_entry(c);
    struct upstream *u = &in->upstream;
    u->name = host_of(&c->arena, o->url);
    u->url = o->url;
    u->credential.secret = env_get(UPSTREAM_KEY_VARIABLE);
    u->max_rpm = o->max_rpm;
    u->max_tpm = o->max_tpm;
    complete(c, u, dialect, -1);
    *m = (struct model){ .pattern = o->model, .kind = MODEL_UPSTREAM, .about = u->url };
    m->upstream[m->upstream_count++] =
        (struct model_upstream){ .upstream = u, .model = o->model, .weight = 1 };
    return m;
}

/* ---- Models ---- */

static void take_model_upstream(struct config *c, const struct model *model,
                                const struct model_upstream_entry *in, struct model_upstream *out)
{
    *out = (struct model_upstream){ .model = in->model ? in->model : model->pattern,
                                    .weight = in->weight };
    for (uint32_t i = 0; in->upstream && i < c->upstream_count; i++)
        if (str_eq(str_of(c->upstream[i].name), str_of(in->upstream)))
            out->upstream = &c->upstream[i];
    if (!out->upstream)
        config_error(c, in, "upstream", "\"%s\" is not one of the section `upstreams`",
                     in->upstream ? in->upstream : "");
    if (!in->model && model->pattern && strpbrk(model->pattern, "*?"))
        config_error(c, in, "model",
                     "the model's name is a pattern: say which `model` is asked for there");
    out->has_price = in->price != NULL;
    if (in->price)
        out->price = config_price(in->price);
}

static void check_weights(struct config *c, const struct model_entry *in, const struct model *m)
{
    for (uint32_t i = 0; i < m->upstream_count; i++)
        if (m->upstream[i].weight > 0)
            return;
    config_error(c, in, "upstreams",
                 "the model needs `upstreams`, at least one of them with a weight above 0");
}

static void check_remote(struct config *c, const struct model_entry *in, struct model *m)
{
    const struct upstream *u = m->upstream[0].upstream;

    if (m->kind != MODEL_REMOTE_BATCH)
        return;
    m->poll_ms = m->poll_ms ? m->poll_ms : POLL_MS_DEFAULT;
    if (m->upstream_count != 1 || (u && u->url && u->wire != WIRE_GEMINI))
        config_error(c, in, "upstreams", "a remote batch has one upstream, of dialect gemini");
    else if (u && u->url && is_vertex(u) && (!m->staging || strncmp(m->staging, "gs://", 5) != 0))
        config_error(c, in, "staging",
                     "a remote batch on Vertex needs `staging`, such as gs://bucket/prefix");
}

void config_model_upstreams(struct config *c, const struct model_entry *in, struct model *m)
{
    const struct model_upstream_entry *of = in->upstreams.item;

    if (m->kind != MODEL_UPSTREAM && m->kind != MODEL_REMOTE_BATCH) {
        if (in->upstreams.count || m->staging)
            config_error(c, in, in->upstreams.count ? "upstreams" : "staging",
                         "`upstreams` is for models of kind upstream or remote-batch");
        m->spill_after_ms = m->poll_ms = 0;
        return;
    }
    for (uint32_t i = 0; i < in->upstreams.count; i++)
        take_model_upstream(c, m, &of[i], &m->upstream[m->upstream_count++]);
    check_weights(c, in, m);
    check_remote(c, in, m);
}
