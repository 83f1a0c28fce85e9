#include "app/config/config.h"

#include <assert.h>
#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "api/auth.h"
#include "base/mem.h"
#include "base/sys.h"
#include "base/env.h"
#include "store/db/db.h"
#include "predict/fake/script.h"

/* Models that are always there; a file is looked for in the model folder. */
static const struct {
    const char *pattern;
    enum model_kind kind;
    const char *file, *about;
} built_in[] = {
    { "tranche-fake", MODEL_FAKE, NULL, "answers \"echo: \" and the last user text; for tests" },
    { DEFAULT_MODEL, MODEL_LOCAL, DEFAULT_MODEL ".gguf", "SmolLM2 135M, embedded (default)" },
    { "gemma-3-270m", MODEL_LOCAL, "gemma-3-270m.gguf", "Gemma 3 270M, pretrained" },
    { "gemma-3-270m-it", MODEL_LOCAL, "gemma-3-270m-it.gguf", "Gemma 3 270M, instruction-tuned" },
    { EMBED_MODEL, MODEL_LOCAL, EMBED_MODEL ".gguf", "all-MiniLM-L6-v2, embeds texts" },
    { "text-embedding-*", MODEL_LOCAL, EMBED_MODEL ".gguf",
      "Vertex AI's embedding names, answered by " EMBED_MODEL },
    { "gemini-embedding-*", MODEL_LOCAL, EMBED_MODEL ".gguf",
      "Gemini's embedding names, answered by " EMBED_MODEL },
    { "gemini-*", MODEL_LOCAL, DEFAULT_MODEL ".gguf",
      "Gemini names, answered by the default model" },
};
#define BUILT_IN_COUNT (ARRAY_LEN(built_in))

const char *config_beside(struct config *c, const char *file)
{
    const char *slash = c->path ? strrchr(c->path, '/') : NULL;

    if (file[0] == '/' || !slash)
        return file;
    return arena_textf(&c->arena, "%.*s/%s", (int)(slash - c->path), c->path, file);
}

/* $VARIABLE/tranche, or its default $HOME/BELOW_HOME/tranche; NULL when neither variable is set. */
static const char *user_folder(struct arena *a, const char *variable, const char *below_home)
{
    const char *base = env_get(variable), *home = env_get("HOME");

    /* The XDG Base Directory Specification has relative paths ignored. */
    if (base && base[0] == '/')
        return arena_textf(a, "%s/tranche", base);
    return home ? arena_textf(a, "%s/%s/tranche", home, below_home) : NULL;
}

static const char *find_file(const char *path, struct config *c)
{
    if (path)
        return path;
    if (env_get("TRANCHE_CONFIG"))
        return env_get("TRANCHE_CONFIG");
    const char *dir = user_folder(&c->arena, "XDG_CONFIG_HOME", ".config");
    if (!dir)
        return NULL;
    const char *usual = arena_textf(&c->arena, "%s/config.yaml", dir);
    return access(usual, F_OK) == 0 ? usual : NULL;
}

static int read_file(struct config *c, struct error *e)
{
    struct buf text = BUF_INIT(CONFIG_BYTES_MAX);
    int rc = sys_read_file(c->path, CONFIG_BYTES_MAX, &text, e);

    if (rc == 0)
        config_read(c, buf_str(&text));
    buf_release(&text);
    return rc;
}

/* ---- The service ---- */

static void take_weights(struct config *c)
{
    struct config_service *s = &c->service;
    const struct weight_entry *in = s->weights.item;

    for (uint32_t i = 0; i < s->weights.count; i++) {
        struct project_weight *out = &s->settings.weight[s->settings.weight_count];
        if (!config_clean(c, &in[i]))
            continue;
        if (!auth_project_valid(str_of(in[i].project)))
            config_error(c, &in[i], "project",
                         "the name of a project is needed: 1 to %d letters, digits and -_.:",
                         PROJECT_BYTES - 1);
        else if (isnan(in[i].weight))
            config_error(c, &in[i], "weight", "project %s needs a weight", in[i].project);
        else {
            (void)snprintf(out->project, sizeof out->project, "%s", in[i].project);
            out->weight = in[i].weight;
            s->settings.weight_count++;
        }
    }
}

static void take_service(struct config *c)
{
    struct config_service *s = &c->service;
    const char *url = s->public_url;

    s->expired_as = s->expired_choice == 1 ? JOB_EXPIRED : JOB_FAILED;
    s->tables_in_bigquery = s->tables_choice == 2;
    s->settings.retry = c->retry;
    s->settings.drain_ms = c->drain_ms;
    if (!auth_project_valid(str_of(s->default_project)))
        config_error(c, s, "default_project",
                     "\"%s\" is not a name of a project: 1 to %d letters, digits and -_.:",
                     s->default_project, PROJECT_BYTES - 1);
    if (url && strncmp(url, "http://", 7) != 0 && strncmp(url, "https://", 8) != 0)
        config_error(c, s, "public_url", "\"%s\" must begin with http:// or https://", url);
    for (uint32_t i = 0; s->webhook_allow && s->webhook_allow[i]; i++)
        if (!strchr(s->webhook_allow[i], ':'))
            config_warn(c, s, "webhook_allow", "\"%s\" allows nothing; write HOST:PORT",
                        s->webhook_allow[i]);
    if (s->store && !db_is_url(s->store))
        config_error(c, s, "store", "it must begin with postgres://");
    if (!s->store != !s->bucket)
        config_error(c, s, s->store ? "store" : "bucket",
                     "store and bucket are needed together: processes share both");
    take_weights(c);
}

static void take_tests(struct config *c)
{
    const struct script_rule *in = c->tests.item;
    struct script_whole ignored;
    struct error e;

    for (uint32_t i = 0; i < c->tests.count; i++) {
        const struct script_rule *r = &in[i];
        if (!config_clean(c, r))
            continue;
        if ((r->job != NULL) + (r->file != NULL) + (r->object != NULL) + (r->table != NULL) != 1)
            config_error(c, r, NULL,
                         "one of job, file, object and table is needed, with a part of the name");
        else if (!r->script)
            config_error(c, r, NULL, "script is needed: what becomes of it, as job_failed");
        else if (script_whole(str_of(r->script), &ignored, &e) < 0)
            config_error(c, r, "script", "%s", e.msg);
    }
}

/* ---- Models ---- */

static void take_fake(struct config *c, const struct fake_entry *in, struct fake_script *out)
{
    const struct fault_entry *fault = in->faults.item;

    *out = in->script;
    out->reply = in->answers.item;
    out->reply_count = in->answers.count;
    for (uint32_t i = 0; i < in->faults.count; i++) {
        struct fake_fault *f = &out->fault[out->fault_count++];
        *f = fault[i].fault;
        if (!error_from_name(fault[i].code, &f->code) || f->code == ERROR_OK)
            config_error(c, &fault[i], "code",
                         "\"%s\" is not an error code; write UNAVAILABLE, RESOURCE_EXHAUSTED, "
                         "INVALID_ARGUMENT, INTERNAL, ...",
                         fault[i].code);
    }
}

struct price config_price(const struct price *in)
{
    struct price out = *in;

    if (isnan(out.cached))
        out.cached = out.input / 10;
    return out;
}

static void take_adapters(struct config *c, const struct model_entry *in, struct model *m)
{
    const struct adapter_entry *a = in->adapters.item;

    for (uint32_t i = 0; i < in->adapters.count; i++) {
        if (!a[i].file && config_clean(c, &a[i]))
            config_error(c, &a[i], "file", "an adapter needs a file");
        m->adapters.item[m->adapters.count++] = (struct adapter){ a[i].file, (float)a[i].scale, 0 };
    }
}

static void take_kind(struct config *c, const struct model_entry *in, struct model *m)
{
    static const enum model_kind kinds[] = {
        [KIND_LOCAL] = MODEL_LOCAL,
        [KIND_UPSTREAM] = MODEL_UPSTREAM,
        [KIND_REMOTE_BATCH] = MODEL_REMOTE_BATCH,
        [KIND_FAKE] = MODEL_FAKE,
    };
    uint32_t usual = in->upstreams.count ? KIND_UPSTREAM : KIND_LOCAL;

    m->kind = kinds[in->kind ? in->kind : usual];
    if (!m->pattern || strlen(m->pattern) >= MODEL_NAME_BYTES)
        config_error(c, in, "name", "a model needs a name of at most %d bytes, such as \"tuned-*\"",
                     MODEL_NAME_BYTES - 1);
    if (m->kind == MODEL_LOCAL && !m->file)
        config_error(c, in, "file", "a local model needs `file`, the path of its GGUF file");
    if (m->kind != MODEL_LOCAL && m->file)
        config_error(c, in, "file", "a model of kind %s has no file; remove `file`",
                     model_kind_name(m->kind));
    if (m->kind != MODEL_FAKE && in->fake)
        config_error(c, in, "fake",
                     "`fake` is for models of kind fake; remove it, or write kind: fake");
}

/* A pattern that stands before takes all names of this one; only the equal one is found here. */
static void warn_of_same_name(struct config *c, const struct model_entry *in)
{
    const struct model_entry *first = c->models_given.item;

    while (first < in && !str_eq(str_of(first->model.pattern), str_of(in->model.pattern)))
        first++;
    if (first < in)
        config_warn(c, in, "name", "an earlier model has this name, so this one never answers");
}

static void complete(struct config *c, const struct model_entry *in, struct model *m)
{
    take_kind(c, in, m);
    m->plain = in->engine == ENGINE_PLAIN;
    m->in_process = !in->isolate;
    if (in->call_format)
        m->call_format = (enum call_format)(in->call_format - CALL_FORMAT_FIRST);
    if (m->kind != MODEL_LOCAL && (m->chat_template || m->call_format != CALLS_AUTO))
        config_error(c, in, m->chat_template ? "chat_template" : "call_format",
                     "only a local model has a chat template; remove `%s`",
                     m->chat_template ? "chat_template" : "call_format");
    m->has_price = in->price != NULL;
    if (in->price)
        m->price = config_price(in->price);
    config_model_upstreams(c, in, m);
    if (in->fake)
        take_fake(c, in->fake, &m->fake);
    take_adapters(c, in, m);
    warn_of_same_name(c, in);
}

static int64_t file_time_ns(const char *path)
{
    struct stat st;

    return path && stat(path, &st) == 0
               ? (int64_t)st.st_mtim.tv_sec * INT64_C(1000000000) + st.st_mtim.tv_nsec
               : 0;
}

static void take_model(struct config *c, const struct model_entry *in)
{
    struct model *m = &c->model[c->models.count++];

    *m = in->model;
    if (config_clean(c, in))
        complete(c, in, m);
    m->file_time_ns = file_time_ns(m->file);
    if (!m->pattern) /* a finding; names are compared nevertheless */
        m->pattern = "";
}

/* $TRANCHE_MODEL_DIR; else PREFIX/share/tranche/models of a program in PREFIX/bin; else that of the build. */
static const char *model_dir(struct arena *a)
{
    const char *set = env_get("TRANCHE_MODEL_DIR");
    char program[CONFIG_TEXT_BYTES_MAX];
    ssize_t n = readlink("/proc/self/exe", program, sizeof program - 1);

    if (set)
        return set;
    for (int up = 0; up < 2 && n > 0; up++)
        while (n > 0 && program[--n] != '/') {
        }
    const char *installed =
        arena_textf(a, "%.*s/share/tranche/models", n > 0 ? (int)n : 0, program);
    return access(installed, R_OK | X_OK) == 0 ? installed : TRANCHE_MODELS;
}

const char *config_pulled_dir(struct arena *a)
{
    const char *dir = user_folder(a, "XDG_DATA_HOME", ".local/share");

    return dir ? arena_textf(a, "%s/models", dir) : NULL;
}

static int is_model(const struct dirent *entry)
{
    struct str name = str_of(entry->d_name);

    return name.len > 5 && name.p[0] != '.' && str_ends(name, STR(".gguf"));
}

/* The pulled files, in order of names; count of them. */
static uint32_t find_pulled(struct config *c, const char **dir, struct dirent ***list)
{
    *dir = config_pulled_dir(&c->arena);
    int n = *dir ? scandir(*dir, list, is_model, alphasort) : -1;

    return n > 0 ? (uint32_t)n : 0;
}

/* Takes the list. */
static void add_pulled(struct config *c, const char *dir, struct dirent **list, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        const char *name = list[i]->d_name;
        struct model *m = &c->model[c->models.count++];
        m->pattern = arena_textf(&c->arena, "%.*s", (int)strlen(name) - 5, name);
        m->kind = MODEL_LOCAL;
        m->about = "pulled";
        m->file = arena_textf(&c->arena, "%s/%s", dir, name);
        m->file_time_ns = file_time_ns(m->file);
        mem_free(list[i]);
    }
    if (count)
        mem_free(list);
}

static void add_built_in(struct config *c)
{
    const char *dir = model_dir(&c->arena);

    for (size_t i = 0; i < BUILT_IN_COUNT; i++) {
        struct model *m = &c->model[c->models.count++];
        m->pattern = built_in[i].pattern;
        m->kind = built_in[i].kind;
        m->about = built_in[i].about;
        if (built_in[i].file)
            m->file = arena_textf(&c->arena, "%s/%s", dir, built_in[i].file);
        m->file_time_ns = file_time_ns(m->file);
        if (m->kind == MODEL_FAKE && c->fake && config_clean(c, c->fake))
            take_fake(c, c->fake, &m->fake);
    }
}

/* For messages; names past the field's end are left out. */
static void list_names(struct config *c)
{
    size_t at = 0;

    for (uint32_t i = 0; i < c->models.count; i++) {
        const char *name = c->models.item[i].pattern;
        if (!*name)
            continue;
        if (at + strlen(name) + 3 > sizeof c->models.names)
            break;
        at += (size_t)snprintf(c->models.names + at, sizeof c->models.names - at, "%s%s",
                               at ? ", " : "", name);
    }
}

/* The first one, and how many more there are. */
static int findings_error(const struct config *c, struct error *e)
{
    const struct config_findings *all = &c->findings;
    struct buf text = BUF_INIT((size_t)2 * CONFIG_TEXT_BYTES_MAX);
    uint32_t i = 0;

    if (all->errors == 0)
        return 0;
    while (all->item[i].warning)
        i++;
    config_finding_write(c, &all->item[i], &text);
    if (all->errors > 1)
        buf_addf(&text, "; `tranche config check` lists %u more", all->errors - 1);
    (void)error_set(e, ERROR_INVALID_ARGUMENT, "%s", text.p);
    buf_release(&text);
    return -1;
}

int config_load(const char *path, struct config *out, struct error *e)
{
    *out = (struct config){ .path = NULL };
    out->path = find_file(path, out);
    if (!out->path)
        config_defaults(out);
    else if (read_file(out, e) < 0)
        return -1;
    take_service(out);
    take_tests(out);
    config_upstreams_load(out);
    config_bigquery_load(out);
    const char *dir;
    struct dirent **list = NULL;
    uint32_t pulled = find_pulled(out, &dir, &list);
    out->model = arena_array(&out->arena, out->models_given.count + pulled + BUILT_IN_COUNT,
                             sizeof *out->model);
    out->models.item = out->model;
    for (uint32_t i = 0; i < out->models_given.count; i++)
        take_model(out, (const struct model_entry *)out->models_given.item + i);
    add_pulled(out, dir, list, pulled);
    add_built_in(out);
    list_names(out);
    return findings_error(out, e);
}

void config_fake_all(struct config *c)
{
    struct model *first = &c->model[c->models.count - BUILT_IN_COUNT];

    for (size_t i = 1; i < BUILT_IN_COUNT; i++)
        first[i] = (struct model){
            .pattern = i + 1 < BUILT_IN_COUNT ? built_in[i].pattern : "*",
            .kind = MODEL_FAKE,
            .about = "answered by tranche-fake, as the server is in test mode",
            .fake = first[0].fake,
        };
}

void config_release(struct config *c)
{
    arena_release(&c->arena);
    *c = (struct config){ 0 };
}

static bool same_texts(const char *const *a, const char *const *b)
{
    while (a && b && *a && *b && strcmp(*a, *b) == 0) {
        a++;
        b++;
    }
    return !(a && *a) && !(b && *b);
}

/* Knows only the types that rows with `restart` have. */
static bool same_value(const struct config_row *row, const void *a, const void *b)
{
    switch (row->type) {
    case CONFIG_TEXT:
    case CONFIG_FILE:
        return str_eq(str_of(*(const char *const *)a), str_of(*(const char *const *)b));
    case CONFIG_CHOICE:
    case CONFIG_COUNT:
        return *(const uint32_t *)a == *(const uint32_t *)b;
    case CONFIG_TEXTS:
        return same_texts(*(const char *const *const *)a, *(const char *const *const *)b);
    case CONFIG_BIG:
        return *(const uint64_t *)a == *(const uint64_t *)b;
    case CONFIG_FLAG:
        return *(const bool *)a == *(const bool *)b;
    case CONFIG_FLAG_IF:
    case CONFIG_NUMBER:
    case CONFIG_MAP:
    case CONFIG_MAP_IF:
    case CONFIG_LIST:
        break;
    }
    assert(!"a row with `restart` of this type");
    return true;
}

void config_needs_restart(const struct config *now, const struct config *next, struct buf *out)
{
    for (size_t i = 0; i < config_service.row_count; i++) {
        const struct config_row *row = &config_service.row[i];
        if (row->restart && !same_value(row, (const char *)&now->service + row->place,
                                        (const char *)&next->service + row->place))
            buf_addf(out, "%s%s", out->len ? ", " : "", row->name);
    }
}

const char *config_state_root(struct arena *a, const char *option, struct error *e)
{
    const char *root = option ? option : env_get("TRANCHE_STATE");

    if (!root)
        root = user_folder(a, "XDG_STATE_HOME", ".local/state");
    if (!root)
        (void)error_set(e, ERROR_INVALID_ARGUMENT,
                        "there is no HOME to keep state in; name a folder with --state DIR");
    return root;
}

/* ---- What decides an answer ---- */

static void fingerprint_file(const char *path, struct buf *out)
{
    struct stat st;

    buf_addf(out, "file %s ", path);
    if (stat(path, &st) == 0)
        buf_addf(out, "size %llu mtime %lld.%09ld", (unsigned long long)st.st_size,
                 (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
    buf_add_char(out, '\n');
}

static void fingerprint_fake(const struct fake_script *s, struct buf *out)
{
    for (uint32_t i = 0; i < s->reply_count; i++) {
        buf_add_c(out, "reply ");
        buf_add_json(out, str_of(s->reply[i].match));
        buf_add_json(out, str_of(s->reply[i].text));
        buf_add_char(out, '\n');
    }
    for (uint32_t i = 0; i < s->fault_count; i++) {
        const struct fake_fault *f = &s->fault[i];
        buf_addf(out, "fault %u %u %u %d ", f->every, f->times, f->retry_after_ms, f->hang);
        buf_add_double(out, f->rate);
        buf_addf(out, " %s ", error_name(f->code));
        buf_add_json(out, str_of(f->match));
        buf_add_json(out, str_of(f->message));
        buf_add_char(out, '\n');
    }
}

/* The rows of one output are priced alike. */
static void fingerprint_price(bool given, const struct price *p, struct buf *out)
{
    const double usd[] = { p->input, p->output, p->cached };

    buf_addf(out, "price %d", given);
    for (size_t i = 0; i < ARRAY_LEN(usd); i++) {
        buf_add_char(out, ' ');
        buf_add_double(out, usd[i]);
    }
    buf_add_char(out, '\n');
}

/* The server and the name of the model there; keys and speed change no answer. */
static void fingerprint_upstreams(const struct model *m, struct buf *out)
{
    for (uint32_t i = 0; i < m->upstream_count; i++) {
        const struct model_upstream *u = &m->upstream[i];
        buf_addf(out, "upstream %d %s ", (int)u->upstream->wire, u->upstream->url);
        buf_add_json(out, str_of(u->model));
        fingerprint_price(u->has_price, &u->price, out);
    }
}

/* Delays, threads and sequences change how an answer comes, not what it is. */
void config_fingerprint(const struct config *c, const struct model *m, struct buf *out)
{
    buf_addf(out, "kind %d context %u attempts %u\n", (int)m->kind, m->context,
             c->retry.attempts_max);
    if (m->plain)
        buf_add_c(out, "plain\n");
    if (m->kind == MODEL_LOCAL)
        buf_addf(out, "engine %s\n", m->plain ? "plain" : "fast");
    if (m->file)
        fingerprint_file(m->file, out);
    if (m->chat_template) {
        buf_add_c(out, "chat_template ");
        fingerprint_file(m->chat_template, out);
    }
    if (m->call_format != CALLS_AUTO)
        buf_addf(out, "call_format %s\n", call_format_name(m->call_format));
    if (m->projector)
        fingerprint_file(m->projector, out);
    for (uint32_t i = 0; i < m->adapters.count; i++) {
        buf_add_c(out, "scale ");
        buf_add_double(out, (double)m->adapters.item[i].scale);
        buf_add_char(out, ' ');
        fingerprint_file(m->adapters.item[i].file, out);
    }
    fingerprint_upstreams(m, out);
    fingerprint_fake(&m->fake, out);
    fingerprint_price(m->has_price, &m->price, out);
}

static int file_present(const char *path, struct error *e)
{
    struct stat st;

    if (stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, R_OK) == 0)
        return 0;
    return error_set(e, ERROR_NOT_FOUND,
                     "the model file %s is not there; scripts/setup gets the built-in ones, "
                     "TRANCHE_MODEL_DIR or `file` in the configuration say where another is",
                     path);
}

int config_model_present(const struct model *m, struct error *e)
{
    if (m->file && file_present(m->file, e) < 0)
        return -1;
    if (m->projector && file_present(m->projector, e) < 0)
        return -1;
    for (uint32_t i = 0; i < m->adapters.count; i++)
        if (file_present(m->adapters.item[i].file, e) < 0)
            return -1;
    return 0;
}
