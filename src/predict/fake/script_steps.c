#include "predict/fake/script_steps.h"

#include <string.h>
#include <xxhash.h>

#include "base/mem.h"
#include "format/response.h"
#include "predict/fake/script.h"

#define SEPARATOR "_and_"
#define CREATE "create_"
#define REASON "job_"
#define TEXT "text-"
#define MESSAGE "This failure is scripted."
#define BLOCK_REASON "PROHIBITED_CONTENT"
#define NEAR 8 /* slots that are tried for a hash */
#define CODE_BYTES 32
#define TEXT_BYTES_TOKEN 4 /* estimate for a blocked request */

enum step_kind {
    STEP_OK,
    STEP_HANG,
    STEP_BLOCK,
    STEP_TEXT,
    STEP_DELAY,
    STEP_FAIL,
    STEP_CREATE,
    STEP_JOB,
    STEP_REASON,
    STEP_FILE
};
struct step {
    enum step_kind kind;
    enum error_code code;
    uint32_t number; /* attempts that fail, 0: all; or milliseconds */
    enum script_fate fate;
    const struct bq_reason *reason;
    struct str text;
};
struct script {
    struct step step[SCRIPT_STEPS_MAX];
    uint32_t count;
};
struct script_slot {
    uint64_t hash; /* 0: free */
    uint32_t attempts;
};

/* ---- Steps ---- */

/* The failing steps use up the attempts in turn; a hang or block holds for all later attempts. */
static const struct step *step_met(const struct script *s, uint32_t attempt)
{
    const struct step *last = NULL;
    uint64_t failing = 0;

    for (uint32_t i = 0; i < s->count; i++) {
        const struct step *step = &s->step[i];
        if (step->kind == STEP_HANG || step->kind == STEP_BLOCK || step->kind == STEP_TEXT)
            last = step;
        if (step->kind != STEP_FAIL)
            continue;
        failing += step->number;
        if (step->number == 0 || attempt <= failing)
            return step;
    }
    return last;
}

/* Cuts "-N" off the end of text: 1; 0 when there is none, -1 when N is not 1 to max. */
static int number_cut(struct str *text, uint32_t max, uint32_t *out)
{
    uint64_t value;
    size_t at = 0;

    while (at < text->len && text->p[at] != '-')
        at++;
    if (at == text->len)
        return 0;
    if (!str_number(str_sub(*text, at + 1, text->len), &value) || value == 0 || value > max)
        return -1;
    text->len = at;
    *out = (uint32_t)value;
    return 1;
}

static bool code_read(struct str name, enum error_code *out)
{
    static const char lower[] = "abcdefghijklmnopqrstuvwxyz_";
    static const char upper[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ_";
    char wire[CODE_BYTES];

    if (name.len >= sizeof wire)
        return false;
    for (size_t i = 0; i < name.len; i++) {
        const char *at = memchr(lower, name.p[i], sizeof lower - 1);
        if (!at)
            return false;
        wire[i] = upper[at - lower];
    }
    wire[name.len] = '\0';
    return error_from_name(wire, out) && *out != ERROR_OK;
}

static bool step_read(struct str text, struct step *out)
{
    static const struct {
        const char *name;
        enum step_kind kind;
        enum script_fate fate;
    } plain[] = {
        { "ok", STEP_OK, FATE_NONE },
        { "hang", STEP_HANG, FATE_NONE },
        { "block", STEP_BLOCK, FATE_NONE },
        { "job_failed", STEP_JOB, FATE_FAILED },
        { "job_pending", STEP_JOB, FATE_PENDING },
        { "job_queued", STEP_JOB, FATE_QUEUED },
        { "file_failed", STEP_FILE, FATE_FAILED },
        { "file_processing", STEP_FILE, FATE_PENDING },
    };

    if (str_starts(text, STR(TEXT))) {
        *out = (struct step){ .kind = STEP_TEXT, .text = str_sub(text, strlen(TEXT), text.len) };
        return true;
    }
    for (size_t i = 0; i < ARRAY_LEN(plain); i++) {
        if (str_eq_c(text, plain[i].name)) {
            *out = (struct step){ .kind = plain[i].kind, .fate = plain[i].fate };
            return true;
        }
    }
    if (str_starts(text, STR(REASON))) {
        *out = (struct step){ .kind = STEP_REASON };
        text = str_sub(text, strlen(REASON), text.len);
        return number_cut(&text, SCRIPT_TIMES_MAX, &out->number) >= 0 &&
               (out->reason = bq_reason_find(text));
    }
    *out = (struct step){ .kind = STEP_FAIL };
    if (str_starts(text, STR(CREATE))) {
        out->kind = STEP_CREATE;
        text = str_sub(text, strlen(CREATE), text.len);
    }
    bool delay = out->kind == STEP_FAIL && str_starts(text, STR("delay-"));
    int rc = number_cut(&text, delay ? SCRIPT_DELAY_MS_MAX : SCRIPT_TIMES_MAX, &out->number);
    if (delay)
        out->kind = STEP_DELAY;
    return delay ? rc == 1 : rc >= 0 && code_read(text, &out->code);
}

static int script_parse(struct str text, struct script *out, struct error *e)
{
    const struct str separator = STR(SEPARATOR);
    struct str rest = text;

    *out = (struct script){ 0 };
    for (bool more = true; more;) {
        bool says = str_starts(rest, STR(TEXT)); /* all the rest */
        size_t end = says ? SIZE_MAX : str_find(rest, separator);
        struct str step = str_sub(rest, 0, end);
        more = end != SIZE_MAX;
        rest = more ? str_sub(rest, end + separator.len, rest.len) : rest;
        if (out->count == SCRIPT_STEPS_MAX)
            return error_set(e, ERROR_INVALID_ARGUMENT, "%s: more than %d steps.", SCRIPT_LABEL,
                             SCRIPT_STEPS_MAX);
        if (!step_read(step, &out->step[out->count++]))
            return error_set(e, ERROR_INVALID_ARGUMENT,
                             "%s: \"%.*s\" is not a step. Steps are ok, block, hang, delay-MS, "
                             "text-TEXT and error codes as unavailable or unavailable-2, joined "
                             "by " SEPARATOR
                             "; of a job also create_CODE, job_failed, job_pending and job_queued, "
                             "of BigQuery's job_REASON.",
                             SCRIPT_LABEL, STR_ARG(str_sub(step, 0, CODE_BYTES)));
    }
    return 0;
}

/* ---- Attempts ---- */

static struct script_slot *slot_of(struct script_memory *m, const struct request *r)
{
    uint64_t hash = XXH3_64bits(r->text.p, r->text.len) | 1; /* 0 is a free slot */
    struct script_slot *free_slot = NULL;

    if (!m->slot)
        m->slot = mem_array(SCRIPT_MEMORY_MAX, sizeof *m->slot);
    for (uint64_t i = 0; i < NEAR; i++) {
        struct script_slot *p = &m->slot[((hash >> 1) + i) % SCRIPT_MEMORY_MAX];
        if (p->hash == hash)
            return p;
        if (!p->hash && !free_slot)
            free_slot = p;
    }
    if (!free_slot)
        free_slot = &m->slot[(hash >> 1) % SCRIPT_MEMORY_MAX];
    *free_slot = (struct script_slot){ .hash = hash };
    return free_slot;
}

/* ---- One attempt ---- */

int script_check(struct str text, struct error *e)
{
    struct script ignored;

    return script_parse(text, &ignored, e);
}

int script_whole(struct str text, struct script_whole *out, struct error *e)
{
    struct script s;

    *out = (struct script_whole){ .create = ERROR_OK };
    if (script_parse(text, &s, e) < 0)
        return -1;
    for (uint32_t i = 0; i < s.count; i++) {
        const struct step *step = &s.step[i];
        if (step->kind == STEP_CREATE) {
            out->create = step->code;
            out->create_times = step->number;
        }
        if (step->kind == STEP_REASON) {
            out->reason = step->reason;
            out->reason_times = step->number;
        }
        if (step->kind == STEP_JOB)
            out->job = step->fate;
        if (step->kind == STEP_FILE)
            out->file = step->fate;
    }
    return 0;
}

int script_fail(enum error_code code, struct error *e)
{
    return error_set(e, code, MESSAGE);
}

void script_memory_release(struct script_memory *m)
{
    mem_free(m->slot);
    m->slot = NULL;
}

struct str script_of(const struct request *r, const char *deflt)
{
    yyjson_val *label = r->labels ? json_get(r->labels, SCRIPT_LABEL) : NULL;

    return label ? json_str(label) : str_of(deflt);
}

static bool counts_attempts(const struct script *s)
{
    for (uint32_t i = 0; i < s->count; i++)
        if (s->step[i].kind == STEP_FAIL && s->step[i].number)
            return true;
    return false;
}

void script_meet(struct script_memory *m, struct str script, const struct request *r,
                 struct script_act *out)
{
    struct script_slot *slot = NULL;
    struct script s;

    *out = (struct script_act){ 0 };
    if (script_parse(script, &s, &out->error) < 0)
        return;
    if (counts_attempts(&s)) {
        slot = slot_of(m, r);
        slot->attempts++;
    }
    for (uint32_t i = 0; i < s.count; i++)
        if (s.step[i].kind == STEP_DELAY)
            out->delay_ms = s.step[i].number;
    const struct step *met = step_met(&s, slot ? slot->attempts : 1);
    if (met && met->kind == STEP_FAIL) {
        (void)error_set(&out->error, met->code, MESSAGE);
        return;
    }
    out->hang = met && met->kind == STEP_HANG;
    out->block = met && met->kind == STEP_BLOCK;
    out->says = met && met->kind == STEP_TEXT;
    out->text = met ? met->text : (struct str){ 0 };
    if (slot)
        slot->hash = 0;
}

bool script_passes(const struct script_act *a)
{
    return !a->hang && !a->block && !a->says && a->error.code == ERROR_OK;
}

uint64_t script_due_ns(const struct script_act *a, uint64_t now_ns)
{
    return a->hang ? UINT64_MAX : now_ns + a->delay_ms * NS_PER_MS;
}

void script_answer(const struct script_act *a, const struct request *r, const char *version,
                   struct clock *clock, struct answer *out)
{
    char id[RESPONSE_ID_BYTES];

    out->error = a->error;
    if (a->error.code != ERROR_OK)
        return;
    XXH128_hash_t hash = XXH3_128bits(r->text.p, r->text.len);
    response_id_format(hash.high64, hash.low64, id);
    out->usage.prompt_tokens = 1 + (uint32_t)(r->text.len / TEXT_BYTES_TOKEN);
    const struct candidate said = {
        .text = a->text,
        .finish = FINISH_STOP,
        .token_count = 1 + (uint32_t)(a->text.len / TEXT_BYTES_TOKEN),
    };
    if (a->says)
        out->usage.candidate_tokens = said.token_count;
    const struct response response = { .block_reason = a->block ? BLOCK_REASON : NULL,
                                       .candidate = a->says ? &said : NULL,
                                       .candidate_count = a->says,
                                       .usage = out->usage,
                                       .model_version = str_of(version),
                                       .response_id = id,
                                       .create_time_us = clock->wall_us(clock) };
    out->complete = a->says;
    out->response = BUF_INIT(RESPONSE_BYTES_MAX);
    response_write(&response, &out->response);
}
