/* cmd_help.c -- `help`, `version`, and the hidden `man` and `completion`. */
#include "app/cli/command.h"

#include <unistd.h>

#include "app/cli/help.h"
#include "app/cli/options.h"
#include "app/cli/terminal.h"
#include "base/json_write.h"

static enum exit_code print_and_release(struct buf *text)
{
    terminal_write(STDOUT_FILENO, buf_str(text));
    buf_release(text);
    return EXIT_OK;
}

static enum exit_code help_unknown(const char *name)
{
    struct terminal t;
    struct nearest n = { .word = name };

    terminal_init(&t, false, NULL);
    for (size_t i = 0; commands[i]; i++)
        nearest_offer(&n, commands[i]->name);
    for (size_t i = 0; topics[i].name; i++)
        nearest_offer(&n, topics[i].name);
    if (n.best)
        terminal_error(&t, "there is no help on %s; did you mean %s?", name, n.best);
    else
        terminal_error(&t, "there is no help on %s; `tranche help` lists the commands", name);
    return EXIT_USAGE;
}

static enum exit_code help_run(const struct command *self, const struct arguments *given)
{
    struct buf text = BUF_INIT(HELP_BYTES_MAX);
    const char *name = given->count ? given->argument[0] : NULL;
    const struct command *c = name ? command_find(name) : NULL;
    const struct topic *t = name ? help_topic(name) : NULL;

    (void)self;
    if (!name)
        help_write_overview(&text);
    else if (c)
        help_write_command(c, &text);
    else if (t)
        help_write_topic(t, &text);
    else
        return help_unknown(name);
    return print_and_release(&text);
}

const struct command command_help = {
    .name = "help",
    .summary = "print help on commands, exit codes, configuration, environment",
    .arguments = "[COMMAND | exit-codes | config | schema | environment]",
    .about = "",
    .arguments_max = 1,
    .run = help_run,
};

struct version_options {
    bool json;
};
#define OPTIONS struct version_options
static const struct option_spec version_options[] = {
    OPT_FLAG("json", 0, json, "print a JSON object"),
    { 0 },
};

static enum exit_code version_run(const struct command *c, const struct arguments *given)
{
    const struct version_options *o = given->options;
    struct buf text = BUF_INIT(HELP_BYTES_MAX);
    struct json_writer w = JSON_WRITER(&text);

    (void)c;
    if (o->json) {
        json_object(&w, NULL);
        json_add_c(&w, "name", "tranche");
        json_add_c(&w, "version", TRANCHE_VERSION);
        json_add_bool(&w, "embedded_engine", TRANCHE_LOCAL);
        json_end(&w);
        buf_add_char(&text, '\n');
    } else {
        buf_addf(&text, "tranche %s%s\n", TRANCHE_VERSION,
                 TRANCHE_LOCAL ? "" : " (without the embedded engine)");
    }
    return print_and_release(&text);
}

const struct command command_version = {
    .name = "version",
    .summary = "print the version",
    .arguments = "",
    .about = "",
    .options = version_options,
    .options_bytes = sizeof(struct version_options),
    .run = version_run,
};

static enum exit_code man_run(const struct command *c, const struct arguments *given)
{
    struct buf text = BUF_INIT(HELP_BYTES_MAX);

    (void)c;
    (void)given;
    help_write_man(&text);
    return print_and_release(&text);
}

const struct command command_man = {
    .name = "man",
    .summary = "print the man page as roff",
    .arguments = "",
    .about = "To read it: tranche man | man -l -",
    .hidden = true,
    .run = man_run,
};

static enum exit_code completion_run(const struct command *c, const struct arguments *given)
{
    struct buf text = BUF_INIT(HELP_BYTES_MAX);
    struct error e = { 0 };
    struct terminal t;

    (void)c;
    if (help_write_completion(given->argument[0], &text, &e) == 0)
        return print_and_release(&text);
    terminal_init(&t, false, NULL);
    terminal_error(&t, "completion: %s", e.msg);
    return EXIT_USAGE;
}

const struct command command_completion = {
    .name = "completion",
    .summary = "print the completion script of a shell",
    .arguments = "bash|fish|zsh",
    .about = "",
    .arguments_min = 1,
    .arguments_max = 1,
    .hidden = true,
    .run = completion_run,
};
