#include "app/cli/progress.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "app/cli/human.h"
#include "base/clock.h"
#include "base/log.h"

/* A measurement of this age weighs a third of a new one: a part of the run so far, within bounds,
 * as slow models need longer for a steady figure. */
#define SPEED_MEMORY_SHARE 0.2
#define SPEED_MEMORY_MIN_S 5.0
#define SPEED_MEMORY_MAX_S 60.0
#define SPEED_STEP_MS 500
#define SPEED_FIRST_MS 100
#define BAR_COLUMNS_MIN 8
#define FIELD_BYTES 96
#define FIELDS_MAX 8

/* One line of the display: fields in the order shown, each with how dear it is. */
struct field {
    char text[FIELD_BYTES]; /* ASCII: as many columns as bytes */
    unsigned rank;          /* the highest is left out first; 0 is never */
    enum style style;
};
struct field_line {
    struct field field[FIELDS_MAX];
    size_t count;
};

/* The predictor counts as it computes, the counters only what is committed: the former is smoother. */
static struct counters computed(const struct progress *p)
{
    struct counters c = p->counters;

    if (p->predictor.prompt_tokens || p->predictor.generated_tokens) {
        c.prompt_tokens = p->predictor.prompt_tokens;
        c.candidate_tokens = p->predictor.generated_tokens;
    }
    return c;
}

static double blend(double old, uint64_t now, uint64_t before, double seconds, double keep)
{
    double rate = (now > before ? (double)(now - before) : 0) / seconds;

    return old * keep + rate * (1 - keep);
}

static void measure(struct progress_view *v, const struct progress *p)
{
    bool first = v->measured_ns == 0;
    double seconds = (double)(p->elapsed_ns - v->measured_ns) / (double)NS_PER_S;
    struct counters now = computed(p), before = computed(&v->last);

    if (p->elapsed_ns < v->measured_ns + (first ? SPEED_FIRST_MS : SPEED_STEP_MS) * NS_PER_MS)
        return;
    double memory = SPEED_MEMORY_SHARE * (double)p->elapsed_ns / (double)NS_PER_S;
    memory = fmin(fmax(memory, SPEED_MEMORY_MIN_S), SPEED_MEMORY_MAX_S);
    double keep = first ? 0 : exp(-seconds / memory);
    uint64_t done = first ? p->resumed : counters_done(&before);
    if (first && p->predictor.prompt_tokens == 0 && p->predictor.generated_tokens == 0)
        before = now; /* the counters may begin with what an earlier run computed */
    v->speed.lines = blend(v->speed.lines, counters_done(&now), done, seconds, keep);
    v->speed.prompt =
        blend(v->speed.prompt, now.prompt_tokens, before.prompt_tokens, seconds, keep);
    v->speed.generated =
        blend(v->speed.generated, now.candidate_tokens, before.candidate_tokens, seconds, keep);
    v->measured_ns = p->elapsed_ns;
    v->last = *p;
}

/* From the whole run's mean and the last seconds: the one is steady, the other follows changes. */
static uint64_t eta_ns(const struct progress_view *v, const struct progress *p)
{
    uint64_t done = counters_done(&p->counters) - p->resumed;
    double mean = p->elapsed_ns ? (double)done * 1e9 / (double)p->elapsed_ns : 0;
    double rate = (mean + v->speed.lines) / 2;

    if (done == 0 || !(rate > 0))
        return UINT64_MAX;
    double seconds = (double)counters_pending(&p->counters) / rate;
    return seconds < 1e9 ? (uint64_t)(seconds * 1e9) : UINT64_MAX;
}

static uint64_t tokens_saved(const struct progress *p)
{
    uint64_t reused = p->predictor.reused_tokens;

    return (reused > p->counters.cached_tokens ? reused : p->counters.cached_tokens) +
           p->counters.duplicate_tokens;
}

/* The live display shows it by itself. */
static void log_stop(struct progress_view *v, const struct progress *p)
{
    if (v->stop_logged || v->terminal->live || v->terminal->quiet || !v->stop ||
        !atomic_load(v->stop))
        return;
    v->stop_logged = true;
    log_info("stopping: %u requests are in flight", p->in_flight);
}

/* Requests that wait in the predictor are not at work yet. */
static uint32_t at_work(const struct progress *p)
{
    return p->predictor.sequences_max ? p->predictor.sequences : p->in_flight;
}

static void log_progress(const struct progress_view *v, const struct progress *p)
{
    const struct counters *b = &p->counters;
    uint64_t eta = eta_ns(v, p);
    char eta_text[HUMAN_BYTES + 8] = "";

    if (eta != UINT64_MAX)
        (void)snprintf(eta_text, sizeof eta_text, ", ETA %s", human_duration(HUMAN, eta));
    log_info("%llu of %llu lines (%s), %s/s, prompt %s tok/s, generated %s tok/s, %llu failed, "
             "%u in flight%s%s%s",
             (unsigned long long)counters_done(b), (unsigned long long)b->total,
             human_percent(HUMAN, counters_done(b), b->total), human_rate(HUMAN, v->speed.lines),
             human_rate(HUMAN, v->speed.prompt), human_rate(HUMAN, v->speed.generated),
             (unsigned long long)b->failed, at_work(p), eta_text, p->predictor.note[0] ? "; " : "",
             p->predictor.note);
}

/* ---- The display ---- */

__attribute__((format(printf, 4, 5))) static void add_field(struct field_line *l, unsigned rank,
                                                            enum style style, const char *fmt, ...)
{
    va_list ap;
    struct field *f = &l->field[l->count++];

    f->rank = rank;
    f->style = style;
    va_start(ap, fmt);
    (void)vsnprintf(f->text, sizeof f->text, fmt, ap);
    va_end(ap);
}

/* Leaves out the least important fields until the rest fits. Fields are parted by two spaces. */
static void fit(struct field_line *l, size_t width)
{
    for (;;) {
        size_t used = 0, least = 0;
        for (size_t i = 0; i < l->count; i++) {
            used += strlen(l->field[i].text) + (i ? 2 : 0);
            if (l->field[i].rank > l->field[least].rank)
                least = i;
        }
        if (used <= width || l->field[least].rank == 0)
            return;
        l->count--;
        memmove(&l->field[least], &l->field[least + 1], (l->count - least) * sizeof l->field[0]);
    }
}

static size_t columns_of(const struct field_line *l)
{
    size_t used = 0;

    for (size_t i = 0; i < l->count; i++)
        used += strlen(l->field[i].text) + (i ? 2 : 0);
    return used;
}

static void put_fields(const struct terminal *c, const struct field_line *l, size_t width,
                       struct buf *out)
{
    size_t used = 0;

    for (size_t i = 0; i < l->count && used < width; i++) {
        struct str text = str_sub(str_of(l->field[i].text), 0, width - used);
        buf_add_c(out, i ? "  " : "");
        buf_addf(out, "%s%.*s%s", terminal_style(c, l->field[i].style), STR_ARG(text),
                 terminal_style(c, STYLE_END));
        used += text.len + 2;
    }
}

static void put_bar(const struct terminal *c, double share, size_t columns, struct buf *out)
{
    size_t full = (size_t)(share * (double)columns);

    buf_add_c(out, terminal_style(c, STYLE_GREEN));
    for (size_t i = 0; i < columns; i++) {
        if (i == full)
            buf_addf(out, "%s%s", terminal_style(c, STYLE_END), terminal_style(c, STYLE_DIM));
        if (c->utf8)
            buf_add_c(out, i < full ? "\xE2\x94\x81" : "\xE2\x94\x80"); /* thick, thin line */
        else
            buf_add_char(out, i < full ? '#' : '.');
    }
    buf_addf(out, "%s  ", terminal_style(c, STYLE_END));
}

static void draw_bar_line(const struct progress_view *v, const struct progress *p, size_t width,
                          struct buf *out)
{
    const struct counters *b = &p->counters;
    uint64_t done = counters_done(b), eta = eta_ns(v, p);
    struct field_line l = { .count = 0 };

    add_field(&l, 0, STYLE_BOLD, "%s", human_percent(HUMAN, done, b->total));
    add_field(&l, 1, STYLE_END, "%s/%s", human_count(HUMAN, done), human_count(HUMAN, b->total));
    if (eta != UINT64_MAX)
        add_field(&l, 2, STYLE_END, "ETA %s", human_duration(HUMAN, eta));
    else
        add_field(&l, 2, STYLE_END, "%s", human_duration(HUMAN, p->elapsed_ns));
    fit(&l, width);
    size_t rest = width - columns_of(&l);
    if (rest >= BAR_COLUMNS_MIN + 2)
        put_bar(v->terminal, b->total ? (double)done / (double)b->total : 0, rest - 2, out);
    put_fields(v->terminal, &l, width, out);
}

static void draw_speed_line(const struct progress_view *v, const struct progress *p, size_t width,
                            struct buf *out)
{
    struct field_line l = { .count = 0 };

    add_field(&l, 0, STYLE_CYAN, "%s req/s", human_rate(HUMAN, v->speed.lines));
    add_field(&l, 2, STYLE_END, "%s prompt tok/s", human_rate(HUMAN, v->speed.prompt));
    add_field(&l, 1, STYLE_END, "%s generated tok/s", human_rate(HUMAN, v->speed.generated));
    if (v->stop && atomic_load(v->stop))
        add_field(&l, 0, STYLE_YELLOW, "stopping: %u in flight", p->in_flight);
    else
        add_field(&l, 3, STYLE_DIM, "%u in flight", at_work(p));
    fit(&l, width);
    put_fields(v->terminal, &l, width, out);
}

/* The reason for a delay comes before everything that can be read afterwards, cut to the room left. */
static void add_note(struct field_line *l, const char *note, size_t width)
{
    size_t used = strlen(l->field[0].text) + 2;
    int room = width > used ? (int)(width - used) : 0;

    if (note[0])
        add_field(l, 0, STYLE_YELLOW, "%.*s", room, note);
}

static void draw_money_line(const struct progress_view *v, const struct progress *p, size_t width,
                            struct buf *out)
{
    const struct counters *b = &p->counters;
    struct field_line l = { .count = 0 };
    uint64_t saved = tokens_saved(p);

    add_field(&l, 0, b->failed ? STYLE_RED : STYLE_END, "%s failed", human_count(HUMAN, b->failed));
    add_note(&l, p->predictor.note, width);
    if (p->retries)
        add_field(&l, 3, STYLE_YELLOW, "%s retried", human_count(HUMAN, p->retries));
    if (v->priced)
        add_field(&l, 1, STYLE_END, "%s batch price", human_money(HUMAN, b->cost_nano));
    if (saved)
        add_field(&l, 2, STYLE_END, "%s tokens reused", human_count(HUMAN, saved));
    add_field(&l, 4, STYLE_DIM, "%s", v->title);
    fit(&l, width);
    put_fields(v->terminal, &l, width, out);
}

void progress_draw(const struct progress_view *v, const struct progress *p, uint32_t width,
                   struct buf *out)
{
    static void (*const lines[PROGRESS_LINES])(const struct progress_view *,
                                               const struct progress *, size_t, struct buf *) = {
        draw_bar_line,
        draw_speed_line,
        draw_money_line,
    };

    for (size_t i = 0; i < PROGRESS_LINES; i++) {
        buf_add_c(out, i ? "\r\n" : "\r");
        /* The last column stays free: some terminals wrap as soon as it is written. */
        lines[i](v, p, width - 1, out);
        if (v->terminal->live)
            buf_add_c(out, "\033[K");
    }
}

void progress_show(struct progress_view *v, const struct progress *p)
{
    uint64_t every = (v->terminal->live ? PROGRESS_DRAW_MS : PROGRESS_LOG_MS) * NS_PER_MS;
    struct buf out = BUF_INIT(PROGRESS_BYTES_MAX);

    measure(v, p);
    log_stop(v, p);
    if (v->terminal->quiet || p->elapsed_ns < v->shown_ns + every)
        return;
    v->shown_ns = p->elapsed_ns;
    if (!v->terminal->live) {
        log_progress(v, p);
        return;
    }
    if (v->drawn)
        buf_addf(&out, "\r\033[%dA", PROGRESS_LINES - 1);
    progress_draw(v, p, terminal_width(), &out);
    terminal_write(STDERR_FILENO, buf_str(&out));
    buf_release(&out);
    v->drawn = true;
}

void progress_clear(struct progress_view *v)
{
    char text[32];

    if (!v->drawn)
        return;
    int n = snprintf(text, sizeof text, "\r\033[%dA\033[J", PROGRESS_LINES - 1);
    terminal_write(STDERR_FILENO, (struct str){ text, (size_t)n });
    v->drawn = false;
}
