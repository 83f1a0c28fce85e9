/* cmd_help.c -- `help`, `version`, and the hidden `man` and `completion`. */
#include "app/cli/command.h"

#include <unistd.h>

#include "app/cli/console.h"
#include "app/cli/options.h"

static const struct option_spec no_options[] = { { 0 } };

static enum exit_code print_and_release(struct buf *text)
{
    console_write(STDOUT_FILENO, buf_str(text));
    buf_release(text);
    return EXIT_OK;
}

static enum exit_code help_unknown(const char *name)
{
    struct console c;
    struct nearest n = { .word = name };

    console_init(&c, false, NULL);
    for (size_t i = 0; commands[i]; i++)
        nearest_offer(&n, commands[i]->name);
    for (uint32_t i = 0; command_topic_at(i); i++)
        nearest_offer(&n, command_topic_at(i));
    if (n.best)
        console_error(&c, "there is no help on %s; did you mean %s?", name, n.best);
    else
        console_error(&c, "there is no help on %s; `tranche help` lists the commands", name);
    return EXIT_USAGE;
}

static enum exit_code help_run(const void *options, const char *const *argument, uint32_t count)
{
    struct buf text = BUF_INIT(HELP_BYTES_MAX);

    (void)options;
    const struct command *c = count ? command_find(argument[0]) : NULL;
    if (count == 0)
        command_overview(&text);
    else if (c)
        command_help(c, &text);
    else if (!command_topic(argument[0], &text))
        return help_unknown(argument[0]);
    return print_and_release(&text);
}

const struct command command_help_command = {
    .name = "help",
    .summary = "what a command takes; exit codes, configuration, environment",
    .arguments = "[COMMAND | exit-codes | config | environment]",
    .about = "",
    .options = no_options,
    .arguments_max = 1,
    .run = help_run,
};

struct version_options {
    bool json;
};
static const struct option_spec version_options[] = {
    { .name = "json",
      .type = OPTION_FLAG,
      .offset = offsetof(struct version_options, json),
      .about = "as a JSON object" },
    { 0 },
};

static enum exit_code version_run(const void *options, const char *const *argument, uint32_t count)
{
    const struct version_options *o = options;
    struct buf text = BUF_INIT(HELP_BYTES_MAX);

    (void)argument;
    (void)count;
    if (o->json)
        buf_addf(&text, "{\"name\":\"tranche\",\"version\":\"%s\",\"embedded_engine\":%s}\n",
                 TRANCHE_VERSION, TRANCHE_LOCAL ? "true" : "false");
    else
        buf_addf(&text, "tranche %s%s\n", TRANCHE_VERSION,
                 TRANCHE_LOCAL ? "" : " (without the embedded engine)");
    return print_and_release(&text);
}

const struct command command_version = {
    .name = "version",
    .summary = "the program's version",
    .arguments = "",
    .about = "",
    .options = version_options,
    .options_bytes = sizeof(struct version_options),
    .run = version_run,
};

static enum exit_code man_run(const void *options, const char *const *argument, uint32_t count)
{
    struct buf text = BUF_INIT(HELP_BYTES_MAX);

    (void)options;
    (void)argument;
    (void)count;
    command_man(&text);
    return print_and_release(&text);
}

const struct command command_man_command = {
    .name = "man",
    .summary = "the man page, as roff",
    .arguments = "",
    .about = "To read it: tranche man | man -l -",
    .options = no_options,
    .hidden = true,
    .run = man_run,
};

static enum exit_code completion_run(const void *options, const char *const *argument,
                                     uint32_t count)
{
    struct buf text = BUF_INIT(HELP_BYTES_MAX);
    struct error e = { 0 };
    struct console c;

    (void)options;
    (void)count;
    if (command_completion(argument[0], &text, &e) == 0)
        return print_and_release(&text);
    console_init(&c, false, NULL);
    console_error(&c, "completion: %s", e.msg);
    return EXIT_USAGE;
}

const struct command command_completion_command = {
    .name = "completion",
    .summary = "the completion script of a shell",
    .arguments = "bash|zsh",
    .about = "",
    .options = no_options,
    .arguments_min = 1,
    .arguments_max = 1,
    .hidden = true,
    .run = completion_run,
};
