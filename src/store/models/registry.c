#include "store/models/registry.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "base/random.h"
#include "base/sys.h"
#include "store/store_inner.h"

#define COPY_BYTES ((size_t)1024 * 1024)
#define FILE_RANDOM 16
#define SHA256_BYTES 32
#define ID_FIRST INT64_C(1000000000000000000) /* Vertex's numbers have 19 digits */

#define TUNED_COLUMNS                                                                              \
    "id, project, name, base, file, bytes, sha256, scale, display_name, description, labels,"      \
    " create_us, update_us"
#define ENDPOINT_COLUMNS                                                                           \
    "id, project, name, display_name, description, labels, model, deployed_id, deployed_name,"     \
    " create_us, update_us"

/* 1 to TUNED_NAME_MAX of [a-z0-9_-]. */
static bool name_valid(struct str name)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyz0123456789-_";

    for (size_t i = 0; i < name.len; i++)
        if (!memchr(allowed, name.p[i], sizeof allowed - 1))
            return false;
    return name.len && name.len <= TUNED_NAME_MAX;
}

static int texts_check(struct str display_name, struct str description, struct str labels,
                       struct error *e)
{
    if (display_name.len > TUNED_DISPLAY_MAX)
        return error_set(e, ERROR_INVALID_ARGUMENT, "display_name: at most %d bytes",
                         TUNED_DISPLAY_MAX);
    if (description.len > TUNED_TEXT_MAX || labels.len > TUNED_TEXT_MAX)
        return error_set(e, ERROR_INVALID_ARGUMENT, "description, labels: at most %d bytes",
                         TUNED_TEXT_MAX);
    return 0;
}

static int has_room(struct db *d, const char *count_sql, struct str project, struct error *e)
{
    struct stmt *q = db_stmt(d, count_sql);

    db_bind(q, "t", project);
    if (db_step(q, "cannot count the project's models", e) < 0)
        return -1;
    if (db_int(q, 0) >= TUNED_MODELS_MAX)
        return error_set(e, ERROR_RESOURCE_EXHAUSTED, "a project has at most %d of them",
                         TUNED_MODELS_MAX);
    return 0;
}

/* The name of something new: the given one, or its number. */
static struct str name_of(struct arena *a, struct str given, int64_t id)
{
    return given.len ? given : str_of(arena_textf(a, "%" PRId64, id));
}

/* ---- Files ---- */

/* Copies all of fd to `to`, with its hash as text in the arena. */
static int copy_hashed(int fd, int to, const char *path, EVP_MD_CTX *h, struct tuned *t,
                       struct error *e)
{
    uint8_t *chunk = mem_alloc(COPY_BYTES);
    int64_t got = 1;
    int rc = 0;

    t->bytes = 0;
    while (rc == 0 && got > 0) {
        got = sys_read_at(fd, chunk, COPY_BYTES, t->bytes, path, e);
        if (got > 0) {
            rc = sys_write_all(to, chunk, (size_t)got, path, e);
            (void)EVP_DigestUpdate(h, chunk, (size_t)got);
            t->bytes += (uint64_t)got;
        }
    }
    mem_free(chunk);
    if (got < 0 || rc < 0 || sys_sync(to, path, e) < 0)
        return -1;
    return 0;
}

static struct str hex_of(struct arena *a, const unsigned char *p, size_t len)
{
    char *text = arena_alloc(a, 2 * len + 1);

    for (size_t i = 0; i < len; i++)
        (void)snprintf(text + 2 * i, 3, "%02x", p[i]);
    return (struct str){ text, 2 * len };
}

/* Copies fd into DIR/models under a new name. */
static int file_take(struct store *s, struct arena *a, int fd, struct tuned *t, struct error *e)
{
    char path[PATH_BYTES], name[2 * FILE_RANDOM + 1];
    unsigned char digest[SHA256_BYTES];
    EVP_MD_CTX *h = EVP_MD_CTX_new();

    store_path(s, path, "models");
    if (!h || EVP_DigestInit_ex(h, EVP_sha256(), NULL) != 1) {
        EVP_MD_CTX_free(h);
        return error_set(e, ERROR_INTERNAL, "no SHA-256");
    }
    int to = -1, rc = -1;
    if (sys_mkdirs(path, e) == 0 && random_hex(name, FILE_RANDOM, e) == 0) {
        t->file = str_of(arena_textf(a, "%s.gguf", name));
        store_path(s, path, "models/%.*s", STR_ARG(t->file));
        to = sys_open(path, O_WRONLY | O_CREAT | O_EXCL, e);
        rc = to < 0 ? -1 : copy_hashed(fd, to, path, h, t, e);
    }
    if (to >= 0)
        (void)close(to);
    if (rc == 0)
        rc = sys_sync_folder(path, e);
    (void)EVP_DigestFinal_ex(h, digest, NULL);
    EVP_MD_CTX_free(h);
    t->sha256 = hex_of(a, digest, sizeof digest);
    if (rc < 0 && to >= 0)
        (void)unlink(path);
    return rc;
}

const char *tuned_path(struct store *s, struct arena *a, const struct tuned *t)
{
    return arena_textf(a, "%s/models/%.*s", store_dir(s), STR_ARG(t->file));
}

/* 1: a row names the file; 0: none does. */
static int file_named(struct db *d, const char *name, struct error *e)
{
    struct stmt *q = db_stmt(d, "SELECT 1 FROM tuned_model WHERE file = ?");

    db_bind(q, "s", name);
    int rc = db_step(q, "cannot read the tuned models", e);
    db_reset(q);
    return rc;
}

static int sweep_file(struct store *s, struct db *d, const char *name, struct error *e)
{
    char path[PATH_BYTES];
    struct stat st;

    store_path(s, path, "models/%s", name);
    if (stat(path, &st) != 0 || !S_ISREG(st.st_mode) ||
        (int64_t)st.st_mtim.tv_sec + REGISTRY_GRACE_S >
            clock_system()->wall_us(clock_system()) / 1000000)
        return 0;
    int rc = file_named(d, name, e);
    if (rc == 0)
        (void)unlink(path);
    return rc < 0 ? -1 : 0;
}

int registry_sweep(struct store *s, struct error *e)
{
    char path[PATH_BYTES];
    const struct dirent *entry;
    int rc = 0;

    store_path(s, path, "models");
    DIR *dir = opendir(path);
    if (!dir)
        return errno == ENOENT ? 0 : error_errno(e, "%s", path);
    struct db *d = store_read(s, e);
    // NOLINTNEXTLINE(concurrency-mt-unsafe): the directory stream is ours
    while (d && rc == 0 && (entry = readdir(dir)))
        rc = sweep_file(s, d, entry->d_name, e);
    if (d)
        store_read_done(s, d);
    (void)closedir(dir);
    return d ? rc : -1;
}

/* ---- Tuned models ---- */

static int tuned_insert(struct store *s, struct arena *a, struct db *d, struct tuned *t,
                        struct error *e)
{
    if (has_room(d, "SELECT count(*) FROM tuned_model WHERE project = ?", t->project, e) < 0 ||
        store_number(d, "tuned_model", ID_FIRST, 1, &t->id, e) < 0)
        return -1;
    t->name = name_of(a, t->name, t->id);
    t->create_us = t->update_us = store_now(s);
    struct stmt *q = db_stmt(d, "INSERT INTO tuned_model (" TUNED_COLUMNS
                                ") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
    db_bind(q, "ittttitdtttii", t->id, t->project, t->name, t->base, t->file, (int64_t)t->bytes,
            t->sha256, t->scale, t->display_name, t->description, t->labels, t->create_us,
            t->update_us);
    if (db_run(q, "cannot register the model", e) >= 0)
        return 0;
    if (e->code == ERROR_ALREADY_EXISTS)
        return error_set(e, ERROR_ALREADY_EXISTS, "the project has a model %.*s already",
                         STR_ARG(t->name));
    return -1;
}

int tuned_add(struct store *s, struct arena *a, int fd, struct tuned *t, struct error *e)
{
    struct tuned next = *t;
    char path[PATH_BYTES];

    if (t->name.len && !name_valid(t->name))
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "a model's name is 1 to %d lower-case letters, digits, - and _, not "
                         "\"%.*s\"",
                         TUNED_NAME_MAX, STR_ARG(str_cut(t->name, TUNED_NAME_MAX)));
    if (texts_check(t->display_name, t->description, t->labels, e) < 0 ||
        file_take(s, a, fd, &next, e) < 0)
        return -1;
    struct db *d = store_write(s, e);
    if (!d || store_commit(s, d, tuned_insert(s, a, d, &next, e), e) < 0) {
        store_path(s, path, "models/%.*s", STR_ARG(next.file));
        (void)unlink(path);
        return -1;
    }
    *t = next;
    return 0;
}

static void tuned_row(struct stmt *q, struct arena *a, struct tuned *out)
{
    *out = (struct tuned){
        .id = db_int(q, 0),
        .project = db_text(q, 1, a),
        .name = db_text(q, 2, a),
        .base = db_text(q, 3, a),
        .file = db_text(q, 4, a),
        .bytes = (uint64_t)db_int(q, 5),
        .sha256 = db_text(q, 6, a),
        .scale = db_double(q, 7),
        .display_name = db_text(q, 8, a),
        .description = db_text(q, 9, a),
        .labels = db_text(q, 10, a),
        .create_us = db_int(q, 11),
        .update_us = db_int(q, 12),
    };
}

static int tuned_read(struct db *d, struct arena *a, const char *project, struct str name,
                      struct tuned *out, struct error *e)
{
    struct stmt *q = db_stmt(d, "SELECT " TUNED_COLUMNS " FROM tuned_model"
                                " WHERE name = ?1 AND project = ?2");
    db_bind(q, "ts", name, project);
    int rc = db_step(q, "cannot read the model", e);
    if (rc == 1)
        tuned_row(q, a, out);
    db_reset(q);
    return rc;
}

int tuned_get(struct store *s, struct arena *a, const char *project, struct str name,
              struct tuned *out, struct error *e)
{
    struct db *d = store_read(s, e);

    if (!d)
        return -1;
    int rc = tuned_read(d, a, project, name, out, e);
    store_read_done(s, d);
    return rc;
}

static int no_model(struct str name, struct error *e)
{
    return error_set(e, ERROR_NOT_FOUND, "The Model %.*s does not exist.", STR_ARG(name));
}

static int tuned_update_in(struct store *s, struct db *d, const struct tuned *t, struct error *e)
{
    struct stmt *q = db_stmt(d, "UPDATE tuned_model SET display_name = ?, description = ?,"
                                " labels = ?, update_us = ? WHERE project = ? AND name = ?");
    db_bind(q, "tttitt", t->display_name, t->description, t->labels, store_now(s), t->project,
            t->name);
    int rc = db_run(q, "cannot write the model", e);
    return rc == 0 ? no_model(t->name, e) : rc < 0 ? -1 : 0;
}

int tuned_update(struct store *s, const struct tuned *t, struct error *e)
{
    if (texts_check(t->display_name, t->description, t->labels, e) < 0)
        return -1;
    struct db *d = store_write(s, e);
    return d ? store_commit(s, d, tuned_update_in(s, d, t, e), e) : -1;
}

static int tuned_delete_in(struct db *d, const char *project, struct str name, struct error *e)
{
    struct stmt *q = db_stmt(d, "SELECT name FROM endpoint WHERE project = ? AND model = ?");

    db_bind(q, "st", project, name);
    int rc = db_step(q, "cannot read the endpoints", e);
    if (rc == 1) {
        char endpoint[TUNED_NAME_MAX + 1];
        db_text_to(q, 0, endpoint, sizeof endpoint);
        return error_set(e, ERROR_FAILED_PRECONDITION,
                         "The Model \"%.*s\" is deployed to the endpoint %s. Undeploy it before.",
                         STR_ARG(name), endpoint);
    }
    if (rc < 0)
        return -1;
    q = db_stmt(d, "DELETE FROM tuned_model WHERE project = ? AND name = ?");
    db_bind(q, "st", project, name);
    rc = db_run(q, "cannot delete the model", e);
    return rc == 0 ? no_model(name, e) : rc < 0 ? -1 : 0;
}

int tuned_delete(struct store *s, const char *project, struct str name, struct error *e)
{
    struct arena a = { 0 };
    struct tuned t;
    int rc = tuned_get(s, &a, project, name, &t, e);

    if (rc == 0) {
        rc = no_model(name, e);
    } else if (rc == 1) {
        struct db *d = store_write(s, e);
        rc = d ? store_commit(s, d, tuned_delete_in(d, project, name, e), e) : -1;
        if (rc == 0)
            (void)unlink(tuned_path(s, &a, &t)); /* else the sweep does */
    }
    arena_release(&a);
    return rc;
}

int tuned_list(struct store *s, struct arena *a, const char *project, struct registry_page page,
               struct tuned_list *out, struct error *e)
{
    struct db *d = store_read(s, e);
    int rc;

    *out = (struct tuned_list){ 0 };
    if (!d)
        return -1;
    struct stmt *q = db_stmt(d, "SELECT " TUNED_COLUMNS " FROM tuned_model"
                                " WHERE (?1 IS NULL OR project = ?1) AND (?2 = 0 OR id < ?2)"
                                " ORDER BY id DESC LIMIT ?3");
    db_bind(q, "sii", project, page.before, (int64_t)page.limit);
    while ((rc = db_step(q, "cannot list the models", e)) == 1) {
        out->item = arena_list_grow(a, out->item, out->count, sizeof *out->item);
        tuned_row(q, a, &out->item[out->count++]);
    }
    store_read_done(s, d);
    return rc;
}

/* ---- Endpoints ---- */

static int endpoint_insert(struct store *s, struct arena *a, struct db *d, struct endpoint *p,
                           struct error *e)
{
    if (has_room(d, "SELECT count(*) FROM endpoint WHERE project = ?", p->project, e) < 0 ||
        store_number(d, "endpoint", ID_FIRST, 1, &p->id, e) < 0)
        return -1;
    p->name = name_of(a, p->name, p->id);
    p->create_us = p->update_us = store_now(s);
    struct stmt *q = db_stmt(d, "INSERT INTO endpoint (" ENDPOINT_COLUMNS
                                ") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
    db_bind(q, "ittttttttii", p->id, p->project, p->name, p->display_name, p->description,
            p->labels, p->model, p->deployed_id, p->deployed_name, p->create_us, p->update_us);
    if (db_run(q, "cannot make the endpoint", e) >= 0)
        return 0;
    if (e->code == ERROR_ALREADY_EXISTS)
        return error_set(e, ERROR_ALREADY_EXISTS, "the project has an endpoint %.*s already",
                         STR_ARG(p->name));
    return -1;
}

int endpoint_add(struct store *s, struct arena *a, struct endpoint *p, struct error *e)
{
    struct endpoint next = *p;

    if (p->name.len && !name_valid(p->name))
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "an endpoint's id is 1 to %d lower-case letters, digits, - and _",
                         TUNED_NAME_MAX);
    if (texts_check(p->display_name, p->description, p->labels, e) < 0)
        return -1;
    struct db *d = store_write(s, e);
    if (!d || store_commit(s, d, endpoint_insert(s, a, d, &next, e), e) < 0)
        return -1;
    *p = next;
    return 0;
}

static void endpoint_row(struct stmt *q, struct arena *a, struct endpoint *out)
{
    *out = (struct endpoint){
        .id = db_int(q, 0),
        .project = db_text(q, 1, a),
        .name = db_text(q, 2, a),
        .display_name = db_text(q, 3, a),
        .description = db_text(q, 4, a),
        .labels = db_text(q, 5, a),
        .model = db_text(q, 6, a),
        .deployed_id = db_text(q, 7, a),
        .deployed_name = db_text(q, 8, a),
        .create_us = db_int(q, 9),
        .update_us = db_int(q, 10),
    };
}

static int endpoint_read(struct db *d, struct arena *a, const char *project, struct str name,
                         struct endpoint *out, struct error *e)
{
    struct stmt *q = db_stmt(d, "SELECT " ENDPOINT_COLUMNS " FROM endpoint"
                                " WHERE name = ?1 AND project = ?2");
    db_bind(q, "ts", name, project);
    int rc = db_step(q, "cannot read the endpoint", e);
    if (rc == 1)
        endpoint_row(q, a, out);
    db_reset(q);
    return rc;
}

int endpoint_get(struct store *s, struct arena *a, const char *project, struct str name,
                 struct endpoint *out, struct error *e)
{
    struct db *d = store_read(s, e);

    if (!d)
        return -1;
    int rc = endpoint_read(d, a, project, name, out, e);
    store_read_done(s, d);
    return rc;
}

static int no_endpoint(struct str name, struct error *e)
{
    return error_set(e, ERROR_NOT_FOUND, "The Endpoint %.*s does not exist.", STR_ARG(name));
}

static int endpoint_update_in(struct store *s, struct db *d, struct endpoint *p, struct error *e)
{
    p->update_us = store_now(s);
    struct stmt *q =
        db_stmt(d, "UPDATE endpoint SET display_name = ?, description = ?, labels = ?, model = ?,"
                   " deployed_id = ?, deployed_name = ?, update_us = ?"
                   " WHERE project = ? AND name = ?");
    db_bind(q, "ttttttitt", p->display_name, p->description, p->labels, p->model, p->deployed_id,
            p->deployed_name, p->update_us, p->project, p->name);
    int rc = db_run(q, "cannot write the endpoint", e);
    return rc == 0 ? no_endpoint(p->name, e) : rc < 0 ? -1 : 0;
}

int endpoint_update(struct store *s, struct endpoint *p, struct error *e)
{
    if (texts_check(p->display_name, p->description, p->labels, e) < 0)
        return -1;
    struct db *d = store_write(s, e);
    return d ? store_commit(s, d, endpoint_update_in(s, d, p, e), e) : -1;
}

static int endpoint_delete_in(struct db *d, const char *project, struct str name, struct error *e)
{
    struct arena a = { 0 };
    struct endpoint p;
    int rc = endpoint_read(d, &a, project, name, &p, e);

    if (rc == 1 && p.model.len)
        rc =
            error_set(e, ERROR_FAILED_PRECONDITION,
                      "The Endpoint %.*s has a model deployed. Undeploy it before.", STR_ARG(name));
    else if (rc == 0)
        rc = no_endpoint(name, e);
    arena_release(&a);
    if (rc < 0)
        return -1;
    struct stmt *q = db_stmt(d, "DELETE FROM endpoint WHERE project = ? AND name = ?");
    db_bind(q, "st", project, name);
    return db_run(q, "cannot delete the endpoint", e) < 0 ? -1 : 0;
}

int endpoint_delete(struct store *s, const char *project, struct str name, struct error *e)
{
    struct db *d = store_write(s, e);

    return d ? store_commit(s, d, endpoint_delete_in(d, project, name, e), e) : -1;
}

int endpoint_list(struct store *s, struct arena *a, const char *project, struct registry_page page,
                  struct endpoint_list *out, struct error *e)
{
    struct db *d = store_read(s, e);
    int rc;

    *out = (struct endpoint_list){ 0 };
    if (!d)
        return -1;
    struct stmt *q = db_stmt(d, "SELECT " ENDPOINT_COLUMNS " FROM endpoint"
                                " WHERE (?1 IS NULL OR project = ?1) AND (?2 = 0 OR id < ?2)"
                                " ORDER BY id DESC LIMIT ?3");
    db_bind(q, "sii", project, page.before, (int64_t)page.limit);
    while ((rc = db_step(q, "cannot list the endpoints", e)) == 1) {
        out->item = arena_list_grow(a, out->item, out->count, sizeof *out->item);
        endpoint_row(q, a, &out->item[out->count++]);
    }
    store_read_done(s, d);
    return rc;
}

/* ---- Names ---- */

int registry_find(struct store *s, struct arena *a, const char *project, struct str name,
                  struct registry_found *out, struct error *e)
{
    struct endpoint p;
    struct db *d = store_read(s, e);

    *out = (struct registry_found){ 0 };
    if (!d)
        return -1;
    int rc = tuned_read(d, a, project, name, &out->tuned, e);
    if (rc == 0)
        rc = endpoint_read(d, a, project, name, &p, e);
    else if (rc == 1)
        p = (struct endpoint){ 0 };
    if (rc == 1 && p.model.len) {
        rc = tuned_read(d, a, project, p.model, &out->tuned, e);
        if (rc == 0) {
            out->other = p.model;
            rc = 1;
        }
    } else if (rc == 1 && !out->tuned.id) {
        rc = 0; /* an endpoint without a model */
    }
    store_read_done(s, d);
    return rc;
}
