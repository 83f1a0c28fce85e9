/* command.h -- the command line as a table: parsing, --help, man page and completion come from it.
 *
 * Why: what the program accepts is written once. A command is a name, a usage line, a table of
 * options and arguments, and the function that runs it.
 *
 * Shape:   command_main finds the command, options.h fills the struct that the option table
 *          describes, run gets both. A usage error is one line with the nearest name, and where
 *          help is.
 * Exit:    the codes below are part of the interface (docs/reference/cli.md).
 * Threads: the main thread.
 */
#ifndef TRANCHE_APP_CLI_COMMAND_H
#define TRANCHE_APP_CLI_COMMAND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/str.h"

// clang-format off
#define EXIT_CODES(X) \
    X(OK,          0,   "everything was answered") \
    X(SOME_FAILED, 1,   "finished, but some lines failed") \
    X(USAGE,       2,   "the command line or the configuration is wrong") \
    X(INPUT,       3,   "the input is invalid or cannot be read") \
    X(STOPPED,     4, "stopped by the machine (disk full, job in use); the same command resumes") \
    X(INTERNAL,    5,   "a fault of tranche or of the model; the same command resumes") \
    X(INTERRUPTED, 130, "interrupted; the same command resumes")
// clang-format on
enum exit_code {
#define X(name, code, about) EXIT_##name = code,
    EXIT_CODES(X)
#undef X
};

/* A flag is a bool, a count a uint64_t, a string and a choice a const char * (NULL: not given), a list
 * a struct option_list: each time it is given adds a string. */
enum option_type { OPTION_FLAG, OPTION_STRING, OPTION_COUNT, OPTION_CHOICE, OPTION_LIST };
#define OPTION_LIST_MAX 64
struct option_list {
    const char *item[OPTION_LIST_MAX];
    uint32_t count;
};
enum option_completion { COMPLETE_NONE, COMPLETE_FILE, COMPLETE_DIR, COMPLETE_MODEL };

#define OPTIONS_MAX 32 /* of one command, --help included */

struct option_spec {
    const char *name; /* without dashes */
    char letter;      /* 0: none */
    enum option_type type;
    size_t offset; /* in the command's options */
    const char
        *value; /* what stands for the value in --help: "DIR"; of a choice, its words: "a|b" */
    const char *about; /* one sentence without a full stop */
    enum option_completion complete;
    uint64_t min, max; /* of a count; max 0: no bound */
};

#define ARGUMENTS_MAX 10000

struct command {
    const char *name, *summary; /* one line */
    const char *arguments;      /* "INPUT... [-o OUTPUT]" */
    const char *about;          /* paragraphs for --help and the man page, between empty lines */
    const struct option_spec *options; /* until name is NULL */
    size_t options_bytes;              /* of the struct that offset counts in */
    uint32_t arguments_min, arguments_max;
    bool takes_files; /* for completion */
    bool hidden;
    enum exit_code (*run)(const void *options, const char *const *argument, uint32_t count);
};
extern const struct command *const commands[]; /* until NULL */

enum exit_code command_main(int argc, char **argv);
const struct command *command_find(const char *name); /* NULL when there is none */

#define HELP_BYTES_MAX ((size_t)256 * 1024)

void command_help(const struct command *c, struct buf *out);
void command_overview(struct buf *out); /* all commands in one screen */
/* Topics that are no commands: "exit-codes", "config", "environment". False when there is none. */
bool command_topic(const char *name, struct buf *out);
const char *command_topic_at(uint32_t i); /* their names; NULL after the last */
void command_man(struct buf *out);        /* roff, the whole page */
int command_completion(const char *shell, struct buf *out, struct error *e) FALLIBLE;

extern const struct command command_run, command_validate, command_models, command_version,
    command_help_command, command_man_command, command_completion_command, command_serve,
    command_keys, command_backup;
extern const struct command command_submit, command_jobs, command_get, command_watch,
    command_results, command_cancel, command_delete, command_retry, command_pause, command_resume,
    command_cost, command_upstreams, command_ls, command_cp, command_rm, command_mb;

#endif
