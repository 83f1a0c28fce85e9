#include "format/tools/functions.h"

#include "base/mem.h"

#define RETURNS "Returns JSON of this schema: "

struct functions functions_of(const struct request *r)
{
    return (struct functions){ .tools = values_of(r->tools) };
}

bool functions_next(struct functions *it, struct function *out)
{
    yyjson_val *object, *tool, *google;

    while (!(object = values_next(&it->functions))) {
        tool = values_next(&it->tools);
        if (!tool)
            return false;
        it->functions = values_of(request_field(tool, "functionDeclarations"));
    }
    google = request_field(object, "parameters");
    *out = (struct function){
        .object = object,
        .name = json_str(request_field(object, "name")),
        .description = json_str(request_field(object, "description")),
        .schema = google ? google : request_field(object, "parametersJsonSchema"),
        .dialect = google ? SCHEMA_GOOGLE : SCHEMA_JSON,
        .member = google ? "parameters" : "parametersJsonSchema",
        .tool = it->tools.index - 1,
        .index = it->functions.index - 1,
    };
    return true;
}

struct str function_description(const struct function *f, struct arena *a)
{
    yyjson_val *returns = request_field(f->object, "response");

    if (!returns)
        returns = request_field(f->object, "responseJsonSchema");
    if (!returns || (yyjson_is_ctn(returns) && !unsafe_yyjson_get_len(returns)))
        return f->description;
    struct str schema = json_text(a, returns);
    return str_of(arena_textf(a, "%.*s%s" RETURNS "%.*s", STR_ARG(f->description),
                              f->description.len ? "\n" : "", STR_ARG(schema)));
}

static enum calling calling_of(struct str mode)
{
    static const struct {
        const char *mode;
        enum calling calling;
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

/* Names past the limit, which validation refuses, are not looked at. */
bool function_allowed(const struct function_choice *c, struct str name)
{
    struct values it = values_of(c->allowed);
    yyjson_val *allowed;

    if (!it.count)
        return true;
    while (it.index < FUNCTIONS_ALLOWED_MAX && (allowed = values_next(&it)))
        if (str_eq(json_str(allowed), name))
            return true;
    return false;
}

struct function_choice function_choice_of(const struct request *r)
{
    yyjson_val *config = request_field(r->tool_config, "functionCallingConfig");
    struct functions it = functions_of(r);
    struct function_choice c = {
        .calling = calling_of(json_str(request_field(config, "mode"))),
        .allowed = request_field(config, "allowedFunctionNames"),
    };
    struct function f;

    while (functions_next(&it, &f)) {
        c.declared++;
        c.count += function_allowed(&c, f.name);
    }
    return c;
}

bool function_find(const struct request *r, struct str name, struct function *out)
{
    struct function_choice c = function_choice_of(r);
    struct functions it = functions_of(r);

    while (functions_next(&it, out))
        if (str_eq(out->name, name))
            return function_allowed(&c, name);
    return false;
}
