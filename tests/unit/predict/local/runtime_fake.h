/* runtime_fake.h -- a runtime in memory whose answers depend on nothing but the tokens a row may see.
 *
 * Why: scheduling, reuse, preemption and stopping must be tested without a model, and wrongly reused
 * tokens must show as a wrong answer. So the fake keeps real cells (token, position, holders), refuses rows
 * with holes before them, and makes its logits from the whole history that a row sees.
 *
 * Shape:   a token is a byte. A prompt "...N>" (N a digit) is answered by N letters and the end token;
 *          without it the answer never ends by itself. fake_expect says which letters.
 * Threads: one. Include after cmocka.h.
 */
#ifndef TRANCHE_TESTS_RUNTIME_FAKE_H
#define TRANCHE_TESTS_RUNTIME_FAKE_H

#include <string.h>

#include "base/mem.h"
#include "predict/local/runtime.h"

#define FAKE_VOCAB 256
#define FAKE_END 0
#define FAKE_CELLS_MAX 4096
#define FAKE_ROWS_MAX 512

struct fake_cell {
    int32_t token;
    uint32_t position;
    uint64_t holders; /* a bit for each sequence; 0: free */
};
struct fake_runtime {
    struct runtime base; /* first */
    struct runtime_info info;
    struct fake_cell cell[FAKE_CELLS_MAX];
    float logits[FAKE_ROWS_MAX][FAKE_VOCAB];
    uint32_t forwards, refused, rows; /* seen so far */
    uint32_t rows_most;               /* in one forward */
    uint32_t fail_at;                 /* this forward (from 1) fails for good */
};

static inline struct fake_runtime *fake_of(struct runtime *r)
{
    return (struct fake_runtime *)r;
}

static inline uint64_t fake_hash(const int32_t *token, uint32_t count)
{
    uint64_t h = 0xcbf29ce484222325ULL;

    for (uint32_t i = 0; i < count; i++)
        h = (h ^ (uint32_t)token[i]) * 0x100000001b3ULL;
    return h ^ (h >> 29);
}

/* The token that follows a history. */
static inline int32_t fake_next(const int32_t *token, uint32_t count)
{
    for (uint32_t i = count; i-- > 1;)
        if (token[i] == '>' && token[i - 1] >= '0' && token[i - 1] <= '9') {
            if (count - 1 - i >= (uint32_t)(token[i - 1] - '0'))
                return FAKE_END;
            break;
        }
    return (int32_t)('a' + fake_hash(token, count) % 26);
}

/* The letters that answer a prompt, at most `most` of them. */
static inline void fake_expect(const char *prompt, uint32_t most, char *out)
{
    int32_t token[FAKE_CELLS_MAX];
    uint32_t count = 0, made = 0;

    for (; prompt[count]; count++)
        token[count] = (unsigned char)prompt[count];
    for (; made < most; made++) {
        int32_t next = fake_next(token, count);
        if (next == FAKE_END)
            break;
        token[count++] = next;
        out[made] = (char)next;
    }
    out[made] = '\0';
}

static inline void fake_info(struct runtime *r, struct runtime_info *out)
{
    *out = fake_of(r)->info;
}

/* A model with tags begins every answer within a thought, unless it shall not think. */
static inline int fake_prompt(struct runtime *r, const struct chat *chat, struct tokens *out,
                              bool *thinks, struct error *e)
{
    (void)e;
    for (uint32_t i = 0; i < chat->message_count; i++)
        for (size_t k = 0; k < chat->message[i].text.len; k++)
            tokens_add(out, (unsigned char)chat->message[i].text.p[k]);
    *thinks = fake_of(r)->info.thinking.begin.len && chat->thinking != THINKING_OFF;
    return 0;
}

static inline void fake_piece(struct runtime *r, int32_t token, bool first, struct buf *out)
{
    (void)r;
    (void)first;
    buf_add_char(out, (char)token);
}

static inline bool fake_is_end(struct runtime *r, int32_t token)
{
    (void)r;
    return token == FAKE_END;
}

/* The tokens that a row of this sequence at this position sees; fails the test when one is missing. */
static inline uint32_t fake_history(const struct fake_runtime *f, uint32_t sequence,
                                    uint32_t position, int32_t *out)
{
    uint32_t found = 0;

    for (uint32_t i = 0; i < f->info.cells; i++) {
        const struct fake_cell *c = &f->cell[i];
        if (!(c->holders >> sequence & 1) || c->position > position)
            continue;
        out[c->position] = c->token;
        found++;
    }
    assert_int_equal(found, position + 1);
    return found;
}

/* There must be one: the caller has counted. */
static inline struct fake_cell *fake_free_cell(struct fake_runtime *f)
{
    uint32_t i = 0;

    while (f->cell[i].holders)
        i++;
    return &f->cell[i];
}

static inline uint32_t fake_used(const struct fake_runtime *f)
{
    uint32_t used = 0;

    for (uint32_t i = 0; i < f->info.cells; i++)
        used += f->cell[i].holders != 0;
    return used;
}

static inline void fake_score(struct fake_runtime *f, uint32_t row, const int32_t *token,
                              uint32_t count)
{
    uint64_t h = fake_hash(token, count);

    for (uint32_t i = 0; i < FAKE_VOCAB; i++)
        f->logits[row][i] = (float)((h >> (i % 32)) % 97) / 97.0f - (float)i * 1e-4f;
    f->logits[row][fake_next(token, count)] = 9.0f;
}

static inline int fake_forward(struct runtime *r, const struct runtime_row *row, uint32_t count,
                               struct error *e)
{
    struct fake_runtime *f = fake_of(r);
    int32_t history[FAKE_CELLS_MAX];

    assert_in_range(count, 1, f->info.rows_max);
    if (++f->forwards == f->fail_at)
        return error_set(e, ERROR_INTERNAL, "broken");
    if (f->info.cells - fake_used(f) < count) {
        f->refused++;
        return error_set(e, ERROR_RESOURCE_EXHAUSTED, "full");
    }
    for (uint32_t i = 0; i < count; i++)
        *fake_free_cell(f) =
            (struct fake_cell){ row[i].token, row[i].position, 1ULL << row[i].sequence };
    for (uint32_t i = 0; i < count; i++) {
        uint32_t seen = fake_history(f, row[i].sequence, row[i].position, history);
        if (row[i].logits)
            fake_score(f, i, history, seen);
    }
    f->rows += count;
    f->rows_most = count > f->rows_most ? count : f->rows_most;
    return 0;
}

static inline const float *fake_logits(struct runtime *r, uint32_t row)
{
    return fake_of(r)->logits[row];
}

static inline void fake_copy(struct runtime *r, uint32_t from, uint32_t to, uint32_t len)
{
    struct fake_runtime *f = fake_of(r);

    for (uint32_t i = 0; i < f->info.cells; i++) {
        assert_false(f->cell[i].holders >> to & 1);
        if ((f->cell[i].holders >> from & 1) && f->cell[i].position < len)
            f->cell[i].holders |= 1ULL << to;
    }
}

static inline void fake_trim(struct runtime *r, uint32_t sequence, uint32_t len)
{
    struct fake_runtime *f = fake_of(r);

    for (uint32_t i = 0; i < f->info.cells; i++)
        if (f->cell[i].position >= len)
            f->cell[i].holders &= ~(1ULL << sequence);
}

static inline bool fake_tokenize(struct runtime *r, struct str text, struct tokens *out)
{
    (void)r;
    for (size_t i = 0; i < text.len; i++)
        tokens_add(out, (unsigned char)text.p[i]);
    return true;
}

static inline void fake_close(struct runtime *r)
{
    mem_free(r);
}

static const struct runtime_ops fake_ops = {
    .name = "fake",
    .info = fake_info,
    .prompt = fake_prompt,
    .piece = fake_piece,
    .is_end = fake_is_end,
    .forward = fake_forward,
    .logits = fake_logits,
    .copy = fake_copy,
    .trim = fake_trim,
    .tokenize = fake_tokenize,
    .close = fake_close,
};

static inline struct fake_runtime *fake_open(uint32_t cells, uint32_t sequences, uint32_t rows_max)
{
    struct fake_runtime *f = mem_alloc(sizeof *f);

    f->base.ops = &fake_ops;
    f->info = (struct runtime_info){
        .vocab = FAKE_VOCAB,
        .context_max = cells,
        .cells = cells,
        .sequences = sequences,
        .rows_max = rows_max,
        .shares = true,
        .name = "fake",
    };
    return f;
}

#endif
