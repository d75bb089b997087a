/* SPDX-License-Identifier: Apache-2.0 */
#include "text/pattern.h"

#include <string.h>
#include <utf8proc.h>

enum {
    MAX_BYTES = 1024,  // of a pattern: also bounds the depth of matching
    MAX_DEPTH = 16,    // of groups
    MAX_REPEATED = 3,  // repetitions without a bound that one way through the pattern has
    MAX_OPTIONAL = 8,  // with those that have one
    MAX_COUNT = 1000,  // of {m,n}
    ITEMS_OF_CHAR = 3, // at most: both cases and a character that folds to them
};

#define NONE     SIZE_MAX
#define NO_LIMIT SIZE_MAX

/* Code points from first to last, or those with a property: 's' \s, 'w' \w, or a category ("L", "Lu"). */
struct item {
    uint32_t first, last;
    char property[3];
    bool negated;
};

enum node_kind { NODE_SET, NODE_GROUP, NODE_AHEAD, NODE_NOT_AHEAD };

struct node {
    enum node_kind kind;
    const struct node *next;     // what follows
    size_t least, most;          // repetitions
    bool lazy, possessive;       //
    const struct item *items;    // (count) of a set
    size_t count;                //
    bool negated;                //
    const struct node **choices; // (count) of a group: their first nodes, NULL where one is empty
};

struct espi_pattern {
    struct node root; // a group
    uint32_t first;   // what every match begins with, or 0: not one character
};

/* ---- matching --------------------------------------------------------------------------------------------------------- */

static bool has_property(const struct item *item, uint32_t code)
{
    if (item->property[0] == 's')
        return espi_char_is(ESPI_CHAR_SPACE, code);
    const char *category = utf8proc_category_string((utf8proc_int32_t)code);
    if (item->property[0] == 'w')
        return strchr("LMN", category[0]) || memcmp(category, "Pc", 2) == 0;
    return category[0] == item->property[0] && (!item->property[1] || category[1] == item->property[1]);
}

static bool in_set(const struct node *set, uint32_t code)
{
    for (size_t i = 0; i < set->count; i++) {
        const struct item *item = &set->items[i];
        bool in = item->property[0] ? has_property(item, code) : code >= item->first && code <= item->last;
        if (in != item->negated)
            return !set->negated;
    }
    return set->negated;
}

/* What follows when a group has matched. */
struct frame {
    const struct node *node;
    const struct frame *up;
};

struct text {
    const struct espi_unit *units;
    size_t end;
};

static size_t match(const struct text *text, const struct node *node, size_t at, const struct frame *up);

static size_t match_set(const struct text *text, const struct node *set, size_t at, const struct frame *up)
{
    size_t count = 0, most = set->lazy ? set->least : set->most;
    while (count < most && at + count < text->end && in_set(set, text->units[at + count].code))
        count++;
    if (count < set->least)
        return NONE;
    for (;;) {
        size_t end = match(text, set->next, at + count, up);
        if (end != NONE || set->possessive)
            return end;
        if (!set->lazy) {
            if (count-- == set->least)
                return NONE;
        } else if (count++ == set->most || at + count > text->end || !in_set(set, text->units[at + count - 1].code)) {
            return NONE;
        }
    }
}

static size_t match_choices(const struct text *text, const struct node *group, size_t at, const struct frame *up)
{
    size_t end = NONE;
    for (size_t i = 0; i < group->count && end == NONE; i++)
        end = match(text, group->choices[i], at, up);
    return end;
}

/* Where the pattern ends that goes on with `node` at `at`, or NONE. */
static size_t match(const struct text *text, const struct node *node, size_t at, const struct frame *up)
{
    if (!node)
        return up ? match(text, up->node, at, up->up) : at;
    if (node->kind == NODE_SET)
        return match_set(text, node, at, up);
    if (node->kind == NODE_GROUP) {
        const struct frame frame = {node->next, up};
        size_t end = node->lazy ? match(text, node->next, at, up) : NONE;
        if (end == NONE)
            end = match_choices(text, node, at, &frame);
        return end == NONE && !node->least && !node->lazy ? match(text, node->next, at, up) : end;
    }
    bool found = match_choices(text, node, at, NULL) != NONE;
    return found == (node->kind == NODE_AHEAD) ? match(text, node->next, at, up) : NONE;
}

bool espi_pattern_find(const struct espi_pattern *pattern, const struct espi_unit *units, size_t at, size_t end,
                       size_t *begin, size_t *stop)
{
    const struct text text = {units, end};
    for (; at < end; at++) {
        if (pattern->first && pattern->first != units[at].code)
            continue;
        size_t found = match(&text, &pattern->root, at, NULL);
        if (found == NONE || found == at)
            continue;
        *begin = at;
        *stop = found;
        return true;
    }
    return false;
}

/* ---- reading ------------------------------------------------------------------------------------------------------------ */

struct parser {
    esp_context *ctx;
    struct espi_arena *arena;
    const char *at;
    bool ignore_case;
    size_t depth;
    struct item *items; // room for ITEMS_OF_CHAR a byte
    size_t item_count;
};

/* How many repetitions the worst way through a part has. */
struct weight {
    size_t repeated, optional;
};

static const int unsupported = ESP_ERR_UNSUPPORTED;

static void add_range(struct parser *p, uint32_t first, uint32_t last)
{
    p->items[p->item_count++] = (struct item){.first = first, .last = last};
}

/* A character, in both cases where they are one. */
static int add_char(struct parser *p, uint32_t code)
{
    add_range(p, code, code);
    if (!p->ignore_case)
        return ESP_OK;
    if (code >= 0x80)
        return unsupported;
    uint32_t lower = code | 0x20;
    if (lower < 'a' || lower > 'z')
        return ESP_OK;
    add_range(p, code ^ 0x20, code ^ 0x20);
    if (lower == 's')
        add_range(p, 0x17f, 0x17f); // ſ
    else if (lower == 'k')
        add_range(p, 0x212a, 0x212a); // the Kelvin sign
    return ESP_OK;
}

static bool is_category(const char *name, size_t bytes)
{
    static const char all[] =
        " L Lu Ll Lt Lm Lo M Mn Mc Me N Nd Nl No P Pc Pd Ps Pe Pi Pf Po S Sm Sc Sk So Z Zs Zl Zp C Cc Cf Cs Co Cn ";
    char wanted[8] = " ";
    if (bytes < 1 || bytes > 2)
        return false;
    memcpy(wanted + 1, name, bytes);
    wanted[1 + bytes] = ' ';
    return strstr(all, wanted);
}

/* \p{L}, \P{Lu} */
static int add_property(struct parser *p, bool negated)
{
    const char *name = p->at + 1, *end = *p->at == '{' ? strchr(name, '}') : NULL;
    if (!end || !is_category(name, (size_t)(end - name)))
        return unsupported;
    struct item *item = &p->items[p->item_count++];
    *item = (struct item){.negated = negated};
    memcpy(item->property, name, (size_t)(end - name));
    p->at = end + 1;
    return ESP_OK;
}

/* Behind a backslash. *code is a character that may begin a range, or 0. */
static int add_escape(struct parser *p, uint32_t *code)
{
    static const char letters[] = "nrtfv", values[] = "\n\r\t\f\v", classes[] = "sdw";
    char c = *p->at, lower = (char)(c | 0x20);
    const char *found;
    *code = 0;
    if (!c)
        return unsupported;
    p->at++;
    if (lower == 'p')
        return add_property(p, c == 'P');
    if (strchr(classes, lower)) {
        struct item *item = &p->items[p->item_count++];
        *item = (struct item){.property = {lower}, .negated = c != lower};
        if (lower == 'd')
            memcpy(item->property, "Nd", 2);
        return ESP_OK;
    }
    found = strchr(letters, c);
    if (!found && !strchr("\\.[](){}|?*+^$-/'\"#&~ ", c)) {
        p->at--;
        return unsupported;
    }
    *code = (unsigned char)(found ? values[found - letters] : c);
    return add_char(p, *code);
}

static uint32_t next_code(struct parser *p)
{
    uint32_t code;
    p->at += espi_utf8_decode((const unsigned char *)p->at, strlen(p->at), &code);
    return code;
}

/* One character of a class, or a range. */
static int add_class_item(struct parser *p)
{
    uint32_t first = 0, last;
    int status = ESP_OK;
    const char *begin = p->at;
    size_t before = p->item_count;
    if (strchr("[&", *p->at)) // classes within classes
        return unsupported;
    if (*p->at == '\\') {
        p->at++;
        status = add_escape(p, &first);
    } else {
        first = next_code(p);
        status = add_char(p, first);
    }
    if (status || !first || p->at[0] != '-' || p->at[1] == ']' || !p->at[1])
        return status;
    p->at++;
    if (*p->at == '\\' || *p->at == '[' || p->ignore_case) {
        p->at = begin;
        return unsupported;
    }
    last = next_code(p);
    p->item_count = before;
    add_range(p, first, last);
    return first <= last ? ESP_OK : unsupported;
}

/* Behind a bracket. */
static int parse_class(struct parser *p, struct node *node)
{
    int status = ESP_OK;
    node->negated = *p->at == '^';
    p->at += node->negated;
    if (*p->at == ']')
        return unsupported;
    while (!status && *p->at && *p->at != ']')
        status = add_class_item(p);
    if (!status && *p->at != ']')
        return unsupported;
    p->at += !status;
    return status;
}

static size_t parse_number(struct parser *p)
{
    size_t number = 0;
    for (; *p->at >= '0' && *p->at <= '9' && number <= MAX_COUNT; p->at++)
        number = 10 * number + (size_t)(*p->at - '0');
    return number;
}

/* {2} {2,} {2,3} */
static int parse_counts(struct parser *p, struct node *node)
{
    const char *begin = p->at++;
    node->least = node->most = parse_number(p);
    if (p->at == begin + 1 || node->least > MAX_COUNT) {
        p->at = begin;
        return unsupported;
    }
    if (*p->at == ',') {
        p->at++;
        node->most = *p->at == '}' ? NO_LIMIT : parse_number(p);
    }
    if (*p->at != '}' || node->most < node->least || (node->most > MAX_COUNT && node->most != NO_LIMIT)) {
        p->at = begin;
        return unsupported;
    }
    p->at++;
    return ESP_OK;
}

static int parse_repetition(struct parser *p, struct node *node, struct weight *weight)
{
    const char *begin = p->at;
    node->least = node->most = 1;
    if (*p->at == '{') {
        int status = parse_counts(p, node);
        if (status)
            return status;
    } else if (*p->at && strchr("?*+", *p->at)) {
        node->least = *p->at == '+';
        node->most = *p->at == '?' ? 1 : NO_LIMIT;
        p->at++;
    }
    bool counted = p->at > begin, plain = counted && *begin != '{';
    if (counted && *p->at == '?') {
        node->lazy = true;
        p->at++;
    } else if (plain && *p->at == '+') {
        node->possessive = true;
        p->at++;
    }
    bool group = node->kind != NODE_SET;
    if ((group && (node->most != 1 || node->possessive || (counted && node->kind != NODE_GROUP))) ||
        (*p->at && strchr("?*+{", *p->at))) {
        p->at = begin;
        return unsupported;
    }
    weight->repeated += !group && node->most == NO_LIMIT;
    weight->optional += node->least != node->most;
    return ESP_OK;
}

static int parse_choices(struct parser *p, struct node *group, struct weight *weight);

/* Behind a parenthesis. */
static int parse_group(struct parser *p, struct node *node, struct weight *weight)
{
    static const struct {
        const char *text;
        enum node_kind kind;
        bool ignore_case;
    } forms[] = {{"?:", NODE_GROUP, false},
                 {"?i:", NODE_GROUP, true},
                 {"?=", NODE_AHEAD, false},
                 {"?!", NODE_NOT_AHEAD, false},
                 {"", NODE_GROUP, false}};
    bool ignore_case = p->ignore_case;
    size_t form = 0;
    while (strncmp(p->at, forms[form].text, strlen(forms[form].text)) != 0)
        form++;
    p->at += strlen(forms[form].text);
    if (*p->at == '?' || ++p->depth > MAX_DEPTH)
        return unsupported;
    node->kind = forms[form].kind;
    p->ignore_case |= forms[form].ignore_case;
    int status = parse_choices(p, node, weight);
    p->ignore_case = ignore_case;
    p->depth--;
    if (!status && *p->at != ')')
        return unsupported;
    p->at += !status;
    return status;
}

static int parse_set(struct parser *p, struct node *node)
{
    uint32_t code;
    size_t before = p->item_count;
    int status;
    node->kind = NODE_SET;
    node->items = p->items + before;
    if (*p->at == '[') {
        p->at++;
        status = parse_class(p, node);
    } else if (*p->at == '\\') {
        p->at++;
        status = add_escape(p, &code);
    } else if (*p->at == '.') {
        p->at++;
        add_range(p, '\n', '\n');
        node->negated = true;
        status = ESP_OK;
    } else if (strchr("^$*+?{", *p->at)) {
        status = unsupported;
    } else {
        status = add_char(p, next_code(p));
    }
    node->count = p->item_count - before;
    return status;
}

/* A run of nodes up to '|', ')' or the end. */
static int parse_sequence(struct parser *p, const struct node **first, struct weight *weight)
{
    *first = NULL;
    for (const struct node **link = first; *p->at && *p->at != '|' && *p->at != ')';) {
        struct node *node = espi_arena_alloc(p->ctx, p->arena, 1, sizeof *node);
        if (!node)
            return ESP_ERR_MEMORY;
        bool group = *p->at == '(';
        p->at += group;
        int status = group ? parse_group(p, node, weight) : parse_set(p, node);
        if (!status)
            status = parse_repetition(p, node, weight);
        if (status)
            return status;
        *link = node;
        link = &node->next;
    }
    return weight->repeated > MAX_REPEATED || weight->optional > MAX_OPTIONAL ? unsupported : ESP_OK;
}

static int parse_choices(struct parser *p, struct node *group, struct weight *weight)
{
    struct weight worst = {0};
    size_t capacity = 1;
    for (const char *at = p->at; *at; at++)
        capacity += *at == '|';
    group->choices = espi_arena_alloc(p->ctx, p->arena, capacity, sizeof *group->choices);
    if (!group->choices)
        return ESP_ERR_MEMORY;
    for (;;) {
        struct weight own = *weight;
        int status = parse_sequence(p, &group->choices[group->count++], &own);
        if (status)
            return status;
        worst.repeated = own.repeated > worst.repeated ? own.repeated : worst.repeated;
        worst.optional = own.optional > worst.optional ? own.optional : worst.optional;
        if (*p->at != '|')
            break;
        p->at++;
    }
    *weight = worst;
    return ESP_OK;
}

/* As it stands: a set for each character. */
static int parse_text(struct parser *p, struct node *root)
{
    const struct node **link;
    root->choices = espi_arena_alloc(p->ctx, p->arena, 1, sizeof *root->choices);
    if (!root->choices)
        return ESP_ERR_MEMORY;
    root->count = 1;
    for (link = root->choices; *p->at;) {
        struct node *node = espi_arena_alloc(p->ctx, p->arena, 1, sizeof *node);
        if (!node)
            return ESP_ERR_MEMORY;
        *node = (struct node){.least = 1, .most = 1, .items = p->items + p->item_count, .count = 1};
        uint32_t code = next_code(p);
        add_range(p, code, code);
        *link = node;
        link = &node->next;
    }
    return ESP_OK;
}

int espi_pattern_new(esp_context *ctx, struct espi_arena *arena, const char *text, bool regex, const char **problem,
                     struct espi_pattern **out)
{
    struct parser p = {.ctx = ctx, .arena = arena, .at = text};
    struct weight weight = {0};
    size_t bytes = strlen(text);
    *problem = text;
    if (bytes > MAX_BYTES)
        return unsupported;
    *out = espi_arena_alloc(ctx, arena, 1, sizeof **out);
    p.items = espi_arena_alloc(ctx, arena, ITEMS_OF_CHAR * bytes + 1, sizeof *p.items);
    if (!*out || !p.items)
        return ESP_ERR_MEMORY;
    struct node *root = &(*out)->root;
    root->kind = NODE_GROUP;
    root->least = root->most = 1;
    int status = regex ? parse_choices(&p, root, &weight) : parse_text(&p, root);
    *problem = p.at;
    if (!status && *p.at) // a parenthesis too many
        return unsupported;
    const struct node *first = !status && root->count == 1 ? root->choices[0] : NULL;
    if (first && first->kind == NODE_SET && first->least && first->count == 1 && !first->negated &&
        !first->items->property[0] && first->items->first == first->items->last)
        (*out)->first = first->items->first;
    return status;
}
