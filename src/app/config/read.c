/* read.c -- a YAML file into the structs of the table.
 *
 * Why: every value is checked by its row where it stands in the file, so that the finding of a wrong one
 * names line, column, field, and what the field takes. All of the file is read, whatever is wrong in it.
 *
 * Shape:   the document is read whole by libyaml, which resolves aliases; then each mapping is read by
 *          its section. Sections do not nest in themselves, and lists are bounded, so that no alias can
 *          make a small file endless.
 */
#include "app/config/table.h"

#include <assert.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <yaml.h>

#include "app/cli/options.h"
#include "app/config/config.h"

#define SHOWN_BYTES 40

struct reader {
    yaml_document_t *document;
    struct config *config;
};

/* A decimal number: strtod would also take hexadecimal digits, "inf" and "nan". */
static bool is_decimal(const char *text, double *out)
{
    char *end;

    if (*text == '\0' || strspn(text, "0123456789.eE+-") != strlen(text) || strchr("+eE", *text))
        return false;
    *out = strtod(text, &end);
    return *end == '\0' && isfinite(*out);
}

static bool is_flag(const char *text, bool *out)
{
    static const char *const words[] = { "false", "no",  "off", "disable", "0",
                                         "true",  "yes", "on",  "enable",  "1" };

    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        if (strcasecmp(text, words[i]) == 0) {
            *out = i >= ARRAY_LEN(words) / 2;
            return true;
        }
    }
    return false;
}

/* 1 for the first of "a|b|c", 0 for none of them. */
static uint32_t choice_of(struct str words, const char *text)
{
    for (uint32_t n = 1; words.len; n++) {
        struct str word = str_sub(words, 0, str_find(words, STR("|")));
        if (str_eq_c(word, text))
            return n;
        words = str_sub(words, word.len + 1, words.len);
    }
    return 0;
}

/* Stores a scalar as the row says; false when it is none of what the row takes. An empty text is as
 * one that is not given. */
static bool scalar_store(struct config *c, const struct config_row *row, struct str text, void *at)
{
    const char *value = arena_copy(&c->arena, text.p, text.len);
    uint64_t whole = 0;
    double number = 0;
    bool flag = false;

    switch (row->type) {
    case CONFIG_TEXT:
    case CONFIG_FILE:
        if (text.len)
            *(const char **)at = row->type == CONFIG_FILE ? config_beside(c, value) : value;
        return text.len <= CONFIG_TEXT_BYTES_MAX;
    case CONFIG_CHOICE:
        *(uint32_t *)at = choice_of(str_of(row->value), value);
        return *(uint32_t *)at != 0;
    case CONFIG_FLAG:
        return is_flag(value, at);
    case CONFIG_FLAG_IF:
        if (!is_flag(value, &flag))
            return false;
        *(int8_t *)at = flag;
        return true;
    case CONFIG_COUNT:
        if (!str_number_in(text, row->bounds.min, row->bounds.max, &whole))
            return false;
        *(uint32_t *)at = (uint32_t)whole;
        return true;
    case CONFIG_BIG:
        return str_number_in(text, row->bounds.min, row->bounds.max, at);
    case CONFIG_NUMBER:
        if (!is_decimal(value, &number) || number < row->bounds.from || number > row->bounds.to)
            return false;
        *(double *)at = number;
        return true;
    case CONFIG_TEXTS:
    case CONFIG_MAP:
    case CONFIG_MAP_IF:
    case CONFIG_LIST:
        break;
    }
    return false;
}

static void section_defaults(struct config *c, const struct config_section *s, void *base)
{
    for (size_t i = 0; i < s->row_count; i++) {
        const struct config_row *row = &s->row[i];
        void *at = (char *)base + row->place;
        if (row->type == CONFIG_MAP)
            section_defaults(c, row->section, at);
        else if (row->type == CONFIG_FLAG_IF)
            *(int8_t *)at = -1;
        else if (row->type == CONFIG_NUMBER && !row->preset)
            *(double *)at = NAN;
        bool ok = !row->preset || scalar_store(c, row, str_of(row->preset), at);
        assert(ok); /* a default is a value that the row takes */
    }
}

void config_defaults(struct config *out)
{
    section_defaults(out, &config_root, out);
}

struct upstream_entry *config_upstream_entry(struct config *c)
{
    struct upstream_entry *out = arena_alloc(&c->arena, sizeof *out);

    section_defaults(c, &config_upstreams, out);
    return out;
}

/* ---- The document ---- */

/* A mapping of the file that is read: its section, the struct, and its path ("models[2]"; "": the top). */
struct target {
    const struct config_section *section;
    void *base;
    const char *path;
};

static const char *field_of(const struct reader *r, const struct target *t, const char *key)
{
    return arena_textf(&r->config->arena, "%s%s%s", t->path, t->path[0] ? "." : "", key);
}

static void note_place(const struct reader *r, const struct target *t, const char *key,
                       const char *field, yaml_mark_t at)
{
    config_place_add(r->config, t->base, key, field, at.line + 1, at.column + 1);
}

static void error_at(const struct reader *r, yaml_mark_t at, const char *field, const char *fmt,
                     ...) __attribute__((format(printf, 4, 5)));
static void error_at(const struct reader *r, yaml_mark_t at, const char *field, const char *fmt,
                     ...)
{
    const struct config_finding f = { .field = field,
                                      .line = (uint32_t)at.line + 1,
                                      .column = (uint32_t)at.column + 1 };
    va_list args;

    va_start(args, fmt);
    config_finding_add(r->config, &f, fmt, args);
    va_end(args);
}

/* A word of the file as a message shows it; in the arena. */
static const char *shown(const struct reader *r, struct str text)
{
    struct buf out = BUF_INIT((size_t)4 * SHOWN_BYTES);

    buf_add_plain(&out, str_cut(text, SHOWN_BYTES), false);
    const char *copy = arena_copy(&r->config->arena, out.p, out.len);
    buf_release(&out);
    return copy;
}

static struct str text_of(const yaml_node_t *scalar)
{
    return (struct str){ (const char *)scalar->data.scalar.value, scalar->data.scalar.length };
}

/* The value of a row is none that it takes. */
static void refuse(const struct reader *r, const struct config_row *row, const char *field,
                   const yaml_node_t *value)
{
    struct buf takes = BUF_INIT(256);

    config_row_takes(row, &takes);
    if (value->type == YAML_SCALAR_NODE)
        error_at(r, value->start_mark, field, "\"%s\" does not fit; it takes %s",
                 shown(r, text_of(value)), takes.p);
    else
        error_at(r, value->start_mark, field, "%s does not fit; it takes %s",
                 value->type == YAML_MAPPING_NODE ? "a mapping" : "a list", takes.p);
    buf_release(&takes);
}

static void unknown_key(const struct reader *r, const struct target *t, const yaml_node_t *key)
{
    struct nearest n = { .word = shown(r, text_of(key)) };
    const struct config_section *any;
    const struct config_row *row;

    for (size_t i = 0; i < t->section->row_count; i++)
        nearest_offer(&n, t->section->row[i].name);
    for (uint32_t i = 0; !n.best && config_row_at(i, &any, &row); i++)
        nearest_offer(&n, row->name);
    if (n.best)
        error_at(r, key->start_mark, t->path, "unknown key \"%s\"; did you mean \"%s\"?", n.word,
                 n.best);
    else
        error_at(r, key->start_mark, t->path, "unknown key \"%s\"; see `tranche help config`",
                 n.word);
}

static const struct config_row *row_of(const struct config_section *s, const yaml_node_t *key)
{
    for (size_t i = 0; key->type == YAML_SCALAR_NODE && i < s->row_count; i++)
        if (strcmp(s->row[i].name, (const char *)key->data.scalar.value) == 0)
            return &s->row[i];
    return NULL;
}

static bool is_text(const yaml_node_t *n)
{
    return n && n->type == YAML_SCALAR_NODE && n->data.scalar.length <= CONFIG_TEXT_BYTES_MAX &&
           !memchr(n->data.scalar.value, '\0', n->data.scalar.length);
}

static size_t item_count(const yaml_node_t *list)
{
    return (size_t)(list->data.sequence.items.top - list->data.sequence.items.start);
}

static const yaml_node_t *item_of(const struct reader *r, const yaml_node_t *list, size_t i)
{
    return yaml_document_get_node(r->document, list->data.sequence.items.start[i]);
}

static void read_section(const struct reader *r, const struct target *t,
                         const yaml_node_t *mapping);

static void read_texts(const struct reader *r, const struct config_row *row, const char *field,
                       const yaml_node_t *value, void *at)
{
    size_t count = item_count(value), kept = 0;
    const char **list = arena_array(&r->config->arena, count + 1, sizeof *list);

    for (size_t i = 0; i < count; i++) {
        const yaml_node_t *item = item_of(r, value, i);
        if (is_text(item))
            list[kept++] =
                arena_copy(&r->config->arena, item->data.scalar.value, item->data.scalar.length);
        else
            refuse(r, row, arena_textf(&r->config->arena, "%s[%zu]", field, i),
                   item ? item : value);
    }
    *(const char *const **)at = list;
}

static void read_list(const struct reader *r, const struct config_row *row, const char *field,
                      const yaml_node_t *value, void *at)
{
    const struct config_section *of = row->section;
    struct config_list *list = at;
    size_t count = item_count(value);

    list->item = arena_array(&r->config->arena, count + 1, of->bytes);
    for (list->count = 0; list->count < count; list->count++) {
        const yaml_node_t *item = item_of(r, value, list->count);
        const struct target t = {
            .section = of,
            .base = (char *)list->item + list->count * of->bytes,
            .path = arena_textf(&r->config->arena, "%s[%u]", field, list->count),
        };
        section_defaults(r->config, of, t.base);
        note_place(r, &t, NULL, t.path, (item ? item : value)->start_mark);
        if (item && item->type == YAML_MAPPING_NODE)
            read_section(r, &t, item);
        else
            error_at(r, (item ? item : value)->start_mark, t.path,
                     "an item is a mapping, such as \"%s: %s\"", of->row[0].name, of->row[0].value);
    }
}

static void read_map(const struct reader *r, const struct config_row *row, const char *field,
                     const yaml_node_t *value, void *at)
{
    const struct target t = { row->section, at, field };
    struct target own = t;

    if (row->type == CONFIG_MAP_IF) {
        own.base = arena_alloc(&r->config->arena, row->section->bytes);
        section_defaults(r->config, row->section, own.base);
        *(void **)at = own.base;
    }
    note_place(r, &own, NULL, field, value->start_mark);
    read_section(r, &own, value);
}

static void read_value(const struct reader *r, const struct target *t, const struct config_row *row,
                       const yaml_node_t *value)
{
    bool list = row->type == CONFIG_LIST || row->type == CONFIG_TEXTS;
    bool map = row->type == CONFIG_MAP || row->type == CONFIG_MAP_IF;
    const char *field = field_of(r, t, row->name);
    void *at = (char *)t->base + row->place;

    note_place(r, t, row->name, field, value->start_mark);
    if (map && value->type == YAML_MAPPING_NODE)
        read_map(r, row, field, value, at);
    else if (row->type == CONFIG_LIST && value->type == YAML_SEQUENCE_NODE &&
             item_count(value) <= row->bounds.max)
        read_list(r, row, field, value, at);
    else if (row->type == CONFIG_TEXTS && value->type == YAML_SEQUENCE_NODE &&
             item_count(value) <= row->bounds.max)
        read_texts(r, row, field, value, at);
    else if (map || list || !is_text(value) || !scalar_store(r->config, row, text_of(value), at))
        refuse(r, row, field, value);
}

static bool stood_before(const struct reader *r, const yaml_node_t *mapping,
                         const yaml_node_pair_t *pair)
{
    const yaml_node_t *key = yaml_document_get_node(r->document, pair->key);

    for (const yaml_node_pair_t *p = mapping->data.mapping.pairs.start; p < pair; p++) {
        const yaml_node_t *other = yaml_document_get_node(r->document, p->key);
        if (other->type == YAML_SCALAR_NODE && str_eq(text_of(other), text_of(key)))
            return true;
    }
    return false;
}

static void read_section(const struct reader *r, const struct target *t, const yaml_node_t *mapping)
{
    for (const yaml_node_pair_t *p = mapping->data.mapping.pairs.start;
         p < mapping->data.mapping.pairs.top; p++) {
        const yaml_node_t *key = yaml_document_get_node(r->document, p->key);
        const yaml_node_t *value = yaml_document_get_node(r->document, p->value);
        assert(key && value); /* the parser made both */
        const struct config_row *row = row_of(t->section, key);
        if (key->type != YAML_SCALAR_NODE)
            error_at(r, key->start_mark, t->path, "a key is a word");
        else if (!row)
            unknown_key(r, t, key);
        else if (stood_before(r, mapping, p))
            error_at(r, key->start_mark, field_of(r, t, row->name),
                     "the key stands twice; remove one of them");
        else
            read_value(r, t, row, value);
    }
}

static void read_document(const struct reader *r, const yaml_node_t *root)
{
    const struct target top = { &config_root, r->config, "" };

    note_place(r, &top, NULL, "", root->start_mark);
    if (root->type == YAML_MAPPING_NODE)
        read_section(r, &top, root);
    else
        error_at(r, root->start_mark, "",
                 "the file takes keys and values; see `tranche help config`");
}

/* libyaml's words for the faults that people make, in ours. */
static const char *plain_words(const char *problem)
{
    static const struct {
        const char *theirs, *ours;
    } words[] = {
        { "did not find expected key",
          "a key is expected here; see that the keys of a mapping stand in one column" },
        { "did not find expected '-' indicator",
          "an item \"- \" is expected here; see that the items of a list stand in one column" },
        { "did not find expected ',' or ']'",
          "a list \"[\" has no end \"]\", or a comma is missing" },
        { "did not find expected ',' or '}'",
          "a mapping \"{\" has no end \"}\", or a comma is missing" },
        { "did not find expected node content", "a value is expected here" },
        { "mapping values are not allowed",
          "a second \": \" stands in one value; put the value in quotes, or begin a new line" },
        { "block sequence entries are not allowed",
          "an item \"- \" cannot begin here; begin it on a line of its own" },
        { "block mapping", "a key cannot begin here; begin it on a line of its own" },
        { "could not find expected ':'", "a key needs \": \" behind it" },
        { "found character that cannot start any token",
          "no value can begin so; indent by spaces (no tab), and put a text that begins with % @ "
          "or ` "
          "in quotes" },
        { "found a tab character", "a tab indents; indent by spaces" },
        { "found unexpected end of stream", "a quote is not closed" },
        { "found undefined alias",
          "no \"&NAME\" stands before this \"*NAME\"; put a text that begins "
          "with * in quotes" },
        { "found unknown escape character",
          "a \\ in double quotes is an escape; use single quotes" },
        { "did not find expected <document start>",
          "keys and values must begin in the first column" },
    };

    for (size_t i = 0; problem && i < ARRAY_LEN(words); i++)
        if (str_starts(str_of(problem), str_of(words[i].theirs)))
            return words[i].ours;
    return problem ? problem : "not YAML";
}

static void parse(const struct reader *r, yaml_parser_t *parser)
{
    for (int documents = 0; yaml_parser_load(parser, r->document); documents++) {
        const yaml_node_t *root = yaml_document_get_root_node(r->document);
        if (root && documents == 0)
            read_document(r, root);
        else if (root)
            error_at(r, root->start_mark, "", "a second document begins; the file has only one");
        yaml_document_delete(r->document);
        if (!root || documents > 0)
            return;
    }
    error_at(r, parser->problem_mark, "", "%s", plain_words(parser->problem));
}

void config_read(struct config *out, struct str text)
{
    yaml_document_t document;
    yaml_parser_t parser;
    const struct reader r = { .document = &document, .config = out };

    config_defaults(out);
    if (str_utf8_valid(text) != text.len) {
        config_error(out, NULL, NULL, "byte %zu is not UTF-8", str_utf8_valid(text) + 1);
        return;
    }
    int made = yaml_parser_initialize(&parser);
    assert(made); /* it only allocates */
    yaml_parser_set_input_string(&parser, (const unsigned char *)(text.p ? text.p : ""), text.len);
    parse(&r, &parser);
    yaml_parser_delete(&parser);
}
