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

    while ((function = openai_functions_next(&it))) {
        c.count += is_allowed(c.allowed, function);
    }
    return c;
}

int openai_parameters_write(yyjson_val *function, struct buf *out, struct error *e)
{
    yyjson_val *google = request_field(function, "parameters");
    yyjson_val *schema = google ? google : request_field(function, "parametersJsonSchema");

    if (schema)
        return openai_schema_write(schema, google != NULL, out, e);
    ADD(out, "{\"type\":\"object\",\"properties\":{}}"); /* some servers want it to be there */
    return 0;
}

static bool is_strict(yyjson_val *function)
{
    yyjson_val *google = request_field(function, "parameters");
    yyjson_val *json = request_field(function, "parametersJsonSchema");

    return google ? openai_schema_strict(google, true) : json && openai_schema_strict(json, false);
}

static int write_function(yyjson_val *function, bool validated, struct buf *out, struct error *e)
{
    struct str description = json_str(request_field(function, "description"));

    ADD(out, "{\"type\":\"function\",\"function\":{\"name\":");
    buf_add_json(out, name_of(function));
    if (description.len) {
        ADD(out, ",\"description\":");
        buf_add_json(out, description);
    }
    if (validated && is_strict(function))
        ADD(out, ",\"strict\":true");
    ADD(out, ",\"parameters\":");
    if (openai_parameters_write(function, out, e) < 0)
        return error_wrap(e, "the parameters of %.*s", STR_ARG(name_of(function)));
    ADD(out, "}}");
    return 0;
}

/* AUTO is what a server does untold. A function that must be called is the only one sent and not
 * named: llama-server takes a choice that is an object for AUTO. */
static void write_choice(enum openai_calling calling, struct buf *out)
{
    if (calling == CALLING_NONE)
        ADD(out, ",\"tool_choice\":\"none\"");
    else if (calling == CALLING_ANY)
        ADD(out, ",\"tool_choice\":\"required\"");
}

int openai_tools_write(const struct request *r, struct buf *out, struct error *e)
{
    struct openai_choice c = openai_choice_of(r);
    struct openai_functions it = openai_functions_of(r);
    const char *comma = "";
    yyjson_val *function;

    if (!c.count && c.calling == CALLING_ANY)
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "A function must be called, but there is none.");
    if (!c.count)
        return 0;
    ADD(out, ",\"tools\":[");
    while ((function = openai_functions_next(&it))) {
        if (!is_allowed(c.allowed, function))
            continue;
        buf_add_c(out, comma);
        comma = ",";
        if (write_function(function, c.calling == CALLING_VALIDATED, out, e) < 0)
            return -1;
    }
    buf_add_char(out, ']');
    write_choice(c.calling, out);
    return 0;
}
