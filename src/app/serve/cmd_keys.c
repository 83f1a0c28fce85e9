/* cmd_keys.c -- `tranche keys`: who may call the service. Works beside a running server. */
#include "app/cli/command.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "api/auth.h"
#include "api/keys.h"
#include "app/cli/terminal.h"
#include "app/serve/serve.h"
#include "app/serve/service_account.h"
#include "base/json_write.h"
#include "base/mem.h"
#include "base/sys.h"

#define OUT_BYTES_MAX ((size_t)64 * 1024 * 1024)
#define DAY_US ((int64_t)86400 * 1000000)
#define DATE_BYTES (sizeof "2026-11-22" - 1)

struct keys_options {
    const char *project, *role, *name, *service_account, *url, *state, *store, *bucket, *config;
    uint64_t expires_days;
    bool json;
};

struct keys {
    const struct keys_options *o;
    struct terminal terminal;
    struct arena arena;
    struct store *store;
    struct buf out;
    const char *id; /* of revoke; NULL: none was given */
};

/* ---- create ---- */

static int create_check(const struct keys_options *o, struct error *e)
{
    if (!o->project)
        return error_set(e, ERROR_INVALID_ARGUMENT, "keys create needs --project NAME");
    if (!auth_project_valid(str_of(o->project)))
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "--project takes 1 to %d letters, digits and -_.:, not \"%s\"",
                         PROJECT_BYTES - 1, o->project);
    if (o->name && strlen(o->name) > KEY_NAME_BYTES_MAX)
        return error_set(e, ERROR_INVALID_ARGUMENT, "--name has more than %d bytes",
                         KEY_NAME_BYTES_MAX);
    if (!o->service_account != !o->url)
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "a service account needs --service-account FILE and --url URL, where "
                         "clients find the server");
    if (o->url && strncmp(o->url, "http://", 7) != 0 && strncmp(o->url, "https://", 8) != 0)
        return error_set(e, ERROR_INVALID_ARGUMENT, "--url must begin with http:// or https://");
    return 0;
}

static void key_fill(const struct keys_options *o, struct key *key)
{
    *key = (struct key){ .role = ROLE_SUBMITTER, .name = str_of(o->name) };
    (void)snprintf(key->project, sizeof key->project, "%s", o->project);
    if (o->role)
        (void)key_role_read(o->role, &key->role);
    if (o->expires_days)
        key->expire_us =
            clock_system()->wall_us(clock_system()) + (int64_t)o->expires_days * DAY_US;
}

static void write_created(const struct keys *k, const struct key *key, const char *text,
                          struct buf *out)
{
    struct json_writer w = JSON_WRITER(out);

    if (!k->o->json) {
        buf_addf(out, "%s\n", k->o->service_account ? k->o->service_account : text);
        return;
    }
    json_object(&w, NULL);
    json_add_c(&w, "id", key->id);
    json_add_c(&w, "project", key->project);
    json_add_c(&w, "role", key_role_name(key->role));
    if (k->o->service_account) {
        json_add_text(&w, "email", key->email);
        json_add_c(&w, "file", k->o->service_account);
    } else {
        json_add_c(&w, "key", text);
    }
    json_end(&w);
    buf_add_char(out, '\n');
}

/* The file is written before the account is stored: an account without its file would look like a good
 * one. */
static int create_account(struct keys *k, struct key *key, struct error *e)
{
    const struct keys_options *o = k->o;
    struct service_account account = { 0 };
    char no_text[KEY_TEXT_BYTES];
    struct error late = { 0 };
    int rc = service_account_make(&k->arena, key->project, o->name ? o->name : "client", o->url,
                                  &account, e);

    if (rc == 0)
        rc = service_account_write(&account, o->service_account, e);
    if (rc == 0) {
        key->email = account.email;
        key->public_key = account.public_key;
        rc = key_create(k->store, key, no_text, e);
        if (rc < 0 && sys_remove_all(o->service_account, &late) < 0)
            terminal_warn(&k->terminal, "%s", late.msg);
    }
    service_account_release(&account);
    return rc;
}

static int create(struct keys *k, struct error *e)
{
    char text[KEY_TEXT_BYTES] = "";
    struct key key;

    if (create_check(k->o, e) < 0)
        return -1;
    key_fill(k->o, &key);
    int rc =
        k->o->service_account ? create_account(k, &key, e) : key_create(k->store, &key, text, e);
    if (rc < 0)
        return -1;
    write_created(k, &key, text, &k->out);
    if (!k->o->service_account)
        terminal_note(&k->terminal, "key %s of project %s, role %s; it is not shown again", key.id,
                      key.project, key_role_name(key.role));
    else
        terminal_note(&k->terminal,
                      "service account %.*s of project %s, role %s; the file is its key",
                      STR_ARG(key.email), key.project, key_role_name(key.role));
    return 0;
}

/* ---- list ---- */

static void write_json(const struct key *key, int64_t now_us, struct buf *out)
{
    struct json_writer w = JSON_WRITER(out);

    json_object(&w, NULL);
    key_add_members(&w, key, now_us);
    json_end(&w);
    buf_add_char(out, '\n');
}

static void write_row(const struct key *key, int64_t now_us, struct buf *out)
{
    char created[CLOCK_TEXT_BYTES], expires[CLOCK_TEXT_BYTES] = "never";

    clock_format_rfc3339(key->create_us, created);
    if (key->expire_us)
        clock_format_rfc3339(key->expire_us, expires);
    buf_addf(out, "%-15s  %-7s  %-6s  %.*s  %-10.*s  %-20s  ", key->id, key_state(key, now_us),
             key_role_name(key->role), (int)DATE_BYTES, created, (int)DATE_BYTES, expires,
             key->project);
    buf_add_plain(out, key->email.len ? key->email : key->name, false);
    buf_add_char(out, '\n');
}

static int list(struct keys *k, struct error *e)
{
    int64_t now_us = clock_system()->wall_us(clock_system());
    struct key_list all = { 0 };

    if (key_list(k->store, &k->arena, &all, e) < 0)
        return -1;
    if (!k->o->json)
        buf_addf(&k->out, "%-15s  %-7s  %-6s  %-10s  %-10s  %-20s  %s\n", "ID", "STATE", "ROLE",
                 "CREATED", "EXPIRES", "PROJECT", "NAME");
    for (uint32_t i = 0; i < all.count; i++) {
        if (k->o->json)
            write_json(&all.item[i], now_us, &k->out);
        else
            write_row(&all.item[i], now_us, &k->out);
    }
    return 0;
}

/* ---- revoke ---- */

static int revoke(struct keys *k, struct error *e)
{
    if (key_revoke(k->store, k->id, e) < 0)
        return -1;
    terminal_note(&k->terminal, "key %s is revoked, and its access tokens with it", k->id);
    return 0;
}

/* ---- The command ---- */

static const struct {
    const char *name;
    int (*run)(struct keys *k, struct error *e);
    bool takes_id, makes_state;
} verbs[] = {
    { "create", create, false, true },
    { "list", list, false, false },
    { "revoke", revoke, true, false },
};
#define VERB_COUNT (ARRAY_LEN(verbs))

static size_t verb_find(const char *name)
{
    size_t i = 0;

    while (i < VERB_COUNT && strcmp(verbs[i].name, name) != 0)
        i++;
    return i;
}

static int run_verb(struct keys *k, const char *const *argument, uint32_t count, struct error *e)
{
    size_t verb = verb_find(argument[0]);

    if (verb == VERB_COUNT)
        return error_set(e, ERROR_INVALID_ARGUMENT, "keys %s: write create, list or revoke",
                         argument[0]);
    if (verbs[verb].takes_id != (count == 2))
        return error_set(e, ERROR_INVALID_ARGUMENT, "keys %s takes %s", verbs[verb].name,
                         verbs[verb].takes_id ? "the ID of a key" : "no argument");
    k->id = count == 2 ? argument[1] : NULL;
    const struct serve_place place = { k->o->config, k->o->state, k->o->store, k->o->bucket };
    k->store = serve_store_open(&k->arena, &place, !verbs[verb].makes_state, e);
    return k->store ? verbs[verb].run(k, e) : -1;
}

static enum exit_code keys_run(const struct command *c, const struct arguments *given)
{
    struct keys k = { .o = given->options, .out = BUF_INIT(OUT_BYTES_MAX) };
    struct error e = { 0 };

    (void)c;
    terminal_init(&k.terminal, false, NULL);
    int rc = run_verb(&k, given->argument, given->count, &e);
    if (rc < 0)
        terminal_error(&k.terminal, "%s", e.msg);
    else
        terminal_write(STDOUT_FILENO, buf_str(&k.out));
    buf_release(&k.out);
    store_close(k.store);
    arena_release(&k.arena);
    if (rc == 0)
        return EXIT_OK;
    return e.code == ERROR_INVALID_ARGUMENT || e.code == ERROR_NOT_FOUND ? EXIT_USAGE
                                                                         : EXIT_STOPPED;
}

#define OPTIONS struct keys_options
static const struct option_spec options[] = {
    OPT_TEXT("project", 'p', project, "NAME", "project whose jobs and objects the key reaches"),
    OPT_CHOICE("role", 0, role, "viewer|user|admin", "rights of the key (default user)"),
    OPT_TEXT("name", 0, name, "TEXT", "name of the key, for `keys list`"),
    OPT_COUNT("expires-days", 0, expires_days, 1, KEY_DAYS_MAX,
              "days until the key expires (default: never)"),
    OPT_FILE("service-account", 0, service_account,
             "write a service account's JSON instead of showing a key"),
    OPT_TEXT("url", 0, url, "URL", "URL of the server for the service account's clients"),
    OPT_DIR("state", 0, state, "the server's state folder"),
    SERVE_PLACE_OPTIONS,
    OPT_FILE("config", 'c', config, "the server's configuration file, for service.store"),
    OPT_FLAG("json", 0, json, "print JSON objects"),
    { 0 },
};

const struct command command_keys = {
    .name = "keys",
    .summary = "create, list and revoke keys of the service",
    .arguments = "create | list | revoke ID",
    .about =
        "A viewer reads, a user also submits jobs and writes objects, an admin may do anything in "
        "its project. Keys are stored hashed; a change counts at once, also while the server "
        "runs.\n"
        "\n"
        "Examples:\n"
        "  tranche keys create --project reviews\n"
        "  tranche keys create --project reviews --role viewer --expires-days 30\n"
        "  tranche keys create -p ci --service-account ci.json --url http://HOST:8080\n"
        "  tranche keys revoke tk_1a2b3c4d",
    .options = options,
    .options_bytes = sizeof(struct keys_options),
    .arguments_min = 1,
    .arguments_max = 2,
    .run = keys_run,
};
