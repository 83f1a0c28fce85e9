/* tools.c -- functionDeclarations as tools, functionCallingConfig as tool_choice. */
#include "format/openai/openai_inner.h"

#include "base/mem.h"

struct openai_functions openai_functions_of(const struct request *r)
{
    return (struct openai_functions){ .tools = values_of(r->tools) };
}

yyjson_val *openai_functions_next(struct openai_functions *it)
{
    yyjson_val *function, *tool;

    while (!(function = values_next(&it->functions))) {
        tool = values_next(&it->tools);
        if (!tool)
            return NULL;
        it->functions = values_of(request_field(tool, "functionDeclarations"));
    }
    return function;
}

static struct str name_of(yyjson_val *function)
{
    return json_str(request_field(function, "name"));
}

/* Names past the limit, which openai_accepts refuses, are not looked at. */
static bool is_allowed(yyjson_val *allowed, yyjson_val *function)
{
    struct values it = values_of(allowed);
    yyjson_val *name;

    if (!it.count)
        return true;
    while (it.index < OPENAI_FUNCTIONS_MAX && (name = values_next(&it)))
        if (str_eq(json_str(name), name_of(function)))
            return true;
    return false;
}

static enum openai_calling calling_of(struct str mode)
{
    static const struct {
        const char *mode;
        enum openai_calling calling;
    } modes[] = {
        { "ANY", CALLING_ANY },
        { "NONE", CALLING_NONE },
        { "VALIDATED", CALLING_VALIDATED },
    };

    for (size_t i = 0; i < ARRAY_LEN(modes); i++)
        if (str_eq_c(mode, modes[i].mode))
            return modes[i].calling;
    return CALLING_AUTO;
}

struct openai_choice openai_choice_of(const struct request *r)
{
    yyjson_val *config = request_field(r->tool_config, "functionCallingConfig");
    struct openai_functions it = openai_functions_of(r);
    struct openai_choice c = {
        .calling = calling_of(json_str(request_field(config, "mode"))),
        .allowed = request_field(config, "allowedFunctionNames"),
    };
    yyjson_val *function;

    while ((function = openai_functions_next(&it)))
        c.count += is_allowed(c.allowed, function);
    return c;
}

/* A function that must be called as declared is strict when that is possible. */
static int add_parameters(struct json_writer *w, yyjson_val *function, bool validated,
                          struct error *e)
{
    yyjson_val *google = request_field(function, "parameters");
    yyjson_val *schema = google ? google : request_field(function, "parametersJsonSchema");
    struct arena scratch = { 0 };
    yyjson_val *json;

    if (!schema) {
        json_add_raw(w, "parameters",
                     STR("{\"type\":\"object\",\"properties\":{}}")); /* some want it */
        return 0;
    }
    int rc = openai_schema_read(&scratch, schema, google != NULL, &json, e);
    if (rc == 0 && validated && openai_schema_strict(json))
        json_add_bool(w, "strict", true);
    if (rc == 0)
        openai_schema_add(w, "parameters", json);
    arena_release(&scratch);
    return rc;
}

static int add_function(struct json_writer *w, yyjson_val *function, bool validated,
                        struct error *e)
{
    struct str description = json_str(request_field(function, "description"));

    json_object(w, NULL);
    json_add_c(w, "type", "function");
    json_object(w, "function");
    json_add_text(w, "name", name_of(function));
    if (description.len)
        json_add_text(w, "description", description);
    if (add_parameters(w, function, validated, e) < 0)
        return error_wrap(e, "the parameters of %.*s", STR_ARG(name_of(function)));
    json_end(w);
    json_end(w);
    return 0;
}

/* AUTO is a server's default. A function that must be called is the only one sent and not named:
 * llama-server takes a choice that is an object for AUTO. */
int openai_tools_add(struct json_writer *w, const struct request *r, struct error *e)
{
    struct openai_choice c = openai_choice_of(r);
    struct openai_functions it = openai_functions_of(r);
    yyjson_val *function;

    if (!c.count && c.calling == CALLING_ANY)
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "A function must be called, but there is none.");
    if (!c.count)
        return 0;
    json_array(w, "tools");
    while ((function = openai_functions_next(&it)))
        if (is_allowed(c.allowed, function) &&
            add_function(w, function, c.calling == CALLING_VALIDATED, e) < 0)
            return -1;
    json_end(w);
    if (c.calling == CALLING_NONE)
        json_add_c(w, "tool_choice", "none");
    else if (c.calling == CALLING_ANY)
        json_add_c(w, "tool_choice", "required");
    return 0;
}
