/* conn_limits - see conn_limits.h. */
#include "libhttp/conn_limits.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include <xxhash.h>

/* Connections that are kept free, so that a new one can always be accepted. */
#define ROOM_MAX 64

#define TABLE_MIN 16
#define TABLE_MAX ((size_t)1 << 16)

#define KEY_BYTES 9 /* the family, and up to 64 bits of the address */

struct conn_address {
	struct conn_address *next; /* in its bucket of the table */
	struct list_link over;     /* in over_share, or in no list */
	struct list_link
	    ages; /* its connections that are not exempt, the oldest first */
	uint64_t count;
	uint8_t key[KEY_BYTES];
};

/* Addresses. */

/* An IPv4 address that is mapped into IPv6 is the same address. */
static void
make_key(const struct sockaddr *from, uint8_t key[KEY_BYTES])
{
	memset(key, 0, KEY_BYTES);
	if (from->sa_family == AF_INET) {
		const struct sockaddr_in *in = (const void *)from;

		key[0] = 4;
		memcpy(key + 1, &in->sin_addr, 4);
	} else if (from->sa_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const void *)from;
		bool mapped = IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr);

		key[0] = mapped ? 4 : 6;
		memcpy(key + 1, in6->sin6_addr.s6_addr + (mapped ? 12 : 0),
		       mapped ? 4 : 8);
	}
}

/* The pointer in the table that refers to the address, or would. */
static struct conn_address **
find_address(const struct conn_limits *limits, const uint8_t key[KEY_BYTES])
{
	uint64_t hash = XXH3_64bits_withSeed(key, KEY_BYTES, limits->seed);
	struct conn_address **at =
	    &limits->table[hash & (limits->table_size - 1)];

	while (*at && memcmp((*at)->key, key, KEY_BYTES) != 0)
		at = &(*at)->next;
	return at;
}

/* Find an address, or add it without connections.  NULL: out of memory. */
static struct conn_address *
take_address(const struct conn_limits *limits, const struct sockaddr *from)
{
	uint8_t key[KEY_BYTES];
	struct conn_address **at, *a;

	make_key(from, key);
	at = find_address(limits, key);
	a = *at;
	if (a)
		return a;
	a = calloc(1, sizeof *a);
	if (!a)
		return NULL;
	list_init(&a->over);
	list_init(&a->ages);
	memcpy(a->key, key, KEY_BYTES);
	*at = a;
	return a;
}

/* Count one connection of the address more, or one less. */
static void
count_address(struct conn_limits *limits, struct conn_address *a, bool more)
{
	bool listed = !list_is_empty(&a->over);

	a->count += more ? 1 : -1;
	if (a->count > limits->address_share && !listed)
		list_append(&limits->over_share, &a->over);
	else if (a->count <= limits->address_share && listed)
		list_remove(&a->over);
}

static void
free_address(struct conn_limits *limits, struct conn_address *a)
{
	struct conn_address **at = find_address(limits, a->key);

	*at = a->next;
	free(a);
}

/* Connections. */

int
conn_limits_init(struct conn_limits *limits, uint64_t max,
                 unsigned address_share_percent)
{
	*limits = (struct conn_limits){.max = max, .table_size = TABLE_MIN};
	limits->address_share = max * address_share_percent / 100;
	for (size_t i = 0; i < CONN_STATES_MAX; i++)
		list_init(&limits->in_state[i]);
	list_init(&limits->ages);
	list_init(&limits->over_share);
	while (limits->table_size < max && limits->table_size < TABLE_MAX)
		limits->table_size *= 2;
	/*
	 * The seed keeps a client from choosing addresses that fall into one
	 * bucket.  If there are no random bytes, the table works as well, but
	 * a client may guess the seed.
	 */
	if (getrandom(&limits->seed, sizeof limits->seed, 0) < 0)
		limits->seed = (uint64_t)(uintptr_t)limits;
	limits->table = calloc(limits->table_size, sizeof(void *));
	return limits->table ? 0 : -ENOMEM;
}

void
conn_limits_fini(struct conn_limits *limits)
{
	assert(limits->count == 0);
	free(limits->table);
	limits->table = NULL;
}

static void
append_to_state(struct conn_limits *limits, struct conn_slot *slot,
                unsigned state)
{
	assert(state < CONN_STATES_MAX);
	slot->state = state;
	slot->entered_ms = limits->now_ms;
	list_append(&limits->in_state[state], &slot->by_deadline);
}

int
conn_limits_add(struct conn_limits *limits, struct conn_slot *slot,
                unsigned state, const struct sockaddr *from)
{
	slot->address = take_address(limits, from);
	if (!slot->address)
		return -ENOMEM;
	list_init(&slot->by_age);
	list_init(&slot->by_address);
	limits->count++;
	count_address(limits, slot->address, true);
	append_to_state(limits, slot, state);
	conn_limits_refresh(limits, slot);
	return 0;
}

void
conn_limits_remove(struct conn_limits *limits, struct conn_slot *slot)
{
	assert(limits->count > 0 && slot->address->count > 0);
	list_remove(&slot->by_deadline);
	list_remove(&slot->by_age);
	list_remove(&slot->by_address);
	limits->count--;
	count_address(limits, slot->address, false);
	if (slot->address->count == 0)
		free_address(limits, slot->address);
	slot->address = NULL;
}

void
conn_limits_change_state(struct conn_limits *limits, struct conn_slot *slot,
                         unsigned state)
{
	list_remove(&slot->by_deadline);
	append_to_state(limits, slot, state);
}

void
conn_limits_exempt(struct conn_slot *slot)
{
	list_remove(&slot->by_age);
	list_remove(&slot->by_address);
}

void
conn_limits_refresh(struct conn_limits *limits, struct conn_slot *slot)
{
	list_remove(&slot->by_age);
	list_remove(&slot->by_address);
	list_append(&limits->ages, &slot->by_age);
	list_append(&slot->address->ages, &slot->by_address);
}

bool
conn_limits_full(const struct conn_limits *limits)
{
	return limits->count >= limits->max;
}

/* The address that holds the most connections beyond its share, or NULL. */
static const struct conn_address *
heaviest(const struct conn_limits *limits)
{
	const struct conn_address *most = NULL;
	const struct list_link *l = limits->over_share.next;

	/* The list has at most 100 / address_share_percent addresses. */
	for (; l != &limits->over_share; l = l->next) {
		const struct conn_address *a =
		    CONTAINER_OF(l, struct conn_address, over);

		if (!list_is_empty(&a->ages) &&
		    (!most || a->count > most->count))
			most = a;
	}
	return most;
}

struct conn_slot *
conn_limits_victim(const struct conn_limits *limits)
{
	uint64_t room = limits->max / 4 < ROOM_MAX ? limits->max / 4 : ROOM_MAX;
	const struct conn_address *a;

	if (limits->count < limits->max - room)
		return NULL;
	a = heaviest(limits);
	if (a)
		return CONTAINER_OF(a->ages.next, struct conn_slot, by_address);
	if (list_is_empty(&limits->ages))
		return NULL;
	return CONTAINER_OF(limits->ages.next, struct conn_slot, by_age);
}

struct conn_slot *
conn_limits_oldest(const struct conn_limits *limits, unsigned state)
{
	const struct list_link *head = &limits->in_state[state];

	if (list_is_empty(head))
		return NULL;
	return CONTAINER_OF(head->next, struct conn_slot, by_deadline);
}

struct conn_slot *
conn_limits_next(const struct conn_limits *limits, const struct conn_slot *slot)
{
	const struct list_link *next = slot->by_deadline.next;

	if (next == &limits->in_state[slot->state])
		return NULL;
	return CONTAINER_OF(next, struct conn_slot, by_deadline);
}

struct conn_slot *
conn_limits_overdue(const struct conn_limits *limits)
{
	for (unsigned i = 0; i < CONN_STATES_MAX; i++) {
		struct conn_slot *slot = conn_limits_oldest(limits, i);

		if (slot && limits->timeout_ms[i] > 0 &&
		    limits->now_ms - slot->entered_ms >= limits->timeout_ms[i])
			return slot;
	}
	return NULL;
}
