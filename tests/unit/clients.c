/* SPDX-License-Identifier: MIT */
/* Who may come, as it is written: in one line, and in files. */
#include <arpa/inet.h>
#include <errno.h>

#include "daemon/clients.h"
#include "unit.h"

#define LIST "list"
#define OTHER "other"

static ClientList allowed, denied;
static Filter *filter;
static char *said;

static void put(const char *path, const char *text)
{
        unit_write(path, text, strlen(text));
}

static void add(ClientList *to, const char *text)
{
        const char *why = NULL;

        ck_assert_msg(client_list_add(text, to, &why) == 0, "%s: %s", text, why);
}

/* A file of ours, by its whole path. */
static void add_file(ClientList *to, const char *name)
{
        _cleanup_free_ char *path = realpath(name, NULL);

        ck_assert_ptr_nonnull(path);
        add(to, path);
}

/* How many problems; `said` is what was said of them, and to be freed. */
static int make(void)
{
        size_t size;
        FILE *problems = open_memstream(&said, &size);
        int r;

        ck_assert_ptr_nonnull(problems);
        filter = filter_free(filter);
        r = clients_filter(&filter, &allowed, &denied, problems);
        (void)fclose(problems);
        return r;
}

static bool may(const char *text)
{
        struct in_addr client;

        ck_assert_int_eq(inet_pton(AF_INET, text, &client), 1);
        return filter_allows(filter, client);
}

static void done(void)
{
        free(said);
        filter = filter_free(filter);
}

START_TEST(lines_and_files_add_up)
{
        char text[CLIENT_LIST_TEXT_MAX];

        put(LIST, "# a block list\n192.0.2.0/24 ; SBL1\n\n  198.51.100.7\t# one\n;\n203.0.113.0/31");
        add_file(&denied, LIST);
        add(&denied, "10.0.0.0/8 192.168.0.1");
        ck_assert_int_eq(make(), 0);
        ck_assert(!may("192.0.2.77") && !may("198.51.100.7") && !may("203.0.113.1") && !may("10.1.2.3"));
        ck_assert(may("198.51.100.8") && may("203.0.113.2") && may("192.168.0.2"));
        ck_assert(strncmp(client_list_format(text, &denied), "10.0.0.0/8 192.168.0.1 /", 24) == 0);
        done();
}
END_TEST

START_TEST(an_empty_value_takes_back)
{
        add(&allowed, "192.0.2.0/24");
        add(&allowed, "");
        ck_assert_int_eq(make(), 0);
        ck_assert_ptr_null(filter);
        done();
}
END_TEST

/* A list of nobody is no list that is missing. */
START_TEST(an_empty_file_lets_nobody_in)
{
        put(LIST, "# nobody yet\n");
        add_file(&allowed, LIST);
        ck_assert_int_eq(make(), 0);
        ck_assert(!may("192.0.2.1"));
        done();
}
END_TEST

START_TEST(mistakes_are_told_by_line)
{
        put(LIST, "192.0.2.0/24\n192.0.2.1/24\nhome.example\n2001:db8::1\n1\n2\n3\n4\n");
        add_file(&denied, LIST);
        ck_assert_int_eq(make(), 7);
        ck_assert_ptr_null(filter);
        ck_assert_msg(strstr(said, "/list:2: 192.0.2.1/24: the bits after the network's length are not zero\n"), "%s",
                      said);
        ck_assert_msg(strstr(said, "/list:3: home.example: expected an IPv4 address"), "%s", said);
        ck_assert_msg(strstr(said, "/list: 2 more lines like these\n"), "%s", said);
        ck_assert_uint_eq(unit_count_lines(said), 6);
        done();
}
END_TEST

START_TEST(a_byte_order_mark)
{
        put(LIST, "\xef\xbb\xbf"
                  "192.0.2.1\n");
        add_file(&denied, LIST);
        ck_assert_int_eq(make(), 0);
        ck_assert(!may("192.0.2.1"));
        done();
}
END_TEST

/* Somebody meant both to be kept out. */
START_TEST(two_in_one_line_are_a_mistake)
{
        put(LIST, "192.0.2.1 198.51.100.7 # two\n192.0.2.2\t# one\n");
        add_file(&denied, LIST);
        ck_assert_int_eq(make(), 1);
        ck_assert_msg(strstr(said, "/list:1: 192.0.2.1 198.51.100.7: expected an IPv4 address"), "%s", said);
        done();
}
END_TEST

START_TEST(a_byte_that_is_no_text)
{
        unit_write(LIST, "192.0.2.1\n192.0.2.2\0x\n", 22);
        add_file(&denied, LIST);
        ck_assert_int_eq(make(), 1);
        ck_assert_msg(strstr(said, "/list:2: 192.0.2.2: not a text"), "%s", said);
        done();
}
END_TEST

START_TEST(files_that_cannot_be_read)
{
        add(&denied, "/nonexistent/list /dev/null /");
        ck_assert_int_eq(make(), 3);
        ck_assert_msg(strstr(said, "DenyFrom=/nonexistent/list: No such file or directory\n"), "%s", said);
        ck_assert_msg(strstr(said, "DenyFrom=/dev/null: not a regular file\n"), "%s", said);
        done();
}
END_TEST

/* As many as there may be, and one more. */
START_TEST(a_list_of_all_there_can_be)
{
        FILE *file = fopen(LIST, "we");

        ck_assert_ptr_nonnull(file);
        for (unsigned i = 0; i < CLIENT_FILE_NETWORKS_MAX; i++)
                (void)fprintf(file, "%u.%u.%u.%u\n", i >> 15, i >> 7 & 255, i << 1 & 255, 1U);
        (void)fclose(file);
        add_file(&denied, LIST);
        ck_assert_int_eq(make(), 0);
        ck_assert(!may("0.0.2.1") && may("0.0.2.2"));
        free(said);
        put(OTHER, "192.0.2.1\n");
        add_file(&denied, OTHER);
        ck_assert_int_eq(make(), 1);
        ck_assert_msg(strstr(said, "/other:1: 192.0.2.1: more networks than one list may have (262144)"), "%s", said);
        done();
}
END_TEST

START_TEST(too_many_in_one_line)
{
        char text[70 * 16] = "";
        const char *why = NULL;

        for (unsigned i = 0; i < 64; i++)
                (void)sprintf(text + strlen(text), "192.0.2.%u ", i);
        add(&allowed, text);
        ck_assert_int_eq(client_list_add("192.0.3.1", &allowed, &why), -EINVAL);
        ck_assert_msg(strstr(why, "write them into a file"), "%s", why);
        add(&allowed, "/a /b /c /d");
        ck_assert_int_eq(client_list_add("/e", &allowed, &why), -EINVAL);
        ck_assert_msg(strstr(why, "4 files"), "%s", why);
        ck_assert_uint_eq(allowed.n, 64);
}
END_TEST

START_TEST(a_file_is_named_by_its_whole_path)
{
        const char *why = NULL;

        ck_assert_int_eq(client_list_add("friends.txt", &allowed, &why), -EINVAL);
        ck_assert_msg(strstr(why, "whole path"), "%s", why);
        ck_assert_int_eq(client_list_add("192.0.2", &allowed, &why), -EINVAL);
        ck_assert_msg(!strstr(why, "path"), "%s", why);
        ck_assert_uint_eq(allowed.n + allowed.n_files, 0);
}
END_TEST

UNIT_SUITE("daemon/clients", UNIT_TEST(lines_and_files_add_up), UNIT_TEST(an_empty_value_takes_back),
           UNIT_TEST(an_empty_file_lets_nobody_in), UNIT_TEST(mistakes_are_told_by_line), UNIT_TEST(a_byte_order_mark),
           UNIT_TEST(two_in_one_line_are_a_mistake), UNIT_TEST(a_byte_that_is_no_text),
           UNIT_TEST(files_that_cannot_be_read), UNIT_TEST(a_list_of_all_there_can_be), UNIT_TEST(too_many_in_one_line),
           UNIT_TEST(a_file_is_named_by_its_whole_path))
