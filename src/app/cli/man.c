/* man.c -- the man page tranche(1) in roff, from the same tables as --help. */
#include "app/cli/help.h"

#include <string.h>

/* Text that is not markup: dashes and backslashes are written as roff wants them, and a line never
 * begins with a control character. */
static void plain(struct buf *out, const char *text)
{
    for (bool start = true; *text; text++) {
        if (start && (*text == '.' || *text == '\''))
            buf_add_c(out, "\\&");
        if (*text == '\\')
            buf_add_c(out, "\\e");
        else if (*text == '-')
            buf_add_c(out, "\\-");
        else
            buf_add_char(out, *text);
        start = *text == '\n';
    }
}

static void item(struct buf *out, const char *term, const char *about)
{
    buf_add_c(out, ".TP\n\\fB");
    plain(out, term);
    buf_add_c(out, "\\fR\n");
    plain(out, about);
    buf_add_char(out, '\n');
}

/* Empty lines part paragraphs; lines that begin with a space are kept as they are. */
static void paragraphs(struct buf *out, const char *text)
{
    bool literal = false;

    buf_add_c(out, ".PP\n");
    while (*text) {
        size_t len = strcspn(text, "\n");
        bool indented = *text == ' ';
        struct buf one = BUF_INIT(HELP_BYTES_MAX);
        buf_add(&one, text, len);
        if (indented != literal)
            buf_add_c(out, indented ? ".RS\n.nf\n" : ".fi\n.RE\n");
        literal = indented;
        if (len == 0) {
            buf_add_c(out, ".PP\n");
        } else {
            plain(out, one.p);
            buf_add_char(out, '\n');
        }
        buf_release(&one);
        text += len;
        text += *text == '\n';
    }
    if (literal)
        buf_add_c(out, ".fi\n.RE\n");
}

static void option(struct buf *out, const struct option_spec *o)
{
    buf_add_c(out, ".TP\n");
    if (o->letter)
        buf_addf(out, "\\fB\\-%c\\fR, ", o->letter);
    buf_add_c(out, "\\fB\\-\\-");
    plain(out, o->name);
    buf_add_c(out, "\\fR");
    if (o->value) {
        buf_add_c(out, " \\fI");
        plain(out, o->value);
        buf_add_c(out, "\\fR");
    }
    buf_add_char(out, '\n');
    plain(out, o->about);
    buf_add_char(out, '\n');
}

static void command_section(struct buf *out, const struct command *c)
{
    buf_add_c(out, ".SS tranche ");
    plain(out, c->name);
    buf_add_char(out, ' ');
    plain(out, c->arguments);
    buf_add_char(out, '\n');
    plain(out, c->summary);
    buf_add_c(out, ".\n");
    if (c->about[0])
        paragraphs(out, c->about);
    for (const struct option_spec *o = c->options; o && o->name; o++)
        option(out, o);
}

static void topic_section(struct buf *out, const struct topic *t)
{
    struct topic_row row;
    struct buf term = BUF_INIT(256);

    buf_addf(out, ".SH %s\n", t->heading);
    plain(out, t->before);
    buf_add_char(out, '\n');
    for (uint32_t i = 0; t->row(i, &row); i++) {
        buf_clear(&term);
        if (row.section && row.section[0])
            buf_addf(&term, "%s.", row.section);
        buf_add_c(&term, row.term);
        item(out, term.p, row.about);
    }
    buf_release(&term);
}

void help_write_man(struct buf *out)
{
    buf_add_c(out, ".TH TRANCHE 1 \"\" \"tranche " TRANCHE_VERSION "\" \"User Commands\"\n");
    buf_add_c(out, ".SH NAME\ntranche \\- batch prediction for Gemini\\-style requests\n");
    buf_add_c(out, ".SH SYNOPSIS\n.B tranche\n.I COMMAND\n[\\fIARGUMENTS\\fR] [\\fIOPTIONS\\fR]\n");
    buf_add_c(out, ".SH COMMANDS\n");
    for (size_t i = 0; commands[i]; i++)
        if (!commands[i]->hidden)
            command_section(out, commands[i]);
    for (const struct topic *t = topics; t->name; t++)
        topic_section(out, t);
}
