/* help.c -- --help and the help topics; the tables are in app/commands.c. */
#include "app/cli/help.h"

#include <string.h>

#define WIDTH 80
#define COLUMN_MAX 30 /* texts of a two-column list begin here at the latest */

/* Appends text in lines of at most WIDTH columns, all but the first indented. at: its first column. */
static void wrap(struct buf *out, const char *text, size_t at, size_t indent)
{
    size_t column = at;

    for (bool first = true; *text; first = false) {
        size_t word = strcspn(text, " ");
        if (!first && column + 1 + word > WIDTH) {
            buf_addf(out, "\n%*s", (int)indent, "");
            column = indent;
        } else if (!first) {
            buf_add_char(out, ' ');
            column++;
        }
        buf_add(out, text, word);
        column += word;
        text += word;
        while (*text == ' ')
            text++;
    }
    buf_add_char(out, '\n');
}

static void two_columns(struct buf *out, const char *left, const char *right, size_t column)
{
    size_t used = 2 + strlen(left);

    buf_addf(out, "  %s", left);
    if (used + 2 > column) {
        buf_addf(out, "\n%*s", (int)column, "");
    } else {
        buf_addf(out, "%*s", (int)(column - used), "");
    }
    wrap(out, right, column, column);
}

/* Paragraphs are between empty lines; a line that begins with a space stands as it is. */
static void paragraphs(struct buf *out, const char *text)
{
    while (*text) {
        size_t len = strcspn(text, "\n");
        struct buf line = BUF_INIT(HELP_BYTES_MAX);
        buf_add(&line, text, len);
        if (len && *text != ' ')
            wrap(out, line.p, 0, 0);
        else
            buf_addf(out, "%s\n", len ? line.p : "");
        buf_release(&line);
        text += len;
        text += *text == '\n';
    }
}

/* "-o, --output FILE" */
static void option_left(const struct option_spec *o, struct buf *out)
{
    buf_clear(out);
    if (o->letter)
        buf_addf(out, "-%c, ", o->letter);
    else
        buf_add_c(out, "    ");
    buf_addf(out, "--%s", o->name);
    if (o->value)
        buf_addf(out, " %s", o->value);
}

static const struct option_spec help_option = { .name = "help",
                                                .letter = 'h',
                                                .about = "print this text" };

static void option_list(const struct command *c, struct buf *out)
{
    struct buf left = BUF_INIT(256);
    size_t column = 0;

    for (const struct option_spec *o = c->options; o && o->name; o++) {
        option_left(o, &left);
        if (left.len + 4 > column)
            column = left.len + 4;
    }
    column = column < 16 ? 16 : column > COLUMN_MAX ? COLUMN_MAX : column;
    buf_add_c(out, "\nOptions:\n");
    for (const struct option_spec *o = c->options; o && o->name; o++) {
        option_left(o, &left);
        two_columns(out, left.p, o->about, column);
    }
    option_left(&help_option, &left);
    two_columns(out, left.p, help_option.about, column);
    buf_release(&left);
}

void help_write_command(const struct command *c, struct buf *out)
{
    buf_addf(out, "tranche %s: %s\n\nUsage: tranche %s", c->name, c->summary, c->name);
    if (c->arguments[0])
        buf_addf(out, " %s", c->arguments);
    buf_add_c(out, c->options ? " [OPTIONS]\n" : "\n");
    if (c->about[0]) {
        buf_add_char(out, '\n');
        paragraphs(out, c->about);
    }
    option_list(c, out);
}

void help_write_overview(struct buf *out)
{
    buf_add_c(out, "tranche: batch prediction for Gemini-style requests, on your own machine\n\n"
                   "Usage: tranche COMMAND [ARGUMENTS] [OPTIONS]\n\nCommands:\n");
    for (size_t i = 0; commands[i]; i++)
        if (!commands[i]->hidden)
            two_columns(out, commands[i]->name, commands[i]->summary, 16);
    buf_add_c(out, "\nExamples:\n"
                   "  tranche run requests.jsonl              answers in requests.out.jsonl\n"
                   "  tranche validate requests.jsonl         every bad line, tokens, cost, time\n"
                   "  tranche run --retry-failed out.jsonl    the failed lines again\n\n"
                   "More: tranche help COMMAND | exit-codes | config | schema | environment\n");
}

const struct topic *help_topic(const char *name)
{
    for (const struct topic *t = topics; t->name; t++)
        if (strcmp(t->name, name) == 0)
            return t;
    return NULL;
}

void help_write_topic(const struct topic *t, struct buf *out)
{
    const char *section = NULL;
    struct topic_row row;

    paragraphs(out, t->before);
    for (uint32_t i = 0; t->row(i, &row); i++) {
        if (row.section && (!section || strcmp(section, row.section) != 0))
            buf_addf(out, "\n%s:\n", row.section[0] ? row.section : "Top level");
        section = row.section;
        two_columns(out, row.term, row.about, t->column);
    }
    if (t->after) {
        buf_add_char(out, '\n');
        paragraphs(out, t->after);
    }
}
