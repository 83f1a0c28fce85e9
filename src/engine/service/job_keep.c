#include "engine/service/job_keep.h"

#include <dirent.h>
#include <string.h>

#include "base/json_write.h"
#include "base/log.h"
#include "engine/lines/model_key.h"

#define MAX_AGE_US (KEPT_DAYS_MAX * (int64_t)86400 * 1000000)
/* A folder is a name in hexadecimal. */
#define FOLDER_BYTES (2 * PROJECT_BYTES + 1)

static void prune(struct service *s, const char *folder)
{
    struct service_settings set;
    struct error e;
    int64_t now = service_now_us(s);

    service_settings(s, &set);
    if (kept_prune(folder, set.keep, now - MAX_AGE_US, now, NULL, &e) < 0)
        log_warn("old answers are not removed: %s", e.msg);
}

void job_keep_begin(struct job_keep *k, struct service *s, struct arena *a, const struct job *j)
{
    struct service_settings set;
    char name[FOLDER_BYTES], model[MODEL_NAME_BYTES];
    struct error e = { .code = ERROR_OK };

    *k = (struct job_keep){ .service = s };
    service_settings(s, &set);
    if (!j->options.reuse || !set.keep || j->test.len) /* the key does not have the script */
        return;
    str_hex((const unsigned char *)j->project, strlen(j->project), name);
    k->folder = arena_textf(a, "%s/kept/%s", store_dir(s->env.store), name);
    model_short_name(arena_copy(a, j->model.p, j->model.len), model);
    const struct model *m = job_model(s, a, j, &e);
    if (m && model_key(m, model, arena_textf(a, "%s/kept", store_dir(s->env.store)), k->reuse.model,
                       &e) == 0) {
        k->reuse.kept = kept_open(k->folder, k->reuse.model, service_now_us(s) - MAX_AGE_US, &e);
        if (e.code == ERROR_OK)
            k->writer = kept_begin(k->folder, &e);
    }
    service_model_done(s, m);
    if (e.code != ERROR_OK)
        log_warn("job %lld: its answers are not kept: %s", (long long)j->id, e.msg);
}

void job_keep_finish(struct job_keep *k, struct spool *s, const struct render *r,
                     const struct job *j)
{
    struct buf about = BUF_INIT(KEPT_ABOUT_BYTES);
    struct json_writer w = JSON_WRITER(&about);
    const char *path;
    struct error e;

    if (!k->writer || !render_keeps(r) || kept_count(k->writer) == 0)
        return;
    json_object(&w, NULL);
    json_add_int(&w, "job", j->id);
    json_add_text(&w, "model", j->model);
    json_end(&w);
    if (spool_seal(s, &path, &e) < 0 ||
        kept_finish(k->writer, path, k->reuse.model, service_now_us(k->service),
                    buf_ok(&about) ? buf_str(&about) : STR("{}"), &e) < 0)
        log_warn("job %lld: its answers are not kept: %s", (long long)j->id, e.msg);
    buf_release(&about);
    prune(k->service, k->folder);
}

void job_keep_release(struct job_keep *k)
{
    kept_close(k->reuse.kept);
    kept_writer_free(k->writer);
    k->reuse.kept = NULL;
    k->writer = NULL;
}

void job_keep_sweep(struct service *s)
{
    struct arena a = { 0 };
    const char *all = arena_textf(&a, "%s/kept", store_dir(s->env.store));
    DIR *dir = opendir(all);
    const struct dirent *entry;

    // NOLINTNEXTLINE(concurrency-mt-unsafe): a stream of our own, which glibc reads safely
    while (dir && (entry = readdir(dir)))
        if (!strchr(entry->d_name, '.'))
            prune(s, arena_textf(&a, "%s/%s", all, entry->d_name));
    if (dir)
        (void)closedir(dir);
    arena_release(&a);
}
