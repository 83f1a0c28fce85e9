/* run_files.c -- load and extract jobs: files that a client sent, and objects of our own store.
 *
 * Why: gs:// names objects of this service. A load reads their blobs where they are; an extract makes a file in the
 * state folder that becomes a blob without being copied.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <unistd.h>

#include "base/random.h"
#include "base/sys.h"
#include "engine/query/run.h"
#include "format/gs.h"
#include "store/objects/objects.h"

#define SOURCES_MAX 10000 /* files of one load */
#define OBJECTS_PAGE 1000
#define COPY_BYTES ((size_t)1024 * 1024)
#define SHARD "000000000000" /* what a "*" of an extract's URI becomes */

static const char *scope_of(struct query_run *r)
{
    return r->job->scoped ? arena_textf(r->arena, "%.*s", STR_ARG(r->job->project)) : NULL;
}

/* ---- Loads ---- */

struct sources {
    const char **path;
    uint32_t count;
    uint64_t bytes;
};

static int source_add(struct query_run *r, struct sources *s, const struct blob *b, struct error *e)
{
    if (s->count == SOURCES_MAX)
        return error_set(e, ERROR_INVALID_ARGUMENT, "The load has more than %d files.",
                         SOURCES_MAX);
    s->path = arena_list_grow(r->arena, s->path, s->count, sizeof *s->path);
    s->path[s->count++] = blob_path(r->store, r->arena, b->id);
    s->bytes += b->bytes;
    return 0;
}

static int not_found(struct str uri, struct error *e)
{
    return error_set(e, ERROR_NOT_FOUND, "Not found: URI %.*s", STR_ARG(str_cut(uri, 256)));
}

/* All objects whose name matches; "*" stands for any run of characters. */
static int sources_match(struct query_run *r, struct sources *s, struct str bucket,
                         struct str pattern, struct error *e)
{
    const char *text = arena_textf(r->arena, "%.*s", STR_ARG(pattern));
    struct object_query q = {
        .project = scope_of(r),
        .bucket = bucket,
        .prefix = str_sub(pattern, 0, str_find(pattern, STR("*"))),
        .most = OBJECTS_PAGE,
    };
    struct object_list list;

    do {
        if (object_query(r->store, r->arena, &q, &list, e) < 0)
            return -1;
        for (uint32_t i = 0; i < list.count; i++) {
            struct str name = list.item[i].name;
            if (str_glob(text, arena_textf(r->arena, "%.*s", STR_ARG(name))) &&
                source_add(r, s, &list.item[i].blob, e) < 0)
                return -1;
        }
        q.after = list.last;
    } while (list.last.len > 0);
    return 0;
}

static int sources_of_uri(struct query_run *r, struct sources *s, struct str uri, struct error *e)
{
    struct str bucket, name;
    struct object o;
    uint32_t before = s->count;
    struct error why = { 0 };

    if (!gs_split(uri, &bucket, &name))
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "\"%.*s\" is not a gs:// URI of an object; loads take no others.",
                         STR_ARG(str_cut(uri, 256)));
    if (str_find(name, STR("*")) != SIZE_MAX) {
        if (sources_match(r, s, bucket, name, &why) < 0 && why.code != ERROR_NOT_FOUND) {
            *e = why;
            return -1;
        }
        return s->count > before ? 0 : not_found(uri, e);
    }
    const struct object_ref ref = { .project = scope_of(r), .bucket = bucket, .name = name };
    if (object_get(r->store, r->arena, &ref, &o, &why) == 0)
        return source_add(r, s, &o.blob, e);
    if (why.code == ERROR_NOT_FOUND)
        return not_found(uri, e);
    *e = why;
    return -1;
}

static int sources_read(struct query_run *r, struct sources *s, struct error *e)
{
    yyjson_arr_iter it = yyjson_arr_iter_with(json_get(r->conf.body, "sourceUris"));
    yyjson_val *one;

    if (r->job->blob) {
        const struct blob b = { .id = r->job->blob };
        return source_add(r, s, &b, e);
    }
    while ((one = yyjson_arr_iter_next(&it)))
        if (sources_of_uri(r, s, json_str(one), e) < 0)
            return -1;
    if (s->count > 0)
        return 0;
    return error_set(e, ERROR_INVALID_ARGUMENT,
                     "Required parameter is missing: sourceUris, or an upload with the file");
}

static int format_read(struct str name, enum tables_format *out, struct error *e)
{
    static const struct {
        const char *name;
        enum tables_format format;
    } formats[] = {
        { "", TABLES_CSV },
        { "CSV", TABLES_CSV },
        { "NEWLINE_DELIMITED_JSON", TABLES_NDJSON },
        { "PARQUET", TABLES_PARQUET },
    };

    for (size_t i = 0; i < ARRAY_LEN(formats); i++) {
        *out = formats[i].format;
        if (str_eq_c(name, formats[i].name))
            return 0;
    }
    return error_set(e, ERROR_INVALID_ARGUMENT,
                     "The format %.*s is not supported; CSV, NEWLINE_DELIMITED_JSON and PARQUET "
                     "are.",
                     STR_ARG(str_cut(name, 64)));
}

int run_check_format(const struct bq_configuration *c, struct error *e)
{
    enum tables_format ignored;
    const char *member = c->kind == BQ_JOB_LOAD      ? "sourceFormat"
                         : c->kind == BQ_JOB_EXTRACT ? "destinationFormat"
                                                     : NULL;

    return member ? format_read(json_str(json_get(c->body, member)), &ignored, e) : 0;
}

static bool flag(yyjson_val *body, const char *key)
{
    return yyjson_get_bool(json_get(body, key));
}

/* Options that would change what is read, and that we do not have. */
static int refuse_unknown(yyjson_val *body, struct error *e)
{
    static const char *const refused[] = { "hivePartitioningOptions",
                                           "jsonExtension",
                                           "referenceFileSchemaUri",
                                           "columnNameCharacterMap",
                                           "dateFormat",
                                           "datetimeFormat",
                                           "timeFormat",
                                           "timestampFormat",
                                           "timeZone" };

    for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
        yyjson_val *v = json_get(body, refused[i]);
        if (v && !yyjson_is_null(v))
            return error_set(e, ERROR_INVALID_ARGUMENT, "Loads do not support %s.", refused[i]);
    }
    return 0;
}

static int64_t number_of(yyjson_val *body, const char *key, int64_t deflt)
{
    uint64_t n;

    return json_count(json_get(body, key), &n) && n <= INT64_MAX ? (int64_t)n : deflt;
}

static int load_read(struct query_run *r, struct tables_load *l, struct error *e)
{
    yyjson_val *body = r->conf.body, *quote = json_get(body, "quote");

    *l = (struct tables_load){
        .autodetect = flag(body, "autodetect"),
        .skip_rows = number_of(body, "skipLeadingRows", -1),
        .delimiter = json_str(json_get(body, "fieldDelimiter")),
        .quote = json_str(quote),
        .quote_none = yyjson_is_str(quote) && yyjson_get_len(quote) == 0,
        .quoted_newlines = flag(body, "allowQuotedNewlines"),
        .jagged_rows = flag(body, "allowJaggedRows"),
        .ignore_unknown = flag(body, "ignoreUnknownValues"),
        .null_marker = json_str(json_get(body, "nullMarker")),
        .encoding = json_str(json_get(body, "encoding")),
        .bad_rows_max = number_of(body, "maxBadRecords", 0),
        .key = run_key(r),
        .cancel = r->cancel,
    };
    if (str_eq(l->delimiter, STR("\\t")) || str_eq(l->delimiter, STR("tab")))
        l->delimiter = STR("\t");
    if (refuse_unknown(body, e) < 0 ||
        format_read(json_str(json_get(body, "sourceFormat")), &l->format, e) < 0 ||
        run_into(r, TABLES_WRITE_APPEND, &l->into, e) < 0 ||
        bq_schema_read(json_get(body, "schema"), r->arena, &l->schema, e) < 0)
        return -1;
    return l->schema.count ? bq_check_columns(body, &l->schema, e) : 0;
}

static void take_load(struct query_run *r, const struct sources *s, const struct tables_loaded *l)
{
    struct buf text = BUF_INIT(SIZE_MAX);
    struct json_writer w = JSON_WRITER(&text);
    struct bq_job *j = r->job;

    json_object(&w, NULL);
    json_addf(&w, "inputFiles", "%u", s->count);
    json_addf(&w, "inputFileBytes", "%" PRId64, l->input_bytes);
    json_addf(&w, "outputRows", "%" PRId64, l->outcome.rows);
    json_addf(&w, "outputBytes", "%" PRId64, l->outcome.bytes);
    json_addf(&w, "badRecords", "%" PRId64, l->bad_rows);
    json_end(&w);
    j->statistics = run_keep(r, &text);
}

/* Bad rows: of a load that went on they are warnings, of one that failed what is behind its error. */
static void take_bad_rows(struct query_run *r, const struct tables_loaded *l)
{
    struct bq_job *j = r->job;

    for (uint32_t i = 0; i < l->error_count && j->fault_count + 1 < BQ_FAULTS_MAX; i++)
        j->fault[j->fault_count++] =
            (struct bq_fault){ .reason = STR("invalid"), .message = l->error[i] };
}

int run_load(struct query_run *r, struct error *e)
{
    struct tables_load l;
    struct tables_loaded done = { 0 };
    struct sources s = { 0 };

    if (load_read(r, &l, e) < 0 || sources_read(r, &s, e) < 0)
        return -1;
    l.path = s.path;
    l.path_count = s.count;
    int rc = r->tables->ops->load(r->tables, &l, r->arena, &done, e);
    take_bad_rows(r, &done);
    if (rc < 0)
        return -1;
    take_load(r, &s, &done);
    return 0;
}

/* ---- Copies ---- */

int run_copy(struct query_run *r, struct error *e)
{
    yyjson_val *list = json_get(r->conf.body, "sourceTables");
    yyjson_val *single = json_get(r->conf.body, "sourceTable");
    struct str type = json_str(json_get(r->conf.body, "operationType"));
    size_t n = list ? yyjson_arr_size(list) : 1;
    struct tables_name *from = n ? arena_array(r->arena, n, sizeof *from) : NULL;
    struct tables_copy c = { .from = from, .key = run_key(r), .cancel = r->cancel };
    struct tables_outcome done;
    struct buf text = BUF_INIT(SIZE_MAX);
    struct json_writer w = JSON_WRITER(&text);

    if (type.len && !str_eq(type, STR("COPY")) && !str_eq(type, STR("CLONE")))
        return error_set(e, ERROR_INVALID_ARGUMENT, "A copy's operationType %.*s is not supported.",
                         STR_ARG(str_cut(type, 64)));
    if (run_into(r, TABLES_WRITE_EMPTY, &c.into, e) < 0)
        return -1;
    for (; c.from_count < n; c.from_count++)
        if (run_name(r, list ? yyjson_arr_get(list, c.from_count) : single, &from[c.from_count],
                     e) < 0)
            return -1;
    if (r->tables->ops->copy(r->tables, &c, &done, e) < 0)
        return -1;
    json_object(&w, NULL);
    json_addf(&w, "copiedRows", "%" PRId64, done.rows);
    json_addf(&w, "copiedLogicalBytes", "%" PRId64, done.bytes);
    json_end(&w);
    r->job->statistics = run_keep(r, &text);
    return 0;
}

/* ---- Extracts ---- */

/* The object's bytes pass through the hashes that a blob must have. */
static int adopt(struct query_run *r, const char *path, struct blob *out, struct error *e)
{
    struct blob_hasher *h = blob_hasher_new(e);
    char *piece = mem_alloc(COPY_BYTES);
    int fd = h ? sys_open(path, O_RDONLY, e) : -1;
    int64_t n = fd < 0 ? -1 : 1;

    for (uint64_t at = 0; n > 0; at += (uint64_t)n) {
        n = sys_read_at(fd, piece, COPY_BYTES, at, path, e);
        blob_hasher_add(h, piece, n > 0 ? (size_t)n : 0);
    }
    int rc = n < 0 ? -1 : blob_adopt(r->store, path, h, out, e);
    if (fd >= 0)
        (void)close(fd);
    mem_free(piece);
    blob_hasher_free(h);
    return rc;
}

static const char *type_of(const struct tables_extract *x)
{
    static const char *const types[] = {
        [TABLES_CSV] = "text/csv",
        [TABLES_NDJSON] = "application/json",
        [TABLES_PARQUET] = "application/octet-stream",
    };

    return x->packing == PACKING_GZIP ? "application/gzip" : types[x->format];
}

static int extract_read(struct query_run *r, struct tables_extract *x, struct error *e)
{
    yyjson_val *body = r->conf.body, *header = json_get(body, "printHeader");
    struct str compression = json_str(json_get(body, "compression"));

    *x = (struct tables_extract){
        .delimiter = json_str(json_get(body, "fieldDelimiter")),
        .no_header = header && yyjson_is_false(header),
        .packing = str_eq(compression, STR("GZIP")) ? PACKING_GZIP : PACKING_NONE,
        .cancel = r->cancel,
    };
    if (json_get(body, "sourceModel"))
        return error_set(e, ERROR_UNIMPLEMENTED, "Models cannot be extracted.");
    if (str_eq(x->delimiter, STR("\\t")) || str_eq(x->delimiter, STR("tab")))
        x->delimiter = STR("\t");
    if (run_name(r, json_get(body, "sourceTable"), &x->name, e) < 0 ||
        format_read(json_str(json_get(body, "destinationFormat")), &x->format, e) < 0)
        return -1;
    if (x->format != TABLES_PARQUET && compression.len && x->packing == PACKING_NONE &&
        !str_eq(compression, STR("NONE")))
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "The compression %.*s is not supported for this format.",
                         STR_ARG(str_cut(compression, 64)));
    if (x->format == TABLES_PARQUET)
        x->packing = PACKING_NONE;
    return 0;
}

/* The object's name, with the number of the one shard for a "*". */
static int destination_read(struct query_run *r, struct str uri, struct object_new *o,
                            struct error *e)
{
    if (!gs_split(uri, &o->bucket, &o->name))
        return error_set(e, ERROR_INVALID_ARGUMENT, "\"%.*s\" is not a gs:// URI of an object.",
                         STR_ARG(str_cut(uri, 256)));
    size_t star = str_find(o->name, STR("*"));
    if (star != SIZE_MAX)
        o->name =
            str_of(arena_textf(r->arena, "%.*s" SHARD "%.*s", STR_ARG(str_sub(o->name, 0, star)),
                               STR_ARG(str_sub(o->name, star + 1, o->name.len))));
    o->project = scope_of(r);
    return 0;
}

static int extract_to(struct query_run *r, struct tables_extract *x, struct str uri,
                      struct tables_outcome *done, struct error *e)
{
    struct object_new o = { .when = OBJECT_ANY, .content_type = str_of(type_of(x)) };
    struct bucket bucket;
    char id[17];

    if (destination_read(r, uri, &o, e) < 0 ||
        bucket_get(r->store, r->arena, o.project, o.bucket, &bucket, e) < 0 ||
        random_hex(id, 8, e) < 0)
        return -1;
    x->path = arena_textf(r->arena, "%s/uploads/extract-%s", store_dir(r->store), id);
    int rc = r->tables->ops->extract(r->tables, x, done, e);
    if (rc == 0)
        rc = adopt(r, x->path, &o.blob, e);
    if (rc < 0)
        (void)unlink(x->path);
    else
        rc = object_put(r->store, r->arena, &o, NULL, e);
    return rc;
}

int run_extract(struct query_run *r, struct error *e)
{
    yyjson_val *list = json_get(r->conf.body, "destinationUris");
    struct str uri = json_str(json_get(r->conf.body, "destinationUri"));
    struct tables_extract x;
    struct tables_outcome done;
    struct buf text = BUF_INIT(SIZE_MAX);
    struct json_writer w = JSON_WRITER(&text);

    if (yyjson_arr_size(list) > 1)
        return error_set(e, ERROR_INVALID_ARGUMENT, "An extract takes one destination URI.");
    if (list)
        uri = json_str(yyjson_arr_get_first(list));
    if (extract_read(r, &x, e) < 0 || extract_to(r, &x, uri, &done, e) < 0)
        return -1;
    json_object(&w, NULL);
    json_array(&w, "destinationUriFileCounts");
    json_add_c(&w, NULL, "1");
    json_end(&w);
    json_addf(&w, "inputBytes", "%" PRId64, done.bytes);
    json_end(&w);
    r->job->statistics = run_keep(r, &text);
    return 0;
}
