#include "format/schema/reader.h"

#define SEVERAL "Write one schema for each case under anyOf."

// clang-format off
const struct keyword schema_keywords[] = {
    /* values */
    { "type",                 KEYWORD_FOLLOWED, read_type, "type or list of types", NULL },
    { "const",                KEYWORD_FOLLOWED, read_const, "the one value", NULL },
    { "enum",                 KEYWORD_FOLLOWED, read_enum, "the allowed values, at most 5000", NULL },
    { "nullable",             KEYWORD_FOLLOWED, read_nullable, "null is allowed too; in responseSchema only, elsewhere write it as a type", NULL },
    /* numbers */
    { "minimum",              KEYWORD_FOLLOWED, read_minimum, "smallest number; integers to 2^53", NULL },
    { "maximum",              KEYWORD_FOLLOWED, read_maximum, "largest number; integers to 2^53", NULL },
    { "exclusiveMinimum",     KEYWORD_FOLLOWED, read_exclusive_minimum, "numbers are above it", NULL },
    { "exclusiveMaximum",     KEYWORD_FOLLOWED, read_exclusive_maximum, "numbers are below it", NULL },
    { "multipleOf",           KEYWORD_FOLLOWED, read_multiple_of, "numbers are multiples of it", NULL },
    /* strings */
    { "minLength",            KEYWORD_FOLLOWED, read_count, "fewest characters", NULL },
    { "maxLength",            KEYWORD_FOLLOWED, read_count, "most characters", NULL },
    { "pattern",              KEYWORD_FOLLOWED, read_pattern, "regular expression that is found in the string", NULL },
    { "format",               KEYWORD_FOLLOWED, read_format, "format of a string or a number; upstream answers are not checked for it", NULL },
    /* arrays */
    { "items",                KEYWORD_FOLLOWED, read_items, "schema of the elements", NULL },
    { "prefixItems",          KEYWORD_FOLLOWED, read_prefix_items, "schemas of the first elements", NULL },
    { "additionalItems",      KEYWORD_FOLLOWED, read_additional_items, "schema of elements after a list of items (draft 7)", NULL },
    { "minItems",             KEYWORD_FOLLOWED, read_count, "fewest elements", NULL },
    { "maxItems",             KEYWORD_FOLLOWED, read_count, "most elements", NULL },
    { "uniqueItems",          KEYWORD_CHECKED,  read_unique, "no two elements are equal",
      "Remove it, or list the possible arrays with enum." },
    /* objects */
    { "properties",           KEYWORD_FOLLOWED, read_properties, "schemas of named properties, written in this order", NULL },
    { "required",             KEYWORD_FOLLOWED, read_required, "properties that must be there", NULL },
    { "additionalProperties", KEYWORD_FOLLOWED, read_additional, "schema of other properties, or false", NULL },
    { "patternProperties",    KEYWORD_FOLLOWED, read_pattern_properties, "schemas by pattern of the name, at most 4", NULL },
    { "propertyNames",        KEYWORD_FOLLOWED, read_property_names, "only {\"type\": \"string\"}, which says nothing", NULL },
    { "propertyOrdering",     KEYWORD_FOLLOWED, read_ordering, "order in which properties are written", NULL },
    { "minProperties",        KEYWORD_FOLLOWED, read_count, "fewest properties", NULL },
    { "maxProperties",        KEYWORD_FOLLOWED, read_count, "most properties", NULL },
    /* combinations */
    { "anyOf",                KEYWORD_FOLLOWED, read_combination, "at least one of the schemas", NULL },
    { "oneOf",                KEYWORD_FOLLOWED, read_combination, "exactly one; for the embedded engine no two may have a value in common", NULL },
    { "allOf",                KEYWORD_FOLLOWED, read_combination, "all of the schemas", NULL },
    { "not",                  KEYWORD_CHECKED,  read_not, "anything but the schema",
      "Say what the answer may be, for example with enum, a type or a pattern." },
    { "$ref",                 KEYWORD_FOLLOWED, read_ref, "a schema at another place of the document: \"#\", \"#/$defs/Name\"", NULL },
    { "$defs",                KEYWORD_FOLLOWED, read_defs, "schemas to refer to", NULL },
    { "definitions",          KEYWORD_FOLLOWED, read_defs, "schemas to refer to (draft 7)", NULL },
    /* annotations */
    { "$schema",              KEYWORD_ANNOTATION, read_dialect, "draft; 7 is read as draft 7, all others as 2020-12", NULL },
    { "$id",                  KEYWORD_ANNOTATION, read_id, "only at the root", NULL },
    { "$comment",             KEYWORD_ANNOTATION, NULL, "for readers", NULL },
    { "title",                KEYWORD_ANNOTATION, NULL, "for readers", NULL },
    { "description",          KEYWORD_ANNOTATION, NULL, "for readers; write it into the prompt if the model should know it", NULL },
    { "default",              KEYWORD_ANNOTATION, NULL, "for readers", NULL },
    { "example",              KEYWORD_ANNOTATION, NULL, "for readers", NULL },
    { "examples",             KEYWORD_ANNOTATION, NULL, "for readers", NULL },
    { "deprecated",           KEYWORD_ANNOTATION, NULL, "for readers", NULL },
    { "readOnly",             KEYWORD_ANNOTATION, NULL, "for readers", NULL },
    { "writeOnly",            KEYWORD_ANNOTATION, NULL, "for readers", NULL },
    { "contentEncoding",      KEYWORD_ANNOTATION, NULL, "for readers", NULL },
    { "contentMediaType",     KEYWORD_ANNOTATION, NULL, "for readers", NULL },
    { "discriminator",        KEYWORD_ANNOTATION, NULL, "for readers: anyOf and oneOf say the same", NULL },
    /* refused */
    { "if",                   KEYWORD_REFUSED, NULL, "", SEVERAL },
    { "then",                 KEYWORD_REFUSED, NULL, "", SEVERAL },
    { "else",                 KEYWORD_REFUSED, NULL, "", SEVERAL },
    { "dependentRequired",    KEYWORD_REFUSED, NULL, "", SEVERAL },
    { "dependentSchemas",     KEYWORD_REFUSED, NULL, "", SEVERAL },
    { "dependencies",         KEYWORD_REFUSED, NULL, "", SEVERAL },
    { "contains",             KEYWORD_REFUSED, NULL, "", "Say what the elements are with items or prefixItems." },
    { "minContains",          KEYWORD_REFUSED, NULL, "", "Say what the elements are with items or prefixItems." },
    { "maxContains",          KEYWORD_REFUSED, NULL, "", "Say what the elements are with items or prefixItems." },
    { "unevaluatedItems",     KEYWORD_REFUSED, NULL, "", "Use items with prefixItems." },
    { "unevaluatedProperties",KEYWORD_REFUSED, NULL, "", "Use additionalProperties." },
    { "contentSchema",        KEYWORD_REFUSED, NULL, "", "Write the schema in place, without encoding." },
    { "$anchor",              KEYWORD_REFUSED, NULL, "", "Refer by place: \"#/$defs/Name\"." },
    { "$dynamicAnchor",       KEYWORD_REFUSED, NULL, "", "Refer by place: \"#/$defs/Name\"." },
    { "$dynamicRef",          KEYWORD_REFUSED, NULL, "", "Refer by place with $ref: \"#/$defs/Name\"." },
    { "$recursiveRef",        KEYWORD_REFUSED, NULL, "", "Refer by place with $ref: \"#\"." },
    { "$recursiveAnchor",     KEYWORD_REFUSED, NULL, "", "Refer by place with $ref: \"#\"." },
    { "$vocabulary",          KEYWORD_REFUSED, NULL, "", "Remove it." },
    { "x-guidance",           KEYWORD_REFUSED, NULL, "", "Remove it: how the engine follows a schema is not the schema's to say." },
};
// clang-format on
const uint32_t schema_keyword_count = ARRAY_LEN(schema_keywords);

const struct keyword *schema_keyword_find(struct str name)
{
    for (uint32_t i = 0; i < schema_keyword_count; i++)
        if (str_eq_c(name, schema_keywords[i].name))
            return &schema_keywords[i];
    return NULL;
}

const char *schema_keyword_remedy(const char *name)
{
    return schema_keyword_find(str_of(name))->remedy;
}

bool schema_keyword_at(uint32_t i, struct schema_keyword_info *out)
{
    static const char *const embedded[] = { "followed", "refused", "ignored", "refused" };
    static const char *const upstream[] = { "checked", "checked", "ignored", "refused" };

    if (i >= schema_keyword_count)
        return false;
    const struct keyword *k = &schema_keywords[i];
    *out = (struct schema_keyword_info){
        .name = k->name,
        .embedded = embedded[k->fate],
        .upstream = upstream[k->fate],
        .about = k->fate == KEYWORD_REFUSED ? k->remedy : k->about,
    };
    return true;
}
