// SPDX-License-Identifier: Apache-2.0
/*
 * An intrusive doubly linked list, after the kernel's. A link names its list in a comment where it is declared:
 * `struct list link; // instance::sessions`. An initialised link that is in no list points at itself, so that
 * list_remove() may always be called.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct list {
	struct list *prev, *next;
};

#define container_of(pointer, type, member) ((type *)((char *)(pointer)-offsetof(type, member)))

static inline void list_init(struct list *list)
{
	list->prev = list->next = list;
}

static inline bool list_empty(const struct list *list)
{
	return list->next == list;
}

/* Adds `link` at the end of `list`. */
static inline void list_append(struct list *list, struct list *link)
{
	link->prev = list->prev;
	link->next = list;
	list->prev->next = link;
	list->prev = link;
}

/* Takes `link` out of whatever list it is in, and leaves it initialised. */
static inline void list_remove(struct list *link)
{
	link->prev->next = link->next;
	link->next->prev = link->prev;
	list_init(link);
}

#define list_first(list, type, member) container_of((list)->next, type, member)

/* Walks a list. The body must not remove any element. */
#define list_for_each(item, list, member)                                                           \
	for (item = container_of((list)->next, __typeof__(*item), member); &item->member != (list); \
	     item = container_of(item->member.next, __typeof__(*item), member))

/* Walks a list. The body may remove (and free) `item`, and nothing else of the list. */
#define list_for_each_safe(item, after, list, member)                           \
	for (item = container_of((list)->next, __typeof__(*item), member),      \
	    after = container_of(item->member.next, __typeof__(*item), member); \
	     &item->member != (list);                                           \
	     item = after, after = container_of(item->member.next, __typeof__(*item), member))
