/* str.h -- byte strings: `struct str` looks at bytes, `struct buf` owns them and has a maximum.
 *
 * Why: nothing that comes from outside is a C string. Lengths travel with pointers, and whatever
 * grows has a named bound, so that no input can make a buffer unbounded.
 *
 * Shape:   str never owns and need not end in NUL. buf always holds a NUL after its bytes (not
 *          counted in len) once something was appended.
 * Errors:  an append that would pass max sets buf.overflow, appends nothing, and all later appends
 *          do nothing; the writer checks once at the end with buf_ok().
 * Threads: none.
 */
#ifndef TRANCHE_BASE_STR_H
#define TRANCHE_BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct str {
    const char *p;
    size_t len;
};

#define STR(literal) ((struct str){ "" literal, sizeof(literal) - 1 })
#define STR_INIT(literal)                                                                          \
    {                                                                                              \
        "" literal, sizeof(literal) - 1                                                            \
    } /* for static tables */
/* For printf's "%.*s"; the length is cut to int. */
#define STR_ARG(s) (int)((s).len > 0x7fffffff ? 0x7fffffff : (s).len), ((s).p ? (s).p : "")

struct str str_of(const char *cstr); /* NULL gives the empty str */
bool str_eq(struct str a, struct str b);
bool str_eq_c(struct str a, const char *cstr);
int str_cmp(struct str a, struct str b); /* bytewise, shorter first */
bool str_starts(struct str s, struct str prefix);
bool str_ends(struct str s, struct str suffix);
struct str str_sub(struct str s, size_t from, size_t len); /* clamped to s */
struct str str_trim(struct str s);                         /* of space, tab, CR, LF at both ends */
/* Position of needle in s, or SIZE_MAX. An empty needle is at 0. */
size_t str_find(struct str s, struct str needle);
/* Bytes of a prefix of s that are ASCII and stand in a JSON string without an escape. */
size_t str_json_plain(struct str s);
/* Bytes of the longest prefix of s that is valid UTF-8 (Unicode 15, table 3-7). */
size_t str_utf8_valid(struct str s);
/* The longest start of s of at most `max` bytes that does not split a character. */
struct str str_cut(struct str s, size_t max);
/* Makes valid UTF-8 of what snprintf wrote: `n` is its result, `cap` the size of text. A character that the
 * end splits is dropped; every other byte that is not UTF-8 becomes '?'. */
void str_settle(char *text, int n, size_t cap);
/* Takes the piece before the next separator off *rest; false when nothing is left. "a,,b" has three
 * pieces, a separator at the end begins none. */
bool str_next(struct str *rest, char separator, struct str *piece);
/* The part after the last c; all of s when there is none. */
struct str str_after_last(struct str s, char c);
/* Shell-like match of a whole name: '*' any run, '?' one byte, all else itself. */
bool str_glob(const char *pattern, const char *name);
/* Digits in base 10 and nothing else, at least one; false otherwise, or when the type cannot hold it. */
bool str_number(struct str s, uint64_t *out);
bool str_number_in(struct str s, uint64_t min, uint64_t max, uint64_t *out); /* min <= it <= max */
/* Two lower-case digits a byte and a NUL: out has room for 2 * len + 1. */
void str_hex(const void *p, size_t len, char *out);
/* Edits (insert, delete, replace a byte, swap neighbours) between a and b; more than limit gives
 * limit + 1. Strings over 64 bytes count as different. */
unsigned str_distance(struct str a, struct str b, unsigned limit);

struct buf {
    char *p;       /* NULL while empty */
    size_t len;    /* bytes written */
    size_t cap;    /* bytes allocated */
    size_t max;    /* len never passes this */
    bool overflow; /* an append was refused */
};

#define BUF_INIT(max_bytes) ((struct buf){ .max = (max_bytes) })

void buf_add(struct buf *b, const void *p, size_t len);
/* Appends len bytes that the caller writes at once; NULL when they do not fit. */
char *buf_extend(struct buf *b, size_t len);
void buf_add_str(struct buf *b, struct str s);
void buf_add_c(struct buf *b, const char *cstr);
void buf_add_char(struct buf *b, char c);
void buf_addf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* A JSON string with its quotes: what JSON must escape is escaped, invalid UTF-8 becomes U+FFFD. */
void buf_add_json(struct buf *b, struct str s);
void buf_add_json_inside(struct buf *b, struct str s); /* the same without the quotes */
/* Text for a terminal or a line of a log, which nothing in it can steer or forge: a control character
 * (C0, DEL, C1) and a byte that is not UTF-8 become '?', or a \u escape when `escaped`. */
void buf_add_plain(struct buf *b, struct str s, bool escaped);
/* The shortest decimal that reads back as the same double; not finite gives null. */
void buf_add_double(struct buf *b, double v);
void buf_clear(struct buf *b);   /* forgets the bytes and the overflow, keeps the memory */
void buf_release(struct buf *b); /* frees; the buffer is then empty and usable */
bool buf_ok(const struct buf *b);
struct str buf_str(const struct buf *b);

#endif
