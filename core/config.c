/*
 * config.c: the table as rows, a snapshot's life, CONFIG SET and CONFIG GET.
 *
 *     config_table.h --includes--> struct config   (fields, config.h)
 *                    \-----------> config_row[]    (names, ranges, defaults, help; here)
 *
 * A snapshot that cores read never changes. CONFIG SET works on a clone, and inside it on a clone
 * once more, so that "all or nothing" is a swap of two structs instead of an undo for each
 * directive.
 *
 * Invariant: every field holds a value that its own row would parse, from config_new() on; so a
 * reader checks nothing.
 *
 * Not fields guarded by atomics or a lock: a command would see `maxmemory` of before and
 * `maxmemory-policy` of after a CONFIG SET of both.
 */
#include "core/config.h"

#include "core/config_internal.h"
#include "core/glob.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <syslog.h>

static const struct config_word config_io_backend_words[] = {
    {"auto", CONFIG_IO_BACKEND_AUTO},
    {"io_uring", CONFIG_IO_BACKEND_URING},
    {"epoll", CONFIG_IO_BACKEND_EPOLL},
    {NULL, 0},
};
static const struct config_word config_pipeline_order_words[] = {
    {"overlap", CONFIG_PIPELINE_ORDER_OVERLAP},
    {"strict", CONFIG_PIPELINE_ORDER_STRICT},
    {NULL, 0},
};
static const struct config_word config_loglevel_words[] = {
    {"debug", CONFIG_LOGLEVEL_DEBUG},
    {"verbose", CONFIG_LOGLEVEL_VERBOSE},
    {"notice", CONFIG_LOGLEVEL_NOTICE},
    {"warning", CONFIG_LOGLEVEL_WARNING},
    {NULL, 0},
};
static const struct config_word config_syslog_facility_words[] = {
    {"user", LOG_USER},     {"local0", LOG_LOCAL0},
    {"local1", LOG_LOCAL1}, {"local2", LOG_LOCAL2},
    {"local3", LOG_LOCAL3}, {"local4", LOG_LOCAL4},
    {"local5", LOG_LOCAL5}, {"local6", LOG_LOCAL6},
    {"local7", LOG_LOCAL7}, {NULL, 0},
};
static const struct config_word config_maxmemory_policy_words[] = {
    {"volatile-lru", CONFIG_MAXMEMORY_VOLATILE_LRU},
    {"volatile-lfu", CONFIG_MAXMEMORY_VOLATILE_LFU},
    {"volatile-random", CONFIG_MAXMEMORY_VOLATILE_RANDOM},
    {"volatile-ttl", CONFIG_MAXMEMORY_VOLATILE_TTL},
    {"allkeys-lru", CONFIG_MAXMEMORY_ALLKEYS_LRU},
    {"allkeys-lfu", CONFIG_MAXMEMORY_ALLKEYS_LFU},
    {"allkeys-random", CONFIG_MAXMEMORY_ALLKEYS_RANDOM},
    {"noeviction", CONFIG_MAXMEMORY_NOEVICTION},
    {NULL, 0},
};
static const struct config_word config_appendfsync_words[] = {
    {"everysec", CONFIG_APPENDFSYNC_EVERYSEC},
    {"always", CONFIG_APPENDFSYNC_ALWAYS},
    {"no", CONFIG_APPENDFSYNC_NO},
    {NULL, 0},
};
static const struct config_word config_access_words[] = {
    {"no", CONFIG_ACCESS_NO},
    {"yes", CONFIG_ACCESS_YES},
    {"local", CONFIG_ACCESS_LOCAL},
    {NULL, 0},
};
static const struct config_word config_acl_pubsub_words[] = {
    {"allchannels", CONFIG_ACL_PUBSUB_ALLCHANNELS},
    {"resetchannels", CONFIG_ACL_PUBSUB_RESETCHANNELS},
    {NULL, 0},
};
static const struct config_word config_supervised_words[] = {
    {"upstart", CONFIG_SUPERVISED_UPSTART},
    {"systemd", CONFIG_SUPERVISED_SYSTEMD},
    {"auto", CONFIG_SUPERVISED_AUTO},
    {"no", CONFIG_SUPERVISED_NO},
    {NULL, 0},
};
static const struct config_word config_oom_score_adj_words[] = {
    {"no", CONFIG_OOM_SCORE_NO},
    {"yes", CONFIG_OOM_SCORE_RELATIVE},
    {"relative", CONFIG_OOM_SCORE_RELATIVE},
    {"absolute", CONFIG_OOM_SCORE_ABSOLUTE},
    {NULL, 0},
};
static const struct config_word config_sanitize_words[] = {
    {"no", CONFIG_SANITIZE_NO},
    {"yes", CONFIG_SANITIZE_YES},
    {"clients", CONFIG_SANITIZE_CLIENTS},
    {NULL, 0},
};
static const struct config_word config_diskless_load_words[] = {
    {"disabled", CONFIG_DISKLESS_LOAD_DISABLED},
    {"on-empty-db", CONFIG_DISKLESS_LOAD_ON_EMPTY_DB},
    {"swapdb", CONFIG_DISKLESS_LOAD_SWAPDB},
    {NULL, 0},
};
static const struct config_word config_propagation_error_words[] = {
    {"ignore", CONFIG_PROPAGATION_ERROR_IGNORE},
    {"panic", CONFIG_PROPAGATION_ERROR_PANIC},
    {"panic-on-replicas", CONFIG_PROPAGATION_ERROR_PANIC_ON_REPLICAS},
    {NULL, 0},
};
static const struct config_word config_endpoint_words[] = {
    {"ip", CONFIG_ENDPOINT_IP},
    {"hostname", CONFIG_ENDPOINT_HOSTNAME},
    {"unknown-endpoint", CONFIG_ENDPOINT_UNKNOWN},
    {NULL, 0},
};

/* What all lines of the table have in common. */
#define CONFIG_ROW(field_, name_, alias_, kind_, flags_, help_)                                    \
    .name = (name_), .alias = (alias_), .kind = (kind_), .flags = (flags_), .help = (help_),       \
    .offset = offsetof(struct config, field_)

static const struct config_row config_row_table[] = {
#define CONFIG_BOOL(field, name, alias, start_, flags, help)                                       \
    {CONFIG_ROW(field, name, alias, CONFIG_KIND_BOOL, flags, help), .start = (start_)},
#define CONFIG_INT(field, name, alias, least_, most_, start_, flags, help)                         \
    {CONFIG_ROW(field, name, alias, CONFIG_KIND_INT, flags, help), .least = (least_),              \
     .most = (most_), .start = (start_)},
#define CONFIG_OCTAL(field, name, alias, least_, most_, start_, flags, help)                       \
    {CONFIG_ROW(field, name, alias, CONFIG_KIND_OCTAL, flags, help), .least = (least_),            \
     .most = (most_), .start = (start_)},
#define CONFIG_MEMORY(field, name, alias, least_, most_, start_, flags, help)                      \
    {CONFIG_ROW(field, name, alias, CONFIG_KIND_MEMORY, flags, help), .least = (int64_t)(least_),  \
     .most = (int64_t)(most_), .start = (int64_t)(start_)},
#define CONFIG_PERCENT(field, name, alias, start_, flags, help)                                    \
    {CONFIG_ROW(field, name, alias, CONFIG_KIND_PERCENT, flags, help), .start = (start_)},
#define CONFIG_ENUM(field, name, alias, words_, start_, flags, help)                               \
    {CONFIG_ROW(field, name, alias, CONFIG_KIND_ENUM, flags, help), .words = (words_),             \
     .start = (start_)},
#define CONFIG_STRING(field, name, alias, check_, start_, flags, help)                             \
    {CONFIG_ROW(field, name, alias, CONFIG_KIND_STRING, flags, help), .check = (check_),           \
     .start_text = (start_)},
#define CONFIG_LIST(field, name, alias, check_, least_, most_, start_, flags, help)                \
    {CONFIG_ROW(field, name, alias, CONFIG_KIND_LIST, flags, help), .check = (check_),             \
     .least = (least_), .most = (most_), .start_text = (start_)},
#define CONFIG_LIMITS(field, name, alias, start_, flags, help)                                     \
    {CONFIG_ROW(field, name, alias, CONFIG_KIND_LIMITS, flags, help), .start_text = (start_)},
#include "core/config_table.h"
};

const struct config_row *
config_rows(uint32_t *count)
{
    *count = ARRAY_COUNT(config_row_table);
    return config_row_table;
}

const struct config_row *
config_row_find(struct slice name)
{
    for (uint32_t i = 0; name.size > 0 && i < ARRAY_COUNT(config_row_table); i++) {
        const struct config_row *row = &config_row_table[i];
        if (slice_is_word(name, row->name) || slice_is_word(name, row->alias)) {
            return row;
        }
    }
    return NULL;
}

/* ---- a snapshot's life ---- */

struct config *
config_new(void)
{
    struct config *config = config_allocate(sizeof(*config));
    for (uint32_t i = 0; i < ARRAY_COUNT(config_row_table); i++) {
        const struct config_row *row = &config_row_table[i];
        config_value_reset(row, config_row_field(row, config));
    }
    return config;
}

struct config *
config_clone(const struct config *config)
{
    ASSERT(config != NULL);
    struct config *clone = config_allocate(sizeof(*clone));
    for (uint32_t i = 0; i < ARRAY_COUNT(config_row_table); i++) {
        const struct config_row *row = &config_row_table[i];
        config_value_copy(row, config_row_field(row, clone), config_row_value(row, config));
    }
    if (config->file_path != NULL) {
        clone->file_path = config_string_copy(slice_of_string(config->file_path));
    }
    return clone;
}

void
config_delete(struct config *config)
{
    if (config == NULL) {
        return;
    }
    for (uint32_t i = 0; i < ARRAY_COUNT(config_row_table); i++) {
        const struct config_row *row = &config_row_table[i];
        config_value_clear(row, config_row_field(row, config));
    }
    free(config->file_path);
    free(config);
}

bool
config_differs(const struct config *a, const struct config *b, const char *name)
{
    const struct config_row *row = config_row_find(slice_of_string(name));
    ASSERT(row != NULL);
    return !config_value_equal(row, config_row_value(row, a), config_row_value(row, b));
}

/* ---- setting ---- */

static bool
config_is_default(const struct config *config, const struct config_row *row)
{
    struct config *fresh = config_allocate(sizeof(*fresh));
    config_value_reset(row, config_row_field(row, fresh));
    bool is_default =
        config_value_equal(row, config_row_value(row, fresh), config_row_value(row, config));
    config_value_clear(row, config_row_field(row, fresh));
    free(fresh);
    return is_default;
}

bool
config_assign(struct config *config, const struct config_row *row, const struct slice *words,
              uint32_t word_count, struct config_reason *reason)
{
    if (!config_value_parse(row, config_row_field(row, config), words, word_count, reason)) {
        return false;
    }
    if ((row->flags & (CONFIG_NOT_YET | CONFIG_NEVER)) != 0 && !config_is_default(config, row)) {
        bool is_never = (row->flags & CONFIG_NEVER) != 0;
        struct config_text value = {0};
        config_value_print(row, config_row_value(row, config), &value);
        snprintf(reason->text, sizeof(reason->text), "'%s %.*s' is not supported%s%s", row->name,
                 (int)MIN(value.size, 200), config_text_slice(&value).data,
                 is_never ? ": " : " yet by this version of Tessera", is_never ? row->help : "");
        config_text_destroy(&value);
        return false;
    }
    /* What CONFIG GET and INFO tell; Redis takes more, or less, and cuts it in the same way. */
    config->hz = MIN(MAX(config->hz, 1), 500);
    config->repl_backlog_size = MAX(config->repl_backlog_size, UINT64_C(16384));
    return true;
}

void
config_set_error(char *error, size_t error_size, struct slice name, const char *reason)
{
    snprintf(error, error_size, "ERR CONFIG SET failed (possibly related to argument '%.*s') - %s",
             (int)MIN(name.size, 128), name.data, reason);
}

/** Whether the rules let this client set the directive at all: the reason why not, or NULL. */
static const char *
config_set_forbidden(const struct config *config, const struct config_row *row,
                     enum config_peer peer)
{
    if ((row->flags & CONFIG_IMMUTABLE) != 0) {
        return "can't set immutable config";
    }
    bool is_allowed =
        config->enable_protected_configs == CONFIG_ACCESS_YES ||
        (config->enable_protected_configs == CONFIG_ACCESS_LOCAL && peer == CONFIG_PEER_LOCAL);
    if ((row->flags & CONFIG_PROTECTED) != 0 && !is_allowed) {
        return "can't set protected config";
    }
    return NULL;
}

/** The name as the table spells it, which is how errors about a value name it; those about the pair
 * itself echo the client's spelling. */
static struct slice
config_set_name(const struct config_row *row, struct slice name)
{
    return slice_of_string(slice_is_word(name, row->name) ? row->name : row->alias);
}

int
config_set(struct config *config, const struct config_pair *pairs, uint32_t pair_count,
           enum config_peer peer, char *error, size_t error_size)
{
    for (uint32_t i = 0; i < pair_count; i++) {
        const struct config_row *row = config_row_find(pairs[i].name);
        if (row == NULL) {
            snprintf(error, error_size,
                     "ERR Unknown option or number of arguments for CONFIG SET - '%.*s'",
                     (int)MIN(pairs[i].name.size, 128), pairs[i].name.data);
            return -EINVAL;
        }
        struct slice name = config_set_name(row, pairs[i].name);
        const char *why = config_set_forbidden(config, row, peer);
        for (uint32_t j = 0; why == NULL && j < i; j++) {
            /* An alias and its directive are two names: the later pair wins, as in Redis. */
            if (slice_equal(name, config_set_name(config_row_find(pairs[j].name), pairs[j].name)) &&
                config_row_find(pairs[j].name) == row) {
                why = "duplicate parameter";
            }
        }
        if (why != NULL) {
            config_set_error(error, error_size, pairs[i].name, why);
            return -EINVAL;
        }
    }
    struct config *next = config_clone(config);
    struct config_reason reason;
    for (uint32_t i = 0; i < pair_count; i++) {
        const struct config_row *row = config_row_find(pairs[i].name);
        if (!config_assign(next, row, &pairs[i].value, 1, &reason)) {
            config_set_error(error, error_size, config_set_name(row, pairs[i].name), reason.text);
            config_delete(next);
            return -EINVAL;
        }
    }
    struct config old = *config;
    *config = *next;
    *next = old;
    config_delete(next);
    return 0;
}

/* ---- getting ---- */

/** Under which name do the patterns ask for `name`? The client's own spelling where it named it
 * plainly first. */
static bool
config_get_match(const struct slice *patterns, uint32_t pattern_count, const char *name,
                 struct slice *shown)
{
    struct slice known = slice_of_string(name);
    for (uint32_t i = 0; known.size > 0 && i < pattern_count; i++) {
        bool is_literal = memchr(patterns[i].data, '*', patterns[i].size) == NULL &&
                          memchr(patterns[i].data, '?', patterns[i].size) == NULL &&
                          memchr(patterns[i].data, '[', patterns[i].size) == NULL;
        if (is_literal ? slice_is_word(patterns[i], name) : glob_match(patterns[i], known, true)) {
            *shown = is_literal ? patterns[i] : known;
            return true;
        }
    }
    return false;
}

void
config_get(const struct config *config, const struct slice *patterns, uint32_t pattern_count,
           config_visit_fn *visit, void *context)
{
    struct config_text value = {0};
    for (uint32_t i = 0; i < ARRAY_COUNT(config_row_table); i++) {
        const struct config_row *row = &config_row_table[i];
        const char *const names[] = {row->name, row->alias};
        value.size = 0;
        config_value_print(row, config_row_value(row, config), &value);
        for (uint32_t j = 0; j < ARRAY_COUNT(names); j++) {
            struct slice shown;
            if (config_get_match(patterns, pattern_count, names[j], &shown)) {
                visit(context, shown, config_text_slice(&value));
            }
        }
    }
    config_text_destroy(&value);
}

/* ---- describing ---- */

/** The values that the row takes, for people. */
static void
config_describe_range(const struct config_row *row, struct config_text *text)
{
    switch (row->kind) {
    case CONFIG_KIND_BOOL:
        config_text_format(text, "yes, no");
        return;
    case CONFIG_KIND_INT:
        config_text_format(text, "%lld to %lld", (long long)row->least, (long long)row->most);
        return;
    case CONFIG_KIND_OCTAL:
        config_text_format(text, "%llo to %llo", (long long)row->least, (long long)row->most);
        return;
    case CONFIG_KIND_MEMORY:
        config_text_format(text, "%llu to %llu bytes", (unsigned long long)row->least,
                           (unsigned long long)row->most);
        return;
    case CONFIG_KIND_PERCENT:
        config_text_format(text, "bytes, or 0%% to 100%%");
        return;
    case CONFIG_KIND_ENUM:
        for (const struct config_word *known = row->words; known->word != NULL; known++) {
            config_text_format(text, "%s%s", known == row->words ? "" : ", ", known->word);
        }
        return;
    case CONFIG_KIND_STRING:
        config_text_format(text, "text");
        return;
    case CONFIG_KIND_LIST:
        config_text_format(text, "%lld to %lld words", (long long)row->least, (long long)row->most);
        return;
    case CONFIG_KIND_LIMITS:
        config_text_format(text, "class, bytes, bytes, seconds");
        return;
    }
}

void
config_describe(config_help_fn *visit, void *context)
{
    struct config *fresh = config_new();
    for (uint32_t i = 0; i < ARRAY_COUNT(config_row_table); i++) {
        const struct config_row *row = &config_row_table[i];
        struct config_text start = {0};
        struct config_text range = {0};
        if (row->kind == CONFIG_KIND_STRING) {
            config_text_append(&start, slice_of_string(row->start_text));
        } else {
            config_value_print(row, config_row_value(row, fresh), &start);
        }
        config_describe_range(row, &range);
        struct config_help help = {
            .name = row->name,
            .alias = row->alias,
            .start = start.size == 0 ? "" : start.data,
            .range = range.data,
            .help = row->help,
            .is_mutable = (row->flags & CONFIG_IMMUTABLE) == 0,
            .is_supported = (row->flags & (CONFIG_NOT_YET | CONFIG_NEVER)) == 0,
        };
        visit(context, &help);
        config_text_destroy(&start);
        config_text_destroy(&range);
    }
    config_delete(fresh);
}
