#include "format/job/vertex_fields.h"

// clang-format off
#define F(text, ...) RESOURCE_FIELD(text, __VA_ARGS__)
#define LIST .repeated = true
#define NEEDED .required = true
#define VALUES(...) .values = (const char *const[]){ __VA_ARGS__, NULL }
#define EITHER .group = 1
#define NO_TABLES_IN \
    .unsupported = "Tables (bq://) are not supported by this version: export the table as JSON lines " \
                   "and name the files in inputConfig.gcsSource.uris."
#define NO_TABLES_OUT \
    .unsupported = "Tables (bq://) are not supported by this version: name a gs:// folder in " \
                   "outputConfig.gcsDestination.outputUriPrefix and load its predictions.jsonl."

static const struct field gcs_source_fields[] = {
    F("uris", STRING, LIST, NEEDED),
};
static const struct message gcs_source_message = RESOURCE_MESSAGE("GcsSource", gcs_source_fields,
    .example = "{\"uris\": [\"gs://bucket/requests.jsonl\"]}");

static const struct field input_fields[] = {
    F("instancesFormat",               STRING),
    F("gcsSource",                     MESSAGE, EITHER, .message = &gcs_source_message),
    F("bigquerySource",                OBJECT,  EITHER, NO_TABLES_IN),
    F("vertexMultimodalDatasetSource", OBJECT,  EITHER, NO_TABLES_IN),
};
static const struct message input_message = RESOURCE_MESSAGE("InputConfig", input_fields,
    .example = "{\"instancesFormat\": \"jsonl\", \"gcsSource\": {\"uris\": [\"gs://bucket/in.jsonl\"]}}");

static const struct field gcs_destination_fields[] = {
    F("outputUriPrefix", STRING, NEEDED),
};
static const struct message gcs_destination_message =
    RESOURCE_MESSAGE("GcsDestination", gcs_destination_fields,
    .example = "{\"outputUriPrefix\": \"gs://bucket/out\"}");

static const struct field output_fields[] = {
    F("predictionsFormat",                  STRING),
    F("gcsDestination",                     MESSAGE, EITHER, .message = &gcs_destination_message),
    F("bigqueryDestination",                OBJECT,  EITHER, NO_TABLES_OUT),
    F("vertexMultimodalDatasetDestination", OBJECT,  EITHER, NO_TABLES_OUT),
};
static const struct message output_message = RESOURCE_MESSAGE("OutputConfig", output_fields,
    .example = "{\"predictionsFormat\": \"jsonl\", "
               "\"gcsDestination\": {\"outputUriPrefix\": \"gs://bucket/out\"}}");

/* What the service sets is taken and not looked at, as proto3's output-only fields are. */
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
const struct message vertex_job_message = RESOURCE_MESSAGE("BatchPredictionJob", job_fields,
    .example = NULL);
// clang-format on

const char *const vertex_spec_fields[] = {
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
    NULL,
};
