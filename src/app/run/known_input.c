#include "app/run/known_input.h"

#include <dirent.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/sys.h"
#include "engine/lines/digest.h"
#include "engine/lines/line_index.h"

#define FACTS_BYTES_MAX ((size_t)64 * 1024 * 1024)
#define SETTLED_S 2
/* A file of the folder that no run's folder has, too, is left over after this time. */
#define ORPHAN_S 86400

static int64_t now_s(void)
{
    return clock_system()->wall_us(clock_system()) / 1000000;
}

/* Appends what the file is recognised by. False: it cannot be. */
static bool add_file(const char *path, struct buf *facts)
{
    struct stat st;

    if (stat(path, &st) < 0 || !S_ISREG(st.st_mode) || now_s() - st.st_mtim.tv_sec <= SETTLED_S ||
        now_s() - st.st_ctim.tv_sec <= SETTLED_S)
        return false;
    buf_addf(facts, "%llu %llu %lld %lld.%09ld %lld.%09ld ", (unsigned long long)st.st_dev,
             (unsigned long long)st.st_ino, (long long)st.st_size, (long long)st.st_mtim.tv_sec,
             st.st_mtim.tv_nsec, (long long)st.st_ctim.tv_sec, st.st_ctim.tv_nsec);
    buf_add_json(facts, str_of(path));
    return true;
}

/* All that ingest's findings depend on. False: the input is not recognised later. */
static bool add_facts(const struct local_job *j, struct buf *facts)
{
    const struct line_rules *rules = &j->rules.rules;

    buf_addf(facts, "%s %s\n%d %d %d %d %llu %llu\n", TRANCHE_VERSION,
             j->predictor ? j->predictor->version : "", rules->from_output, rules->strict,
             (int)rules->kinds, j->rules.keys, (unsigned long long)j->rules.limit,
             (unsigned long long)j->config.lines_max);
    config_fingerprint(&j->config, j->model, facts);
    if (j->rows)
        rows_facts(&j->sheet, j->rows, facts);
    if (j->slice.count)
        buf_addf(facts, "shard %u/%u\n", j->slice.number, j->slice.count);
    for (uint32_t i = 0; i < j->input.count; i++)
        if (j->input.file[i].copy || !add_file(j->input.file[i].path, facts))
            return false;
    return buf_ok(facts);
}

/* Those whose run has ended in another way than by known_input_forget. */
static void prune(const char *folder)
{
    DIR *dir = opendir(folder);
    const struct dirent *entry;
    struct arena a = { 0 };
    struct stat st;

    // NOLINTNEXTLINE(concurrency-mt-unsafe): a stream of our own, which glibc reads safely
    while (dir && (entry = readdir(dir))) {
        const char *path = arena_textf(&a, "%s/%s", folder, entry->d_name);
        if (stat(path, &st) == 0 && S_ISREG(st.st_mode) && st.st_nlink == 1 &&
            now_s() - st.st_mtim.tv_sec > ORPHAN_S)
            (void)unlink(path);
    }
    if (dir)
        (void)closedir(dir);
    arena_release(&a);
}

void known_input_look(struct known_input *k, struct local_job *j)
{
    const char *folder = arena_textf(&j->arena, "%s/inputs", j->state_root);
    struct buf facts = BUF_INIT(FACTS_BYTES_MAX);
    uint64_t digest[2];
    struct error ignored;

    *k = (struct known_input){ .link = NULL };
    if (sys_mkdirs(folder, &ignored) < 0)
        return;
    prune(folder);
    bool known = add_facts(j, &facts);
    digest_of(facts.p, facts.len, digest);
    buf_release(&facts);
    const char *path = arena_textf(&j->arena, "%s/%016llx%016llx", folder,
                                   (unsigned long long)digest[0], (unsigned long long)digest[1]);
    if (known)
        k->link = path;
    k->loaded = known && line_index_load(path, &j->input, &j->ingest);
    /* A strict run ends with the findings in words, which the index does not have. */
    if (k->loaded && j->rules.rules.strict && j->ingest.bad + j->ingest.warned) {
        ingest_result_release(&j->ingest);
        k->loaded = false;
    }
    if (k->loaded) {
        log_info("the input is as it was when it was last read: it is not read again");
        return;
    }
    k->made = arena_textf(&j->arena, "%s.%ld", path, (long)getpid());
    j->rules.index_path = k->made;
}

void known_input_keep(struct known_input *k, const char *run_dir)
{
    struct arena a = { 0 };
    const char *path = arena_textf(&a, "%s/" LINES_INDEX, run_dir);
    struct error ignored;

    if (k->made && sys_rename(k->made, path, &ignored) == 0) {
        k->made = NULL;
        if (k->link)
            (void)unlink(k->link);
        if (k->link && link(path, k->link) < 0)
            k->link = NULL;
    }
    arena_release(&a);
}

void known_input_forget(const struct known_input *k)
{
    if (k->link)
        (void)unlink(k->link);
}

void known_input_release(struct known_input *k)
{
    if (k->made)
        (void)unlink(k->made);
    k->made = NULL;
}
