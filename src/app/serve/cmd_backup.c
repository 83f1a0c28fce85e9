/* cmd_backup.c -- `tranche backup`: a copy of the service's state while it runs. */
#include "app/cli/command.h"

#include "app/cli/terminal.h"
#include "app/serve/serve.h"
#include "store/backup/backup.h"
#include "store/store.h"

struct backup_options {
    const char *state;
};

static int backup(const char *state, const char *to, struct arena *a, struct error *e)
{
    const char *dir = serve_existing_dir(a, state, e);
    struct store *s = dir ? store_open(dir, false, clock_system(), e) : NULL;
    int rc = s ? store_backup(s, to, e) : -1;

    store_close(s);
    return rc;
}

static enum exit_code backup_run(const struct command *c, const struct arguments *given)
{
    const struct backup_options *o = given->options;
    struct terminal terminal;
    struct arena arena = { 0 };
    struct error e = { 0 };

    (void)c;
    terminal_init(&terminal, false, NULL);
    int rc = backup(o->state, given->argument[0], &arena, &e);
    if (rc < 0)
        terminal_error(&terminal, "%s", e.msg);
    else
        terminal_note(&terminal, "backed up; `tranche serve --state %s` serves the copy",
                      given->argument[0]);
    arena_release(&arena);
    if (rc == 0)
        return EXIT_OK;
    return e.code == ERROR_INVALID_ARGUMENT || e.code == ERROR_NOT_FOUND ? EXIT_USAGE
                                                                         : EXIT_STOPPED;
}

#define OPTIONS struct backup_options
static const struct option_spec options[] = {
    OPT_DIR("state", 0, state, "the server's state folder"),
    { 0 },
};

const struct command command_backup = {
    .name = "backup",
    .summary = "copy the service's state while it runs",
    .arguments = "TO",
    .about = "TO is a folder that does not exist or is empty. The copy is consistent: a server "
             "started on it finds every job and object as of the moment of the backup. On the same "
             "file system objects are linked, not copied.",
    .options = options,
    .options_bytes = sizeof(struct backup_options),
    .arguments_min = 1,
    .arguments_max = 1,
    .run = backup_run,
};
