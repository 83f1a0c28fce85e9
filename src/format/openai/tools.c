/* tools.c -- functionDeclarations as tools, functionCallingConfig as tool_choice. */
#include "format/openai/openai_inner.h"

/* A function that must be called as declared is strict when that is possible. */
static int add_parameters(struct json_writer *w, const struct function *f, bool validated,
                          struct error *e)
{
    struct arena scratch = { 0 };
    yyjson_val *json;

    if (!f->schema) {
        json_add_raw(w, "parameters",
                     STR("{\"type\":\"object\",\"properties\":{}}")); /* some want it */
        return 0;
    }
    int rc = openai_schema_read(&scratch, f->schema, f->dialect == SCHEMA_GOOGLE, &json, e);
    if (rc == 0 && validated && openai_schema_strict(json))
        json_add_bool(w, "strict", true);
    if (rc == 0)
        openai_schema_add(w, "parameters", json);
    arena_release(&scratch);
    return rc;
}

static int add_function(struct json_writer *w, const struct function *f, bool validated,
                        struct error *e)
{
    struct arena scratch = { 0 };
    struct str description = function_description(f, &scratch);

    json_object(w, NULL);
    json_add_c(w, "type", "function");
    json_object(w, "function");
    json_add_text(w, "name", f->name);
    if (description.len)
        json_add_text(w, "description", description);
    arena_release(&scratch);
    if (add_parameters(w, f, validated, e) < 0)
        return error_wrap(e, "the parameters of %.*s", STR_ARG(f->name));
    json_end(w);
    json_end(w);
    return 0;
}

/* AUTO is a server's default. A function that must be called is the only one sent and not named:
 * llama-server takes a choice that is an object for AUTO. */
int openai_tools_add(struct json_writer *w, const struct request *r, struct error *e)
{
    struct function_choice c = function_choice_of(r);
    struct functions it = functions_of(r);
    struct function f;

    if (!c.count && c.calling == CALLING_ANY)
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "A function must be called, but there is none.");
    if (!c.count)
        return 0;
    json_array(w, "tools");
    while (functions_next(&it, &f))
        if (function_allowed(&c, f.name) &&
            add_function(w, &f, c.calling == CALLING_VALIDATED, e) < 0)
            return -1;
    json_end(w);
    if (c.calling == CALLING_NONE)
        json_add_c(w, "tool_choice", "none");
    else if (c.calling == CALLING_ANY)
        json_add_c(w, "tool_choice", "required");
    return 0;
}
