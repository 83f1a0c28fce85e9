/* cmd_models.c -- `tranche models`: which names are answered, by what, at what price; and files of models:
 * got, registered for a project, judged, removed. */
#include "app/cli/command.h"

#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/auth.h"
#include "app/cli/human.h"
#include "app/config/config.h"
#include "app/cli/terminal.h"
#include "app/cli/table.h"
#include "app/models/catalogue.h"
#include "app/models/pull.h"
#include "app/serve/serve.h"
#include "base/json_write.h"
#include "base/sys.h"
#include "net/client/http_client.h"
#include "predict/child/check.h"
#include "predict/model_check.h"
#include "store/models/registry.h"

#define COLUMNS 6
#define MODELS_BYTES_MAX ((size_t)4 * 1024 * 1024)

#define LISTED_MAX 1000
#define DEFAULT_PROJECT "default"

struct models_options {
    const char *config, *base, *adapter, *file, *as, *sha256, *project, *state, *store, *bucket,
        *scale;
    const char *display_name;
    bool json, names, catalogue;
};

struct models_work {
    const struct models_options *o;
    const char *what; /* the argument; NULL: none */
    struct terminal terminal;
    struct config config;
    struct arena arena;
    struct buf out;
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

/* ---- ls ---- */

static void print_catalogue(const struct models_options *o, struct buf *out)
{
    static const char *const head[COLUMNS] = { "NAME",    "SIZE",       "CONTEXT",
                                               "LICENCE", "REPOSITORY", "NOTES" };
    const struct catalogue_entry *c;
    char context[16];
    struct table t;

    table_init(&t, head, COLUMNS);
    for (uint32_t i = 0; (c = catalogue_at(i)); i++) {
        struct json_writer w = JSON_WRITER(out);
        (void)snprintf(context, sizeof context, "%u", c->context);
        const struct str cells[COLUMNS] = { str_of(c->name),       str_of(c->size),
                                            str_of(context),       str_of(c->licence),
                                            str_of(c->repository), str_of(c->notes) };
        if (!o->json) {
            table_row(&t, cells);
            continue;
        }
        json_object(&w, NULL);
        json_add_c(&w, "name", c->name);
        json_add_c(&w, "repository", c->repository);
        json_add_c(&w, "file", c->file);
        json_add_c(&w, "size", c->size);
        json_add_c(&w, "licence", c->licence);
        json_add_uint(&w, "context", c->context);
        json_add_bool(&w, "gated", c->gated);
        json_add_c(&w, "notes", c->notes);
        json_end(&w);
        buf_add_char(out, '\n');
    }
    if (!o->json)
        table_write(&t, out);
    table_release(&t);
}

static int open_state(struct models_work *k, bool makes, struct store **out, struct error *e)
{
    const struct serve_place place = { k->o->config, k->o->state, k->o->store, k->o->bucket };

    *out = serve_store_open(&k->arena, &place, !makes, e);
    return *out ? 0 : -1;
}

static void write_tuned(const struct tuned *t, struct buf *out)
{
    struct json_writer w = JSON_WRITER(out);

    json_object(&w, NULL);
    json_add_text(&w, "name", t->name);
    json_add_text(&w, "project", t->project);
    json_add_text(&w, "base", t->base);
    json_add_uint(&w, "bytes", t->bytes);
    json_add_text(&w, "sha256", t->sha256);
    json_end(&w);
    buf_add_char(out, '\n');
}

static void add_tuned(struct models_work *k, const struct tuned *t)
{
    if (k->o->json) {
        write_tuned(t, &k->out);
        return;
    }
    buf_addf(&k->out, "%.*s  %.*s  %s%.*s  %s\n", STR_ARG(t->project), STR_ARG(t->name),
             t->base.len ? "adapter over " : "whole model", STR_ARG(t->base),
             human_bytes(HUMAN, t->bytes));
}

/* The tuned models of a project, or of all. */
static int list_tuned(struct models_work *k, struct error *e)
{
    struct store *s;
    struct tuned_list list;
    struct registry_page page = { 0, LISTED_MAX };

    if (open_state(k, false, &s, e) < 0)
        return -1;
    int rc = tuned_list(s, &k->arena, k->o->project, page, &list, e);
    for (uint32_t i = 0; rc == 0 && i < list.count; i++)
        add_tuned(k, &list.item[i]);
    store_close(s);
    return rc;
}

static int models_ls(struct models_work *k, struct error *e)
{
    if (k->o->catalogue) {
        print_catalogue(k->o, &k->out);
        return 0;
    }
    if (k->o->project || k->o->state || k->o->store)
        return list_tuned(k, e);
    print_models(&k->config, k->o, &k->out);
    return 0;
}

/* ---- add ---- */

static int add_check(struct models_work *k, struct error *e)
{
    const struct models_options *o = k->o;
    struct error ignored;

    if (!o->adapter == !o->file)
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "models add needs --adapter FILE with --base NAME, or --file FILE");
    if (!o->adapter != !o->base)
        return error_set(e, ERROR_INVALID_ARGUMENT, "--base and --adapter go together");
    if (o->project && !auth_project_valid(str_of(o->project)))
        return error_set(e, ERROR_INVALID_ARGUMENT, "\"%s\" is not a project", o->project);
    if (o->base && !model_find(&k->config.models, o->base, &ignored))
        return error_set(e, ERROR_NOT_FOUND, "the base: %s", ignored.msg);
    if (model_is_configured(&k->config.models, k->what))
        return error_set(e, ERROR_ALREADY_EXISTS, "the configuration has a model with the name %s",
                         k->what);
    return 0;
}

/* The file is judged before it is registered, with the base it is for. */
static int add_judge(struct models_work *k, const char *file, struct error *e)
{
#if TRANCHE_LOCAL
    struct model_facts f, base;
    struct error ignored;

    if (model_check_apart(file, &f, e) < 0)
        return -1;
    if (f.adapter != (k->o->adapter != NULL))
        return error_set(e, ERROR_INVALID_ARGUMENT, "%s is %s", file,
                         f.adapter ? "an adapter: use --adapter and --base"
                                   : "a whole model: use --file");
    const struct model *m = k->o->base ? model_find(&k->config.models, k->o->base, e) : NULL;
    if (m && m->file && model_check_apart(m->file, &base, &ignored) == 0 &&
        strcmp(base.architecture, f.architecture) != 0)
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "the adapter is for the architecture %s, the base %s is %s",
                         f.architecture, k->o->base, base.architecture);
#else
    (void)k, (void)file, (void)e;
#endif
    return 0;
}

static int models_add(struct models_work *k, struct error *e)
{
    const struct models_options *o = k->o;
    const char *file = o->adapter ? o->adapter : o->file;
    struct tuned t = { .project = str_of(o->project ? o->project : DEFAULT_PROJECT),
                       .name = str_of(k->what),
                       .base = str_of(o->base),
                       .display_name = str_of(o->display_name),
                       .scale = 1.0 };
    struct store *s;

    if (add_check(k, e) < 0 || add_judge(k, file, e) < 0)
        return -1;
    char *end = NULL;
    if (o->scale)
        t.scale = strtod(o->scale, &end);
    if (end && (end == o->scale || *end || !isfinite(t.scale)))
        return error_set(e, ERROR_INVALID_ARGUMENT, "--scale %s is not a number", o->scale);
    int fd = sys_open(file, O_RDONLY, e);
    int rc = fd < 0 ? -1 : open_state(k, true, &s, e);
    if (rc == 0) {
        rc = tuned_add(s, &k->arena, fd, &t, e);
        store_close(s);
    }
    if (fd >= 0)
        (void)close(fd);
    if (rc < 0)
        return -1;
    if (o->json)
        write_tuned(&t, &k->out);
    else
        buf_addf(&k->out, "projects/%.*s/locations/us-central1/models/%.*s\n", STR_ARG(t.project),
                 STR_ARG(t.name));
    return 0;
}

/* ---- rm ---- */

static int rm_pulled(struct models_work *k, struct error *e)
{
    const char *dir = config_pulled_dir(&k->arena);
    const char *path = dir ? arena_textf(&k->arena, "%s/%s.gguf", dir, k->what) : NULL;

    if (path && !strchr(k->what, '/') && unlink(path) == 0)
        return 0;
    return error_set(e, ERROR_NOT_FOUND,
                     "no model %s was pulled; --project NAME removes a tuned model of a project",
                     k->what);
}

static int models_rm(struct models_work *k, struct error *e)
{
    struct store *s;

    if (!k->o->project && !k->o->state && !k->o->store)
        return rm_pulled(k, e);
    if (open_state(k, false, &s, e) < 0)
        return -1;
    int rc = tuned_delete(s, k->o->project ? k->o->project : DEFAULT_PROJECT, str_of(k->what), e);
    store_close(s);
    return rc;
}

/* ---- pull ---- */

static int models_pull(struct models_work *k, struct error *e)
{
    const char *path;
    bool had;
    struct pull p = {
        .what = k->what,
        .as = k->o->as,
        .sha256 = k->o->sha256,
        .folder = config_pulled_dir(&k->arena),
        .terminal = &k->terminal,
        .progress = true,
        .stop = stop_on_signals(),
    };

    if (!p.folder)
        return error_set(e, ERROR_INVALID_ARGUMENT, "there is no HOME to keep a model in");
    if (http_client_init(e) < 0 || pull_model(&p, &k->arena, &path, &had, e) < 0)
        return -1;
    if (had)
        terminal_note(&k->terminal, "%s is there already", k->what);
    buf_addf(&k->out, "%s\n", path);
    return 0;
}

/* ---- check ---- */

#if TRANCHE_LOCAL
static void print_adapter(const struct model_facts *f, struct buf *out)
{
    buf_addf(out, "kind          LoRA adapter\n");
    buf_addf(out, "rank          %u\nalpha         ", f->rank);
    buf_add_double(out, (double)f->alpha);
    buf_add_char(out, '\n');
}

static void print_model(const struct model_facts *f, struct buf *out)
{
    const double ops = model_check_speed(f->memory_bytes < f->parameters * 2);
    const double tokens = f->parameters ? ops / 2.0 / (double)f->parameters / 2.0 : 0.0;

    buf_addf(out, "kind          model\n");
    buf_addf(out, "layers        %u\ncontext       %u tokens\n", f->layers, f->context);
    buf_addf(out, "chat template %s\n",
             f->has_template ? "yes" : "no: the model continues texts and follows no roles");
    if (f->native)
        buf_addf(out, "computed by   the native runtime\n");
    else
        buf_addf(out, "computed by   libllama (%s)\n", f->why);
    buf_addf(out, "memory        %s for weights, %s for 1,000 tokens of cache\n",
             human_bytes(HUMAN, f->memory_bytes), human_bytes(HUMAN, f->cache_token_bytes * 1000));
    buf_addf(out, "speed         about %s prompt tokens a second on this machine\n",
             human_rate(HUMAN, tokens));
}

static void print_text(struct buf *out, const char *label, const char *text)
{
    buf_addf(out, "%s%s\n", label, text);
}

static void print_facts(const struct model_facts *f, struct buf *out)
{
    print_text(out, "architecture  ", f->architecture);
    if (f->name[0])
        print_text(out, "name          ", f->name);
    if (f->licence[0])
        print_text(out, "licence       ", f->licence);
    buf_addf(out, "file          %s, %s parameters, %s\n", human_bytes(HUMAN, f->bytes),
             human_count(HUMAN, f->parameters), f->format);
    if (f->adapter)
        print_adapter(f, out);
    else
        print_model(f, out);
}

static void json_facts(const struct model_facts *f, struct buf *out)
{
    struct json_writer w = JSON_WRITER(out);

    json_object(&w, NULL);
    json_add_c(&w, "kind", f->adapter ? "adapter" : "model");
    json_add_c(&w, "architecture", f->architecture);
    json_add_c(&w, "name", f->name);
    json_add_c(&w, "licence", f->licence);
    json_add_uint(&w, "bytes", f->bytes);
    json_add_uint(&w, "parameters", f->parameters);
    json_add_c(&w, "format", f->format);
    if (f->adapter) {
        json_add_uint(&w, "rank", f->rank);
        json_add_float(&w, "alpha", f->alpha);
    } else {
        json_add_uint(&w, "layers", f->layers);
        json_add_uint(&w, "context", f->context);
        json_add_bool(&w, "chat_template", f->has_template);
        json_add_bool(&w, "native", f->native);
        json_add_c(&w, "why", f->why);
        json_add_uint(&w, "memory_bytes", f->memory_bytes);
        json_add_uint(&w, "cache_token_bytes", f->cache_token_bytes);
    }
    json_end(&w);
    buf_add_char(out, '\n');
}

/* A file, or the name of a configured model. */
static int models_check(struct models_work *k, struct error *e)
{
    struct error ignored;
    const struct model *m =
        access(k->what, F_OK) == 0 ? NULL : model_find(&k->config.models, k->what, &ignored);
    struct model_facts f;

    if (model_check_apart(m && m->file ? m->file : k->what, &f, e) < 0)
        return -1;
    if (k->o->json)
        json_facts(&f, &k->out);
    else
        print_facts(&f, &k->out);
    return 0;
}
#else
static int models_check(struct models_work *k, struct error *e)
{
    (void)k;
    return error_set(e, ERROR_UNIMPLEMENTED, "this tranche was built without the embedded engine");
}
#endif

/* ---- The command ---- */

static const struct {
    const char *name;
    int (*run)(struct models_work *k, struct error *e);
    const char *argument; /* that it takes; NULL: none */
} verbs[] = {
    { "ls", models_ls, NULL },
    { "add", models_add, "the model's NAME" },
    { "rm", models_rm, "the model's NAME" },
    { "pull", models_pull, "a NAME of the catalogue, OWNER/REPO:FILE or a URL" },
    { "check", models_check, "a FILE or NAME" },
};

static int run_verb(struct models_work *k, const struct arguments *given, struct error *e)
{
    const char *name = given->count ? given->argument[0] : "ls";
    size_t i = 0;

    while (i < ARRAY_LEN(verbs) && strcmp(verbs[i].name, name) != 0)
        i++;
    if (i == ARRAY_LEN(verbs))
        return error_set(e, ERROR_INVALID_ARGUMENT, "models %s: write ls, add, rm, pull or check",
                         name);
    if ((verbs[i].argument != NULL) != (given->count == 2))
        return error_set(e, ERROR_INVALID_ARGUMENT, "models %s takes %s", name,
                         verbs[i].argument ? verbs[i].argument : "no argument");
    k->what = given->count == 2 ? given->argument[1] : NULL;
    if (config_load(k->o->config, &k->config, e) < 0)
        return -1;
    return verbs[i].run(k, e);
}

static enum exit_code exit_of(const struct error *e)
{
    switch (e->code) {
    case ERROR_INVALID_ARGUMENT:
    case ERROR_NOT_FOUND:
    case ERROR_ALREADY_EXISTS:
    case ERROR_PERMISSION_DENIED:
        return EXIT_USAGE;
    case ERROR_FAILED_PRECONDITION:
    case ERROR_DATA_LOSS:
        return EXIT_INPUT;
    case ERROR_CANCELLED:
        return EXIT_INTERRUPTED;
    default:
        return EXIT_STOPPED;
    }
}

static enum exit_code models_run(const struct command *c, const struct arguments *given)
{
    struct models_work k = { .o = given->options, .out = BUF_INIT(MODELS_BYTES_MAX) };
    struct error e = { 0 };

    (void)c;
    terminal_init(&k.terminal, false, NULL);
    int rc = run_verb(&k, given, &e);
    if (rc < 0)
        terminal_error(&k.terminal, "%s", e.msg);
    else
        terminal_write(STDOUT_FILENO, buf_str(&k.out));
    buf_release(&k.out);
    config_release(&k.config);
    arena_release(&k.arena);
    return rc < 0 ? exit_of(&e) : EXIT_OK;
}

#define OPTIONS struct models_options
static const struct option_spec options[] = {
    OPT_FILE("config", 'c', config, "configuration file"),
    OPT_FLAG("json", 0, json, "print one JSON object for each model"),
    OPT_FLAG("names", 0, names, "print only the names"),
    OPT_FLAG("catalogue", 0, catalogue, "list the models that `pull` knows by name"),
    OPT_MODEL("base", 0, base, "model that the adapter is for (add)"),
    OPT_FILE("adapter", 0, adapter, "LoRA adapter as GGUF (add)"),
    OPT_FILE("file", 0, file, "whole model as GGUF (add)"),
    OPT_TEXT("scale", 0, scale, "X", "factor of the adapter's change (add; default 1)"),
    OPT_TEXT("display-name", 0, display_name, "TEXT", "name that clients show (add)"),
    OPT_TEXT("project", 'p', project, "NAME", "project of the tuned model (default \"default\")"),
    OPT_DIR("state", 0, state, "the server's state folder (add, rm and ls of tuned models)"),
    SERVE_PLACE_OPTIONS,
    OPT_TEXT("as", 0, as, "NAME", "name to keep the model under (pull)"),
    OPT_TEXT("sha256", 0, sha256, "HEX", "hash that the file must have (pull)"),
    { 0 },
};

const struct command command_models = {
    .name = "models",
    .summary = "list models, get them from a hub, register tuned ones",
    .arguments = "[ls | add|rm|pull NAME | check FILE]",
    .about =
        "ls lists the names that are answered: the first entry that matches a name decides. "
        "Prices are online prices in USD per million tokens; a batch costs half. With --project "
        "or --state it lists the tuned models of a service.\n"
        "\n"
        "pull gets a model by name or URL from Hugging Face (HF_ENDPOINT: another hub; HF_TOKEN: "
        "for gated models), goes on where it was cut off, and checks the hash. add registers a "
        "LoRA adapter over a base, or a whole model, for a project of the service, which sees it "
        "at once. check says what a file is and how it would run.\n"
        "\n"
        "Examples:\n"
        "  tranche models pull qwen3-0.6b\n"
        "  tranche models check ~/.local/share/tranche/models/qwen3-0.6b.gguf\n"
        "  tranche models add support --base qwen3-0.6b --adapter support.gguf -p reviews\n"
        "  tranche models ls -p reviews",
    .options = options,
    .options_bytes = sizeof(struct models_options),
    .arguments_max = 2,
    .run = models_run,
};
