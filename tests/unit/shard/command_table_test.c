/*
 * command_table_test.c: every row is found by its name, in any case, and nothing else is.
 */
#include "shard/command.h"

#include "core/random.h"

#include <criterion/criterion.h>
#include <ctype.h>
#include <stdlib.h>

/* The naive model: look through all rows. */
static const struct command *
find_slowly(const struct command_table *table, struct slice name)
{
    for (uint32_t i = 0; i < command_count(table); i++) {
        if (slice_is_word(name, command_at(table, i)->name)) {
            return command_at(table, i);
        }
    }
    return NULL;
}

Test(command_table, finds_each_name_in_any_case)
{
    struct command_table *table = command_table_new();
    cr_assert(command_count(table) > 50);
    for (uint32_t i = 0; i < command_count(table); i++) {
        const struct command *command = command_at(table, i);
        char name[64];
        size_t size = strlen(command->name);
        for (uint32_t variant = 0; variant < 3; variant++) {
            for (size_t c = 0; c < size; c++) {
                bool is_upper = variant == 1 || (variant == 2 && c % 2 == 0);
                name[c] = is_upper ? (char)toupper(command->name[c]) : command->name[c];
            }
            cr_expect_eq(command_find(table, slice_of(name, size)), command, "%s", command->name);
        }
        /* One byte more, one less, another one. */
        name[size] = '\0';
        cr_expect_neq(command_find(table, slice_of(name, size + 1)), command);
        cr_expect_neq(command_find(table, slice_of(name, size - 1)), command);
        name[size - 1] = (char)(name[size - 1] ^ 0x80);
        cr_expect_null(command_find(table, slice_of(name, size)));
    }
    command_table_delete(table);
}

Test(command_table, reads_no_byte_beside_the_name)
{
    struct command_table *table = command_table_new();
    for (size_t size = 0; size <= 40; size++) {
        /* A block of exactly this size: an overrun is found by the address sanitizer. */
        char *name = malloc(size == 0 ? 1 : size);
        memset(name, 'x', size);
        cr_expect_null(command_find(table, slice_of(name, size)));
        free(name);
    }
    cr_expect_null(command_find(table, (struct slice){.data = NULL, .size = 0}));
    command_table_delete(table);
}

Test(command_table, agrees_with_a_search_through_all_rows)
{
    struct command_table *table = command_table_new();
    const uint64_t seed = random_system_seed();
    cr_log_info("seed %llu", (unsigned long long)seed);
    struct random random;
    random_create(&random, seed);
    uint32_t found_count = 0;
    for (uint32_t round = 0; round < 200000; round++) {
        char name[32];
        const struct command *command =
            command_at(table, (uint32_t)random_below(&random, command_count(table)));
        size_t size = strlen(command->name);
        memcpy(name, command->name, size);
        /* A few changes; most leave a name that is none. '@' and '[' stand beside the letters. */
        for (uint64_t change = random_below(&random, 3); change > 0; change--) {
            static const char bytes[] = "abzABZ@[`{ \0\xc1\xe1";
            name[random_below(&random, size)] = bytes[random_below(&random, sizeof(bytes))];
        }
        struct slice slice = slice_of(name, size);
        const struct command *expected = find_slowly(table, slice);
        cr_assert_eq(command_find(table, slice), expected, "%.*s, seed %llu", (int)size, name,
                     (unsigned long long)seed);
        found_count += expected != NULL;
    }
    cr_expect(found_count > 50000);
    command_table_delete(table);
}

Test(command_table, resolves_subcommands)
{
    struct command_table *table = command_table_new();
    const struct command *object = command_find(table, SLICE("object"));
    struct slice argv[] = {SLICE("OBJECT"), SLICE("Encoding"), SLICE("k")};
    const struct command *encoding = command_resolve(table, argv, 3);
    cr_assert_not_null(encoding);
    cr_expect_str_eq(encoding->name, "encoding");
    cr_expect_str_eq(encoding->parent, "object");
    cr_expect_eq(command_resolve(table, argv, 1), object);
    cr_expect_null(command_resolve(table, argv, 0));
    argv[1] = SLICE("encodin");
    cr_expect_eq(command_resolve(table, argv, 3), object);
    argv[0] = SLICE("nosuch");
    cr_expect_null(command_resolve(table, argv, 3));
    struct slice get[] = {SLICE("get"), SLICE("encoding")};
    cr_expect_eq(command_resolve(table, get, 2), command_find(table, SLICE("get")));
    command_table_delete(table);
}

Test(command_table, numbers_rows_densely)
{
    struct command_table *table = command_table_new();
    uint32_t count = command_row_count(table);
    uint32_t subcommand_count = 0;
    for (uint32_t i = 0; i < count; i++) {
        const struct command *command = command_at(table, i);
        cr_expect_eq(command_index(table, command), i);
        cr_expect_eq(command->parent == NULL, i < command_count(table), "%s", command->name);
        subcommand_count += command->subcommand_count;
        for (uint32_t s = 0; s < command->subcommand_count; s++) {
            cr_expect_str_eq(command->subcommands[s].parent, command->name);
        }
    }
    cr_expect_eq(count, command_count(table) + subcommand_count);
    command_table_delete(table);
}

/* What a row must have, whoever writes it. */
Test(command_table, rows_are_complete)
{
    struct command_table *table = command_table_new();
    for (uint32_t i = 0; i < command_row_count(table); i++) {
        const struct command *command = command_at(table, i);
        const char *name = command->name;
        cr_expect_neq(command->arity, 0, "%s", name);
        cr_expect(command->run != NULL || command->subcommand_count > 0, "%s", name);
        cr_expect_not_null(command->since, "%s", name);
        cr_expect_not_null(command->summary, "%s", name);
        bool has_parts = command->scope == SCOPE_ALL || command->scope == SCOPE_CLOSED ||
                         command->scope == SCOPE_WALK;
        cr_expect(!has_parts || command->part != NULL, "%s", name);
        cr_expect(command->key_spec_count <= COMMAND_KEY_SPECS_MAX, "%s", name);
        if (command->scope == SCOPE_KEYS && command->run != NULL) {
            cr_expect(command->key_spec_count > 0 || command->route_index > 0 ||
                          command->views != NULL,
                      "%s", name);
        } else {
            /* Channels are shown like keys. */
            bool has_keys =
                command->key_spec_count > 0 && (command->key_specs[0].flags & KEY_NOT_KEY) == 0;
            cr_expect(!has_keys, "%s", name);
        }
        cr_expect((command->flags & (CMD_WRITE | CMD_READONLY)) != (CMD_WRITE | CMD_READONLY), "%s",
                  name);
    }
    command_table_delete(table);
}
