/* SPDX-License-Identifier: MIT */
#include <dirent.h>
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "unit.h"
#include "wire/parcel.h"

static unsigned n_open(void)
{
        DIR *directory = opendir("/proc/self/fd");
        unsigned n = 0;

        ck_assert_ptr_nonnull(directory);
        while (readdir(directory))
                n++;
        (void)closedir(directory);
        return n;
}

static void close_all(const int *fds, int n)
{
        for (int i = 0; i < n; i++)
                ck_assert_int_eq(close(fds[i]), 0);
}

/* Something that can be told from others: a counter that begins at a number. */
static int thing(unsigned number)
{
        int fd = eventfd(number, EFD_CLOEXEC | EFD_NONBLOCK);

        ck_assert_int_ge(fd, 0);
        return fd;
}

static void check_thing(int fd, unsigned number)
{
        uint64_t value = 0;

        ck_assert_int_eq(read(fd, &value, sizeof(value)), sizeof(value));
        ck_assert_uint_eq(value, number);
        ck_assert_int_eq(write(fd, &value, sizeof(value)), sizeof(value)); /* for who looks next */
}

/* Things first … first + n - 1 as one parcel; the sender keeps none of them. */
static void send_things(ParcelQueue *queue, unsigned first, unsigned n)
{
        int fds[PARCEL_MAX];

        for (unsigned i = 0; i < n; i++)
                fds[i] = thing(first + i);
        ck_assert_int_eq(parcel_send(queue, fds, n), 0);
        close_all(fds, (int)n);
}

static void check_peek(ParcelQueue *queue, unsigned first, unsigned n)
{
        int fds[PARCEL_MAX];

        ck_assert_int_eq(parcel_peek(queue, fds), (int)n);
        for (unsigned i = 0; i < n; i++) {
                check_thing(fds[i], first + i);
                ck_assert(fcntl(fds[i], F_GETFD) & FD_CLOEXEC);
        }
        close_all(fds, (int)n);
}

static void check_end(ParcelQueue *queue)
{
        int fds[PARCEL_MAX];

        ck_assert_int_eq(parcel_peek(queue, fds), 0);
        ck_assert_int_eq(parcel_peek(queue, fds), 0);
}

static void queue_init(ParcelQueue *queue)
{
        ck_assert_int_eq(parcel_queue_new(queue), 0);
}

/* Whoever looks leaves everything where it is, as often as he looks; and in the order in which it came. */
START_TEST(what_is_read_stays)
{
        ParcelQueue queue;
        unsigned before;

        queue_init(&queue);
        before = n_open();
        send_things(&queue, 10, 3);
        send_things(&queue, 20, 1);
        send_things(&queue, 1000, PARCEL_MAX);
        for (unsigned i = 0; i < 3; i++) {
                ck_assert_int_eq(parcel_peek_begin(&queue), 0);
                check_peek(&queue, 10, 3);
                check_peek(&queue, 20, 1);
                check_peek(&queue, 1000, PARCEL_MAX);
                check_end(&queue);
        }
        ck_assert_uint_eq(n_open(), before);
        parcel_queue_done(&queue);
        ck_assert_uint_eq(n_open(), before - 2);
}
END_TEST

START_TEST(looking_may_begin_anew_at_any_time)
{
        ParcelQueue queue;

        queue_init(&queue);
        for (unsigned i = 0; i < 4; i++)
                send_things(&queue, 10 * (i + 1), 2);
        ck_assert_int_eq(parcel_peek_begin(&queue), 0);
        check_peek(&queue, 10, 2);
        check_peek(&queue, 20, 2);
        ck_assert_int_eq(parcel_peek_begin(&queue), 0);
        check_peek(&queue, 10, 2);
        parcel_queue_done(&queue);
}
END_TEST

START_TEST(the_oldest_is_dropped_first)
{
        ParcelQueue queue;

        queue_init(&queue);
        ck_assert_int_eq(parcel_drop(&queue), -EAGAIN);
        for (unsigned i = 0; i < 3; i++)
                send_things(&queue, 10 * (i + 1), 2);
        ck_assert_int_eq(parcel_drop(&queue), 0);
        ck_assert_int_eq(parcel_peek_begin(&queue), 0);
        check_peek(&queue, 20, 2);
        send_things(&queue, 40, 1);
        ck_assert_int_eq(parcel_drop(&queue), 0);
        ck_assert_int_eq(parcel_peek_begin(&queue), 0);
        check_peek(&queue, 30, 2);
        check_peek(&queue, 40, 1);
        check_end(&queue);
        ck_assert_int_eq(parcel_drop(&queue), 0);
        ck_assert_int_eq(parcel_drop(&queue), 0);
        ck_assert_int_eq(parcel_drop(&queue), -EAGAIN);
        ck_assert_int_eq(parcel_peek_begin(&queue), 0);
        check_end(&queue);
        parcel_queue_done(&queue);
}
END_TEST

/* The other end of a pipe tells: it lives as long as the queue holds it, whoever closed it, and not longer. */
START_TEST(what_is_in_the_queue_lives_until_it_is_dropped)
{
        ParcelQueue queue;
        int ends[2];
        char byte;

        queue_init(&queue);
        ck_assert_int_eq(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
        ck_assert_int_eq(parcel_send(&queue, &ends[1], 1), 0);
        (void)close(ends[1]);
        ck_assert_int_eq(read(ends[0], &byte, 1), -1);
        ck_assert_int_eq(errno, EAGAIN);
        ck_assert_int_eq(parcel_drop(&queue), 0);
        ck_assert_int_eq(read(ends[0], &byte, 1), 0);
        (void)close(ends[0]);
        parcel_queue_done(&queue);
}
END_TEST

/* So says the kernel: SCM_MAX_FD. */
START_TEST(a_parcel_has_room_for_253)
{
        int fds[PARCEL_MAX];
        ParcelQueue queue;

        queue_init(&queue);
        for (unsigned i = 0; i < PARCEL_MAX; i++)
                fds[i] = STDERR_FILENO;
        ck_assert_int_eq(parcel_send(&queue, fds, PARCEL_MAX), 0);
        ck_assert_int_eq(parcel_peek_begin(&queue), 0);
        ck_assert_int_eq(parcel_peek(&queue, fds), PARCEL_MAX);
        close_all(fds, PARCEL_MAX);
        check_end(&queue);
        parcel_queue_done(&queue);
}
END_TEST

/* It says so and does not wait; and it has room for what the keeper expects of it. */
START_TEST(a_queue_may_be_full)
{
        const int fd = STDERR_FILENO;
        unsigned n = 0;
        ParcelQueue queue;
        int r;

        queue_init(&queue);
        while ((r = parcel_send(&queue, &fd, 1)) >= 0)
                ck_assert_uint_lt(++n, 1 << 16);
        ck_assert_int_eq(r, -EAGAIN);
        ck_assert_uint_ge(n, 250);
        ck_assert_int_eq(parcel_drop(&queue), 0);
        while (r < 0 && parcel_drop(&queue) == 0)
                r = parcel_send(&queue, &fd, 1);
        ck_assert_int_eq(r, 0);
        parcel_queue_done(&queue);
}
END_TEST

/* As an ordinary user who may have few files open: the number of the error, or 0. */
static int send_with_few_files(void)
{
        const struct rlimit few = {40, 40};
        int fds[30], status;
        pid_t child = fork();

        ck_assert_int_ge(child, 0);
        if (child == 0) {
                ParcelQueue queue;
                int r;

                if (parcel_queue_new(&queue) < 0 || setrlimit(RLIMIT_NOFILE, &few) < 0 ||
                    setresuid(54321, 54321, 54321) < 0)
                        _exit(1);
                for (unsigned i = 0; i < ELEMENTSOF(fds); i++)
                        fds[i] = STDERR_FILENO;
                r = parcel_send(&queue, fds, ELEMENTSOF(fds));
                for (unsigned i = 0; i < 3 && r >= 0; i++)
                        r = parcel_send(&queue, fds, ELEMENTSOF(fds));
                if (r != -ETOOMANYREFS)
                        _exit(2);
                while (parcel_drop(&queue) == 0) /* they are gone at once */
                        ;
                _exit(parcel_send(&queue, fds, ELEMENTSOF(fds)) < 0 ? 3 : 0);
        }
        ck_assert_int_eq(waitpid(child, &status, 0), child);
        return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

START_TEST(a_user_may_have_no_more_on_the_way_than_open)
{
        if (geteuid() != 0) {
                (void)printf("not tested, only root can become a user of whom nothing else is on the way\n");
                return;
        }
        ck_assert_int_eq(send_with_few_files(), 0);
}
END_TEST

/* What does not fit into the process is an error that says so, and nothing of it stays open. */
START_TEST(no_room_for_what_is_read)
{
        struct rlimit files;
        int fds[PARCEL_MAX];
        ParcelQueue queue;
        unsigned before;

        queue_init(&queue);
        send_things(&queue, 1, 50);
        before = n_open();
        ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &files), 0);
        ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &(struct rlimit){before + 20, files.rlim_max}), 0);
        ck_assert_int_eq(parcel_peek_begin(&queue), 0);
        ck_assert_int_eq(parcel_peek(&queue, fds), -EMFILE);
        ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &files), 0);
        ck_assert_uint_eq(n_open(), before);
        ck_assert_int_eq(parcel_peek_begin(&queue), 0);
        check_peek(&queue, 1, 50);
        parcel_queue_done(&queue);
}
END_TEST

typedef struct Foreign {
        const char *what, *bytes;
        size_t n_bytes;
        unsigned n_fds;
} Foreign;

static const Foreign foreign[] = {
                {"a byte without anything", "p", 1, 0},
                {"nothing at all", "", 0, 0},
                {"nothing, with something", "", 0, 2},
                {"many bytes", "a letter to somebody else", 25, 0},
                {"two bytes, with something", "pp", 2, 3},
                {"many bytes, with something", "a letter to somebody else", 25, 2},
};

static void send_foreign(int fd, const Foreign *f)
{
        const int fds[3] = {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO};
        struct iovec iov = {(void *)(uintptr_t)f->bytes, f->n_bytes};
        union {
                struct cmsghdr header;
                uint8_t bytes[CMSG_SPACE(sizeof(fds))];
        } control = {.header = {CMSG_LEN(f->n_fds * sizeof(int)), SOL_SOCKET, SCM_RIGHTS}};
        struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};

        if (f->n_fds > 0) {
                message.msg_control = &control;
                message.msg_controllen = CMSG_SPACE(f->n_fds * sizeof(int));
                memcpy(CMSG_DATA(&control.header), fds, f->n_fds * sizeof(int));
        }
        ck_assert_int_eq(sendmsg(fd, &message, 0), (ssize_t)f->n_bytes);
}

/* It is refused, and nothing of it stays open. What is behind it in the queue is nobody's any more. */
START_TEST(what_somebody_else_sent_is_refused)
{
        const Foreign *f = &foreign[_i];
        int fds[PARCEL_MAX];
        ParcelQueue queue;
        unsigned before;

        queue_init(&queue);
        before = n_open();
        send_things(&queue, 10, 2);
        send_foreign(queue.in, f);
        for (unsigned i = 0; i < 2; i++) {
                ck_assert_int_eq(parcel_peek_begin(&queue), 0);
                check_peek(&queue, 10, 2);
                if (i > 0 && f->n_bytes == 0)
                        break; /* what is empty is skipped by who looks again (as of Linux 6.18) */
                ck_assert_msg(parcel_peek(&queue, fds) == -EPROTO, "%s", f->what);
                ck_assert_uint_eq(n_open(), before);
        }
        parcel_queue_done(&queue);
}
END_TEST

/* Whatever descriptor we were handed for a queue's. */
START_TEST(what_is_no_queue_is_refused)
{
        int fds[PARCEL_MAX], udp = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        ParcelQueue none = {-EBADF, -EBADF}, file = {-EBADF, thing(1)}, datagrams = {-EBADF, udp}, half;
        unsigned before;

        ck_assert_int_lt(parcel_peek_begin(&none), 0);
        ck_assert_int_lt(parcel_peek_begin(&file), 0);
        if (parcel_peek_begin(&datagrams) >= 0)
                ck_assert_int_eq(parcel_peek(&datagrams, fds), 0);
        ck_assert_int_lt(parcel_drop(&none), 0);
        parcel_queue_done(&none);
        parcel_queue_done(&file);
        parcel_queue_done(&datagrams);
        /* One end is missing: all that is in it can be read, and the end of it is an error. */
        queue_init(&half);
        send_things(&half, 10, 2);
        half.in = safe_close(half.in);
        before = n_open();
        ck_assert_int_eq(parcel_peek_begin(&half), 0);
        check_peek(&half, 10, 2);
        ck_assert_int_eq(parcel_peek(&half, fds), -EPROTO);
        ck_assert_uint_eq(n_open(), before);
        parcel_queue_done(&half);
}
END_TEST

UNIT_SUITE("wire/parcel", UNIT_TEST(what_is_read_stays), UNIT_TEST(looking_may_begin_anew_at_any_time),
           UNIT_TEST(the_oldest_is_dropped_first), UNIT_TEST(what_is_in_the_queue_lives_until_it_is_dropped),
           UNIT_TEST(a_parcel_has_room_for_253), UNIT_TEST(a_queue_may_be_full),
           UNIT_TEST(a_user_may_have_no_more_on_the_way_than_open), UNIT_TEST(no_room_for_what_is_read),
           UNIT_LOOP(what_somebody_else_sent_is_refused, ELEMENTSOF(foreign)), UNIT_TEST(what_is_no_queue_is_refused))
