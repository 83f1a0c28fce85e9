#include "app/cli/command.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "app/cli/console.h"
#include "app/cli/options.h"
#include "base/mem.h"
#include "base/fault.h"

const struct command *const commands[] = {
    &command_run,
    &command_validate,
    &command_models,
    &command_serve,
    &command_keys,
    &command_backup,
    &command_submit,
    &command_jobs,
    &command_get,
    &command_watch,
    &command_results,
    &command_cost,
    &command_upstreams,
    &command_cancel,
    &command_pause,
    &command_resume,
    &command_retry,
    &command_delete,
    &command_ls,
    &command_cp,
    &command_rm,
    &command_mb,
    &command_version,
    &command_help_command,
    &command_man_command,
    &command_completion_command,
    NULL,
};

/* What may stand for a command as an option. */
static const struct {
    const char *option, *command;
} aliases[] = {
    { "--help", "help" },
    { "-h", "help" },
    { "--version", "version" },
    { "-V", "version" },
};

static enum exit_code no_command(void);
static enum exit_code unknown_command(const char *name);
static enum exit_code command_start(const struct command *c, int argc, char **argv);

enum exit_code command_main(int argc, char **argv)
{
    console_guard_streams();
    fault_from_env();
    if (argc < 2)
        return no_command();
    const char *name = argv[1];
    for (size_t i = 0; i < ARRAY_LEN(aliases); i++)
        if (strcmp(name, aliases[i].option) == 0)
            name = aliases[i].command;
    const struct command *c = command_find(name);
    return c ? command_start(c, argc - 1, argv + 1) : unknown_command(name);
}

const struct command *command_find(const char *name)
{
    for (size_t i = 0; commands[i]; i++)
        if (strcmp(commands[i]->name, name) == 0)
            return commands[i];
    return NULL;
}

static enum exit_code no_command(void)
{
    struct buf text = BUF_INIT(HELP_BYTES_MAX);

    command_overview(&text);
    console_write(STDERR_FILENO, buf_str(&text));
    buf_release(&text);
    return EXIT_USAGE;
}

static enum exit_code unknown_command(const char *name)
{
    struct console c;
    struct nearest n = { .word = name };

    console_init(&c, false, NULL);
    for (size_t i = 0; commands[i]; i++)
        if (!commands[i]->hidden)
            nearest_offer(&n, commands[i]->name);
    if (n.best)
        console_error(&c, "unknown command %s; did you mean `tranche %s`?", name, n.best);
    else if (access(name, F_OK) == 0)
        console_error(&c, "%s is a file, not a command; did you mean `tranche run %s`?", name,
                      name);
    else
        console_error(&c, "unknown command %s; `tranche help` lists all", name);
    return EXIT_USAGE;
}

static enum exit_code command_start(const struct command *c, int argc, char **argv)
{
    struct arguments a = { 0 };
    struct error e = { 0 };
    struct console console;
    enum exit_code code = EXIT_USAGE;

    if (options_parse(c, argc, argv, &a, &e) < 0) {
        console_init(&console, false, NULL);
        console_error(&console, "%s: %s", c->name, e.msg);
        console_note(&console, "`tranche %s --help` says what it takes", c->name);
    } else if (a.help) {
        struct buf text = BUF_INIT(HELP_BYTES_MAX);
        command_help(c, &text);
        console_write(STDOUT_FILENO, buf_str(&text));
        buf_release(&text);
        code = EXIT_OK;
    } else {
        code = c->run(a.options, a.argument, a.count);
    }
    options_release(&a);
    return code;
}
