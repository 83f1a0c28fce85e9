/* help.h -- the texts that are made from the tables: --help, help topics, man page, completion.
 *
 * Why: what the program says of itself cannot differ from what it does.
 *
 * Shape:   each function appends its whole text.
 * Threads: the main thread.
 */
#ifndef TRANCHE_APP_CLI_HELP_H
#define TRANCHE_APP_CLI_HELP_H

#include "app/cli/command.h"
#include "base/str.h"

#define HELP_BYTES_MAX ((size_t)256 * 1024)

/* A help topic beside the commands: `tranche help NAME`, and a section of the man page. */
struct topic_row {
    const char
        *section; /* printed when it differs from the row before; "": top level; NULL: none */
    char term[96], about[512];
};
struct topic {
    const char *name, *heading;                     /* heading: of the man page */
    const char *before, *after;                     /* paragraphs around the rows */
    size_t column;                                  /* where the right column begins */
    bool (*row)(uint32_t i, struct topic_row *out); /* false after the last */
};
extern const struct topic topics[]; /* until name is NULL */

const struct topic *help_topic(const char *name); /* NULL when there is none */
void help_write_topic(const struct topic *t, struct buf *out);
void help_write_command(const struct command *c, struct buf *out);
void help_write_overview(struct buf *out); /* all commands in one screen */
void help_write_man(struct buf *out);      /* roff, the whole page */
int help_write_completion(const char *shell, struct buf *out, struct error *e) FALLIBLE;

#endif
