#include "app/client/client.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/clock.h"
#include "net/server/http_server.h"
#include "base/env.h"

#define GOOGLE_STORAGE "https://storage.googleapis.com"
#define URL_BYTES_MAX ((size_t)16 * 1024)

static bool is_google(const char *url)
{
    struct str host = str_of(url);

    size_t scheme = str_find(host, STR("://"));
    if (scheme != SIZE_MAX)
        host = str_sub(host, scheme + 3, host.len);
    return str_ends(host, STR(".googleapis.com"));
}

static const char *first_of(const char *option, const char *variable, const char *otherwise)
{
    const char *value = option ? option : env_get(variable);

    return value ? value : otherwise;
}

/* Without its slash at the end. A host alone is refused, because http or https must be said. */
static const char *base_url(struct client *c, const char *url, const char *from, struct error *e)
{
    struct str s = str_of(url);

    while (str_ends(s, STR("/")))
        s.len--;
    if (!str_starts(s, STR("http://")) && !str_starts(s, STR("https://"))) {
        (void)error_set(e, ERROR_INVALID_ARGUMENT,
                        "%s is \"%s\", which is not a URL; write http://HOST:PORT or https://HOST",
                        from, url);
        return NULL;
    }
    return arena_copy(&c->arena, s.p, s.len);
}

/* A key sent without TLS to another machine can be read on the way. */
static void warn_of_clear_text(const struct client *c, const char *url)
{
    static const char *const here[] = { "https://", "http://127.", "http://localhost",
                                        "http://[::1]" };

    for (size_t i = 0; i < ARRAY_LEN(here); i++)
        if (str_starts(str_of(url), str_of(here[i])))
            return;
    terminal_warn(&c->terminal, "the key goes to %s in clear text; use https", url);
}

static int read_credential(struct client *c, struct error *e)
{
    const char *token = env_get("TRANCHE_TOKEN"), *key = env_get("TRANCHE_API_KEY");
    const char *value = token ? token : key;
    struct buf line = BUF_INIT(URL_BYTES_MAX);

    if (!value)
        return 0;
    buf_addf(&line, "%s%s", token ? "Authorization: Bearer " : "x-goog-api-key: ", value);
    if (!buf_ok(&line) || value[strcspn(value, "\r\n\t ")] != '\0') {
        buf_release(&line);
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "$%s holds a space or a line break; copy the %s alone",
                         token ? "TRANCHE_TOKEN" : "TRANCHE_API_KEY", token ? "token" : "key");
    }
    c->auth = arena_copy(&c->arena, line.p, line.len);
    buf_release(&line);
    warn_of_clear_text(c, c->server);
    return 0;
}

static int client_open(struct client *c, const struct client_options *o, struct error *e)
{
    struct clock *clock = clock_system();

    c->seed = (uint64_t)clock->wall_us(clock);
    terminal_init(&c->terminal, o->quiet, NULL);
    c->stop = stop_on_signals();
    c->ca_file = env_get("TRANCHE_CA_FILE");
    c->project = first_of(o->project, "TRANCHE_PROJECT", CLIENT_PROJECT_DEFAULT);
    c->location = first_of(o->location, "TRANCHE_LOCATION", CLIENT_LOCATION_DEFAULT);
    c->server = base_url(c, first_of(o->server, "TRANCHE_SERVER", CLIENT_SERVER_DEFAULT),
                         o->server ? "--server" : "TRANCHE_SERVER", e);
    if (!c->server)
        return -1;
    c->google = is_google(c->server);
    const char *storage =
        first_of(NULL, "TRANCHE_STORAGE_SERVER", c->google ? GOOGLE_STORAGE : c->server);
    c->storage = base_url(c, storage, "TRANCHE_STORAGE_SERVER", e);
    if (!c->storage || read_credential(c, e) < 0 || http_client_init(e) < 0)
        return -1;
    c->http = http_client_new();
    return 0;
}

/* Exit codes of failures. A code that is not here is an error in tranche or in the service. */
static const struct {
    enum error_code code;
    enum exit_code exit;
} exits[] = {
    { ERROR_INVALID_ARGUMENT, EXIT_USAGE },
    { ERROR_UNAUTHENTICATED, EXIT_USAGE },
    { ERROR_PERMISSION_DENIED, EXIT_USAGE },
    { ERROR_UNIMPLEMENTED, EXIT_USAGE },
    { ERROR_NOT_FOUND, EXIT_INPUT },
    { ERROR_ALREADY_EXISTS, EXIT_INPUT },
    { ERROR_FAILED_PRECONDITION, EXIT_INPUT },
    { ERROR_OUT_OF_RANGE, EXIT_INPUT },
    { ERROR_RESOURCE_EXHAUSTED, EXIT_STOPPED },
    { ERROR_UNAVAILABLE, EXIT_STOPPED },
    { ERROR_DEADLINE_EXCEEDED, EXIT_STOPPED },
    { ERROR_CANCELLED, EXIT_INTERRUPTED },
};

static enum exit_code exit_of(enum error_code code)
{
    for (size_t i = 0; i < ARRAY_LEN(exits); i++)
        if (exits[i].code == code)
            return exits[i].exit;
    return EXIT_INTERNAL;
}

enum exit_code client_run(const struct command *command, const struct arguments *given)
{
    const struct client_work *work = command->work;
    struct client c = { .command = command };
    enum exit_code code = EXIT_OK;
    struct error e = { 0 };
    int rc = client_open(&c, given->options, &e);

    if (rc == 0)
        rc = work->run(&c, given, &code, &e);
    if (rc < 0) {
        terminal_error(&c.terminal, "%s", e.msg);
        code = exit_of(e.code);
    }
    http_client_free(c.http);
    arena_release(&c.arena);
    return code;
}

/* ---- Names ---- */

const char *client_url(struct client *c, const char *base, const char *path,
                       const struct str *argument)
{
    struct buf url = BUF_INIT(URL_BYTES_MAX);

    http_url_fill(base, path, argument, &url);
    const char *out = arena_copy(&c->arena, url.p, url.len);
    buf_release(&url);
    return out;
}

const char *client_jobs_url(struct client *c)
{
    const struct str names[] = { str_of(c->project), str_of(c->location) };

    return client_url(c, c->server, "/v1/projects/{}/locations/{}/batchPredictionJobs", names);
}

/* "projects/P/locations/L/batchPredictionJobs/N" into P, L, N. */
static bool split_name(struct str name, struct str part[3])
{
    static const struct str word[] = { STR_INIT("projects/"), STR_INIT("/locations/"),
                                       STR_INIT("/batchPredictionJobs/") };

    for (size_t i = 0; i < 3; i++) {
        if (!str_starts(name, word[i]))
            return false;
        name = str_sub(name, word[i].len, name.len);
        part[i] = str_sub(name, 0, str_find(name, STR("/")));
        if (part[i].len == 0)
            return false;
        name = str_sub(name, part[i].len, name.len);
    }
    return name.len == 0;
}

const char *client_job_url(struct client *c, const char *id, const char *verb, struct error *e)
{
    struct str part[4] = { str_of(c->project), str_of(c->location), str_of(id), str_of(verb) };
    uint64_t number;

    if (!str_number(part[2], &number) &&
        !(split_name(str_of(id), part) && str_number(part[2], &number))) {
        (void)error_set(e, ERROR_INVALID_ARGUMENT,
                        "\"%s\" is not a job; write the digits that `tranche jobs` shows, or "
                        "projects/P/locations/L/batchPredictionJobs/DIGITS",
                        id);
        return NULL;
    }
    return client_url(c, c->server,
                      verb ? "/v1/projects/{}/locations/{}/batchPredictionJobs/{}:{}"
                           : "/v1/projects/{}/locations/{}/batchPredictionJobs/{}",
                      part);
}

int client_needs_tranche(const struct client *c, const char *what, struct error *e)
{
    if (!c->google)
        return 0;
    return error_set(e, ERROR_UNIMPLEMENTED, "%s is an extension of tranche; %s has no such thing",
                     what, c->server);
}

void client_compact(struct str json, struct buf *out)
{
    for (size_t at = json_space(json, 0); at < json.len; at = json_space(json, at)) {
        size_t end = json.p[at] == '"' ? json_skip(json, at) : at + 1;
        buf_add(out, json.p + at, end - at);
        at = end;
    }
}
