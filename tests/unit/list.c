/* SPDX-License-Identifier: MIT */
#include "base/list.h"
#include "unit.h"

typedef struct Item {
        int number;
        ListNode node;
} Item;

/* Compares the list, both ways round, with the digits of a text. */
static void check_list(const List *list, const char *digits)
{
        size_t n = strlen(digits), i = 0;

        for (const ListNode *node = list->first; node; node = node->next, i++) {
                ck_assert_msg(i < n && container_of(node, Item, node)->number == digits[i] - '0', "not %s", digits);
                ck_assert_ptr_eq(node->next ? node->next->previous : list->last, node);
        }
        ck_assert_uint_eq(i, n);
        for (const ListNode *node = list->last; node; node = node->previous)
                ck_assert_int_eq(container_of(node, Item, node)->number, digits[--i] - '0');
        ck_assert_uint_eq(i, 0);
}

static void fill(List *list, Item *items, int n)
{
        *list = (List){0};
        for (int i = 0; i < n; i++) {
                items[i] = (Item){.number = i};
                list_append(list, &items[i].node);
        }
}

START_TEST(appends_in_order)
{
        List list = {0};
        Item items[3];

        check_list(&list, "");
        fill(&list, items, 1);
        check_list(&list, "0");
        fill(&list, items, 3);
        check_list(&list, "012");
}
END_TEST

START_TEST(removes_anywhere)
{
        static const char *const rests[] = {"123", "023", "013", "012"};
        List list;
        Item items[4];

        fill(&list, items, 4);
        list_remove(&list, &items[_i].node);
        check_list(&list, rests[_i]);
        ck_assert_ptr_null(items[_i].node.previous);
        ck_assert_ptr_null(items[_i].node.next);
        list_append(&list, &items[_i].node);
        ck_assert_ptr_eq(list.last, &items[_i].node);
}
END_TEST

START_TEST(removes_until_empty_and_starts_again)
{
        List list;
        Item items[3];

        fill(&list, items, 3);
        list_remove(&list, &items[1].node);
        list_remove(&list, &items[2].node);
        check_list(&list, "0");
        list_remove(&list, &items[0].node);
        check_list(&list, "");
        ck_assert_ptr_null(list.first);
        ck_assert_ptr_null(list.last);
        list_append(&list, &items[2].node);
        check_list(&list, "2");
}
END_TEST

START_TEST(moves_last)
{
        static const char *const orders[] = {"1230", "0231", "0132", "0123"};
        List list;
        Item items[4];

        fill(&list, items, 4);
        list_move_last(&list, &items[_i].node);
        check_list(&list, orders[_i]);
        list_move_last(&list, &items[_i].node);
        check_list(&list, orders[_i]);
}
END_TEST

START_TEST(moves_the_only_one)
{
        List list;
        Item item;

        fill(&list, &item, 1);
        list_move_last(&list, &item.node);
        check_list(&list, "0");
}
END_TEST

UNIT_SUITE("base/list", UNIT_TEST(appends_in_order), UNIT_LOOP(removes_anywhere, 4),
           UNIT_TEST(removes_until_empty_and_starts_again), UNIT_LOOP(moves_last, 4), UNIT_TEST(moves_the_only_one))
