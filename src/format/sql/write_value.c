/* write_value.c -- see write.h: expressions that have no others in them: literals, names, parameters, system variables. */
#include <string.h>

#include "format/sql/lexer.h"
#include "format/sql/write.h"

/* ---- Literals ---- */

void sql_write_text(struct sql_writer *w, const char *text)
{
    buf_add_c(&w->out, text);
}

/* 'it''s'; a NUL, which DuckDB's parser does not read, becomes chr(0). */
void sql_write_string(struct sql_writer *w, struct str text)
{
    bool nul = text.len && memchr(text.p, '\0', text.len);

    buf_add_c(&w->out, nul ? "('" : "'");
    for (size_t i = 0; i < text.len; i++)
        if (text.p[i] == '\0')
            buf_add_c(&w->out, "' || chr(0) || '");
        else if (text.p[i] == '\'')
            buf_add_c(&w->out, "''");
        else
            buf_add_char(&w->out, text.p[i]);
    buf_add_c(&w->out, nul ? "')" : "'");
}

void write_bytes(struct sql_writer *w, struct str bytes)
{
    static const char digits[] = "0123456789ABCDEF";

    buf_add_c(&w->out, "'");
    for (size_t i = 0; i < bytes.len; i++) {
        unsigned char b = (unsigned char)bytes.p[i];
        char text[5] = { '\\', 'x', digits[b >> 4], digits[b & 15], '\0' };
        buf_add_c(&w->out, text);
    }
    buf_add_c(&w->out, "'::BLOB");
}

void write_float(struct sql_writer *w, struct str text)
{
    bool exponent = memchr(text.p, 'e', text.len) || memchr(text.p, 'E', text.len);
    bool odd = text.p[0] == '.' || memchr(text.p, '.', text.len) == text.p + text.len - 1 ||
               str_find(text, STR(".e")) != SIZE_MAX || str_find(text, STR(".E")) != SIZE_MAX;

    if (odd)
        buf_addf(&w->out, "'%.*s'::DOUBLE", STR_ARG(text));
    else
        buf_addf(&w->out, "%.*s%s", STR_ARG(text), exponent ? "" : "e0");
}

/* ---- Names ---- */

/* A temporary function's argument: its text stands in the body. */
static bool write_argument(struct sql_writer *w, struct str name)
{
    for (uint32_t i = 0; w->frame && i < w->frame->count; i++)
        if (same_name(w->frame->argument[i].name, name)) {
            buf_add_str(&w->out, w->frame->argument[i].text);
            return true;
        }
    return false;
}

static void write_lower(struct sql_writer *w, struct str name)
{
    for (size_t i = 0; i < name.len; i++) {
        char c = name.p[i];
        buf_add_char(&w->out, c >= 'A' && c <= 'Z' ? (char)(c + 32) : c);
    }
}

/* A bound value, whose type the binder must know before it is bound. */
static void write_bound(struct sql_writer *w, char kind, struct str name,
                        const struct bq_field *type)
{
    buf_addf(&w->out, "CAST($%c_", kind);
    write_lower(w, name);
    buf_add_c(&w->out, " AS ");
    write_type(w, type);
    buf_add_c(&w->out, ")");
}

int write_name_expr(struct sql_writer *w, const struct expr *x)
{
    const struct range_column *range;
    const struct sql_variable *variable;

    if (write_argument(w, x->text))
        return 0;
    range = scope_range(w, x->text);
    if (range) {
        buf_add_str(&w->out, range->printed);
        return 0;
    }
    variable = scope_find(w, x->text) ? NULL : find_variable(w, x->text);
    if (variable && !scope_has_column(w, x->text)) {
        write_bound(w, 'v', x->text, &variable->type);
        return 0;
    }
    if (sql_word_is(x->text, "_PARTITIONDATE") && !scope_lacks(w, STR("_PARTITIONTIME"))) {
        buf_add_c(&w->out, "CAST(\"_PARTITIONTIME\" AS DATE)");
        return 0;
    }
    const struct source *source = scope_find(w, x->text);
    if (!source && scope_lacks(w, x->text))
        return write_fail(w, x->at, "Unrecognized name: %.*s", STR_ARG(x->text));
    const struct source *owner = source ? NULL : scope_outer_owner(w, x->text);
    if (source)
        buf_add_str(&w->out, source->printed); /* the row as a STRUCT */
    else if (owner) /* DuckDB would take an alias of the inner list first */
        buf_addf(&w->out, "%.*s.", STR_ARG(owner->printed));
    if (!source)
        write_name(w, x->text);
    return 0;
}

int write_parameter(struct sql_writer *w, const struct expr *x)
{
    const struct sql_env *env = w->env;
    bool by_place = x->text.p[0] >= '0' && x->text.p[0] <= '9';
    uint64_t place = 0;

    if (by_place && str_number(x->text, &place) && place > 0 && place <= env->parameter_count &&
        !env->parameter[place - 1].name.len) {
        write_bound(w, 'p', x->text, &env->parameter[place - 1].type);
        return 0;
    }
    for (uint32_t i = 0; !by_place && i < env->parameter_count; i++)
        if (same_name(env->parameter[i].name, x->text)) {
            write_bound(w, 'p', x->text, &env->parameter[i].type);
            return 0;
        }
    if (!env->dry_run)
        return by_place
                   ? write_fail(w, x->at, "Query parameter number %.*s not found", STR_ARG(x->text))
                   : write_fail(w, x->at, "Query parameter '%.*s' not found", STR_ARG(x->text));
    struct sql_written *out = w->written;
    out->undeclared =
        arena_list_grow(w->arena, out->undeclared, out->undeclared_count, sizeof(*out->undeclared));
    out->undeclared[out->undeclared_count++] =
        (struct bq_field){ .name = by_place ? (struct str){ 0 } : x->text, .type = BQ_STRING };
    buf_add_c(&w->out, "NULL");
    return 0;
}

int write_system(struct sql_writer *w, const struct expr *x)
{
    const struct sql_env *env = w->env;
    const struct {
        const char *name;
        struct str value;
    } texts[] = {
        { "PROJECT_ID", env->project },
        { "DATASET_ID", env->default_dataset.dataset },
        { "DATASET_PROJECT_ID", env->default_dataset.project },
        { "TIME_ZONE", STR("UTC") },
        { "SESSION_ID", env->session_id },
        { "LOCATION", env->location },
        { "ERROR.MESSAGE", env->error_message },
        { "ERROR.STATEMENT_TEXT", env->error_statement },
        { "SCRIPT.JOB_ID", env->job_id },
        { "LAST_JOB_ID", env->job_id },
    };

    if (sql_word_is(x->text, "ROW_COUNT")) {
        buf_addf(&w->out, "%lld::BIGINT", (long long)env->row_count);
        return 0;
    }
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        if (sql_word_is(x->text, texts[i].name)) {
            if (texts[i].value.len)
                sql_write_string(w, texts[i].value);
            else
                buf_add_c(&w->out, "CAST(NULL AS VARCHAR)");
            return 0;
        }
    return write_fail(w, x->at, "Unrecognized system variable: @@%.*s", STR_ARG(x->text));
}
