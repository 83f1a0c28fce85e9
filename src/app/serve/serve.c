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
    assert(!g->newest);
    unlock(&g->lock);
    lock_destroy(&g->lock);
}

/* ---- Models of generations ---- */

const struct model *serve_model(void *arg, const char *name, struct error *e)
{
    struct serve_configs *g = arg;

    lock(&g->lock);
    const struct serve_generation *now = g->newest;
    const struct model *m = model_find(&now->config.models, name, e);
    if (m) {
        m = now->model[m - now->config.models.item];
        (*owner_of(g, m))->holds++;
    }
    unlock(&g->lock);
    return m;
}

void serve_model_done(void *arg, const struct model *m)
{
    struct serve_configs *g = arg;

    lock(&g->lock);
    drop(g, owner_of(g, m));
    unlock(&g->lock);
}

bool serve_model_current(void *arg, const struct model *m)
{
    struct serve_configs *g = arg;
    bool found = false;

    lock(&g->lock);
    for (uint32_t i = 0; i < g->newest->config.models.count && !found; i++)
        found = g->newest->model[i] == m;
    unlock(&g->lock);
    return found;
}
