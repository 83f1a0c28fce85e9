/* rules.c -- what the tables cannot say: rules over more than one field of a message. */
#include "format/request/fields.h"

#include <string.h>

#include "base/mem.h"
#include "format/request/request.h"

#define LABEL_BYTES_MAX 64
#define FUNCTION_NAME_BYTES_MAX 64

/* The number of values in a list field. */
static size_t list_count(yyjson_val *v)
{
    return values_of(v).count;
}

/* Refuses a list that is empty or too long; true when it can be looked at. */
static bool list_check(struct check *c, const struct place *at, const char *what, yyjson_val *list,
                       size_t max)
{
    size_t count = list_count(list);

    if (count <= max)
        return true;
    violation_remedy(
        check_fail(c, at, "There are %zu %s, but at most %zu are allowed.", count, what, max),
        "Spread them over several lines of the batch.");
    return false;
}

static void labels_check(struct check *c, const struct place *at, yyjson_val *labels)
{
    yyjson_obj_iter it = yyjson_obj_iter_with(labels);
    yyjson_val *key;

    if (yyjson_obj_size(labels) > REQUEST_LABELS_MAX)
        violation_remedy(check_fail(c, at, "There are %zu labels, but at most %d are allowed.",
                                    yyjson_obj_size(labels), REQUEST_LABELS_MAX),
                         "Keep the labels that you group costs by.");
    while ((key = yyjson_obj_iter_next(&it))) {
        struct place here = { .up = at, .key = json_str(key) };
        struct str value = json_str(yyjson_obj_iter_get_val(key));
        if (here.key.len == 0 || here.key.len > LABEL_BYTES_MAX || value.len > LABEL_BYTES_MAX)
            violation_remedy(check_fail(c, &here,
                                        "A label's key or value is empty or longer than "
                                        "%d bytes.",
                                        LABEL_BYTES_MAX),
                             "Shorten it.");
    }
}

void rule_request(struct check *c, const struct place *at, yyjson_val *request)
{
    struct member m;

    if (!request_member(request, "contents", &m) || list_count(m.value) == 0) {
        violation_remedy(check_fail(c, at,
                                    "Unable to submit request because at least one contents "
                                    "field is required."),
                         "Add contents: %s.", request_message.example);
    } else {
        struct place here = { .up = at, .key = m.key };
        (void)list_check(c, &here, "contents", m.value, REQUEST_CONTENTS_MAX);
    }
    if (request_member(request, "labels", &m) && yyjson_is_obj(m.value)) {
        struct place here = { .up = at, .key = m.key };
        labels_check(c, &here, m.value);
    }
}

static bool role_valid(struct str role)
{
    return role.len == 0 || str_eq_c(role, "user") || str_eq_c(role, "model") ||
           str_eq_c(role, "function");
}

static void role_check(struct check *c, const struct place *at, struct str role)
{
    /* Roles of other services, and the remedy for each. */
    static const struct {
        const char *role, *remedy;
    } known[] = {
        { "assistant", "Write \"model\" for turns of the model." },
        { "system", "Move the text into systemInstruction." },
        { "developer", "Move the text into systemInstruction." },
        { "tool", "Write \"user\" with a functionResponse part." },
    };
    const char *remedy = "Write \"user\" for your turns and \"model\" for those of the model.";

    if (role_valid(role))
        return;
    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        if (lower_equal(role, known[i].role))
            remedy = known[i].remedy;
    violation_remedy(check_fail(c, at, "Please use a valid role: user, model."), "%s", remedy);
}

/* A model's turn and a thought may be empty, as the service itself returns such. */
static void empty_text_check(struct check *c, const struct place *at, yyjson_val *part)
{
    struct member m;

    if (!request_member(part, "text", &m) || !yyjson_is_str(m.value) || json_str(m.value).len)
        return;
    struct place here = { .up = at, .key = m.key };
    violation_remedy(check_fail(c, &here,
                                "Unable to submit request because it has an empty text "
                                "parameter."),
                     "Add a value to the parameter and try again.");
}

static void parts_check(struct check *c, const struct place *at, struct member parts, bool by_user)
{
    const struct place list = { .up = at, .key = parts.key };
    struct values it = values_of(parts.value);
    struct place step;
    yyjson_val *part;

    if (!list_check(c, &list, "parts", parts.value, REQUEST_PARTS_MAX) || !by_user)
        return;
    while ((part = values_next(&it)))
        empty_text_check(c, values_place(&it, &step, &list), part);
}

void rule_content(struct check *c, const struct place *at, yyjson_val *content)
{
    struct member m = { 0 };
    struct str role = { 0 };

    if (request_member(content, "role", &m) && yyjson_is_str(m.value)) {
        struct place here = { .up = at, .key = m.key };
        role = json_str(m.value);
        role_check(c, &here, role);
    }
    if (!request_member(content, "parts", &m) || list_count(m.value) == 0) {
        violation_remedy(check_fail(c, at,
                                    "Unable to submit request because it must include at "
                                    "least one parts field, which describes the prompt "
                                    "input."),
                         "Add parts: [{\"text\": \"...\"}].");
        return;
    }
    parts_check(c, at, m, !str_eq_c(role, "model"));
}

void rule_part(struct check *c, const struct place *at, yyjson_val *part)
{
    static const char *const data[] = {
        "text",           "inlineData",          "fileData", "functionCall", "functionResponse",
        "executableCode", "codeExecutionResult", "toolCall", "toolResponse"
    };
    struct member m;

    for (size_t i = 0; i < ARRAY_LEN(data); i++)
        if (request_member(part, data[i], &m))
            return;
    /* Clients send back what a thought left: a signature, or the mark alone. */
    if (request_member(part, "thoughtSignature", &m) ||
        yyjson_is_true(request_field(part, "thought")))
        return;
    violation_remedy(check_fail(c, at,
                                "Unable to submit request because it must have a text "
                                "parameter."),
                     "Give the part its data: text, inlineData, fileData, functionCall or "
                     "functionResponse.");
}

static bool mime_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c && strchr("!#$&^_.+-", c));
}

/* "type/subtype", perhaps with parameters after a semicolon. any: "video/" and a star, too. */
static bool mime_valid(struct str mime, bool any)
{
    size_t slash = str_find(mime, STR("/")), semicolon = str_find(mime, STR(";"));
    size_t end = semicolon < mime.len ? semicolon : mime.len;

    if (slash == 0 || slash >= end || slash + 1 == end)
        return false;
    if (any && slash + 2 == end && mime.p[slash + 1] == '*')
        end = slash;
    for (size_t i = 0; i < end; i++)
        if (i != slash && !mime_char(mime.p[i]))
            return false;
    return true;
}

static void mime_check(struct check *c, const struct place *at, yyjson_val *object, bool any)
{
    struct member m;

    if (!request_member(object, "mimeType", &m) || !yyjson_is_str(m.value) ||
        mime_valid(json_str(m.value), any))
        return;
    struct place here = { .up = at, .key = m.key };
    violation_remedy(
        check_fail(c, &here, "mimeType is not a media type: %s.", quote(json_str(m.value)).text),
        "Write the type of the data, such as image/jpeg, video/mp4 or audio/wav.");
}

void rule_blob(struct check *c, const struct place *at, yyjson_val *blob)
{
    struct member m;

    mime_check(c, at, blob, false);
    if (!request_member(blob, "data", &m) || !yyjson_is_str(m.value) || json_str(m.value).len)
        return;
    struct place here = { .up = at, .key = m.key };
    violation_remedy(check_fail(c, &here, "data is empty."), "Put the bytes there as base64.");
}

static bool uri_valid(struct str uri)
{
    static const char *const schemes[] = { "gs://", "https://", "files/" };

    for (size_t i = 0; i < ARRAY_LEN(schemes); i++)
        if (str_starts(uri, str_of(schemes[i])))
            return uri.len > strlen(schemes[i]);
    return false;
}

void rule_file_data(struct check *c, const struct place *at, yyjson_val *file)
{
    struct member m;

    mime_check(c, at, file, true);
    if (!request_member(file, "fileUri", &m) || !yyjson_is_str(m.value) ||
        uri_valid(json_str(m.value)))
        return;
    struct place here = { .up = at, .key = m.key };
    violation_remedy(check_fail(c, &here, "fileUri is not the address of a file: %s.",
                                quote(json_str(m.value)).text),
                     "Write gs://BUCKET/OBJECT, https://HOST/PATH or files/ID.");
}

static bool function_name_valid(struct str name)
{
    if (name.len == 0 || name.len > FUNCTION_NAME_BYTES_MAX)
        return false;
    for (size_t i = 0; i < name.len; i++) {
        char ch = name.p[i];
        bool first = (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') || ch == '_';
        bool later = (ch >= '0' && ch <= '9') || ch == '.' || ch == ':' || ch == '-';
        if (!first && (i == 0 || !later))
            return false;
    }
    return true;
}

void rule_function(struct check *c, const struct place *at, yyjson_val *function)
{
    struct member m;

    if (!request_member(function, "name", &m) || !yyjson_is_str(m.value) ||
        function_name_valid(json_str(m.value)))
        return;
    struct place here = { .up = at, .key = m.key };
    violation_remedy(
        check_fail(c, &here, "Invalid function name %s.", quote(json_str(m.value)).text),
        "Start it with a letter or underscore, then use a-z, A-Z, 0-9, _ . : - only, at "
        "most %d.",
        FUNCTION_NAME_BYTES_MAX);
}

void rule_tool(struct check *c, const struct place *at, yyjson_val *tool)
{
    struct member m;

    if (!request_member(tool, "functionDeclarations", &m))
        return;
    struct place here = { .up = at, .key = m.key };
    (void)list_check(c, &here, "functionDeclarations", m.value, REQUEST_FUNCTIONS_MAX);
}
