/* grammar.h -- rules of a grammar while they are made from a schema. Nothing outside format/schema
 * includes it.
 *
 * Why: what may stand at one place of an answer is decided by all schemas that hold there at once (a
 * reference with siblings, allOf, a property and additionalProperties). So the rules are made for sets of
 * schemas, each set once: then recursion ends, and a schema that refers to another 2^40 ways has as many
 * rules as it has schemas.
 *
 * Shape:   a rule is alternatives, an alternative is symbols: a piece of Lark text, a rule, or a rule
 *          repeated with ", " before each. Rule GRAMMAR_NOTHING has no alternatives: no text.
 * Steps:   1. state_rule: a set of schemas -> its rule, found or new (grammar.c)
 *          2. alternatives of each state: values and choices (grammar_choice.c), then by type
 *             (grammar_scalar.c, grammar_object.c, grammar_names.c)
 *          3. rules without any finite text are left out; the rest is printed (grammar_print.c)
 */
#ifndef TRANCHE_FORMAT_SCHEMA_GRAMMAR_H
#define TRANCHE_FORMAT_SCHEMA_GRAMMAR_H

#include "format/schema/keyword.h"
#include "format/schema/node.h"

#define GRAMMAR_NOTHING 0
#define GRAMMAR_NO_LIMIT UINT32_MAX

enum symbol_kind { SYMBOL_TEXT, SYMBOL_RULE, SYMBOL_REPEAT };
struct symbol {
    enum symbol_kind kind;
    struct str text;
    uint32_t rule;
    uint32_t least, most; /* of REPEAT */
};

struct alternative {
    struct symbol *symbol;
    uint32_t count;
};

struct rule {
    struct alternative *alternative;
    uint32_t count;
    bool productive, reached;
};

/* A schema of a set, and which of its combinations are in the set already. */
struct conjunct {
    uint32_t node;
    uint32_t done; /* CONJUNCT_* bits */
};
enum { CONJUNCT_REF = 1, CONJUNCT_ALL = 2, CONJUNCT_ANY = 4, CONJUNCT_ONE = 8 };

struct conjuncts {
    struct conjunct *item;
    uint32_t count;
};

struct state {
    struct conjuncts set;
    uint32_t rule;
};

/* A hash table of indexes. */
struct table {
    struct table_slot *slot;
    uint32_t cap, count;
};

struct grammar {
    struct schema *s;                        /* its list of leaves grows */
    uint32_t rules_before, terminals_before; /* numbers that parts before this one have */
    bool whole;                              /* the text begins with the rule start */
    struct arena arena;
    struct rule *rule;
    uint32_t rule_count;
    struct state *state;
    uint32_t state_count;
    struct definition *terminal, *leaf;
    uint32_t terminal_count, leaf_count;
    uint32_t
        range_count; /* of the terminals: bounded integers, each of which costs as much as a leaf */
    struct table state_table, terminal_table, leaf_table; /* by set; by text */
    uint64_t steps;                                       /* of checks and comparisons, left */
    double remainders;                                    /* that multiples count, together */
    bool full;                                            /* a rule or state had no room */
    bool refused;                                         /* why has the reason */
    struct schema_fault *why;
    struct schema_fault dead;  /* why the first set without a value has none */
    struct schema_fault never; /* the first `false`, which explains when nothing else does */
};

/* Takes steps from those that the grammar may cost. False when none are left. */
bool grammar_steps(struct grammar *g, uint64_t count);

void table_add(struct arena *a, struct table *t, uint64_t hash, uint32_t index);
/* The next index of that hash; *at is 0 before the first. False when there is none. */
bool table_next(const struct table *t, uint64_t hash, uint32_t *at, uint32_t *index);

/* Sets the fault at a keyword of a node. Returns -1. */
int grammar_fault(struct grammar *g, uint32_t node, const char *keyword, const char *message,
                  const char *remedy);
/* Notes that no value meets these: the first note explains a schema that nothing matches. */
void grammar_dead(struct grammar *g, uint32_t node, const char *keyword, const char *message);

uint32_t rule_new(struct grammar *g); /* GRAMMAR_NOTHING when there are too many: `full` is set */
void rule_add(struct grammar *g, uint32_t rule, const struct symbol *symbol, uint32_t count);
struct symbol symbol_text(struct grammar *g, struct str text);     /* copies it */
struct symbol symbol_literal(struct grammar *g, struct str bytes); /* quoted for Lark */
struct symbol symbol_rule(uint32_t rule);
/* The terminal with this definition, such as "/a+/ | \"b\"". */
struct symbol symbol_terminal(struct grammar *g, struct str definition);
/* A rule that is a small JSON Schema of its own. node and keyword: for its path. The grammar is refused when
 * there are too many. */
struct symbol symbol_leaf(struct grammar *g, struct str json, uint32_t node, const char *keyword);
/* False when leaves and ranges are too many: the grammar is refused. */
bool leaves_have_room(struct grammar *g, uint32_t node, const char *keyword);
void lark_quote(struct buf *out, struct str bytes);

void conjuncts_add(struct grammar *g, struct conjuncts *set, uint32_t node, uint32_t done);
/* The rule of a set of schemas; GRAMMAR_NOTHING when no value meets them. */
uint32_t state_rule(struct grammar *g, const struct conjuncts *set);

/* One terminal of the values of `from`'s list that meet the whole set. -1 with the fault. */
int grammar_values(struct grammar *g, const struct conjuncts *set, uint32_t rule,
                   const struct schema_node *from);
/* An alternative for each choice of the conjunct at an index: the set with that schema in it. bit: CONJUNCT_ANY
 * or CONJUNCT_ONE. -1 with the fault. */
int grammar_choice(struct grammar *g, const struct conjuncts *set, uint32_t rule, uint32_t at,
                   uint32_t bit);
/* The alternatives of one type, for a set without values and choices. -1 with the fault. */
int grammar_number(struct grammar *g, const struct conjuncts *set, uint32_t rule, bool integer);
int grammar_string(struct grammar *g, const struct conjuncts *set, uint32_t rule);
int grammar_array(struct grammar *g, const struct conjuncts *set, uint32_t rule);
int grammar_object(struct grammar *g, const struct conjuncts *set, uint32_t rule);

/* An object's members, as all schemas of a set declare them. */
struct objects {
    struct str name[SCHEMA_PROPERTIES_MAX];
    uint32_t count, required; /* names, and how many of them must be there */
    uint64_t least, most;     /* properties */
    const struct pattern *pattern[SCHEMA_KEY_PATTERNS_MAX];
    uint32_t pattern_count;
    unsigned listed; /* set of the patterns whose names are all among `name` */
    bool extra;      /* others than the declared may be there */
};

/* Members that nobody declared. */
struct other_members {
    uint32_t rule;  /* of one; GRAMMAR_NOTHING when there can be none */
    uint64_t names; /* different ones that are sure to be possible; UINT64_MAX without patterns */
};
/* -1 with the fault. */
int grammar_other_members(struct grammar *g, const struct conjuncts *set, const struct objects *o,
                          struct other_members *out);

/* Drops what has no finite text and prints the rest. False when nothing is left of `start`. */
bool grammar_print(struct grammar *g, uint32_t start, struct buf *out);

#endif
