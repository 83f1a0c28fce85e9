#include "app/cli/table.h"

#include <assert.h>
#include <string.h>

#include "app/cli/terminal.h"

static void add_cell(struct table *t, size_t column, struct str text)
{
    struct buf plain = BUF_INIT(4 * (size_t)TABLE_CELL_BYTES);
    char cell[TABLE_CELL_BYTES] = { 0 };

    buf_add_plain(&plain, str_sub(text, 0, sizeof cell - 1), false);
    struct str shown = str_sub(buf_str(&plain), 0, sizeof cell - 1);
    shown.len = str_utf8_valid(shown);
    if (shown.len)
        memcpy(cell, shown.p, shown.len);
    t->width[column] = shown.len > t->width[column] ? shown.len : t->width[column];
    buf_add(&t->cells, cell, sizeof cell);
    buf_release(&plain);
}

void table_init(struct table *t, const char *const *head, size_t columns)
{
    assert(columns <= TABLE_COLUMNS_MAX);
    *t = (struct table){ .columns = columns, .cells = BUF_INIT(TABLE_BYTES_MAX) };
    for (size_t i = 0; i < columns; i++)
        add_cell(t, i, str_of(head[i]));
    t->rows = 1;
}

void table_row(struct table *t, const struct str *cell)
{
    for (size_t i = 0; i < t->columns; i++)
        add_cell(t, i, cell[i]);
    t->rows += buf_ok(&t->cells);
}

void table_write(const struct table *t, struct buf *out)
{
    for (size_t row = 0; row < t->rows; row++) {
        for (size_t c = 0; c < t->columns; c++) {
            const char *text = t->cells.p + (row * t->columns + c) * TABLE_CELL_BYTES;
            if (c + 1 < t->columns)
                buf_addf(out, "%-*s  ", (int)t->width[c], text);
            else
                buf_addf(out, "%s\n", text);
        }
    }
}

void table_release(struct table *t)
{
    buf_release(&t->cells);
}
