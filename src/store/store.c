#include "store/store.h"

#include <assert.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/random.h"
#include "base/sys.h"
#include "base/thread.h"
#include "store/bucket/bucket.h"
#include "store/store_inner.h"

/* Room for the longest path below the folder. */
#define DIR_BYTES_MAX (PATH_BYTES - 512)
#define SECRET_BYTES 32
/* For the right to write, of a database that may hang. */
#define TURN_WAIT_MS 20000

/* ---- Paths and time ---- */

const char *store_dir(const struct store *s)
{
    return s->dir;
}

bool store_is_named(const struct store *s, struct str text)
{
    struct str dir = str_of(store_dir(s));

    for (size_t at = 0; at < text.len;) {
        size_t found = str_find(str_sub(text, at, text.len), dir);
        if (found == SIZE_MAX)
            return false;
        size_t from = at + found, end = from + dir.len;
        bool begins = from == 0 || strchr(" '\"(=:", text.p[from - 1]);
        if (begins && end < text.len && text.p[end] == '/')
            return true;
        at = from + 1;
    }
    return false;
}

bool store_is_shared(const struct store *s)
{
    return s->bucket != NULL;
}

struct clock *store_clock(const struct store *s)
{
    return s->clock;
}

int64_t store_now(const struct store *s)
{
    int64_t now_us;

    if (s->clock == clock_system() && connections_now(s->connections, &now_us))
        return now_us;
    return s->clock->wall_us(s->clock);
}

int64_t store_lease_now(const struct store *s)
{
    int64_t now_us;

    if (s->clock == clock_movable() && connections_now(s->connections, &now_us))
        return now_us;
    return store_now(s);
}

void store_path(const struct store *s, char out[PATH_BYTES], const char *fmt, ...)
{
    size_t len = strlen(s->dir);
    va_list args;

    memcpy(out, s->dir, len);
    out[len++] = '/';
    va_start(args, fmt);
    int n = vsnprintf(out + len, PATH_BYTES - len, fmt, args);
    va_end(args);
    assert(n >= 0 && (size_t)n < PATH_BYTES - len);
}

/* ---- Connections ---- */

struct db *store_connect(const char *path, struct error *e)
{
    const struct db_settings settings = {
        .access = DB_SHARED,
        .page_bytes = 4096,
        .cache_kib = 8192,
        .log_pages = 1000,
    };

    return db_open(path, &settings, e);
}

struct db *store_read(struct store *s, struct error *e)
{
    return connection_take(s->connections, e);
}

void store_read_done(struct store *s, struct db *d)
{
    connection_give(s->connections, d);
}

static int turn_take(struct store *s, struct error *e)
{
    uint64_t deadline_ns = s->writer ? DEADLINE_NONE : deadline_in_ms(TURN_WAIT_MS);
    bool in_time = true;

    lock(&s->write_lock);
    while (s->turn.taken && in_time)
        in_time = cond_wait_until(&s->turn_ended, &s->write_lock, deadline_ns);
    bool got = !s->turn.taken;
    s->turn.taken = true;
    unlock(&s->write_lock);
    return got ? 0
               : error_set(e, ERROR_UNAVAILABLE,
                           "cannot begin to write: the database is too slow for all that want to");
}

static void turn_is_of(struct store *s, struct db *d)
{
    lock(&s->write_lock);
    assert(s->turn.taken && !s->turn.db);
    s->turn.db = d;
    unlock(&s->write_lock);
}

static void turn_end(struct store *s)
{
    lock(&s->write_lock);
    assert(s->turn.taken);
    s->turn = (struct turn){ 0 };
    cond_signal(&s->turn_ended);
    unlock(&s->write_lock);
}

static struct db *begin(struct store *s, enum db_right right, struct error *e)
{
    struct db *d = s->writer ? s->writer : connection_take(s->connections, e);

    if (!d)
        return NULL;
    if (db_begin(d, right, "cannot begin to write", e) == 0) {
        connection_read_clock(s->connections, d);
        return d;
    }
    if (d != s->writer)
        connection_give(s->connections, d);
    return NULL;
}

struct db *store_write(struct store *s, struct error *e)
{
    assert_may_wait("a write to the store");
    if (turn_take(s, e) < 0)
        return NULL;
    struct db *d = begin(s, DB_WRITE_ALL, e);
    if (d)
        turn_is_of(s, d);
    else
        turn_end(s);
    return d;
}

struct db *store_write_rows(struct store *s, struct error *e)
{
    assert_may_wait("a write to the store");
    return s->writer ? store_write(s, e) : begin(s, DB_WRITE_ROWS, e);
}

int store_commit(struct store *s, struct db *d, int rc, struct error *e)
{
    assert(rc <= 0);
    if (rc == 0)
        rc = db_commit(d, "cannot write", e);
    else
        db_rollback(d);
    lock(&s->write_lock);
    bool had_turn = s->turn.db == d;
    unlock(&s->write_lock);
    assert(had_turn || !s->writer);
    if (d != s->writer)
        connection_give(s->connections, d);
    if (had_turn)
        turn_end(s);
    return rc;
}

int store_number(struct db *d, const char *name, int64_t least, int64_t step, int64_t *out,
                 struct error *e)
{
    struct stmt *q = db_stmt(d, "INSERT INTO counter (name, value) VALUES (?1, ?2)"
                                " ON CONFLICT (name) DO UPDATE SET value = CASE"
                                " WHEN counter.value + ?3 > ?2 THEN counter.value + ?3 ELSE ?2 END"
                                " RETURNING value");

    assert(step >= 0);
    db_bind(q, "sii", name, least, step);
    int rc = db_step(q, "cannot take a number", e);
    assert(rc != 0);
    if (rc == 1)
        *out = db_int(q, 0);
    return rc < 0 ? -1 : 0;
}

void *store_memory(struct store *s, enum store_room room, void *(*make)(void),
                   void (*release)(void *memory))
{
    lock(&s->memory_lock);
    if (!s->room[room].memory) {
        s->room[room].memory = make();
        s->room[room].release = release;
    }
    void *memory = s->room[room].memory;
    assert(s->room[room].release == release);
    unlock(&s->memory_lock);
    return memory;
}

/* ---- Open and close ---- */

static int lock_take(struct store *s, struct error *e)
{
    char path[PATH_BYTES];

    store_path(s, path, "lock");
    s->lock = sys_open_locked(path, e);
    if (s->lock < 0 && e->code == ERROR_ABORTED)
        return error_set(e, ERROR_FAILED_PRECONDITION, "another server runs on the state folder %s",
                         s->dir);
    return s->lock < 0 ? -1 : 0;
}

static int database_open(struct store *s, struct error *e)
{
    if (db_is_url(s->database))
        return 0;
    s->writer = store_connect(s->database, e);
    return s->writer ? sys_sync_folder(s->database, e) : -1;
}

/* The lock keeps a command of a newer version from changing the tables under a running server. */
static int migrate_file(struct store *s, bool exclusive, struct error *e)
{
    if (!exclusive && lock_take(s, e) < 0)
        return error_wrap(e, "the database must be brought to a newer version first");
    int rc = db_migrate(s->writer, &db_schema_store, e);
    if (!exclusive) {
        (void)close(s->lock);
        s->lock = -1;
    }
    return rc < 0 ? error_wrap(e, "%s", s->dir) : 0;
}

/* Servers of the version before may run meanwhile: only a server changes the tables under them. */
static int migrate(struct store *s, struct db *d, int version, bool exclusive, struct error *e)
{
    if (s->writer)
        return migrate_file(s, exclusive, e);
    if (exclusive || version == 0)
        return db_migrate(d, &db_schema_store, e);
    return error_set(
        e, ERROR_FAILED_PRECONDITION,
        "the database's tables are of version %d, this program needs version %d: start a server of "
        "this version first",
        version, db_schema_store.version);
}

/* The folder, or the URL without its password. */
static void shown_as(const struct store *s, struct buf *out)
{
    if (db_is_url(s->database))
        db_url_shown(s->database, out);
    else
        buf_add_c(out, s->dir);
}

/* An older program goes on with newer tables that say that it can. */
static int version_check(const struct store *s, struct db *d, int *out, struct error *e)
{
    struct buf shown = BUF_INIT(PATH_BYTES);
    int compatible, rc = 0;

    if (db_version(d, out, e) < 0 || db_compatible(d, &compatible, e) < 0)
        return -1;
    if (compatible > db_schema_store.version) {
        shown_as(s, &shown);
        rc = error_set(e, ERROR_FAILED_PRECONDITION,
                       "%s is of version %d, this program knows version %d: use the program that "
                       "wrote it, or a newer one",
                       shown.p, *out, db_schema_store.version);
        buf_release(&shown);
    }
    return rc;
}

static int tables_open(struct store *s, bool exclusive, struct error *e)
{
    struct db *d = s->writer ? s->writer : connection_take(s->connections, e);
    int version;

    if (!d)
        return -1;
    int rc = version_check(s, d, &version, e);
    if (rc == 0 && version < db_schema_store.version)
        rc = migrate(s, d, version, exclusive, e);
    if (d != s->writer)
        connection_give(s->connections, d);
    return rc;
}

static int open_all(struct store *s, bool exclusive, struct error *e)
{
    char path[PATH_BYTES];

    if (sys_mkdirs(s->dir, e) < 0 || (exclusive && lock_take(s, e) < 0) ||
        database_open(s, e) < 0 || tables_open(s, exclusive, e) < 0)
        return -1;
    store_path(s, path, "uploads");
    return exclusive ? sys_mkdirs(path, e) : 0;
}

static struct store *store_new(const struct store_place *place, struct clock *clock,
                               struct error *e)
{
    char path[PATH_BYTES];

    if (strlen(place->dir) > DIR_BYTES_MAX) {
        (void)error_set(e, ERROR_INVALID_ARGUMENT, "the state folder's path is too long");
        return NULL;
    }
    struct store *s = mem_alloc(sizeof *s);
    s->dir = mem_strdup(place->dir);
    store_path(s, path, "state.db");
    s->database = mem_strdup(place->database ? place->database : path);
    s->connections =
        connections_new(s->database, place->connections ? place->connections : STORE_CONNECTIONS);
    s->cache_bytes = place->cache_bytes;
    s->clock = clock;
    s->lock = -1;
    lock_init(&s->write_lock);
    cond_init(&s->turn_ended);
    lock_init(&s->memory_lock);
    lock_init(&s->changed_lock);
    return s;
}

/* Half of a store would look like all of it. */
static int migration_check(struct store *s, struct error *e)
{
    struct db *d = store_read(s, e);

    if (!d)
        return -1;
    struct stmt *q = db_stmt(d, "SELECT 1 FROM counter WHERE name = '" STORE_MIGRATION "'");
    int rc = db_step(q, "cannot read the database", e);
    store_read_done(s, d);
    if (rc == 1)
        rc = error_set(e, ERROR_FAILED_PRECONDITION,
                       "a migration into the database has not ended: call `tranche migrate` again");
    return rc;
}

/* The database's own number, made at its first use. */
static int owner_in(struct db *d, int64_t *out, struct error *e)
{
    uint64_t number = 0;

    if (random_bytes(&number, sizeof number, e) < 0)
        return -1;
    struct stmt *q = db_stmt(d, "INSERT INTO counter (name, value) VALUES ('bucket_owner', ?)"
                                " ON CONFLICT (name) DO NOTHING");
    db_bind(q, "i", (int64_t)(number >> 1));
    if (db_run(q, "cannot write the database", e) < 0)
        return -1;
    q = db_stmt(d, "SELECT value FROM counter WHERE name = 'bucket_owner'");
    int rc = db_step(q, "cannot read the database", e);
    if (rc == 1)
        *out = db_int(q, 0);
    return rc == 1 ? 0 : rc < 0 ? -1 : error_set(e, ERROR_DATA_LOSS, "the database has no owner");
}

int store_claim_bucket(struct store *s, struct error *e)
{
    char text[24];
    int64_t owner = 0;
    struct db *d = store_write(s, e);

    if (!d || store_commit(s, d, owner_in(d, &owner, e), e) < 0)
        return -1;
    (void)snprintf(text, sizeof text, "%lld", (long long)owner);
    return bucket_claim(s->bucket, text, s->dir, e);
}

struct store *store_open_at(const struct store_place *place, bool exclusive, struct clock *clock,
                            struct error *e)
{
    struct store *s = store_new(place, clock, e);

    if (s && place->bucket)
        s->bucket = bucket_open(place->bucket, e);
    if (!s || ((s->bucket || !place->bucket) && open_all(s, exclusive, e) == 0 &&
               (s->writer || place->migrates || migration_check(s, e) == 0) &&
               (!s->bucket || !exclusive || place->migrates || store_claim_bucket(s, e) == 0)))
        return s;
    store_close(s);
    return NULL;
}

struct store *store_open(const char *dir, bool exclusive, struct clock *clock, struct error *e)
{
    return store_open_at(&(struct store_place){ .dir = dir }, exclusive, clock, e);
}

struct store *store_open_to_look(const char *dir, struct clock *clock, struct error *e)
{
    struct store *s = store_new(&(struct store_place){ .dir = dir }, clock, e);
    struct db *d = s ? store_read(s, e) : NULL;
    int version, rc = d ? version_check(s, d, &version, e) : -1;

    if (d)
        store_read_done(s, d);
    if (rc == 0)
        return s;
    store_close(s);
    return NULL;
}

void store_close(struct store *s)
{
    if (!s)
        return;
    connections_free(s->connections);
    db_close(s->writer);
    for (size_t i = 0; i < STORE_ROOM_COUNT; i++)
        if (s->room[i].memory)
            s->room[i].release(s->room[i].memory);
    if (s->bucket)
        s->bucket->ops->close(s->bucket);
    if (s->lock >= 0)
        (void)close(s->lock);
    lock_destroy(&s->write_lock);
    cond_destroy(&s->turn_ended);
    lock_destroy(&s->memory_lock);
    lock_destroy(&s->changed_lock);
    mem_free(s->database);
    mem_free(s->dir);
    mem_free(s);
}

/* ---- Secrets ---- */

static int secret_read(struct db *d, const char *name, unsigned char *out, struct error *e)
{
    struct stmt *q = db_stmt(d, "SELECT value FROM secret WHERE name = ?");

    db_bind(q, "s", name);
    int rc = db_step(q, "cannot read a secret", e);
    if (rc <= 0)
        return rc;
    struct str value = db_bytes(q, 0);
    if (value.len != SECRET_BYTES)
        return error_set(e, ERROR_DATA_LOSS, "cannot read a secret: it is damaged");
    memcpy(out, value.p, value.len);
    return 1;
}

/* Inside a transaction, so that of two first uses one makes it and the other reads it. */
static int secret_make(struct db *d, const char *name, unsigned char *out, struct error *e)
{
    int rc = secret_read(d, name, out, e);

    if (rc != 0)
        return rc < 0 ? -1 : 0;
    if (random_bytes(out, SECRET_BYTES, e) < 0)
        return -1;
    struct stmt *q = db_stmt(d, "INSERT INTO secret (name, value) VALUES (?, ?)");
    db_bind(q, "sb", name, (struct str){ (const char *)out, SECRET_BYTES });
    return db_run(q, "cannot write a secret", e) < 0 ? -1 : 0;
}

static int secret_get(struct store *s, const char *name, unsigned char out[SECRET_BYTES],
                      struct error *e)
{
    struct db *d = store_read(s, e);

    if (!d)
        return -1;
    int rc = secret_read(d, name, out, e);
    store_read_done(s, d);
    if (rc != 0)
        return rc < 0 ? -1 : 0;
    d = store_write(s, e);
    return d ? store_commit(s, d, secret_make(d, name, out, e), e) : -1;
}

int store_mac(struct store *s, const char *name, struct str text,
              unsigned char out[STORE_MAC_BYTES], struct error *e)
{
    unsigned char secret[SECRET_BYTES];
    unsigned int len = 0;

    if (secret_get(s, name, secret, e) < 0)
        return -1;
    bool ok = HMAC(EVP_sha256(), secret, (int)sizeof secret, (const unsigned char *)text.p,
                   text.len, out, &len) != NULL;
    OPENSSL_cleanse(secret, sizeof secret);
    if (!ok || len != STORE_MAC_BYTES)
        return error_set(e, ERROR_INTERNAL, "HMAC-SHA256 is not available");
    return 0;
}
