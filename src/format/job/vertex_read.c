/* vertex_read.c -- a create body of Vertex AI as a job, and what its spec says of input and output.
 *
 * The body is checked by one table, the spec is written in that table's words, and the resource echoes
 * the spec. Source of the fields: aiplatform v1 and v1beta1, BatchPredictionJob.
 */
#include "format/job/vertex.h"

#include <ctype.h>
#include <inttypes.h>

#include "base/clock.h"
#include "format/bigquery/name.h"
#include "format/gs.h"
#include "format/job/resource.h"

#define DISPLAY_NAME_CHARS_MAX 128
#define MODEL_BYTES_MAX 255
#define LABEL_CHARS_MAX 63
#define URI_BYTES_MAX 2048

// clang-format off
#define F(text, ...) RESOURCE_FIELD(text, __VA_ARGS__)
#define LIST .repeated = true
#define NEEDED .required = true
#define EITHER .group = 1
#define NO_DATASETS \
    .unsupported = "Multimodal datasets are not supported: write the dataset's requests as JSON lines " \
                   "and name the files in inputConfig.gcsSource.uris."
#define NO_DATASETS_OUT \
    .unsupported = "Multimodal datasets are not supported: name a gs:// folder in " \
                   "outputConfig.gcsDestination.outputUriPrefix."

static const struct field gcs_source_fields[] = {
    F("uris", STRING, LIST, NEEDED),
};
static const struct message gcs_source_message = RESOURCE_MESSAGE("GcsSource", gcs_source_fields,
    .example = "{\"uris\": [\"gs://bucket/requests.jsonl\"]}");

/* A list of tables is refused in Google's words, so the table of fields takes any value. */
static const struct field bigquery_source_fields[] = {
    F("inputUri", ANY, NEEDED),
};
static const struct message bigquery_source_message =
    RESOURCE_MESSAGE("BigQuerySource", bigquery_source_fields,
    .example = "{\"inputUri\": \"bq://project.dataset.table\"}");

static const struct field input_fields[] = {
    F("instancesFormat",               STRING),
    F("gcsSource",                     MESSAGE, EITHER, .message = &gcs_source_message),
    F("bigquerySource",                MESSAGE, EITHER, .message = &bigquery_source_message),
    F("vertexMultimodalDatasetSource", OBJECT,  EITHER, NO_DATASETS),
};
static const struct message input_message = RESOURCE_MESSAGE("InputConfig", input_fields,
    .example = "{\"instancesFormat\": \"jsonl\", \"gcsSource\": {\"uris\": [\"gs://bucket/in.jsonl\"]}}");

static const struct field gcs_destination_fields[] = {
    F("outputUriPrefix", STRING, NEEDED),
};
static const struct message gcs_destination_message =
    RESOURCE_MESSAGE("GcsDestination", gcs_destination_fields,
    .example = "{\"outputUriPrefix\": \"gs://bucket/out\"}");

static const struct field bigquery_destination_fields[] = {
    F("outputUri", STRING, NEEDED),
};
static const struct message bigquery_destination_message =
    RESOURCE_MESSAGE("BigQueryDestination", bigquery_destination_fields,
    .example = "{\"outputUri\": \"bq://project.dataset.table\"}");

static const struct field output_fields[] = {
    F("predictionsFormat",                  STRING),
    F("gcsDestination",                     MESSAGE, EITHER, .message = &gcs_destination_message),
    F("bigqueryDestination",                MESSAGE, EITHER, .message = &bigquery_destination_message),
    F("vertexMultimodalDatasetDestination", OBJECT,  EITHER, NO_DATASETS_OUT),
};
static const struct message output_message = RESOURCE_MESSAGE("OutputConfig", output_fields,
    .example = "{\"predictionsFormat\": \"jsonl\", "
               "\"gcsDestination\": {\"outputUriPrefix\": \"gs://bucket/out\"}}");

/* Members that the service sets are accepted and ignored, as proto3's output-only fields are. */
static const struct field job_fields[] = {
    F("displayName",                 STRING, NEEDED),
    F("model",                       STRING, EITHER),
    F("endpoint",                    STRING, EITHER),
    F("inputConfig",                 MESSAGE, NEEDED, .message = &input_message),
    F("outputConfig",                MESSAGE, .message = &output_message),
    F("instanceConfig",              OBJECT),
    F("modelParameters",             ANY),
    F("labels",                      STRING_MAP),
    F("dedicatedResources",          OBJECT),
    F("manualBatchTuningParameters", OBJECT),
    F("generateExplanation",         BOOL),
    F("disableContainerLogging",     BOOL),
    F("tranche",                     OBJECT),
    F("encryptionSpec",              OBJECT,
      .unsupported = "Leave it out: what is stored lies in the service's own folder, whose disk can "
                     "be encrypted."),
    F("serviceAccount",              STRING,
      .unsupported = "Leave it out: a job may read and write what its submitter may."),
    F("explanationSpec",             OBJECT, .unsupported = "Leave it out."),
    F("unmanagedContainerModel",     OBJECT, .unsupported = "Name a model in \"model\" instead."),
    F("name",                        ANY),
    F("state",                       ANY),
    F("error",                       ANY),
    F("partialFailures",             ANY),
    F("outputInfo",                  ANY),
    F("completionStats",             ANY),
    F("resourcesConsumed",           ANY),
    F("createTime",                  ANY),
    F("startTime",                   ANY),
    F("endTime",                     ANY),
    F("updateTime",                  ANY),
    F("modelVersionId",              ANY),
    F("satisfiesPzs",                ANY),
    F("satisfiesPzi",                ANY),
    F("modelMonitoringConfig",       ANY),
    F("modelMonitoringStatus",       ANY),
    F("modelMonitoringStatsAnomalies", ANY),
};
static const struct message job_message = RESOURCE_MESSAGE("BatchPredictionJob", job_fields,
    .example = NULL);
// clang-format on

/* Fields that are in a spec, in its order, which is the resource's. */
static const char *const spec_fields[] = {
    "inputConfig",
    "outputConfig",
    "instanceConfig",
    "modelParameters",
    "labels",
    "dedicatedResources",
    "generateExplanation",
    "manualBatchTuningParameters",
    "endpoint",
    "disableContainerLogging",
};

static struct str kept(struct arena *a, struct str s)
{
    return (struct str){ arena_copy(a, s.p, s.len), s.len };
}

/* Characters of valid UTF-8: all bytes but those that go on one. */
static size_t characters(struct str s)
{
    size_t n = 0;

    for (size_t i = 0; i < s.len; i++)
        n += ((unsigned char)s.p[i] & 0xC0) != 0x80;
    return n;
}

int job_display_name_check(struct str name, struct error *e)
{
    if (name.len && memchr(name.p, '\0', name.len))
        return error_set(e, ERROR_INVALID_ARGUMENT, "displayName: It has a NUL.");
    if (characters(name) <= DISPLAY_NAME_CHARS_MAX)
        return 0;
    return error_set(e, ERROR_INVALID_ARGUMENT, "displayName: At most %d characters are allowed.",
                     DISPLAY_NAME_CHARS_MAX);
}

/* Names end up in C strings, paths and headers. */
int job_names_check(const struct job *j, struct error *e)
{
    bool model = j->model.len && memchr(j->model.p, '\0', j->model.len);

    if (!model && !json_has_nul(j->spec) && !json_has_nul(j->webhook))
        return 0;
    return error_set(e, ERROR_INVALID_ARGUMENT, "A name in the body has a NUL (\\u0000).");
}

static struct str spec_write(struct arena *a, yyjson_val *root)
{
    struct buf spec = BUF_INIT(2 * VERTEX_BODY_BYTES_MAX);
    struct json_writer w = JSON_WRITER(&spec);

    json_object(&w, NULL);
    for (size_t i = 0; i < ARRAY_LEN(spec_fields); i++) {
        const struct field *f = message_field(&job_message, str_of(spec_fields[i]));
        yyjson_val *value = request_field(root, f->name);
        if (value)
            resource_add_field(&w, f->name, f, value);
    }
    json_end(&w);
    struct str out = kept(a, buf_ok(&spec) ? buf_str(&spec) : (struct str){ 0 });
    buf_release(&spec);
    return out;
}

/* Models and endpoints are resources; a bare name is what the clients turn into one. */
static int model_read(struct arena *a, yyjson_val *root, struct str *out, struct error *e)
{
    yyjson_val *field = request_field(root, "model");
    struct str model = json_str(field ? field : request_field(root, "endpoint"));
    bool resource = str_find(model, STR("models/")) != SIZE_MAX ||
                    str_find(model, STR("endpoints/")) != SIZE_MAX;

    if (model.len == 0)
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "model: model is missing in BatchPredictionJob. Add it, such as "
                         "\"publishers/google/models/gemini-2.5-flash\".");
    if (model.len > MODEL_BYTES_MAX)
        return error_set(e, ERROR_INVALID_ARGUMENT, "model: At most %d bytes are allowed.",
                         MODEL_BYTES_MAX);
    if (!resource)
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "model: %s is not the resource name of a model. Write "
                         "\"publishers/google/models/...\" or \"projects/.../models/...\".",
                         quote(model).text);
    *out = kept(a, model);
    return 0;
}

/* A format is what its config holds: "jsonl" names files, "bigquery" a table. */
static int format_check(const char *path, struct str format, bool table, struct error *e)
{
    if (format.len == 0 || str_eq_c(format, table ? "bigquery" : "jsonl"))
        return 0;
    if (str_eq_c(format, "vertex-dataset"))
        return error_set(
            e, ERROR_INVALID_ARGUMENT,
            "%s: Multimodal datasets are not supported. Use \"jsonl\" with files under "
            "gs://.",
            path);
    if (str_eq_c(format, "bigquery") || str_eq_c(format, "jsonl"))
        return error_set(e, ERROR_INVALID_ARGUMENT, "%s: %s does not go with %s. Write \"%s\".",
                         path, quote(format).text, table ? "a table (bq://)" : "files (gs://)",
                         table ? "bigquery" : "jsonl");
    return error_set(e, ERROR_INVALID_ARGUMENT,
                     "%s: %s is not supported. Use \"jsonl\" or \"bigquery\".", path,
                     quote(format).text);
}

static int uri_check(const char *path, struct str uri, bool prefix, struct error *e)
{
    struct str bucket, name;

    if (uri.len <= URI_BYTES_MAX && gs_split(uri, &bucket, &name) && (prefix || name.len))
        return 0;
    if (bq_is(uri))
        return error_set(e, ERROR_INVALID_ARGUMENT, "%s: %s is a table. Name it in %s.", path,
                         quote(uri).text,
                         prefix ? "outputConfig.bigqueryDestination.outputUri"
                                : "inputConfig.bigquerySource.inputUri");
    return error_set(e, ERROR_INVALID_ARGUMENT, "%s: %s is not a Cloud Storage URI. Write %s.",
                     path, quote(uri).text,
                     prefix ? "gs://bucket/folder" : "gs://bucket/name.jsonl");
}

#define INPUT_URI "inputConfig.bigquerySource.inputUri"
#define OUTPUT_URI "outputConfig.bigqueryDestination.outputUri"

static int table_in_check(yyjson_val *value, struct error *e)
{
    struct str uri = json_str(value);
    struct bq_name name = { 0 };

    if (yyjson_is_arr(value) && yyjson_arr_size(value) > 1)
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         INPUT_URI ": Multiple BigQuery input datasets are not supported. Name one "
                                   "table, or a view over all of them.");
    if (uri.len <= URI_BYTES_MAX && bq_split(uri, &name) && name.table.len)
        return 0;
    return error_set(e, ERROR_INVALID_ARGUMENT,
                     INPUT_URI ": %s does not name a table by its three parts. Write it as "
                               "\"bq://project.dataset.table\".",
                     quote(uri).text);
}

static int table_out_check(yyjson_val *root, struct str uri, struct error *e)
{
    struct str key = json_str(request_field(request_field(root, "instanceConfig"), "keyField"));
    struct bq_name name;

    if (key.len)
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "instanceConfig.keyField: \"bigquery\" output format does not support "
                         "key_field. The columns of the input are columns of the output.");
    if (uri.len <= URI_BYTES_MAX && bq_split(uri, &name))
        return 0;
    return error_set(e, ERROR_INVALID_ARGUMENT,
                     OUTPUT_URI ": Invalid BigQuery destination path: %s. Write "
                                "\"bq://project.dataset.table\", \"bq://project.dataset\" or "
                                "\"bq://project\".",
                     quote(uri).text);
}

static int input_check(yyjson_val *root, struct error *e)
{
    yyjson_val *input = request_field(root, "inputConfig"), *uri;
    yyjson_val *table = request_field(input, "bigquerySource");
    struct values it = resource_values(request_field(input, "gcsSource"), "uris");
    struct str format = json_str(request_field(input, "instancesFormat"));

    if (format_check("inputConfig.instancesFormat", format, table != NULL, e) < 0)
        return -1;
    if (table)
        return table_in_check(request_field(table, "inputUri"), e);
    if (it.count == 0)
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "inputConfig.gcsSource.uris: Name at least one file, such as "
                         "\"gs://bucket/requests.jsonl\", or a table in " INPUT_URI ".");
    if (it.count > VERTEX_URIS_MAX)
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "inputConfig.gcsSource.uris: At most %d are allowed. A * stands for many "
                         "names.",
                         VERTEX_URIS_MAX);
    while ((uri = values_next(&it)))
        if (uri_check("inputConfig.gcsSource.uris", json_str(uri), false, e) < 0)
            return -1;
    return 0;
}

/* The Gen AI SDK sends no output when it cannot derive one from the input's name. */
static int output_check(yyjson_val *root, struct error *e)
{
    yyjson_val *output = request_field(root, "outputConfig");
    yyjson_val *table = request_field(output, "bigqueryDestination");
    struct str format = json_str(request_field(output, "predictionsFormat"));
    struct str prefix =
        json_str(request_field(request_field(output, "gcsDestination"), "outputUriPrefix"));

    if (format_check("outputConfig.predictionsFormat", format, table != NULL, e) < 0)
        return -1;
    if (table)
        return table_out_check(root, json_str(request_field(table, "outputUri")), e);
    if (prefix.len == 0)
        return error_set(
            e, ERROR_INVALID_ARGUMENT,
            "outputConfig.gcsDestination.outputUriPrefix is missing. Name where the "
            "output goes, such as \"gs://bucket/out\" (`dest` in the Gen AI SDK), or a "
            "table in " OUTPUT_URI ".");
    return uri_check("outputConfig.gcsDestination.outputUriPrefix", prefix, true, e);
}

/* Lower case letters, digits, _ and -; letters of other scripts are taken as they are. */
static bool label_valid(struct str s, bool key)
{
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.p[i];
        bool letter = (c >= 'a' && c <= 'z') || c >= 0x80;
        bool other = (c >= '0' && c <= '9') || c == '_' || c == '-';
        if (!letter && (!other || (key && i == 0)))
            return false;
    }
    return characters(s) <= LABEL_CHARS_MAX && (s.len > 0 || !key);
}

static int labels_check(yyjson_val *labels, struct error *e)
{
    yyjson_obj_iter it = yyjson_obj_iter_with(labels);
    yyjson_val *key;

    if (yyjson_obj_size(labels) > VERTEX_LABELS_MAX)
        return error_set(e, ERROR_INVALID_ARGUMENT, "labels: At most %d are allowed.",
                         VERTEX_LABELS_MAX);
    while ((key = yyjson_obj_iter_next(&it))) {
        bool key_valid = label_valid(json_str(key), true);
        if (key_valid && label_valid(json_str(yyjson_obj_iter_get_val(key)), false))
            continue;
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "labels: The %s of %s is not a label. Use at most %d lower case letters, "
                         "digits, _ and -%s.",
                         key_valid ? "value" : "key", quote(json_str(key)).text, LABEL_CHARS_MAX,
                         key_valid ? "" : ", beginning with a letter");
    }
    return 0;
}

int vertex_read(struct arena *a, struct str body, struct job *out, struct error *e)
{
    yyjson_val *root = resource_parse(a, body, VERTEX_BODY_BYTES_MAX, &job_message, e);

    if (!root)
        return -1;
    struct str display_name = json_str(request_field(root, "displayName"));
    if (job_display_name_check(display_name, e) < 0 || model_read(a, root, &out->model, e) < 0 ||
        input_check(root, e) < 0 || output_check(root, e) < 0 ||
        labels_check(request_field(root, "labels"), e) < 0 ||
        job_read_extension(a, request_field(root, "tranche"), out, e) < 0)
        return -1;
    out->dialect = DIALECT_VERTEX;
    out->source = JOB_OBJECTS;
    out->display_name = kept(a, display_name);
    out->spec = spec_write(a, root);
    if (out->spec.len == 0)
        return error_set(e, ERROR_INVALID_ARGUMENT, "The body is too large when it is escaped.");
    return job_names_check(out, e);
}

static yyjson_val *spec_parse(struct arena *a, struct str spec, struct error *e)
{
    size_t at;

    return json_parse(a, spec, &at, e);
}

int vertex_inputs(struct arena *a, struct str spec, struct str **uri, uint32_t *count,
                  struct error *e)
{
    yyjson_val *root = spec_parse(a, spec, e), *v;

    if (!root)
        return error_wrap(e, "the job's stored resource");
    yyjson_val *source = request_field(request_field(root, "inputConfig"), "gcsSource");
    struct values it = resource_values(source, "uris");
    *uri = arena_array(a, it.count, sizeof **uri);
    *count = 0;
    while ((v = values_next(&it)))
        (*uri)[(*count)++] = kept(a, json_str(v));
    return 0;
}

struct str vertex_output_prefix(struct arena *a, struct str spec)
{
    struct error ignored = { 0 };
    yyjson_val *output = request_field(spec_parse(a, spec, &ignored), "outputConfig");
    struct str prefix =
        json_str(request_field(request_field(output, "gcsDestination"), "outputUriPrefix"));

    while (prefix.len && prefix.p[prefix.len - 1] == '/')
        prefix.len--;
    return kept(a, prefix);
}

bool vertex_input_table(struct arena *a, struct str spec, struct bq_name *out)
{
    struct error ignored = { 0 };
    yyjson_val *input = request_field(spec_parse(a, spec, &ignored), "inputConfig");
    struct str uri = json_str(request_field(request_field(input, "bigquerySource"), "inputUri"));

    return bq_split(kept(a, uri), out);
}

/* "2026_11_22T10_00_00_000Z": as the service names what it makes. */
static const char *time_name(struct arena *a, int64_t us)
{
    char text[CLOCK_TEXT_BYTES];

    clock_format_rfc3339(us, text);
    for (char *c = text; *c; c++)
        if (*c == '-' || *c == ':' || *c == '.')
            *c = '_';
    return arena_textf(a, "%.23sZ", text); /* to the millisecond */
}

/* The last step of the model's name, of what a dataset's name may have. */
static const char *model_name(struct arena *a, struct str model)
{
    struct str last = str_after_last(model, '/');
    char *name = arena_copy(a, last.p, last.len);

    for (size_t i = 0; i < last.len; i++)
        if (!isalnum((unsigned char)name[i]))
            name[i] = '_';
    return name;
}

/* A retry has an output of its own, beside that of the job that it goes on from. */
bool vertex_output_table(struct arena *a, const struct job *j, struct bq_name *out)
{
    struct error ignored = { 0 };
    yyjson_val *output = request_field(spec_parse(a, j->spec, &ignored), "outputConfig");
    struct str uri =
        json_str(request_field(request_field(output, "bigqueryDestination"), "outputUri"));

    if (!bq_split(kept(a, uri), out))
        return false;
    const char *time = time_name(a, j->create_us);
    if (out->table.len && j->retry_of)
        out->table = str_of(arena_textf(a, "%.*s_retry_%s", STR_ARG(out->table), time));
    if (!out->table.len)
        out->table =
            out->dataset.len ? str_of(arena_textf(a, "predictions_%s", time)) : STR("predictions");
    if (!out->dataset.len)
        out->dataset = str_of(arena_textf(a, "prediction_%s_%s", model_name(a, j->model), time));
    return true;
}
