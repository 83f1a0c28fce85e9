#include "app/run/submit_to.h"

#include <assert.h>
#include <string.h>

#include "app/config/config.h"
#include "app/run/run.h"
#include "net/server/http_server.h"
#include "base/env.h"

#define URL_BYTES_MAX ((size_t)16 * 1024)
#define LOCATION_DEFAULT "us-central1"
#define CREDENTIALS_VARIABLE "GOOGLE_APPLICATION_CREDENTIALS"

/* The model made of the options; its strings are those of the command line and the environment. */
struct google_batch {
    struct upstream upstream;
    struct model model;
    struct arena arena;
};

bool submit_to_given(const struct submit_to *to)
{
    return to->to || to->endpoint || to->staging || to->state || to->retry_failed || to->fresh;
}

static const char *or_env(const char *option, const char *variable)
{
    return option ? option : env_get(variable);
}

/* "https://host/" without its slashes; false when it is not a URL. */
static bool cut_url(const char *url, struct str *out)
{
    *out = str_of(url);
    while (str_ends(*out, STR("/")))
        out->len--;
    return str_starts(*out, STR("http://")) || str_starts(*out, STR("https://"));
}

static bool has_path(struct str url)
{
    size_t host = str_find(url, STR("://")) + 3;

    return str_find(str_sub(url, host, url.len), STR("/")) != SIZE_MAX;
}

/* A region has a host of its own. */
static void vertex_url(const struct submit_request *w, struct str endpoint, const char *project,
                       struct buf *out)
{
    const char *location = or_env(w->location, "TRANCHE_LOCATION");

    if (!location)
        location = LOCATION_DEFAULT;
    if (endpoint.len)
        buf_add_str(out, endpoint);
    else if (strcmp(location, "global") == 0)
        buf_add_c(out, "https://aiplatform.googleapis.com");
    else
        buf_addf(out, "https://%s-aiplatform.googleapis.com", location);
    buf_add_c(out, "/v1/projects/");
    http_encode(str_of(project), out);
    buf_add_c(out, "/locations/");
    http_encode(str_of(location), out);
}

static int make_url(struct google_batch *f, const struct submit_request *w, struct error *e)
{
    const char *project = or_env(w->project, "TRANCHE_PROJECT");
    struct buf url = BUF_INIT(URL_BYTES_MAX);
    struct str endpoint = { 0 };

    if (w->to->endpoint && !cut_url(w->to->endpoint, &endpoint))
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "--endpoint is \"%s\", which is not a URL; write https://HOST",
                         w->to->endpoint);
    bool whole = endpoint.len && has_path(endpoint);
    bool vertex = strcmp(w->to->to, "vertex") == 0;
    if (vertex && !whole && !project)
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "--to vertex needs --project, or $TRANCHE_PROJECT: whose job is it?");
    if (whole)
        buf_add_str(&url, endpoint);
    else if (vertex)
        vertex_url(w, endpoint, project, &url);
    else
        buf_addf(
            &url, "%.*s/v1beta",
            STR_ARG(endpoint.len ? endpoint : STR("https://generativelanguage.googleapis.com")));
    f->upstream.url = arena_copy(&f->arena, url.p, url.len);
    buf_release(&url);
    return 0;
}

static int take_credential(struct google_batch *f, struct error *e)
{
    struct credential_spec *c = &f->upstream.credential;

    assert(f->upstream.url);
    c->secret = env_get(UPSTREAM_KEY_VARIABLE);
    if (!c->secret)
        c->service_account = env_get(CREDENTIALS_VARIABLE);
    if (c->secret || c->service_account || !strstr(f->upstream.url, ".googleapis.com"))
        return 0;
    return error_set(e, ERROR_INVALID_ARGUMENT,
                     "Google wants to know who asks: set " UPSTREAM_KEY_VARIABLE
                     " to a key or token, or " CREDENTIALS_VARIABLE
                     " to the file of a service account");
}

static int make_model(struct google_batch *f, const struct submit_request *w, struct error *e)
{
    const char *name = or_env(w->model, "TRANCHE_MODEL");

    assert(w->to->to);
    if (!name || strlen(name) >= MODEL_NAME_BYTES)
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "which model? Name it with --model, or in $TRANCHE_MODEL");
    if (strcmp(w->to->to, "vertex") == 0 && !w->to->staging)
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "--to vertex needs --staging gs://BUCKET/PREFIX, a place for requests "
                         "and answers");
    if (make_url(f, w, e) < 0 || take_credential(f, e) < 0)
        return -1;
    f->upstream.name = w->to->to;
    f->upstream.wire = WIRE_GEMINI;
    f->upstream.ca_file = env_get("TRANCHE_CA_FILE");
    f->upstream.patience_ms = UPSTREAM_PATIENCE_MS;
    f->model = (struct model){
        .pattern = name,
        .kind = MODEL_REMOTE_BATCH,
        .about = f->upstream.url,
        .upstream = { { .upstream = &f->upstream, .model = name, .weight = 1 } },
        .upstream_count = 1,
        .staging = w->to->staging,
    };
    return 0;
}

enum exit_code submit_to(const struct submit_request *w)
{
    struct google_batch f = { 0 };
    struct terminal t;
    struct error e = { 0 };
    enum exit_code code;

    if (!w->to->to)
        (void)error_set(&e, ERROR_INVALID_ARGUMENT,
                        "--endpoint, --staging, --state, --fresh and --retry-failed go with --to");
    if (e.code != ERROR_OK || make_model(&f, w, &e) < 0) {
        terminal_init(&t, w->quiet, NULL);
        terminal_error(&t, "%s", e.msg);
        code = EXIT_USAGE;
    } else {
        const struct run_options o = {
            .output = w->output,
            .model = f.model.pattern,
            .retry_failed = w->to->retry_failed,
            .state = w->to->state,
            .strict = w->strict,
            .json = w->json,
            .fresh = w->to->fresh,
            .overwrite = w->to->overwrite,
            .quiet = w->quiet,
            .given = &f.model,
            .detach = !w->watch,
        };
        struct run r = { .o = &o, .path = w->path, .path_count = w->path_count };
        code = run_all(&r);
    }
    arena_release(&f.arena);
    return code;
}
