/*
 * mailbox.c: SPSC rings with doorbells.
 *
 *     core 0 ──ring 0→2──▶ core 2      bells of core 2:  [1 . . 1 ...]   one bit for each sender
 *     core 3 ──ring 3→2──▶                                0     3
 *
 * A sender puts mail into its ring to the receiver and remembers the receiver as `dirty`; once a
 * turn it sets its bit in the receiver's bells, and wakes the receiver if that sleeps. So a turn
 * costs what has arrived, not the number of cores.
 *
 * Sleeping: the receiver stores `is_parked`, then looks at its bells again; the sender sets the
 * bell, then looks at `is_parked`. Both are sequentially consistent, so one of the two sees the
 * other: no wake-up is lost. Whoever swaps `is_parked` to false wakes, so a core is woken once.
 *
 * Invariant: ring before overflow queue. While the overflow queue towards a core holds anything,
 * nothing new enters that ring, so order is kept.
 */
#include "core/mailbox.h"

#include "core/heap.h"

#include <ck_ring.h>
#include <stdatomic.h>
#include <string.h>

#define BELL_BITS 64

/* Rings are short where many cores make many of them: 16 cores have 240 rings of 256. */
#define RING_TOTAL_TARGET 4096
#define RING_CAPACITY_MIN 64
#define RING_CAPACITY_MAX 1024

/** One way: exactly one producer core, exactly one consumer core. */
struct mailbox {
    /* ---- shared: CK keeps head and tail on separate lines ---- */
    alignas(CACHE_LINE_SIZE) ck_ring_t ring;
    ck_ring_buffer_t *buffer;
    /* ---- producer ---- */
    alignas(CACHE_LINE_SIZE) struct mail *overflow_first;
    struct mail *overflow_last;
    bool is_dirty; /* posted since the last bell */
};

struct core_box {
    /* ---- written by senders ---- */
    alignas(CACHE_LINE_SIZE) _Atomic uint64_t bells[MAIL_CORE_COUNT_MAX / BELL_BITS];
    alignas(CACHE_LINE_SIZE) _Atomic bool is_parked;
    /* ---- this core's own ---- */
    alignas(CACHE_LINE_SIZE) struct mail *self_first;
    struct mail *self_last;
    uint32_t dirty_count;
    uint16_t *dirty;         /* cores with new mail from this one */
    uint32_t overflow_count; /* mailboxes with an overflow queue */
};

struct exchange {
    uint32_t core_count;
    uint32_t word_count;
    uint32_t capacity;
    exchange_wake_fn *wake;
    void *wake_context;
    struct core_box *cores;
    struct mailbox *boxes; /* [from * core_count + to] */
};

static struct mailbox *
exchange_box(const struct exchange *exchange, uint32_t from, uint32_t to)
{
    return &exchange->boxes[(size_t)from * exchange->core_count + to];
}

/* ck_ring publishes by assembler that ThreadSanitizer cannot see: it is told. */
#if defined(__SANITIZE_THREAD__)
#define RING_IS_WATCHED 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define RING_IS_WATCHED 1
#endif
#endif

#ifdef RING_IS_WATCHED
void __tsan_acquire(void *address);
void __tsan_release(void *address);
#define RING_PUBLISHED(box) __tsan_release(&(box)->ring)
#define RING_SEEN(box) __tsan_acquire(&(box)->ring)
#else
#define RING_PUBLISHED(box) ((void)0)
#define RING_SEEN(box) ((void)0)
#endif

/** False: full. Producer core only. */
static inline bool
box_put(struct mailbox *box, struct mail *mail)
{
    RING_PUBLISHED(box);
    return ck_ring_enqueue_spsc(&box->ring, box->buffer, mail);
}

/** NULL: empty. Consumer core only. */
static inline struct mail *
box_take(struct mailbox *box)
{
    void *mail;
    if (!ck_ring_dequeue_spsc(&box->ring, box->buffer, &mail)) {
        return NULL;
    }
    RING_SEEN(box);
    return mail;
}

struct exchange *
exchange_new(uint32_t core_count)
{
    ASSERT(core_count >= 1);
    ASSERT(core_count <= MAIL_CORE_COUNT_MAX);
    struct exchange *exchange = heap_alloc_lines(1, sizeof(*exchange));
    exchange->core_count = core_count;
    exchange->word_count = (core_count + BELL_BITS - 1) / BELL_BITS;
    exchange->capacity = RING_CAPACITY_MAX;
    while (exchange->capacity > RING_CAPACITY_MIN &&
           exchange->capacity * core_count > RING_TOTAL_TARGET) {
        exchange->capacity /= 2;
    }
    exchange->cores = heap_alloc_lines(core_count, sizeof(struct core_box));
    exchange->boxes = heap_alloc_lines((size_t)core_count * core_count, sizeof(struct mailbox));
    for (uint32_t from = 0; from < core_count; from++) {
        exchange->cores[from].dirty = heap_alloc_lines(core_count, sizeof(uint16_t));
        for (uint32_t to = 0; to < core_count; to++) {
            struct mailbox *box = exchange_box(exchange, from, to);
            if (from != to) {
                box->buffer = heap_alloc_lines(exchange->capacity, sizeof(ck_ring_buffer_t));
                ck_ring_init(&box->ring, exchange->capacity);
            }
        }
    }
    return exchange;
}

void
exchange_delete(struct exchange *exchange)
{
    for (uint32_t from = 0; from < exchange->core_count; from++) {
        heap_free(exchange->cores[from].dirty);
        for (uint32_t to = 0; to < exchange->core_count; to++) {
            heap_free(exchange_box(exchange, from, to)->buffer);
        }
    }
    heap_free(exchange->boxes);
    heap_free(exchange->cores);
    heap_free(exchange);
}

void
exchange_wake_set(struct exchange *exchange, exchange_wake_fn *wake, void *context)
{
    exchange->wake = wake;
    exchange->wake_context = context;
}

static void
mark_dirty(struct exchange *exchange, struct mailbox *box, uint32_t from, uint32_t to)
{
    if (!box->is_dirty) {
        box->is_dirty = true;
        struct core_box *core = &exchange->cores[from];
        core->dirty[core->dirty_count++] = (uint16_t)to;
    }
}

void
mail_post(struct exchange *exchange, uint32_t from, uint32_t to, struct mail *mail)
{
    ASSERT(to < exchange->core_count);
    struct core_box *core = &exchange->cores[from];
    mail->from = (uint16_t)from;
    mail->to = (uint16_t)to;
    mail->next = NULL;
    if (from == to) {
        if (core->self_last == NULL) {
            core->self_first = mail;
        } else {
            core->self_last->next = mail;
        }
        core->self_last = mail;
        return;
    }
    struct mailbox *box = exchange_box(exchange, from, to);
    mark_dirty(exchange, box, from, to);
    if (LIKELY(box->overflow_first == NULL) && LIKELY(box_put(box, mail))) {
        return;
    }
    if (box->overflow_first == NULL) {
        box->overflow_first = mail;
        core->overflow_count++;
    } else {
        box->overflow_last->next = mail;
    }
    box->overflow_last = mail;
}

bool
mail_has_room(struct exchange *exchange, uint32_t from, uint32_t to)
{
    if (from == to) {
        return true;
    }
    struct mailbox *box = exchange_box(exchange, from, to);
    /* Half of the ring is kept for answers, so that they seldom take the longer way. */
    return box->overflow_first == NULL && ck_ring_size(&box->ring) < exchange->capacity / 2;
}

static void
flush_overflow(struct exchange *exchange, uint32_t from)
{
    struct core_box *core = &exchange->cores[from];
    for (uint32_t to = 0; to < exchange->core_count; to++) {
        struct mailbox *box = exchange_box(exchange, from, to);
        if (box->overflow_first == NULL) {
            continue;
        }
        mark_dirty(exchange, box, from, to);
        while (box->overflow_first != NULL) {
            /* Read before the enqueue: afterwards the mail belongs to the receiver. */
            struct mail *next = box->overflow_first->next;
            if (!box_put(box, box->overflow_first)) {
                break;
            }
            box->overflow_first = next;
        }
        if (box->overflow_first == NULL) {
            box->overflow_last = NULL;
            core->overflow_count--;
        }
    }
}

void
mail_flush(struct exchange *exchange, uint32_t from)
{
    struct core_box *core = &exchange->cores[from];
    if (UNLIKELY(core->overflow_count > 0)) {
        flush_overflow(exchange, from);
    }
    for (uint32_t i = 0; i < core->dirty_count; i++) {
        uint32_t to = core->dirty[i];
        struct core_box *target = &exchange->cores[to];
        exchange_box(exchange, from, to)->is_dirty = false;
        /* Publishes the ring's contents; pairs with the exchange in mail_receive() and, being
         * sequentially consistent, with the store of is_parked in mail_park(). */
        atomic_fetch_or_explicit(&target->bells[from / BELL_BITS], 1ull << (from % BELL_BITS),
                                 memory_order_seq_cst);
        if (atomic_load_explicit(&target->is_parked, memory_order_seq_cst) &&
            atomic_exchange_explicit(&target->is_parked, false, memory_order_acq_rel) &&
            exchange->wake != NULL) {
            exchange->wake(exchange->wake_context, to);
        }
    }
    core->dirty_count = 0;
}

static uint32_t
receive_self(struct exchange *exchange, uint32_t core_index, uint32_t count_max, mail_fn *receive,
             void *context)
{
    struct core_box *core = &exchange->cores[core_index];
    uint32_t count = 0;
    while (count < count_max && core->self_first != NULL) {
        struct mail *mail = core->self_first;
        core->self_first = mail->next;
        if (core->self_first == NULL) {
            core->self_last = NULL;
        }
        receive(context, mail);
        count++;
    }
    return count;
}

uint32_t
mail_receive_from(struct exchange *exchange, uint32_t to, uint32_t from, uint32_t count_max,
                  mail_fn *receive, void *context)
{
    if (from == to) {
        return receive_self(exchange, to, count_max, receive, context);
    }
    struct mailbox *box = exchange_box(exchange, from, to);
    uint32_t count = 0;
    struct mail *mail;
    while (count < count_max && (mail = box_take(box)) != NULL) {
        receive(context, mail);
        count++;
    }
    return count;
}

uint32_t
mail_receive(struct exchange *exchange, uint32_t to, uint32_t count_max, mail_fn *receive,
             void *context)
{
    struct core_box *core = &exchange->cores[to];
    uint32_t count = receive_self(exchange, to, count_max, receive, context);
    for (uint32_t word = 0; word < exchange->word_count && count < count_max; word++) {
        if (atomic_load_explicit(&core->bells[word], memory_order_relaxed) == 0) {
            continue;
        }
        /* Pairs with the fetch_or in mail_flush(): what was enqueued before the bell is visible. */
        uint64_t bits = atomic_exchange_explicit(&core->bells[word], 0, memory_order_acquire);
        while (bits != 0) {
            uint32_t bit = (uint32_t)__builtin_ctzll(bits);
            bits &= bits - 1;
            uint32_t from = word * BELL_BITS + bit;
            uint32_t room = count_max - count;
            uint32_t taken = mail_receive_from(exchange, to, from, room, receive, context);
            count += taken;
            if (taken == room) {
                /* Possibly more: ring again for the next turn, with the bits that were not served.
                 */
                atomic_fetch_or_explicit(&core->bells[word], bits | 1ull << bit,
                                         memory_order_relaxed);
                break;
            }
        }
    }
    return count;
}

bool
mail_is_waiting(const struct exchange *exchange, uint32_t to)
{
    const struct core_box *core = &exchange->cores[to];
    if (core->self_first != NULL || core->overflow_count > 0) {
        return true;
    }
    for (uint32_t word = 0; word < exchange->word_count; word++) {
        if (atomic_load_explicit(&core->bells[word], memory_order_relaxed) != 0) {
            return true;
        }
    }
    return false;
}

bool
mail_park(struct exchange *exchange, uint32_t core_index)
{
    struct core_box *core = &exchange->cores[core_index];
    /* Pairs with mail_flush(): either it sees is_parked, or the load below sees its bell. */
    atomic_store_explicit(&core->is_parked, true, memory_order_seq_cst);
    bool has_mail = core->self_first != NULL || core->overflow_count > 0;
    for (uint32_t word = 0; word < exchange->word_count; word++) {
        has_mail |= atomic_load_explicit(&core->bells[word], memory_order_seq_cst) != 0;
    }
    if (has_mail) {
        atomic_store_explicit(&core->is_parked, false, memory_order_relaxed);
        return false;
    }
    return true;
}

void
mail_unpark(struct exchange *exchange, uint32_t core_index)
{
    atomic_store_explicit(&exchange->cores[core_index].is_parked, false, memory_order_relaxed);
}
