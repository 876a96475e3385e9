/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * A doubly linked list through the objects themselves. A ListNode that is in no list points nowhere; a List is
 * initialised to {0}. All operations are O(1) and allocate nothing.
 */
#include <stdbool.h>
#include <stddef.h>

#include "base/cleanup.h"

typedef struct ListNode ListNode;
struct ListNode {
        ListNode *previous, *next;
};

typedef struct List {
        ListNode *first, *last;
} List;

static inline void list_append(List *list, ListNode *node)
{
        node->previous = list->last;
        node->next = NULL;
        if (list->last)
                list->last->next = node;
        else
                list->first = node;
        list->last = node;
}

static inline void list_prepend(List *list, ListNode *node)
{
        node->previous = NULL;
        node->next = list->first;
        if (list->first)
                list->first->previous = node;
        else
                list->last = node;
        list->first = node;
}

static inline void list_remove(List *list, ListNode *node)
{
        if (node->previous)
                node->previous->next = node->next;
        else
                list->first = node->next;
        if (node->next)
                node->next->previous = node->previous;
        else
                list->last = node->previous;
        node->previous = node->next = NULL;
}

static inline void list_move_last(List *list, ListNode *node)
{
        if (list->last == node)
                return;
        list_remove(list, node);
        list_append(list, node);
}
