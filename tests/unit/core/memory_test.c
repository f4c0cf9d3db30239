#include "core/memory.h"
#include "core/random.h"

#include <criterion/criterion.h>
#include <string.h>

#ifndef TESSERA_SYSTEM_MALLOC
#include <mimalloc.h>

Test(memory, class_size_is_what_the_allocator_takes)
{
    for (size_t size = 1; size <= 200000; size++) {
        cr_assert_eq(memory_class_size(size), mi_good_size(size), "size %zu", size);
    }
    cr_assert_eq(memory_class_size(0), 8);
    struct memory memory;
    memory_create(&memory);
    for (size_t size = 1; size <= 70000; size = size < 3000 ? size + 1 : size + 997) {
        void *block = memory_alloc(&memory, size);
        cr_assert_eq(mi_usable_size(block), memory_class_size(size), "size %zu", size);
        memory_free(&memory, block, size);
    }
    memory_destroy(&memory);
}

Test(memory, blocks_of_lines_are_aligned_without_a_larger_class)
{
    struct memory memory;
    memory_create(&memory);
    for (size_t size = 64; size <= 65536; size += 64) {
        void *blocks[9];
        for (size_t i = 0; i < ARRAY_COUNT(blocks); i++) {
            blocks[i] = memory_alloc_aligned(&memory, size);
            cr_assert_eq((uintptr_t)blocks[i] % 64, 0);
            cr_assert_eq(mi_usable_size(blocks[i]), memory_class_size(size), "size %zu", size);
        }
        for (size_t i = 0; i < ARRAY_COUNT(blocks); i++) {
            memory_free(&memory, blocks[i], size);
        }
    }
    cr_assert_eq(memory.used_size, 0);
    memory_destroy(&memory);
}
#endif

Test(memory, books_follow_random_blocks)
{
    struct memory memory;
    memory_create(&memory);
    struct random random;
    random_create(&random, 7);
    enum { BLOCK_COUNT = 200 };
    unsigned char *blocks[BLOCK_COUNT] = {NULL};
    size_t sizes[BLOCK_COUNT] = {0};
    uint64_t used_size = 0;
    uint64_t peak_size = 0;
    for (unsigned i = 0; i < 30000; i++) {
        size_t k = random_below(&random, BLOCK_COUNT);
        size_t size = random_below(&random, 1 + (UINT64_C(1) << random_below(&random, 18)));
        size_t kept = MIN(size, sizes[k]);
        if (blocks[k] == NULL) {
            blocks[k] = i % 2 == 0 ? memory_alloc(&memory, size) : memory_alloc_zero(&memory, size);
            for (size_t j = 0; i % 2 == 1 && j < size; j++) {
                cr_assert_eq(blocks[k][j], 0);
            }
        } else if (random_below(&random, 2) == 0) {
            used_size -= memory_class_size(sizes[k]);
            memory_free(&memory, blocks[k], sizes[k]);
            blocks[k] = NULL;
            sizes[k] = 0;
            continue;
        } else {
            used_size -= memory_class_size(sizes[k]);
            blocks[k] = memory_realloc(&memory, blocks[k], sizes[k], size);
            for (size_t j = 0; j < kept; j += 97) {
                cr_assert_eq(blocks[k][j], (unsigned char)(k + j));
            }
        }
        sizes[k] = size;
        for (size_t j = 0; j < size; j++) {
            blocks[k][j] = (unsigned char)(k + j);
        }
        used_size += memory_class_size(size);
        peak_size = MAX(peak_size, used_size);
        cr_assert_eq(memory.used_size, used_size);
        cr_assert_geq(memory.peak_size, peak_size);
    }
    for (unsigned k = 0; k < BLOCK_COUNT; k++) {
        memory_free(&memory, blocks[k], sizes[k]);
    }
    cr_assert_eq(memory.used_size, 0);
    cr_assert_eq(memory.block_count, 0);
    memory_destroy(&memory);
}

Test(memory, a_block_changes_hands)
{
    struct memory giver;
    struct memory taker;
    memory_create(&giver);
    memory_create(&taker);
    char *block = memory_alloc(&giver, 100);
    memory_disown(&giver, 100);
    memory_adopt(&taker, 100);
    cr_assert_eq(giver.used_size, 0);
    cr_assert_eq(taker.used_size, 112);
    memory_free(&taker, block, 100);
    cr_assert_eq(taker.used_size, 0);
    memory_destroy(&giver);
    memory_destroy(&taker);
}
