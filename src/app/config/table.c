#include "app/config/table.h"

#include <float.h>
#include <string.h>

#include "app/config/config.h"
#include "engine/service/service.h"
#include "predict/fake/script.h"
#include "store/kept/kept.h"
#include "store/store.h"
#include "store/tables/tables.h"

#define HOURS_MAX ((uint64_t)10 * 366 * 24)
#define WEIGHT_MAX 1e6
#define ADAPTER_SCALE_MAX 100.0
#define ABOVE_0 DBL_MIN
#define TEXT_OF(x) #x
#define DEFAULT(number) TEXT_OF(number) /* of a constant whose owner is another header */

/* Type, place, bounds and section of a row. ENTRY is the section's struct. */
// NOLINTNEXTLINE(bugprone-macro-parentheses): designators
#define PLACE(type_, field) .type = type_, .place = offsetof(ENTRY, field)
#define NONE .section = NULL
#define TEXT(field) PLACE(CONFIG_TEXT, field), NONE
#define FILE_(field) PLACE(CONFIG_FILE, field), NONE
#define CHOICE(field) PLACE(CONFIG_CHOICE, field), NONE
#define FLAG(field) PLACE(CONFIG_FLAG, field), NONE
#define FLAG_IF(field) PLACE(CONFIG_FLAG_IF, field), NONE
#define COUNT(field, min, max) PLACE(CONFIG_COUNT, field), .bounds = { min, max, 0, 0 }, NONE
#define BIG(field, min) PLACE(CONFIG_BIG, field), .bounds = { min, UINT64_MAX, 0, 0 }, NONE
#define NUMBER(field, from, to) PLACE(CONFIG_NUMBER, field), .bounds = { 0, 0, from, to }, NONE
#define TEXTS(field, items) PLACE(CONFIG_TEXTS, field), .bounds = { 0, items, 0, 0 }, NONE
/* Its members are the struct's own. */
#define MAP_HERE(section_) .type = CONFIG_MAP, .place = 0, .section = &section_
#define MAP_IF(field, section_) PLACE(CONFIG_MAP_IF, field), .section = &section_
#define LIST(field, items, section_)                                                               \
    PLACE(CONFIG_LIST, field), .bounds = { 0, items, 0, 0 }, .section = &section_

#define SECTION(name, path, rows)                                                                  \
    const struct config_section name = { path, rows, ARRAY_LEN(rows), sizeof(ENTRY) }

/* key, type(place, bounds), value, default, about; then .absent and .restart */
// clang-format off
#define ENTRY struct fault_entry
static const struct config_row fault_rows[] = {
    { "match", TEXT(fault.match), "TEXT", NULL, "only requests whose last user text has this", .absent = "any request" },
    { "every", COUNT(fault.every, 0, UINT32_MAX), "N", "0", "only each N-th matching request; 0: each" },
    { "times", COUNT(fault.times, 0, UINT32_MAX), "N", "0", "attempts of one request that fail; 0: all" },
    { "rate", NUMBER(fault.rate, 0, 1), "X", "0", "share of matching attempts that fail; 0: not used" },
    { "code", TEXT(code), "CODE", "UNAVAILABLE", "error code: RESOURCE_EXHAUSTED, INVALID_ARGUMENT, INTERNAL, ..." },
    { "message", TEXT(fault.message), "TEXT", NULL, "text of the error" },
    { "retry_after_ms", COUNT(fault.retry_after_ms, 0, UINT32_MAX), "MS", "0", "pause that the error asks for; 0: none" },
    { "hang", FLAG(fault.hang), "true", "false", "never answer" },
};
static SECTION(fault_section, "fake.faults[]", fault_rows);

#undef ENTRY
#define ENTRY struct fake_reply
static const struct config_row answer_rows[] = {
    { "match", TEXT(match), "TEXT", NULL, "only requests whose last user text has this", .absent = "any request" },
    { "text", TEXT(text), "TEXT", NULL, "text of the answer", .absent = "empty" },
};
static SECTION(answer_section, "fake.answers[]", answer_rows);

#undef ENTRY
#define ENTRY struct fake_entry
static const struct config_row fake_rows[] = {
    { "delay_ms", COUNT(script.delay_ms, 0, UINT32_MAX), "MS", "0", "time from request to answer" },
    { "jitter_ms", COUNT(script.jitter_ms, 0, UINT32_MAX), "MS", "0", "random addition to it, up to this" },
    { "delay_token_us", COUNT(script.delay_token_us, 0, UINT32_MAX), "US", "0", "addition for each token of the answer" },
    { "window", COUNT(script.window, 0, UINT32_MAX), "N", "0", "requests open at once; 0: 1024" },
    { "answers", LIST(answers, FAKE_REPLIES_MAX, answer_section), "LIST", NULL, "answers by what a request says; the first that matches is given" },
    { "faults", LIST(faults, FAKE_FAULTS_MAX, fault_section), "LIST", NULL, "injected faults; the first that matches decides" },
};
static SECTION(fake_section, "fake", fake_rows);

#undef ENTRY
#define ENTRY struct adapter_entry
static const struct config_row adapter_rows[] = {
    { "file", FILE_(file), "FILE", NULL, "LoRA adapter as GGUF", .absent = "required" },
    { "scale", NUMBER(scale, -ADAPTER_SCALE_MAX, ADAPTER_SCALE_MAX), "X", "1.0", "its strength" },
};
static SECTION(adapter_section, "models[].adapters[]", adapter_rows);

#undef ENTRY
#define ENTRY struct price
static const struct config_row price_rows[] = {
    { "input", NUMBER(input, 0, PRICE_USD_MAX), "USD", "0", "online price of a million prompt tokens" },
    { "output", NUMBER(output, 0, PRICE_USD_MAX), "USD", "0", "online price of a million generated tokens" },
    { "cached", NUMBER(cached, 0, PRICE_USD_MAX), "USD", NULL, "price of a million reused prompt tokens; not halved", .absent = "a tenth of input" },
};
static SECTION(price_section, "models[].price", price_rows);

#undef ENTRY
#define ENTRY struct upstream_entry
static const struct config_row upstream_rows[] = {
    { "name", TEXT(upstream.name), "NAME", NULL, "its name in models and reports, at most 63 bytes", .absent = "required" },
    { "url", TEXT(upstream.url), "URL", NULL, "base of its paths: http://host:8000/v1", .absent = "required" },
    { "dialect", CHOICE(dialect), "openai|gemini", NULL, "API that it speaks", .absent = "by the URL: gemini at googleapis.com, else openai" },
    { "key_env", TEXT(key_env), "NAME", NULL, "environment variable with its key or token" },
    { "key_file", FILE_(upstream.credential.secret_file), "FILE", NULL, "file with its key or token; read again when it changes" },
    { "service_account", FILE_(upstream.credential.service_account), "FILE", NULL, "service account of Google's as JSON: tokens are fetched" },
    { "headers", TEXTS(upstream.header, UPSTREAM_HEADERS_MAX), "LIST", NULL, "more headers of each request: \"X-Team: search\"" },
    { "ca_file", FILE_(upstream.ca_file), "FILE", NULL, "certificates as PEM that are trusted", .absent = "the system's" },
    { "proxy", TEXT(upstream.proxy), "URL", NULL, "HTTP proxy; none: no proxy", .absent = "the environment's, but none to this machine" },
    { "http1", FLAG(upstream.http1), "true", "false", "never HTTP/2" },
    { "max_completion_tokens", FLAG(upstream.max_completion_tokens), "true", "false", "send maxOutputTokens by this name instead of max_tokens (OpenAI's newer models); learnt from the refusal, too" },
    { "inline_files", FLAG_IF(inline_files), "true", NULL, "send the contents of gs:// files instead of their names", .absent = "true; false on Vertex AI" },
    { "max_rpm", COUNT(upstream.max_rpm, 0, UINT32_MAX), "N", "0", "requests a minute, of all jobs together; 0: no limit" },
    { "max_tpm", BIG(upstream.max_tpm, 0), "N", "0", "tokens a minute, of prompts and answers; 0: no limit" },
    { "concurrency", COUNT(upstream.concurrency, 0, UPSTREAM_CONCURRENCY_MAX), "N", "0", "requests at once; 0: found by measuring" },
    { "concurrency_max", COUNT(upstream.concurrency_max, 0, UPSTREAM_CONCURRENCY_MAX), "N", DEFAULT(UPSTREAM_CONCURRENCY_DEFAULT), "upper limit of that measuring; 0: the default" },
    { "timeout_ms", COUNT(upstream.timeout_ms, 1, UINT32_MAX), "MS", DEFAULT(UPSTREAM_TIMEOUT_MS), "time limit of one attempt" },
    { "idle_ms", COUNT(upstream.idle_ms, 0, UINT32_MAX), "MS", DEFAULT(UPSTREAM_IDLE_MS), "an attempt fails after so long without a byte; 0: no limit" },
    { "patience_ms", COUNT(upstream.patience_ms, 0, UINT32_MAX), "MS", DEFAULT(UPSTREAM_PATIENCE_MS), "an upstream that answers nothing for so long is given up: its lines fail; after 30 s if it has never answered" },
};
SECTION(config_upstreams, "upstreams[]", upstream_rows);

#undef ENTRY
#define ENTRY struct model_upstream_entry
static const struct config_row model_upstream_rows[] = {
    { "upstream", TEXT(upstream), "NAME", NULL, "the name of one of `upstreams`", .absent = "required" },
    { "model", TEXT(model), "NAME", NULL, "name of the model there; required when `name` is a pattern", .absent = "the model's `name`" },
    { "weight", NUMBER(weight, 0, WEIGHT_MAX), "X", "1", "share of the requests; 0: only when the others cannot" },
    { "price", MAP_IF(price, price_section), "MAP", NULL, "what it bills", .absent = "the published price of `model`, if it speaks gemini; else the model's" },
};
static SECTION(model_upstream_section, "models[].upstreams[]", model_upstream_rows);

#undef ENTRY
#define ENTRY struct model_entry
static const struct config_row model_rows[] = {
    { "name", TEXT(model.pattern), "GLOB", NULL, "a name or a pattern with * and ?: \"tuned-*\"", .absent = "required" },
    { "kind", CHOICE(kind), "local|upstream|remote-batch|fake", NULL, "local: the embedded engine; upstream: servers; remote-batch: Google's batch service; fake: scripted answers for tests", .absent = "local; upstream, when it has `upstreams`" },
    { "file", FILE_(model.file), "FILE", NULL, "GGUF file", .absent = "required for local" },
    { "projector", FILE_(model.projector), "FILE", NULL, "GGUF file of the model's encoder of images and sounds (\"mmproj\"); libllama then computes the model", .absent = "text only" },
    { "about", TEXT(model.about), "TEXT", "configured", "one line for `tranche models`" },
    { "context", COUNT(model.context, 0, UINT32_MAX), "N", "0", "tokens of one request, prompt and answer; 0: the model's own" },
    { "sequences", COUNT(model.sequences, 0, UINT32_MAX), "N", "0", "requests computed at once, at most 240 (plain: 63); 0: 96 (plain: 16, or 2 a core)" },
    { "threads", COUNT(model.threads, 0, UINT32_MAX), "N", "0", "processor threads; 0: all cores" },
    { "cache_mib", COUNT(model.cache_mib, 0, UINT32_MAX), "MIB", "0", "size of the key-value cache; 0: from the model's shape" },
    { "engine", CHOICE(engine), "fast|plain", "fast", "fast: tranche's own runtime where it covers the model, else libllama; plain: libllama alone" },
    { "isolate", FLAG(isolate), "true|false", "true", "the model runs in a process of its own, which a damaged file or a hostile request can end without harm to others" },
    { "chat_template", FILE_(model.chat_template), "FILE", NULL, "a chat template (Jinja) that is used instead of the file's own", .absent = "the file's own" },
    { "call_format", CHOICE(call_format), "auto|none|hermes|smollm2|llama3|gemma", "auto", "how the model calls functions; auto: as its chat template shows" },
    { "adapters", LIST(adapters, MODEL_ADAPTERS_MAX, adapter_section), "LIST", NULL, "LoRA adapters" },
    { "upstreams", LIST(upstreams, MODEL_UPSTREAMS_MAX, model_upstream_section), "LIST", NULL, "servers that answer; a remote-batch has one", .absent = "required for upstream and remote-batch" },
    { "spill_after_ms", COUNT(model.spill_after_ms, 0, UINT32_MAX), "MS", "0", "a request that waited so long may go to an upstream of weight 0; 0: only when the others are broken" },
    { "staging", TEXT(model.staging), "URI", NULL, "gs://bucket/prefix for its files", .absent = "required for remote-batch on Vertex AI" },
    { "poll_ms", COUNT(model.poll_ms, 0, UINT32_MAX), "MS", NULL, "longest pause between two looks at a remote batch; 0: the default", .absent = "30000" },
    { "price", MAP_IF(price, price_section), "MAP", NULL, "its price", .absent = "the published price of the name, if any" },
    { "fake", MAP_IF(fake, fake_section), "MAP", NULL, "script of a model of kind fake" },
};
static SECTION(model_section, "models[]", model_rows);

#undef ENTRY
#define ENTRY struct weight_entry
static const struct config_row weight_rows[] = {
    { "project", TEXT(project), "NAME", NULL, "a project", .absent = "required" },
    { "weight", NUMBER(weight, ABOVE_0, WEIGHT_MAX), "X", NULL, "its share of a model's capacity beside the others'", .absent = "required" },
};
static SECTION(weight_section, "service.weights[]", weight_rows);

#undef ENTRY
#define ENTRY struct config_service
static const struct config_row service_rows[] = {
    { "listen", TEXT(listen), "ADDR", "127.0.0.1:8080", "address and port; port 0: any free one; other than loopback addresses need a key", .restart = true },
    { "public_url", TEXT(public_url), "URL", NULL, "URL of the server for its clients, when it stands behind a proxy", .absent = "from the Host header", .restart = true },
    { "tls_cert", FILE_(tls_cert), "FILE", NULL, "certificate chain as PEM; with tls_key: HTTPS", .restart = true },
    { "tls_key", FILE_(tls_key), "FILE", NULL, "its private key as PEM", .restart = true },
    { "store", TEXT(store), "URL", NULL, "PostgreSQL database for jobs, objects and keys, shared by all processes that name it: postgres://USER@HOST/DATABASE; needs bucket", .absent = "the state folder", .restart = true },
    { "bucket", TEXT(bucket), "URL", NULL, "bucket for contents, shared like store: s3://NAME/PREFIX, gs://NAME/PREFIX or file:///FOLDER", .restart = true },
    { "store_connections", COUNT(store_connections, 2, 1000), "N", DEFAULT(STORE_CONNECTIONS), "maximum number of connections of this process to store", .restart = true },
    { "cache_bytes", BIG(cache_bytes, 1), "BYTES", DEFAULT(STORE_CACHE_BYTES), "disk space of this process for copies of what bucket holds", .restart = true },
    { "default_project", TEXT(default_project), "NAME", "default", "project of calls that name none, while there are no keys", .restart = true },
    { "lines_max", BIG(settings.lines_max, 1), "N", "200000", "maximum number of requests of one job" },
    { "input_bytes_max", BIG(settings.input_bytes_max, 1), "N", "1073741824", "maximum input of one job" },
    { "queue_hours", COUNT(settings.queue_hours, 1, HOURS_MAX), "N", "72", "a job that waits longer expires" },
    { "run_hours", COUNT(settings.run_hours, 1, HOURS_MAX), "N", "24", "a job that runs longer expires; its answers stay" },
    { "paused_hours", COUNT(settings.paused_hours, 1, HOURS_MAX), "N", "72", "a job that is paused longer expires" },
    { "file_hours", COUNT(settings.file_hours, 1, HOURS_MAX), "N", "48", "lifetime of a file of the Files API" },
    { "keep", BIG(settings.keep, 0), "BYTES", DEFAULT(KEPT_BYTES_DEFAULT), "disk space of the answers that the jobs of one project with `reuse` keep for 30 days; 0: keep none" },
    { "running_jobs_max", COUNT(settings.running_max, 1, 1024), "N", "8", "maximum number of running jobs of one model" },
    { "queued_jobs_max", COUNT(settings.queued_max, 1, 1000000), "N", "10000", "maximum number of jobs of one project that are not final" },
    { "in_flight_max", COUNT(settings.in_flight_max, 0, UINT32_MAX), "N", "0", "maximum number of requests of one job at once; 0: what the model takes" },
    { "work", FLAG(work), "true|false", "true", "false: this process of several that share a store serves calls and works on no jobs", .restart = true },
    { "connections_max", COUNT(connections_max, 0, UINT32_MAX), "N", "2000", "maximum number of connections; 0: the default", .restart = true },
    { "tables_memory", BIG(tables_memory, TABLES_MEMORY_MIN), "BYTES", DEFAULT(TABLES_MEMORY_DEFAULT), "memory of one project's table engine for data and queries; a query that needs more uses tables_temp, and fails beyond", .restart = true },
    { "tables_temp", BIG(tables_temp, 0), "BYTES", DEFAULT(TABLES_TEMP_DEFAULT), "disk space of one project's queries for what memory does not hold", .restart = true },
    { "tables_threads", COUNT(tables_threads, 1, TABLES_THREADS_MAX), "N", DEFAULT(TABLES_THREADS_DEFAULT), "threads of one project's table engine", .restart = true },
    { "tables_query_s", COUNT(tables_query_s, 1, TABLES_QUERY_S_MAX), "S", DEFAULT(TABLES_QUERY_S_DEFAULT), "time limit of one query of tables", .restart = true },
    { "online_deadline_ms", COUNT(settings.online_deadline_ms, 1, UINT32_MAX), "MS", DEFAULT(UPSTREAM_TIMEOUT_MS), "time limit of an online call" },
    { "expired_as", CHOICE(expired_choice), "EXPIRED|FAILED", "EXPIRED", "state that Vertex clients see of an expired job; FAILED for those that wait for ever otherwise", .restart = true },
    { "tables", CHOICE(tables_choice), "embedded|bigquery", "embedded", "where the tables of batch jobs (bq://) are: embedded, with a BigQuery API of this service; bigquery: in BigQuery, as the section `bigquery` says", .restart = true },
    { "locations", TEXTS(locations, CONFIG_LOCATIONS_MAX), "LIST", NULL, "locations at which jobs are taken; \"global\" must be listed", .absent = "each region", .restart = true },
    { "webhook_allow", TEXTS(webhook_allow, CONFIG_WEBHOOK_ALLOW_MAX), "LIST", NULL, "webhook targets that are allowed though their address is private", .restart = true },
    { "weights", LIST(weights, SERVICE_WEIGHTS_MAX, weight_section), "LIST", NULL, "shares of projects", .absent = "each 1" },
};
SECTION(config_service, "service", service_rows);

#undef ENTRY
#define ENTRY struct config_bigquery
static const struct config_row bigquery_rows[] = {
    { "endpoint", TEXT(endpoint), "URL", NULL, "its address", .absent = "$BIGQUERY_EMULATOR_HOST, else https://bigquery.googleapis.com" },
    { "project", TEXT(project), "NAME", NULL, "project that jobs run in, and that pays for queries", .absent = "the project of the table" },
    { "location", TEXT(location), "NAME", NULL, "location of jobs that name no dataset: EU", .absent = "BigQuery's choice" },
    { "token_env", TEXT(token_env), "NAME", NULL, "environment variable with an access token" },
    { "token_file", FILE_(credential.secret_file), "FILE", NULL, "file with an access token; read again when it changes" },
    { "service_account", FILE_(credential.service_account), "FILE", NULL, "Google's JSON file of a service account, or of a user: tokens are fetched", .absent = "over https the application default credentials" },
    { "ca_file", FILE_(ca_file), "FILE", NULL, "certificates as PEM that are trusted", .absent = "the system's" },
    { "retry_ms", COUNT(retry_ms, 1, UINT32_MAX), "MS", "600000", "a call that failed for a reason that passes is tried again for so long" },
};
static SECTION(bigquery_section, "bigquery", bigquery_rows);

#undef ENTRY
#define ENTRY struct config
static const struct config_row limits_rows[] = {
    { "lines_max", BIG(lines_max, 0), "N", "0", "lines of one job; more is an input error; 0: no limit" },
    { "drain_ms", COUNT(drain_ms, 0, UINT32_MAX), "MS", "5000", "time that Ctrl-C waits for open requests" },
};
static SECTION(limits_section, "limits", limits_rows);
#undef ENTRY
#define ENTRY struct script_rule
static const struct config_row test_rows[] = {
    { "job", TEXT(job), "TEXT", NULL, "jobs whose displayed name has this" },
    { "file", TEXT(file), "TEXT", NULL, "files of the Files API whose displayed name has this" },
    { "object", TEXT(object), "TEXT", NULL, "objects whose name has this" },
    { "table", TEXT(table), "TEXT", NULL, "BigQuery's calls that make tables, rows or jobs, whose table or SQL has this" },
    { "script", TEXT(script), "SCRIPT", NULL, "steps as in the header x-tranche-test (docs/guides/ci.md)", .absent = "required" },
};
static SECTION(test_section, "test[]", test_rows);
#undef ENTRY
#define ENTRY struct config
static const struct config_row retry_rows[] = {
    { "attempts", COUNT(retry.attempts_max, 1, UINT32_MAX), "N", NULL, "attempts at one request, the first included", .absent = "5; 10 of models of kind upstream" },
    { "base_ms", COUNT(retry.base_ms, 0, UINT32_MAX), "MS", "250", "longest first wait" },
    { "cap_ms", COUNT(retry.cap_ms, 0, UINT32_MAX), "MS", "30000", "longest wait" },
    { "ratio", NUMBER(retry.ratio, 0, RETRY_RATIO_MAX), "X", "3", "retries of a job for each of its lines; 100 more are free" },
};
static SECTION(retry_section, "retry", retry_rows);
static const struct config_row root_rows[] = {
    { "default_model", TEXT(default_model), "NAME", DEFAULT_MODEL, "model of `run` and `validate` without --model" },
    { "keep", BIG(keep, 0), "BYTES", DEFAULT(KEPT_BYTES_DEFAULT), "disk space of the answers that `run` keeps for 30 days to use them again; 0: keep none" },
    { "limits", MAP_HERE(limits_section), "MAP", NULL, "limits of one job" },
    { "retry", MAP_HERE(retry_section), "MAP", NULL, "how failed requests are tried again" },
    { "upstreams", LIST(upstreams, UPSTREAMS_MAX, config_upstreams), "LIST", NULL, "servers that answer for models" },
    { "models", LIST(models_given, CONFIG_MODELS_MAX, model_section), "LIST", NULL, "models, tried before the built-in ones" },
    { "fake", MAP_IF(fake, fake_section), "MAP", NULL, "script of the built-in tranche-fake" },
    { "test", LIST(tests, SCRIPT_RULES_MAX, test_section), "LIST", NULL, "scripts of jobs, files, objects and tables, for `serve --test-clock` alone; the first that matches counts", .restart = true },
    { "bigquery", PLACE(CONFIG_MAP, bigquery), .section = &bigquery_section, "MAP", NULL, "how `run` and `serve` reach tables in BigQuery", .restart = true },
    { "service", PLACE(CONFIG_MAP, service), .section = &config_service, "MAP", NULL, "settings of `tranche serve`" },
};
SECTION(config_root, "", root_rows);
// clang-format on

/* In the order of the help. */
static const struct config_section *const sections[] = {
    &config_root,     &limits_section,   &retry_section,    &config_service,
    &weight_section,  &config_upstreams, &model_section,    &model_upstream_section,
    &adapter_section, &price_section,    &fake_section,     &fault_section,
    &answer_section,  &test_section,     &bigquery_section,
};

bool config_row_at(uint32_t i, const struct config_section **section, const struct config_row **row)
{
    for (size_t s = 0; s < ARRAY_LEN(sections); s++) {
        if (i < sections[s]->row_count) {
            *section = sections[s];
            *row = &sections[s]->row[i];
            return true;
        }
        i -= (uint32_t)sections[s]->row_count;
    }
    return false;
}

/* "1 to 87840": the bounds where they say more than the type does, else nothing. */
static void add_range(const struct config_row *row, struct buf *out)
{
    uint64_t most = row->type == CONFIG_COUNT ? UINT32_MAX : UINT64_MAX;

    switch (row->type) {
    case CONFIG_COUNT:
    case CONFIG_BIG:
        if (row->bounds.max < most)
            buf_addf(out, "%llu to %llu", (unsigned long long)row->bounds.min,
                     (unsigned long long)row->bounds.max);
        else if (row->bounds.min)
            buf_addf(out, "at least %llu", (unsigned long long)row->bounds.min);
        break;
    case CONFIG_NUMBER:
        if (row->bounds.from == ABOVE_0)
            buf_addf(out, "above 0, at most %.0f", row->bounds.to);
        else
            buf_addf(out, "%g to %.0f", row->bounds.from, row->bounds.to);
        break;
    case CONFIG_LIST:
    case CONFIG_TEXTS:
        buf_addf(out, "at most %llu", (unsigned long long)row->bounds.max);
        break;
    case CONFIG_TEXT:
    case CONFIG_FILE:
    case CONFIG_CHOICE:
    case CONFIG_FLAG:
    case CONFIG_FLAG_IF:
    case CONFIG_MAP:
    case CONFIG_MAP_IF:
        break;
    }
}

/* "a, b or c" of "a|b|c" */
static void add_words(struct str words, struct buf *out)
{
    while (words.len) {
        struct str word = str_sub(words, 0, str_find(words, STR("|")));
        words = str_sub(words, word.len + 1, words.len);
        buf_add_str(out, word);
        if (words.len)
            buf_add_c(out, str_find(words, STR("|")) == SIZE_MAX ? " or " : ", ");
    }
}

void config_row_takes(const struct config_row *row, struct buf *out)
{
    switch (row->type) {
    case CONFIG_COUNT:
    case CONFIG_BIG:
        buf_addf(out, "a whole number from %llu to %llu", (unsigned long long)row->bounds.min,
                 (unsigned long long)row->bounds.max);
        break;
    case CONFIG_NUMBER:
        if (row->bounds.from == ABOVE_0)
            buf_addf(out, "a number above 0, at most %.0f", row->bounds.to);
        else
            buf_addf(out, "a number from %g to %.0f", row->bounds.from, row->bounds.to);
        break;
    case CONFIG_LIST:
    case CONFIG_TEXTS:
        buf_addf(out, "a list of at most %llu", (unsigned long long)row->bounds.max);
        break;
    case CONFIG_CHOICE:
        add_words(str_of(row->value), out);
        break;
    case CONFIG_FLAG:
    case CONFIG_FLAG_IF:
        buf_add_c(out, "true or false");
        break;
    case CONFIG_MAP:
    case CONFIG_MAP_IF:
        buf_add_c(out, "keys and values");
        break;
    case CONFIG_TEXT:
    case CONFIG_FILE:
        buf_addf(out, "a text of at most %d bytes", CONFIG_TEXT_BYTES_MAX);
        break;
    }
}

void config_row_describe(const struct config_row *row, struct buf *out)
{
    struct buf range = BUF_INIT(64);
    const char *preset = row->preset ? row->preset : row->absent;
    bool required = preset && str_starts(str_of(preset), STR("required"));

    add_range(row, &range);
    buf_add_c(out, row->about);
    if (preset || range.len || row->restart)
        buf_add_c(out, " (");
    if (preset)
        buf_addf(out, "%s%s", required ? "" : "default: ", preset);
    if (range.len)
        buf_addf(out, "%s%s", preset ? "; " : "", range.p);
    if (row->restart)
        buf_addf(out, "%sread at the start", preset || range.len ? "; " : "");
    if (preset || range.len || row->restart)
        buf_add_char(out, ')');
    buf_release(&range);
}
