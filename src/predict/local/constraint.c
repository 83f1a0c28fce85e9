#include "predict/local/constraint_inner.h"

#include <assert.h>
#include <malloc.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/thread.h"
#include "format/schema/schema.h"
#include "format/tools/call_grammar.h"

/* A token that is not text of an answer is known to llguidance by this byte and a name. */
#define SPECIAL_MARK "\xff"
#define PATH_BYTES 64

/* ---- The vocabulary ---- */

/* Tokens of a text for llguidance: as many as there is room for; gives how many there are. */
static size_t tokenize(const void *arg, const uint8_t *bytes, size_t len, uint32_t *out, size_t cap)
{
    const struct constraints *c = arg;
    struct tokens t = { 0 };

    (void)c->runtime->ops->tokenize(c->runtime, (struct str){ (const char *)bytes, len }, &t);
    for (size_t i = 0; i < t.count && i < cap; i++)
        out[i] = (uint32_t)t.item[i];
    size_t count = t.count;
    tokens_release(&t);
    return count;
}

static void pieces_init(struct constraints *c, struct buf *bytes)
{
    const struct runtime_ops *ops = c->runtime->ops;
    struct pieces *p = &c->pieces;

    p->len = mem_array(c->vocab, sizeof *p->len);
    p->at = mem_array(c->vocab, sizeof *p->at);
    for (uint32_t i = 0; i < c->vocab; i++) {
        p->at[i] = bytes->len;
        if (!ops->is_end(c->runtime, (int32_t)i))
            ops->piece(c->runtime, (int32_t)i, false, bytes);
        if (bytes->len == p->at[i])
            buf_addf(bytes, SPECIAL_MARK "<%u>", i);
        p->len[i] = (uint32_t)(bytes->len - p->at[i]);
    }
}

/* Every token that ends a turn ends an answer. */
static uint32_t *end_tokens(struct constraints *c, uint32_t *count)
{
    uint32_t *end = NULL;

    *count = 0;
    for (uint32_t i = 0; i < c->vocab; i++)
        if (c->runtime->ops->is_end(c->runtime, (int32_t)i)) {
            end = mem_list_grow(end, *count, sizeof *end);
            end[(*count)++] = i;
        }
    return end;
}

struct constraints *constraints_new(struct runtime *r)
{
    struct constraints *c = mem_alloc(sizeof *c);
    struct runtime_info info;

    c->runtime = r;
    r->ops->info(r, &info);
    c->vocab = info.vocab;
    c->calls = info.calls.format;
    lock_init(&c->lock);
    lock_init(&c->opening);
    cond_init(&c->done);
    return c;
}

/* Under c->opening. */
static void tokenizer_make(struct constraints *c, char message[256])
{
    struct buf bytes = BUF_INIT(SIZE_MAX / 2);
    uint32_t end_count, *end;
    struct tokens probe = { 0 };

    pieces_init(c, &bytes);
    c->pieces.bytes = (uint8_t *)bytes.p;
    end = end_tokens(c, &end_count);
    bool exact = c->runtime->ops->tokenize(c->runtime, STR("{"), &probe);
    tokens_release(&probe);
    const LlgTokenizerInitV2 init = {
        .struct_size = sizeof init,
        .vocab_size = c->vocab,
        .tok_eos = end_count ? end[0] : 0,
        .tok_eos_extra = end,
        .tok_eos_extra_count = end_count,
        .token_lens = c->pieces.len,
        .token_bytes = c->pieces.bytes,
        .tokenize_assumes_string = true,
        .tokenize_fn = exact ? tokenize : NULL,
        .tokenize_user_data = c,
        .use_approximate_greedy_tokenize_fn = !exact,
    };
    c->tokenizer = llg_new_tokenizer_v2(&init, message, 256);
    mem_free(end);
}

/* The vocabulary for llguidance, made for the first schema: a run without one does not pay for it. */
static int tokenizer_open(struct constraints *c, struct schema_fault *fault)
{
    char message[256] = "";

    lock(&c->opening);
    if (!c->tokenizer && !c->pieces.len)
        tokenizer_make(c, message);
    unlock(&c->opening);
    if (c->tokenizer)
        return 0;
    *fault = (struct schema_fault){ .remedy = "Use another model." };
    (void)snprintf(fault->message, sizeof fault->message,
                   "The model's vocabulary cannot be used for schemas: %.180s.", message);
    return -1;
}

static void constraint_free(struct constraint *k)
{
    llg_free_matcher(k->matcher);
    arena_release(&k->arena);
    lock_destroy(&k->cloning);
    buf_release(&k->source);
    mem_free(k);
    (void)malloc_trim(0); /* a large grammar's memory goes back to the system */
}

void constraints_free(struct constraints *c)
{
    if (!c)
        return;
    for (uint32_t i = 0; i < c->count; i++) {
        assert(c->item[i]->references == 1);
        constraint_free(c->item[i]);
    }
    llg_free_tokenizer(c->tokenizer);
    cond_destroy(&c->done);
    lock_destroy(&c->lock);
    lock_destroy(&c->opening);
    mem_free(c->pieces.len);
    mem_free(c->pieces.at);
    mem_free(c->pieces.bytes);
    mem_free(c);
}

/* ---- Compiling ---- */

static enum constraint_kind kind_of(const struct request *r)
{
    const struct function_choice c = function_choice_of(r);

    if (c.count && (c.calling == CALLING_ANY || c.calling == CALLING_VALIDATED))
        return CONSTRAINT_CALLS;
    if (r->generation.form == ANSWER_TEXT)
        return CONSTRAINT_NONE;
    return r->generation.form == ANSWER_ENUM ? CONSTRAINT_ENUM : CONSTRAINT_JSON;
}

/* The faults of calls have the whole path themselves. */
static const char *member_of(const struct request *r)
{
    if (kind_of(r) == CONSTRAINT_CALLS)
        return "";
    return r->generation.schema_path ? r->generation.schema_path
                                     : "generationConfig.responseMimeType";
}

static int refuse(struct constraint *k, const char *member, const struct schema_fault *fault)
{
    k->state = CONSTRAINT_REFUSED;
    (void)snprintf(k->why.path, sizeof k->why.path, "%s%s%s", member,
                   member[0] && fault->path[0] && fault->path[0] != '[' ? "." : "", fault->path);
    (void)snprintf(k->why.message, sizeof k->why.message, "%s", fault->message);
    (void)snprintf(k->why.remedy, sizeof k->why.remedy, "%s", fault->remedy);
    return -1;
}

/* part: the limits of steps are divided by it. */
static LlgConstraintInit init_of(const struct constraints *c, uint64_t part)
{
    LlgConstraintInit init = { 0 };

    llg_constraint_init_set_defaults(&init, c->tokenizer);
    init.log_stderr_level = 0;
    init.log_buffer_level = 0;
    init.limits.initial_lexer_fuel = CONSTRAINT_LEXER_FUEL / part;
    init.limits.step_lexer_fuel = CONSTRAINT_STEP_FUEL / part;
    init.limits.step_max_items = CONSTRAINT_STEP_ITEMS;
    init.limits.max_items_in_row = CONSTRAINT_ROW_ITEMS;
    init.limits.max_grammar_size = CONSTRAINT_GRAMMAR_SYMBOLS;
    init.limits.max_lexer_states = CONSTRAINT_LEXER_STATES;
    init.limits.precompute_large_lexemes = false;
    init.limits.verbose_errors = false;
    return init;
}

/* The first mask is tried too: a pattern that takes too many steps shows there. */
static LlgMatcher *matcher_try(struct constraints *c, const char *kind, const char *text,
                               uint64_t part, char message[200])
{
    const LlgConstraintInit init = init_of(c, part);
    LlgMatcher *m = llg_new_matcher(&init, kind, text);

    if (!llg_matcher_is_error(m) && llg_matcher_compute_mask(m) == 0)
        return m;
    const char *why = llg_matcher_get_error(m);
    (void)snprintf(message, 200, "%.*s", why ? (int)strcspn(why, "\n") : 0, why ? why : "");
    llg_free_matcher(m);
    return NULL;
}

static bool leaf_can(struct constraints *c, const struct schema_leaf *leaf, uint64_t part,
                     char message[200])
{
    LlgMatcher *m = matcher_try(c, "json_schema", leaf->json.p, part, message);

    llg_free_matcher(m);
    return m != NULL;
}

/* The regular expression that llguidance cannot take, of those that stand in the schema. Each is tried with few steps;
 * those that need more are suspects, of which the first are tried with all steps. */
static void leaf_blame(struct constraints *c, const struct schema *s, struct schema_fault *fault)
{
    struct schema_leaf leaf;
    uint32_t suspects = 0;
    char message[200];

    for (uint32_t i = 0;
         i < CONSTRAINT_BLAMED && suspects < CONSTRAINT_SUSPECTS && schema_leaf_at(s, i, &leaf);
         i++) {
        if (leaf_can(c, &leaf, CONSTRAINT_BLAME_PART, message))
            continue;
        suspects++;
        if (leaf_can(c, &leaf, 1, message))
            continue;
        (void)snprintf(fault->path, sizeof fault->path, "%s", leaf.path);
        (void)snprintf(fault->message, sizeof fault->message,
                       "The value cannot be followed: %.180s.", message);
        return;
    }
}

/* The schema does not live as long as the constraint. */
static void names_take(struct constraint *k, const struct schema *s)
{
    const struct str *name = schema_pattern_names(s, &k->name_count);

    k->limits_names = schema_limits_names(s);
    k->name = arena_array(&k->arena, k->name_count + 1, sizeof *k->name);
    for (uint32_t i = 0; i < k->name_count; i++)
        k->name[i] = (struct str){ arena_copy(&k->arena, name[i].p, name[i].len), name[i].len };
}

static int compile_text(struct constraint *k, const char *member, const struct schema *s,
                        const char *lark)
{
    struct schema_fault fault = {
        .remedy = "Simplify it; docs/guides/structured-output.md has the limits."
    };
    char message[200];

    k->matcher = matcher_try(k->all, "lark", lark, 1, message);
    if (k->matcher) {
        if (s)
            names_take(k, s);
        k->state = CONSTRAINT_READY;
        return 0;
    }
    (void)snprintf(fault.message, sizeof fault.message, "The schema cannot be followed: %.180s.",
                   message);
    if (s)
        leaf_blame(k->all, s, &fault);
    return refuse(k, member, &fault);
}

static int compile_enum(struct constraint *k, const struct request *r)
{
    const struct generation *g = &r->generation;
    yyjson_val *values = request_field(g->schema ? g->schema : g->json_schema, "enum");
    struct buf lark = BUF_INIT(SCHEMA_GRAMMAR_BYTES_MAX);
    struct schema_fault fault = { 0 };

    if (schema_enum_grammar(values, &lark, &fault)) {
        int rc = compile_text(k, member_of(r), NULL, lark.p);
        buf_release(&lark);
        return rc;
    }
    buf_release(&lark);
    return refuse(k, member_of(r), &fault);
}

static int compile_json(struct constraint *k, const struct request *r)
{
    const struct generation *g = &r->generation;
    struct arena arena = { 0 };
    struct schema_fault fault = { 0 };
    struct error e = { 0 };
    struct buf lark = BUF_INIT(SCHEMA_GRAMMAR_BYTES_MAX);
    yyjson_val *written = g->json_schema ? g->json_schema : g->schema;
    size_t at;
    int rc = -1;

    if (!written)
        written = json_parse(&arena, STR("{}"), &at, &e);
    struct schema *s =
        schema_read(written, g->json_schema || !g->schema ? SCHEMA_JSON : SCHEMA_GOOGLE,
                    SCHEMA_GRAMMAR, &fault);
    if (s && schema_grammar(s, &lark, &fault))
        rc = compile_text(k, member_of(r), s, lark.p);
    else
        rc = refuse(k, member_of(r), &fault);
    schema_free(s);
    buf_release(&lark);
    arena_release(&arena);
    return rc;
}

static int compile_calls(struct constraint *k, const struct request *r)
{
    struct buf lark = BUF_INIT(SCHEMA_GRAMMAR_BYTES_MAX);
    struct call_names names = { 0 };
    struct schema_fault fault;
    int rc;

    if (call_grammar_write(r, k->all->calls, &k->arena, &lark, &names, &fault)) {
        k->limits_names = names.limited;
        k->name = names.name;
        k->name_count = names.count;
        rc = compile_text(k, "tools", NULL, lark.p);
    } else {
        rc = refuse(k, "", &fault);
    }
    buf_release(&lark);
    return rc;
}

struct compilation {
    struct constraint *k;
    const struct request *r;
};

static void *compile_main(void *arg)
{
    const struct compilation *job = arg;
    struct schema_fault fault;

    if (tokenizer_open(job->k->all, &fault) < 0)
        (void)refuse(job->k, member_of(job->r), &fault);
    else if (job->k->kind == CONSTRAINT_CALLS)
        (void)compile_calls(job->k, job->r);
    else
        (void)(job->k->kind == CONSTRAINT_ENUM ? compile_enum(job->k, job->r)
                                               : compile_json(job->k, job->r));
    return NULL;
}

/* On a stack that is large enough for a deep schema whoever calls. */
static void compile(struct constraint *k, const struct request *r)
{
    static const struct schema_fault none = { "", "No thread could be started to read the schema.",
                                              "Try again." };
    struct compilation job = { k, r };
    pthread_attr_t attr;
    pthread_t thread;

    (void)pthread_attr_init(&attr);
    (void)pthread_attr_setstacksize(&attr, CONSTRAINT_STACK_BYTES);
    if (pthread_create(&thread, &attr, compile_main, &job) == 0)
        thread_join(thread);
    else
        (void)refuse(k, member_of(r), &none);
    (void)pthread_attr_destroy(&attr);
}

/* ---- The list ---- */

static void release_locked(struct constraint *k)
{
    assert(k->references > 0);
    if (--k->references == 0)
        constraint_free(k);
}

void constraint_release(struct constraint *k)
{
    if (!k)
        return;
    struct constraints *c = k->all;
    lock(&c->lock);
    release_locked(k);
    unlock(&c->lock);
}

/* Under the lock: a place in the list, taken from the least recently used when it is full. An entry
 * that is being compiled stays. */
static void list_add(struct constraints *c, struct constraint *k)
{
    uint32_t at = 0;

    if (c->count < CONSTRAINTS_MAX) {
        c->item[c->count++] = k;
        return;
    }
    for (uint32_t i = 1; i < c->count; i++)
        if (c->item[i]->state != CONSTRAINT_COMPILING &&
            (c->item[at]->state == CONSTRAINT_COMPILING || c->item[i]->used < c->item[at]->used))
            at = i;
    release_locked(c->item[at]);
    c->item[at] = k;
}

static struct constraint *find(struct constraints *c, const struct request *r, struct str source)
{
    enum constraint_kind kind = kind_of(r);
    bool google = r->generation.schema != NULL;

    for (uint32_t i = 0; i < c->count; i++)
        if (c->item[i]->kind == kind && c->item[i]->google == google &&
            str_eq(buf_str(&c->item[i]->source), source))
            return c->item[i];
    return NULL;
}

/* Under the lock, which it gives up while it compiles: the constraint of this source, compiled. */
static struct constraint *compiled_of(struct constraints *c, const struct request *r,
                                      struct str source)
{
    struct constraint *k = find(c, r, source);

    if (k) {
        k->references++;
        while (k->state == CONSTRAINT_COMPILING)
            cond_wait(&c->done, &c->lock);
    } else {
        k = mem_alloc(sizeof *k);
        *k = (struct constraint){ .all = c,
                                  .kind = kind_of(r),
                                  .google = r->generation.schema != NULL,
                                  .source = BUF_INIT(SCHEMA_BYTES_MAX),
                                  .references = 2 };
        lock_init(&k->cloning);
        buf_add_str(&k->source, source);
        list_add(c, k);
        unlock(&c->lock);
        compile(k, r);
        lock(&c->lock);
        cond_broadcast(&c->done);
    }
    k->used = ++c->uses;
    return k;
}

static int too_large(const struct request *r, struct violation *why)
{
    *why = (struct violation){ .message = "The schema is over 256 KiB.",
                               .remedy = "Write a smaller schema." };
    (void)snprintf(why->path, sizeof why->path, "%s",
                   kind_of(r) == CONSTRAINT_CALLS ? "tools" : member_of(r));
    return -1;
}

/* Under the lock: hands a compiled one over, or why it was refused. */
static int hand_over(struct constraint *k, struct constraint **out, struct violation *why)
{
    if (k->state == CONSTRAINT_READY) {
        *out = k;
        return 0;
    }
    *why = k->why;
    release_locked(k);
    return -1;
}

static struct str source_of(const struct request *r, struct arena *a)
{
    const struct generation *g = &r->generation;
    yyjson_val *written = g->json_schema ? g->json_schema : g->schema;

    if (kind_of(r) == CONSTRAINT_CALLS) {
        struct str tools = json_text(a, r->tools);
        yyjson_val *allowed = function_choice_of(r).allowed;
        struct str names = allowed ? json_text(a, allowed) : STR("");
        return str_of(arena_textf(a, "%.*s %.*s", STR_ARG(tools), STR_ARG(names)));
    }
    return written ? json_text(a, written) : STR("");
}

int constraint_of(struct constraints *c, const struct request *r, struct constraint **out,
                  struct violation *why)
{
    struct arena arena = { 0 };
    int rc;

    *out = NULL;
    if (kind_of(r) == CONSTRAINT_NONE)
        return 0;
    struct str source = source_of(r, &arena);
    if (source.len > SCHEMA_BYTES_MAX) {
        rc = too_large(r, why);
    } else {
        lock(&c->lock);
        rc = hand_over(compiled_of(c, r, source), out, why);
        unlock(&c->lock);
    }
    arena_release(&arena);
    return rc;
}

bool constraint_known(struct constraints *c, const struct request *r, struct constraint **out,
                      struct violation *why, int *rc)
{
    struct arena arena = { 0 };
    bool known = true;

    *out = NULL;
    *rc = 0;
    if (kind_of(r) == CONSTRAINT_NONE)
        return true;
    lock(&c->lock);
    struct constraint *k = find(c, r, source_of(r, &arena));
    if (!k || k->state == CONSTRAINT_COMPILING) {
        known = false;
    } else {
        k->references++;
        k->used = ++c->uses;
        *rc = hand_over(k, out, why);
    }
    unlock(&c->lock);
    arena_release(&arena);
    return known;
}
