/* findings.c -- all that is wrong with a configuration file, each with its place.
 *
 * Why: an operator mends a file in one go when he sees everything at once. Checks that run after the
 * reading know structs and no lines; the place of a value is looked up by the struct and the key that it
 * was read into.
 */
#include <stdio.h>
#include <string.h>

#include "app/config/config.h"

struct config_place {
    const void *base;
    const char *key; /* NULL: the section or item itself */
    const char *field;
    uint32_t line, column;
};

void config_place_add(struct config *c, const void *base, const char *key, const char *field,
                      size_t line, size_t column)
{
    c->place = arena_list_grow(&c->arena, c->place, c->place_count, sizeof *c->place);
    c->place[c->place_count++] =
        (struct config_place){ base, key, field, (uint32_t)line, (uint32_t)column };
}

static const struct config_place *place_of(const struct config *c, const void *base,
                                           const char *key)
{
    for (size_t i = 0; i < c->place_count; i++) {
        const struct config_place *p = &c->place[i];
        if (p->base == base && !p->key == !key && (!key || strcmp(p->key, key) == 0))
            return p;
    }
    return NULL;
}

void config_finding_add(struct config *c, const struct config_finding *f, const char *fmt,
                        va_list args)
{
    struct config_findings *all = &c->findings;
    char text[ERROR_MSG_BYTES];

    all->errors += !f->warning;
    if (all->count >= (f->warning ? CONFIG_FINDINGS_MAX / 2 : CONFIG_FINDINGS_MAX))
        return;
    (void)vsnprintf(text, sizeof text, fmt, args);
    all->item = arena_list_grow(&c->arena, all->item, all->count, sizeof *all->item);
    all->item[all->count] = *f;
    all->item[all->count++].text = arena_copy(&c->arena, text, str_utf8_valid(str_of(text)));
}

/* A key that the file lacks is shown at its item. */
static struct config_finding finding_at(struct config *c, const void *base, const char *key)
{
    const struct config_place *value = key ? place_of(c, base, key) : NULL;
    const struct config_place *item = place_of(c, base, NULL);
    const struct config_place *at = value ? value : item;
    const char *path = item ? item->field : "";
    struct config_finding f = { .field = path };

    if (value)
        f.field = value->field;
    else if (key)
        f.field = arena_textf(&c->arena, "%s%s%s", path, path[0] ? "." : "", key);
    if (at) {
        f.line = at->line;
        f.column = at->column;
    }
    return f;
}

void config_error(struct config *c, const void *base, const char *key, const char *fmt, ...)
{
    struct config_finding f = finding_at(c, base, key);
    va_list args;

    va_start(args, fmt);
    config_finding_add(c, &f, fmt, args);
    va_end(args);
}

void config_warn(struct config *c, const void *base, const char *key, const char *fmt, ...)
{
    struct config_finding f = finding_at(c, base, key);
    va_list args;

    f.warning = true;
    va_start(args, fmt);
    config_finding_add(c, &f, fmt, args);
    va_end(args);
}

void config_finding_write(const struct config *c, const struct config_finding *f, struct buf *out)
{
    if (c->path)
        buf_add_c(out, c->path);
    if (c->path && f->line)
        buf_addf(out, " (line %u, column %u)", f->line, f->column);
    if (c->path)
        buf_add_c(out, ": ");
    buf_addf(out, "%s%s%s", f->field, f->field[0] ? ": " : "", f->text);
}

bool config_clean(const struct config *c, const void *base)
{
    const struct config_place *item = place_of(c, base, NULL);
    struct str path = str_of(item ? item->field : "");

    for (uint32_t i = 0; item && i < c->findings.count; i++) {
        struct str field = str_of(c->findings.item[i].field);
        if (str_starts(field, path) && (field.len == path.len || strchr(".[", field.p[path.len])))
            return false;
    }
    return true;
}
