/* Goal: objects behave as Cloud Storage's do, whoever asks and whatever they are called. Method: a real
 * store; tables where inputs vary. */
#include "unit/store/objects/blob_world.h"

#include "base/mem.h"
#include "store/jobs/jobs.h"
#include "store/objects/object_glob.h"

#define ACME STR("acme-data")

static bool matches(struct str pattern, struct str name)
{
    struct arena a = { 0 };
    struct glob *g = glob_compile(&a, pattern);
    bool yes = g && glob_match(g, name);

    arena_release(&a);
    return yes;
}

static int get(struct world *w, const char *project, const char *name, struct object *out,
               struct error *e)
{
    return object_get(w->s, &w->a, REF(project, ACME, str_of(name)), out, e);
}

static void test_bucket_names_follow_the_rules(void **state)
{
    struct world *w = *state;
    char dots[BUCKET_NAME_MAX + 2], step[65];
    const struct {
        const char *name;
        bool good;
    } names[] = {
        { "abc", true },          { "ab", false },        { "a.b-c_d9", true },
        { "Abc", false },         { "abc-", false },      { "-abc", false },
        { "a..b", false },        { "a/b", false },       { "../../x", false },
        { "a b", false },         { step, true },         { step + 1, true },
        { dots, true },           { "a\xc3\xa9", false }, { "goog-x", false },
        { "my-google-b", false }, { "10.0.0.1", false },  { "10.0.0", true },
    };

    memset(step, 'x', 63);
    step[63] = '\0';
    for (size_t i = 0; i < BUCKET_NAME_MAX; i++)
        dots[i] = i % 50 == 49 && i < 200 ? '.' : 'd';
    dots[BUCKET_NAME_MAX] = '\0';
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        struct error e = { 0 };
        struct bucket b = { .name = str_of(names[i].name) };
        int rc = bucket_create(w->s, "p", &b, &e);
        assert_int_equal(rc, names[i].good ? 0 : -1);
    }
    struct error e = { 0 };
    struct bucket b = {
        .name = { "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", 64 }
    };
    ASSERT_FAILS(bucket_create(w->s, "p", &b, &e), e, ERROR_INVALID_ARGUMENT);
    dots[BUCKET_NAME_MAX] = 'd';
    b.name = (struct str){ dots, BUCKET_NAME_MAX + 1 };
    ASSERT_FAILS(bucket_create(w->s, "p", &b, &e), e, ERROR_INVALID_ARGUMENT);
}

static void test_a_project_has_a_maximum_of_buckets_and_others_go_on(void **state)
{
    struct world *w = *state;
    struct error e = { 0 };
    char name[16];
    struct bucket b = { 0 };

    for (int i = 0; i <= BUCKETS_PROJECT_MAX; i++) {
        (void)snprintf(name, sizeof name, "b-%d", i);
        b.name = str_of(name);
        if (i < BUCKETS_PROJECT_MAX)
            ASSERT_OK(bucket_create(w->s, "p", &b, &e), e);
    }
    ASSERT_FAILS(bucket_create(w->s, "p", &b, &e), e, ERROR_RESOURCE_EXHAUSTED);
    ASSERT_OK(bucket_create(w->s, "q", &b, &e), e);
}

static void test_a_bucket_is_created_once_patched_listed_and_deleted_when_empty(void **state)
{
    struct world *w = *state;
    struct error e = { 0 };
    struct bucket b = { .name = ACME, .meta = STR("{\"labels\":{}}") };
    struct bucket_list list;

    ASSERT_OK(bucket_create(w->s, "p", &b, &e), e);
    ASSERT_FAILS(bucket_create(w->s, "p", &b, &e), e, ERROR_ALREADY_EXISTS);
    ASSERT_FAILS(bucket_create(w->s, "q", &b, &e), e, ERROR_ALREADY_EXISTS);
    ASSERT_OK(bucket_patch(w->s, "p", ACME, STR("{\"a\":1}"), &e), e);
    ASSERT_OK(bucket_get(w->s, &w->a, "p", ACME, &b, &e), e);
    assert_true(str_eq_c(b.meta, "{\"a\":1}") && str_eq_c(b.project, "p"));
    assert_int_equal(b.metageneration, 2);
    bucket_of(w, "p", "acme-more");
    bucket_of(w, "p", "other");
    bucket_of(w, "q", "acme-q");
    ASSERT_OK(
        bucket_query(w->s, &w->a,
                     &(struct bucket_query){ .project = "p", .prefix = STR("acme"), .most = 1 },
                     &list, &e),
        e);
    assert_true(list.count == 1 && list.more && str_eq(list.item[0].name, ACME));
    ASSERT_OK(bucket_query(w->s, &w->a,
                           &(struct bucket_query){
                               .project = "p", .prefix = STR("acme"), .after = ACME, .most = 1 },
                           &list, &e),
              e);
    assert_true(list.count == 1 && !list.more && str_eq_c(list.item[0].name, "acme-more"));
    ASSERT_OK(bucket_query(w->s, &w->a, &(struct bucket_query){ .most = 9 }, &list, &e), e);
    assert_int_equal(list.count, 4);
    (void)put(w, "acme-data", "o", "x");
    ASSERT_FAILS(bucket_delete(w->s, "p", ACME, &e), e, ERROR_FAILED_PRECONDITION);
    ASSERT_OK(object_delete(w->s, REF("p", ACME, STR("o")), &e), e);
    ASSERT_OK(bucket_delete(w->s, "p", ACME, &e), e);
    ASSERT_FAILS(bucket_get(w->s, &w->a, "p", ACME, &b, &e), e, ERROR_NOT_FOUND);
}

static void test_another_projects_bucket_is_not_found_by_any_call(void **state)
{
    struct world *w = *state;
    struct error e = { 0 };
    struct object o;
    struct bucket b;
    struct object_list list;
    struct object_query q = { .project = "q", .bucket = ACME, .most = 10 };

    bucket_of(w, "p", "acme-data");
    (void)put(w, "acme-data", "o", "x");
    struct object_new in = object_of("acme-data", "o", blob_of(w, "y"));
    in.project = "q";
    ASSERT_FAILS(object_put(w->s, &w->a, &in, NULL, &e), e, ERROR_NOT_FOUND);
    ASSERT_FAILS(get(w, "q", "o", &o, &e), e, ERROR_NOT_FOUND);
    ASSERT_FAILS(object_patch(w->s, &w->a, REF("q", ACME, STR("o")),
                              &(struct object_patch){ .meta = STR("{}") }, NULL, &e),
                 e, ERROR_NOT_FOUND);
    ASSERT_FAILS(object_delete(w->s, REF("q", ACME, STR("o")), &e), e, ERROR_NOT_FOUND);
    ASSERT_FAILS(object_query(w->s, &w->a, &q, &list, &e), e, ERROR_NOT_FOUND);
    ASSERT_FAILS(bucket_get(w->s, &w->a, "q", ACME, &b, &e), e, ERROR_NOT_FOUND);
    ASSERT_FAILS(bucket_patch(w->s, "q", ACME, STR("{}"), &e), e, ERROR_NOT_FOUND);
    ASSERT_FAILS(bucket_delete(w->s, "q", ACME, &e), e, ERROR_NOT_FOUND);
    ASSERT_OK(get(w, "p", "o", &o, &e), e);
    ASSERT_OK(get(w, NULL, "o", &o, &e), e);
    assert_blob(w, o.blob.id, "x");
}

static void test_names_are_only_names(void **state)
{
    struct world *w = *state;
    char longest[OBJECT_NAME_MAX + 1];
    const struct str good[] = {
        STR("../../etc/passwd"),
        STR("/"),
        STR("a//b/"),
        STR("..."),
        STR(" "),
        STR("%2e%2e/x"),
        STR("\xf0\x9f\x98\x80"),
        { longest, OBJECT_NAME_MAX },
    };
    const struct str bad[] = {
        STR("a\0b"), STR(""),     STR("."),
        STR(".."),   STR("a\nb"), STR("a\rb"),
        STR("\xff"), STR("\xc3"), { longest, OBJECT_NAME_MAX + 1 },
    };
    struct error e = { 0 };
    struct object o;

    bucket_of(w, "p", "acme-data");
    memset(longest, 'n', sizeof longest);
    struct object_new in = object_of("acme-data", "", blob_of(w, "x"));
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        in.name = good[i];
        ASSERT_OK(object_put(w->s, &w->a, &in, &o, &e), e);
        assert_true(str_eq(o.name, good[i]));
        ASSERT_OK(object_get(w->s, &w->a, REF("p", ACME, good[i]), &o, &e), e);
    }
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        in.name = bad[i];
        ASSERT_FAILS(object_put(w->s, &w->a, &in, NULL, &e), e, ERROR_INVALID_ARGUMENT);
        ASSERT_FAILS(object_get(w->s, &w->a, REF("p", ACME, bad[i]), &o, &e), e, ERROR_NOT_FOUND);
    }
}

static void test_overwriting_makes_a_later_generation_and_removes_the_old_file(void **state)
{
    struct world *w = *state;
    struct error e = { 0 };
    struct object first, second;

    bucket_of(w, "p", "acme-data");
    first = put(w, "acme-data", "o", "first");
    int fd = blob_open(w->s, first.blob.id, &e);
    assert_true(fd >= 0);
    second = put(w, "acme-data", "o", "second"); /* the clock stands still */
    assert_true(second.generation > first.generation);
    assert_int_equal(first.generation, NOW_US);
    assert_gone(w, first.blob.id);
    char text[5];
    assert_int_equal(read(fd, text, sizeof text), 5); /* who reads it reads on */
    assert_memory_equal(text, "first", 5);
    assert_int_equal(close(fd), 0);
    ASSERT_FAILS(object_get(w->s, &w->a,
                            &(struct object_ref){ .project = "p",
                                                  .bucket = ACME,
                                                  .name = STR("o"),
                                                  .generation = first.generation },
                            &first, &e),
                 e, ERROR_NOT_FOUND);
    ASSERT_OK(object_get(w->s, &w->a,
                         &(struct object_ref){ .project = "p",
                                               .bucket = ACME,
                                               .name = STR("o"),
                                               .generation = second.generation },
                         &first, &e),
              e);
    w->clock.fake_us -= 1000000; /* nor may it go back */
    world_reopen(w);
    assert_true(put(w, "acme-data", "o", "third").generation > second.generation);
}

static void test_a_copy_shares_the_blob_until_the_last_goes(void **state)
{
    struct world *w = *state;
    struct error e = { 0 };

    bucket_of(w, "p", "acme-data");
    struct object o = put(w, "acme-data", "a", "text");
    struct object_new copy = object_of("acme-data", "b", o.blob);
    ASSERT_OK(object_put(w->s, &w->a, &copy, NULL, &e), e);
    ASSERT_OK(object_put(w->s, &w->a, &copy, NULL, &e), e); /* over itself */
    ASSERT_OK(object_delete(w->s, REF("p", ACME, STR("a")), &e), e);
    assert_blob(w, o.blob.id, "text");
    ASSERT_OK(object_delete(w->s, REF("p", ACME, STR("b")), &e), e);
    assert_gone(w, o.blob.id);
    ASSERT_FAILS(object_put(w->s, &w->a, &copy, NULL, &e), e, ERROR_UNAVAILABLE);
}

static void test_a_jobs_input_stays_when_the_object_goes(void **state)
{
    struct world *w = *state;
    struct error e = { 0 };
    struct job j = { .dialect = DIALECT_VERTEX, .source = JOB_INLINE, .project = "p" };
    bool existed;

    bucket_of(w, "p", "acme-data");
    struct object o = put(w, "acme-data", "a", "text");
    ASSERT_OK(
        job_create(w->s, &w->a, &j, &(struct job_terms){ .inline_blob = o.blob.id }, &existed, &e),
        e);
    ASSERT_OK(object_delete(w->s, REF("p", ACME, STR("a")), &e), e);
    make_old(blob_place_of(w, o.blob.id));
    (void)world_sweep(w);
    assert_blob(w, o.blob.id, "text");
    ASSERT_OK(job_cancel(w->s, &w->a, "p", j.id, &j, &e), e);
    ASSERT_OK(job_delete(w->s, "p", j.id, &e), e);
    assert_gone(w, o.blob.id);
}

static void test_each_condition_holds_or_nothing_happens(void **state)
{
    struct world *w = *state;
    struct error e = { 0 };
    struct object o;

    bucket_of(w, "p", "acme-data");
    struct object_new in = object_of("acme-data", "o", blob_of(w, "x"));
    in.when.generation_match = 5;
    ASSERT_FAILS(object_put(w->s, &w->a, &in, NULL, &e), e, ERROR_ABORTED);
    in.when.generation_match = 0; /* only when it is absent */
    ASSERT_OK(object_put(w->s, &w->a, &in, &o, &e), e);
    ASSERT_FAILS(object_put(w->s, &w->a, &in, NULL, &e), e, ERROR_ABORTED);
    const int64_t g = o.generation;
    const struct {
        struct object_conditions when;
        bool holds;
    } row[] = {
        { { g, -1, -1, -1 }, true },  { { g + 1, -1, -1, -1 }, false },
        { { -1, g, -1, -1 }, false }, { { -1, 0, -1, -1 }, true },
        { { -1, -1, 1, -1 }, true },  { { -1, -1, 2, -1 }, false },
        { { -1, -1, -1, 1 }, false }, { { -1, -1, -1, 2 }, true },
        { { g, -1, 2, -1 }, false },
    };
    for (size_t i = 0; i < ARRAY_LEN(row); i++) {
        int rc =
            object_get(w->s, &w->a,
                       &(struct object_ref){
                           .project = "p", .bucket = ACME, .name = STR("o"), .when = &row[i].when },
                       &o, &e);
        assert_int_equal(rc, row[i].holds ? 0 : -1);
        assert_int_equal(e.code, row[i].holds ? ERROR_OK : ERROR_ABORTED);
        e = (struct error){ 0 };
        if (row[i].holds)
            continue;
        ASSERT_FAILS(object_delete(w->s,
                                   &(struct object_ref){ .project = "p",
                                                         .bucket = ACME,
                                                         .name = STR("o"),
                                                         .when = &row[i].when },
                                   &e),
                     e, ERROR_ABORTED);
        ASSERT_FAILS(object_patch(w->s, &w->a,
                                  &(struct object_ref){ .project = "p",
                                                        .bucket = ACME,
                                                        .name = STR("o"),
                                                        .when = &row[i].when },
                                  &(struct object_patch){ .meta = STR("{}") }, NULL, &e),
                     e, ERROR_ABORTED);
    }
    ASSERT_OK(object_delete(w->s,
                            &(struct object_ref){ .project = "p",
                                                  .bucket = ACME,
                                                  .name = STR("o"),
                                                  .generation = g,
                                                  .when = &row[0].when },
                            &e),
              e);
    ASSERT_FAILS(object_delete(w->s, REF("p", ACME, STR("o")), &e), e, ERROR_NOT_FOUND);
}

static void test_a_patch_changes_facts_and_not_the_generation(void **state)
{
    struct world *w = *state;
    struct error e = { 0 };
    struct object o;
    struct str type = STR("text/csv");

    bucket_of(w, "p", "acme-data");
    struct object before = put(w, "acme-data", "o", "x");
    assert_true(str_eq_c(before.content_type, "application/octet-stream"));
    ASSERT_OK(
        object_patch(w->s, &w->a, REF("p", ACME, STR("o")),
                     &(struct object_patch){ .content_type = &type, .meta = STR("{\"k\":1}") }, &o,
                     &e),
        e);
    assert_true(str_eq(o.content_type, type) && str_eq_c(o.meta, "{\"k\":1}"));
    assert_int_equal(o.generation, before.generation);
    assert_int_equal(o.metageneration, 2);
    ASSERT_OK(object_patch(w->s, &w->a, REF("p", ACME, STR("o")),
                           &(struct object_patch){ .meta = STR("") }, &o, &e),
              e);
    assert_true(str_eq(o.content_type, type) && str_eq_c(o.meta, "{}"));
    assert_int_equal(o.blob.crc32c, before.blob.crc32c);
    assert_memory_equal(o.blob.md5, before.blob.md5, 16);
    assert_memory_equal(o.blob.sha256, before.blob.sha256, 32);
}

/* ---- Lists ---- */

static const char *const listed[] = {
    "a.txt",
    "b/",
    "b/1",
    "b/2",
    "b/c/1",
    "b/c/2",
    "b/d/1",
    "b0",
    "logs/2026/01/x.json",
    "logs/2026/01/y.json",
    "logs/2026/02/x.json",
    "z",
};

static void fill(struct world *w)
{
    struct error e = { 0 };
    struct blob b = blob_of(w, "x");

    bucket_of(w, "p", "acme-data");
    for (size_t i = 0; i < ARRAY_LEN(listed); i++) {
        struct object_new in = object_of("acme-data", listed[i], b);
        ASSERT_OK(object_put(w->s, &w->a, &in, NULL, &e), e);
    }
}

/* What a query gives over all of its pages, prefixes marked with '>', between blanks. */
static void list_all(struct world *w, struct object_query q, struct buf *out)
{
    struct object_list list;
    struct error e = { 0 };

    buf_clear(out);
    do {
        ASSERT_OK(object_query(w->s, &w->a, &q, &list, &e), e);
        for (uint32_t i = 0; i < list.count; i++)
            buf_addf(out, "%.*s ", STR_ARG(list.item[i].name));
        for (uint32_t i = 0; i < list.prefix_count; i++)
            buf_addf(out, ">%.*s ", STR_ARG(list.prefix[i]));
        q.after = list.last;
    } while (list.last.len > 0);
}

static void test_lists_fold_filter_and_page(void **state)
{
    struct world *w = *state;
    struct buf got = BUF_INIT(4096);
    const struct {
        struct object_query q;
        const char *all; /* in one page */
        const char *one; /* a page each; NULL: the same */
    } row[] = {
        { { .delimiter = STR("/") }, "a.txt b0 z >b/ >logs/ ", "a.txt >b/ b0 >logs/ z " },
        { { .delimiter = STR("/"), .prefix = STR("b/") }, "b/ b/1 b/2 >b/c/ >b/d/ ", NULL },
        { { .delimiter = STR("/"), .prefix = STR("b") }, "b0 >b/ ", ">b/ b0 " },
        { { .delimiter = STR("/"), .trailing_delimiter = true },
          "a.txt b/ b0 z >b/ >logs/ ",
          "a.txt b/ >b/ b0 >logs/ z " },
        { { .delimiter = STR("/"), .prefix = STR("logs/2026/") },
          ">logs/2026/01/ >logs/2026/02/ ",
          NULL },
        { { .delimiter = STR("2026/") },
          "a.txt b/ b/1 b/2 b/c/1 b/c/2 b/d/1 b0 z >logs/2026/ ",
          "a.txt b/ b/1 b/2 b/c/1 b/c/2 b/d/1 b0 >logs/2026/ z " },
        { { .prefix = STR("b/c") }, "b/c/1 b/c/2 ", NULL },
        { { .prefix = STR("nothing") }, "", NULL },
        { { .start = STR("b/c/2"), .end = STR("logs/") }, "b/c/2 b/d/1 b0 ", NULL },
        { { .start = STR("b/c/2"), .delimiter = STR("/") },
          "b0 z >b/ >logs/ ",
          ">b/ b0 >logs/ z " },
        { { .prefix = STR("b/"), .end = STR("b/c") }, "b/ b/1 b/2 ", NULL },
        { { .glob = STR("**.json") },
          "logs/2026/01/x.json logs/2026/01/y.json logs/2026/02/x.json ",
          NULL },
        { { .glob = STR("logs/*/*/x.json") }, "logs/2026/01/x.json logs/2026/02/x.json ", NULL },
        { { .glob = STR("b/*") }, "b/ b/1 b/2 ", NULL },
        { { .glob = STR("*/"), .delimiter = STR("/") }, ">b/ >logs/ ", NULL },
        { { .glob = STR("{a,z}*") }, "a.txt z ", NULL },
    };

    fill(w);
    for (size_t i = 0; i < ARRAY_LEN(row); i++) {
        struct object_query q = row[i].q;
        q.bucket = ACME;
        q.project = "p";
        q.most = 100;
        list_all(w, q, &got);
        assert_string_equal(got.len ? got.p : "", row[i].all);
        q.most = 1;
        list_all(w, q, &got);
        assert_string_equal(got.len ? got.p : "", row[i].one ? row[i].one : row[i].all);
    }
    buf_release(&got);
}

static void test_a_page_says_last_only_when_there_is_more(void **state)
{
    struct world *w = *state;
    struct error e = { 0 };
    struct object_list list;
    struct object_query q = { .bucket = ACME, .prefix = STR("b/c"), .most = 2 };

    fill(w);
    ASSERT_OK(object_query(w->s, &w->a, &q, &list, &e), e);
    assert_int_equal(list.count, 2);
    assert_int_equal(list.last.len, 0);
    q.most = 1;
    ASSERT_OK(object_query(w->s, &w->a, &q, &list, &e), e);
    assert_true(str_eq_c(list.last, "b/c/1"));
}

/* Rows are written behind the store's back: 200,000 puts would only take longer. */
#define FILL                                                                                       \
    "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 199999)"             \
    " INSERT INTO object SELECT 'acme-data', "
#define FILLED ", i + 1, 1, 1, 0, 0, NULL, NULL, '', '{}', 0, 0, 0 FROM n"

static void test_a_delimiter_leaps_over_200000_names(void **state)
{
    struct world *w = *state;
    struct error e = { 0 };
    struct object_list list;
    struct object_query q = { .bucket = ACME, .delimiter = STR("/"), .most = 1000 };

    bucket_of(w, "p", "acme-data");
    struct db *d = store_write(w->s, &e);
    int rc = db_exec(d,
                     w->database[0] ? FILL
                         "convert_to((i / 100000) || '/' || lpad('' || i, 6, '0'), 'UTF8')" FILLED
                                    : FILL "CAST(printf('%d/%06d', i / 100000, i) AS BLOB)" FILLED,
                     "fill", &e);
    ASSERT_OK(store_commit(w->s, d, rc, &e), e);
    uint64_t begin = clock_system()->mono_ns(clock_system());
    ASSERT_OK(object_query(w->s, &w->a, &q, &list, &e), e);
    uint64_t took = clock_system()->mono_ns(clock_system()) - begin;
    assert_int_equal(list.prefix_count, 2);
    assert_int_equal(list.last.len, 0);
    q = (struct object_query){ .bucket = ACME, .glob = STR("*/*99999"), .most = 1000 };
    uint32_t found = 0, pages = 0;
    begin = clock_system()->mono_ns(clock_system());
    do {
        ASSERT_OK(object_query(w->s, &w->a, &q, &list, &e), e);
        found += list.count;
        q.after = list.last;
        pages++;
    } while (list.last.len > 0);
    assert_int_equal(found, 2);
    assert_true(pages >= 10); /* none looks at all names */
    assert_true(took < (clock_system()->mono_ns(clock_system()) - begin) / 10);
}

/* ---- Patterns ---- */

static void test_globs_match_as_cloud_storage_has_it(void **state)
{
    const struct {
        const char *glob, *name;
        bool matches;
    } row[] = {
        { "*", "abc", true },
        { "*", "a/b", false },
        { "**", "a/b", true },
        { "a*c", "abbc", true },
        { "a*c", "ac", true },
        { "a*c", "ab", false },
        { "?", "a", true },
        { "?", "/", false },
        { "?", "\xc3\xa9", true },
        { "??", "\xc3\xa9", false },
        { "[a-c]x", "bx", true },
        { "[a-c]x", "dx", false },
        { "[!a-c]x", "dx", true },
        { "[^a-c]x", "ax", false },
        { "[!a]", "/", false },
        { "[\xc3\xa0-\xc3\xbc]", "\xc3\xa9", true },
        { "[]]", "]", true },
        { "{a,bc}d", "bcd", true },
        { "{a,bc}d", "ad", true },
        { "{a,bc}d", "d", false },
        { "{,x}d", "d", true },
        { "{a,{b,c}*}.t", "cz.t", true },
        { "{a,{b,c}*}.t", "az.t", false },
        { "{[a,b],c}", ",", true },
        { "{[}],c}", "}", true },
        { "{a", "{a", true },
        { "a}", "a}", true },
        { "[a", "[a", true },
        { "a,b", "a,b", true },
        { "\\*", "*", true },
        { "\\*", "a", false },
        { "a\\", "a\\", true },
        { "a/**/b", "a/b", true },
        { "a/**/b", "a/x/y/b", true },
        { "a/**/b", "ab", false },
        { "**/x", "x", true },
        { "**/x", "a/b/x", true },
        { "**/x", "ax", false },
        { "a**b", "a/1/b", true },
        { "", "", true },
        { "", "a", false },
        { "abc", "abcd", false },
        { "*/b*c", "x/b/bc", false },
        { "**a*b", "aa/ab", true },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(row); i++) {
        if (matches(str_of(row[i].glob), str_of(row[i].name)) != row[i].matches)
            fail_msg("%s on %s", row[i].glob, row[i].name);
    }
}

static void test_no_glob_takes_long(void **state)
{
    char glob[GLOB_BYTES_MAX + 1], name[OBJECT_NAME_MAX];

    (void)state;
    memset(name, 'a', sizeof name);
    for (size_t i = 0; i < sizeof glob; i++)
        glob[i] = i % 2 ? 'a' : '*';
    glob[GLOB_BYTES_MAX - 1] = 'b';
    uint64_t begin = clock_system()->mono_ns(clock_system());
    assert_false(matches((struct str){ glob, GLOB_BYTES_MAX }, (struct str){ name, sizeof name }));
    memset(glob, '{', sizeof glob);
    assert_false(matches((struct str){ glob, GLOB_BYTES_MAX }, (struct str){ name, sizeof name }));
    memset(glob, '*', sizeof glob);
    assert_true(matches((struct str){ glob, GLOB_BYTES_MAX }, (struct str){ name, sizeof name }));
    assert_false(
        matches((struct str){ glob, GLOB_BYTES_MAX + 1 }, (struct str){ name, sizeof name }));
    assert_true(clock_system()->mono_ns(clock_system()) - begin < NS_PER_S);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define WITH_STORE(test) cmocka_unit_test_setup_teardown(test, world_make, world_remove)
        WITH_STORE(test_bucket_names_follow_the_rules),
        WITH_STORE(test_a_project_has_a_maximum_of_buckets_and_others_go_on),
        WITH_STORE(test_a_bucket_is_created_once_patched_listed_and_deleted_when_empty),
        WITH_STORE(test_another_projects_bucket_is_not_found_by_any_call),
        WITH_STORE(test_names_are_only_names),
        WITH_STORE(test_overwriting_makes_a_later_generation_and_removes_the_old_file),
        WITH_STORE(test_a_copy_shares_the_blob_until_the_last_goes),
        WITH_STORE(test_a_jobs_input_stays_when_the_object_goes),
        WITH_STORE(test_each_condition_holds_or_nothing_happens),
        WITH_STORE(test_a_patch_changes_facts_and_not_the_generation),
        WITH_STORE(test_lists_fold_filter_and_page),
        WITH_STORE(test_a_page_says_last_only_when_there_is_more),
        WITH_STORE(test_a_delimiter_leaps_over_200000_names),
        cmocka_unit_test(test_globs_match_as_cloud_storage_has_it),
        cmocka_unit_test(test_no_glob_takes_long),
    };

    int failed;
    RUN_OVER_STORES(tests, failed);
    return failed;
}
