#include "predict/local/encoder/wordpiece.h"

#include <string.h>

#include "base/mem.h"

#define WORD_CHARACTERS_MAX 100 /* a longer word is unknown */
#define WORD_BYTES_MAX ((size_t)WORD_CHARACTERS_MAX * 4)
#define PIECE_BYTES_MAX 256
#define VOCABULARY_MAX (1u << 22)
#define FIRST_MARK "\xe2\x96\x81" /* in the file, at pieces that begin a word */

/* ---- Characters ---- */

struct letters {
    uint32_t first, last;
};
struct letter_run {
    uint32_t first, last, stride;
    int32_t delta;
};
struct letter_parts {
    uint32_t letter, part[3]; /* 0: no more */
};
#include "predict/local/encoder/word_letters.inc"

static bool is_in(const struct letters *list, size_t count, uint32_t c)
{
    size_t low = 0, high = count;

    while (low < high) {
        size_t middle = (low + high) / 2;
        if (list[middle].last < c)
            low = middle + 1;
        else
            high = middle;
    }
    return low < count && list[low].first <= c;
}
#define IS_IN(list, c) is_in(list, ARRAY_LEN(list), c)

static uint32_t lower_of(uint32_t c)
{
    size_t low = 0, high = ARRAY_LEN(lower);

    while (low < high) {
        size_t middle = (low + high) / 2;
        if (lower[middle].last < c)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == ARRAY_LEN(lower) || lower[low].first > c ||
        (c - lower[low].first) % lower[low].stride)
        return c;
    return (uint32_t)((int32_t)c + lower[low].delta);
}

/* The parts of a Korean syllable; the third may be 0. Unicode Standard, section 3.12. */
static bool syllable_parts(uint32_t c, uint32_t part[3])
{
    const uint32_t first = 0xac00, vowels = 21, tails = 28;
    uint32_t at = c - first;

    if (c < first || c > 0xd7a3)
        return false;
    part[0] = 0x1100 + at / (vowels * tails);
    part[1] = 0x1161 + at % (vowels * tails) / tails;
    part[2] = at % tails ? 0x11a7 + at % tails : 0;
    return true;
}

static bool letter_parts_of(uint32_t c, uint32_t part[3])
{
    for (size_t i = 0; i < ARRAY_LEN(parts); i++)
        if (parts[i].letter == c) {
            memcpy(part, parts[i].part, sizeof parts[i].part);
            return true;
        }
    return syllable_parts(c, part);
}

/* The character at the beginning of s, at least one byte of it taken; 0 for an invalid byte. */
static uint32_t next_character(struct str *s)
{
    static const uint8_t mask[] = { 0x7f, 0, 0x1f, 0x0f, 0x07 };
    uint8_t head = (uint8_t)s->p[0];
    size_t len = head < 0x80   ? 1
                 : head < 0xc2 ? 0
                 : head < 0xe0 ? 2
                 : head < 0xf0 ? 3
                 : head < 0xf5 ? 4
                               : 0;
    uint32_t c = len ? head & mask[len == 1 ? 0 : len] : 0;

    if (len > s->len)
        len = 0;
    for (size_t i = 1; i < len; i++) {
        uint8_t more = (uint8_t)s->p[i];
        if ((more & 0xc0) != 0x80) {
            len = 0;
            break;
        }
        c = c << 6 | (more & 0x3f);
    }
    s->p += len ? len : 1;
    s->len -= len ? len : 1;
    return len ? c : 0;
}

/* ---- The vocabulary ---- */

/* Pieces by hash: those that begin a word and those that go on, apart. */
struct entry {
    uint64_t hash;
    int32_t token; /* -1: free */
};
struct control {
    char text[16];
    int32_t token;
};
struct wordpiece {
    struct entry *entry; /* [mask + 1] */
    uint64_t mask;
    uint32_t count;
    size_t piece_bytes_max;
    int32_t unknown, begin, end;
    struct control control[5];
    uint32_t control_count;
};

#define HASH_FIRST 0x9e3779b97f4a7c15ULL
#define HASH_MORE 0xc2b2ae3d27d4eb4fULL

/* A piece is known by its hash alone: that two of some ten thousand share one of 64 bits happens once in ten
 * thousand million vocabularies, and that a word's part looks like a piece that it is not, as rarely. */
static uint64_t hash_byte(uint64_t hash, char byte)
{
    hash = (hash ^ (uint8_t)byte) * 0xff51afd7ed558ccdULL;
    return hash ^ hash >> 29;
}

static struct entry *find(const struct wordpiece *w, uint64_t hash)
{
    uint64_t at = (hash ^ hash >> 32) & w->mask;

    while (w->entry[at].token >= 0 && w->entry[at].hash != hash)
        at = (at + 1) & w->mask;
    return &w->entry[at];
}

static void add_piece(struct wordpiece *w, const char *text, int32_t token)
{
    size_t mark = strlen(FIRST_MARK), len = strlen(text);
    bool begins = strncmp(text, FIRST_MARK, mark) == 0;
    uint64_t hash = begins ? HASH_FIRST : HASH_MORE;

    if (begins) {
        text += mark;
        len -= mark;
    }
    if (len == 0 || len > PIECE_BYTES_MAX)
        return;
    for (size_t i = 0; i < len; i++)
        hash = hash_byte(hash, text[i]);
    struct entry *entry = find(w, hash);
    if (entry->token < 0)
        *entry = (struct entry){ hash, token };
    w->piece_bytes_max = len > w->piece_bytes_max ? len : w->piece_bytes_max;
}

static int32_t token_by_key(const struct gguf_context *file, const char *key, int32_t otherwise)
{
    int64_t at = gguf_find_key(file, key);

    if (at < 0 || gguf_get_kv_type(file, at) != GGUF_TYPE_UINT32)
        return otherwise;
    return (int32_t)gguf_get_val_u32(file, at);
}

static int read_pieces(struct wordpiece *w, const struct gguf_context *file, int64_t tokens)
{
    static const char *const names[] = { "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]" };
    uint64_t cap = 1;

    while (cap < 2ULL * w->count)
        cap *= 2;
    w->mask = cap - 1;
    w->entry = mem_array(cap, sizeof *w->entry);
    for (uint64_t i = 0; i < cap; i++)
        w->entry[i].token = -1;
    for (uint32_t i = 0; i < w->count; i++) {
        const char *text = gguf_get_arr_str(file, tokens, i);
        bool is_control = false;
        for (size_t k = 0; k < ARRAY_LEN(names) && !is_control; k++)
            is_control = strcmp(text, names[k]) == 0;
        if (!is_control)
            add_piece(w, text, (int32_t)i);
        else if (w->control_count < ARRAY_LEN(w->control)) {
            struct control *c = &w->control[w->control_count++];
            memcpy(c->text, text, strlen(text) + 1);
            c->token = (int32_t)i;
        }
    }
    return w->unknown >= 0 && (uint32_t)w->unknown < w->count && (uint32_t)w->begin < w->count &&
                   (uint32_t)w->end < w->count
               ? 0
               : -1;
}

struct wordpiece *wordpiece_open(const struct gguf_context *file, struct error *e)
{
    int64_t kind = gguf_find_key(file, "tokenizer.ggml.model");
    int64_t tokens = gguf_find_key(file, "tokenizer.ggml.tokens");

    if (kind < 0 || gguf_get_kv_type(file, kind) != GGUF_TYPE_STRING ||
        strcmp(gguf_get_val_str(file, kind), "bert") != 0) {
        (void)error_set(e, ERROR_UNIMPLEMENTED, "a vocabulary that is not BERT's");
        return NULL;
    }
    if (tokens < 0 || gguf_get_kv_type(file, tokens) != GGUF_TYPE_ARRAY ||
        gguf_get_arr_type(file, tokens) != GGUF_TYPE_STRING ||
        gguf_get_arr_n(file, tokens) > VOCABULARY_MAX) {
        (void)error_set(e, ERROR_FAILED_PRECONDITION, "the vocabulary is damaged");
        return NULL;
    }
    struct wordpiece *w = mem_alloc(sizeof *w);
    w->count = (uint32_t)gguf_get_arr_n(file, tokens);
    w->unknown = token_by_key(file, "tokenizer.ggml.unknown_token_id", 100);
    w->begin = token_by_key(file, "tokenizer.ggml.cls_token_id",
                            token_by_key(file, "tokenizer.ggml.bos_token_id", 101));
    w->end = token_by_key(file, "tokenizer.ggml.seperator_token_id", 102);
    if (read_pieces(w, file, tokens) == 0)
        return w;
    wordpiece_free(w);
    (void)error_set(e, ERROR_FAILED_PRECONDITION, "the vocabulary is damaged");
    return NULL;
}

void wordpiece_free(struct wordpiece *w)
{
    if (!w)
        return;
    mem_free(w->entry);
    mem_free(w);
}

uint32_t wordpiece_count(const struct wordpiece *w)
{
    return w->count;
}

/* ---- Words ---- */

/* The word that is read, in the vocabulary's letters. */
struct word {
    const struct wordpiece *w;
    struct tokens *out;
    size_t len, characters; /* characters beyond WORD_CHARACTERS_MAX are counted only */
    char text[WORD_BYTES_MAX];
    uint64_t hash[PIECE_BYTES_MAX]; /* scratch: hashes of a piece's beginnings */
};

/* The longest piece of the word at `at`; its length in *taken. -1: none. */
static int32_t longest_piece(struct word *d, uint64_t hash, size_t at, size_t *taken)
{
    size_t len = d->len - at, most = len < d->w->piece_bytes_max ? len : d->w->piece_bytes_max;

    for (size_t i = 0; i < most; i++)
        d->hash[i] = hash = hash_byte(hash, d->text[at + i]);
    for (size_t i = most; i > 0; i--) {
        const struct entry *entry = find(d->w, d->hash[i - 1]);
        if (entry->token >= 0) {
            *taken = i;
            return entry->token;
        }
    }
    return -1;
}

static void end_word(struct word *d)
{
    const uint32_t before = d->out->count;
    uint64_t hash = HASH_FIRST;
    size_t taken = 0;
    bool known = d->characters <= WORD_CHARACTERS_MAX;

    for (size_t at = 0; at < d->len && known; at += taken, hash = HASH_MORE) {
        int32_t token = longest_piece(d, hash, at, &taken);
        known = token >= 0;
        if (known)
            tokens_add(d->out, token);
    }
    if (!known) { /* one unknown piece makes the word unknown */
        d->out->count = before;
        tokens_add(d->out, d->w->unknown);
    }
    d->len = d->characters = 0;
}

static void put_utf8(struct word *d, uint32_t c)
{
    if (d->characters++ >= WORD_CHARACTERS_MAX)
        return;
    if (c < 0x80) {
        d->text[d->len++] = (char)c;
        return;
    }
    int more = c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
    static const uint8_t head[] = { 0, 0xc0, 0xe0, 0xf0 };
    d->text[d->len++] = (char)(head[more] | c >> 6 * more);
    while (more--)
        d->text[d->len++] = (char)(0x80 | (c >> 6 * more & 0x3f));
}

/* A letter in lower case; a mark is a word. */
static void put(struct word *d, uint32_t c)
{
    bool mark = IS_IN(marks, c);

    if (mark && d->characters)
        end_word(d);
    put_utf8(d, c);
    if (mark)
        end_word(d);
}

static void put_any(struct word *d, uint32_t c)
{
    uint32_t part[3];
    bool alone = c >= 0x3400 && IS_IN(words, c);

    if (c == 0 || IS_IN(dropped, c))
        return;
    if (alone || IS_IN(spaces, c)) {
        if (d->characters)
            end_word(d);
        if (!alone)
            return;
    }
    if (letter_parts_of(c, part))
        for (size_t i = 0; i < ARRAY_LEN(part) && part[i]; i++)
            put(d, part[i]);
    else
        put(d, lower_of(c));
    if (alone)
        end_word(d);
}

/* The same for ASCII, which most texts are. */
static void put_ascii(struct word *d, char c)
{
    if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'))
        put_utf8(d, (uint32_t)c);
    else if (c >= 'A' && c <= 'Z')
        put_utf8(d, (uint32_t)(c - 'A' + 'a'));
    else if (c == ' ' || c == '\n' || c == '\t' || c == '\r') {
        if (d->characters)
            end_word(d);
    } else if (c > ' ' && c < 0x7f) {
        if (d->characters)
            end_word(d);
        put_utf8(d, (uint32_t)c);
        end_word(d);
    }
}

/* A control token that the text spells here. */
static const struct control *control_at(const struct wordpiece *w, struct str text)
{
    for (uint32_t i = 0; i < w->control_count; i++)
        if (str_starts(text, str_of(w->control[i].text)))
            return &w->control[i];
    return NULL;
}

void wordpiece_tokens(const struct wordpiece *w, struct str text, struct tokens *out)
{
    struct word d = { .w = w, .out = out };

    tokens_add(out, w->begin);
    while (text.len) {
        const struct control *control = text.p[0] == '[' ? control_at(w, text) : NULL;
        if (control) {
            if (d.characters)
                end_word(&d);
            tokens_add(out, control->token);
            text = str_sub(text, strlen(control->text), text.len);
        } else if ((uint8_t)text.p[0] < 0x80) {
            put_ascii(&d, text.p[0]);
            text.p++;
            text.len--;
        } else {
            put_any(&d, next_character(&text));
        }
    }
    if (d.characters)
        end_word(&d);
    tokens_add(out, w->end);
}
