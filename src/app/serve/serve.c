#include "app/serve/serve.h"

#include <assert.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/sys.h"
#include "base/env.h"
#include "base/thread.h"
#include "store/db/db.h"
#include "store/models/registry.h"

#define MODEL_TEXT_BYTES_MAX ((size_t)64 * 1024)

const char *serve_dir(struct arena *a, const char *option, struct error *e)
{
    if (option)
        return option;
    const char *root = config_state_root(a, NULL, e);
    return root ? arena_textf(a, "%s/%s", root, "service") : NULL;
}

bool serve_state_exists(struct arena *a, const char *dir)
{
    return access(arena_textf(a, "%s/state.db", dir), F_OK) == 0;
}

const char *serve_existing_dir(struct arena *a, const char *option, struct error *e)
{
    const char *dir = serve_dir(a, option, e);

    if (!dir || serve_state_exists(a, dir))
        return dir;
    (void)error_set(e, ERROR_NOT_FOUND,
                    "there is no state in %s; `tranche serve` and `tranche keys create` make one",
                    dir);
    return NULL;
}

/* A command line can be seen by every user of the machine. */
static int check_option(const char *store, struct error *e)
{
    if (!store)
        return 0;
    if (!db_is_url(store))
        return error_set(e, ERROR_INVALID_ARGUMENT, "--store must begin with postgres://");
    if (db_url_has_password(store))
        return error_set(
            e, ERROR_INVALID_ARGUMENT,
            "--store has a password, which every user of this machine could see: give it in "
            "PGPASSWORD, in the file that PGPASSFILE names, or in service.store of the "
            "configuration");
    return 0;
}

int serve_store_place(struct arena *a, const struct serve_place *o, const struct config_service *c,
                      bool exists, struct store_place *out, struct error *e)
{
    *out = (struct store_place){ .database = o->store ? o->store : c->store,
                                 .bucket = o->bucket ? o->bucket : c->bucket,
                                 .connections = c->store_connections,
                                 .cache_bytes = c->cache_bytes };
    if (check_option(o->store, e) < 0)
        return -1;
    if (!out->database != !out->bucket)
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "--store and --bucket are needed together: processes share both");
    out->dir =
        exists && !out->database ? serve_existing_dir(a, o->state, e) : serve_dir(a, o->state, e);
    return out->dir ? 0 : -1;
}

struct store *serve_store_open(struct arena *a, const struct serve_place *o, bool exists,
                               struct error *e)
{
    struct config config;
    struct store_place place;
    struct store *s = NULL;

    if (config_load(o->config, &config, e) == 0 &&
        serve_store_place(a, o, &config.service, exists, &place, e) == 0)
        s = store_open_at(&place, false, clock_system(), e);
    config_release(&config);
    return s;
}

const char *serve_listen_address(struct arena *a, const char *text)
{
    const char *port = text + (text[0] == ':');

    return port[0] && port[strspn(port, "0123456789")] == '\0'
               ? arena_textf(a, "127.0.0.1:%s", port)
               : text;
}

static void describe_text(const char *text, struct buf *out)
{
    buf_add_json(out, str_of(text));
    buf_add_char(out, '\n');
}

/* The settings that config_fingerprint leaves out, because they change no answer. */
static void describe_upstream(const struct model_upstream *to, struct buf *out)
{
    const struct upstream *u = to->upstream;
    const char *const texts[] = {
        u->name,
        u->credential.secret,
        u->credential.secret_file,
        u->credential.service_account,
        u->ca_file,
        u->proxy,
    };

    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        describe_text(texts[i], out);
    for (const char *const *h = u->header; h && *h; h++)
        describe_text(*h, out);
    buf_add_double(out, to->weight);
    buf_addf(out, " %d %d %d %u %llu %u %u %u %u %u\n", u->http1, u->max_completion_tokens,
             u->inline_files, u->max_rpm, (unsigned long long)u->max_tpm, u->concurrency,
             u->concurrency_max, u->timeout_ms, u->idle_ms, u->patience_ms);
}

/* All of a model that makes it behave as it does. */
static void describe(const struct config *c, const struct model *m, struct buf *out)
{
    buf_addf(out, "%s\n%u %u %u\n%u %u %u %u\n", m->pattern, m->sequences, m->threads, m->cache_mib,
             m->fake.delay_ms, m->fake.jitter_ms, m->fake.delay_token_us, m->fake.window);
    buf_addf(out, "%u %u %d %s\n", m->spill_after_ms, m->poll_ms, m->in_process,
             m->staging ? m->staging : "");
    for (uint32_t i = 0; i < m->upstream_count; i++)
        describe_upstream(&m->upstream[i], out);
    config_fingerprint(c, m, out);
}

/* The model's file may change under its name, so the text is of the time of the load. */
static void describe_all(struct serve_generation *g)
{
    const struct models *models = &g->config.models;

    g->text = arena_array(&g->config.arena, models->count, sizeof *g->text);
    for (uint32_t i = 0; i < models->count; i++) {
        struct buf text = BUF_INIT(MODEL_TEXT_BYTES_MAX);
        describe(&g->config, &models->item[i], &text);
        if (buf_ok(&text))
            g->text[i] = (struct str){ arena_copy(&g->config.arena, text.p, text.len), text.len };
        buf_release(&text);
    }
}

/* Each generation points on to the first one already, so the one before is enough. */
static const struct model *first_same(const struct serve_generation *older, struct str text,
                                      const struct model *m)
{
    for (uint32_t i = 0; older && text.len && i < older->config.models.count; i++)
        if (str_eq(text, older->text[i]))
            return older->model[i];
    return m;
}

/* The protocol of sd_notify(3): a datagram to a socket of the file system, or an abstract one ("@"). */
void serve_notify(const char *message)
{
    struct sockaddr_un to = { .sun_family = AF_UNIX };
    const char *path = env_get("NOTIFY_SOCKET");

    if (!path || strlen(path) >= sizeof to.sun_path || !strchr("/@", path[0]))
        return;
    memcpy(to.sun_path, path, strlen(path));
    if (path[0] == '@')
        to.sun_path[0] = '\0';
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
    ssize_t ignored =
        sendto(fd, message, strlen(message), MSG_NOSIGNAL, (struct sockaddr *)&to, len);
    (void)ignored;
    (void)close(fd);
}

uint64_t serve_watchdog_us(void)
{
    const char *us = env_get("WATCHDOG_USEC"), *pid = env_get("WATCHDOG_PID");
    uint64_t value = 0, whose = (uint64_t)getpid();

    if (pid && !str_number_in(str_of(pid), 0, INT32_MAX, &whose))
        return 0;
    if (!us || whose != (uint64_t)getpid() || !str_number_in(str_of(us), 1, INT64_MAX, &value))
        return 0;
    return value / 2;
}

/* ---- Generations ---- */

void serve_init(struct serve_configs *g)
{
    g->newest = NULL;
    lock_init(&g->lock);
}

static bool has_model(const struct serve_generation *g, const struct model *m)
{
    const struct models *all = &g->config.models;

    return m >= all->item && m < all->item + all->count;
}

/* Under the lock: the place in the list of the generation that a model is of. */
static struct serve_generation **owner_of(struct serve_configs *g, const struct model *m)
{
    struct serve_generation **at = &g->newest;

    while (!has_model(*at, m))
        at = &(*at)->older;
    return at;
}

/* Under the lock: one holder less. The last one takes the generation out of the list, and with it the holds
 * on the older ones whose models it took. */
// NOLINTNEXTLINE(misc-no-recursion): as deep as there are generations that took models from each other
static void drop(struct serve_configs *g, struct serve_generation **at)
{
    struct serve_generation *this = *at;

    assert(this->holds > 0);
    if (--this->holds > 0)
        return;
    *at = this->older;
    for (uint32_t i = 0; i < this->config.models.count; i++)
        if (!has_model(this, this->model[i]))
            drop(g, owner_of(g, this->model[i]));
    config_release(&this->config);
    mem_free(this);
}

/* Under the lock. */
static void make_newest(struct serve_configs *g, struct serve_generation *new)
{
    struct serve_generation *before = g->newest;

    new->older = before;
    new->holds = 1;
    g->newest = new;
    for (uint32_t i = 0; i < new->config.models.count; i++) {
        new->model[i] = first_same(before, new->text[i], &new->config.models.item[i]);
        if (!has_model(new, new->model[i]))
            (*owner_of(g, new->model[i]))->holds++;
    }
    if (before)
        drop(g, &new->older);
}

int serve_load(struct serve_configs *g, const char *path, bool fake_all, struct error *e)
{
    struct serve_generation *new = mem_alloc(sizeof *new);
    const struct models *models = &new->config.models;

    if (config_load(path, &new->config, e) < 0) {
        config_release(&new->config);
        mem_free(new);
        return -1;
    }
    if (fake_all)
        config_fake_all(&new->config);
    new->model = arena_array(&new->config.arena, models->count, sizeof(struct model *));
    describe_all(new);
    lock(&g->lock);
    make_newest(g, new);
    unlock(&g->lock);
    return 0;
}

const struct config *serve_hold(struct serve_configs *g)
{
    lock(&g->lock);
    struct serve_generation *now = g->newest;
    now->holds++;
    unlock(&g->lock);
    return &now->config;
}

void serve_done(struct serve_configs *g, const struct config *c)
{
    lock(&g->lock);
    struct serve_generation **at = &g->newest;
    while (&(*at)->config != c)
        at = &(*at)->older;
    drop(g, at);
    unlock(&g->lock);
}

void serve_release(struct serve_configs *g)
{
    lock(&g->lock);
    if (g->newest)
        drop(g, &g->newest);
    assert(!g->newest && !g->tuned);
    unlock(&g->lock);
    lock_destroy(&g->lock);
}

/* ---- Tuned models ---- */

/* A registered model in use. */
struct serve_tuned {
    struct model model;
    int64_t id; /* of its row */
    const struct model
        *base; /* held; a whole model takes nothing of the default model but its settings */
    struct arena arena;
    uint64_t holds;
    struct serve_tuned *next;
};

/* Under the lock: the place in the list; NULL at its end. */
static struct serve_tuned **tuned_of(struct serve_configs *g, const struct model *m)
{
    struct serve_tuned **at = &g->tuned;

    while (*at && &(*at)->model != m)
        at = &(*at)->next;
    return at;
}

/* Under the lock: the first model of its generation that the name means, held. */
static const struct model *hold_configured(struct serve_configs *g, const char *name,
                                           struct error *e)
{
    const struct serve_generation *now = g->newest;
    const struct model *m = model_find(&now->config.models, name, e);

    if (!m)
        return NULL;
    m = now->model[m - now->config.models.item];
    (*owner_of(g, m))->holds++;
    return m;
}

static void add_adapter(struct serve_configs *g, struct serve_tuned *n, const struct tuned *t)
{
    struct adapter_list *list = &n->model.adapters;

    list->item[list->count++] =
        (struct adapter){ tuned_path(g->store, &n->arena, t), (float)t->scale, 0 };
}

static struct serve_tuned *tuned_new(struct serve_configs *g, const struct model *base,
                                     const struct tuned *t)
{
    struct serve_tuned *n = mem_alloc(sizeof *n);
    struct model *m = &n->model;

    n->id = t->id;
    n->base = base;
    *m = *base;
    m->pattern = arena_textf(&n->arena, "%.*s", STR_ARG(t->name));
    if (t->base.len) {
        m->base = base->base ? base->base : base->pattern;
        m->price = model_price(base, arena_textf(&n->arena, "%.*s", STR_ARG(t->base)));
        m->has_price = true;
        if (base->kind == MODEL_LOCAL)
            add_adapter(g, n, t);
    } else {
        *m = (struct model){ .pattern = m->pattern, .kind = MODEL_LOCAL };
        m->file = tuned_path(g->store, &n->arena, t);
        m->file_time_ns = t->create_us;
    }
    m->about = "tuned model";
    n->next = g->tuned;
    g->tuned = n;
    return n;
}

/* Under the lock. */
static const struct model *hold_tuned(struct serve_configs *g, const struct tuned *t,
                                      struct error *e)
{
    char base[MODEL_NAME_BYTES];

    (void)snprintf(base, sizeof base, "%.*s", STR_ARG(t->base));
    const struct model *m =
        hold_configured(g, t->base.len ? base : g->newest->config.default_model, e);
    if (!m)
        return NULL;
    struct serve_tuned *n = g->tuned;
    while (n && (n->id != t->id || n->base != m))
        n = n->next;
    bool fits = m->kind != MODEL_LOCAL || m->adapters.count < MODEL_ADAPTERS_MAX;
    if (n || !fits)
        drop(g, owner_of(g, m));
    if (!fits) {
        (void)error_set(e, ERROR_FAILED_PRECONDITION,
                        "The base %s of the model has %d adapters already.", base,
                        MODEL_ADAPTERS_MAX);
        return NULL;
    }
    if (!n)
        n = tuned_new(g, m, t);
    n->holds++;
    return &n->model;
}

/* Under the lock. */
static void tuned_done(struct serve_configs *g, struct serve_tuned **at)
{
    struct serve_tuned *this = *at;

    assert(this->holds > 0);
    if (--this->holds > 0)
        return;
    *at = this->next;
    drop(g, owner_of(g, this->base));
    arena_release(&this->arena);
    mem_free(this);
}

/* 1: a tuned model of the project, or an endpoint with another model; 0: neither. */
static int find_tuned(const struct serve_configs *g, struct arena *a, const char *project,
                      const char *name, struct registry_found *out, struct error *e)
{
    char tuned[MODEL_NAME_BYTES];

    if (!g->store || !model_tuned_name(name, project, tuned))
        return 0;
    return registry_find(g->store, a, project, str_of(tuned), out, e);
}

/* ---- Models of generations ---- */

const struct model *serve_model(void *arg, const char *project, const char *name, struct error *e)
{
    struct serve_configs *g = arg;
    struct arena a = { 0 };
    struct registry_found found = { 0 };
    int rc = find_tuned(g, &a, project, name, &found, e);
    const struct model *m = NULL;

    if (rc == 1 && found.other.len)
        name = arena_textf(&a, "%.*s", STR_ARG(found.other));
    lock(&g->lock);
    if (rc == 1 && !found.other.len)
        m = hold_tuned(g, &found.tuned, e);
    else if (rc >= 0)
        m = hold_configured(g, name, e);
    unlock(&g->lock);
    arena_release(&a);
    return m;
}

void serve_model_done(void *arg, const struct model *m)
{
    struct serve_configs *g = arg;

    lock(&g->lock);
    struct serve_tuned **at = tuned_of(g, m);
    if (*at)
        tuned_done(g, at);
    else
        drop(g, owner_of(g, m));
    unlock(&g->lock);
}

/* Under the lock. */
static bool is_current(const struct serve_configs *g, const struct model *m)
{
    bool found = false;

    for (uint32_t i = 0; i < g->newest->config.models.count && !found; i++)
        found = g->newest->model[i] == m;
    return found;
}

bool serve_model_current(void *arg, const struct model *m)
{
    struct serve_configs *g = arg;

    lock(&g->lock);
    const struct serve_tuned *t = *tuned_of(g, m);
    bool current = is_current(g, t ? t->base : m);
    unlock(&g->lock);
    return current;
}
