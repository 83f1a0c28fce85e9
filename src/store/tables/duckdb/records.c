/* records.c -- embedded.h: keys of operations, jobs, sessions, and what is dropped when its time is over. */
#include <dirent.h>
#include <stdio.h>

#include "base/json.h"
#include "base/json_write.h"
#include "base/random.h"
#include "base/thread.h"
#include "store/tables/duckdb/embedded.h"

#define OUTCOME_BYTES_MAX 1024
#define HOUR_MS INT64_C(3600000)
#define DONE_HOURS (INT64_C(24) * 7)   /* keys are asked for after a crash, not after a week */
#define WRITER_HOURS (INT64_C(24) * 7) /* a writer that nobody resumes */
#define SESSION_HOURS 24
#define JOB_HOURS (INT64_C(24) * 180) /* as BigQuery keeps jobs */
#define SESSION_LETTERS 24

/* ---- Keys ---- */

int done_find(struct project *p, struct str key, struct tables_outcome *out, struct error *e)
{
    struct connection *c = &p->meta;
    struct arena a = { 0 };
    struct grid found = { .rows = 0 };
    int rc = 0;
    size_t at;

    if (!key.len)
        return 0;
    sql_start(c, "SELECT outcome FROM _tranche.done WHERE key = ");
    sql_add_text(c, key);
    rc = sql_fetch(c, &a, &found, e);
    if (rc == 0 && found.rows) {
        yyjson_val *v = json_parse(&a, found.cell[0].text, &at, e);
        rc = v ? 1 : -1;
        *out = (struct tables_outcome){ .rows = yyjson_get_sint(json_get(v, "rows")),
                                        .bytes = yyjson_get_sint(json_get(v, "bytes")),
                                        .created = yyjson_get_bool(json_get(v, "created")),
                                        .again = true };
    }
    arena_release(&a);
    return rc;
}

int done_put(struct project *p, struct connection *c, struct str key,
             const struct tables_outcome *outcome, struct error *e)
{
    struct buf text = BUF_INIT(OUTCOME_BYTES_MAX);
    struct json_writer w = JSON_WRITER(&text);

    if (!key.len)
        return 0;
    json_object(&w, NULL);
    json_add_int(&w, "rows", outcome->rows);
    json_add_int(&w, "bytes", outcome->bytes);
    json_add_bool(&w, "created", outcome->created);
    json_end(&w);
    sql_start(c, "INSERT INTO _tranche.done VALUES (");
    sql_add_text(c, key);
    sql_addf(c, ", ");
    sql_add_text(c, buf_str(&text));
    sql_addf(c, ", %lld)", (long long)project_now_ms(p));
    buf_release(&text);
    return sql_run(c, e) < 0 ? -1 : 0;
}

int done_get(struct tables *t, struct str project, struct str key, struct tables_outcome *out,
             struct error *e)
{
    struct project *p;
    int rc = project_enter_if_there(embedded_of(t), project, &p, e);

    if (rc <= 0)
        return rc;
    lock(&p->lock);
    rc = done_find(p, key, out, e);
    unlock(&p->lock);
    project_leave(p);
    return rc;
}

/* ---- Jobs ---- */

static int job_not_found(struct error *e, struct str project, struct str id)
{
    return error_set(e, ERROR_NOT_FOUND, "Not found: Job %.*s:%.*s", STR_ARG(str_cut(project, 128)),
                     STR_ARG(str_cut(id, 200)));
}

/* One operation on a job, within a change. */
struct job_work {
    const struct tables_job *job;
    struct str id;
};

static int job_drop(struct project *p, struct str id, struct error *e)
{
    sql_start(&p->meta, "DELETE FROM _tranche.job WHERE id = ");
    sql_add_text(&p->meta, id);
    return sql_run(&p->meta, e) < 0 ? -1 : 0;
}

static int put(struct project *p, void *arg, struct error *e)
{
    const struct tables_job *job = ((struct job_work *)arg)->job;
    struct connection *c = &p->meta;

    if (job_drop(p, job->id, e) < 0)
        return -1;
    sql_start(c, "INSERT INTO _tranche.job VALUES (");
    sql_add_text(c, job->id);
    sql_addf(c, ", ");
    sql_add_text(c, job->parent);
    sql_addf(c, ", ");
    sql_add_text(c, job->state);
    sql_addf(c, ", ");
    sql_add_text(c, job->json);
    sql_addf(c, ", %lld)", (long long)job->created_ms);
    return sql_run(c, e) < 0 ? -1 : 0;
}

int query_job_put(struct tables *t, struct str project, const struct tables_job *job,
                  struct error *e)
{
    struct job_work work = { .job = job };
    struct project *p = project_enter(embedded_of(t), project, true, e);

    if (!p)
        return -1;
    int rc = project_change(p, put, &work, e);
    project_leave(p);
    return rc;
}

static void read_job(const struct bq_cell *cell, struct tables_job *out)
{
    *out = (struct tables_job){ .id = cell[0].text,
                                .parent = cell[1].text,
                                .state = cell[2].text,
                                .json = cell[3].text,
                                .created_ms = cell_number(cell[4]) };
}

int query_job_get(struct tables *t, struct str project, struct str id, struct arena *a,
                  struct tables_job *out, struct error *e)
{
    struct project *p = project_enter(embedded_of(t), project, false, e);
    struct grid found;

    if (!p)
        return e->code == ERROR_NOT_FOUND ? job_not_found(e, project, id) : -1;
    lock(&p->lock);
    sql_start(&p->meta,
              "SELECT id, parent, state, resource, created_ms FROM _tranche.job WHERE id = ");
    sql_add_text(&p->meta, id);
    int rc = sql_fetch(&p->meta, a, &found, e);
    unlock(&p->lock);
    project_leave(p);
    if (rc < 0)
        return -1;
    if (!found.rows)
        return job_not_found(e, project, id);
    read_job(found.cell, out);
    return 0;
}

static int list_jobs(struct project *p, const struct tables_jobs_page *page, struct arena *a,
                     struct tables_jobs *out, struct error *e)
{
    struct connection *c = &p->meta;
    struct grid found;

    sql_start(c, "SELECT id, parent, state, resource, created_ms FROM _tranche.job WHERE true");
    if (page->parent.len) {
        sql_addf(c, " AND parent = ");
        sql_add_text(c, page->parent);
    }
    if (page->state.len) {
        sql_addf(c, " AND state = ");
        sql_add_text(c, page->state);
    }
    if (page->before_ms) {
        sql_addf(c, " AND (created_ms, id) < (%lld, ", (long long)page->before_ms);
        sql_add_text(c, page->before_id);
        sql_addf(c, ")");
    }
    sql_addf(c, " ORDER BY created_ms DESC, id DESC LIMIT %u", page->limit + 1);
    if (sql_fetch(c, a, &found, e) < 0)
        return -1;
    out->more = found.rows > page->limit;
    out->count = out->more ? page->limit : found.rows;
    out->item = arena_array(a, out->count, sizeof *out->item);
    for (uint32_t i = 0; i < out->count; i++)
        read_job(found.cell + (size_t)i * found.columns, &out->item[i]);
    return 0;
}

int query_job_list(struct tables *t, const struct tables_jobs_page *page, struct arena *a,
                   struct tables_jobs *out, struct error *e)
{
    struct project *p;
    int rc = project_enter_if_there(embedded_of(t), page->project, &p, e);

    *out = (struct tables_jobs){ .count = 0 };
    if (rc <= 0)
        return rc;
    lock(&p->lock);
    rc = list_jobs(p, page, a, out, e);
    unlock(&p->lock);
    project_leave(p);
    return rc;
}

static int drop(struct project *p, void *arg, struct error *e)
{
    return job_drop(p, ((struct job_work *)arg)->id, e);
}

int query_job_delete(struct tables *t, struct str project, struct str id, struct error *e)
{
    struct job_work work = { .id = id };
    struct arena a = { 0 };
    struct tables_job job;
    int rc = query_job_get(t, project, id, &a, &job, e);

    arena_release(&a);
    if (rc < 0)
        return -1;
    struct project *p = project_enter(embedded_of(t), project, false, e);
    if (!p)
        return -1;
    rc = project_change(p, drop, &work, e);
    project_leave(p);
    return rc;
}

/* ---- Sessions ---- */

static int session_put(struct project *p, void *arg, struct error *e)
{
    const struct job_work *work = arg;

    sql_start(&p->meta, "INSERT INTO _tranche.session VALUES (");
    sql_add_text(&p->meta, work->id);
    sql_addf(&p->meta, ", %lld)", (long long)project_now_ms(p));
    return sql_run(&p->meta, e) < 0 ? -1 : 0;
}

int session_create(struct tables *t, struct str project, struct arena *a, struct str *id,
                   struct error *e)
{
    char letters[SESSION_LETTERS + 1];
    struct job_work work;

    if (random_text(letters, SESSION_LETTERS, ALPHABET_36, e) < 0)
        return -1;
    struct project *p = project_enter(embedded_of(t), project, true, e);
    if (!p)
        return -1;
    work.id = *id = (struct str){ arena_copy(a, letters, SESSION_LETTERS), SESSION_LETTERS };
    int rc = project_change(p, session_put, &work, e);
    project_leave(p);
    return rc;
}

int temporary_put(struct project *p, struct str session, struct str name, struct str relation,
                  struct error *e)
{
    struct connection *c = &p->meta;

    sql_start(c, "DELETE FROM _tranche.temporary WHERE session = ");
    sql_add_text(c, session);
    sql_addf(c, " AND name = ");
    sql_add_text(c, name);
    if (sql_run(c, e) < 0)
        return -1;
    sql_start(c, "INSERT INTO _tranche.temporary VALUES (");
    sql_add_text(c, session);
    sql_addf(c, ", ");
    sql_add_text(c, name);
    sql_addf(c, ", ");
    sql_add_text(c, relation);
    sql_addf(c, ")");
    return sql_run(c, e) < 0 ? -1 : 0;
}

/* The temporary tables of a session, then the session. */
static int session_drop(struct project *p, void *arg, struct error *e)
{
    struct str id = ((struct job_work *)arg)->id;
    struct connection *c = &p->meta;
    struct arena a = { 0 };
    struct grid found;
    int rc;

    sql_start(c, "SELECT relation FROM _tranche.temporary WHERE session = ");
    sql_add_text(c, id);
    rc = sql_fetch(c, &a, &found, e);
    for (uint32_t i = 0; rc == 0 && i < found.rows; i++) {
        struct tables_name name = { str_of(p->name), p->results, found.cell[i].text };
        struct table_row row;
        rc = catalog_find_table(p, &name, &a, &row, e);
        if (rc > 0)
            rc = catalog_drop_table(p, &row, e);
    }
    for (int i = 0; i < 2 && rc == 0; i++) {
        sql_start(c,
                  "DELETE FROM _tranche.%s = ", i ? "session WHERE id" : "temporary WHERE session");
        sql_add_text(c, id);
        rc = sql_run(c, e) < 0 ? -1 : 0;
    }
    arena_release(&a);
    return rc;
}

int session_end(struct tables *t, struct str project, struct str id, struct error *e)
{
    struct job_work work = { .id = id };
    struct project *p;
    int rc = project_enter_if_there(embedded_of(t), project, &p, e);

    if (rc <= 0)
        return rc;
    rc = project_change(p, session_drop, &work, e);
    project_leave(p);
    return rc;
}

/* ---- What is over ---- */

static int drop_expired_tables(struct project *p, void *arg, struct error *e)
{
    struct connection *c = &p->meta;
    struct arena a = { 0 };
    struct grid found;
    int rc;

    (void)arg;
    sql_start(c,
              "SELECT r.dataset, r.name, r.physical, r.kind, coalesce(d.physical, r.dataset) FROM"
              " _tranche.relation r LEFT JOIN _tranche.dataset d ON d.name = r.dataset WHERE"
              " r.expires_ms > 0 AND r.expires_ms <= %lld",
              (long long)project_now_ms(p));
    rc = sql_fetch(c, &a, &found, e);
    for (uint32_t i = 0; rc == 0 && i < found.rows; i++) {
        const struct bq_cell *cell = found.cell + (size_t)i * found.columns;
        struct table_row row = {
            .t = { .name = { str_of(p->name), cell[0].text, cell[1].text },
                   .kind = catalog_kind(cell[3]) },
            .physical = cell[2].text,
            .dataset_physical = cell[4].text,
        };
        rc = catalog_drop_table(p, &row, e);
    }
    arena_release(&a);
    return rc;
}

static int drop_old_records(struct project *p, void *arg, struct error *e)
{
    static const struct {
        const char *from;
        int64_t hours;
    } rules[] = {
        { "done WHERE at_ms", DONE_HOURS },
        { "job WHERE created_ms", JOB_HOURS },
        { "session WHERE used_ms", SESSION_HOURS },
    };

    (void)arg;
    for (size_t i = 0; i < ARRAY_LEN(rules); i++) {
        sql_start(&p->meta, "DELETE FROM _tranche.%s < %lld", rules[i].from,
                  (long long)(project_now_ms(p) - rules[i].hours * HOUR_MS));
        if (sql_run(&p->meta, e) < 0)
            return -1;
    }
    return sql_run_c(&p->meta,
                     "DELETE FROM _tranche.temporary t WHERE NOT EXISTS (SELECT 1 FROM"
                     " _tranche.relation r WHERE r.name = t.relation)",
                     e);
}

static int drop_old_writers(struct project *p, struct error *e)
{
    struct connection *c = &p->meta;
    struct arena a = { 0 };
    struct grid found;

    lock(&p->lock);
    sql_start(
        c,
        "SELECT d.physical, w.physical FROM _tranche.writer w JOIN _tranche.dataset d ON d.name ="
        " w.dataset WHERE w.at_ms < %lld",
        (long long)(project_now_ms(p) - WRITER_HOURS * HOUR_MS));
    int rc = sql_fetch(c, &a, &found, e);
    unlock(&p->lock);
    for (uint32_t i = 0; rc == 0 && i < found.rows; i++)
        hidden_drop(p, found.cell[(size_t)2 * i].text, found.cell[(size_t)2 * i + 1].text);
    arena_release(&a);
    return rc;
}

static int sweep(struct project *p, struct error *e)
{
    if (project_change(p, drop_expired_tables, NULL, e) < 0 ||
        project_change(p, drop_old_records, NULL, e) < 0)
        return -1;
    return drop_old_writers(p, e);
}

/* Projects that are not open are opened for it: their tables expire too. */
int tables_sweep(struct tables *t, struct error *e)
{
    struct embedded *all = embedded_of(t);
    DIR *dir = opendir(all->dir);
    struct dirent *entry;
    int rc = 0;

    while (dir && rc == 0 && (entry = readdir(dir))) { // NOLINT(concurrency-mt-unsafe): our own DIR
        struct str name = str_of(entry->d_name);
        if (!str_ends(name, STR(".duckdb")))
            continue;
        struct project *p =
            project_enter(all, str_sub(name, 0, name.len - (sizeof ".duckdb" - 1)), false, e);
        rc = p ? sweep(p, e) : -1;
        project_leave(p);
    }
    if (dir)
        (void)closedir(dir);
    projects_close(all, false);
    return rc;
}
