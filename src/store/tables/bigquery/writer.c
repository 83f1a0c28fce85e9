/* writer.c -- rows that wait in a file of ours until one load job takes them.
 *
 * Why: a load job is the only way into BigQuery that takes all rows or none, costs nothing, and has
 * an id of our choice. So rows are kept here, durable batch by batch, and sent once.
 *
 * Data:    DIR/KEY/rows.ndjson  the rows
 *          DIR/KEY/marks        "position bytes\n" for each batch that is durable: what follows the last one in
 *                               rows.ndjson is of a batch that was cut off
 *          DIR/KEY/note         "location\ncreated\n" of the load job, for those who ask for the key again
 *          A folder goes FOLDER_DAYS after its last change.
 * Source:  https://cloud.google.com/bigquery/docs/loading-data-cloud-storage-json
 */
#include "store/tables/bigquery/inner.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/random.h"
#include "base/sys.h"

#define FOLDER_DAYS 30
#define MARKS_BYTES_MAX ((size_t)256 * 1024 * 1024)
#define NOTE_BYTES_MAX ((size_t)4096)
#define CONFIGURATION_BYTES_MAX ((size_t)64 * 1024 * 1024)
#define FLUSH_BYTES ((size_t)4 * 1024 * 1024)

struct tables_writer {
    struct bigquery *b;
    struct arena arena; /* of all that stays */
    struct tables_into into;
    struct bq_schema schema;
    struct str key, location;
    const char *folder, *rows_path, *marks_path;
    int rows, marks;
    uint64_t bytes; /* of the rows that are durable */
    int64_t count;  /* of rows that this writer was given */
    bool created;   /* the table is not there yet */
    bool done;      /* an earlier call has loaded the rows */
    struct tables_outcome outcome;
    struct buf text;
};

/* ---- Notes about a key ---- */

static const char *folder_of(struct bigquery *b, struct arena *a, struct str project,
                             struct str key)
{
    char hash[REST_KEY_BYTES];

    rest_key(project, key, hash);
    return arena_textf(a, "%s/%s", b->dir, hash);
}

static void note_read(const char *folder, struct arena *a, struct str *location, bool *created)
{
    struct buf text = BUF_INIT(NOTE_BYTES_MAX);
    struct error ignored;
    const char *path = arena_textf(a, "%s/note", folder);

    *created = false;
    if (sys_read_file(path, NOTE_BYTES_MAX, &text, &ignored) == 0) {
        struct str rest = rest_copy(a, buf_str(&text)), line = { 0 };
        (void)str_next(&rest, '\n', location);
        if (str_next(&rest, '\n', &line))
            *created = str_eq(line, STR("created"));
    }
    buf_release(&text);
}

static int note_write(struct tables_writer *w, struct error *e)
{
    const char *path = arena_textf(&w->arena, "%s/note", w->folder);
    const char *fresh = arena_textf(&w->arena, "%s/note.new", w->folder);
    const char *text = arena_textf(&w->arena, "%.*s\n%s\n", STR_ARG(w->location),
                                   w->created ? "created" : "there");
    int fd = sys_open(fresh, O_WRONLY | O_CREAT | O_TRUNC, e);

    if (fd < 0)
        return -1;
    int rc = sys_write_all(fd, text, strlen(text), fresh, e);
    if (rc == 0)
        rc = sys_sync(fd, fresh, e);
    (void)close(fd);
    return rc == 0 ? sys_rename(fresh, path, e) : -1;
}

static struct tables_outcome outcome_of(yyjson_val *job, bool created, bool again)
{
    yyjson_val *load = json_get(json_get(job, "statistics"), "load");

    return (struct tables_outcome){ .rows = rest_int(json_get(load, "outputRows")),
                                    .bytes = rest_int(json_get(load, "outputBytes")),
                                    .created = created,
                                    .again = again };
}

int rest_done(struct tables *t, struct str project, struct str key, struct tables_outcome *out,
              struct error *e)
{
    struct bigquery *b = rest_of(t);
    struct arena a = { 0 };
    struct rest_job j = { .project = rest_payer(b, project), .key = key };
    yyjson_val *job = NULL;
    bool created = false;

    note_read(folder_of(b, &a, j.project, key), &a, &j.location, &created);
    int rc = key.len ? rest_job_find(b, &j, &a, &job, e) : 0;
    if (rc == 1)
        *out = outcome_of(job, created, true);
    arena_release(&a);
    return rc;
}

/* ---- The table ---- */

static int fields_fit(const struct tables_write *w, const struct tables_table *table,
                      struct arena *a, struct error *e)
{
    for (uint32_t i = 0; i < w->schema.count && table->schema.count; i++) {
        struct str name = w->schema.field[i].name;
        const struct bq_field *f = bq_schema_find(&table->schema, name);
        if (!f && !w->into.add_fields)
            return error_set(e, ERROR_INVALID_ARGUMENT,
                             "Provided Schema does not match Table %s. Cannot add fields "
                             "(field: %.*s)",
                             tables_text(a, &table->name), STR_ARG(name));
        if (f && f->type != w->schema.field[i].type)
            return error_set(e, ERROR_INVALID_ARGUMENT,
                             "Provided Schema does not match Table %s. Field %.*s has changed type "
                             "from %s to %s",
                             tables_text(a, &table->name), STR_ARG(name), bq_type_name(f->type),
                             bq_type_name(w->schema.field[i].type));
    }
    return 0;
}

/* Refuses before the first row what the load job would refuse after the last. */
static int check_table(struct tables_writer *w, const struct tables_write *given, struct error *e)
{
    const struct tables_into *into = &given->into;
    struct tables_table table;
    struct error why = { 0 };

    if (rest_name_check(&into->name, e) < 0 ||
        rest_location(w->b, &into->name, &w->arena, &w->location, e) < 0)
        return -1;
    if (rest_table_get(&w->b->tables, &into->name, &w->arena, &table, &why) < 0) {
        w->created = why.code == ERROR_NOT_FOUND && into->create == TABLES_CREATE_IF_NEEDED;
        if (!w->created)
            *e = why;
        return w->created ? 0 : -1;
    }
    if (into->write == TABLES_WRITE_EMPTY && table.rows > 0)
        return error_set(e, ERROR_ALREADY_EXISTS, "Already Exists: Table %s",
                         tables_text(&w->arena, &into->name));
    return into->write == TABLES_WRITE_TRUNCATE ? 0 : fields_fit(given, &table, &w->arena, e);
}

/* ---- The files ---- */

/* The last whole mark; rows behind it were not durable. */
static int marks_read(struct tables_writer *w, int64_t *position, struct error *e)
{
    struct buf text = BUF_INIT(MARKS_BYTES_MAX);
    int rc = sys_read_file(w->marks_path, MARKS_BYTES_MAX, &text, e);
    struct str rest = buf_str(&text);

    while (rc == 0 && str_find(rest, STR("\n")) != SIZE_MAX) {
        struct str line, number;
        uint64_t place = 0, bytes = 0;
        (void)str_next(&rest, '\n', &line);
        if (!str_next(&line, ' ', &number) || !str_number_in(number, 0, INT64_MAX, &place) ||
            !str_number(line, &bytes))
            rc = error_set(e, ERROR_DATA_LOSS, "%s is damaged", w->marks_path);
        *position = (int64_t)place;
        w->bytes = bytes;
    }
    buf_release(&text);
    return rc;
}

static int files_open(struct tables_writer *w, bool resume, int64_t *position, struct error *e)
{
    struct stat st;

    if (!resume && sys_remove_all(w->folder, e) < 0)
        return -1;
    if (sys_mkdirs(w->folder, e) < 0)
        return -1;
    w->rows = sys_open(w->rows_path, O_RDWR | O_CREAT, e);
    w->marks = w->rows < 0 ? -1 : sys_open(w->marks_path, O_RDWR | O_CREAT | O_APPEND, e);
    if (w->marks < 0 || marks_read(w, position, e) < 0)
        return -1;
    if (fstat(w->rows, &st) < 0)
        return error_errno(e, "%s", w->rows_path);
    if ((uint64_t)st.st_size < w->bytes)
        return error_set(e, ERROR_DATA_LOSS, "%s lacks bytes that it had", w->rows_path);
    if (ftruncate(w->rows, (off_t)w->bytes) < 0 || lseek(w->rows, 0, SEEK_END) < 0)
        return error_errno(e, "%s", w->rows_path);
    return 0;
}

/* ---- For the caller ---- */

static int begin(struct tables_writer *w, const struct tables_write *given, int64_t *position,
                 struct error *e)
{
    struct tables_outcome outcome;
    struct str project = rest_payer(w->b, given->into.name.project);

    if (given->into.expires_ms)
        return error_set(e, ERROR_UNIMPLEMENTED, "A load job of BigQuery sets no expiration.");
    w->into = given->into;
    w->into.name = (struct tables_name){ rest_copy(&w->arena, given->into.name.project),
                                         rest_copy(&w->arena, given->into.name.dataset),
                                         rest_copy(&w->arena, given->into.name.table) };
    w->into.options = rest_copy(&w->arena, given->into.options);
    w->schema = bq_schema_copy(&w->arena, &given->schema);
    w->key = rest_copy(&w->arena, given->key);
    int done = rest_done(&w->b->tables, project, w->key, &outcome, e);
    w->done = done == 1;
    w->outcome = w->done ? outcome : (struct tables_outcome){ 0 };
    if (done != 0)
        return done < 0 ? -1 : 0;
    if (check_table(w, given, e) < 0)
        return -1;
    if (w->key.len) {
        w->folder = folder_of(w->b, &w->arena, project, w->key);
    } else {
        char random[17];
        if (random_hex(random, 8, e) < 0)
            return -1;
        w->folder = arena_textf(&w->arena, "%s/once-%s", w->b->dir, random);
    }
    w->rows_path = arena_textf(&w->arena, "%s/rows.ndjson", w->folder);
    w->marks_path = arena_textf(&w->arena, "%s/marks", w->folder);
    return files_open(w, given->resume && w->key.len, position, e);
}

struct tables_writer *rest_writer_open(struct tables *t, const struct tables_write *given,
                                       int64_t *position, struct error *e)
{
    struct tables_writer *w = mem_alloc(sizeof *w);

    w->b = rest_of(t);
    w->rows = w->marks = -1;
    w->text = BUF_INIT(LOAD_ROW_BYTES_MAX + FLUSH_BYTES);
    *position = 0;
    if (begin(w, given, position, e) == 0)
        return w;
    rest_writer_close(w, true);
    return NULL;
}

static int flush(struct tables_writer *w, struct error *e)
{
    int rc = sys_write_all(w->rows, w->text.p ? w->text.p : "", w->text.len, w->rows_path, e);

    w->bytes += w->text.len;
    buf_clear(&w->text);
    return rc;
}

static int add_row(struct tables_writer *w, const struct bq_cell *cell, struct error *e)
{
    struct json_writer j = JSON_WRITER(&w->text);
    size_t before = w->text.len;

    json_object(&j, NULL);
    for (uint32_t c = 0; c < w->schema.count; c++) {
        if (cell[c].null)
            continue;
        json_key(&j, w->schema.field[c].name);
        bq_cell_to_json(&j, NULL, &w->schema.field[c], cell[c]);
    }
    json_end(&j);
    buf_add_char(&w->text, '\n');
    w->count++;
    if (!buf_ok(&w->text) || w->text.len - before > LOAD_ROW_BYTES_MAX)
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "Row %" PRId64 " is over %zu MB as JSON, more than BigQuery loads.",
                         w->count, LOAD_ROW_BYTES_MAX / 1000000);
    return w->text.len < FLUSH_BYTES ? 0 : flush(w, e);
}

int rest_writer_append(struct tables_writer *w, const struct bq_batch *batch, int64_t position,
                       struct error *e)
{
    char mark[64];

    if (w->done)
        return 0;
    for (uint32_t i = 0; i < batch->rows; i++)
        if (add_row(w, &batch->cell[(size_t)i * batch->columns], e) < 0)
            return -1;
    if (flush(w, e) < 0 || sys_sync(w->rows, w->rows_path, e) < 0)
        return -1;
    int n = snprintf(mark, sizeof mark, "%" PRId64 " %" PRIu64 "\n", position, w->bytes);
    return sys_write_all(w->marks, mark, (size_t)n, w->marks_path, e) < 0
               ? -1
               : sys_sync(w->marks, w->marks_path, e);
}

static struct str configuration(struct tables_writer *w)
{
    struct buf out = BUF_INIT(CONFIGURATION_BYTES_MAX);
    struct json_writer j = JSON_WRITER(&out);

    json_object(&j, NULL);
    json_object(&j, "load");
    json_add_c(&j, "sourceFormat", "NEWLINE_DELIMITED_JSON");
    bq_schema_write(&j, "schema", &w->schema, false);
    rest_into(&j, &w->into);
    json_end(&j);
    json_end(&j);
    struct str text = rest_copy(&w->arena, buf_str(&out));
    buf_release(&out);
    return text;
}

static int commit(struct tables_writer *w, struct tables_outcome *out, struct error *e)
{
    const struct rest_job j = {
        .project = rest_payer(w->b, w->into.name.project),
        .location = w->location,
        .key = w->key,
        .configuration = configuration(w),
        .path = w->rows_path,
    };
    bool again;

    /* Before the job: a crash behind it must find the job again. */
    if (note_write(w, e) < 0)
        return -1;
    yyjson_val *job = rest_job_run(w->b, &j, &w->arena, &again, e);
    if (!job)
        return -1;
    *out = outcome_of(job, w->created, again);
    return 0;
}

int rest_writer_commit(struct tables_writer *w, struct tables_outcome *out, struct error *e)
{
    int rc = 0;

    if (w->done)
        *out = w->outcome;
    else
        rc = commit(w, out, e);
    if (rc == 0 && !w->done && w->key.len) { /* the note stays for those who ask again */
        struct error why = { 0 };
        if (sys_remove_all(w->rows_path, &why) < 0 || sys_remove_all(w->marks_path, &why) < 0)
            log_warn("%s stays for now: %s", w->folder, why.msg);
    }
    rest_writer_close(w, rc < 0 || w->key.len > 0);
    return rc;
}

void rest_writer_close(struct tables_writer *w, bool keep)
{
    struct error why = { 0 };

    if (!w)
        return;
    if (w->rows >= 0)
        (void)close(w->rows);
    if (w->marks >= 0)
        (void)close(w->marks);
    if (w->folder && (!keep || !w->key.len) && sys_remove_all(w->folder, &why) < 0)
        log_warn("%s stays for now: %s", w->folder, why.msg);
    buf_release(&w->text);
    arena_release(&w->arena);
    mem_free(w);
}

int rest_insert(struct tables *t, const struct tables_name *name, const struct bq_schema *schema,
                const struct bq_batch *batch, struct error *e)
{
    const struct tables_write w = {
        .into = { .name = *name, .create = TABLES_CREATE_NEVER, .write = TABLES_WRITE_APPEND },
        .schema = *schema,
    };
    struct tables_outcome ignored;
    int64_t position;
    struct tables_writer *writer = rest_writer_open(t, &w, &position, e);

    if (!writer)
        return -1;
    if (rest_writer_append(writer, batch, 0, e) < 0) {
        rest_writer_close(writer, false);
        return -1;
    }
    return rest_writer_commit(writer, &ignored, e);
}

/* ---- Old folders ---- */

/* By their own times: a clock that a test moves must not remove the rows of a writer. */
int rest_sweep(struct tables *t, struct error *e)
{
    struct bigquery *b = rest_of(t);
    struct clock *clock = clock_system();
    int64_t before_s = clock->wall_us(clock) / 1000000 - (int64_t)FOLDER_DAYS * 24 * 3600;
    DIR *dir = opendir(b->dir);
    struct dirent *entry;
    int rc = 0;

    /* NOLINTNEXTLINE(concurrency-mt-unsafe): no other thread has this stream */
    while (dir && rc == 0 && (entry = readdir(dir))) {
        struct arena a = { 0 };
        const char *path = arena_textf(&a, "%s/%s", b->dir, entry->d_name);
        struct stat st;
        if (entry->d_name[0] != '.' && stat(path, &st) == 0 && st.st_mtim.tv_sec < before_s)
            rc = sys_remove_all(path, e);
        arena_release(&a);
    }
    if (dir)
        (void)closedir(dir);
    return rc;
}
