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

static void take_value(struct arena *a, yyjson_val *value, struct cell *c)
{
    c->null = !value || yyjson_is_null(value);
    if (!c->null)
        c->text = yyjson_is_str(value) ? json_str(value) : json_text(a, value);
}

static bool is_column(const struct sheet *t, struct str name)
{
    for (uint32_t i = 0; i < t->columns.count; i++)
        if (str_eq(t->columns.name[i], name))
            return true;
    return false;
}

/* A table of cells has no place for a member that no column has. */
static void judge_members(const struct sheet *t, yyjson_val *root, struct violations *bad)
{
    yyjson_obj_iter it = yyjson_obj_iter_with(root);
    yyjson_val *key;

    while ((key = yyjson_obj_iter_next(&it))) {
        if (is_column(t, json_str(key)))
            continue;
        struct violation *v =
            add(bad, 0, json_str(key), "No row in the first 256 KiB of the input has this member.");
        (void)snprintf(v->remedy, sizeof v->remedy,
                       "Write .jsonl, or put a row with all members first.");
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
    for (uint32_t i = 0; i < t->columns.count; i++) {
        struct str name = t->columns.name[i];
        take_value(a, root ? yyjson_obj_getn(root, name.p, name.len) : NULL, &cell[i]);
    }
    if (root && bad && t->output_delimiter)
        judge_members(t, root, bad);
    return cell;
}

struct cell *row_cells(const struct sheet *t, struct arena *a, struct str record,
                       struct violations *bad)
{
    return t->delimiter ? delimited_cells(t, a, record, bad) : json_cells(t, a, record, bad);
}
