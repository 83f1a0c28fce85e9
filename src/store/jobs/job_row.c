/* job_row.c -- a job between its row and its struct, by the table in jobs_inner.h. */
#include <assert.h>
#include <stddef.h>
#include <string.h>

#include "store/jobs/jobs_inner.h"

enum kind { NUMBER, ENUM, FLAG, REAL, TEXT, CHARS };

static const struct field {
    enum kind kind;
    size_t at, bytes;
} fields[JOB_FIELD_COUNT] = {
#define X(column, kind, member)                                                                    \
    [FIELD_##column] = { kind, offsetof(struct job, member), sizeof((struct job *)NULL)->member },
    JOB_FIELDS(X)
#undef X
};
static_assert(sizeof(enum job_state) == sizeof(int) && sizeof(enum error_code) == sizeof(int),
              "ENUM members are read and written as int");

static void member_read(struct stmt *q, int column, const struct field *f, struct arena *a,
                        char *member)
{
    int64_t number = db_int(q, column);
    int narrow = (int)number;
    bool flag = number != 0;
    double real = db_double(q, column);
    struct str text;

    switch (f->kind) {
    case NUMBER:
        memcpy(member, &number, sizeof number);
        break;
    case ENUM:
        memcpy(member, &narrow, sizeof narrow);
        break;
    case FLAG:
        memcpy(member, &flag, sizeof flag);
        break;
    case REAL:
        memcpy(member, &real, sizeof real);
        break;
    case TEXT:
        text = db_text(q, column, a);
        memcpy(member, &text, sizeof text);
        break;
    case CHARS:
        db_text_to(q, column, member, f->bytes);
        break;
    }
}

void job_row(struct stmt *q, struct arena *a, struct job *out)
{
    memset(out, 0, sizeof *out);
    out->id = db_int(q, 0);
    for (int i = 0; i < JOB_FIELD_COUNT; i++)
        member_read(q, i + 1, &fields[i], a, (char *)out + fields[i].at);
}

static void member_bind(struct stmt *q, int at, const struct field *f, const char *member)
{
    int64_t number;
    int narrow;
    bool flag;
    double real;
    struct str text;

    switch (f->kind) {
    case NUMBER:
        memcpy(&number, member, sizeof number);
        db_bind_from(q, at, "i", number);
        break;
    case ENUM:
        memcpy(&narrow, member, sizeof narrow);
        db_bind_from(q, at, "n", narrow);
        break;
    case FLAG:
        memcpy(&flag, member, sizeof flag);
        db_bind_from(q, at, "n", (int)flag);
        break;
    case REAL:
        memcpy(&real, member, sizeof real);
        db_bind_from(q, at, "d", real);
        break;
    case TEXT:
        memcpy(&text, member, sizeof text);
        db_bind_from(q, at, "t", text);
        break;
    case CHARS:
        db_bind_from(q, at, "s", member);
        break;
    }
}

int job_bind(struct stmt *q, int first, const struct job *j, enum job_field from, enum job_field to)
{
    for (int i = (int)from; i <= (int)to; i++)
        member_bind(q, first++, &fields[i], (const char *)j + fields[i].at);
    return first;
}

unsigned job_states_before(enum job_state to)
{
    unsigned set = 0;

    for (unsigned from = 0; from < JOB_STATE_COUNT; from++) {
        if (job_state_may((enum job_state)from, to))
            set |= 1U << from;
    }
    return set;
}

static int find(struct stmt *q, struct arena *a, const char *project, int64_t id, struct job *out,
                struct error *e)
{
    db_bind(q, "is", id, project);
    int rc = db_step(q, "cannot read the job", e);
    if (rc == 0)
        return error_set(e, ERROR_NOT_FOUND, "there is no job %lld", (long long)id);
    if (rc == 1)
        job_row(q, a, out);
    return rc < 0 ? -1 : 0;
}

#define FIND "SELECT " JOB_COLUMNS " FROM job WHERE id = ?1 AND (?2 IS NULL OR project = ?2)"

int job_find(struct db *d, struct arena *a, const char *project, int64_t id, struct job *out,
             struct error *e)
{
    return find(db_stmt(d, FIND), a, project, id, out, e);
}

int job_lock(struct db *d, struct arena *a, const char *project, int64_t id, struct job *out,
             struct error *e)
{
    return find(db_stmt(d, FIND " FOR UPDATE"), a, project, id, out, e);
}

int job_refused(struct db *d, int64_t id, int64_t fence, struct error *e)
{
    struct stmt *q = db_stmt(d, "SELECT state, fence, stretch_us FROM job WHERE id = ?");

    db_bind(q, "i", id);
    int rc = db_step(q, "cannot read the job", e);
    if (rc < 0)
        return -1;
    if (rc == 0)
        return error_set(e, ERROR_NOT_FOUND, "there is no job %lld", (long long)id);
    enum job_state state = (enum job_state)db_int(q, 0);
    bool other = fence ? db_int(q, 1) != fence : db_int(q, 2) != 0;
    if (other && fence != JOB_NO_FENCE)
        return error_set(e, ERROR_ABORTED, "job %lld has another runner", (long long)id);
    return error_set(e, ERROR_FAILED_PRECONDITION, "job %lld is %s", (long long)id,
                     job_state_name(state));
}
