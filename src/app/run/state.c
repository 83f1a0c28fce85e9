#include "app/run/state.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <xxhash.h>

#include "format/bigquery/name.h"
#include "base/mem.h"
#include "base/json.h"
#include "base/json_write.h"
#include "base/sys.h"

#define DAY_US (86400 * (int64_t)1000000)
#define PATH_BYTES_MAX 4096

static const char *const spool_files[] = { "spool.db",    "spool.db-wal", "spool.db-shm", "from",
                                           "lines.index", "input",        STATE_ADOPTED };

int state_open(struct state *s, struct arena *a, const char *root, struct str facts,
               struct error *e)
{
    XXH128_hash_t hash = XXH3_128bits(facts.p, facts.len);

    *s = (struct state){ .root = root };
    (void)snprintf(s->key, sizeof s->key, "%016llx%016llx", (unsigned long long)hash.high64,
                   (unsigned long long)hash.low64);
    s->dir = arena_textf(a, "%s/runs/%s", root, s->key);
    return sys_mkdirs(s->dir, e);
}

/* spool.db goes before its log, without which it need not be whole. */
static int remove_spool(const struct state *s, struct arena *a, struct error *e)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < ARRAY_LEN(spool_files); i++)
        rc = sys_remove_all(arena_textf(a, "%s/%s", s->dir, spool_files[i]), e);
    return rc;
}

int state_reset(const struct state *s, struct error *e)
{
    struct arena a = { 0 };
    int rc = sys_remove_all(arena_textf(&a, "%s/%s", s->dir, "done.json"), e);

    if (rc == 0)
        rc = remove_spool(s, &a, e);
    arena_release(&a);
    return rc;
}

int state_discard(const struct state *s, struct error *e)
{
    struct arena a = { 0 };
    int lock = sys_open_locked(arena_textf(&a, "%s/%s", s->dir, "lock"), e);
    int rc = lock >= 0 ? state_reset(s, e) : e->code == ERROR_ABORTED ? 0 : -1;

    if (lock >= 0)
        (void)close(lock);
    arena_release(&a);
    return rc;
}

bool state_adopted(const struct state *s)
{
    struct arena a = { 0 };
    bool adopted = access(arena_textf(&a, "%s/" STATE_ADOPTED, s->dir), F_OK) == 0;

    arena_release(&a);
    return adopted;
}

/* A finished run is as old as its mark, and one whose output went to a reader, which leaves nothing,
 * as its folder. A run with a spool and no mark is not finished and stays. */
static bool is_old(struct arena *a, const char *run, int64_t now_us)
{
    struct stat st;

    if (stat(arena_textf(a, "%s/%s", run, "done.json"), &st) < 0 &&
        (stat(arena_textf(a, "%s/%s", run, "spool.db"), &st) == 0 || stat(run, &st) < 0))
        return false;
    return now_us - (int64_t)st.st_mtim.tv_sec * 1000000 > STATE_DAYS_MAX * DAY_US;
}

/* It may have been begun again before the lock was taken, so it is looked at once more. */
static void prune_run(struct arena *a, const char *run, int64_t now_us)
{
    struct error ignored = { 0 };

    if (!is_old(a, run, now_us))
        return;
    int lock = sys_open_locked(arena_textf(a, "%s/%s", run, "lock"), &ignored);
    if (lock < 0)
        return;
    int rc = is_old(a, run, now_us) ? sys_remove_all(run, &ignored) : 0;
    (void)rc; /* what is left of it is removed another time */
    (void)close(lock);
}

void state_prune(const char *root, int64_t now_us)
{
    struct arena a = { 0 };
    const char *runs = arena_textf(&a, "%s/%s", root, "runs");
    DIR *dir = opendir(runs);
    const struct dirent *entry;

    // NOLINTNEXTLINE(concurrency-mt-unsafe): a stream of our own, which glibc reads safely
    while (dir && (entry = readdir(dir)))
        if (strlen(entry->d_name) == STATE_KEY_BYTES - 1)
            prune_run(&a, arena_textf(&a, "%s/%s", runs, entry->d_name), now_us);
    if (dir)
        (void)closedir(dir);
    arena_release(&a);
}

int state_output_facts(const char *output, struct done *d, struct error *e)
{
    struct stat st;

    if (bq_is(str_of(output))) { /* its table is looked for by the run (bigquery_tables.h) */
        d->output_bytes = 0;
        d->output_mtime_ns = 0;
        return 0;
    }
    if (stat(output, &st) < 0)
        return error_errno(e, "cannot look at %s", output);
    d->output_bytes = (uint64_t)st.st_size;
    d->output_mtime_ns = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
    return 0;
}

int state_file_write(const char *path, struct str text, struct error *e)
{
    char temporary[PATH_BYTES_MAX];
    /* Two processes may write one file: the last rename wins, and each file is whole. */
    int n = snprintf(temporary, sizeof temporary, "%s.%ld.new", path, (long)getpid());

    if (n < 0 || (size_t)n >= sizeof temporary)
        return error_set(e, ERROR_INVALID_ARGUMENT, "%s: the path is too long", path);
    int fd = sys_open(temporary, O_WRONLY | O_CREAT | O_TRUNC, e);
    if (fd < 0)
        return -1;
    int rc = sys_write_all(fd, text.p, text.len, temporary, e);
    if (rc == 0)
        rc = sys_sync(fd, temporary, e);
    (void)close(fd);
    if (rc == 0)
        rc = sys_rename(temporary, path, e);
    if (rc < 0)
        (void)unlink(temporary); /* a full disk must not fill with attempts */
    return rc;
}

int state_done_write(const struct state *s, const struct done *d, struct error *e)
{
    struct arena a = { 0 };
    struct buf text = BUF_INIT(STATE_DONE_BYTES_MAX);
    struct json_writer w = JSON_WRITER(&text);

    json_object(&w, NULL);
    json_add_c(&w, "output", d->output);
    json_add_uint(&w, "output_bytes", d->output_bytes);
    json_add_int(&w, "output_mtime_ns", d->output_mtime_ns);
    json_add_c(&w, "command", d->command);
    json_add_int(&w, "finished_us", d->finished_us);
    json_add_int(&w, "code", (int)d->code);
    json_add_text(&w, "text", d->text);
    json_add_text(&w, "summary", d->summary);
    json_end(&w);
    buf_add_char(&text, '\n');
    int rc = buf_ok(&text) ? state_file_write(arena_textf(&a, "%s/%s", s->dir, "done.json"),
                                              buf_str(&text), e)
                           : error_set(e, ERROR_INVALID_ARGUMENT, "the summary is too long");
    if (rc == 0)
        rc = remove_spool(s, &a, e);
    buf_release(&text);
    arena_release(&a);
    return rc;
}

/* A member's text, with a NUL behind it, in the arena. */
static struct str member_text(struct arena *a, yyjson_val *root, const char *key)
{
    struct str text = json_str(json_get(root, key));

    return (struct str){ arena_copy(a, text.p, text.len), text.len };
}

static int done_parse(struct arena *a, struct str text, struct done *d, struct error *e)
{
    size_t at = 0;
    yyjson_val *root = json_parse(a, text, &at, e);

    if (!root)
        return -1;
    *d = (struct done){
        .output = member_text(a, root, "output").p,
        .output_bytes = yyjson_get_uint(json_get(root, "output_bytes")),
        .output_mtime_ns = yyjson_get_sint(json_get(root, "output_mtime_ns")),
        .command = member_text(a, root, "command").p,
        .finished_us = yyjson_get_sint(json_get(root, "finished_us")),
        .code = (enum exit_code)yyjson_get_sint(json_get(root, "code")),
        .text = member_text(a, root, "text"),
        .summary = member_text(a, root, "summary"),
    };
    return 0;
}

int state_done_read(const struct state *s, struct arena *a, struct done *d, struct error *e)
{
    struct buf text = BUF_INIT(STATE_DONE_BYTES_MAX);
    struct error ignored = { 0 };
    struct done now = { 0 };
    const char *path = arena_textf(a, "%s/%s", s->dir, "done.json");

    if (access(path, F_OK) < 0)
        return 0;
    int rc = sys_read_file(path, STATE_DONE_BYTES_MAX, &text, e);
    if (rc == 0)
        rc = done_parse(a, buf_str(&text), d, e);
    buf_release(&text);
    if (rc < 0)
        return error_wrap(e, "%s (--fresh forgets it)", path);
    if (state_output_facts(d->output, &now, &ignored) < 0)
        return 2;
    bool same = now.output_bytes == d->output_bytes && now.output_mtime_ns == d->output_mtime_ns;
    return same ? 1 : 2;
}

/* The record at path describes the file as it is, and this command, or a version of tranche that did not
 * write the command, made it. */
static bool wrote(struct arena *a, const char *path, const struct done *file, const char *command)
{
    struct buf text = BUF_INIT(STATE_DONE_BYTES_MAX);
    struct error ignored = { 0 };
    struct done d = { 0 };
    bool same = sys_read_file(path, STATE_DONE_BYTES_MAX, &text, &ignored) == 0 &&
                done_parse(a, buf_str(&text), &d, &ignored) == 0 &&
                strcmp(d.output, file->output) == 0 && d.output_bytes == file->output_bytes &&
                d.output_mtime_ns == file->output_mtime_ns &&
                (*d.command == '\0' || strcmp(d.command, command) == 0);

    buf_release(&text);
    return same;
}

bool state_wrote(const char *root, const char *output, const char *command)
{
    struct arena a = { 0 };
    struct error ignored = { 0 };
    struct done file = { .output = output };
    const char *runs = arena_textf(&a, "%s/%s", root, "runs");
    DIR *dir = state_output_facts(output, &file, &ignored) == 0 ? opendir(runs) : NULL;
    const struct dirent *entry;
    bool found = false;

    // NOLINTNEXTLINE(concurrency-mt-unsafe): a stream of our own, which glibc reads safely
    while (dir && !found && (entry = readdir(dir)))
        found = strlen(entry->d_name) == STATE_KEY_BYTES - 1 &&
                wrote(&a, arena_textf(&a, "%s/%s/done.json", runs, entry->d_name), &file, command);
    if (dir)
        (void)closedir(dir);
    arena_release(&a);
    return found;
}

static bool read_done(struct arena *a, const char *path, struct done *d)
{
    struct buf text = BUF_INIT(STATE_DONE_BYTES_MAX);
    struct error ignored = { 0 };
    bool read = access(path, F_OK) == 0 &&
                sys_read_file(path, STATE_DONE_BYTES_MAX, &text, &ignored) == 0 &&
                done_parse(a, buf_str(&text), d, &ignored) == 0;

    buf_release(&text);
    return read;
}

int state_last_done(const char *root, const char *command, struct arena *a, struct done *d)
{
    const char *runs = arena_textf(a, "%s/%s", root, "runs");
    DIR *dir = opendir(runs);
    const struct dirent *entry;
    struct done one;
    int found = 0;

    // NOLINTNEXTLINE(concurrency-mt-unsafe): a stream of our own, which glibc reads safely
    while (dir && (entry = readdir(dir))) {
        if (strlen(entry->d_name) != STATE_KEY_BYTES - 1 ||
            !read_done(a, arena_textf(a, "%s/%s/done.json", runs, entry->d_name), &one) ||
            strcmp(one.command, command) != 0 || (found && one.finished_us <= d->finished_us))
            continue;
        *d = one;
        found = 1;
    }
    if (dir)
        (void)closedir(dir);
    return found;
}
