/* cmd_diff.c -- `tranche diff`: which answers of two outputs differ, and how far their labels agree.
 *
 * Rows belong together by their key, without one by their request, without both by their place. The command
 * keeps a digest of each answer of the first output and its beginning: all of a label or a small JSON object.
 */
#include "app/cli/command.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <xxhash.h>

#include "app/cli/human.h"
#include "app/cli/terminal.h"
#include "app/run/row_view.h"

#define OUT_BYTES_MAX ((size_t)256 * 1024 * 1024)
#define TEXT_KEPT 160    /* bytes of an answer */
#define OBJECT_KEPT 4096 /* of one that is a JSON object */
#define LABEL_BYTES_MAX 64
#define PAIRS_MAX 200 /* pairs of labels that differ */
#define PAIRS_SHOWN 20
#define FIELDS_MAX 64
#define CHANGED_SHOWN 10

struct diff_options {
    const char *format;
    uint64_t limit;
};

/* A row of the first output. */
struct kept {
    XXH128_hash_t id, answer;
    uint64_t order;
    struct str text; /* beginning of the answer */
    bool failed, met;
};
/* A label that became another. */
struct pair {
    char from[LABEL_BYTES_MAX + 1], to[LABEL_BYTES_MAX + 1];
    uint64_t count;
};
struct field {
    char name[LABEL_BYTES_MAX + 1];
    uint64_t same, count;
};

struct diff {
    const struct diff_options *o;
    bool is_tsv;
    struct kept *item; /* sorted by id, then order */
    uint64_t count;
    struct arena texts;
    uint64_t second, same, changed, failed_first, failed_second, failed_both, only_second;
    struct pair pair[PAIRS_MAX];
    uint32_t pair_count;
    uint64_t labels; /* answers that are short in both */
    struct field field[FIELDS_MAX];
    uint32_t field_count;
    uint64_t shown;
    struct buf changes;
};

static XXH128_hash_t id_of(struct arena *a, const struct row_view *row, uint64_t place)
{
    struct str id = row->key;

    if (!id.len && row->request)
        id = json_text(a, row->request);
    if (!id.len)
        id = str_of(arena_textf(a, "%llu", (unsigned long long)place));
    return XXH3_128bits(id.p, id.len);
}

static int keep_row(void *arg, struct arena *a, const struct row_view *row, struct error *e)
{
    struct diff *d = arg;
    struct str text = str_trim(row->answer);
    bool object = str_starts(text, STR("{")) && text.len <= OBJECT_KEPT;

    (void)e;
    d->item = mem_list_grow(d->item, d->count, sizeof *d->item);
    struct kept *k = &d->item[d->count];
    *k = (struct kept){ .id = id_of(a, row, d->count),
                        .answer = XXH3_128bits(text.p, text.len),
                        .order = d->count,
                        .failed = row->error.len > 0 };
    k->text = str_cut(text, object ? OBJECT_KEPT : TEXT_KEPT);
    k->text.p = arena_copy(&d->texts, k->text.p ? k->text.p : "", k->text.len);
    d->count++;
    return 0;
}

static int by_id(const void *x, const void *y)
{
    const struct kept *a = x, *b = y;
    int rc = XXH128_cmp(&a->id, &b->id);

    return rc ? rc : a->order < b->order ? -1 : a->order > b->order;
}

/* The first row with this id that has no partner yet; NULL: there is none. */
static struct kept *partner(struct diff *d, XXH128_hash_t id)
{
    uint64_t low = 0, high = d->count;

    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        if (XXH128_cmp(&d->item[middle].id, &id) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    for (; low < d->count && XXH128_isEqual(d->item[low].id, id); low++)
        if (!d->item[low].met)
            return &d->item[low];
    return NULL;
}

static void count_labels(struct diff *d, struct str from, struct str to)
{
    uint32_t i = 0;

    if (from.len > LABEL_BYTES_MAX || to.len > LABEL_BYTES_MAX)
        return;
    d->labels++;
    if (str_eq(from, to))
        return;
    while (i < d->pair_count && !(str_eq_c(from, d->pair[i].from) && str_eq_c(to, d->pair[i].to)))
        i++;
    if (i == PAIRS_MAX)
        return;
    struct pair *p = &d->pair[i];
    if (i == d->pair_count) {
        d->pair_count++;
        (void)snprintf(p->from, sizeof p->from, "%.*s", STR_ARG(from));
        (void)snprintf(p->to, sizeof p->to, "%.*s", STR_ARG(to));
    }
    p->count++;
}

static void count_field(struct diff *d, struct str name, bool same)
{
    uint32_t i = 0;

    if (name.len > LABEL_BYTES_MAX)
        return;
    while (i < d->field_count && !str_eq_c(name, d->field[i].name))
        i++;
    if (i == FIELDS_MAX)
        return;
    if (i == d->field_count) {
        d->field_count++;
        (void)snprintf(d->field[i].name, sizeof d->field[i].name, "%.*s", STR_ARG(name));
    }
    d->field[i].count++;
    d->field[i].same += same;
}

/* The members of the first, when both are objects; a member that the second lacks differs. */
static void count_fields(struct diff *d, struct arena *a, struct str from, struct str to)
{
    struct error ignored = { 0 };
    size_t at = 0, i, count;
    yyjson_val *key, *value;

    if (!str_starts(from, STR("{")) || !str_starts(to, STR("{")))
        return;
    yyjson_val *first = json_parse(a, from, &at, &ignored),
               *second = json_parse(a, to, &at, &ignored);
    yyjson_obj_foreach(first, i, count, key, value)
    {
        yyjson_val *other = yyjson_obj_getn(second, json_str(key).p, json_str(key).len);
        count_field(d, json_str(key), other && yyjson_equals(value, other));
    }
}

static void add_text(struct buf *out, struct str text, bool cut)
{
    struct str line;

    for (bool first = true; str_next(&text, '\n', &line); first = false) {
        buf_add_c(out, first ? "" : " ");
        buf_add_plain(out, line, false);
    }
    buf_add_c(out, cut ? " ..." : "");
}

static void add_change(struct diff *d, const struct row_view *row, struct str from, struct str to)
{
    if (d->shown++ >= (d->o->limit ? d->o->limit : d->is_tsv ? UINT64_MAX : CHANGED_SHOWN))
        return;
    if (!d->is_tsv)
        buf_add_c(&d->changes, "\n[");
    if (row->key.len)
        buf_add_plain(&d->changes, row->key, false);
    else
        buf_addf(&d->changes, "line %llu", (unsigned long long)row->line_no);
    buf_add_c(&d->changes, d->is_tsv ? "\t" : "]\n  A: ");
    add_text(&d->changes, str_cut(from, TEXT_KEPT), from.len >= TEXT_KEPT);
    buf_add_c(&d->changes, d->is_tsv ? "\t" : "\n  B: ");
    add_text(&d->changes, str_cut(to, TEXT_KEPT), to.len >= TEXT_KEPT);
    buf_add_char(&d->changes, '\n');
}

static int compare_row(void *arg, struct arena *a, const struct row_view *row, struct error *e)
{
    struct diff *d = arg;
    struct str text = str_trim(row->answer);
    struct kept *k = partner(d, id_of(a, row, d->second));
    bool failed = row->error.len > 0;

    (void)e;
    d->second++;
    if (!k) {
        d->only_second++;
        return 0;
    }
    k->met = true;
    d->failed_both += k->failed && failed;
    d->failed_first += k->failed && !failed;
    d->failed_second += !k->failed && failed;
    if (k->failed || failed)
        return 0;
    count_labels(d, k->text, text);
    count_fields(d, a, k->text, text);
    if (XXH128_isEqual(k->answer, XXH3_128bits(text.p, text.len))) {
        d->same++;
        return 0;
    }
    d->changed++;
    add_change(d, row, k->text, text);
    return 0;
}

/* ---- What it came to ---- */

static int by_count(const void *x, const void *y)
{
    const struct pair *a = x, *b = y;

    return a->count != b->count ? (a->count > b->count ? -1 : 1) : strcmp(a->from, b->from);
}

static void add_labels(struct diff *d, struct buf *out)
{
    qsort(d->pair, d->pair_count, sizeof d->pair[0], by_count);
    if (d->labels == d->same + d->changed && d->pair_count && d->pair_count < PAIRS_MAX) {
        buf_add_c(out, "\nlabels that changed\n");
        for (uint32_t i = 0; i < d->pair_count && i < PAIRS_SHOWN; i++) {
            buf_addf(out, "  %6s  ", human_count(HUMAN, d->pair[i].count));
            add_text(out, str_of(d->pair[i].from), false);
            buf_add_c(out, " -> ");
            add_text(out, str_of(d->pair[i].to), false);
            buf_add_char(out, '\n');
        }
    }
    if (d->field_count)
        buf_add_c(out, "\nfields that agree\n");
    for (uint32_t i = 0; i < d->field_count; i++) {
        buf_addf(out, "  %6s  ", human_percent(HUMAN, d->field[i].same, d->field[i].count));
        add_text(out, str_of(d->field[i].name), false);
        buf_addf(out, "  (%s of %s)\n", human_count(HUMAN, d->field[i].same),
                 human_count(HUMAN, d->field[i].count));
    }
}

static void add_summary(struct diff *d, struct buf *out)
{
    uint64_t both = d->same + d->changed, met = both;

    met += d->failed_first + d->failed_second + d->failed_both;
    buf_addf(out, "answered in both  %s\n", human_count(HUMAN, both));
    buf_addf(out, "  same            %s (%s)\n", human_count(HUMAN, d->same),
             human_percent(HUMAN, d->same, both ? both : 1));
    buf_addf(out, "  changed         %s\n", human_count(HUMAN, d->changed));
    if (d->failed_first + d->failed_second + d->failed_both)
        buf_addf(out, "failed            %s in A alone, %s in B alone, %s in both\n",
                 human_count(HUMAN, d->failed_first), human_count(HUMAN, d->failed_second),
                 human_count(HUMAN, d->failed_both));
    if (d->count > met || d->only_second)
        buf_addf(out, "without a partner %s in A, %s in B\n", human_count(HUMAN, d->count - met),
                 human_count(HUMAN, d->only_second));
    add_labels(d, out);
}

static int diff_files(struct diff *d, const char *const *path, struct error *e)
{
    if (row_view_each(path[0], keep_row, d, e) < 0)
        return -1;
    if (d->count)
        qsort(d->item, d->count, sizeof d->item[0], by_id);
    return row_view_each(path[1], compare_row, d, e);
}

static void print(struct diff *d)
{
    struct buf out = BUF_INIT(OUT_BYTES_MAX);

    if (d->is_tsv)
        buf_add_c(&out, "KEY\tA\tB\n");
    else
        add_summary(d, &out);
    buf_add_str(&out, buf_str(&d->changes));
    if (!d->is_tsv && d->shown > (d->o->limit ? d->o->limit : CHANGED_SHOWN))
        buf_addf(&out, "\n(%s more; -n shows them)\n",
                 human_count(HUMAN, d->shown - (d->o->limit ? d->o->limit : CHANGED_SHOWN)));
    terminal_write(STDOUT_FILENO, buf_str(&out));
    buf_release(&out);
}

static enum exit_code diff_run(const struct command *c, const struct arguments *given)
{
    const struct diff_options *o = given->options;
    struct diff *d = mem_alloc(sizeof *d);
    struct error e = { 0 };
    struct terminal t;
    enum exit_code code;

    (void)c;
    terminal_init(&t, false, NULL);
    d->o = o;
    d->is_tsv = o->format && strcmp(o->format, "tsv") == 0;
    d->changes = BUF_INIT(OUT_BYTES_MAX);
    if (diff_files(d, given->argument, &e) < 0) {
        terminal_error(&t, "%s", e.msg);
        code = e.code == ERROR_CANCELLED ? EXIT_INTERRUPTED : EXIT_INPUT;
    } else {
        print(d);
        code = d->same == d->count && d->same == d->second ? EXIT_OK : EXIT_SOME_FAILED;
    }
    buf_release(&d->changes);
    arena_release(&d->texts);
    mem_free(d->item);
    mem_free(d);
    return code;
}

#define OPTIONS struct diff_options
static const struct option_spec options[] = {
    OPT_COUNT("limit", 'n', limit, 1, 0, "show this many changed answers (default: 10; tsv: all)"),
    OPT_CHOICE("format", 0, format, "text|tsv", "tsv: only the changed answers, with their keys"),
    { 0 },
};

const struct command command_diff = {
    .name = "diff",
    .summary = "compare the answers of two outputs",
    .arguments = "A B",
    .about =
        "A and B are outputs of the same requests: of two models, two prompts, before and after. "
        "Rows "
        "belong together by their key, without one by their request. It prints how many answers "
        "changed and which; for labels, what became what; for JSON objects, how far each field "
        "agrees. The exit code is 0 when all answers are the same and 1 otherwise.",
    .options = options,
    .options_bytes = sizeof(struct diff_options),
    .arguments_min = 2,
    .arguments_max = 2,
    .takes_files = true,
    .run = diff_run,
};
