#include "app/table/stored.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "app/cli/table.h"
#include "app/serve/serve.h"
#include "base/env.h"
#include "base/json_write.h"
#include "base/sys.h"
#include "base/unpack.h"
#include "store/tables/table_files.h"

#define PROJECT_DEFAULT "local"
#define ENDING ".duckdb"
#define URL_BYTES_MAX ((size_t)4096)
#define SQL_ROWS_MAX 100000 /* that `sql` prints */

/* Without --project it is the only one that has tables; a first one is called PROJECT_DEFAULT. */
static int find_project(struct stored *s, const char *dir, struct error *e)
{
    DIR *folder = opendir(dir);
    struct dirent *entry;
    uint32_t count = 0;

    s->project = s->options->project ? str_of(s->options->project) : STR(PROJECT_DEFAULT);
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): no other thread has this stream */
    while (folder && !s->options->project && (entry = readdir(folder))) {
        struct str name = str_of(entry->d_name);
        if (!str_ends(name, STR(ENDING)))
            continue;
        name.len -= sizeof ENDING - 1;
        s->project = (struct str){ arena_copy(s->arena, name.p, name.len), name.len };
        count++;
    }
    if (folder)
        (void)closedir(folder);
    return count > 1
               ? error_set(e, ERROR_INVALID_ARGUMENT,
                           "%u projects have tables in %s: say which with --project.", count, dir)
               : 0;
}

/* The tables of the service that has the folder, by its BigQuery API. */
static int open_served(struct stored *s, const char *dir, struct error *e)
{
    const char *path = arena_textf(s->arena, "%s/" SERVE_URL_FILE, dir);
    const char *token = env_get("TRANCHE_TOKEN"), *key = env_get("TRANCHE_API_KEY");
    struct tables_bigquery far = { .ca_file = env_get("TRANCHE_CA_FILE"), .retry_ms = 1 };
    struct buf url = BUF_INIT(URL_BYTES_MAX);
    int rc = sys_read_file(path, URL_BYTES_MAX, &url, e);

    if (rc == 0) {
        far.endpoint = arena_copy(s->arena, url.p, url.len);
        far.dir = arena_textf(s->arena, "%s/tables.%ld", dir, (long)getpid());
        far.credential.secret = token ? token : key;
        s->scratch = far.dir;
        s->tables = tables_bigquery_open(&far, clock_system(), e);
        rc = s->tables ? 0 : -1;
    }
    buf_release(&url);
    return rc < 0 ? error_wrap(e, "a service runs on %s", dir) : 0;
}

int stored_open(struct stored *s, struct error *e)
{
    const char *dir = serve_dir(s->arena, s->options->state, e);
    const char *tables = dir ? arena_textf(s->arena, "%s/tables", dir) : NULL;
    const char *lock = dir ? arena_textf(s->arena, "%s/lock", dir) : NULL;

    s->lock = -1;
    if (!dir)
        return -1;
    /* Held, so that no service begins meanwhile; without the file none has ever run. */
    if (access(lock, F_OK) == 0 && (s->lock = sys_open_locked(lock, e)) < 0) {
        if (e->code != ERROR_ABORTED || open_served(s, dir, e) < 0)
            return -1;
    } else {
        s->tables = tables_duckdb_open(tables, NULL, clock_system());
    }
    return find_project(s, tables, e);
}

void stored_close(struct stored *s)
{
    struct error ignored;

    if (s->tables)
        s->tables->ops->close(s->tables);
    if (s->scratch)
        (void)!sys_remove_all(s->scratch, &ignored);
    if (s->lock >= 0)
        (void)close(s->lock);
}

/* Another process than the service may have the file. */
static int explain(struct error *e)
{
    if (e->code == ERROR_FAILED_PRECONDITION)
        return error_set(e, ERROR_FAILED_PRECONDITION,
                         "Another program has these tables open. Close it first.");
    return -1;
}

bool stored_is(const char *name)
{
    static const char *const files[] = {
        ".duckdb", ".db", ".xlsx", ".xls", ".ods", ".json", ".txt"
    };
    struct str s = str_of(name);
    struct tables_name found;

    for (size_t i = 0; i < ARRAY_LEN(files); i++)
        if (str_ends(s, str_of(files[i])))
            return false;
    return !table_file_is_readable(s) && !strchr(name, '/') && tables_name_read(s, &found) &&
           found.dataset.len > 0;
}

static int name_of(const struct stored *s, const char *text, struct tables_name *out,
                   struct error *e)
{
    if (!tables_name_read(str_of(text), out) || !out->dataset.len)
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "%s is not a table of the service: write DATASET.TABLE.", text);
    if (!out->project.len)
        out->project = s->project;
    return 0;
}

/* ---- ls, schema ---- */

static void print_pairs(struct stored *s, const char *const *head, const struct str (*pair)[2],
                        uint32_t count)
{
    struct table table;

    if (s->options->json) {
        for (uint32_t i = 0; i < count; i++) {
            struct json_writer w = JSON_WRITER(s->out);
            json_object(&w, NULL);
            json_add_text(&w, "name", pair[i][0]);
            json_add_text(&w, head[2], pair[i][1]);
            json_end(&w);
            buf_add_char(s->out, '\n');
        }
        return;
    }
    table_init(&table, head, 2);
    for (uint32_t i = 0; i < count; i++)
        table_row(&table, pair[i]);
    table_write(&table, s->out);
    table_release(&table);
}

static int list_datasets(struct stored *s, struct error *e)
{
    static const char *const head[] = { "DATASET", "PROJECT", "project" };
    const struct tables_page page = { .parent = { .project = s->project },
                                      .limit = TABLES_PAGE_MAX };
    struct tables_datasets found;

    if (s->tables->ops->dataset_list(s->tables, &page, s->arena, &found, e) < 0)
        return explain(e);
    struct str(*pair)[2] = arena_array(s->arena, found.count, sizeof *pair);
    for (uint32_t i = 0; i < found.count; i++) {
        pair[i][0] = found.item[i].name.dataset;
        pair[i][1] = page.parent.project;
    }
    print_pairs(s, head, (const struct str(*)[2])pair, found.count);
    return 0;
}

int stored_list(struct stored *s, const char *name, struct error *e)
{
    static const char *const head[] = { "TABLE", "KIND", "kind" };
    struct tables_page page = { .parent = { .project = s->project, .dataset = str_of(name) },
                                .limit = TABLES_PAGE_MAX };
    struct tables_list found;

    if (!name)
        return list_datasets(s, e);
    if (s->tables->ops->list(s->tables, &page, s->arena, &found, e) < 0)
        return explain(e);
    struct str(*pair)[2] = arena_array(s->arena, found.count, sizeof *pair);
    for (uint32_t i = 0; i < found.count; i++) {
        pair[i][0] = found.item[i].name.table;
        pair[i][1] = found.item[i].kind == TABLES_VIEW ? STR("view") : STR("table");
    }
    print_pairs(s, head, (const struct str(*)[2])pair, found.count);
    return 0;
}

int stored_schema(struct stored *s, const char *name, struct error *e)
{
    static const char *const head[] = { "COLUMN", "TYPE", "type" };
    struct buf type = BUF_INIT((size_t)1024 * 1024);
    struct tables_name table;
    struct tables_table t;

    if (name_of(s, name, &table, e) < 0)
        return -1;
    if (s->tables->ops->get(s->tables, &table, s->arena, &t, e) < 0)
        return explain(e);
    struct str(*pair)[2] = arena_array(s->arena, t.schema.count, sizeof *pair);
    for (uint32_t i = 0; i < t.schema.count; i++) {
        buf_clear(&type);
        bq_field_sql(&type, &t.schema.field[i]);
        pair[i][0] = t.schema.field[i].name;
        pair[i][1] = (struct str){ arena_copy(s->arena, type.p, type.len), type.len };
    }
    print_pairs(s, head, (const struct str(*)[2])pair, t.schema.count);
    buf_release(&type);
    return 0;
}

/* ---- Rows ---- */

static void print_json_row(struct stored *s, const struct bq_schema *schema,
                           const struct bq_cell *cell)
{
    struct json_writer w = JSON_WRITER(s->out);

    json_object(&w, NULL);
    for (uint32_t c = 0; c < schema->count; c++) {
        const struct bq_field *f = &schema->field[c];
        bq_cell_to_json(&w, arena_copy(s->arena, f->name.p, f->name.len), f, cell[c]);
    }
    json_end(&w);
    buf_add_char(s->out, '\n');
}

static struct str text_of(struct stored *s, const struct bq_field *f, struct bq_cell cell)
{
    struct buf text = BUF_INIT((size_t)64 * 1024 * 1024);

    if (cell.null)
        return STR("NULL");
    if (f->type == BQ_RECORD || f->mode == BQ_REPEATED) {
        struct json_writer w = JSON_WRITER(&text);
        bq_cell_to_json(&w, NULL, f, cell);
    } else {
        bq_cell_to_text(&text, f, cell);
    }
    struct str out = { arena_copy(s->arena, text.p, text.len), text.len };
    buf_release(&text);
    return out;
}

static void print_row(struct stored *s, struct table *table, const struct bq_schema *schema,
                      const struct bq_cell *cell)
{
    struct str text[TABLE_COLUMNS_MAX];

    if (s->options->json) {
        print_json_row(s, schema, cell);
        return;
    }
    for (uint32_t c = 0; c < table->columns; c++)
        text[c] = text_of(s, &schema->field[c], cell[c]);
    table_row(table, text);
}

static void start_table(struct stored *s, struct table *table, const struct bq_schema *schema)
{
    uint32_t shown = schema->count < TABLE_COLUMNS_MAX ? schema->count : TABLE_COLUMNS_MAX;
    const char *names[TABLE_COLUMNS_MAX];

    for (uint32_t i = 0; i < shown; i++)
        names[i] = arena_copy(s->arena, schema->field[i].name.p, schema->field[i].name.len);
    table_init(table, names, shown);
    if (shown < schema->count)
        s->note = str_of(
            arena_textf(s->arena, "%u of %u columns; --json shows all", shown, schema->count));
}

static int print_rows(struct stored *s, const struct tables_name *name, int64_t limit,
                      struct error *e)
{
    const struct tables_ops *ops = s->tables->ops;
    const struct tables_read read = { .name = *name, .limit = limit };
    struct bq_schema schema;
    struct bq_batch batch;
    struct table table;
    int rc;

    struct tables_rows *rows = ops->read(s->tables, &read, s->arena, &schema, e);
    if (!rows)
        return explain(e);
    start_table(s, &table, &schema);
    while ((rc = ops->rows_next(rows, s->arena, &batch, e)) > 0)
        for (uint32_t r = 0; r < batch.rows; r++)
            print_row(s, &table, &schema, batch.cell + (size_t)r * batch.columns);
    ops->rows_close(rows);
    if (rc == 0 && !s->options->json)
        table_write(&table, s->out);
    table_release(&table);
    return rc;
}

int stored_head(struct stored *s, const char *name, struct error *e)
{
    struct tables_name table;

    return name_of(s, name, &table, e) < 0
               ? -1
               : print_rows(s, &table, s->options->rows ? (int64_t)s->options->rows : 10, e);
}

/* ---- Files ---- */

static int format_of(const char *file, enum tables_format *out, char *delimiter, struct error *e)
{
    static const struct {
        const char *ending;
        enum tables_format format;
    } formats[] = { { ".csv", TABLES_CSV },
                    { ".tsv", TABLES_CSV },
                    { ".jsonl", TABLES_NDJSON },
                    { ".ndjson", TABLES_NDJSON },
                    { ".parquet", TABLES_PARQUET } };
    struct str name = str_of(file);

    (void)packing_of_name(name, &name);
    for (size_t i = 0; i < ARRAY_LEN(formats); i++)
        if (str_ends(name, str_of(formats[i].ending))) {
            *out = formats[i].format;
            *delimiter = i == 1 ? '\t' : ',';
            return 0;
        }
    return error_set(e, ERROR_INVALID_ARGUMENT,
                     "%s: the name ends in none of .csv, .tsv, .jsonl and .parquet.", file);
}

/* The dataset is made when it is not there. */
static int make_dataset(struct stored *s, const struct tables_name *name, struct error *e)
{
    const struct tables_dataset d = {
        .name = { name->project, name->dataset, { NULL, 0 } },
    };

    if (s->tables->ops->dataset_create(s->tables, &d, e) == 0)
        return 0;
    return e->code == ERROR_ALREADY_EXISTS ? 0 : explain(e);
}

int stored_load(struct stored *s, const char *file, const char *name, struct error *e)
{
    struct tables_load l = {
        .path = &file, .path_count = 1, .autodetect = true, .skip_rows = -1, .quoted_newlines = true
    };
    struct error made = { 0 };
    struct tables_loaded out;
    char delimiter = ',';

    if (name_of(s, name, &l.into.name, e) < 0 || format_of(file, &l.format, &delimiter, e) < 0)
        return -1;
    if (make_dataset(s, &l.into.name, &made) < 0) {
        *e = made;
        return -1;
    }
    l.delimiter = (struct str){ &delimiter, 1 };
    l.into.write = s->options->overwrite ? TABLES_WRITE_TRUNCATE : TABLES_WRITE_EMPTY;
    if (s->tables->ops->load(s->tables, &l, s->arena, &out, e) < 0)
        return e->code == ERROR_ALREADY_EXISTS
                   ? error_set(e, ERROR_ALREADY_EXISTS,
                               "%s has rows already. Choose another name, or give --overwrite.",
                               name)
                   : -1;
    s->note = str_of(arena_textf(s->arena, "%lld rows to %s", (long long)out.outcome.rows, name));
    return 0;
}

int stored_export(struct stored *s, const char *name, const char *file, struct error *e)
{
    struct tables_extract x = { .path = file, .packing = packing_of_name(str_of(file), NULL) };
    struct tables_outcome out;
    char delimiter = ',';

    if (name_of(s, name, &x.name, e) < 0 || format_of(file, &x.format, &delimiter, e) < 0)
        return -1;
    if (access(file, F_OK) == 0 && !s->options->overwrite)
        return error_set(e, ERROR_ALREADY_EXISTS,
                         "%s is there already. Choose another name, or give --overwrite.", file);
    x.delimiter = (struct str){ &delimiter, 1 };
    if (s->tables->ops->extract(s->tables, &x, &out, e) < 0) {
        if (e->code == ERROR_UNIMPLEMENTED)
            return error_set(e, ERROR_UNIMPLEMENTED,
                             "A running service has this table. Write: tranche table sql --json "
                             "'SELECT * FROM %s' > FILE.jsonl (the first %d rows)",
                             name, SQL_ROWS_MAX);
        return explain(e);
    }
    s->note = str_of(arena_textf(s->arena, "%lld rows to %s", (long long)out.rows, file));
    return 0;
}

/* ---- SQL ---- */

int stored_sql(struct stored *s, const char *text, struct error *e)
{
    const struct tables_query q = { .project = s->project, .sql = str_of(text) };
    struct tables_result out;

    if (s->tables->ops->query(s->tables, &q, s->arena, &out, e) < 0)
        return explain(e);
    if (out.has_rows)
        return print_rows(s, &out.destination,
                          s->options->rows ? (int64_t)s->options->rows : SQL_ROWS_MAX, e);
    int64_t changed = out.inserted + out.updated + out.deleted;
    s->note = str_of(
        arena_textf(s->arena, "%.*s: %lld rows", STR_ARG(out.statement), (long long)changed));
    return 0;
}
