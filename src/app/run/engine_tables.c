#include "app/run/engine_tables.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/sys.h"

bool engine_tables_are(const char *const *path, uint32_t count)
{
    return count > 0 && table_file_is(str_of(path[0]));
}

static int engine_open(struct engine_tables *t, struct error *e)
{
    if (t->files)
        return 0;
    t->folder = arena_textf(t->arena, "%s/tables/%ld", t->state_root, (long)getpid());
    if (sys_mkdirs(t->folder, e) < 0)
        return -1;
    t->files = table_files_open(t->folder, e);
    return t->files ? 0 : -1;
}

void engine_tables_close(struct engine_tables *t)
{
    struct error ignored;

    table_files_close(t->files);
    if (t->folder && sys_remove_all(t->folder, &ignored) < 0)
        t->folder = NULL; /* what stays is a few empty folders */
    *t = (struct engine_tables){ .state_root = NULL };
}

/* ---- In ---- */

/* The engine's file of FILE.duckdb#TABLE is FILE.duckdb. */
static bool is_the_file(struct arena *a, const char *table, const char *output)
{
    const char *hash = strchr(table, '#');
    size_t len = hash ? (size_t)(hash - table) : strlen(table);
    struct stat in, out;

    return output && stat(arena_copy(a, table, len), &in) == 0 && stat(output, &out) == 0 &&
           in.st_dev == out.st_dev && in.st_ino == out.st_ino;
}

static bool columns_alike(const struct table_columns *one, const struct table_columns *other)
{
    bool alike = one->count == other->count;

    for (uint32_t i = 0; i < one->count && alike; i++)
        alike = str_eq(one->item[i].name, other->item[i].name) &&
                str_eq(one->item[i].type, other->item[i].type);
    return alike;
}

static int check(struct engine_tables *t, const char *const *path, uint32_t i, const char *output,
                 struct error *e)
{
    struct table_columns columns;

    if (!table_file_is(str_of(path[i])))
        return error_set(
            e, ERROR_INVALID_ARGUMENT,
            "%s and %s cannot be inputs of one run: either all or none are .parquet or "
            "FILE.duckdb#TABLE; `tranche table copy` makes the one of the other",
            path[0], path[i]);
    if (is_the_file(t->arena, path[i], output))
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "the output %s is the input; choose another with -o OUTPUT", output);
    if (table_files_columns(t->files, str_of(path[i]), t->arena, &columns, e) < 0)
        return -1;
    if (i == 0)
        t->columns = columns;
    if (!columns_alike(&t->columns, &columns))
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "%s has other columns or types than %s; `tranche table schema` shows them",
                         path[i], path[0]);
    return 0;
}

/* The table as CSV, in a file of our folder. */
static int copy_in(struct engine_tables *t, const char *path, const char *copy, struct error *e)
{
    if (table_files_read(t->files, str_of(path), copy, e) < 0)
        return -1;
    return sys_open(copy, O_RDONLY, e);
}

int engine_tables_input(struct engine_tables *t, const char *const *path, uint32_t count,
                        const char *output, struct input *in, struct error *e)
{
    struct input_source *source = arena_array(t->arena, count, sizeof *source);
    uint32_t opened = 0;

    if (engine_open(t, e) < 0 ||
        sys_mkdirs(arena_textf(t->arena, "%s/inputs", t->state_root), e) < 0)
        return -1;
    for (; opened < count; opened++) {
        if (check(t, path, opened, output, e) < 0)
            break;
        const char *copy =
            arena_textf(t->arena, "%s/inputs/table.%ld.%u", t->state_root, (long)getpid(), opened);
        int fd = copy_in(t, path[opened], copy, e);
        if (fd < 0)
            break;
        source[opened] = (struct input_source){ path[opened], fd, copy };
    }
    if (opened == count)
        return input_open_fds(in, source, count, e);
    while (opened > 0)
        (void)close(source[--opened].fd);
    return -1;
}

/* ---- Out ---- */

/* A column of the input has the type that it had; texts of CSV stay texts. */
static struct str type_of(const struct engine_tables *t, struct str name)
{
    for (uint32_t i = 0; i < t->columns.count; i++)
        if (str_eq(t->columns.item[i].name, name))
            return t->columns.item[i].type;
    return STR("VARCHAR");
}

/* The columns in the order in which the sheet writes them. */
static struct table_columns columns_of(const struct engine_tables *t, const struct sheet *s)
{
    struct table_columns out = {
        arena_array(t->arena, s->columns.count + s->added_count, sizeof *out.item), 0
    };

    for (uint32_t i = 0; i < s->columns.count; i++)
        if (s->keep[i])
            out.item[out.count++] =
                (struct table_column){ s->columns.name[i], type_of(t, s->columns.name[i]) };
    for (uint32_t i = 0; i < s->added_count; i++) {
        struct str type = i < s->field_count ? s->field_type[i] : STR("VARCHAR");
        if (i == s->tokens_at)
            type = STR("BIGINT");
        out.item[out.count++] = (struct table_column){ s->added[i], type };
    }
    return out;
}

int engine_tables_output(struct engine_tables *t, const struct sheet *s, const char *csv,
                         const char *output, struct error *e)
{
    struct table_columns columns = columns_of(t, s);

    if (engine_open(t, e) < 0)
        return -1;
    if (table_files_write(t->files, csv, &columns, str_of(output), e) >= 0)
        return 0;
    if (e->code != ERROR_INVALID_ARGUMENT || s->field_count == 0)
        return -1;
    /* An answer that does not fit its type, such as a whole number over 64 bits: all are kept as texts. */
    for (uint32_t i = 0; i < s->field_count; i++)
        columns.item[columns.count - s->added_count + i].type = STR("VARCHAR");
    return table_files_write(t->files, csv, &columns, str_of(output), e) < 0 ? -1 : 0;
}
