#include "app/config/config_schema.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cyaml/cyaml.h>

#include "base/mem.h"
#include "app/cli/options.h"
#include "engine/service/service.h"
#include "predict/model.h"

/* The table: X(type, section, key, what stands for the value, about). A type is a FIELD_ macro
 * below. */
// clang-format off
#define FAULT_KEYS(X) \
    X(TEXT,      fault,   match,          "TEXT", "only requests whose last user text has this") \
    X(COUNT,     fault,   every,          "N",    "only each N-th matching request") \
    X(COUNT,     fault,   times,          "N",    "attempts of a request that fail; 0: all") \
    X(NUMBER,    fault,   rate,           "0..1", "share of matching attempts that fail") \
    X(TEXT,      fault,   code,           "CODE", "UNAVAILABLE (default), INTERNAL, ...") \
    X(TEXT,      fault,   message,        "TEXT", "message of the error") \
    X(COUNT,     fault,   retry_after_ms, "MS",   "wish when to try again; 0: none") \
    X(FLAG,      fault,   hang,           "true", "never answer")
#define FAKE_KEYS(X) \
    X(COUNT,     fake,    delay_ms,       "MS",   "from request to answer") \
    X(COUNT,     fake,    jitter_ms,      "MS",   "up to this much more, by chance") \
    X(COUNT,     fake,    delay_token_us, "US",   "more for each token of the answer") \
    X(COUNT,     fake,    window,         "N",    "requests open at once; 0: default") \
    X(FAULTS,    fake,    faults,         "LIST", "scripted faults, the first that matches")
#define ADAPTER_KEYS(X) \
    X(TEXT,      adapter, file,           "FILE", "LoRA adapter as GGUF") \
    X(NUMBER_IF, adapter, scale,          "X",    "strength (default 1.0)")
#define PRICE_KEYS(X) \
    X(NUMBER,    price,   input,          "USD",  "online price of a million prompt tokens") \
    X(NUMBER,    price,   output,         "USD",  "online price of a million generated tokens") \
    X(NUMBER_IF, price,   cached,         "USD",  "price of cached ones (a tenth of input)")
#define UPSTREAM_KEYS(X) \
    X(TEXT,      upstream, name,          "NAME", "how models and reports call it") \
    X(TEXT,      upstream, url,           "URL",  "base of its paths: http://host:8000/v1") \
    X(TEXT,      upstream, dialect,       "NAME", "openai or gemini (default: by the URL)") \
    X(TEXT,      upstream, key_env,       "NAME", "variable of the environment with its key") \
    X(TEXT,      upstream, key_file,      "FILE", "file with its key or token; may change") \
    X(TEXT,      upstream, service_account, "FILE", "service account as JSON: tokens are fetched") \
    X(HEADERS,   upstream, headers,       "LIST", "more headers: \"Name: value\"") \
    X(TEXT,      upstream, ca_file,       "FILE", "certificates as PEM that are trusted") \
    X(TEXT,      upstream, proxy,         "URL",  "instead of the environment's; \"none\": no proxy") \
    X(FLAG,      upstream, http1,         "true", "never HTTP/2") \
    X(FLAG_IF,   upstream, inline_files,  "true", "send gs:// files along (default but on Vertex)") \
    X(COUNT,     upstream, max_rpm,       "N",    "requests a minute, of all jobs; 0: no limit") \
    X(BIG_IF,    upstream, max_tpm,       "N",    "tokens a minute, of all jobs; 0: no limit") \
    X(COUNT,     upstream, concurrency,   "N",    "requests at once; 0: found by measuring") \
    X(COUNT,     upstream, concurrency_max, "N",  "the most that is tried (default 1024)") \
    X(COUNT_IF,  upstream, timeout_ms,    "MS",   "for one attempt (default 600000)") \
    X(COUNT_IF,  upstream, idle_ms,       "MS",   "without a byte (default 300000); 0: no limit") \
    X(COUNT_IF,  upstream, patience_ms,   "MS",   "nothing answered, then given up (900000)")
#define PLACE_KEYS(X) \
    X(TEXT,      place,   upstream,       "NAME", "one of `upstreams`") \
    X(TEXT,      place,   model,          "NAME", "the model's name there (default: as asked)") \
    X(NUMBER_IF, place,   weight,         "X",    "share of the requests (1); 0: only to spill over") \
    X(PRICE,     place,   price,          "MAP",  "what it bills, instead of the model's price")
#define MODEL_KEYS(X) \
    X(TEXT,      model,   name,           "GLOB", "names it answers to: \"tuned-*\"") \
    X(TEXT,      model,   kind,           "KIND", "local (default), upstream, remote-batch or fake") \
    X(TEXT,      model,   file,           "FILE", "GGUF file of a local model") \
    X(TEXT,      model,   about,          "TEXT", "one line for `tranche models`") \
    X(COUNT,     model,   context,        "N",    "prompt and answer; 0: the model's own") \
    X(COUNT,     model,   sequences,      "N",    "requests computed at once; 0: by the cores") \
    X(COUNT,     model,   threads,        "N",    "processor threads; 0: all cores") \
    X(COUNT,     model,   cache_mib,      "MIB",  "key-value cache; 0: from the model's shape") \
    X(TEXT,      model,   engine,         "KIND", "fast (default) or plain: libllama alone") \
    X(ADAPTERS,  model,   adapters,       "LIST", "LoRA adapters, at most 8") \
    X(PLACES,    model,   upstreams,      "LIST", "who answers an upstream or remote-batch model") \
    X(COUNT,     model,   spill_after_ms, "MS",   "then weight 0 is used too; 0: when others fail") \
    X(TEXT,      model,   staging,        "URI",  "gs://bucket/prefix for a remote batch on Vertex") \
    X(COUNT,     model,   poll_ms,        "MS",   "how often a remote batch is looked at (30000)") \
    X(PRICE,     model,   price,          "MAP",  "its price instead of the published one") \
    X(FAKE,      model,   fake,           "MAP",  "script of a fake model")
#define LIMITS_KEYS(X) \
    X(BIG_IF,    limits,  lines_max,      "N",    "lines of one job; 0: no limit (default)") \
    X(COUNT_IF,  limits,  drain_ms,       "MS",   "wait for open requests on Ctrl-C (default 5000)")
#define RETRY_KEYS(X) \
    X(COUNT_IF,  retry,   attempts,       "N",    "attempts at one request in all (default 5; upstreams 10)") \
    X(COUNT_IF,  retry,   base_ms,        "MS",   "longest first wait (default 250)") \
    X(COUNT_IF,  retry,   cap_ms,         "MS",   "longest wait (default 30000)") \
    X(NUMBER_IF, retry,   ratio,          "X",    "retries of a job for each of its lines (default 3)")
#define WEIGHT_KEYS(X) \
    X(TEXT,      weight,  project,        "NAME", "a project") \
    X(NUMBER,    weight,  weight,         "X",    "its share of a model, beside the others' (1)")
#define SERVICE_KEYS(X) \
    X(TEXT,      service, listen,         "ADDR", "address served (default 127.0.0.1:8080)") \
    X(TEXT,      service, public_url,     "URL",  "where clients find it, behind a proxy") \
    X(TEXT,      service, tls_cert,       "FILE", "certificate as PEM: serve HTTPS") \
    X(TEXT,      service, tls_key,        "FILE", "its private key as PEM") \
    X(TEXT,      service, default_project, "NAME", "of calls that name none (default \"default\")") \
    X(BIG_IF,    service, lines_max,      "N",    "requests of one job (default 200000)") \
    X(BIG_IF,    service, input_bytes_max, "N",   "input of one job (default 1073741824)") \
    X(COUNT_IF,  service, queue_hours,    "N",    "a job may wait so long (default 72)") \
    X(COUNT_IF,  service, run_hours,      "N",    "a job may run so long (default 24)") \
    X(COUNT_IF,  service, paused_hours,   "N",    "a job may be paused so long (default 72)") \
    X(COUNT_IF,  service, file_hours,     "N",    "a file of the Files API lives so long (48)") \
    X(COUNT_IF,  service, running_jobs_max, "N",  "jobs of a model at once (default 8)") \
    X(COUNT_IF,  service, queued_jobs_max, "N",   "open jobs of a project (default 10000)") \
    X(COUNT_IF,  service, in_flight_max,  "N",    "requests of a job at once; 0: the model's") \
    X(COUNT_IF,  service, connections_max, "N",   "connections at once (default 2000)") \
    X(COUNT_IF,  service, online_deadline_ms, "MS", "for an online call (default 600000)") \
    X(TEXT,      service, expired_as,     "STATE", "EXPIRED (default) or FAILED: for Vertex clients") \
    X(TEXTS,     service, webhook_allow,  "LIST", "webhook targets allowed though private") \
    X(WEIGHTS,   service, weights,        "LIST", "shares of projects")
#define FILE_KEYS(X) \
    X(TEXT,      file,    default_model,  "NAME", "model when --model is not given") \
    X(LIMITS,    file,    limits,         "MAP",  "limits of one job") \
    X(RETRY,     file,    retry,          "MAP",  "how failed requests are tried again") \
    X(UPSTREAMS, file,    upstreams,      "LIST", "servers that models can be answered by") \
    X(MODELS,    file,    models,         "LIST", "models, before the built-in ones") \
    X(FAKE,      file,    fake,           "MAP",  "script of the built-in tranche-fake") \
    X(SERVICE,   file,    service,        "MAP",  "`tranche serve`")

#define OPT CYAML_FLAG_OPTIONAL
#define ENTRY(s) struct s##_entry
#define FIELD_TEXT(s, key) \
    CYAML_FIELD_STRING_PTR(#key, OPT, ENTRY(s), key, 0, CONFIG_TEXT_BYTES_MAX),
#define FIELD_COUNT(s, key)    CYAML_FIELD_UINT(#key, OPT, ENTRY(s), key),
#define FIELD_COUNT_IF(s, key) CYAML_FIELD_UINT_PTR(#key, OPT, ENTRY(s), key),
#define FIELD_BIG_IF(s, key)   CYAML_FIELD_UINT_PTR(#key, OPT, ENTRY(s), key),
#define FIELD_NUMBER(s, key)   CYAML_FIELD_FLOAT(#key, OPT, ENTRY(s), key),
#define FIELD_NUMBER_IF(s, key) CYAML_FIELD_FLOAT_PTR(#key, OPT, ENTRY(s), key),
#define FIELD_FLAG(s, key)     CYAML_FIELD_BOOL(#key, OPT, ENTRY(s), key),
#define FIELD_FLAG_IF(s, key)  CYAML_FIELD_BOOL_PTR(#key, OPT, ENTRY(s), key),
#define FIELD_PRICE(s, key)    CYAML_FIELD_MAPPING_PTR(#key, OPT, ENTRY(s), key, price_fields),
#define FIELD_FAKE(s, key)     CYAML_FIELD_MAPPING_PTR(#key, OPT, ENTRY(s), key, fake_fields),
#define FIELD_LIMITS(s, key)   CYAML_FIELD_MAPPING_PTR(#key, OPT, ENTRY(s), key, limits_fields),
#define FIELD_RETRY(s, key)    CYAML_FIELD_MAPPING_PTR(#key, OPT, ENTRY(s), key, retry_fields),
#define FIELD_OF(s, key, item, most) \
    CYAML_FIELD_SEQUENCE(#key, OPT | CYAML_FLAG_POINTER, ENTRY(s), key, &item, 0, most),
#define FIELD_LIST(s, key, most) FIELD_OF(s, key, key##_item, most)
#define FIELD_FAULTS(s, key)   FIELD_LIST(s, key, FAKE_FAULTS_MAX)
#define FIELD_ADAPTERS(s, key) FIELD_LIST(s, key, MODEL_ADAPTERS_MAX)
#define FIELD_MODELS(s, key)   FIELD_LIST(s, key, CONFIG_MODELS_MAX)
#define FIELD_SERVICE(s, key)  CYAML_FIELD_MAPPING_PTR(#key, OPT, ENTRY(s), key, service_fields),
#define FIELD_WEIGHTS(s, key)  FIELD_LIST(s, key, SERVICE_WEIGHTS_MAX)
#define FIELD_TEXTS(s, key)    FIELD_OF(s, key, text_item, CONFIG_WEBHOOK_ALLOW_MAX)
#define FIELD_HEADERS(s, key)  FIELD_OF(s, key, text_item, CONFIG_HEADERS_MAX)
#define FIELD_UPSTREAMS(s, key) FIELD_LIST(s, key, UPSTREAMS_MAX)
#define FIELD_PLACES(s, key)   FIELD_OF(s, key, place_item, MODEL_UPSTREAMS_MAX)
#define FIELD(type, s, key, value, about) FIELD_##type(s, key)

#define ITEM(name, s, fields) \
    static const cyaml_schema_value_t name = { \
        CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, ENTRY(s), fields), \
    }

static const cyaml_schema_field_t fault_fields[] = { FAULT_KEYS(FIELD) CYAML_FIELD_END };
ITEM(faults_item, fault, fault_fields);
static const cyaml_schema_field_t fake_fields[] = { FAKE_KEYS(FIELD) CYAML_FIELD_END };
static const cyaml_schema_field_t adapter_fields[] = { ADAPTER_KEYS(FIELD) CYAML_FIELD_END };
ITEM(adapters_item, adapter, adapter_fields);
static const cyaml_schema_field_t price_fields[] = { PRICE_KEYS(FIELD) CYAML_FIELD_END };
static const cyaml_schema_field_t place_fields[] = { PLACE_KEYS(FIELD) CYAML_FIELD_END };
ITEM(place_item, place, place_fields);
static const cyaml_schema_value_t text_item = {
    CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char, 0, CONFIG_TEXT_BYTES_MAX),
};
static const cyaml_schema_field_t upstream_fields[] = { UPSTREAM_KEYS(FIELD) CYAML_FIELD_END };
ITEM(upstreams_item, upstream, upstream_fields);
static const cyaml_schema_field_t model_fields[] = { MODEL_KEYS(FIELD) CYAML_FIELD_END };
ITEM(models_item, model, model_fields);
static const cyaml_schema_field_t limits_fields[] = { LIMITS_KEYS(FIELD) CYAML_FIELD_END };
static const cyaml_schema_field_t retry_fields[] = { RETRY_KEYS(FIELD) CYAML_FIELD_END };
static const cyaml_schema_field_t weight_fields[] = { WEIGHT_KEYS(FIELD) CYAML_FIELD_END };
ITEM(weights_item, weight, weight_fields);
static const cyaml_schema_field_t service_fields[] = { SERVICE_KEYS(FIELD) CYAML_FIELD_END };
static const cyaml_schema_field_t file_fields[] = { FILE_KEYS(FIELD) CYAML_FIELD_END };
static const cyaml_schema_value_t file_schema = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct file_entry, file_fields),
};

#define KIND_TEXT      CONFIG_OTHER
#define KIND_TEXTS     CONFIG_OTHER
#define KIND_FLAG      CONFIG_OTHER
#define KIND_FLAG_IF   CONFIG_OTHER
#define KIND_HEADERS   CONFIG_OTHER
#define KIND_UPSTREAMS CONFIG_OTHER
#define KIND_PLACES    CONFIG_OTHER
#define KIND_COUNT     CONFIG_COUNT
#define KIND_COUNT_IF  CONFIG_COUNT
#define KIND_BIG_IF    CONFIG_BIG
#define KIND_NUMBER    CONFIG_NUMBER
#define KIND_NUMBER_IF CONFIG_NUMBER
#define KIND_FAULTS    CONFIG_OTHER
#define KIND_FAKE      CONFIG_OTHER
#define KIND_ADAPTERS  CONFIG_OTHER
#define KIND_PRICE     CONFIG_OTHER
#define KIND_LIMITS    CONFIG_OTHER
#define KIND_RETRY     CONFIG_OTHER
#define KIND_MODELS    CONFIG_OTHER
#define KIND_SERVICE   CONFIG_OTHER
#define KIND_WEIGHTS   CONFIG_OTHER
#define KEY(prefix, type, key, value, about) { prefix, #key, value, about, KIND_##type },
#define KEY_FILE(t, s, key, value, about) KEY("", t, key, value, about)
#define KEY_LIMITS(t, s, key, value, about) KEY("limits.", t, key, value, about)
#define KEY_RETRY(t, s, key, value, about) KEY("retry.", t, key, value, about)
#define KEY_SERVICE(t, s, key, value, about) KEY("service.", t, key, value, about)
#define KEY_WEIGHT(t, s, key, value, about) KEY("service.weights[].", t, key, value, about)
#define KEY_UPSTREAM(t, s, key, value, about) KEY("upstreams[].", t, key, value, about)
#define KEY_PLACE(t, s, key, value, about) KEY("models[].upstreams[].", t, key, value, about)
#define KEY_MODEL(t, s, key, value, about) KEY("models[].", t, key, value, about)
#define KEY_ADAPTER(t, s, key, value, about) KEY("models[].adapters[].", t, key, value, about)
#define KEY_PRICE(t, s, key, value, about) KEY("models[].price.", t, key, value, about)
#define KEY_FAKE(t, s, key, value, about) KEY("fake.", t, key, value, about)
#define KEY_FAULT(t, s, key, value, about) KEY("fake.faults[].", t, key, value, about)

static const struct config_key keys[] = {
    FILE_KEYS(KEY_FILE) LIMITS_KEYS(KEY_LIMITS) RETRY_KEYS(KEY_RETRY) SERVICE_KEYS(KEY_SERVICE)
    WEIGHT_KEYS(KEY_WEIGHT) UPSTREAM_KEYS(KEY_UPSTREAM) MODEL_KEYS(KEY_MODEL)
    PLACE_KEYS(KEY_PLACE) ADAPTER_KEYS(KEY_ADAPTER) PRICE_KEYS(KEY_PRICE)
    FAKE_KEYS(KEY_FAKE) FAULT_KEYS(KEY_FAULT)
};
// clang-format on

#define COMPLAINT_BYTES 256

/* What libcyaml says, kept until the end: the first error, and the innermost place it names. */
struct complaint {
    char what[COMPLAINT_BYTES];
    char where[64]; /* "line 3, column 14" */
};

static void complain(cyaml_log_t level, void *ctx, const char *fmt, va_list args);
static int report(const char *path, const struct complaint *c, const char *code, struct error *e);

static const cyaml_config_t base_config = {
    .log_fn = complain,
    .mem_fn = cyaml_mem,
    .log_level = CYAML_LOG_ERROR,
    .flags = CYAML_CFG_DEFAULT,
};

static cyaml_err_t load(struct str text, const cyaml_config_t *config, cyaml_data_t **out)
{
    return cyaml_load_data((const uint8_t *)text.p, text.len, config, &file_schema, out, NULL);
}

struct file_entry *config_file_parse(const char *path, struct str text, struct error *e)
{
    const struct str nothing = STR("{}");
    struct complaint c = { 0 };
    cyaml_config_t config = base_config;
    cyaml_data_t *loaded = NULL;

    config.log_ctx = &c;
    if (str_utf8_valid(text) != text.len) {
        (void)error_set(e, ERROR_INVALID_ARGUMENT, "%s: byte %zu is not UTF-8", path,
                        str_utf8_valid(text) + 1);
        return NULL;
    }
    if (config_numbers_check(path, text, e) < 0)
        return NULL;
    cyaml_err_t err = load(text.len ? text : nothing, &config, &loaded);
    if (err == CYAML_OK && !loaded) /* only comments */
        err = load(nothing, &config, &loaded);
    if (err == CYAML_OK)
        return loaded;
    (void)report(path, &c, cyaml_strerror(err), e);
    return NULL;
}

void config_file_free(struct file_entry *f)
{
    if (f)
        (void)cyaml_free(&base_config, &file_schema, f, 0);
}

bool config_key_at(uint32_t i, struct config_key *out)
{
    if (i >= ARRAY_LEN(keys))
        return false;
    *out = keys[i];
    return true;
}

static bool cut_prefix(const char **text, const char *prefix)
{
    size_t n = strlen(prefix);

    if (strncmp(*text, prefix, n) != 0)
        return false;
    *text += n;
    return true;
}

/* "line: 3, column: 14)" without its colons. */
static void copy_place(const char *from, char *to, size_t bytes)
{
    size_t n = 0;

    for (; *from && *from != ')' && n + 1 < bytes; from++)
        if (*from != ':')
            to[n++] = *from;
    to[n] = '\0';
}

/* libcyaml writes "Load: Unexpected key: x\n", then "Load: Backtrace:\n" and "  in ... (line: 3,
 * column: 5)\n" from the innermost place outwards. */
static void complain(cyaml_log_t level, void *ctx, const char *fmt, va_list args)
{
    struct complaint *c = ctx;
    char line[COMPLAINT_BYTES];
    const char *text = line;

    (void)level;
    (void)vsnprintf(line, sizeof line, fmt, args);
    line[strcspn(line, "\n")] = '\0';
    (void)cut_prefix(&text, "Load: ");
    if (strncmp(text, "Backtrace", 9) == 0)
        return;
    bool place = cut_prefix(&text, "  in ");
    if (!place && c->what[0] == '\0')
        (void)snprintf(c->what, sizeof c->what, "%s", text);
    const char *at = strstr(text, "(line: ");
    if (place && at && c->where[0] == '\0')
        copy_place(at + 1, c->where, sizeof c->where);
}

static const char *nearest_key(const char *word)
{
    struct nearest n = { .word = word };

    for (size_t i = 0; i < ARRAY_LEN(keys); i++)
        nearest_offer(&n, keys[i].name);
    return n.best;
}

static int report(const char *path, const struct complaint *c, const char *code, struct error *e)
{
    const char *word = c->what;
    const char *place = c->where[0] ? c->where : "the whole file";

    if (!cut_prefix(&word, "Unexpected key: "))
        return error_set(e, ERROR_INVALID_ARGUMENT, "%s (%s): %s; see `tranche help config`", path,
                         place, c->what[0] ? c->what : code);
    const char *near = nearest_key(word);
    if (!near)
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "%s (%s): unknown key \"%s\"; see `tranche help config`", path, place,
                         word);
    return error_set(e, ERROR_INVALID_ARGUMENT, "%s (%s): unknown key \"%s\"; did you mean \"%s\"?",
                     path, place, word, near);
}
