/* command.h -- the command line as a table: parsing, --help, man page and completion come from it.
 *
 * Why: what the program accepts is written once. A command is a name, a usage line, a table of options
 * and arguments, and the function that runs it.
 *
 * Exit:    the codes below are part of the interface (docs/reference/cli.md).
 * Threads: the main thread.
 */
#ifndef TRANCHE_APP_COMMAND_H
#define TRANCHE_APP_COMMAND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/str.h"

// clang-format off
#define EXIT_CODES(X)                                                                            \
    X(OK,          0,   "everything was answered")                                               \
    X(SOME_FAILED, 1,   "finished, but some lines failed")                                       \
    X(USAGE,       2,   "the command line is wrong")                                             \
    X(INPUT,       3,   "the input is invalid or cannot be read; nothing was run")               \
    X(STOPPED,     4,   "stopped by the machine (disk full, no memory); the same command resumes")\
    X(INTERNAL,    5,   "a fault of tranche or of the model")                                    \
    X(INTERRUPTED, 130, "interrupted; the same command resumes")
// clang-format on
enum exit_code {
#define X(name, code, about) EXIT_##name = code,
    EXIT_CODES(X)
#undef X
};

enum option_type { OPTION_FLAG, OPTION_STRING, OPTION_COUNT };

struct option_spec {
    const char *name;   /* without dashes */
    char letter;        /* 0: none */
    enum option_type type;
    size_t offset;      /* in the command's options: bool, const char * or uint64_t */
    const char *value;  /* what stands for the value in --help: "DIR"; NULL for a flag */
    const char *about;
    enum { COMPLETE_NONE, COMPLETE_FILE, COMPLETE_DIR, COMPLETE_MODEL } complete;
};

#define ARGUMENTS_MAX 10000

struct command {
    const char *name, *summary; /* one line */
    const char *arguments;      /* "INPUT... [-o OUTPUT]" */
    const char *about;          /* paragraphs for --help and the man page */
    const struct option_spec *options; /* until name is NULL */
    size_t options_bytes;       /* of the struct that offset counts in */
    bool takes_files;           /* for completion */
    bool hidden;
    enum exit_code (*run)(const void *options, const char *const *argument, uint32_t count);
};
extern const struct command *const commands[]; /* until NULL */

enum exit_code command_main(int argc, char **argv);
void command_help(const struct command *c, struct buf *out);
void command_man(struct buf *out);                          /* roff, the whole page */
int command_completion(const char *shell, struct buf *out, struct error *e) FALLIBLE;

#endif
