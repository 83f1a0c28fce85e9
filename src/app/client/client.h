/* client.h -- what the client commands share: where the service is, who asks, and one call to it.
 *
 * Why: jobs are the Vertex dialect and objects are Cloud Storage's, so that the same commands work
 * against `tranche serve` and against Google's own endpoints. Only the key "tranche" of a job and
 * the verbs that Google lacks are ours.
 *
 * Shape:   client_run reads options and environment and calls the command's work; client_do is one
 *          exchange, tried again while that can help; client_json reads its answer.
 * Secrets: a key or token comes from the environment alone, and goes only to the two servers.
 * Errors:  in the user's words, with a remedy. The code is the answer's, else its HTTP status'.
 * Threads: the main thread.
 * Source:  docs/reference/cli.md, "Client commands"
 */
#ifndef TRANCHE_APP_CLIENT_CLIENT_H
#define TRANCHE_APP_CLIENT_CLIENT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "app/cli/command.h"
#include "app/cli/terminal.h"
#include "base/json.h"
#include "base/mem.h"
#include "net/client/http_client.h"

#define CLIENT_SERVER_DEFAULT "http://127.0.0.1:8080"
#define CLIENT_PROJECT_DEFAULT "default"
#define CLIENT_LOCATION_DEFAULT "us-central1"
#define CLIENT_ANSWER_BYTES_MAX ((size_t)64 * 1024 * 1024)
#define CLIENT_CALL_MS 120000 /* of one exchange that streams nothing */

/* The first member of each client command's options. */
struct client_options {
    const char *server, *project, *location;
    bool quiet;
};
// clang-format off
#define STORAGE_OPTIONS \
    OPT_TEXT("server", 0, client.server, "URL", "URL of the service (default $TRANCHE_SERVER, else " CLIENT_SERVER_DEFAULT ")"), \
    OPT_TEXT("project", 'p', client.project, "NAME", "project of jobs and objects (default $TRANCHE_PROJECT, else " CLIENT_PROJECT_DEFAULT ")"), \
    OPT_FLAG("quiet", 'q', client.quiet, "print only errors")
#define CLIENT_OPTIONS STORAGE_OPTIONS, \
    OPT_TEXT("location", 0, client.location, "REGION", "region of the jobs (default " CLIENT_LOCATION_DEFAULT ")")
// clang-format on

struct client {
    const struct command *command;
    struct terminal terminal;
    const char *server, *storage; /* URLs without a slash at their end */
    const char *project, *location;
    const char *auth;    /* the header with the credential; NULL: none */
    const char *ca_file; /* $TRANCHE_CA_FILE or NULL */
    bool google;         /* the service is Google's: it knows no extensions */
    bool reached; /* it has answered once: from then on a lost connection is a passing fault */
    bool patient; /* go on trying for minutes: a service may be restarted meanwhile */
    const atomic_bool *stop;
    uint64_t seed;
    struct http_client *http;
    struct arena arena; /* texts that live as long as the command */
};

/* The work of a client command, between the opening of the client and its end. */
struct client_work {
    /* *code, EXIT_OK before: how the command ends when nothing fails. */
    int (*run)(struct client *c, const struct arguments *given, enum exit_code *code,
               struct error *e);
};
/* The one runner of client commands: opens the client, does the work, prints the error, and chooses
 * the exit code. */
enum exit_code client_run(const struct command *c, const struct arguments *given);
#define CLIENT_RUN(work_of_it)                                                                     \
    .run = client_run, .work = &(const struct client_work)                                         \
    {                                                                                              \
        work_of_it                                                                                 \
    }

struct client_call {
    const char *method, *url;
    struct str body;           /* JSON */
    const char *const *header; /* more headers, until NULL; or NULL */
    bool once;   /* must not be carried out twice: tried again only where it surely was not */
    bool single; /* is never tried again, has all the time it needs, and the body is bytes */
    /* Streams the answer; when some of it has come nothing is tried again. */
    int (*on_body)(void *arg, const void *p, size_t len, struct error *e);
    void *arg;
};
/* A status 2xx or 308 is 0 and *in, which the caller releases; else -1 and nothing to release. */
int client_do(struct client *c, const struct client_call *call, struct http_in *in,
              struct error *e) FALLIBLE;
/* The answer as JSON in the arena, and its text. */
yyjson_val *client_json(struct client *c, const struct client_call *call, struct arena *a,
                        struct str *text, struct error *e) FALLIBLE;
/* Waits, less when the user stops: -1 with CANCELLED. */
int client_sleep(struct client *c, uint32_t ms, struct error *e) FALLIBLE;

/* A URL in the arena: the text, and each "{}" in it replaced by the next argument, percent-encoded. */
const char *client_url(struct client *c, const char *base, const char *path,
                       const struct str *argument);
/* The URL of a job's resource, with ":verb" when there is one. id: its digits or its full name. */
const char *client_job_url(struct client *c, const char *id, const char *verb, struct error *e);
const char *client_jobs_url(struct client *c); /* the collection */
/* Says that this service cannot do it; for verbs and options that Google lacks. */
int client_needs_tranche(const struct client *c, const char *what, struct error *e) FALLIBLE;

/* JSON as it came, without the white space between its tokens. */
void client_compact(struct str json, struct buf *out);

#endif
