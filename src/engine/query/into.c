/* into.c -- what configurations of several kinds of jobs have in common: tables, dispositions, options. */
#include <inttypes.h>
#include <string.h>

#include "engine/query/run.h"

struct str run_keep(struct query_run *r, struct buf *text)
{
    struct str kept = { arena_copy(r->arena, text->p ? text->p : "", text->len), text->len };

    buf_release(text);
    return kept;
}

struct str run_key(struct query_run *r)
{
    return str_of(arena_textf(r->arena, "job:%.*s", STR_ARG(str_cut(r->job->id, 200))));
}

int run_name(struct query_run *r, yyjson_val *reference, struct tables_name *out, struct error *e)
{
    struct bq_table_ref ref;

    if (bq_table_ref_read(reference, r->job->project, &ref, e) < 0)
        return -1;
    *out = (struct tables_name){ ref.project, ref.dataset, ref.table };
    if (memchr(ref.table.p, '$', ref.table.len))
        return error_set(e, ERROR_UNIMPLEMENTED,
                         "Partition decorators are not supported: %.*s. Name the table alone.",
                         STR_ARG(str_cut(ref.table, 128)));
    if (!r->job->scoped || str_eq(ref.project, r->job->project))
        return 0;
    return error_set(e, ERROR_PERMISSION_DENIED,
                     "Access Denied: Table %s: Permission bigquery.tables.get denied on table %s "
                     "(or it may not exist).",
                     tables_text(r->arena, out), tables_text(r->arena, out));
}

static int disposition_read(struct query_run *r, struct tables_into *out, struct error *e)
{
    static const char *const writes[] = {
        [TABLES_WRITE_APPEND] = "WRITE_APPEND",
        [TABLES_WRITE_EMPTY] = "WRITE_EMPTY",
        [TABLES_WRITE_TRUNCATE] = "WRITE_TRUNCATE",
    };
    struct str write = json_str(json_get(r->conf.body, "writeDisposition"));
    struct str create = json_str(json_get(r->conf.body, "createDisposition"));
    bool known = write.len == 0;

    if (str_eq(write, STR("WRITE_TRUNCATE_DATA")))
        write = STR("WRITE_TRUNCATE");
    for (size_t i = 0; i < ARRAY_LEN(writes); i++) {
        if (str_eq_c(write, writes[i])) {
            out->write = (enum tables_disposition)i;
            known = true;
        }
    }
    if (!known)
        return error_set(e, ERROR_INVALID_ARGUMENT, "Invalid value for writeDisposition: %.*s",
                         STR_ARG(str_cut(write, 64)));
    out->create =
        str_eq(create, STR("CREATE_NEVER")) ? TABLES_CREATE_NEVER : TABLES_CREATE_IF_NEEDED;
    if (create.len == 0 || out->create == TABLES_CREATE_NEVER ||
        str_eq(create, STR("CREATE_IF_NEEDED")))
        return 0;
    return error_set(e, ERROR_INVALID_ARGUMENT, "Invalid value for createDisposition: %.*s",
                     STR_ARG(str_cut(create, 64)));
}

static int updates_read(struct query_run *r, struct tables_into *out, struct error *e)
{
    yyjson_arr_iter it = yyjson_arr_iter_with(json_get(r->conf.body, "schemaUpdateOptions"));
    yyjson_val *one;

    while ((one = yyjson_arr_iter_next(&it))) {
        struct str option = json_str(one);
        if (str_eq(option, STR("ALLOW_FIELD_ADDITION")))
            out->add_fields = true;
        else if (str_eq(option, STR("ALLOW_FIELD_RELAXATION")))
            out->relax_fields = true;
        else
            return error_set(e, ERROR_INVALID_ARGUMENT,
                             "Invalid value for schemaUpdateOptions: %.*s",
                             STR_ARG(str_cut(option, 64)));
    }
    if ((out->add_fields || out->relax_fields) && out->write != TABLES_WRITE_APPEND)
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "Schema update options should only be specified with WRITE_APPEND "
                         "disposition, or with WRITE_TRUNCATE disposition on a table partition.");
    return 0;
}

static struct str options_read(struct query_run *r)
{
    static const char *const members[] = { "timePartitioning", "rangePartitioning", "clustering",
                                           "destinationEncryptionConfiguration" };
    struct buf text = BUF_INIT(SIZE_MAX);
    struct json_writer w = JSON_WRITER(&text);
    yyjson_val *table = json_get(r->conf.body, "destinationTableProperties");
    yyjson_obj_iter it = yyjson_obj_iter_with(table);
    yyjson_val *k;

    json_object(&w, NULL);
    for (size_t i = 0; i < ARRAY_LEN(members); i++) {
        yyjson_val *v = json_get(r->conf.body, members[i]);
        if (v && !yyjson_is_null(v))
            json_add_value(&w, i == 3 ? "encryptionConfiguration" : members[i], v);
    }
    while ((k = yyjson_obj_iter_next(&it))) {
        if (str_eq(json_str(k), STR("expirationTime")))
            continue;
        json_key(&w, json_str(k));
        json_add_value(&w, NULL, yyjson_obj_iter_get_val(k));
    }
    json_end(&w);
    if (text.len <= 2)
        buf_clear(&text);
    return run_keep(r, &text);
}

int run_into(struct query_run *r, enum tables_disposition deflt, struct tables_into *out,
             struct error *e)
{
    yyjson_val *to = json_get(r->conf.body, "destinationTable");
    yyjson_val *properties = json_get(r->conf.body, "destinationTableProperties");
    uint64_t expires = 0;

    *out = (struct tables_into){ .write = deflt };
    if (to && !yyjson_is_null(to) && run_name(r, to, &out->name, e) < 0)
        return -1;
    if (!out->name.table.len && r->conf.kind != BQ_JOB_QUERY)
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "Required parameter is missing: destinationTable");
    if (disposition_read(r, out, e) < 0 || updates_read(r, out, e) < 0)
        return -1;
    out->options = options_read(r);
    if (json_count(json_get(properties, "expirationTime"), &expires) && expires <= INT64_MAX)
        out->expires_ms = (int64_t)expires;
    return 0;
}

/* ---- The configuration as a resource shows it ---- */

static void add_default(struct json_writer *w, yyjson_val *body, const char *key, const char *value)
{
    if (!json_get(body, key))
        json_add_c(w, key, value);
}

static void write_body(struct json_writer *w, const struct bq_configuration *c,
                       const struct bq_table_ref *destination)
{
    yyjson_obj_iter it = yyjson_obj_iter_with(c->body);
    yyjson_val *k;
    bool named = destination->table.len > 0;

    json_object(w, bq_job_kind_name(c->kind));
    while ((k = yyjson_obj_iter_next(&it))) {
        bool is_destination = str_eq(json_str(k), STR("destinationTable"));
        if (yyjson_is_null(yyjson_obj_iter_get_val(k)) || (is_destination && named))
            continue;
        json_key(w, json_str(k));
        json_add_value(w, NULL, yyjson_obj_iter_get_val(k));
    }
    if (named)
        bq_table_ref_write(w, "destinationTable", destination);
    if (c->kind == BQ_JOB_QUERY) {
        add_default(w, c->body, "createDisposition", "CREATE_IF_NEEDED");
        add_default(w, c->body, "writeDisposition",
                    json_get(c->body, "destinationTable") ? "WRITE_EMPTY" : "WRITE_TRUNCATE");
        add_default(w, c->body, "priority", "INTERACTIVE");
        if (!json_get(c->body, "useLegacySql"))
            json_add_bool(w, "useLegacySql", false);
    }
    json_end(w);
}

struct str run_configuration(struct arena *a, const struct bq_configuration *c,
                             const struct bq_table_ref *destination)
{
    static const char *const types[BQ_JOB_KINDS] = {
        [BQ_JOB_QUERY] = "QUERY",
        [BQ_JOB_LOAD] = "LOAD",
        [BQ_JOB_COPY] = "COPY",
        [BQ_JOB_EXTRACT] = "EXTRACT",
    };
    struct buf text = BUF_INIT(SIZE_MAX);
    struct json_writer w = JSON_WRITER(&text);
    yyjson_obj_iter it = yyjson_obj_iter_with(c->all);
    yyjson_val *k;

    json_object(&w, NULL);
    json_add_c(&w, "jobType", types[c->kind]);
    write_body(&w, c, destination);
    while ((k = yyjson_obj_iter_next(&it))) {
        struct str name = json_str(k);
        if (str_eq(name, STR("jobType")) || str_eq_c(name, bq_job_kind_name(c->kind)) ||
            yyjson_is_null(yyjson_obj_iter_get_val(k)))
            continue;
        json_key(&w, name);
        json_add_value(&w, NULL, yyjson_obj_iter_get_val(k));
    }
    json_end(&w);
    struct str kept = { arena_copy(a, text.p, text.len), text.len };
    buf_release(&text);
    return kept;
}
