/* main.c -- the program: finds the command, reads its options, runs it. */
#include <string.h>
#include <unistd.h>

#include "app/backends.h"
#include "app/cli/command.h"
#include "app/cli/help.h"
#include "app/cli/options.h"
#include "app/cli/terminal.h"
#include "base/fault.h"
#include "base/mem.h"

#if TRANCHE_PORTABLE
/* Ends the program in words where it would end by SIGILL: packages have libraries for x86-64-v3 (AVX2, FMA, BMI2).
 * Runs before the constructors of these libraries. */
__attribute__((constructor(101))) static void check_processor(void)
{
    static const char message[] = "tranche: this processor is too old for this package, which "
                                  "needs x86-64-v3: AVX2, FMA and BMI2, as Intel's "
                                  "processors have since Haswell (2013) and AMD's since Excavator "
                                  "(2015). Build tranche from its sources: "
                                  "docs/install.md.\n";

    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
        __builtin_cpu_supports("bmi2"))
        return;
    ssize_t written = write(STDERR_FILENO, message, sizeof message - 1);
    _exit(written < 0 ? EXIT_INTERNAL : EXIT_USAGE);
}
#endif

/* Options and other names that stand for a command. */
static const struct {
    const char *name, *command;
} aliases[] = {
    { "--help", "help" }, { "-h", "help" }, { "--version", "version" }, { "-V", "version" },
    { "list", "jobs" },   { "ps", "jobs" }, { "status", "get" },        { "wait", "watch" },
};

/* Names of other programs' commands, answered with ours. */
static const struct {
    const char *name, *command;
} synonyms[] = {
    { "download", "results" }, { "output", "results" }, { "fetch", "results" },
    { "tail", "watch" },       { "logs", "watch" },     { "stop", "cancel" },
    { "kill", "cancel" },      { "create", "submit" },  { "batch", "submit" },
    { "check", "validate" },   { "lint", "validate" },  { "estimate", "validate" },
    { "cat", "show" },         { "view", "show" },      { "compare", "diff" },
    { "server", "serve" },     { "start", "serve" },    { "upload", "cp" },
    { "remove", "rm" },        { "mkdir", "mb" },       { "continue", "resume" },
};

static enum exit_code unknown_command(const char *name)
{
    struct terminal t;
    struct nearest n = { .word = name };

    terminal_init(&t, false, NULL);
    for (size_t i = 0; i < ARRAY_LEN(synonyms); i++)
        if (strcmp(name, synonyms[i].name) == 0)
            n.best = synonyms[i].command;
    bool is_synonym = n.best != NULL;
    for (size_t i = 0; !is_synonym && commands[i]; i++)
        if (!commands[i]->hidden)
            nearest_offer(&n, commands[i]->name);
    if (n.best)
        terminal_error(&t, "unknown command %s; did you mean `tranche %s`?", name, n.best);
    else if (access(name, F_OK) == 0)
        terminal_error(&t, "%s is a file, not a command; did you mean `tranche run %s`?", name,
                       name);
    else
        terminal_error(&t, "unknown command %s; `tranche help` lists all", name);
    return EXIT_USAGE;
}

static enum exit_code command_start(const struct command *c, int argc, char **argv)
{
    struct arguments a = { 0 };
    struct error e = { 0 };
    struct terminal t;
    enum exit_code code = EXIT_USAGE;

    if (options_parse(c, argc, argv, &a, &e) < 0) {
        terminal_init(&t, false, NULL);
        terminal_error(&t, "%s: %s", c->name, e.msg);
        terminal_note(&t, "see `tranche %s --help`", c->name);
    } else if (a.help) {
        struct buf text = BUF_INIT(HELP_BYTES_MAX);
        help_write_command(c, &text);
        terminal_write(STDOUT_FILENO, buf_str(&text));
        buf_release(&text);
        code = EXIT_OK;
    } else {
        code = c->run(c, &a);
    }
    options_release(&a);
    return code;
}

int main(int argc, char **argv)
{
    sandbox_entry(argc, argv, backend_roles, backend_role_count);
    terminal_guard_streams();
    fault_from_env();
    if (argc < 2) {
        struct buf text = BUF_INIT(HELP_BYTES_MAX);
        help_write_overview(&text);
        terminal_write(STDERR_FILENO, buf_str(&text));
        buf_release(&text);
        return EXIT_USAGE;
    }
    const char *name = argv[1];
    for (size_t i = 0; i < ARRAY_LEN(aliases); i++)
        if (strcmp(name, aliases[i].name) == 0)
            name = aliases[i].command;
    const struct command *c = command_find(name);
    return (int)(c ? command_start(c, argc - 1, argv + 1) : unknown_command(name));
}
