/*
 * aof_fuzz.c: whatever the bytes of an AOF folder say, the walk stays inside them and ends, what is
 * to be loaded ends between two groups, and what a repair leaves is whole.
 *
 * The first byte says what the input is: bytes as they are, a manifest, or seeds from which files
 * are made that are right but for a few changed bytes. Without a fuzzer the program makes inputs of
 * its own, from the seed of its first argument.
 */
#include "core/random.h"
#include "persist/aof_manifest.h"
#include "persist/recovery.h"
#include "tests/unit/persist/aof_text.h"

#include <stdlib.h>

#define FILES_MAX 3

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
manifest_try(struct slice text)
{
    struct aof_manifest manifest;
    struct aof_manifest again;
    char error[256];
    if (aof_manifest_parse(&manifest, text, error, sizeof(error)) != 0) {
        return;
    }
    size_t size;
    char *formatted = aof_manifest_format(&manifest, &size);
    if (size > 0) {
        int rc = aof_manifest_parse(&again, slice_of(formatted, size), error, sizeof(error));
        ASSERT(rc == 0 && again.count == manifest.count);
        for (uint32_t i = 0; i < again.count; i++) {
            ASSERT(strcmp(again.files[i].name, manifest.files[i].name) == 0);
            ASSERT(again.files[i].seq == manifest.files[i].seq);
        }
        aof_manifest_destroy(&again);
    }
    heap_free(formatted);
    aof_manifest_destroy(&manifest);
}

/** What is loaded can be walked; what is repaired is whole. */
static void
verdict_try(struct slice bytes, const struct recovery_segment *segment,
            const struct recovery_verdict *verdict)
{
    struct aof_reader reader;
    struct aof_item item;
    ASSERT(verdict->end <= bytes.size);
    aof_reader_create_trusting(&reader, slice_of(bytes.data, verdict->end));
    while (aof_reader_next(&reader, &item)) {
        ASSERT(item.end > item.offset && item.end <= verdict->end);
    }
    ASSERT(item.kind == AOF_END);
    aof_reader_destroy(&reader);

    struct recovery_repair repair;
    struct recovery_segment again;
    struct aof_text text = {0};
    recovery_repair_create(&repair, bytes, segment, verdict);
    aof_text_add(&text, bytes.data, repair.keep_size);
    aof_text_add(&text, repair.tail, repair.tail_size);
    recovery_scan(&again, aof_text_slice(&text));
    ASSERT(again.kind == AOF_END);
    ASSERT(again.is_whole || again.is_appended || text.size == 0 || !segment->is_ours);
    recovery_segment_destroy(&again);
    aof_text_destroy(&text);
    recovery_repair_destroy(&repair);
}

static void
files_try(const struct slice *files, uint32_t count, bool is_load_truncated)
{
    struct recovery_segment segments[FILES_MAX] = {{0}};
    struct recovery_verdict verdicts[FILES_MAX] = {{0}};
    for (uint32_t i = 0; i < count; i++) {
        recovery_scan(&segments[i], files[i]);
    }
    int rc = recovery_decide(segments, count, is_load_truncated, verdicts);
    for (uint32_t i = 0; i < count; i++) {
        if (rc == 0) {
            verdict_try(files[i], &segments[i], &verdicts[i]);
        }
        recovery_segment_destroy(&segments[i]);
    }
    recovery_verdicts_destroy(verdicts, count);
}

static void
file_make(struct aof_text *text, struct random *random, uint32_t shard, uint32_t shard_count)
{
    uint16_t owners[SLOT_COUNT];
    uint16_t all[] = {0, 1, 2};
    uint64_t synced = 0;
    for (uint32_t slot = 0; slot < SLOT_COUNT; slot++) {
        owners[slot] = (uint16_t)(slot * shard_count / SLOT_COUNT);
    }
    aof_text_head(text, shard_count, shard, 1 + random_below(random, 2), owners);
    uint32_t count = (uint32_t)random_below(random, 20);
    for (uint32_t i = 0; i < count; i++) {
        uint64_t what = random_below(random, 8);
        if (what == 0) {
            aof_text_check(text, synced);
            synced = random_below(random, 2) == 0 ? text->check_end : synced;
        } else if (what == 1) {
            aof_text_complete(text, random_below(random, 10));
        } else if (what < 4) {
            struct aof_part part = {.ticket = i / 2,
                                    .policy = (enum aof_policy)random_below(random, 3),
                                    .participants = all,
                                    .participant_count = shard_count,
                                    .is_empty = what == 3};
            aof_text_part(text, &part);
        }
        if (what == 2) {
            aof_text_words(text, 1, "MULTI");
            aof_text_words(text, 2, "SELECT", "1");
            aof_text_words(text, 3, "SET", "a", "b");
            aof_text_words(text, 1, "EXEC");
        } else if (what > 3) {
            aof_text_words(text, 3, "SET", "key", "value");
        }
    }
    if (random_below(random, 4) != 0) {
        aof_text_check(text, synced);
    }
    if (random_below(random, 4) == 0 && text->check_end == text->size) {
        aof_text_closed(text);
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 12) {
        return 0;
    }
    struct slice rest = slice_of(data + 1, size - 1);
    if (data[0] % 4 == 0) {
        files_try(&rest, 1, (data[0] & 4) != 0);
        return 0;
    }
    if (data[0] % 4 == 1) {
        manifest_try(rest);
        return 0;
    }
    struct random random;
    struct aof_text texts[FILES_MAX] = {{0}};
    struct slice files[FILES_MAX];
    uint64_t seed;
    memcpy(&seed, data + 1, sizeof(seed));
    random_create(&random, seed);
    uint32_t count = 1 + data[9] % FILES_MAX;
    for (uint32_t i = 0; i < count; i++) {
        file_make(&texts[i], &random, i, count);
    }
    for (size_t at = 12; at + 4 <= size; at += 4) {
        struct aof_text *text = &texts[data[at] % count];
        size_t place = (data[at + 1] | (size_t)data[at + 2] << 8) % text->size;
        text->bytes[place] ^= (char)(1 << data[at + 3] % 8);
        if (data[at + 3] >= 240 && place > 0) {
            text->size = place;
        }
    }
    for (uint32_t i = 0; i < count; i++) {
        files[i] = aof_text_slice(&texts[i]);
    }
    files_try(files, count, (data[10] & 1) != 0);
    for (uint32_t i = 0; i < count; i++) {
        aof_text_destroy(&texts[i]);
    }
    return 0;
}

#ifdef FUZZ_SMOKE
int
main(int argc, char **argv)
{
    uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
    uint64_t round_count = argc > 2 ? strtoull(argv[2], NULL, 10) : 20000;
    static const char words[][24] = {"file ",     "seq ",      "type ",
                                     "b\n",       "i\n",       "1 ",
                                     "\"a b\" ",  "#tessera ", "check size=0 sum=",
                                     "*1\r\n",    "$4\r\n",    "EXEC\r\n",
                                     "MULTI\r\n", " gen 1",    " shard 2 ",
                                     "\\x41"};
    struct random random;
    random_create(&random, seed);
    printf("seed %llu, %llu rounds\n", (unsigned long long)seed, (unsigned long long)round_count);
    for (uint64_t round = 0; round < round_count; round++) {
        uint8_t input[512];
        size_t size = 12 + 4 * (size_t)random_below(&random, 5);
        for (size_t i = 0; i < size; i++) {
            input[i] = (uint8_t)random_next(&random);
        }
        if (input[0] % 4 < 2) {
            size = 1;
            for (uint64_t count = random_below(&random, 16); count > 0; count--) {
                const char *word = words[random_below(&random, ARRAY_COUNT(words))];
                memcpy(input + size, word, strlen(word));
                size += strlen(word);
            }
        }
        LLVMFuzzerTestOneInput(input, size);
    }
    return 0;
}
#endif
