#include "predict/local/constraint.h"

#include <pthread.h>

#include "base/thread.h"
#include "base/json_write.h"
#include "base/mem.h"
#include "format/request/schema.h"

/* A schema's text and what became of it. */
struct compiled {
    enum answer_form form;
    struct buf source;  /* JSON Schema, or the enum's values */
    struct buf grammar; /* empty when it failed */
    struct error error;
    uint64_t used; /* when last, by the count of uses */
};

struct constraints {
    struct runtime *runtime;
    pthread_mutex_t lock; /* guards everything below */
    struct compiled item[CONSTRAINTS_MAX];
    uint32_t count;
    uint64_t uses;
};

struct constraints *constraints_new(struct runtime *r)
{
    struct constraints *c = mem_alloc(sizeof *c);

    c->runtime = r;
    lock_init(&c->lock);
    return c;
}

void constraints_free(struct constraints *c)
{
    if (!c)
        return;
    for (uint32_t i = 0; i < c->count; i++) {
        buf_release(&c->item[i].source);
        buf_release(&c->item[i].grammar);
    }
    lock_destroy(&c->lock);
    mem_free(c);
}

const char *constraint_path(const struct generation *g)
{
    if (g->json_schema)
        return "generationConfig.responseJsonSchema";
    return g->schema ? "generationConfig.responseSchema" : "generationConfig.responseMimeType";
}

/* ---- From the request ---- */

/* The source of the grammar: equal for all requests that need the same grammar. */
static int write_source(const struct generation *g, struct buf *out, struct error *e)
{
    struct json_writer w = JSON_WRITER(out);

    if (g->form != ANSWER_ENUM && !g->json_schema && g->schema)
        return schema_to_json_schema(g->schema, out, e);
    if (g->form == ANSWER_ENUM)
        json_add_value(&w, NULL, request_field(g->schema, "enum"));
    else if (g->json_schema)
        json_add_value(&w, NULL, g->json_schema);
    else
        buf_add_c(out, "{}");
    return 0;
}

/* A byte of a value in a grammar's string. */
static void add_grammar_byte(struct buf *out, unsigned char c)
{
    if (c == '"' || c == '\\' || c < 0x20 || c == 0x7f)
        buf_addf(out, "\\x%02X", c);
    else
        buf_add_char(out, (char)c);
}

/* root ::= "first" | "second" */
static int choice_grammar(const struct generation *g, struct buf *out, struct error *e)
{
    yyjson_val *values = request_field(g->schema, "enum");
    yyjson_arr_iter it = yyjson_arr_iter_with(values);
    const char *before = "root ::= ";

    for (yyjson_val *v = yyjson_arr_iter_next(&it); v; v = yyjson_arr_iter_next(&it)) {
        struct str text = json_str(v);
        if (!text.len)
            return error_set(e, ERROR_INVALID_ARGUMENT, "an enum value must be a string with text");
        buf_add_c(out, before);
        before = " | ";
        buf_add_char(out, '"');
        for (size_t i = 0; i < text.len; i++)
            add_grammar_byte(out, (unsigned char)text.p[i]);
        buf_add_char(out, '"');
    }
    if (!out->len)
        return error_set(e, ERROR_INVALID_ARGUMENT, "text/x.enum needs a schema with enum values");
    return 0;
}

/* ---- Compiling ---- */

static int compile(struct runtime *r, const struct generation *g, struct compiled *k)
{
    struct error *e = &k->error;
    int rc = g->form == ANSWER_ENUM
                 ? choice_grammar(g, &k->grammar, e)
                 : r->ops->schema_grammar(r, buf_str(&k->source), &k->grammar, e);

    if (rc == 0 && !buf_ok(&k->grammar))
        rc = error_set(e, ERROR_INVALID_ARGUMENT, "its grammar is too large");
    if (rc == 0) {
        struct grammar *tried = r->ops->grammar_new(r, buf_str(&k->grammar), e);
        rc = tried ? 0 : -1;
        r->ops->grammar_free(tried);
    }
    if (rc < 0) {
        buf_release(&k->grammar);
        (void)error_wrap(e, "The schema cannot be followed");
    }
    return rc;
}

/* A place for one more: a new one, or that of the least recently used. */
static struct compiled *place(struct constraints *c)
{
    struct compiled *k = &c->item[0];

    if (c->count < CONSTRAINTS_MAX)
        k = &c->item[c->count++];
    else
        for (uint32_t i = 1; i < c->count; i++)
            if (c->item[i].used < k->used)
                k = &c->item[i];
    buf_release(&k->source);
    buf_release(&k->grammar);
    *k = (struct compiled){ .source = BUF_INIT(SCHEMA_BYTES_MAX),
                            .grammar = BUF_INIT(GRAMMAR_BYTES_MAX) };
    return k;
}

static struct compiled *find(struct constraints *c, enum answer_form form, struct str source)
{
    for (uint32_t i = 0; i < c->count; i++)
        if (c->item[i].form == form && str_eq(buf_str(&c->item[i].source), source))
            return &c->item[i];
    return NULL;
}

/* Under the lock: the compiled form of this source. */
static const struct compiled *compiled_of(struct constraints *c, const struct generation *g,
                                          struct str source)
{
    struct compiled *k = find(c, g->form, source);

    if (!k) {
        k = place(c);
        k->form = g->form;
        buf_add_str(&k->source, source);
        (void)compile(c->runtime, g, k);
    }
    k->used = ++c->uses;
    return k;
}

int constraint_of(struct constraints *c, const struct generation *g, struct buf *out,
                  struct error *e)
{
    struct buf source = BUF_INIT(SCHEMA_BYTES_MAX);
    int rc = -1;

    if (g->form == ANSWER_TEXT)
        return 0;
    if (write_source(g, &source, e) < 0)
        goto out;
    if (!buf_ok(&source)) {
        (void)error_set(e, ERROR_INVALID_ARGUMENT, "The schema is too large.");
        goto out;
    }
    lock(&c->lock);
    const struct compiled *k = compiled_of(c, g, buf_str(&source));
    if (k->error.code == ERROR_OK) {
        buf_add_str(out, buf_str(&k->grammar));
        rc = 0;
    } else {
        *e = k->error;
    }
    unlock(&c->lock);
out:
    buf_release(&source);
    return rc;
}
