#include "app/run/keep.h"

#include <inttypes.h>

#include "base/clock.h"
#include "engine/lines/model_key.h"

#define US_PER_S ((int64_t)1000000)
#define DAY_US (86400 * US_PER_S)
#define AGE_MAX 100000

int keep_age(const char *text, int64_t *us, struct error *e)
{
    static const struct {
        char letter;
        int64_t us;
    } units[] = {
        { 's', US_PER_S }, { 'm', 60 * US_PER_S }, { 'h', 3600 * US_PER_S }, { 'd', DAY_US }
    };
    struct str t = str_of(text);
    uint64_t n;

    for (size_t i = 0; i < ARRAY_LEN(units) && t.len > 1; i++) {
        if (t.p[t.len - 1] != units[i].letter || !str_number(str_sub(t, 0, t.len - 1), &n) ||
            n > AGE_MAX)
            continue;
        *us = (int64_t)n * units[i].us;
        return 0;
    }
    return error_set(e, ERROR_INVALID_ARGUMENT,
                     "an age is a whole number and a unit: 30d, 12h, 45m or 90s, not \"%s\"", text);
}

const char *keep_folder(struct arena *a, const char *state_root)
{
    return arena_textf(a, "%s/kept", state_root);
}

static int64_t now_us(void)
{
    return clock_system()->wall_us(clock_system());
}

static void prune(const struct keeping *k, const struct terminal *t)
{
    struct error e;

    if (kept_prune(k->folder, k->bytes_max, now_us() - KEPT_DAYS_MAX * DAY_US, now_us(), NULL, &e) <
        0)
        terminal_warn(t, "old answers are not removed: %s", e.msg);
}

int keep_begin(struct keeping *k, struct local_job *j, const struct keep_options *o,
               struct error *e)
{
    int64_t age = KEPT_DAYS_MAX * DAY_US;
    struct error why = { .code = ERROR_OK };

    *k = (struct keeping){ .folder = keep_folder(&j->arena, j->state_root),
                           .bytes_max = j->config.keep };
    j->stage = EXIT_USAGE;
    if (o->age && keep_age(o->age, &age, e) < 0)
        return -1;
    prune(k, &j->terminal);
    if (!k->bytes_max)
        return 0;
    if (model_key(j->model, j->model_name, k->folder, k->reuse.model, &why) < 0) {
        terminal_warn(&j->terminal, "answers are neither used again nor kept: %s", why.msg);
        k->bytes_max = 0;
        return 0;
    }
    if (!o->fresh)
        k->reuse.kept = kept_open(k->folder, k->reuse.model, now_us() - age, &why);
    if (!o->none && why.code == ERROR_OK)
        k->writer = kept_begin(k->folder, &why);
    if (why.code != ERROR_OK)
        terminal_warn(&j->terminal, "answers are not kept: %s", why.msg);
    return 0;
}

void keep_finish(struct keeping *k, struct spool *s, const struct render *r, struct str about,
                 const struct terminal *t)
{
    const char *path;
    struct error e;

    if (!k->writer || !render_keeps(r) || kept_count(k->writer) == 0)
        return;
    if (spool_seal(s, &path, &e) < 0 ||
        kept_finish(k->writer, path, k->reuse.model, now_us(), about, &e) < 0)
        terminal_warn(t, "the answers are not kept for other runs: %s", e.msg);
    prune(k, t);
}

void keep_release(struct keeping *k)
{
    kept_close(k->reuse.kept);
    kept_writer_free(k->writer);
}
