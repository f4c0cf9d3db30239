/*
 * listpack_check.c: are bytes that somebody else made a listpack?
 *
 * Everything that the other functions take on trust is looked at here, once, before such bytes are
 * let in: sizes that lie within, known encodings, backlens as long and as large as what stands in
 * front of them, the end mark, the count. How an element is encoded is the maker's choice: a number
 * may be there as text, a short text with a long header.
 */
#include "shard/value/listpack_internal.h"

/** Bytes of the element with its backlen; 0: there is none that is whole. */
static uint64_t
validate_element(const unsigned char *element, uint64_t left_size)
{
    uint32_t head_size = listpack_head_size(element[0]);
    if (head_size == 0 || head_size > left_size) {
        return 0;
    }
    uint64_t size = listpack_body_size(element);
    uint32_t tail_size = listpack_backlen_size(size);
    if (size + tail_size > left_size) {
        return 0;
    }
    unsigned char tail[5];
    listpack_backlen_write(tail, size);
    return memcmp(element + size, tail, tail_size) == 0 ? size + tail_size : 0;
}

bool
listpack_validate(struct slice bytes, uint32_t *count)
{
    const unsigned char *data = (const unsigned char *)bytes.data;
    uint32_t size;
    uint16_t stored_count;
    if (bytes.size < LISTPACK_SIZE_EMPTY || bytes.size > LISTPACK_SIZE_MAX) {
        return false;
    }
    memcpy(&size, data, sizeof(size));
    memcpy(&stored_count, data + sizeof(size), sizeof(stored_count));
    if (size != bytes.size || data[size - 1] != LISTPACK_END) {
        return false;
    }
    uint32_t end = size - 1;
    uint32_t passed = 0;
    for (uint32_t at = LISTPACK_HEADER_SIZE; at < end; passed++) {
        uint64_t element = validate_element(data + at, end - at);
        if (element == 0) {
            return false;
        }
        at += (uint32_t)element;
    }
    *count = passed;
    return stored_count == LISTPACK_COUNT_UNKNOWN || stored_count == passed;
}
