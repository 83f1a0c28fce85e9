/* The configuration file: its values, and its errors. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "app/config/config.h"
#include "base/mem.h"
#include "base/sys.h"
#include "engine/lines/pipeline.h"
#include "store/tables/tables.h"
#include "unit/app/temporary.h"

struct loading {
    struct temporary dir;
    struct config config;
    struct error error;
};

static int set_up(void **state)
{
    static struct loading l;

    l = (struct loading){ .config = { .path = NULL } };
    temporary_make(&l.dir);
    *state = &l;
    return setenv("TRANCHE_MODEL_DIR", "/models", 1);
}

static int tear_down(void **state)
{
    struct loading *l = *state;

    config_release(&l->config);
    temporary_remove(&l->dir);
    return unsetenv("TRANCHE_MODEL_DIR");
}

static int load(struct loading *l, const char *yaml)
{
    config_release(&l->config);
    return config_load(temporary_file(&l->dir, "c.yaml", yaml), &l->config, &l->error);
}

static const struct model *find(struct loading *l, const char *name)
{
    const struct model *m = model_find(&l->config.models, name, &l->error);

    assert_non_null(m);
    return m;
}

static void test_an_empty_file_gives_the_built_in_models_and_defaults(void **state)
{
    static const char *const empty[] = { "", "# only a comment\n", "{}\n", "models: []\n" };
    struct loading *l = *state;

    for (size_t i = 0; i < ARRAY_LEN(empty); i++) {
        assert_int_equal(load(l, empty[i]), 0);
        assert_string_equal(l->config.default_model, "smollm2-135m-instruct");
        assert_int_equal(l->config.lines_max, 0);
        assert_int_equal(l->config.retry.attempts_max, 0); /* the predictor's */
        assert_int_equal(l->config.drain_ms, DRAIN_DEFAULT_MS);
        assert_int_equal(find(l, "tranche-fake")->kind, MODEL_FAKE);
        assert_string_equal(find(l, "models/gemini-2.5-flash")->file,
                            "/models/smollm2-135m-instruct.gguf");
        assert_string_equal(find(l, "gemma-3-270m")->file, "/models/gemma-3-270m.gguf");
        assert_string_equal(find(l, "gemma-3-270m-it")->file, "/models/gemma-3-270m-it.gguf");
    }
}

static void test_every_setting_arrives(void **state)
{
    struct loading *l = *state;

    assert_int_equal(load(l, "default_model: tuned-1\n"
                             "limits: { lines_max: 200000, drain_ms: 0 }\n"
                             "retry: { attempts: 2, base_ms: 0, cap_ms: 7 }\n"
                             "models:\n"
                             "  - name: \"tuned-*\"\n"
                             "    file: sub/x.gguf\n"
                             "    context: 4096\n"
                             "    sequences: 12\n"
                             "    threads: 3\n"
                             "    cache_mib: 99\n"
                             "    engine: plain\n"
                             "    adapters: [{ file: /abs/a.gguf, scale: 0.5 }, { file: b.gguf }]\n"
                             "    price: { input: 0.10, output: 0.40 }\n"
                             "    about: ours\n"),
                     0);
    assert_string_equal(l->config.default_model, "tuned-1");
    assert_int_equal(l->config.lines_max, 200000);
    assert_int_equal(l->config.drain_ms, 0);
    assert_int_equal(l->config.retry.attempts_max, 2);
    assert_int_equal(l->config.retry.base_ms, 0);
    assert_int_equal(l->config.retry.cap_ms, 7);
    const struct model *m = find(l, "tuned-7");
    char beside[160];
    (void)snprintf(beside, sizeof beside, "%s/sub/x.gguf", l->dir.path);
    assert_string_equal(m->file, beside);
    assert_int_equal(m->context, 4096);
    assert_int_equal(m->sequences, 12);
    assert_int_equal(m->threads, 3);
    assert_int_equal(m->cache_mib, 99);
    assert_true(m->plain);
    assert_int_equal(m->adapters.count, 2);
    assert_string_equal(m->adapters.item[0].file, "/abs/a.gguf");
    assert_true(m->adapters.item[0].scale > 0.49F && m->adapters.item[0].scale < 0.51F);
    assert_true(m->adapters.item[1].scale > 0.99F && m->adapters.item[1].scale < 1.01F);
    assert_true(m->has_price);
    assert_true(m->price.cached > 0.0099 && m->price.cached < 0.0101);
    assert_string_equal(m->about, "ours");
}

static void test_the_service_has_defaults_and_takes_every_setting(void **state)
{
    struct loading *l = *state;
    const struct config_service *s = &l->config.service;

    assert_int_equal(load(l, "limits: { drain_ms: 7 }\n"), 0);
    assert_string_equal(s->listen, "127.0.0.1:8080");
    assert_string_equal(s->default_project, "default");
    assert_null(s->public_url);
    assert_null(s->webhook_allow);
    assert_int_equal(s->expired_as, JOB_EXPIRED);
    assert_int_equal(s->settings.lines_max, 200000);
    assert_int_equal(s->settings.input_bytes_max, 1073741824);
    assert_int_equal(s->settings.queue_hours, 72);
    assert_int_equal(s->settings.run_hours, 24);
    assert_int_equal(s->settings.drain_ms, 7);
    assert_int_equal(s->tables_memory, TABLES_MEMORY_DEFAULT);
    assert_int_equal(s->tables_temp, TABLES_TEMP_DEFAULT);
    assert_int_equal(s->tables_threads, TABLES_THREADS_DEFAULT);
    assert_int_equal(s->tables_query_s, TABLES_QUERY_S_DEFAULT);
    assert_int_equal(load(l,
                          "retry: { attempts: 2 }\n"
                          "service:\n"
                          "  listen: \"[::1]:0\"\n"
                          "  public_url: https://tranche.test/\n"
                          "  tls_cert: c.pem\n"
                          "  tls_key: /k.pem\n"
                          "  default_project: mine\n"
                          "  lines_max: 18446744073709551615\n"
                          "  input_bytes_max: 5000000000\n"
                          "  queue_hours: 1\n"
                          "  run_hours: 2\n"
                          "  paused_hours: 3\n"
                          "  file_hours: 4\n"
                          "  running_jobs_max: 5\n"
                          "  queued_jobs_max: 6\n"
                          "  in_flight_max: 7\n"
                          "  connections_max: 8\n"
                          "  tables_memory: 2000000000\n"
                          "  tables_temp: 0\n"
                          "  tables_threads: 256\n"
                          "  tables_query_s: 86400\n"
                          "  online_deadline_ms: 9\n"
                          "  expired_as: FAILED\n"
                          "  webhook_allow: [http://127.0.0.1:9000/, http://10.0.0.1/]\n"
                          "  weights: [{ project: a, weight: 2 }, { project: b, weight: 0.5 }]\n"),
                     0);
    assert_string_equal(s->listen, "[::1]:0");
    assert_string_equal(s->public_url, "https://tranche.test/");
    assert_true(strstr(s->tls_cert, l->dir.path) == s->tls_cert);
    assert_string_equal(s->tls_key, "/k.pem");
    assert_string_equal(s->default_project, "mine");
    assert_true(s->settings.lines_max == UINT64_MAX);
    assert_int_equal(s->settings.input_bytes_max, 5000000000);
    assert_int_equal(s->settings.queue_hours, 1);
    assert_int_equal(s->settings.run_hours, 2);
    assert_int_equal(s->settings.paused_hours, 3);
    assert_int_equal(s->settings.file_hours, 4);
    assert_int_equal(s->settings.running_max, 5);
    assert_int_equal(s->settings.queued_max, 6);
    assert_int_equal(s->settings.in_flight_max, 7);
    assert_int_equal(s->connections_max, 8);
    assert_int_equal(s->tables_memory, 2000000000);
    assert_int_equal(s->tables_temp, 0);
    assert_int_equal(s->tables_threads, 256);
    assert_int_equal(s->tables_query_s, 86400);
    assert_int_equal(s->settings.online_deadline_ms, 9);
    assert_int_equal(s->settings.retry.attempts_max, 2);
    assert_int_equal(s->expired_as, JOB_FAILED);
    assert_string_equal(s->webhook_allow[1], "http://10.0.0.1/");
    assert_null(s->webhook_allow[2]);
    assert_int_equal(s->settings.weight_count, 2);
    assert_string_equal(s->settings.weight[1].project, "b");
    assert_true(s->settings.weight[1].weight > 0.49 && s->settings.weight[1].weight < 0.51);
}

static void test_numbers_may_be_written_as_yaml_has_them(void **state)
{
    struct loading *l = *state;

    assert_int_equal(load(l, "limits: &l { lines_max: \"8\", drain_ms: 007 }\n"
                             "models:\n"
                             "  - name: x\n"
                             "    file: a\n"
                             "    adapters: [{ file: b, scale: -0.5 }]\n"
                             "    price: { input: 1e-1, output: .5 }\n"),
                     0);
    assert_int_equal(l->config.lines_max, 8);
    assert_int_equal(l->config.drain_ms, 7);
    assert_true(find(l, "x")->adapters.item[0].scale < -0.49F);
}

static void test_a_fake_is_scripted_at_the_top_or_as_a_model(void **state)
{
    static const char *const files[] = {
        "fake: { delay_ms: 5, jitter_ms: 6, delay_token_us: 7, window: 8, faults: [{ match: m, "
        "every: 2, times: 3, rate: 0.25, code: RESOURCE_EXHAUSTED, message: no, retry_after_ms: 9, "
        "hang: true }] }\n",
        "models: [{ name: tranche-fake, kind: fake, fake: { delay_ms: 5, jitter_ms: 6, "
        "delay_token_us: 7, window: 8, faults: [{ match: m, every: 2, times: 3, rate: 0.25, code: "
        "RESOURCE_EXHAUSTED, message: no, retry_after_ms: 9, hang: true }] } }]\n",
    };
    struct loading *l = *state;

    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        assert_int_equal(load(l, files[i]), 0);
        const struct fake_script *s = &find(l, "tranche-fake")->fake;
        assert_int_equal(s->delay_ms, 5);
        assert_int_equal(s->jitter_ms, 6);
        assert_int_equal(s->delay_token_us, 7);
        assert_int_equal(s->window, 8);
        assert_int_equal(s->fault_count, 1);
        assert_string_equal(s->fault[0].match, "m");
        assert_int_equal(s->fault[0].every, 2);
        assert_int_equal(s->fault[0].times, 3);
        assert_true(s->fault[0].rate > 0.24 && s->fault[0].rate < 0.26);
        assert_int_equal(s->fault[0].code, ERROR_RESOURCE_EXHAUSTED);
        assert_string_equal(s->fault[0].message, "no");
        assert_int_equal(s->fault[0].retry_after_ms, 9);
        assert_true(s->fault[0].hang);
    }
}

static void test_the_first_model_that_matches_decides(void **state)
{
    struct loading *l = *state;

    assert_int_equal(load(l, "models:\n"
                             "  - { name: gemini-2.5-pro, kind: fake, about: mine }\n"
                             "  - { name: 'gemini-2*', kind: fake, about: second }\n"),
                     0);
    assert_string_equal(find(l, "gemini-2.5-pro")->about, "mine");
    assert_string_equal(find(l, "gemini-2.5-flash")->about, "second");
    assert_int_equal(find(l, "gemini-3-flash-preview")->kind, MODEL_LOCAL);
}

#define UPSTREAM "upstreams: [{ name: u, url: \"http://h/v1\" }]\n"

static void test_upstreams_and_their_places_are_read(void **state)
{
    struct loading *l = *state;

    (void)setenv("TEST_UPSTREAM_KEY", "secret", 1);
    assert_int_equal(load(l,
                          "upstreams:\n"
                          "  - { name: own, url: \"http://h:8000/v1/\", max_rpm: 60,\n"
                          "      max_tpm: 5000000000, headers: [\"X-A: b\"], key_env: "
                          "TEST_UPSTREAM_KEY, proxy: none }\n"
                          "  - { name: google, url: \"https://generativelanguage.googleapis.com\","
                          " key_file: k }\n"
                          "models:\n"
                          "  - name: \"gemini-*\"\n"
                          "    spill_after_ms: 1000\n"
                          "    upstreams:\n"
                          "      - { upstream: own, model: qwen, weight: 2, price: { input: 1 } }\n"
                          "      - { upstream: google, model: gemini-2.5-flash, weight: 0 }\n"),
                     0);
    const struct model *m = find(l, "gemini-2.5-pro");
    assert_int_equal(m->kind, MODEL_UPSTREAM);
    assert_int_equal(m->upstream_count, 2);
    assert_int_equal(m->spill_after_ms, 1000);
    const struct upstream *own = m->upstream[0].upstream, *google = m->upstream[1].upstream;
    assert_string_equal(own->url, "http://h:8000/v1");
    assert_int_equal(own->wire, WIRE_OPENAI);
    assert_int_equal(google->wire, WIRE_GEMINI);
    assert_int_equal(own->max_tpm, 5000000000);
    assert_string_equal(own->credential.secret, "secret");
    assert_string_equal(own->header[0], "X-A: b");
    assert_null(own->header[1]);
    assert_string_equal(own->proxy, "");
    assert_int_equal(own->concurrency_max, UPSTREAM_CONCURRENCY_DEFAULT);
    assert_true(m->upstream[0].has_price);
    assert_true(m->upstream[1].weight == 0);
    struct price p = model_price(m, "gemini-2.5-pro");
    assert_true(p.input == 1 && p.no_batch_price);
}

static void test_an_error_names_its_place_and_remedy(void **state)
{
    static const struct {
        const char *yaml, *says;
    } cases[] = {
        { "modles: []\n", "(line 1, column 1): unknown key \"modles\"; did you mean \"models\"?" },
        { "models:\n  - nme: x\n",
          "(line 2, column 5): models[0]: unknown key \"nme\"; did you mean \"name\"?" },
        { "models:\n  - name: x\n    context: many\n", "(line 3, column 14): " },
        { "models:\n  - name: x\n    context: -1\n", "(line 3, column 14): " },
        { "limits: 3\n", "(line 1, column 9): " },
        { "retry: { attempts: 0 }\n",
          "retry.attempts: \"0\" does not fit; it takes a whole number from 1 to" },
        { "models: [{ kind: fake }]\n", "models[0].name: a model needs a name" },
        { "models: [{ name: x }]\n", "models[0].file: a local model needs `file`" },
        { "models: [{ name: x, kind: cloud }]\n",
          "kind: \"cloud\" does not fit; it takes local, upstream, remote-batch or fake" },
        { "models: [{ name: x, kind: fake, file: y }]\n", "a model of kind fake has no file" },
        { "upstreams: [{ url: \"http://h/v1\" }]\n",
          "upstreams[0].name: an upstream needs a name" },
        { "upstreams: [{ name: u }]\n", "upstreams[0].url: an upstream needs a url" },
        { "upstreams: [{ name: u, url: \"ftp://h\" }]\n", "an upstream needs a url" },
        { "upstreams: [{ name: u, url: \"http://h\", dialect: klingon }]\n",
          "upstreams[0].dialect: \"klingon\" does not fit; it takes openai or gemini" },
        { "upstreams: [{ name: u, url: \"http://h\", key_env: NOT_SET_ANYWHERE }]\n",
          "upstreams[0].key_env: the environment variable NOT_SET_ANYWHERE is not set" },
        { "upstreams: [{ name: u, url: \"http://h\", key_file: a, service_account: b }]\n",
          "one of key_env, key_file and service_account" },
        { "upstreams: [{ name: u, url: \"http://h\", headers: [nonsense] }]\n",
          "headers: the item 1 must be a line such as" },
        { "upstreams: [{ name: u, url: \"http://h\", timeout_ms: 0 }]\n",
          "timeout_ms: \"0\" does not fit; it takes a whole number from 1 to" },
        { "upstreams: [{ name: u, url: \"http://h\", concurrency: 4097 }]\n",
          "concurrency: \"4097\" does not fit; it takes a whole number from 0 to 4096" },
        { "upstreams: [{ name: u, url: \"http://h\" }, { name: u, url: \"http://i\" }]\n",
          "upstreams[1].name: the name u stands twice" },
        { "models: [{ name: x, kind: upstream }]\n",
          "models[0].upstreams: the model needs `upstreams`" },
        { "models: [{ name: x, upstreams: [{ upstream: v }] }]\n",
          "models[0].upstreams[0].upstream: \"v\" is not one of the section `upstreams`" },
        { UPSTREAM "models: [{ name: \"x*\", upstreams: [{ upstream: u }] }]\n",
          "say which `model` is asked for there" },
        { UPSTREAM "models: [{ name: x, upstreams: [{ upstream: u, weight: 0 }] }]\n",
          "at least one of them with a weight above 0" },
        { UPSTREAM "models: [{ name: x, upstreams: [{ upstream: u, weight: -1 }] }]\n",
          "upstreams[0].weight: \"-1\" does not fit; it takes a number from 0 to 1000000" },
        { UPSTREAM "models: [{ name: x, kind: fake, upstreams: [{ upstream: u }] }]\n",
          "`upstreams` is for models of kind upstream or remote-batch" },
        { UPSTREAM "models: [{ name: x, kind: remote-batch, upstreams: [{ upstream: u }] }]\n",
          "a remote batch has one upstream, of dialect gemini" },
        { "upstreams: [{ name: v, url: "
          "\"https://h-aiplatform.googleapis.com/v1/projects/p/locations/l"
          "\" }]\nmodels: [{ name: x, kind: remote-batch, upstreams: [{ upstream: v }] }]\n",
          "needs `staging`" },
        { "retry: { ratio: -1 }\n",
          "retry.ratio: \"-1\" does not fit; it takes a number from 0 to 1000000" },
        { "models: [{ name: x, file: y, engine: warp }]\n",
          "models[0].engine: \"warp\" does not fit; it takes fast or plain" },
        { "models: [{ name: x, file: y, fake: {} }]\n", "`fake` is for models of kind fake" },
        { "models: [{ name: x, file: y, price: { input: -1 } }]\n",
          "price.input: \"-1\" does not fit; it takes a number from 0 to 1000" },
        { "models: [{ name: x, file: y, price: { output: nan } }]\n",
          "models[0].price.output: \"nan\" does not fit; it takes a number" },
        { "models: [{ name: x, file: y, adapters: [{ scale: 1 }] }]\n",
          "models[0].adapters[0].file: an adapter needs a file" },
        { "models: [{ name: x, file: y, adapters: [{ file: z, scale: inf }] }]\n", "scale" },
        { "fake: { faults: [{ code: BROKEN }] }\n",
          "fake.faults[0].code: \"BROKEN\" is not an error code" },
        { "fake: { faults: [{ code: OK }] }\n", "is not an error code" },
        { "fake: { faults: [{ rate: 1.5 }] }\n",
          "fake.faults[0].rate: \"1.5\" does not fit; it takes a number from 0 to 1" },
        { "limits:\n  lines_max: 8k\n", "(line 2, column 14): limits.lines_max: \"8k\" does not "
                                        "fit; it takes a whole number from 0 to" },
        { "limits: { lines_max: -1 }\n", "(line 1, column 22): limits.lines_max: \"-1\"" },
        { "limits: { lines_max: 18446744073709551616 }\n", "limits.lines_max: " },
        { "limits: { drain_ms: 4294967296 }\n", "limits.drain_ms: " },
        { "limits: { drain_ms: 0x10 }\n", "limits.drain_ms: " },
        { "limits: { drain_ms: \"\" }\n", "limits.drain_ms: \"\"" },
        { "limits: { drain_ms: }\n", "limits.drain_ms: " },
        { "default_model: &a 8k\nlimits: { drain_ms: *a }\n", "limits.drain_ms: \"8k\"" },
        { "fake: { faults: [{ match: m }, { every: 2x }] }\n", "fake.faults[1].every: \"2x\"" },
        { "models: [{ name: x, kind: fake, fake: { delay_ms: 5ms } }]\n", "delay_ms: \"5ms\"" },
        { "fake: { faults: [{ rate: 0.5.5 }] }\n", "fake.faults[0].rate: " },
        { "fake: { faults: [{ rate: 0x1 }] }\n", "fake.faults[0].rate: " },
        { "service: { queue_hours: 3d }\n", "service.queue_hours: \"3d\"" },
        { "service: { queue_hours: 0 }\n",
          "service.queue_hours: \"0\" does not fit; it takes a whole number from 1 to 87840" },
        { "service: { lines_max: 0 }\n",
          "service.lines_max: \"0\" does not fit; it takes a whole number from 1 to" },
        { "service: { running_jobs_max: 1025 }\n",
          "running_jobs_max: \"1025\" does not fit; it takes a whole number from 1 to 1024" },
        { "service: { expired_as: GONE }\n", "it takes EXPIRED or FAILED" },
        { "service: { expired_as: RUNNING }\n", "it takes EXPIRED or FAILED" },
        { "service: { public_url: tranche.test }\n", "must begin with http://" },
        { "service: { default_project: a/b }\n", "is not a name of a project" },
        { "service: { weights: [{ weight: 2 }] }\n",
          "service.weights[0].project: the name of a project is needed" },
        { "service: { weights: [{ project: a, weight: 0 }] }\n",
          "service.weights[0].weight: \"0\" does not fit; it takes a number above 0" },
        { "service: { weights: [{ project: a, weight: two }] }\n", "weight: \"two\"" },
        { "service: { lines: 5 }\n", "unknown key \"lines\"; did you mean" },
        { "limits: {}\nlimits: {}\n", "(line 2, column 1): limits: the key stands twice" },
        { "limits: {}\n---\nlimits: {}\n", "(line 3, column 1): a second document begins" },
        { "models: [x]\n", "models[0]: an item is a mapping, such as \"name: GLOB\"" },
        { "models:\n  name: x\n", "models: a mapping does not fit; it takes a list of at most" },
        { "[a]: 1\n", "(line 1, column 1): a key is a word" },
        { "default_model: a: b\n", "a second \": \" stands in one value" },
        { "limits:\n\tdrain_ms: 1\n", "indent by spaces" },
        { "default_model: @x\n", "in quotes" },
        { "default_model: \"x\n", "a quote is not closed" },
        { "limits: { drain_ms: 1\n", "a mapping \"{\" has no end" },
        { "limits:\n  drain_ms: 1\n lines_max: 1\n", "the keys of a mapping stand in one column" },
        { "default_model: *x\n", "no \"&NAME\" stands before" },
        { "a: [\n", "c.yaml (" },
        { "- 1\n", "c.yaml (" },
        { "\xFF\n", "byte 1 is not UTF-8" },
    };
    struct loading *l = *state;

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        assert_int_equal(load(l, cases[i].yaml), -1);
        assert_int_equal(l->error.code, ERROR_INVALID_ARGUMENT);
        if (!strstr(l->error.msg, cases[i].says) || !strstr(l->error.msg, "c.yaml"))
            fail_msg("%s\n  says: %s\n  not:  %s", cases[i].yaml, l->error.msg, cases[i].says);
    }
}

/* Goal: one run shows everything, and faults do not cause further findings. */
static void test_all_findings_come_at_once_each_with_its_place(void **state)
{
    static const struct config_finding expected[] = {
        { "limits.drain_ms", "", 2, 13, false },  { "models[0]", "", 4, 5, false },
        { "upstreams[0].url", "", 9, 21, false }, { "models[1].file", "", 5, 5, false },
        { "models[3].name", "", 7, 13, true },
    };
    struct loading *l = *state;

    assert_int_equal(load(l, "limits:\n  drain_ms: 1s\nmodels:\n  - nme: x\n  - name: b\n"
                             "  - { name: c, kind: fake }\n  - { name: c, kind: fake }\n"
                             "upstreams:\n  - { name: u, url: h }\n"),
                     -1);
    const struct config_findings *all = &l->config.findings;
    assert_int_equal(all->count, ARRAY_LEN(expected));
    assert_int_equal(all->errors, ARRAY_LEN(expected) - 1);
    for (uint32_t i = 0; i < all->count; i++) {
        assert_string_equal(all->item[i].field, expected[i].field);
        assert_int_equal(all->item[i].line, expected[i].line);
        assert_int_equal(all->item[i].column, expected[i].column);
        assert_int_equal(all->item[i].warning, expected[i].warning);
    }
    assert_non_null(strstr(l->error.msg, "`tranche config check` lists 3 more"));
}

static void test_findings_are_bounded_and_counted(void **state)
{
    struct loading *l = *state;

    for (int over = 0; over <= 1; over++) {
        struct buf yaml = BUF_INIT(CONFIG_BYTES_MAX);
        for (int i = 0; i < CONFIG_FINDINGS_MAX + over; i++)
            buf_addf(&yaml, "key%d: 1\n", i);
        assert_int_equal(load(l, yaml.p), -1);
        assert_int_equal(l->config.findings.count, CONFIG_FINDINGS_MAX);
        assert_int_equal(l->config.findings.errors, CONFIG_FINDINGS_MAX + over);
        buf_release(&yaml);
    }
}

static void test_lists_are_bounded(void **state)
{
    struct loading *l = *state;

    for (int over = 0; over <= 1; over++) {
        struct buf yaml = BUF_INIT(CONFIG_BYTES_MAX);
        buf_add_c(&yaml, "fake:\n  faults:\n");
        for (int i = 0; i < FAKE_FAULTS_MAX + over; i++)
            buf_add_c(&yaml, "    - match: x\n");
        assert_int_equal(load(l, yaml.p), over ? -1 : 0);
        buf_release(&yaml);
    }
}

static void test_a_file_that_is_named_must_be_there(void **state)
{
    struct loading *l = *state;

    assert_int_equal(config_load("/nonexistent/c.yaml", &l->config, &l->error), -1);
    assert_int_equal(l->error.code, ERROR_NOT_FOUND);
    assert_non_null(strstr(l->error.msg, "/nonexistent/c.yaml"));
}

static void fingerprint(struct loading *l, const char *yaml, struct buf *out)
{
    buf_clear(out);
    assert_int_equal(load(l, yaml), 0);
    config_fingerprint(&l->config, find(l, "x"), out);
}

static void test_the_fingerprint_changes_with_all_that_can_change_an_answer(void **state)
{
    static const char *const files[] = {
        "models: [{ name: x, kind: fake }]\n",
        "models: [{ name: x, kind: fake, context: 5 }]\n",
        "models: [{ name: x, kind: fake, price: { input: 1 } }]\n",
        "models: [{ name: x, kind: fake, fake: { faults: [{ match: a }] } }]\n",
        "models: [{ name: x, kind: fake, fake: { faults: [{ match: a, code: INTERNAL }] } }]\n",
        "models: [{ name: x, kind: fake }]\nretry: { attempts: 1 }\n",
        "models: [{ name: x, file: a.gguf }]\n",
        "models: [{ name: x, file: b.gguf }]\n",
        "models: [{ name: x, file: b.gguf, adapters: [{ file: a }] }]\n",
        "models: [{ name: x, file: b.gguf, adapters: [{ file: a, scale: 2 }] }]\n",
    };
    struct buf prints[ARRAY_LEN(files)];
    struct loading *l = *state;

    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        prints[i] = BUF_INIT(65536);
        fingerprint(l, files[i], &prints[i]);
        for (size_t other = 0; other < i; other++)
            assert_false(str_eq(buf_str(&prints[i]), buf_str(&prints[other])));
    }
    for (size_t i = 0; i < ARRAY_LEN(files); i++)
        buf_release(&prints[i]);
}

static void test_the_fingerprint_does_not_change_with_speed(void **state)
{
    struct buf a = BUF_INIT(65536), b = BUF_INIT(65536);
    struct loading *l = *state;

    fingerprint(l, "models: [{ name: x, kind: fake }]\n", &a);
    fingerprint(
        l, "models: [{ name: x, kind: fake, threads: 3, sequences: 9, fake: { delay_ms: 7 } }]\n",
        &b);
    assert_true(str_eq(buf_str(&a), buf_str(&b)));
    buf_release(&a);
    buf_release(&b);
}

static void test_a_missing_model_file_is_reported_with_the_way_to_get_it(void **state)
{
    struct loading *l = *state;

    assert_int_equal(load(l, "models: [{ name: x, file: gone.gguf }]\n"), 0);
    assert_int_equal(config_model_present(find(l, "x"), &l->error), -1);
    assert_int_equal(l->error.code, ERROR_NOT_FOUND);
    assert_non_null(strstr(l->error.msg, "scripts/setup"));
    assert_int_equal(config_model_present(find(l, "tranche-fake"), &l->error), 0);
    (void)temporary_file(&l->dir, "gone.gguf", "weights");
    assert_int_equal(config_model_present(find(l, "x"), &l->error), 0);
}

/* A table of docs/reference/config.md, as it must stand there. */
static void render(const struct config_section *s, struct buf *out)
{
    buf_add_c(out, "| key | takes | default | meaning |\n|---|---|---|---|\n");
    for (size_t i = 0; i < s->row_count; i++) {
        const struct config_row *r = &s->row[i];
        buf_addf(out, "| `%s` | ", r->name);
        if (r->type != CONFIG_TEXT && r->type != CONFIG_FILE)
            config_row_takes(r, out);
        buf_add_c(out, " | ");
        if (r->preset)
            buf_addf(out, "`%s`", r->preset);
        else if (r->absent)
            buf_add_c(out, r->absent);
        buf_addf(out, " | %s%s |\n", r->about, r->restart ? "; counts at the next start" : "");
    }
}

/* Goal: the reference cannot differ from the program. Method: the tables are made anew; one that is
 * missing is printed, to be put into the page. */
static void test_the_reference_has_the_table_as_the_program_has_it(void **state)
{
    struct loading *l = *state;
    struct buf page = BUF_INIT(CONFIG_BYTES_MAX);
    const struct config_section *section, *last = NULL;
    const struct config_row *row;
    bool all = true;

    assert_int_equal(
        sys_read_file(TESTS_DIR "/../docs/reference/config.md", CONFIG_BYTES_MAX, &page, &l->error),
        0);
    for (uint32_t i = 0; config_row_at(i, &section, &row); i++) {
        struct buf table = BUF_INIT(CONFIG_BYTES_MAX);
        if (section != last)
            render(section, &table);
        if (str_find(buf_str(&page), buf_str(&table)) == SIZE_MAX) {
            (void)printf("[%s]\n%s", section->path, table.p);
            all = false;
        }
        buf_release(&table);
        last = section;
    }
    buf_release(&page);
    assert_true(all);
}

/* The rows name the settings that a reload leaves alone. */
static void test_a_changed_setting_that_needs_a_restart_is_named(void **state)
{
    struct loading *l = *state;
    struct config before = { 0 };
    struct buf names = BUF_INIT(1024);

    assert_int_equal(load(l, "service: { listen: \"127.0.0.1:1\", webhook_allow: [a, b] }\n"), 0);
    before = l->config;
    l->config = (struct config){ 0 };
    assert_int_equal(load(l, "service: { listen: \"127.0.0.1:1\", webhook_allow: [a, b], "
                             "lines_max: 5, weights: [{ project: a, weight: 2 }] }\n"),
                     0);
    config_needs_restart(&before, &l->config, &names);
    assert_int_equal(names.len, 0);
    assert_int_equal(load(l, "service: { listen: \"127.0.0.1:2\", webhook_allow: [a], "
                             "tls_cert: c, expired_as: FAILED, connections_max: 1 }\n"),
                     0);
    config_needs_restart(&before, &l->config, &names);
    assert_string_equal(names.p, "listen, tls_cert, connections_max, expired_as, webhook_allow");
    buf_release(&names);
    config_release(&before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        TEST(test_an_empty_file_gives_the_built_in_models_and_defaults),
        TEST(test_every_setting_arrives),
        TEST(test_the_service_has_defaults_and_takes_every_setting),
        TEST(test_numbers_may_be_written_as_yaml_has_them),
        TEST(test_a_fake_is_scripted_at_the_top_or_as_a_model),
        TEST(test_the_first_model_that_matches_decides),
        TEST(test_upstreams_and_their_places_are_read),
        TEST(test_an_error_names_its_place_and_remedy),
        TEST(test_all_findings_come_at_once_each_with_its_place),
        TEST(test_findings_are_bounded_and_counted),
        TEST(test_lists_are_bounded),
        TEST(test_a_file_that_is_named_must_be_there),
        TEST(test_the_fingerprint_changes_with_all_that_can_change_an_answer),
        TEST(test_the_fingerprint_does_not_change_with_speed),
        TEST(test_a_missing_model_file_is_reported_with_the_way_to_get_it),
        TEST(test_the_reference_has_the_table_as_the_program_has_it),
        TEST(test_a_changed_setting_that_needs_a_restart_is_named),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
