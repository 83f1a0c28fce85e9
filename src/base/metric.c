#include "base/thread.h"
#include "base/metric.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

/* Slots of the table: twice the series, so that a search soon meets an empty one. */
#define SLOTS ((size_t)2 * METRIC_SERIES_MAX)

enum metric_kind { COUNTER, REAL, GAUGE, HISTOGRAM, OTHER };

static const char *const kind_names[] = { "counter", "counter", "gauge", "histogram", "counter" };

static const struct {
    double seconds;
    const char *text;
} bounds[] = {
    { 0.001, "0.001" }, { 0.0025, "0.0025" }, { 0.005, "0.005" }, { 0.01, "0.01" },
    { 0.025, "0.025" }, { 0.05, "0.05" },     { 0.1, "0.1" },     { 0.25, "0.25" },
    { 0.5, "0.5" },     { 1, "1" },           { 2.5, "2.5" },     { 5, "5" },
    { 10, "10" },       { 25, "25" },         { 50, "50" },       { 100, "100" },
};
#define BOUNDS (ARRAY_LEN(bounds))

struct metric {
    const char *name, *help;
    enum metric_kind kind;
    _Atomic uint64_t count;   /* of a gauge or real counter: the bits of a double */
    _Atomic uint64_t *bucket; /* of a histogram: BOUNDS of them, each without the ones before */
    _Atomic uint64_t sum_us;
    char labels[METRIC_LABELS_BYTES];
};

/* Counts the events of series that found no room. */
static struct metric other = { .name = "tranche_metrics_dropped_total",
                               .help = "Events of series beyond the limit",
                               .kind = OTHER };

/* A slot is set once and never changes, so reading needs no lock. */
static struct {
    pthread_mutex_t lock; /* for making a series */
    _Atomic(struct metric *) slot[SLOTS];
    size_t count; /* under the lock */
} table = { .lock = PTHREAD_MUTEX_INITIALIZER };

static size_t hash_text(size_t h, const char *s)
{
    for (; *s; s++)
        h = (h ^ (unsigned char)*s) * (size_t)1099511628211U;
    return h;
}

/* The slot that holds the series, or the empty one where it belongs. */
static size_t find(const char *name, const char *labels)
{
    size_t at = hash_text(hash_text((size_t)14695981039346656037U, name), labels) % SLOTS;

    for (;; at = (at + 1) % SLOTS) {
        const struct metric *m = atomic_load_explicit(&table.slot[at], memory_order_acquire);
        if (!m || (strcmp(m->name, name) == 0 && strcmp(m->labels, labels) == 0))
            return at;
    }
}

static struct metric *make(enum metric_kind kind, const char *name, const char *help,
                           const char *labels)
{
    struct metric *m = mem_alloc(sizeof *m);

    m->name = name;
    m->help = help;
    m->kind = kind;
    memcpy(m->labels, labels, strlen(labels)); /* zeroed, and the caller checked the length */
    if (kind == HISTOGRAM)
        m->bucket = mem_array(BOUNDS, sizeof *m->bucket);
    return m;
}

/* The names of the labels, with "," between them: what all series of a name have in common. */
static void label_names(const char *labels, char out[METRIC_LABELS_BYTES])
{
    bool quoted = false;
    size_t n = 0;

    for (const char *p = labels; *p; p++) {
        if (quoted && *p == '\\' && p[1])
            p++;
        else if (*p == '"')
            quoted = !quoted;
        else if (!quoted && *p != '=')
            out[n++] = *p;
    }
    out[n] = '\0';
}

/* A name belongs to one place of the program: one help text, one kind, one set of labels. Otherwise a sum over its
 * series counts events twice. Under the lock. */
static void check_family(const struct metric *m)
{
    char names[METRIC_LABELS_BYTES], others[METRIC_LABELS_BYTES];

    label_names(m->labels, names);
    for (size_t i = 0; i < SLOTS; i++) {
        const struct metric *o = atomic_load(&table.slot[i]);
        if (!o || strcmp(o->name, m->name) != 0)
            continue;
        label_names(o->labels, others);
        assert(o->kind == m->kind && strcmp(o->help, m->help) == 0 && strcmp(others, names) == 0);
        return;
    }
}

static bool is_named_well(enum metric_kind kind, const char *name)
{
    return str_ends(str_of(name), STR("_total")) == (kind == COUNTER || kind == REAL);
}

static struct metric *make_once(enum metric_kind kind, const char *name, const char *help,
                                const char *labels)
{
    lock(&table.lock);
    size_t at = find(name, labels);
    struct metric *m = atomic_load(&table.slot[at]);
    if (!m && table.count < METRIC_SERIES_MAX) {
        assert(is_named_well(kind, name));
        m = make(kind, name, help, labels);
        check_family(m);
        table.count++;
        atomic_store_explicit(&table.slot[at], m, memory_order_release);
    }
    unlock(&table.lock);
    return m ? m : &other;
}

static struct metric *series(enum metric_kind kind, const char *name, const char *help,
                             const char *labels)
{
    if (!labels)
        labels = "";
    if (strlen(labels) >= METRIC_LABELS_BYTES)
        return &other;
    struct metric *m = atomic_load_explicit(&table.slot[find(name, labels)], memory_order_acquire);
    if (!m)
        m = make_once(kind, name, help, labels);
    assert(m->kind == kind || m == &other);
    return m;
}

struct metric *metric_counter(const char *name, const char *help, const char *labels)
{
    return series(COUNTER, name, help, labels);
}

struct metric *metric_counter_real(const char *name, const char *help, const char *labels)
{
    return series(REAL, name, help, labels);
}

struct metric *metric_gauge(const char *name, const char *help, const char *labels)
{
    return series(GAUGE, name, help, labels);
}

struct metric *metric_histogram(const char *name, const char *help, const char *labels)
{
    return series(HISTOGRAM, name, help, labels);
}

/* A label's value has three escapes, which are not JSON's. */
static void add_label_value(struct str value, struct buf *out)
{
    for (size_t i = 0; i < value.len; i++) {
        char c = value.p[i];
        if (c == '\\' || c == '"' || c == '\n')
            buf_add_char(out, '\\');
        buf_add_char(out, (char)(c == '\n' ? 'n' : c));
    }
}

void metric_labels(char out[METRIC_LABELS_BYTES], const char *const *name_and_value)
{
    struct buf text = BUF_INIT((size_t)4 * METRIC_LABELS_BYTES);

    for (; *name_and_value; name_and_value += 2) {
        buf_addf(&text, "%s%s=\"", text.len ? "," : "", name_and_value[0]);
        add_label_value(str_cut(str_of(name_and_value[1]), METRIC_LABEL_BYTES), &text);
        buf_add_char(&text, '"');
    }
    assert(buf_ok(&text));
    if (text.len >= METRIC_LABELS_BYTES) /* only by many escapes */
        text.len = 0;
    memcpy(out, text.p, text.len);
    out[text.len] = '\0';
    buf_release(&text);
}

static void count(_Atomic uint64_t *value, uint64_t n)
{
    (void)atomic_fetch_add_explicit(value, n, memory_order_relaxed);
}

void metric_add(struct metric *m, uint64_t n)
{
    assert(m->kind == COUNTER || m->kind == OTHER);
    count(&m->count, n);
}

static uint64_t bits_of(double value)
{
    uint64_t bits;

    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static double value_of(uint64_t bits)
{
    double value;

    memcpy(&value, &bits, sizeof value);
    return value;
}

void metric_add_real(struct metric *m, double value)
{
    uint64_t before = atomic_load_explicit(&m->count, memory_order_relaxed);

    assert((m->kind == REAL || m->kind == OTHER) && value >= 0);
    if (m->kind == OTHER) {
        count(&m->count, 1);
        return;
    }
    while (!atomic_compare_exchange_weak_explicit(&m->count, &before,
                                                  bits_of(value_of(before) + value),
                                                  memory_order_relaxed, memory_order_relaxed)) {
    }
}

void metric_set(struct metric *m, double value)
{
    assert(m->kind == GAUGE || m->kind == REAL || m->kind == OTHER);
    if (m->kind == OTHER)
        count(&m->count, 1);
    else
        atomic_store_explicit(&m->count, bits_of(value), memory_order_relaxed);
}

void metric_observe(struct metric *m, double seconds)
{
    size_t i = 0;

    assert(m->kind == HISTOGRAM || m->kind == OTHER);
    count(&m->count, 1);
    if (m->kind == OTHER)
        return;
    if (!(seconds > 0)) /* a clock that was set back, or not a number */
        seconds = 0;
    while (i < BOUNDS && seconds > bounds[i].seconds)
        i++;
    if (i < BOUNDS)
        count(&m->bucket[i], 1);
    count(&m->sum_us, seconds < 1e12 ? (uint64_t)(seconds * 1e6) : 0);
}

uint64_t metric_value(const struct metric *m)
{
    assert(m->kind != GAUGE && m->kind != REAL);
    return atomic_load_explicit(&m->count, memory_order_relaxed);
}

static int by_name(const void *a, const void *b)
{
    const struct metric *const *x = a, *const *y = b;
    int order = strcmp((*x)->name, (*y)->name);

    return order ? order : strcmp((*x)->labels, (*y)->labels);
}

/* One line "name_suffix{labels,le="..."} " without its value. */
static void write_name(struct buf *out, const struct metric *m, const char *suffix, const char *le)
{
    buf_addf(out, "%s%s", m->name, suffix);
    if (*m->labels || le)
        buf_addf(out, "{%s%s%s%s%s}", m->labels, *m->labels && le ? "," : "", le ? "le=\"" : "",
                 le ? le : "", le ? "\"" : "");
    buf_add_char(out, ' ');
}

static void write_number(struct buf *out, const struct metric *m, const char *suffix,
                         const char *le, uint64_t value)
{
    write_name(out, m, suffix, le);
    buf_addf(out, "%llu\n", (unsigned long long)value);
}

/* The buckets are read one after the other while others count: the total is made of what was read,
 * so that no bucket is above it. */
static void write_histogram(struct buf *out, const struct metric *m)
{
    uint64_t total = atomic_load(&m->count), sum = 0;

    for (size_t i = 0; i < BOUNDS; i++) {
        sum += atomic_load(&m->bucket[i]);
        write_number(out, m, "_bucket", bounds[i].text, sum);
    }
    if (total < sum)
        total = sum;
    write_number(out, m, "_bucket", "+Inf", total);
    write_name(out, m, "_sum", NULL);
    buf_add_double(out, (double)atomic_load(&m->sum_us) / 1e6);
    buf_add_char(out, '\n');
    write_number(out, m, "_count", NULL, total);
}

static void write_real(struct buf *out, const struct metric *m)
{
    write_name(out, m, "", NULL);
    buf_add_double(out, value_of(atomic_load(&m->count)));
    buf_add_char(out, '\n');
}

static void write_series(struct buf *out, const struct metric *m, bool first)
{
    if (first)
        buf_addf(out, "# HELP %s %s\n# TYPE %s %s\n", m->name, m->help, m->name,
                 kind_names[m->kind]);
    if (m->kind == HISTOGRAM)
        write_histogram(out, m);
    else if (m->kind == GAUGE || m->kind == REAL)
        write_real(out, m);
    else
        write_number(out, m, "", NULL, atomic_load(&m->count));
}

void metric_write(struct buf *out)
{
    const struct metric **all = mem_array(METRIC_SERIES_MAX + 1, sizeof(const struct metric *));
    size_t n = 0;

    for (size_t i = 0; i < SLOTS; i++) {
        const struct metric *m = atomic_load_explicit(&table.slot[i], memory_order_acquire);
        if (m)
            all[n++] = m;
    }
    if (atomic_load(&other.count))
        all[n++] = &other;
    qsort(all, n, sizeof(const struct metric *), by_name);
    for (size_t i = 0; i < n; i++)
        write_series(out, all[i], i == 0 || strcmp(all[i]->name, all[i - 1]->name) != 0);
    mem_free(all);
}
