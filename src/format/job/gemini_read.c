/* gemini_read.c -- a :batchGenerateContent body as a job, and its inline requests as a file of lines. */
#include "format/job/gemini.h"

#include <inttypes.h>
#include <xxhash.h>

#include "format/job/resource.h"

#define WEBHOOKS_MAX 10 /* targets of one job */
#define WEBHOOK_BYTES_MAX 2048
#define WEBHOOK_CONFIG_BYTES_MAX ((size_t)64 * 1024)
#define SPEC_BYTES_MAX 4096
#define MODEL_BYTES_MAX 255
#define FILE_NAME_BYTES_MAX 512

// clang-format off
#define F(text, ...) RESOURCE_FIELD(text, __VA_ARGS__)
#define LIST .repeated = true
#define NEEDED .required = true
#define EITHER .group = 1

static const struct field item_fields[] = {
    F("request",  OBJECT, NEEDED),
    F("metadata", OBJECT),
};
static const struct message item_message = RESOURCE_MESSAGE("InlinedRequest", item_fields,
    .example = "\"request\": {\"contents\": [{\"parts\": [{\"text\": \"...\"}]}]}");

static const struct field requests_fields[] = {
    F("requests", MESSAGE, LIST, NEEDED, .message = &item_message),
};
static const struct message requests_message = RESOURCE_MESSAGE("InlinedRequests", requests_fields,
    .example = "{\"requests\": [{\"request\": {\"contents\": [...]}}]}");

static const struct field input_fields[] = {
    F("requests", MESSAGE, EITHER, .message = &requests_message),
    F("fileName", STRING, EITHER),
    F("bigquerySource", OBJECT, EITHER,
      .unsupported = "Tables (bq://) are for jobs of Vertex AI: make the client with vertexai=True."),
};
static const struct message input_message = RESOURCE_MESSAGE("InputConfig", input_fields,
    .example = "{\"fileName\": \"files/...\"} or {\"requests\": {\"requests\": [...]}}");

static const struct field webhook_fields[] = {
    F("uris",         STRING, LIST),
    F("userMetadata", OBJECT),
};
static const struct message webhook_message = RESOURCE_MESSAGE("WebhookConfig", webhook_fields,
    .example = "{\"uris\": [\"https://example.com/hook\"]}");

static const struct field batch_fields[] = {
    F("inputConfig",   MESSAGE, NEEDED, .message = &input_message),
    F("displayName",   STRING),
    F("model",         STRING),
    F("priority",      INTEGER, .ranged = true, .lo = -1e6, .hi = 1e6),
    F("webhookConfig", MESSAGE, .message = &webhook_message),
    F("tranche",       OBJECT),
    F("name",          ANY),
    F("output",        ANY),
    F("createTime",    ANY),
    F("endTime",       ANY),
    F("updateTime",    ANY),
    F("batchStats",    ANY),
    F("state",         ANY),
};
static const struct message batch_message = RESOURCE_MESSAGE("GenerateContentBatch", batch_fields,
    .example = "{\"inputConfig\": {\"fileName\": \"files/...\"}}");

static const struct field create_fields[] = {
    F("batch", MESSAGE, NEEDED, .message = &batch_message),
};
static const struct message create_message =
    RESOURCE_MESSAGE("the body", create_fields,
    .example = "{\"batch\": {\"inputConfig\": {\"fileName\": \"files/...\"}}}");
// clang-format on

static struct str kept(struct arena *a, struct str s)
{
    return (struct str){ arena_copy(a, s.p, s.len), s.len };
}

/* The values of metadata are strings for the clients: others become their JSON text. */
static void add_metadata(struct json_writer *w, yyjson_val *metadata)
{
    struct buf text = BUF_INIT(w->out->max);
    yyjson_obj_iter it = yyjson_obj_iter_with(metadata);
    yyjson_val *key;

    json_object(w, "metadata");
    while ((key = yyjson_obj_iter_next(&it))) {
        yyjson_val *v = yyjson_obj_iter_get_val(key);
        struct json_writer inner = JSON_WRITER(&text);
        buf_clear(&text);
        if (!yyjson_is_str(v))
            json_add_value(&inner, NULL, v);
        json_key(w, json_str(key));
        json_add_text(w, NULL, yyjson_is_str(v) ? json_str(v) : buf_str(&text));
    }
    json_end(w);
    buf_release(&text);
}

static void line_write(struct buf *lines, yyjson_val *item)
{
    yyjson_val *metadata = request_field(item, "metadata");
    struct json_writer w = JSON_WRITER(lines);

    json_object(&w, NULL);
    json_add_value(&w, "request", request_field(item, "request"));
    if (metadata)
        add_metadata(&w, metadata);
    json_end(&w);
    buf_add_char(lines, '\n');
}

/* The spec of a job: {"inputConfig": {...}}, whose inner members the caller writes. */
static struct json_writer spec_begin(struct buf *spec)
{
    struct json_writer w = JSON_WRITER(spec);

    json_object(&w, NULL);
    json_object(&w, "inputConfig");
    return w;
}

static struct str spec_end(struct arena *a, struct json_writer *w, enum gemini_kind kind)
{
    json_end(w);
    if (kind == GEMINI_EMBED)
        json_add_bool(w, "embeds", true);
    json_end(w);
    struct str spec = kept(a, buf_str(w->out));
    buf_release(w->out);
    return spec;
}

/* The digest of the requests tells one create call from another with the same request id. */
static int requests_read(struct arena *a, yyjson_val *requests, enum gemini_kind kind,
                         struct job *out, struct buf *lines, struct error *e)
{
    struct values it = resource_values(requests, "requests");
    struct buf spec = BUF_INIT(SPEC_BYTES_MAX);
    size_t count = it.count;
    yyjson_val *item;

    if (count == 0)
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "batch.inputConfig.requests.requests: The batch has no requests. Add at "
                         "least one.");
    while ((item = values_next(&it)) && buf_ok(lines))
        line_write(lines, item);
    if (!buf_ok(lines))
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "batch.inputConfig.requests: The inline requests are too large together. "
                         "Upload them as a file and name it in inputConfig.fileName.");
    XXH128_hash_t digest = XXH3_128bits(lines->p, lines->len);
    struct json_writer w = spec_begin(&spec);
    json_object(&w, "requests");
    json_add_uint(&w, "count", count);
    json_addf(&w, "digest", "%016" PRIx64 "%016" PRIx64, digest.high64, digest.low64);
    json_end(&w);
    out->spec = spec_end(a, &w, kind);
    out->source = JOB_INLINE;
    return 0;
}

static int file_read(struct arena *a, struct str file, enum gemini_kind kind, struct job *out,
                     struct error *e)
{
    struct buf spec = BUF_INIT(SPEC_BYTES_MAX);

    if (!str_starts(file, STR("files/")) || file.len <= sizeof "files/" - 1 ||
        file.len > FILE_NAME_BYTES_MAX)
        return error_set(
            e, ERROR_INVALID_ARGUMENT,
            "batch.inputConfig.fileName: %s is not the name of a file. Upload the file "
            "and write its name, \"files/...\".",
            quote(file).text);
    struct json_writer w = spec_begin(&spec);
    json_add_text(&w, "fileName", file);
    out->spec = spec_end(a, &w, kind);
    out->source = JOB_FILE;
    return 0;
}

static int input_read(struct arena *a, yyjson_val *batch, enum gemini_kind kind, struct job *out,
                      struct buf *lines, struct error *e)
{
    yyjson_val *input = request_field(batch, "inputConfig");
    yyjson_val *requests = request_field(input, "requests");
    yyjson_val *file = request_field(input, "fileName");

    if (requests)
        return requests_read(a, requests, kind, out, lines, e);
    if (file)
        return file_read(a, json_str(file), kind, out, e);
    return error_set(e, ERROR_INVALID_ARGUMENT,
                     "batch.inputConfig: There is no input. Add requests or fileName: %s.",
                     input_message.example);
}

static int webhook_read(struct arena *a, yyjson_val *batch, struct job *out, struct error *e)
{
    yyjson_val *config = request_field(batch, "webhookConfig"), *uri;
    struct values it = resource_values(config, "uris");
    struct buf text = BUF_INIT(WEBHOOK_CONFIG_BYTES_MAX);

    if (it.count == 0)
        return 0;
    if (it.count > WEBHOOKS_MAX)
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "batch.webhookConfig.uris: At most %d are allowed.", WEBHOOKS_MAX);
    while ((uri = values_next(&it))) {
        struct str u = json_str(uri);
        bool web = str_starts(u, STR("https://")) || str_starts(u, STR("http://"));
        if (!web || u.len > WEBHOOK_BYTES_MAX)
            return error_set(
                e, ERROR_INVALID_ARGUMENT,
                "batch.webhookConfig.uris: %s is not a web address of at most %d bytes.",
                quote(u).text, WEBHOOK_BYTES_MAX);
    }
    struct json_writer w = JSON_WRITER(&text);
    resource_add_message(&w, NULL, &webhook_message, config);
    bool fits = buf_ok(&text);
    if (fits)
        out->webhook = kept(a, buf_str(&text));
    buf_release(&text);
    return fits ? 0 : error_set(e, ERROR_INVALID_ARGUMENT, "batch.webhookConfig: It is too large.");
}

int gemini_read(struct arena *a, struct str body, enum gemini_kind kind, struct job *out,
                struct buf *lines, struct error *e)
{
    yyjson_val *root = resource_parse(a, body, GEMINI_INLINE_BYTES_MAX, &create_message, e);

    if (!root)
        return -1;
    yyjson_val *batch = request_field(root, "batch");
    struct str name = json_str(request_field(batch, "displayName"));
    struct str model = json_str(request_field(batch, "model"));
    if (job_display_name_check(name, e) < 0)
        return -1;
    if (model.len > MODEL_BYTES_MAX)
        return error_set(e, ERROR_INVALID_ARGUMENT, "batch.model: At most %d bytes are allowed.",
                         MODEL_BYTES_MAX);
    out->dialect = DIALECT_GEMINI;
    out->display_name = kept(a, name);
    if (model.len)
        out->model = kept(a, model);
    (void)request_integer(request_field(batch, "priority"), &out->priority);
    if (job_read_extension(a, request_field(batch, "tranche"), out, e) < 0 ||
        webhook_read(a, batch, out, e) < 0 || input_read(a, batch, kind, out, lines, e) < 0)
        return -1;
    return job_names_check(out, e);
}

struct str gemini_input_file(struct arena *a, struct str spec)
{
    struct error ignored = { 0 };
    size_t at;
    yyjson_val *root = json_parse(a, spec, &at, &ignored);

    return kept(a, json_str(request_field(request_field(root, "inputConfig"), "fileName")));
}

// clang-format off
static const struct field update_fields[] = {
    F("displayName", STRING),
    F("priority",    INTEGER, .ranged = true, .lo = -1e6, .hi = 1e6),
    F("batch",       OBJECT),
    F("name",        ANY), F("model",      ANY), F("inputConfig",   ANY), F("output",     ANY),
    F("createTime",  ANY), F("endTime",    ANY), F("updateTime",    ANY), F("batchStats", ANY),
    F("state",       ANY), F("webhookConfig", ANY), F("tranche",    ANY),
};
static const struct message update_message = RESOURCE_MESSAGE("GenerateContentBatch", update_fields,
    .example = NULL);
// clang-format on

/* Marks what the mask names; what cannot be changed is an error. */
static int mask_read(struct str mask, bool *display_name, bool *priority, struct error *e)
{
    struct str path;

    *display_name = *priority = mask.len == 0;
    while (str_next(&mask, ',', &path)) {
        path = str_trim(path);
        if (field_named("displayName", path))
            *display_name = true;
        else if (field_named("priority", path))
            *priority = true;
        else
            return error_set(e, ERROR_INVALID_ARGUMENT,
                             "updateMask: %s cannot be changed. Use displayName or priority.",
                             quote(path).text);
    }
    return 0;
}

int gemini_read_update(struct arena *a, struct str body, struct str mask, struct gemini_update *out,
                       struct error *e)
{
    yyjson_val *root = resource_parse(a, body, VERTEX_BODY_BYTES_MAX, &update_message, e);
    bool name_wanted, priority_wanted;

    if (!root || mask_read(mask, &name_wanted, &priority_wanted, e) < 0)
        return -1;
    yyjson_val *batch = request_field(root, "batch");
    if (batch && resource_check("batch", &update_message, batch, e) < 0)
        return -1;
    root = batch ? batch : root;
    *out = (struct gemini_update){ 0 };
    out->display_name = kept(a, json_str(request_field(root, "displayName")));
    out->has_display_name = name_wanted && (mask.len || request_field(root, "displayName"));
    bool given = request_integer(request_field(root, "priority"), &out->priority);
    out->has_priority = priority_wanted && (mask.len || given);
    return job_display_name_check(out->display_name, e);
}
