/* formats.c -- the formats of strings: a pattern each, which every answer of that format matches.
 *
 * Why: a format that nothing follows would be dropped in silence. Each pattern is a part of what its
 * standard allows, wide enough for what people write; a generated answer then satisfies any checker.
 *
 * Source: JSON Schema 2020-12, Validation, section 7; RFC 3339, 5321, 1123, 3986, 6570, 6901, 4122.
 */
#include "format/schema/node.h"

#define MONTH_DAY                                                                                  \
    "((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|"                \
    "02-(0[1-9]|1[0-9]|2[0-8]))"
#define DATE "[12][0-9]{3}-" MONTH_DAY
#define TIME                                                                                       \
    "([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,9})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9]" \
    ")"
#define LABEL "[a-zA-Z0-9]([a-zA-Z0-9-]{0,20}[a-zA-Z0-9])?"
#define HOST LABEL "(\\." LABEL "){0,5}"
#define OCTET "(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
#define URI_PATH "(/[a-zA-Z0-9._~!$&'()*+,;=:@-]{0,40}){0,10}"
#define URI_TAIL "(\\?[a-zA-Z0-9._~=&-]{0,60})?(#[a-zA-Z0-9._~-]{0,40})?"
/* A last label of digits would be read as an IPv4 address. */
#define URI_HOST "(" LABEL "\\.){0,5}[a-zA-Z][a-zA-Z0-9]{0,20}"
#define URI "https?://" URI_HOST "(:[1-9][0-9]{0,3})?" URI_PATH URI_TAIL
#define POINTER "(/([a-zA-Z0-9_.-]|~[01]){0,40}){0,10}"

// clang-format off
static const struct schema_format formats[] = {
    { "date-time",             "^" DATE "T" TIME "$" },
    { "date",                  "^" DATE "$" },
    { "time",                  "^" TIME "$" },
    { "duration",              "^P([0-9]{1,4}D(T[0-9]{1,2}H([0-9]{1,2}M)?)?|[0-9]{1,4}W|"
                               "[0-9]{1,4}Y([0-9]{1,2}M)?|T[0-9]{1,4}[HMS])$" },
    { "email",                 "^[a-zA-Z0-9]([a-zA-Z0-9_+-]{0,30}[a-zA-Z0-9])?"
                               "(\\.[a-zA-Z0-9]{1,20}){0,3}@" HOST "$" },
    { "idn-email",             "^[a-zA-Z0-9]([a-zA-Z0-9_+-]{0,30}[a-zA-Z0-9])?"
                               "(\\.[a-zA-Z0-9]{1,20}){0,3}@" HOST "$" },
    { "hostname",              "^" HOST "$" },
    { "idn-hostname",          "^" HOST "$" },
    { "ipv4",                  "^(" OCTET "\\.){3}" OCTET "$" },
    { "ipv6",                  "^([0-9a-f]{1,4}:){7}[0-9a-f]{1,4}$" },
    { "uri",                   "^" URI "$" },
    { "uri-reference",         "^(" URI "|" URI_PATH URI_TAIL ")$" },
    { "iri",                   "^" URI "$" },
    { "iri-reference",         "^(" URI "|" URI_PATH URI_TAIL ")$" },
    { "uri-template",          "^https?://" URI_HOST "(/([a-zA-Z0-9._~-]{1,40}|\\{[a-zA-Z0-9_]{1,20}\\})){0,10}$" },
    { "uuid",                  "^[0-9a-f]{8}-[0-9a-f]{4}-[1-5][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$" },
    { "json-pointer",          "^" POINTER "$" },
    { "relative-json-pointer", "^(0|[1-9][0-9]{0,3})(#|" POINTER ")$" },
    { "regex",                 "^[a-zA-Z0-9_ ,:;@=<>%&~-]{0,200}$" },
    { "byte",                  "^([A-Za-z0-9+/]{4}){0,250}$" },
    { "base64",                "^([A-Za-z0-9+/]{4}){0,250}$" },
    { "base64url",             "^([A-Za-z0-9_-]{4}){0,250}$" },
    { "uuid4",                 "^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$" },
    { "ipvanyaddress",         "^(" OCTET "\\.){3}" OCTET "$" },
    { "cidrv4",                "^(" OCTET "\\.){3}" OCTET "/([12]?[0-9]|3[0-2])$" },
    { "e164",                  "^\\+[1-9][0-9]{6,14}$" },
    { "ulid",                  "^[0-7][0-9A-HJKMNP-TV-Z]{25}$" },
    { "nanoid",                "^[A-Za-z0-9_-]{21}$" },
    { "cuid",                  "^c[0-9a-z]{24}$" },
    { "cuid2",                 "^[a-z][0-9a-z]{23}$" },
    { "xid",                   "^[0-9a-v]{20}$" },
    { "ksuid",                 "^[A-Za-z0-9]{27}$" },
    { "binary",                NULL },
    { "enum",                  NULL },
    { "password",              NULL },
    { "path",                  NULL },
    { "file-path",             NULL },
    { "directory-path",        NULL },
    { "unknown",               NULL },
};
// clang-format on

const struct schema_format *schema_format_find(struct str name)
{
    for (size_t i = 0; i < ARRAY_LEN(formats); i++)
        if (str_eq_c(name, formats[i].name))
            return &formats[i];
    return NULL;
}

const char *schema_format_names(void)
{
    return "date-time, date, time, duration, email, hostname, ipv4, ipv6, uri, uri-reference, "
           "uri-template, uuid, json-pointer, regex";
}
