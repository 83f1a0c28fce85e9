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

static void modalities_check(struct check *c, const struct place *at, yyjson_val *modalities)
{
    struct values it = values_of(modalities);
    struct place step;
    yyjson_val *modality;

    while ((modality = values_next(&it))) {
        struct str name = json_str(modality);
        if (str_eq_c(name, "IMAGE") || str_eq_c(name, "AUDIO") || str_eq_c(name, "VIDEO"))
            violation_remedy(check_fail(c, values_place(&it, &step, at),
                                        "responseModalities %.*s is not supported: answers "
                                        "are text.",
                                        STR_ARG(name)),
                             "Write TEXT, or leave responseModalities out.");
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

static void schemas_check(struct check *c, const struct place *at, yyjson_val *config)
{
    struct member google = { 0 }, json = { 0 };
    bool has_google = request_member(config, "responseSchema", &google);
    bool has_json = request_member(config, "responseJsonSchema", &json);
    struct place at_google = { .up = at, .key = google.key },
                 at_json = { .up = at, .key = json.key };
    struct member mime;

    if (has_google && has_json)
        violation_remedy(check_fail(c, &at_json,
                                    "responseJsonSchema cannot stand beside "
                                    "responseSchema."),
                         "Keep one of the two.");
    else if (has_google)
        schema_use_check(c, &at_google, "responseSchema", google.value, config);
    else if (has_json)
        schema_use_check(c, &at_json, "responseJsonSchema", json.value, config);
    else if (request_member(config, "responseMimeType", &mime) &&
             str_eq_c(json_str(mime.value), "text/x.enum")) {
        struct place here = { .up = at, .key = mime.key };
        enum_schema_check(c, &here, NULL);
    }
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
        { "responseModalities", modalities_check, false },
        { "logprobs", logprobs_check, true },
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
