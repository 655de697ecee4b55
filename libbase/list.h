/*
 * list - doubly linked lists whose links are members of the listed structs.
 *
 * The head of a list is also a link.  A link that is in no list is linked to
 * itself, so removing it twice does no harm.
 */
#ifndef LIBBASE_LIST_H
#define LIBBASE_LIST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct list_link {
	struct list_link *prev, *next;
};

/* The struct of this type whose member the pointer points to. */
#define CONTAINER_OF(pointer, type, member)                                    \
	((type *)((uintptr_t)(pointer)-offsetof(type, member)))

static inline void
list_init(struct list_link *link)
{
	link->prev = link->next = link;
}

static inline void
list_remove(struct list_link *link)
{
	link->prev->next = link->next;
	link->next->prev = link->prev;
	list_init(link);
}

static inline void
list_append(struct list_link *head, struct list_link *link)
{
	link->prev = head->prev;
	link->next = head;
	head->prev->next = link;
	head->prev = link;
}

/* Return true if the list with this head is empty. */
static inline bool
list_is_empty(const struct list_link *head)
{
	return head->next == head;
}

#endif
