/* tables.c -- tables.h: what all implementations share: names and cancels. */
#include "store/tables/tables.h"

#include "base/thread.h"

/* ---- Cancels ---- */

void tables_cancel_init(struct tables_cancel *c)
{
    *c = (struct tables_cancel){ .asked = false };
    lock_init(&c->lock);
}

void tables_cancel_release(struct tables_cancel *c)
{
    lock_destroy(&c->lock);
}

void tables_cancel_now(struct tables_cancel *c)
{
    lock(&c->lock);
    c->asked = true;
    if (c->wake)
        c->wake(c->arg);
    unlock(&c->lock);
}

bool tables_cancel_set(struct tables_cancel *c, void (*wake)(void *arg), void *arg)
{
    if (!c)
        return true;
    lock(&c->lock);
    bool asked = c->asked;
    c->wake = wake;
    c->arg = arg;
    unlock(&c->lock);
    return !asked;
}

bool tables_lack_memory(const struct error *e)
{
    return e->code == ERROR_RESOURCE_EXHAUSTED &&
           str_find(str_of(e->msg), STR(TABLES_RESOURCES)) != SIZE_MAX;
}

/* ---- Names ---- */

static bool is_word(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_';
}

int tables_dataset_check(struct str dataset, struct error *e)
{
    bool ok = dataset.len > 0 && dataset.len <= TABLES_NAME_BYTES_MAX;

    for (size_t i = 0; ok && i < dataset.len; i++)
        ok = is_word(dataset.p[i]);
    if (ok)
        return 0;
    return error_set(e, ERROR_INVALID_ARGUMENT,
                     "Invalid dataset ID \"%.*s\". Dataset IDs must be alphanumeric (plus "
                     "underscores) and must be at most %d characters long.",
                     STR_ARG(str_cut(dataset, 200)), TABLES_NAME_BYTES_MAX);
}

/* Letters, marks and digits of any script are bytes over 0x7f here; of ASCII, words, dashes and spaces. */
int tables_table_check(struct str table, struct error *e)
{
    bool ok =
        table.len > 0 && table.len <= TABLES_NAME_BYTES_MAX && str_utf8_valid(table) == table.len;

    for (size_t i = 0; ok && i < table.len; i++)
        ok = is_word(table.p[i]) || table.p[i] == '-' || table.p[i] == ' ' ||
             (unsigned char)table.p[i] > 0x7f;
    if (ok)
        return 0;
    return error_set(e, ERROR_INVALID_ARGUMENT,
                     "Invalid table ID \"%.*s\". Table IDs must be alphanumeric (plus underscores, "
                     "dashes and spaces) and must be at most %d characters long.",
                     STR_ARG(str_cut(table, 200)), TABLES_NAME_BYTES_MAX);
}

const char *tables_text(struct arena *a, const struct tables_name *n)
{
    if (!n->dataset.len)
        return arena_textf(a, "%.*s", STR_ARG(n->project));
    if (!n->table.len)
        return arena_textf(a, "%.*s:%.*s", STR_ARG(n->project), STR_ARG(n->dataset));
    return arena_textf(a, "%.*s:%.*s.%.*s", STR_ARG(n->project), STR_ARG(n->dataset),
                       STR_ARG(n->table));
}

/* Takes the part behind the last separator off *rest; all of it when there is none. */
static struct str take_last(struct str *rest, const char *separators)
{
    for (size_t i = rest->len; i > 0; i--)
        for (const char *s = separators; *s; s++)
            if (rest->p[i - 1] == *s) {
                struct str part = str_sub(*rest, i, rest->len);
                rest->len = i - 1;
                return part;
            }
    struct str all = *rest;
    rest->len = 0;
    return all;
}

bool tables_name_read(struct str text, struct tables_name *out)
{
    if (str_starts(text, STR("bq://")))
        text = str_sub(text, 5, text.len);
    if (text.len >= 2 && text.p[0] == '`' && text.p[text.len - 1] == '`')
        text = str_sub(text, 1, text.len - 2);
    *out = (struct tables_name){ .table = take_last(&text, ".") };
    if (text.len)
        out->dataset = take_last(&text, ".:");
    out->project = text;
    return out->table.len > 0 && (!out->project.len || out->dataset.len > 0);
}
