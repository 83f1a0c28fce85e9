/* cmd_config.c -- `tranche config check`: all that is wrong with a configuration, before a start or a
 * reload meets it.
 *
 * Shape:   the findings of reading the file (config.h), then the checks that need the machine: addresses,
 *          certificates, the files and keys that it names, the default model, and with --state the state.
 *          Nothing is made, changed or sent.
 */
#include "app/cli/command.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app/cli/terminal.h"
#include "app/serve/serve.h"
#include "base/json_write.h"
#include "net/client/credential.h"
#include "net/client/http_client.h"
#include "net/server/http_server.h"
#include "store/jobs/keys.h"
#include "store/store.h"

#define OUT_BYTES_MAX ((size_t)1024 * 1024)

struct config_options {
    const char *state;
    bool json;
};

static void check_models(struct config *c)
{
    const struct model_entry *in = c->models_given.item;
    struct error e = { 0 };

    for (uint32_t i = 0; i < c->models_given.count; i++)
        if (config_clean(c, &in[i]) && config_model_present(&c->model[i], &e) < 0)
            config_error(c, &in[i], "file", "%s", e.msg);
    const struct model *m = model_find(&c->models, c->default_model, &e);
    if (!m)
        config_error(c, c, "default_model", "%s", e.msg);
    else if (m >= c->model + c->models_given.count && config_model_present(m, &e) < 0)
        config_error(c, c, "default_model", "%s: %s", c->default_model, e.msg);
}

static void check_upstreams(struct config *c)
{
    const struct upstream_entry *in = c->upstreams.item;
    struct error e = { 0 };

    for (uint32_t i = 0; i < c->upstream_count; i++) {
        const struct upstream *u = &c->upstream[i];
        if (!config_clean(c, &in[i]))
            continue;
        if (u->ca_file && access(u->ca_file, R_OK) != 0)
            config_error(c, &in[i], "ca_file", "%s cannot be read", u->ca_file);
        struct credential *key = credential_new(&u->credential, clock_system(), u->ca_file, &e);
        if (!key)
            config_error(c, &in[i], u->credential.secret_file ? "key_file" : "service_account",
                         "%s", e.msg);
        credential_free(key);
    }
}

static void check_service(struct config *c)
{
    const struct config_service *s = &c->service;
    struct error e = { 0 };

    if (http_server_check_address(serve_listen_address(&c->arena, s->listen), &e) < 0)
        config_error(c, s, "listen", "%s", e.msg);
    if (c->tests.count)
        config_warn(c, c, "test", "only a start with --test-clock takes it");
    if (http_server_check_tls(s->tls_cert, s->tls_key, &e) < 0)
        config_error(c, s, s->tls_cert ? "tls_cert" : "tls_key", "%s", e.msg);
}

/* As serve's first steps look at it. */
static void check_state(struct config *c, const char *dir)
{
    const char *listen = serve_listen_address(&c->arena, c->service.listen);
    struct error e = { 0 };
    uint64_t keys = 0;

    if (c->service.store)
        return; /* the database and the bucket are asked at the start */
    if (serve_state_exists(&c->arena, dir)) {
        struct store *s = store_open_to_look(dir, clock_system(), &e);
        int rc = s ? key_count(s, &keys, &e) : -1;
        store_close(s);
        if (rc < 0) {
            config_error(c, NULL, NULL, "%s", e.msg);
            return;
        }
    }
    if (keys == 0 && http_server_check_address(listen, &e) == 0 && !http_server_loopback(listen))
        config_error(c, &c->service, "listen",
                     "other machines reach %s, and no key exists in %s; make one "
                     "(tranche keys create --project NAME --state %s), or listen on 127.0.0.1",
                     listen, dir, dir);
}

static void write_json(const struct config *c, const struct config_finding *f, struct buf *out)
{
    struct json_writer w = JSON_WRITER(out);

    json_object(&w, NULL);
    json_add_c(&w, "severity", f->warning ? "warning" : "error");
    if (c->path)
        json_add_c(&w, "file", c->path);
    if (f->line) {
        json_add_uint(&w, "line", f->line);
        json_add_uint(&w, "column", f->column);
    }
    json_add_c(&w, "field", f->field);
    json_add_c(&w, "message", f->text);
    json_end(&w);
    buf_add_char(out, '\n');
}

static int by_place(const void *a, const void *b)
{
    const struct config_finding *x = a, *y = b;
    bool after = x->line > y->line || (x->line == y->line && x->column > y->column);

    return after ? 1 : -(x->line != y->line || x->column != y->column);
}

static void print_findings(const struct config *c, bool json)
{
    struct buf out = BUF_INIT(OUT_BYTES_MAX);

    for (uint32_t i = 0; i < c->findings.count; i++) {
        const struct config_finding *f = &c->findings.item[i];
        if (json) {
            write_json(c, f, &out);
            continue;
        }
        config_finding_write(c, f, &out);
        buf_add_c(&out, f->warning ? " (warning)\n" : "\n");
    }
    terminal_write(STDOUT_FILENO, buf_str(&out));
    buf_release(&out);
}

static enum exit_code report(const struct terminal *t, const struct config *c, bool json)
{
    const struct config_findings *all = &c->findings;
    const char *name = c->path ? c->path : "the built-in configuration";

    if (all->count)
        qsort(all->item, all->count, sizeof *all->item, by_place);
    print_findings(c, json);
    if (all->errors == 0) {
        terminal_note(t, "%s: `tranche serve` can start with it", name);
        return EXIT_OK;
    }
    terminal_error(t, "%s: %u error%s", name, all->errors, all->errors == 1 ? "" : "s");
    return EXIT_USAGE;
}

static int check(const char *file, const char *state, struct config *c, struct error *e)
{
    if (http_client_init(e) < 0 || (config_load(file, c, e) < 0 && !c->findings.errors))
        return -1;
    check_models(c);
    check_upstreams(c);
    check_service(c);
    if (state)
        check_state(c, state);
    return 0;
}

static enum exit_code config_run(const struct command *cmd, const struct arguments *given)
{
    const struct config_options *o = given->options;
    struct config c = { 0 };
    struct terminal terminal;
    struct error e = { 0 };
    enum exit_code code = EXIT_USAGE;

    (void)cmd;
    terminal_init(&terminal, false, NULL);
    if (strcmp(given->argument[0], "check") != 0)
        terminal_error(&terminal, "config %s: write config check", given->argument[0]);
    else if (check(given->count > 1 ? given->argument[1] : NULL, o->state, &c, &e) < 0)
        terminal_error(&terminal, "%s", e.msg);
    else
        code = report(&terminal, &c, o->json);
    config_release(&c);
    return code;
}

#define OPTIONS struct config_options
static const struct option_spec options[] = {
    OPT_DIR("state", 0, state, "check the server's state folder too: its version, and the keys"),
    OPT_FLAG("json", 0, json, "print each finding as a JSON object"),
    { 0 },
};

const struct command command_config = {
    .name = "config",
    .summary = "check a configuration, before `serve` reads it",
    .arguments = "check [FILE]",
    .about = "Prints everything that is wrong with FILE, or with the configuration that `serve` "
             "would find "
             "without --config: the line, the field, the fault and its remedy. It reads the files "
             "that FILE "
             "names, and checks addresses, certificates, keys and the default model. It changes "
             "nothing and "
             "connects to nothing.\n"
             "\n"
             "The exit code is 0 when a start is possible (there may be warnings), else 2.\n"
             "\n"
             "Examples:\n"
             "  tranche config check config.yaml\n"
             "  tranche config check /etc/tranche/config.yaml --state /var/lib/tranche",
    .options = options,
    .options_bytes = sizeof(struct config_options),
    .arguments_min = 1,
    .arguments_max = 2,
    .takes_files = true,
    .run = config_run,
};
