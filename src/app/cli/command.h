/* command.h -- the command line as a table: parsing, --help, man page and completion come from it.
 *
 * Why: what the program accepts is written once. A command is a name, a usage line, a table of
 * options and arguments, and the function that runs it; the tables of all commands and help topics
 * are in app/commands.c.
 *
 * Shape:   main finds the command, options.h fills the struct that the option table
 *          describes, run gets both. A usage error is one line with the nearest name, and where
 *          help is.
 * Exit:    the codes below are part of the interface (docs/reference/cli.md).
 * Threads: the main thread.
 */
#ifndef TRANCHE_APP_CLI_COMMAND_H
#define TRANCHE_APP_CLI_COMMAND_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

// clang-format off
#define EXIT_CODES(X) \
    X(OK,          0,   "every line was answered") \
    X(SOME_FAILED, 1,   "finished, but some lines failed") \
    X(USAGE,       2,   "the command line or the configuration is wrong") \
    X(INPUT,       3,   "the input is invalid or cannot be read") \
    X(STOPPED,     4,   "stopped by the machine (disk full, job in use); the same command resumes") \
    X(INTERNAL,    5,   "an error inside tranche or the model; the same command resumes") \
    X(INTERRUPTED, 130, "interrupted; the same command resumes")
// clang-format on
enum exit_code {
#define X(name, code, about) EXIT_##name = (code),
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

#define OPTIONS_MAX 40 /* of one command, --help included */

struct option_spec {
    const char *name; /* without dashes */
    char letter;      /* 0: none */
    enum option_type type;
    size_t offset;     /* in the command's options */
    const char *value; /* stands for the value in --help: "DIR"; of a choice, its words: "a|b" */
    const char *about; /* one sentence without a full stop */
    enum option_completion complete;
    uint64_t min, max; /* of a count; max 0: no bound */
};

/* One line an option. OPTIONS is defined as the command's struct before its table begins. */
#define OPTION_ROW(name, letter, type, field, ...)                                                 \
    {                                                                                              \
        name, letter, type, offsetof(OPTIONS, field), __VA_ARGS__                                  \
    }
#define OPT_FLAG(name, letter, field, about)                                                       \
    OPTION_ROW(name, letter, OPTION_FLAG, field, NULL, about, COMPLETE_NONE, 0, 0)
#define OPT_TEXT(name, letter, field, value, about)                                                \
    OPTION_ROW(name, letter, OPTION_STRING, field, value, about, COMPLETE_NONE, 0, 0)
#define OPT_FILE(name, letter, field, about)                                                       \
    OPTION_ROW(name, letter, OPTION_STRING, field, "FILE", about, COMPLETE_FILE, 0, 0)
#define OPT_DIR(name, letter, field, about)                                                        \
    OPTION_ROW(name, letter, OPTION_STRING, field, "DIR", about, COMPLETE_DIR, 0, 0)
#define OPT_MODEL(name, letter, field, about)                                                      \
    OPTION_ROW(name, letter, OPTION_STRING, field, "NAME", about, COMPLETE_MODEL, 0, 0)
#define OPT_CHOICE(name, letter, field, words, about)                                              \
    OPTION_ROW(name, letter, OPTION_CHOICE, field, words, about, COMPLETE_NONE, 0, 0)
#define OPT_LIST(name, letter, field, value, about)                                                \
    OPTION_ROW(name, letter, OPTION_LIST, field, value, about, COMPLETE_NONE, 0, 0)
#define OPT_COUNT(name, letter, field, min, max, about)                                            \
    OPTION_ROW(name, letter, OPTION_COUNT, field, "N", about, COMPLETE_NONE, min, max)

#define ARGUMENTS_MAX 10000

/* The command line of one command, parsed. */
struct arguments {
    void *options;         /* command.options_bytes, zeroed where not given; owned */
    const char **argument; /* count strings of argv; the array is owned */
    uint32_t count;
    bool help; /* --help was given: the rest is not checked */
};

struct command {
    const char *name, *summary; /* one line */
    const char *arguments;      /* "INPUT... [-o OUTPUT]" */
    const char *about;          /* paragraphs for --help and the man page, between empty lines */
    const struct option_spec *options; /* until name is NULL; NULL: none */
    size_t options_bytes;              /* of the struct that offset counts in */
    uint32_t arguments_min, arguments_max;
    bool takes_files; /* for completion */
    bool hidden;
    enum exit_code (*run)(const struct command *c, const struct arguments *given);
    const void *work; /* for a `run` that several commands share */
};
extern const struct command *const commands[]; /* until NULL */

const struct command *command_find(const char *name); /* NULL when there is none */

/* The flag that Ctrl-C, SIGTERM and SIGHUP set from here on; a second Ctrl-C ends the program at
 * once. Those that the program was started to ignore stay ignored. A write to a reader that went away,
 * or over the limit of a file's size, becomes an error. */
const atomic_bool *stop_on_signals(void);

#endif
