/* cmd_models.c -- `tranche models`: which names are answered, by what, at what price. */
#include "app/cli/command.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "app/config/config.h"
#include "app/cli/terminal.h"
#include "app/cli/table.h"
#include "base/json_write.h"

#define COLUMNS 6
#define MODELS_BYTES_MAX ((size_t)4 * 1024 * 1024)

struct models_options {
    const char *config;
    bool json, names;
};

/* The file, or the servers, that answer. */
static const char *answered_by(const struct model *m, char text[TABLE_CELL_BYTES])
{
    const char *slash = m->file ? strrchr(m->file, '/') : NULL;
    size_t at = 0;

    (void)snprintf(text, TABLE_CELL_BYTES, "%s", slash ? slash + 1 : m->file ? m->file : "itself");
    for (uint32_t i = 0; i < m->upstream_count && at < TABLE_CELL_BYTES; i++)
        at += (size_t)snprintf(text + at, TABLE_CELL_BYTES - at, "%s%s@%s", i ? ", " : "",
                               m->upstream[i].model, m->upstream[i].upstream->name);
    return text;
}

static bool present(const struct model *m)
{
    struct error ignored = { 0 };

    return config_model_present(m, &ignored) == 0;
}

/* True when a name that the pattern matches has a published price. */
static bool is_published(const struct model *m)
{
    const char *name;
    const struct price *p;

    for (unsigned i = 0; !m->has_price && price_at(i, &name, &p); i++)
        if (str_glob(m->pattern, name))
            return true;
    return false;
}

static void add_row(struct table *t, const struct model *m)
{
    struct price p = model_price(m, m->pattern);
    char by[TABLE_CELL_BYTES], file[2 * TABLE_CELL_BYTES], context[16], price[48];

    (void)snprintf(file, sizeof file, "%s%s", answered_by(m, by),
                   present(m) ? "" : " (not installed)");
    (void)snprintf(context, sizeof context, "%u", m->context);
    (void)snprintf(price, sizeof price, "%.2f / %.2f", p.input, p.output);
    const char *unpriced = is_published(m) ? "published" : "-";
    const char *unlimited = m->kind == MODEL_LOCAL ? "model's" : "-";
    const struct str cells[COLUMNS] = {
        str_of(m->pattern),
        str_of(model_kind_name(m->kind)),
        str_of(file),
        str_of(m->context ? context : unlimited),
        str_of(p.input > 0 || p.output > 0 ? price : unpriced),
        str_of(m->about),
    };
    table_row(t, cells);
}

static void print_table(const struct models *all, struct buf *out)
{
    static const char *const head[COLUMNS] = { "NAME",    "KIND",           "ANSWERED BY",
                                               "CONTEXT", "USD/M IN / OUT", "ABOUT" };
    struct table t;

    table_init(&t, head, COLUMNS);
    for (uint32_t i = 0; i < all->count; i++)
        add_row(&t, &all->item[i]);
    table_write(&t, out);
    table_release(&t);
}

static void print_json(const struct model *m, bool is_default, struct buf *out)
{
    struct price p = model_price(m, m->pattern);
    struct json_writer w = JSON_WRITER(out);

    json_object(&w, NULL);
    json_add_c(&w, "name", m->pattern);
    json_add_c(&w, "kind", model_kind_name(m->kind));
    json_add_c(&w, "file", m->file);
    json_add_bool(&w, "present", present(m));
    json_add_bool(&w, "default", is_default);
    json_add_uint(&w, "context", m->context);
    json_object(&w, "price");
    json_add_double(&w, "input", p.input);
    json_add_double(&w, "output", p.output);
    json_add_double(&w, "cached", p.cached);
    json_end(&w);
    json_add_c(&w, "about", m->about);
    json_end(&w);
    buf_add_char(out, '\n');
}

static void print_models(const struct config *c, const struct models_options *o, struct buf *out)
{
    if (!o->json && !o->names) {
        print_table(&c->models, out);
        buf_addf(out, "\nThe default is %s.\n", c->default_model);
        return;
    }
    for (uint32_t i = 0; i < c->models.count; i++) {
        const struct model *m = &c->models.item[i];
        if (o->json)
            print_json(m, strcmp(m->pattern, c->default_model) == 0, out);
        else
            buf_addf(out, "%s\n", m->pattern);
    }
}

static enum exit_code models_run(const struct command *c, const struct arguments *given)
{
    const struct models_options *o = given->options;
    struct config config = { 0 };
    struct terminal terminal;
    struct error e = { 0 };
    struct buf out = BUF_INIT(MODELS_BYTES_MAX);
    enum exit_code code = EXIT_OK;

    (void)c;
    terminal_init(&terminal, false, NULL);
    if (config_load(o->config, &config, &e) < 0) {
        terminal_error(&terminal, "%s", e.msg);
        code = EXIT_USAGE;
    } else {
        print_models(&config, o, &out);
        terminal_write(STDOUT_FILENO, buf_str(&out));
    }
    buf_release(&out);
    config_release(&config);
    return code;
}

#define OPTIONS struct models_options
static const struct option_spec options[] = {
    OPT_FILE("config", 'c', config, "configuration file"),
    OPT_FLAG("json", 0, json, "print one JSON object for each model"),
    OPT_FLAG("names", 0, names, "print only the names"),
    { 0 },
};

const struct command command_models = {
    .name = "models",
    .summary = "list the model names, what answers them, and prices",
    .arguments = "",
    .about = "The first entry that matches a name decides. Prices are online prices in USD per "
             "million tokens; a batch costs half.",
    .options = options,
    .options_bytes = sizeof(struct models_options),
    .run = models_run,
};
