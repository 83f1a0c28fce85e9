#include "format/tools/call_grammar.h"

#include <stdio.h>
#include <string.h>

/* ---- One function's schema ---- */

/* The path of a fault within the schema, from the request. */
static void path_extend(const struct function *f, struct schema_fault *why)
{
    char below[SCHEMA_PATH_BYTES];
    bool dot = why->path[0] && why->path[0] != '[';

    memcpy(below, why->path, sizeof below);
    (void)snprintf(why->path, sizeof why->path, "tools[%zu].functionDeclarations[%zu]%s%s%s%.90s",
                   f->tool, f->index, f->schema ? "." : "", f->schema ? f->member : "",
                   dot ? "." : "", below);
}

/* The schema as it is, or with the type that it leaves out; NULL when it is of something else. */
static yyjson_val *object_schema(const struct function *f, struct arena *a)
{
    static const struct str none =
        STR_INIT("{\"type\":\"object\",\"properties\":{},\"additionalProperties\":false}");
    yyjson_val *type = request_field(f->schema, "type");
    struct error e = { 0 };
    size_t at;

    if (!f->schema)
        return json_parse(a, none, &at, &e);
    if (!yyjson_is_obj(f->schema))
        return NULL;
    if (type && !str_ends(json_str(type), STR("UNSPECIFIED")))
        return lower_equal(json_str(type), "object") ? f->schema : NULL;
    struct str text = json_text(a, f->schema);
    const char *whole =
        arena_textf(a, "{\"type\":\"%s\"%s%.*s", f->dialect == SCHEMA_GOOGLE ? "OBJECT" : "object",
                    yyjson_obj_size(f->schema) ? "," : "", STR_ARG(str_sub(text, 1, SIZE_MAX)));
    return json_parse(a, str_of(whole), &at, &e);
}

struct schema *function_schema_read(const struct function *f, enum schema_use use, struct arena *a,
                                    struct schema_fault *why)
{
    yyjson_val *written = object_schema(f, a);
    struct schema *s = NULL;

    *why = (struct schema_fault){ .message = "The parameters of a function must be an object.",
                                  .remedy = "Write \"type\": \"object\" and its properties." };
    if (written)
        s = schema_read(written, f->schema ? f->dialect : SCHEMA_JSON, use, why);
    if (!s)
        path_extend(f, why);
    return s;
}

/* ---- The grammar ---- */

static void names_add(struct arena *a, struct call_names *names, const struct schema *s)
{
    uint32_t count;
    const struct str *name = schema_pattern_names(s, &count);

    names->limited |= schema_limits_names(s);
    for (uint32_t i = 0; i < count; i++) {
        names->name = arena_list_grow(a, names->name, names->count, sizeof *names->name);
        names->name[names->count++] =
            (struct str){ arena_copy(a, name[i].p, name[i].len), name[i].len };
    }
}

/* The rules of one function's arguments; *start is the first of them. */
static bool arguments_write(const struct function *f, struct arena *a, struct schema_parts *parts,
                            struct buf *out, struct call_names *names, struct schema_fault *why)
{
    struct schema *s = function_schema_read(f, SCHEMA_GRAMMAR, a, why);

    if (!s)
        return false;
    bool made = schema_grammar_part(s, parts, out, why);
    if (made)
        names_add(a, names, s);
    else
        path_extend(f, why);
    schema_free(s);
    return made;
}

static void start_write(enum call_format f, struct buf *out)
{
    switch (f) {
    case CALLS_HERMES:
        buf_addf(out, "start: call (\"\\n\" call){0,%d}\n", CALLS_FORCED_MAX - 1);
        buf_add_c(out, "call: \"<tool_call>\\n\" object \"\\n</tool_call>\"\n");
        break;
    case CALLS_SMOLLM2:
        buf_addf(out, "start: \"<tool_call>[\" object (\", \" object){0,%d} \"]</tool_call>\"\n",
                 CALLS_FORCED_MAX - 1);
        break;
    case CALLS_GEMMA:
        buf_addf(out, "start: \"[\" object (\", \" object){0,%d} \"]\"\n", CALLS_FORCED_MAX - 1);
        break;
    case CALLS_LLAMA3:
        buf_add_c(out, "start: object\n");
        break;
    case CALLS_AUTO:
    case CALLS_NONE:
        break;
    }
}

/* A function's name needs no escape: rule_function has checked it. */
bool call_grammar_write(const struct request *r, enum call_format f, struct arena *a,
                        struct buf *out, struct call_names *names, struct schema_fault *why)
{
    const struct function_choice choice = function_choice_of(r);
    struct functions it = functions_of(r);
    struct schema_parts parts = { 0 };
    struct buf rules = BUF_INIT(SCHEMA_GRAMMAR_BYTES_MAX);
    struct function function;
    const char *before = "object: ";
    bool ok = true;

    start_write(f, out);
    while (ok && functions_next(&it, &function)) {
        if (!function_allowed(&choice, function.name))
            continue;
        ok = arguments_write(&function, a, &parts, &rules, names, why);
        buf_addf(out, "%s\"{\\\"name\\\": \\\"%.*s\\\", \\\"%s\\\": \" r%u \"}\"", before,
                 STR_ARG(function.name), call_arguments_key(f), parts.start);
        before = " | ";
    }
    buf_add_char(out, '\n');
    buf_add_str(out, buf_str(&rules));
    if (ok && (!buf_ok(out) || !buf_ok(&rules))) {
        *why = (struct schema_fault){ "tools", "The grammar of the functions is too large.",
                                      "Declare fewer functions, or smaller schemas." };
        ok = false;
    }
    buf_release(&rules);
    return ok;
}
