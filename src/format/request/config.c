/* config.c -- rules over the fields of generationConfig and of a schema. */
#include "format/request/fields.h"

#include "base/mem.h"
#include "format/request/request.h"

static void stops_check(struct check *c, const struct place *at, yyjson_val *stops)
{
    struct values it = values_of(stops);
    struct place step;
    yyjson_val *stop;

    if (it.count > REQUEST_STOP_SEQUENCES_MAX)
        violation_remedy(check_fail(c, at,
                                    "Unable to submit request because it has a stopSequences "
                                    "count of %zu but the supported range is from 1 "
                                    "(inclusive) to %d (exclusive).",
                                    it.count, REQUEST_STOP_SEQUENCES_MAX + 1),
                         "Update the value and try again.");
    while ((stop = values_next(&it))) {
        size_t bytes = json_str(stop).len;
        if (yyjson_is_str(stop) && (bytes == 0 || bytes > REQUEST_STOP_BYTES_MAX))
            violation_remedy(check_fail(c, values_place(&it, &step, at),
                                        "A stop sequence has %zu bytes, but 1 to %d are "
                                        "allowed.",
                                        bytes, REQUEST_STOP_BYTES_MAX),
                             bytes ? "Shorten it." : "Remove it.");
    }
}

static void logprobs_check(struct check *c, const struct place *at, yyjson_val *config)
{
    yyjson_val *wanted = request_field(config, "responseLogprobs");

    if (!yyjson_is_true(wanted))
        violation_remedy(check_fail(c, at, "logprobs is set, but responseLogprobs is not true."),
                         "Set responseLogprobs to true, or remove logprobs.");
}

/* text/x.enum answers with one of the schema's values. */
static void enum_schema_check(struct check *c, const struct place *at, yyjson_val *schema)
{
    if (values_of(request_field(schema, "enum")).count == 0)
        violation_remedy(check_fail(c, at, "The text/x.enum answer has no values to choose from."),
                         "Give the schema its values: {\"type\": \"STRING\", \"enum\": [\"A\", "
                         "\"B\"]}.");
}

static void schema_use_check(struct check *c, const struct place *at, const char *name,
                             yyjson_val *schema, yyjson_val *config)
{
    struct str mime = json_str(request_field(config, "responseMimeType"));

    if (str_eq_c(mime, "text/x.enum"))
        enum_schema_check(c, at, schema);
    else if (!str_eq_c(mime, "application/json"))
        violation_remedy(check_fail(c, at,
                                    "%s is only allowed with the responseMimeType "
                                    "application/json or text/x.enum.",
                                    name),
                         "Set responseMimeType to application/json.");
}

/* The schemas that may stand beside a responseMimeType. The last is the name that Google's Python SDK had
 * for the second. */
static const char *const schema_fields[] = { "responseSchema", "responseJsonSchema",
                                             "_responseJsonSchema" };

static void schemas_check(struct check *c, const struct place *at, yyjson_val *config)
{
    const char *found = NULL;
    struct member m;

    for (size_t i = 0; i < ARRAY_LEN(schema_fields); i++) {
        if (!request_member(config, schema_fields[i], &m))
            continue;
        struct place here = { .up = at, .key = m.key };
        if (found)
            violation_remedy(
                check_fail(c, &here, "%s cannot stand beside %s.", schema_fields[i], found),
                "Keep one of the two.");
        else
            schema_use_check(c, &here, schema_fields[i], m.value, config);
        found = schema_fields[i];
    }
    if (!found && request_member(config, "responseMimeType", &m) &&
        str_eq_c(json_str(m.value), "text/x.enum")) {
        struct place here = { .up = at, .key = m.key };
        enum_schema_check(c, &here, NULL);
    }
}

/* Members of generationConfig that a responseFormat for text replaces. */
static void format_alone_check(struct check *c, const struct place *at, yyjson_val *config)
{
    static const char *const older[] = { "responseMimeType", "responseSchema", "responseJsonSchema",
                                         "_responseJsonSchema" };
    struct member m;

    for (size_t i = 0; i < ARRAY_LEN(older); i++)
        if (request_member(config, older[i], &m))
            violation_remedy(check_fail(c, at, "responseFormat cannot stand beside %s.", older[i]),
                             "Keep one of the two.");
}

static void format_check(struct check *c, const struct place *at, yyjson_val *config)
{
    struct values it = values_of(request_field(config, "responseFormat"));
    yyjson_val *format, *text;
    struct member schema;
    struct place step;
    unsigned texts = 0;

    while ((format = values_next(&it))) {
        if (!(text = request_field(format, "text")))
            continue;
        const struct place *here = values_place(&it, &step, at);
        struct str mime = json_str(request_field(text, "mimeType"));
        if (texts++)
            violation_remedy(check_fail(c, here, "responseFormat has more than one text."),
                             "Keep one of them.");
        if (str_ends(mime, STR("PLAIN")) || str_eq_c(mime, "text/plain")) {
            struct place in_text = { .up = here, .key = STR("text") };
            if (!request_member(text, "schema", &schema))
                continue;
            struct place at_schema = { .up = &in_text, .key = schema.key };
            violation_remedy(check_fail(c, &at_schema,
                                        "schema is only allowed with the mimeType "
                                        "APPLICATION_JSON."),
                             "Set mimeType to APPLICATION_JSON.");
        }
    }
    if (texts)
        format_alone_check(c, at, config);
}

/* Rules of single fields of generationConfig, called with the field's place and value. */
void rule_generation(struct check *c, const struct place *at, yyjson_val *config)
{
    static const struct {
        const char *field;
        void (*check)(struct check *c, const struct place *at, yyjson_val *value);
        bool of_config; /* the rule looks at the whole config */
    } rules[] = {
        { "stopSequences", stops_check, false },
        { "logprobs", logprobs_check, true },
        { "responseFormat", format_check, true },
    };
    struct member m;

    for (size_t i = 0; i < ARRAY_LEN(rules); i++) {
        if (!request_member(config, rules[i].field, &m))
            continue;
        struct place here = { .up = at, .key = m.key };
        rules[i].check(c, &here, rules[i].of_config ? config : m.value);
    }
    schemas_check(c, at, config);
}

static void required_check(struct check *c, const struct place *at, yyjson_val *required,
                           yyjson_val *properties)
{
    struct values it = values_of(properties ? required : NULL);
    struct place step;
    yyjson_val *name;

    while ((name = values_next(&it)))
        if (yyjson_is_str(name) &&
            !yyjson_obj_getn(properties, json_str(name).p, json_str(name).len))
            violation_remedy(check_fail(c, values_place(&it, &step, at),
                                        "The required property %s is not among the "
                                        "schema's properties.",
                                        quote(json_str(name)).text),
                             "Define it in properties, or remove it from required.");
}

/* Each required name is looked for among all properties, so neither may be without bound. */
static bool schema_size_check(struct check *c, const struct place *at, yyjson_val *schema)
{
    static const char *const lists[] = { "properties", "required", "propertyOrdering" };
    bool small = true;
    struct member m;

    for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
        if (!request_member(schema, lists[i], &m))
            continue;
        size_t count = yyjson_is_obj(m.value) ? yyjson_obj_size(m.value) : values_of(m.value).count;
        struct place here = { .up = at, .key = m.key };
        if (count <= SCHEMA_PROPERTIES_MAX)
            continue;
        small = false;
        violation_remedy(check_fail(c, &here, "%s has %zu names, but at most %d are allowed.",
                                    lists[i], count, SCHEMA_PROPERTIES_MAX),
                         "Gather properties in objects below this one.");
    }
    return small;
}

void rule_schema(struct check *c, const struct place *at, yyjson_val *schema)
{
    struct str type = json_str(request_field(schema, "type"));
    struct member m;

    if (lower_equal(type, "ARRAY") && !request_member(schema, "items", &m))
        violation_remedy(check_fail(c, at, "A schema of type ARRAY has no items."),
                         "Add the elements' schema: \"items\": {\"type\": \"STRING\"}.");
    if (schema_size_check(c, at, schema) && request_member(schema, "required", &m)) {
        struct place here = { .up = at, .key = m.key };
        required_check(c, &here, m.value, request_field(schema, "properties"));
    }
}
