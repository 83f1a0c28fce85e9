/* cmd_migrate.c -- `tranche migrate`: a state folder's way to PostgreSQL and a bucket. */
#include "app/cli/command.h"

#include <stdio.h>

#include "app/cli/human.h"
#include "app/cli/terminal.h"
#include "app/serve/serve.h"
#include "base/mem.h"
#include "net/client/http_client.h"
#include "store/migrate/migrate.h"
#include "store/store.h"

struct migrate_options {
    const char *config, *state, *store, *bucket;
};

static void show_step(void *arg, const char *text)
{
    terminal_note(arg, "%s", text);
}

/* Says which things stay behind, and the way to keep them. */
static void show_rest(struct terminal *t, const struct store_migration *m, const char *dir)
{
    if (m->table_files)
        terminal_note(t,
                      "not moved: the tables of %llu projects, in %s/tables. A service of several "
                      "processes uses BigQuery: `tranche table` exports them",
                      (unsigned long long)m->table_files, dir);
    if (m->model_files)
        terminal_note(
            t,
            "not moved: %llu files of tuned models. Copy %s/models into the state folder of "
            "each process",
            (unsigned long long)m->model_files, dir);
    if (m->kept_files)
        terminal_note(t,
                      "not moved: the answers of earlier jobs that are kept for `reuse`; a service "
                      "of several processes keeps none");
}

static void show_done(struct terminal *t, const struct store_migration *m, const char *dir)
{
    if (m->done_before) {
        terminal_note(t, "%s was migrated there before; nothing was done", dir);
        show_rest(t, m, dir);
        return;
    }
    terminal_note(
        t,
        "migrated: %llu rows of %llu tables, %llu blobs with %llu bytes (%llu sent now), each "
        "compared with its CRC-32C",
        (unsigned long long)m->rows, (unsigned long long)m->tables, (unsigned long long)m->blobs,
        (unsigned long long)m->blob_bytes, (unsigned long long)m->sent);
    terminal_note(
        t,
        "%llu jobs, of which %llu are open and go on there, %llu answers, %llu unfinished uploads",
        (unsigned long long)m->jobs, (unsigned long long)m->open_jobs,
        (unsigned long long)m->answers, (unsigned long long)m->uploads);
    show_rest(t, m, dir);
    terminal_note(t,
                  "%s is as it was: keep it until the new service has been looked at, and start no "
                  "server on it",
                  dir);
}

/* The folder is the source here, so the target's own place is inside it. */
static int migrate_from(const char *dir, const struct store_place *to, struct terminal *t,
                        struct error *e)
{
    struct store_migration m = {
        .database = to->database, .bucket = to->bucket, .on_step = show_step, .arg = t
    };
    struct store *s = store_open(dir, true, clock_system(), e);
    int rc = s ? store_migrate(s, &m, e) : -1;

    store_close(s);
    if (rc == 0)
        show_done(t, &m, dir);
    return rc;
}

static int migrate(const struct migrate_options *o, struct terminal *t, struct arena *a,
                   struct error *e)
{
    const struct serve_place place = { o->config, o->state, o->store, o->bucket };
    struct store_place to;
    struct config config;
    int rc = config_load(o->config, &config, e);

    if (rc == 0)
        rc = serve_store_place(a, &place, &config.service, false, &to, e);
    if (rc == 0 && !to.database)
        rc = error_set(e, ERROR_INVALID_ARGUMENT, "--store and --bucket say where it goes");
    const char *dir = rc == 0 ? serve_existing_dir(a, o->state, e) : NULL;
    rc = dir ? migrate_from(dir, &to, t, e) : -1;
    config_release(&config);
    return rc;
}

static enum exit_code migrate_run(const struct command *c, const struct arguments *given)
{
    struct terminal terminal;
    struct arena arena = { 0 };
    struct error e = { 0 };

    (void)c;
    terminal_init(&terminal, false, NULL);
    int rc = http_client_init(&e) < 0 ? -1 : migrate(given->options, &terminal, &arena, &e);
    if (rc < 0)
        terminal_error(&terminal, "%s", e.msg);
    arena_release(&arena);
    if (rc == 0)
        return EXIT_OK;
    return e.code == ERROR_INVALID_ARGUMENT || e.code == ERROR_NOT_FOUND ? EXIT_USAGE
                                                                         : EXIT_STOPPED;
}

#define OPTIONS struct migrate_options
static const struct option_spec options[] = {
    OPT_DIR("state", 0, state, "the server's state folder; no server may run on it"),
    OPT_TEXT("store", 0, store, "URL", "empty PostgreSQL database: postgres://USER@HOST/NAME"),
    OPT_TEXT("bucket", 0, bucket, "URL", "s3://NAME/PREFIX, gs://NAME/PREFIX or file:///FOLDER"),
    OPT_FILE("config", 'c', config, "configuration, for service.store and service.bucket"),
    { 0 },
};

const struct command command_migrate = {
    .name = "migrate",
    .summary = "move the service's state to PostgreSQL and a bucket",
    .arguments = "",
    .about =
        "The way from one process to several: jobs, objects, files, keys, webhooks, unfinished "
        "uploads "
        "and answers go along, and open jobs continue there. Stop the server first. The database "
        "must "
        "be empty. When the command is interrupted, call it again: it goes on, and a server "
        "refuses the "
        "database until it has ended. The folder stays as it is. Tables, kept answers and files of "
        "tuned models stay behind; the command says so, and what to do.",
    .options = options,
    .options_bytes = sizeof(struct migrate_options),
    .run = migrate_run,
};
