#include "store/jobs/webhooks.h"

#include <assert.h>
#include <string.h>

#include "base/random.h"
#include "store/jobs/jobs_inner.h"

#define ID_RANDOM 24
static_assert(ID_RANDOM < WEBHOOK_ID_BYTES, "an id fits");

#define WEBHOOK_COLUMNS                                                                            \
    "id, project, spec, uri, events, secret, secret_old, secret_old_until_us, enabled, create_us," \
    " update_us"

static int check(const struct webhook *w, struct error *e)
{
    size_t names = 1;

    if (w->uri.len == 0 || w->uri.len > WEBHOOK_URI_MAX)
        return error_set(e, ERROR_INVALID_ARGUMENT, "uri: 1 to %d bytes", WEBHOOK_URI_MAX);
    for (size_t i = 0; i < w->events.len; i++)
        names += w->events.p[i] == ',';
    if (names > WEBHOOK_EVENTS_MAX)
        return error_set(e, ERROR_INVALID_ARGUMENT, "subscribed_events: at most %d",
                         WEBHOOK_EVENTS_MAX);
    return 0;
}

static int has_room(struct db *d, struct str project, struct error *e)
{
    struct stmt *q = db_stmt(d, "SELECT count(*) FROM webhook WHERE project = ?");

    db_bind(q, "t", project);
    if (db_step(q, "cannot read the webhooks", e) < 0)
        return -1;
    if (db_int(q, 0) >= WEBHOOKS_MAX)
        return error_set(e, ERROR_RESOURCE_EXHAUSTED, "a project has at most %d webhooks",
                         WEBHOOKS_MAX);
    return 0;
}

/* Times of creation only grow, whatever the clock does: lists go by them. */
static int insert(struct db *d, struct webhook *w, struct error *e)
{
    struct stmt *q;

    if (has_room(d, w->project, e) < 0 || random_text(w->id, ID_RANDOM, ALPHABET_36, e) < 0)
        return -1;
    if (store_number(d, "webhook", w->update_us, 1, &w->create_us, e) < 0)
        return -1;
    w->update_us = w->create_us;
    q = db_stmt(d, "INSERT INTO webhook (" WEBHOOK_COLUMNS
                   ") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
    db_bind(q, "sttttttinii", w->id, w->project, w->spec, w->uri, w->events, w->secret,
            w->secret_old, w->secret_old_until_us, (int)w->enabled, w->create_us, w->update_us);
    return db_run(q, "cannot write the webhook", e) < 0 ? -1 : 0;
}

static int put_in(struct store *s, struct db *d, struct webhook *w, struct error *e)
{
    w->update_us = store_now(s);
    if (w->id[0] == '\0')
        return insert(d, w, e);
    struct stmt *q = db_stmt(d, "UPDATE webhook SET spec = ?, uri = ?, events = ?, secret = ?,"
                                " secret_old = ?, secret_old_until_us = ?, enabled = ?,"
                                " update_us = ? WHERE id = ? AND project = ?");
    db_bind(q, "tttttinist", w->spec, w->uri, w->events, w->secret, w->secret_old,
            w->secret_old_until_us, (int)w->enabled, w->update_us, w->id, w->project);
    int rc = db_run(q, "cannot write the webhook", e);
    if (rc == 0)
        return error_set(e, ERROR_NOT_FOUND, "there is no webhook %s", w->id);
    return rc < 0 ? -1 : 0;
}

int webhook_put(struct store *s, struct webhook *w, struct error *e)
{
    struct webhook next = *w;

    if (check(w, e) < 0)
        return -1;
    struct db *d = store_write(s, e);
    if (!d || store_commit(s, d, put_in(s, d, &next, e), e) < 0)
        return -1;
    *w = next;
    return 0;
}

static void webhook_row(struct stmt *q, struct arena *a, struct webhook *out)
{
    *out = (struct webhook){
        .project = db_text(q, 1, a),
        .spec = db_text(q, 2, a),
        .uri = db_text(q, 3, a),
        .events = db_text(q, 4, a),
        .secret = db_text(q, 5, a),
        .secret_old = db_text(q, 6, a),
        .secret_old_until_us = db_int(q, 7),
        .enabled = db_int(q, 8) != 0,
        .create_us = db_int(q, 9),
        .update_us = db_int(q, 10),
    };
    db_text_to(q, 0, out->id, sizeof out->id);
}

int webhook_get(struct store *s, struct arena *a, const char *project, struct str id,
                struct webhook *out, struct error *e)
{
    struct db *d = store_read(s, e);

    if (!d)
        return -1;
    struct stmt *q = db_stmt(d, "SELECT " WEBHOOK_COLUMNS " FROM webhook"
                                " WHERE id = ?1 AND (?2 IS NULL OR project = ?2)");
    db_bind(q, "ts", id, project);
    int rc = db_step(q, "cannot read the webhook", e);
    if (rc == 1)
        webhook_row(q, a, out);
    store_read_done(s, d);
    return rc;
}

static int delete_in(struct db *d, const char *project, struct str id, struct error *e)
{
    struct stmt *q = db_stmt(d, "DELETE FROM webhook WHERE id = ?1"
                                " AND (?2 IS NULL OR project = ?2)");

    db_bind(q, "ts", id, project);
    int rc = db_run(q, "cannot delete the webhook", e);
    if (rc == 0)
        return error_set(e, ERROR_NOT_FOUND, "there is no webhook %.*s", STR_ARG(id));
    if (rc < 0)
        return -1;
    q = db_stmt(d, "UPDATE delivery SET state = " SQL_GIVEN_UP
                   ", last_error = 'the webhook was deleted'"
                   " WHERE webhook = ? AND state = " SQL_WAITS);
    db_bind(q, "t", id);
    return db_run(q, "cannot give up its deliveries", e) < 0 ? -1 : 0;
}

int webhook_delete(struct store *s, const char *project, struct str id, struct error *e)
{
    struct db *d = store_write(s, e);

    return d ? store_commit(s, d, delete_in(d, project, id, e), e) : -1;
}

/* project NULL: those of all. */
int webhook_list(struct store *s, struct arena *a, const char *project, struct webhook_list *out,
                 struct error *e)
{
    struct db *d = store_read(s, e);
    int rc;

    *out = (struct webhook_list){ 0 };
    if (!d)
        return -1;
    struct stmt *q = db_stmt(d, "SELECT " WEBHOOK_COLUMNS " FROM webhook"
                                " WHERE ?1 IS NULL OR project = ?1 ORDER BY create_us");
    db_bind(q, "s", project);
    while ((rc = db_step(q, "cannot list the webhooks", e)) == 1) {
        out->item = arena_list_grow(a, out->item, out->count, sizeof *out->item);
        webhook_row(q, a, &out->item[out->count++]);
    }
    store_read_done(s, d);
    return rc;
}
