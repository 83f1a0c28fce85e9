/* help.c -- the help texts, from the tables of commands, options, exit codes and configuration
 * keys. */
#include "app/cli/command.h"

#include <string.h>

#include "base/mem.h"
#include "app/config/config.h"
#include "app/config/config_schema.h"

#define WIDTH 80
#define COLUMN_MAX 30 /* texts of a two-column list begin here at the latest */

struct row {
    char left[96];
    const char *right;
};

/* Appends text in lines of at most WIDTH columns, all but the first indented. at: where it begins.
 * */
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
                                                .about = "this text" };

static void option_list(const struct command *c, struct buf *out)
{
    struct buf left = BUF_INIT(256);
    size_t column = 0;

    for (const struct option_spec *o = c->options; o->name; o++) {
        option_left(o, &left);
        if (left.len + 4 > column)
            column = left.len + 4;
    }
    column = column < 16 ? 16 : column > COLUMN_MAX ? COLUMN_MAX : column;
    buf_add_c(out, "\nOptions:\n");
    for (const struct option_spec *o = c->options; o->name; o++) {
        option_left(o, &left);
        two_columns(out, left.p, o->about, column);
    }
    option_left(&help_option, &left);
    two_columns(out, left.p, help_option.about, column);
    buf_release(&left);
}

void command_help(const struct command *c, struct buf *out)
{
    buf_addf(out, "tranche %s: %s\n\nUsage: tranche %s", c->name, c->summary, c->name);
    if (c->arguments[0])
        buf_addf(out, " %s", c->arguments);
    buf_add_c(out, c->options[0].name ? " [OPTIONS]\n" : "\n");
    if (c->about[0]) {
        buf_add_char(out, '\n');
        paragraphs(out, c->about);
    }
    option_list(c, out);
}

void command_overview(struct buf *out)
{
    buf_add_c(out, "tranche: batch prediction for Gemini-style requests, on your own machine\n\n"
                   "Usage: tranche COMMAND [ARGUMENTS] [OPTIONS]\n\nCommands:\n");
    for (size_t i = 0; commands[i]; i++)
        if (!commands[i]->hidden)
            two_columns(out, commands[i]->name, commands[i]->summary, 16);
    buf_add_c(out, "\nExamples:\n"
                   "  tranche run requests.jsonl              answers in requests.out.jsonl\n"
                   "  tranche validate requests.jsonl         every fault, tokens, cost, time\n"
                   "  tranche run --retry-failed out.jsonl    the failed lines again\n\n"
                   "More: tranche help COMMAND, tranche help exit-codes | config | environment\n");
}

static void topic_exit_codes(struct buf *out)
{
    static const struct {
        const char *code, *about;
    } codes[] = {
#define X(name, code, about) { #code, about },
        EXIT_CODES(X)
#undef X
    };

    buf_add_c(out, "Exit codes:\n");
    for (size_t i = 0; i < ARRAY_LEN(codes); i++)
        two_columns(out, codes[i].code, codes[i].about, 8);
}

static void topic_config(struct buf *out)
{
    struct config_key key;
    const char *section = NULL;
    struct buf left = BUF_INIT(256);

    paragraphs(out, "The configuration is a YAML file: --config FILE, else $TRANCHE_CONFIG, else "
                    "~/.config/tranche/config.yaml when it exists. All keys are optional.");
    for (uint32_t i = 0; config_key_at(i, &key); i++) {
        if (!section || strcmp(section, key.section) != 0) {
            size_t len = strlen(key.section);
            buf_addf(out, len ? "\n%.*s:\n" : "\nTop level:\n", len ? (int)len - 1 : 0,
                     key.section);
            section = key.section;
        }
        buf_clear(&left);
        buf_addf(&left, "%s: %s", key.name, key.value);
        two_columns(out, left.p, key.about, COLUMN_MAX);
    }
    buf_add_char(out, '\n');
    paragraphs(
        out, "The section fake stands at the top, for tranche-fake, and in a model of kind fake.");
    buf_add_c(out, "\nExample:\n"
                   "  default_model: tuned-reviews\n"
                   "  models:\n"
                   "    - name: \"tuned-*\"\n"
                   "      file: reviews.gguf\n"
                   "      price: { input: 0.10, output: 0.40 }\n");
    buf_release(&left);
}

static void topic_environment(struct buf *out)
{
    const char *name, *about;

    buf_add_c(out, "Environment variables:\n");
    for (uint32_t i = 0; config_variable_at(i, &name, &about); i++)
        two_columns(out, name, about, 22);
}

static const struct {
    const char *name;
    void (*write)(struct buf *out);
} topics[] = {
    { "exit-codes", topic_exit_codes },
    { "config", topic_config },
    { "environment", topic_environment },
};

#define TOPIC_COUNT (ARRAY_LEN(topics))

const char *command_topic_at(uint32_t i)
{
    return i < TOPIC_COUNT ? topics[i].name : NULL;
}

bool command_topic(const char *name, struct buf *out)
{
    for (size_t i = 0; i < TOPIC_COUNT; i++) {
        if (strcmp(topics[i].name, name) == 0) {
            topics[i].write(out);
            return true;
        }
    }
    return false;
}
