#include "store/tables/duckdb/project.h"

#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/random.h"
#include "base/sys.h"
#include "base/thread.h"
#include "store/tables/duckdb/functions/functions.h"

#define VERSION 1 /* of the records in the schema `_tranche` */
#define PROJECT_NAME_MAX 128
#define RESULTS_HEX_BYTES 20

int64_t project_now_ms(const struct project *p)
{
    return p->owner->clock->wall_us(p->owner->clock) / 1000;
}

/* ---- Connections ---- */

/* The file is attached, as only so its groups of rows get a size: a group is held in memory until it is whole, and
 * DuckDB's own 122,880 rows may be gigabytes. */
#define CATALOG "~project" /* no dataset's name */
#define GROUP_ROWS 8192

static int connect_to(struct project *p, struct connection *out, struct error *e)
{
    if (connection_open(out, p->duckdb, p->database, e) < 0)
        return -1;
    if (sql_run_c(out, "USE \"" CATALOG "\"", e) == 0)
        return 0;
    connection_close(out);
    return -1;
}

int project_connect(struct project *p, struct connection *out, struct error *e)
{
    bool found = false;

    lock(&p->idle_lock);
    if (p->idle_count) {
        *out = p->idle[--p->idle_count];
        found = true;
    }
    unlock(&p->idle_lock);
    return found ? 0 : connect_to(p, out, e);
}

void project_disconnect(struct project *p, struct connection *c)
{
    bool kept = false;

    if (!c->handle)
        return;
    buf_release(&c->sql); /* a statement may have been big */
    lock(&p->idle_lock);
    if (p->idle_count < PROJECT_IDLE_CONNECTIONS) {
        p->idle[p->idle_count++] = *c;
        kept = true;
    }
    unlock(&p->idle_lock);
    if (!kept)
        connection_close(c);
    *c = (struct connection){ .handle = NULL };
}

/* ---- The records ---- */

/* Columns of the catalog are described in catalog.c, keys and writers in records.c. */
static const char *const records[] = {
    "CREATE SCHEMA _tranche",
    "CREATE TABLE _tranche.setting (name VARCHAR NOT NULL, value VARCHAR NOT NULL)",
    "CREATE TABLE _tranche.dataset (name VARCHAR NOT NULL, physical VARCHAR NOT NULL, options "
    "VARCHAR"
    " NOT NULL, default_expiration_ms BIGINT NOT NULL, created_ms BIGINT NOT NULL, changed_ms "
    "BIGINT"
    " NOT NULL, version BIGINT NOT NULL)",
    "CREATE TABLE _tranche.relation (dataset VARCHAR NOT NULL, name VARCHAR NOT NULL, physical "
    "VARCHAR"
    " NOT NULL, kind BIGINT NOT NULL, columns VARCHAR NOT NULL, view_query VARCHAR NOT NULL, "
    "options"
    " VARCHAR NOT NULL, expires_ms BIGINT NOT NULL, created_ms BIGINT NOT NULL, changed_ms BIGINT "
    "NOT"
    " NULL, version BIGINT NOT NULL)",
    "CREATE TABLE _tranche.field (dataset VARCHAR NOT NULL, relation VARCHAR NOT NULL, place "
    "BIGINT "
    "NOT"
    " NULL, top BIGINT NOT NULL, name VARCHAR NOT NULL, path VARCHAR NOT NULL, type VARCHAR NOT "
    "NULL,"
    " nullable BOOLEAN NOT NULL, description VARCHAR, default_value VARCHAR)",
    "CREATE TABLE _tranche.temporary (session VARCHAR NOT NULL, name VARCHAR NOT NULL, relation "
    "VARCHAR"
    " NOT NULL)",
    "CREATE TABLE _tranche.session (id VARCHAR NOT NULL, used_ms BIGINT NOT NULL)",
    "CREATE TABLE _tranche.done (key VARCHAR NOT NULL, outcome VARCHAR NOT NULL, at_ms BIGINT NOT "
    "NULL)",
    "CREATE TABLE _tranche.writer (key VARCHAR NOT NULL, dataset VARCHAR NOT NULL, physical "
    "VARCHAR "
    "NOT"
    " NULL, columns VARCHAR NOT NULL, position BIGINT NOT NULL, at_ms BIGINT NOT NULL)",
    "CREATE TABLE _tranche.job (id VARCHAR NOT NULL, parent VARCHAR NOT NULL, state VARCHAR NOT "
    "NULL,"
    " resource VARCHAR NOT NULL, created_ms BIGINT NOT NULL)",
    "CREATE TYPE \"BIGNUMERIC\" AS VARCHAR",
    "CREATE TYPE \"GEOGRAPHY\" AS VARCHAR",
    "CREATE TYPE \"RANGE\" AS VARCHAR",
};

static int write_records(struct project *p, struct error *e)
{
    char results[2 * RESULTS_HEX_BYTES + 1];
    struct connection *c = &p->meta;
    int rc = sql_begin(c, e);

    if (rc < 0)
        return -1;
    for (size_t i = 0; i < ARRAY_LEN(records) && rc == 0; i++)
        rc = sql_run_c(c, records[i], e);
    if (rc == 0)
        rc = random_hex(results, RESULTS_HEX_BYTES, e);
    if (rc == 0) {
        sql_start(c, "CREATE SCHEMA _%s", results);
        rc = sql_run(c, e) < 0 ? -1 : 0;
    }
    if (rc == 0) {
        sql_start(c, "INSERT INTO _tranche.setting VALUES ('version', '%d'), ('results', '_%s')",
                  VERSION, results);
        rc = sql_run(c, e) < 0 ? -1 : 0;
    }
    return sql_end(c, rc, e);
}

/* A crash leaves tables that were being filled. Those of writers that can resume stay. */
static int drop_unfinished(struct project *p, struct error *e)
{
    struct connection *c = &p->meta;
    struct arena a = { 0 };
    struct grid found;
    int rc;

    sql_start(c,
              "SELECT schema_name, table_name FROM duckdb_tables() WHERE table_name LIKE '~%%' AND"
              " NOT EXISTS (SELECT 1 FROM _tranche.writer w JOIN _tranche.dataset d ON d.name ="
              " w.dataset WHERE w.key <> '' AND w.physical = table_name AND d.physical ="
              " schema_name)");
    rc = sql_fetch(c, &a, &found, e);
    for (uint32_t i = 0; rc == 0 && i < found.rows; i++) {
        sql_start(c, "DROP TABLE ");
        sql_add_name(c, found.cell[(size_t)2 * i].text);
        sql_addf(c, ".");
        sql_add_name(c, found.cell[(size_t)2 * i + 1].text);
        rc = sql_run(c, e) < 0 ? -1 : 0;
    }
    arena_release(&a);
    return rc == 0 ? sql_run_c(c, "DELETE FROM _tranche.writer WHERE key = ''", e) : -1;
}

static int read_settings(struct project *p, struct error *e)
{
    struct grid found;
    int64_t version = 0;

    sql_start(&p->meta, "SELECT name, value FROM _tranche.setting");
    if (sql_fetch(&p->meta, &p->kept, &found, e) < 0)
        return -1;
    for (uint32_t i = 0; i < found.rows; i++)
        if (str_eq_c(found.cell[(size_t)2 * i].text, "version"))
            version = cell_number(found.cell[(size_t)2 * i + 1]);
        else if (str_eq_c(found.cell[(size_t)2 * i].text, "results"))
            p->results = found.cell[(size_t)2 * i + 1].text;
    if (version < 1 || version > VERSION || !p->results.len)
        return error_set(e, ERROR_FAILED_PRECONDITION,
                         "%s was made by a newer tranche (version %lld of its records, %d here).",
                         p->path, (long long)version, VERSION);
    return 0;
}

static int prepare_records(struct project *p, struct error *e)
{
    struct connection *c = &p->meta;
    struct grid name;
    int64_t made;

    sql_start(c, "SELECT current_database()");
    if (sql_fetch(c, &p->kept, &name, e) < 0)
        return -1;
    p->catalog = name.cell[0].text;
    sql_start(c, "SELECT count(*) FROM duckdb_schemas() WHERE schema_name = '_tranche' AND"
                 " database_name = current_database()");
    if (sql_fetch_number(c, 0, &made, e) < 0)
        return -1;
    if (!made)
        return error_set(e, ERROR_FAILED_PRECONDITION,
                         "%s is a DuckDB file that tranche did not make.", p->path);
    return read_settings(p, e) < 0 ? -1 : drop_unfinished(p, e);
}

/* ---- The engine ---- */

static int set_all(struct project *p, duckdb_config config, struct error *e)
{
    const struct tables_limits *l = &p->owner->limits;
    struct arena a = { 0 };
    const char *const settings[][2] = {
        { "memory_limit", arena_textf(&a, "%lluB", (unsigned long long)l->memory_bytes) },
        { "max_temp_directory_size", arena_textf(&a, "%lluB", (unsigned long long)l->temp_bytes) },
        { "temp_directory", arena_textf(&a, "%s.tmp", p->path) },
        { "threads", arena_textf(&a, "%u", l->threads) },
        /* Each checkpoint compresses the last rows of a growing table again. */
        { "checkpoint_threshold", "64MB" },
        { "autoinstall_known_extensions", "false" },
        { "autoload_known_extensions", "false" },
        { "allow_community_extensions", "false" },
        { "default_null_order", "nulls_first_on_asc_last_on_desc" },
    };
    int rc = 0;

    for (size_t i = 0; i < ARRAY_LEN(settings) && rc == 0; i++)
        if (p->duckdb->set_config(config, settings[i][0], settings[i][1]) != DuckDBSuccess)
            rc = error_set(e, ERROR_INTERNAL, "The table engine refuses the setting %s.",
                           settings[i][0]);
    arena_release(&a);
    return rc;
}

static int attach(struct project *p, const char *path, struct error *e)
{
    struct connection *c = &p->meta;

    if (connection_open(c, p->duckdb, p->database, e) < 0)
        return -1;
    sql_start(c, "ATTACH ");
    sql_add_text(c, str_of(path));
    sql_addf(c, " AS \"" CATALOG "\" (ROW_GROUP_SIZE %d)", GROUP_ROWS);
    if (sql_run(c, e) < 0)
        return error_wrap(e, "%s", p->path);
    return sql_run_c(c, "USE \"" CATALOG "\"", e);
}

/* Opens the file at path, with the connection p->meta. */
static int start_engine(struct project *p, const char *path, struct error *e)
{
    duckdb_config config = NULL;
    char *said = NULL;
    int rc = -1;

    if (p->duckdb->create_config(&config) != DuckDBSuccess)
        return error_set(e, ERROR_INTERNAL, "The table engine cannot be configured.");
    if (set_all(p, config, e) == 0) {
        rc = p->duckdb->open_ext(NULL, &p->database, config, &said) == DuckDBSuccess ? 0 : -1;
        if (rc < 0)
            (void)connection_error(e, DUCKDB_ERROR_IO, said);
        p->duckdb->free(said);
    }
    p->duckdb->destroy_config(&config);
    return rc == 0 ? attach(p, path, e) : -1;
}

/* No user's SQL runs before it is sealed, and nothing opens it again while it lives. */
static int seal(struct project *p, struct error *e)
{
    return sql_run_c(&p->meta,
                     "SET GLOBAL TimeZone = 'UTC'; SET GLOBAL enable_external_access = false;"
                     " SET GLOBAL lock_configuration = true",
                     e);
}

/* Closing writes the log back into the file. */
static void project_shut(struct project *p)
{
    for (uint32_t i = 0; i < p->idle_count; i++)
        connection_close(&p->idle[i]);
    p->idle_count = 0;
    if (p->duckdb) {
        connection_close(&p->meta);
        if (p->database)
            p->duckdb->close(&p->database);
    }
}

/* A crash leaves no file that is half made: it gets its name when its records are in it. */
static int project_make(struct project *p, struct error *e)
{
    struct arena a = { 0 };
    const char *path = arena_textf(&a, "%s.new", p->path);
    int rc = sys_remove_all(path, e);
    int fd = -1;

    if (rc == 0)
        rc = start_engine(p, path, e);
    if (rc == 0)
        rc = write_records(p, e);
    project_shut(p);
    if (rc == 0)
        fd = sys_open(path, O_RDWR, e);
    if (rc == 0 && (fd < 0 || fchmod(fd, 0600) < 0 || sys_sync(fd, path, e) < 0))
        rc = fd < 0 ? -1 : error_errno(e, "cannot make %s", path);
    if (fd >= 0)
        (void)close(fd);
    if (rc == 0)
        rc = sys_rename(path, p->path, e);
    arena_release(&a);
    return rc;
}

static int project_open(struct project *p, struct error *e)
{
    struct error ignored;
    struct arena a = { 0 };
    int rc;

    p->duckdb = duckdb_library(e);
    if (!p->duckdb || sys_mkdirs(p->owner->dir, e) < 0)
        return -1;
    if (access(p->path, F_OK) < 0 && project_make(p, e) < 0)
        return -1;
    (void)!sys_remove_all(arena_textf(&a, "%s.tmp", p->path),
                          &ignored); /* of a process that was killed */
    arena_release(&a);
    rc = start_engine(p, p->path, e);
    if (rc == 0)
        rc = functions_register(p->duckdb, p->meta.handle, e);
    if (rc == 0)
        rc = prepare_records(p, e);
    return rc == 0 ? seal(p, e) : -1;
}

static void project_free(struct project *p)
{
    assert(!p->users);
    lock_destroy(&p->lock);
    lock_destroy(&p->idle_lock);
    arena_release(&p->kept);
    mem_free(p->name);
    mem_free(p->path);
    mem_free(p);
}

static struct project *project_new(struct embedded *t, struct str name)
{
    struct project *p = mem_alloc(sizeof *p);
    struct arena a = { 0 };

    p->owner = t;
    p->name = mem_strdup(arena_copy(&a, name.p, name.len));
    p->path = mem_strdup(arena_textf(&a, "%s/%s.duckdb", t->dir, p->name));
    lock_init(&p->lock);
    lock_init(&p->idle_lock);
    arena_release(&a);
    return p;
}

/* ---- Who is open ---- */

/* A project's name is a file's name: no slash, no leading dot. */
static int name_check(struct str name, struct error *e)
{
    bool ok = name.len > 0 && name.len <= PROJECT_NAME_MAX && name.p[0] != '.' &&
              name.p[0] != '-' && name.p[0] != '_';

    for (size_t i = 0; ok && i < name.len; i++) {
        char c = name.p[i];
        ok = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
             c == '-' || c == '_' || c == '.' || c == ':';
    }
    return ok ? 0
              : error_set(e, ERROR_INVALID_ARGUMENT, "Invalid project ID '%.*s'.",
                          STR_ARG(str_cut(name, 200)));
}

static struct project *find(struct embedded *t, struct str name)
{
    for (struct project *p = t->projects; p; p = p->next)
        if (str_eq_c(name, p->name))
            return p;
    return NULL;
}

static void unlink_project(struct embedded *t, struct project *p)
{
    struct project **at = &t->projects;

    while (*at != p)
        at = &(*at)->next;
    *at = p->next;
}

static uint64_t mono_ns(const struct embedded *t)
{
    return t->clock->mono_ns(t->clock);
}

/* The one that was used least recently and is idle; NULL when there is none, or room for one more. */
static struct project *superfluous(struct embedded *t)
{
    struct project *oldest = NULL;
    uint32_t open = 0;

    for (struct project *p = t->projects; p; p = p->next, open++)
        if (!p->users && !p->busy && (!oldest || p->used_ns < oldest->used_ns))
            oldest = p;
    return open < t->limits.projects_open ? NULL : oldest;
}

/* The lock on the file does not hold within one process, so nobody may open it before it is closed: others
 * wait for one that is busy. The owner's lock is held before and after, not meanwhile. */
static void close_idle(struct embedded *t, struct project *p)
{
    assert(!p->users && !p->busy);
    p->busy = true;
    unlock(&t->lock);
    project_shut(p);
    lock(&t->lock);
    unlink_project(t, p);
    project_free(p);
    cond_broadcast(&t->changed);
}

/* With the lock held: the project, entered. It is busy when the caller is to open it. */
static struct project *enter(struct embedded *t, struct str name)
{
    struct project *p;

    while ((p = find(t, name)) && p->busy)
        cond_wait(&t->changed, &t->lock);
    if (!p) {
        p = project_new(t, name);
        p->busy = true;
        p->lost = connections_lost();
        p->next = t->projects;
        t->projects = p;
    }
    p->users++;
    return p;
}

struct project *project_enter(struct embedded *t, struct str name, bool make, struct error *e)
{
    struct project *old;

    if (name_check(name, e) < 0)
        return NULL;
    lock(&t->lock);
    old = find(t, name);
    /* An engine has failed since: perhaps this one. */
    if (old && !old->users && !old->busy && old->lost != connections_lost())
        close_idle(t, old);
    if (!find(t, name) && (old = superfluous(t)))
        close_idle(t, old);
    struct project *p = enter(t, name);
    bool opens = p->busy;
    unlock(&t->lock);
    if (!opens)
        return p;
    int rc = make || access(p->path, F_OK) == 0
                 ? project_open(p, e)
                 : error_set(e, ERROR_NOT_FOUND, "Not found: Project %s has no tables", p->name);
    if (rc < 0)
        project_shut(p);
    lock(&t->lock);
    p->busy = false;
    if (rc < 0) {
        p->users--;
        unlink_project(t, p);
        project_free(p);
        p = NULL;
    }
    cond_broadcast(&t->changed);
    unlock(&t->lock);
    return p;
}

int project_enter_if_there(struct embedded *t, struct str name, struct project **out,
                           struct error *e)
{
    struct error own = { 0 };

    *out = project_enter(t, name, false, &own);
    if (*out)
        return 1;
    if (own.code == ERROR_NOT_FOUND)
        return 0;
    *e = own;
    return -1;
}

void project_leave(struct project *p)
{
    if (!p)
        return;
    struct embedded *t = p->owner;
    lock(&t->lock);
    assert(p->users > 0);
    p->users--;
    p->used_ns = mono_ns(t);
    unlock(&t->lock);
}

void projects_close(struct embedded *t, bool all)
{
    lock(&t->lock);
    uint64_t now = mono_ns(t), limit = (uint64_t)t->limits.idle_ms * NS_PER_MS;
    struct project *p = t->projects;
    while (p) {
        bool closes = !p->users && !p->busy && (all || now - p->used_ns >= limit);
        if (closes)
            close_idle(t, p);
        p = closes ? t->projects : p->next; /* the list may have changed meanwhile */
    }
    unlock(&t->lock);
}
