/*
 * resp_fuzz.c: the same bytes, cut anywhere, give the same requests and the same error; no byte
 * outside the given ones is read.
 * The first eight bytes choose the cuts and the limits. Without a fuzzer the program runs seeds of
 * its own, each with some random damage, from the seed of its first argument.
 */
#include "tests/fuzz/resp_drive.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
runs_compare(struct slice stream, const struct drive *settings)
{
    struct drive whole = {.cut_next = drive_cut_whole,
                          .storage_count = 64,
                          .is_unauthenticated = settings->is_unauthenticated};
    struct drive cut = *settings;
    struct slice expected = drive_run(&whole, stream);
    struct slice got = drive_run(&cut, stream);
    ASSERT(slice_equal(expected, got));
    heap_free((void *)(uintptr_t)expected.data);
    heap_free((void *)(uintptr_t)got.data);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint64_t choice;
    if (size < sizeof(choice)) {
        return 0;
    }
    memcpy(&choice, data, sizeof(choice));
    struct drive settings = {.cut_next = (choice & 1) != 0 ? drive_cut_random : drive_cut_bytes,
                             .cut_state = choice,
                             .storage_count = (uint32_t)(choice >> 8 & 7),
                             .takes_large = (choice & 2) != 0,
                             .is_unauthenticated = (choice & 4) != 0};
    runs_compare(slice_of(data + sizeof(choice), size - sizeof(choice)), &settings);
    return 0;
}

#ifdef FUZZ_SMOKE
#include <stdlib.h>

static const char *const seeds[] = {
    "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$10\r\n0123456789\r\n*1\r\n$4\r\nPING\r\nPING\r\n",
    "*0\r\n*-1\r\n\r\n*2\r\n$4\r\nECHO\r\n$0\r\n\r\n*1\r\n$-1\r\n",
    "SET \"a\\x41\\n\" 'b\\'' c\"d\"\r\nPING a b c d e f g h i j k l m n o p q r s \"t\"\r\nx "
    "\"y\r\n",
    "*12\r\n$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n$"
    "1\r\na\r\n"
    "$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n*1\r\n:1\r\n",
    "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$32768\r\n",
    "*2\r\n$32800\r\n",
};

static uint64_t
random_next(uint64_t *state)
{
    *state = *state * 6364136223846793005ULL + 1442695040888963407ULL;
    return *state >> 29;
}

int
main(int argc, char **argv)
{
    uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
    uint64_t state = seed;
    static const char odd[] = "\r\n\0*$\"'\\x0123456789- a";
    uint32_t round_count = 20000;
    printf("seed %lu, %u rounds\n", (unsigned long)seed, round_count);
    for (uint32_t round = 0; round < round_count; round++) {
        const char *text = seeds[random_next(&state) % ARRAY_COUNT(seeds)];
        size_t size = strlen(text);
        size_t filler = random_next(&state) % 16 == 0 ? random_next(&state) % 70000 : 0;
        uint8_t *input = heap_alloc(8 + size + filler);
        uint64_t choice = random_next(&state);
        if (filler > 0) {
            choice |= 1; /* byte by byte would copy gigabytes */
        }
        memcpy(input, &choice, 8);
        memcpy(input + 8, text, size);
        memset(input + 8 + size, 'v', filler);
        for (uint64_t damage = random_next(&state) % 4; damage > 0; damage--) {
            input[8 + random_next(&state) % (size + filler)] =
                (uint8_t)odd[random_next(&state) % (sizeof(odd) - 1)];
        }
        LLVMFuzzerTestOneInput(input, 8 + size + filler);
        heap_free(input);
    }
    return 0;
}
#endif
