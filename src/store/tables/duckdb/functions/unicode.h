/* unicode.h -- characters of UTF-8: stepping, case, normal forms.
 *
 * Shape:   a character is a code point. Texts from DuckDB are valid UTF-8.
 * Errors:  normal forms and case folding need a part of DuckDB's library that is not of its C API; without it
 *          unicode_map fails and case is that of ASCII.
 * Threads: none.
 * Source:  Unicode 15; utf8proc, which DuckDB brings along.
 */
#ifndef TRANCHE_STORE_TABLES_DUCKDB_FUNCTIONS_UNICODE_H
#define TRANCHE_STORE_TABLES_DUCKDB_FUNCTIONS_UNICODE_H

#include "store/tables/duckdb/functions/call.h"

#define UNICODE_MAX 0x10FFFF

/* The character at *at, which goes behind it. There must be one. */
uint32_t unicode_next(struct str s, size_t *at);
size_t unicode_count(struct str s);
/* The byte where character n (from 0) begins; s.len when there are fewer. */
size_t unicode_offset(struct str s, size_t n);
/* False: no code point of text (a surrogate, too large). */
bool unicode_add(struct buf *out, uint32_t character);
/* A position is of characters or bytes. */
struct units {
    size_t (*count)(struct str s);
    size_t (*offset)(struct str s, size_t n);
};
extern const struct units units_characters, units_bytes;

bool unicode_space(uint32_t character);

void unicode_upper(const struct duckdb_library *d, struct str s, struct buf *out);
void unicode_lower(const struct duckdb_library *d, struct str s, struct buf *out);

enum unicode_form { UNICODE_NFC, UNICODE_NFKC, UNICODE_NFD, UNICODE_NFKD };
/* In a normal form, with fold also without case. False: not available. */
bool unicode_map(const struct duckdb_library *d, struct str s, enum unicode_form form, bool fold,
                 struct buf *out);

#endif
