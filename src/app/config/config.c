#include "app/config/config.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "app/config/config_schema.h"
#include "base/env.h"
#include "base/mem.h"
#include "base/sys.h"
#include "engine/lines/pipeline.h"

#define PRICE_USD_MAX_CONFIG 1e6
#define ADAPTER_SCALE_MAX 100.0
#define FINGERPRINT_LIST "size %llu mtime %lld.%09ld"

static const struct {
    const char *name, *about;
} variables[] = {
    { "TRANCHE_CONFIG", "configuration file, when --config is not given" },
    { "TRANCHE_STATE", "folder of the runs' state, when --state is not given" },
    { "TRANCHE_MODEL_DIR", "folder of the built-in models' files" },
    { "TRANCHE_SERVER", "service of the client commands, when --server is not given" },
    { "TRANCHE_STORAGE_SERVER", "object store, when it is not at the service" },
    { "TRANCHE_PROJECT", "project, when --project is not given" },
    { "TRANCHE_LOCATION", "region, when --location is not given" },
    { "TRANCHE_API_KEY", "key of the client commands" },
    { "TRANCHE_TOKEN", "access token, instead of a key" },
    { "TRANCHE_CA_FILE", "certificates (PEM) that the client commands trust" },
    { UPSTREAM_KEY_VARIABLE, "key or token of --upstream, and of submit --to" },
    { "GOOGLE_APPLICATION_CREDENTIALS", "service account of submit --to, without such a key" },
    { "TRANCHE_MODEL", "model of submit, when --model is not given" },
    { "XDG_CONFIG_HOME", "where tranche/config.yaml is looked for (default ~/.config)" },
    { "XDG_STATE_HOME", "where tranche/ keeps state (default ~/.local/state)" },
    { "HOME", "base of both defaults" },
    { "NOTIFY_SOCKET", "where systemd is told that `serve` is ready" },
    { "NO_COLOR", "set to anything: no colours" },
    { "TERM", "dumb: no live display" },
    { "COLUMNS", "width of the display when the terminal does not say" },
    { "LC_ALL", "UTF-8 or not, with LC_CTYPE and LANG" },
};

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
    { "gemini-*", MODEL_LOCAL, DEFAULT_MODEL ".gguf",
      "Gemini names, answered by the default model" },
};
#define BUILT_IN_COUNT (ARRAY_LEN(built_in))

static const char *find_file(const char *path, struct config *c);
static int read_file(struct config *c, struct error *e);
static int take_settings(struct config *c, struct error *e);
static int take_models(struct config *c, struct error *e);
static void add_built_in(struct config *c);
static void list_names(struct config *c);

int config_load(const char *path, struct config *out, struct error *e)
{
    *out = (struct config){
        .default_model = DEFAULT_MODEL,
        .retry = retry_defaults(),
        .drain_ms = DRAIN_DEFAULT_MS,
    };
    out->retry.attempts_max = 0; /* the predictor knows best */
    out->path = find_file(path, out);
    if (out->path && (read_file(out, e) < 0 || take_settings(out, e) < 0))
        return -1;
    if (config_service_load(out, e) < 0 || config_upstreams_load(out, e) < 0)
        return -1;
    uint32_t configured = out->file ? out->file->models_count : 0;
    out->model = arena_array(&out->arena, configured + BUILT_IN_COUNT, sizeof *out->model);
    out->models.item = out->model;
    if (take_models(out, e) < 0)
        return -1;
    add_built_in(out);
    list_names(out);
    return 0;
}

void config_release(struct config *c)
{
    config_file_free(c->file);
    arena_release(&c->arena);
    *c = (struct config){ 0 };
}

const char *config_xdg(struct arena *a, const char *variable, const char *below_home)
{
    const char *base = env_get(variable), *home = env_get("HOME");
    struct buf path = BUF_INIT(4096);

    /* The specification has relative paths ignored. */
    if (base && base[0] == '/')
        buf_addf(&path, "%s/tranche", base);
    else if (home)
        buf_addf(&path, "%s/%s/tranche", home, below_home);
    const char *out = path.len ? arena_copy(a, path.p, path.len) : NULL;
    buf_release(&path);
    return out;
}

bool config_variable_at(uint32_t i, const char **name, const char **about)
{
    if (i >= ARRAY_LEN(variables))
        return false;
    *name = variables[i].name;
    *about = variables[i].about;
    return true;
}

static const char *find_file(const char *path, struct config *c)
{
    if (path)
        return path;
    if (env_get("TRANCHE_CONFIG"))
        return env_get("TRANCHE_CONFIG");
    const char *dir = config_xdg(&c->arena, "XDG_CONFIG_HOME", ".config");
    if (!dir)
        return NULL;
    size_t bytes = strlen(dir) + sizeof "/config.yaml";
    char *usual = arena_alloc(&c->arena, bytes);
    (void)snprintf(usual, bytes, "%s/config.yaml", dir);
    return access(usual, F_OK) == 0 ? usual : NULL;
}

static int read_file(struct config *c, struct error *e)
{
    struct buf text = BUF_INIT(CONFIG_BYTES_MAX);
    int rc = sys_read_file(c->path, CONFIG_BYTES_MAX, &text, e);

    if (rc == 0) {
        c->file = config_file_parse(c->path, buf_str(&text), e);
        rc = c->file ? 0 : -1;
    }
    buf_release(&text);
    return rc;
}

static void take_u32(const uint32_t *from, uint32_t *to)
{
    if (from)
        *to = *from;
}

static int take_settings(struct config *c, struct error *e)
{
    const struct file_entry *f = c->file;

    if (f->default_model)
        c->default_model = f->default_model;
    if (f->limits && f->limits->lines_max)
        c->lines_max = *f->limits->lines_max;
    if (f->limits)
        take_u32(f->limits->drain_ms, &c->drain_ms);
    if (f->retry) {
        take_u32(f->retry->attempts, &c->retry.attempts_max);
        take_u32(f->retry->base_ms, &c->retry.base_ms);
        take_u32(f->retry->cap_ms, &c->retry.cap_ms);
        if (f->retry->ratio)
            c->retry.ratio = *f->retry->ratio;
    }
    if (!(c->retry.ratio >= 0 && c->retry.ratio <= RETRY_RATIO_MAX))
        return error_set(e, ERROR_INVALID_ARGUMENT, "%s: retry.ratio is %g; 3 is usual", c->path,
                         c->retry.ratio);
    if (f->retry && f->retry->attempts && *f->retry->attempts == 0)
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "%s: retry.attempts is 0; write 1 for a single attempt", c->path);
    return 0;
}

const char *config_beside(struct config *c, const char *file)
{
    const char *slash = c->path ? strrchr(c->path, '/') : NULL;
    int dir = slash ? (int)(slash - c->path) + 1 : 0;

    if (file[0] == '/' || dir == 0)
        return file;
    size_t bytes = (size_t)dir + strlen(file) + 1;
    char *path = arena_alloc(&c->arena, bytes);
    (void)snprintf(path, bytes, "%.*s%s", dir, c->path, file);
    return path;
}

static int take_fault(const struct fault_entry *in, struct fake_fault *out, struct error *e)
{
    *out = (struct fake_fault){
        .match = in->match,
        .every = in->every,
        .times = in->times,
        .rate = in->rate,
        .code = ERROR_UNAVAILABLE,
        .message = in->message,
        .retry_after_ms = in->retry_after_ms,
        .hang = in->hang,
    };
    if (in->code && (!error_from_name(in->code, &out->code) || out->code == ERROR_OK))
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "code \"%s\" is no error code; write UNAVAILABLE, RESOURCE_EXHAUSTED, "
                         "INVALID_ARGUMENT, INTERNAL, ...",
                         in->code);
    if (!(in->rate >= 0 && in->rate <= 1))
        return error_set(e, ERROR_INVALID_ARGUMENT, "rate is %g; it is a share from 0 to 1",
                         in->rate);
    return 0;
}

static int take_fake(const struct fake_entry *in, struct fake_script *out, struct error *e)
{
    *out = (struct fake_script){
        .delay_ms = in->delay_ms,
        .jitter_ms = in->jitter_ms,
        .delay_token_us = in->delay_token_us,
        .window = in->window,
    };
    for (uint32_t i = 0; i < in->faults_count; i++)
        if (take_fault(&in->faults[i], &out->fault[out->fault_count++], e) < 0)
            return error_wrap(e, "fake.faults[%u]", i);
    return 0;
}

static bool price_valid(double usd)
{
    return usd >= 0 && usd <= PRICE_USD_MAX_CONFIG;
}

int config_price(const struct price_entry *in, struct price *out, struct error *e)
{
    *out = (struct price){ .input = in->input, .output = in->output };
    out->cached = in->cached ? *in->cached : in->input / 10;
    if (price_valid(in->input) && price_valid(in->output) && price_valid(out->cached))
        return 0;
    return error_set(e, ERROR_INVALID_ARGUMENT,
                     "price: USD per million tokens are numbers from 0 to %.0f",
                     PRICE_USD_MAX_CONFIG);
}

static int take_adapters(struct config *c, const struct model_entry *in, struct model *m,
                         struct error *e)
{
    for (uint32_t i = 0; i < in->adapters_count; i++) {
        const struct adapter_entry *a = &in->adapters[i];
        double scale = a->scale ? *a->scale : 1.0;
        if (!a->file || !*a->file)
            return error_set(e, ERROR_INVALID_ARGUMENT, "adapters[%u] needs a file", i);
        if (!(fabs(scale) <= ADAPTER_SCALE_MAX))
            return error_set(e, ERROR_INVALID_ARGUMENT, "adapters[%u].scale is %g; 1.0 is usual", i,
                             scale);
        m->adapter[m->adapter_count++] =
            (struct adapter){ config_beside(c, a->file), (float)scale };
    }
    return 0;
}

static int take_kind(const struct model_entry *in, struct model *m, struct error *e)
{
    static const struct {
        const char *name;
        enum model_kind kind;
    } kinds[] = {
        { "local", MODEL_LOCAL },
        { "upstream", MODEL_UPSTREAM },
        { "remote-batch", MODEL_REMOTE_BATCH },
        { "fake", MODEL_FAKE },
    };
    const char *kind = in->kind ? in->kind : in->upstreams_count ? "upstream" : "local";
    size_t i = 0;

    if (!in->name || !*in->name || strlen(in->name) >= MODEL_NAME_BYTES)
        return error_set(e, ERROR_INVALID_ARGUMENT, "a model needs a name, such as \"tuned-*\"");
    while (i < ARRAY_LEN(kinds) && strcmp(kind, kinds[i].name) != 0)
        i++;
    if (i == ARRAY_LEN(kinds))
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "kind \"%s\" is not known; write local, upstream, remote-batch or fake",
                         kind);
    m->kind = kinds[i].kind;
    if (m->kind == MODEL_LOCAL && (!in->file || !*in->file))
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "a local model needs `file`, the path of its GGUF file");
    if (m->kind != MODEL_LOCAL && in->file)
        return error_set(e, ERROR_INVALID_ARGUMENT, "a model of kind %s has no file; remove `file`",
                         kind);
    if (m->kind != MODEL_FAKE && in->fake)
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "`fake` is for models of kind fake; remove it, or write kind: fake");
    return 0;
}

static int take_engine(const struct model_entry *in, struct model *m, struct error *e)
{
    const char *engine = in->engine ? in->engine : "fast";

    if (strcmp(engine, "fast") != 0 && strcmp(engine, "plain") != 0)
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "engine \"%s\" is not known; write fast or plain", engine);
    m->plain = strcmp(engine, "plain") == 0;
    return 0;
}

static int take_model(struct config *c, const struct model_entry *in, struct error *e)
{
    struct model *m = &c->model[c->models.count++];

    *m = (struct model){
        .pattern = in->name,
        .about = in->about ? in->about : "configured",
        .context = in->context,
        .sequences = in->sequences,
        .threads = in->threads,
        .cache_mib = in->cache_mib,
    };
    if (take_kind(in, m, e) < 0 || take_engine(in, m, e) < 0)
        return -1;
    if (m->kind == MODEL_LOCAL)
        m->file = config_beside(c, in->file);
    m->has_price = in->price != NULL;
    if ((in->price && config_price(in->price, &m->price, e) < 0) || config_places(c, in, m, e) < 0)
        return -1;
    if (in->fake && take_fake(in->fake, &m->fake, e) < 0)
        return -1;
    return take_adapters(c, in, m, e);
}

static int take_models(struct config *c, struct error *e)
{
    struct fake_script ignored;

    for (uint32_t i = 0; c->file && i < c->file->models_count; i++) {
        const struct model_entry *in = &c->file->models[i];
        if (take_model(c, in, e) < 0)
            return error_wrap(e, "%s: models[%u]%s%s", c->path, i, in->name ? " " : "",
                              in->name ? in->name : "");
    }
    if (c->file && c->file->fake && take_fake(c->file->fake, &ignored, e) < 0)
        return error_wrap(e, "%s", c->path);
    return 0;
}

static const char *model_file(struct config *c, const char *name)
{
    const char *dir = env_get("TRANCHE_MODEL_DIR");

    if (!dir)
        dir = TRANCHE_MODELS;
    size_t bytes = strlen(dir) + strlen(name) + 2;
    char *path = arena_alloc(&c->arena, bytes);
    (void)snprintf(path, bytes, "%s/%s", dir, name);
    return path;
}

static void add_built_in(struct config *c)
{
    struct error unused = { 0 };

    for (size_t i = 0; i < BUILT_IN_COUNT; i++) {
        struct model *m = &c->model[c->models.count++];
        m->pattern = built_in[i].pattern;
        m->kind = built_in[i].kind;
        m->about = built_in[i].about;
        if (built_in[i].file)
            m->file = model_file(c, built_in[i].file);
        if (m->kind == MODEL_FAKE && c->file && c->file->fake &&
            take_fake(c->file->fake, &m->fake, &unused) < 0)
            m->fake = (struct fake_script){ 0 }; /* take_models has refused it already */
    }
}

/* For messages; names past the field's end are left out. */
static void list_names(struct config *c)
{
    size_t at = 0;

    for (uint32_t i = 0; i < c->models.count; i++) {
        const char *name = c->models.item[i].pattern;
        if (at + strlen(name) + 3 > sizeof c->models.names)
            break;
        at += (size_t)snprintf(c->models.names + at, sizeof c->models.names - at, "%s%s",
                               i ? ", " : "", name);
    }
}

static void fingerprint_file(const char *path, struct buf *out)
{
    struct stat st;

    buf_addf(out, "file %s ", path);
    if (stat(path, &st) == 0)
        buf_addf(out, FINGERPRINT_LIST, (unsigned long long)st.st_size,
                 (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
    buf_add_char(out, '\n');
}

static void fingerprint_fake(const struct fake_script *s, struct buf *out)
{
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

/* Where it is answered, and as what; not with which key or how fast. */
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
    for (uint32_t i = 0; i < m->adapter_count; i++) {
        buf_add_c(out, "scale ");
        buf_add_double(out, (double)m->adapter[i].scale);
        buf_add_char(out, ' ');
        fingerprint_file(m->adapter[i].file, out);
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
    for (uint32_t i = 0; i < m->adapter_count; i++)
        if (file_present(m->adapter[i].file, e) < 0)
            return -1;
    return 0;
}
