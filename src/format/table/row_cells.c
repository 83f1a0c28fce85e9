#include "format/table/row_cells.h"

#include <stdio.h>

#include "base/json.h"

static struct violation *add(struct violations *bad, size_t offset, struct str column,
                             const char *message)
{
    struct violation *v = violations_add(bad);

    *v = (struct violation){ .offset = offset };
    if (column.len)
        str_settle(v->path, snprintf(v->path, sizeof v->path, "column \"%.*s\"", STR_ARG(column)),
                   sizeof v->path);
    (void)snprintf(v->message, sizeof v->message, "%s", message);
    return v;
}

static void judge_count(const struct sheet *t, uint32_t n, struct violations *bad)
{
    struct violation *v = add(bad, 0, (struct str){ 0 }, "");

    (void)snprintf(v->message, sizeof v->message, "The row has %u %s, the header %u.", n,
                   n == 1 ? "cell" : "cells", t->columns.count);
    (void)snprintf(v->remedy, sizeof v->remedy,
                   n > t->columns.count
                       ? "Put quotes around a cell that has the delimiter in it."
                       : "Add the missing cells; an unclosed quote before them has the same look.");
}

static struct cell *delimited_cells(const struct sheet *t, struct arena *a, struct str record,
                                    struct violations *bad)
{
    struct cell *cell = arena_array(a, t->columns.count, sizeof *cell);
    uint32_t n = cells_split(a, record, t->delimiter, cell, t->columns.count);

    for (uint32_t i = n; i < t->columns.count; i++)
        cell[i].null = true;
    if (!bad)
        return cell;
    for (uint32_t i = 0; i < n && i < t->columns.count; i++) {
        if (!cell[i].fault)
            continue;
        struct violation *v = add(bad, (size_t)(cell[i].raw.p - record.p), t->columns.name[i], "");
        (void)snprintf(v->message, sizeof v->message, "The cell is malformed: %s", cell[i].fault);
        (void)snprintf(v->remedy, sizeof v->remedy,
                       "Double the quotes in a cell that stands in quotes.");
    }
    if (n != t->columns.count && bad->count == 0)
        judge_count(t, n, bad);
    return cell;
}

/* The column of this name, looked for from hint on, as most rows have their members in one order; the count
 * of columns when there is none. */
static uint32_t column_of(const struct sheet *t, struct str name, uint32_t hint)
{
    if (hint < t->columns.count && str_eq(t->columns.name[hint], name))
        return hint;
    for (uint32_t i = 0; i < t->columns.count; i++)
        if (str_eq(t->columns.name[i], name))
            return i;
    return t->columns.count;
}

/* A string as its text, all else as it is written. */
static struct cell cell_of(yyjson_val *value, struct str written)
{
    if (yyjson_is_null(value))
        return (struct cell){ .null = true };
    return (struct cell){ .raw = written,
                          .text = yyjson_is_str(value) ? json_str(value) : written };
}

/* A table of cells has no place for a member that no column has. */
static void judge_member(struct str name, struct violations *bad)
{
    struct violation *v =
        add(bad, 0, name, "No row in the first 256 KiB of the input has this member.");

    (void)snprintf(v->remedy, sizeof v->remedy,
                   "Write .jsonl, or put a row with all members first.");
}

static void take_members(const struct sheet *t, struct str record, yyjson_val *root,
                         struct cell *cell, struct violations *bad)
{
    yyjson_obj_iter it = yyjson_obj_iter_with(root);
    struct json_member m = { 0 };
    uint32_t hint = 0;

    while (json_member_next(record, &m)) {
        yyjson_val *key = yyjson_obj_iter_next(&it);
        uint32_t column = column_of(t, json_str(key), hint);
        hint = column + 1;
        if (column < t->columns.count)
            cell[column] = cell_of(yyjson_obj_iter_get_val(key), m.value);
        else if (bad && t->output_delimiter)
            judge_member(json_str(key), bad);
    }
}

static struct cell *json_cells(const struct sheet *t, struct arena *a, struct str record,
                               struct violations *bad)
{
    struct cell *cell = arena_array(a, t->columns.count, sizeof *cell);
    struct error why = { 0 };
    size_t at = 0;
    yyjson_val *root = json_parse(a, record, &at, &why);

    if (root && !yyjson_is_obj(root)) {
        (void)error_set(&why, ERROR_INVALID_ARGUMENT, "it is not an object");
        root = NULL;
    }
    if (!root && bad) {
        struct violation *v = add(bad, at, (struct str){ 0 }, "");
        (void)snprintf(v->message, sizeof v->message, "The row is not a JSON object: %.200s.",
                       why.msg);
        (void)snprintf(v->remedy, sizeof v->remedy,
                       "Write one object on each line, as in {\"id\": 7, \"text\": \"...\"}.");
    }
    for (uint32_t i = 0; i < t->columns.count; i++)
        cell[i].null = true;
    if (root)
        take_members(t, record, root, cell, bad);
    return cell;
}

struct cell *row_cells(const struct sheet *t, struct arena *a, struct str record,
                       struct violations *bad)
{
    return t->delimiter ? delimited_cells(t, a, record, bad) : json_cells(t, a, record, bad);
}
