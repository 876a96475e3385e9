/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <ftw.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "unit.h"

enum { TEST_TIMEOUT = 30 /* seconds */ };

static int stderr_saved = -EBADF, stderr_file = -EBADF;

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
        (void)st, (void)type, (void)ftw;
        (void)remove(path);
        return 0;
}

int unit_main(const char *title, const UnitTest *tests, size_t n)
{
        char directory[] = "/tmp/udp46-unit-XXXXXX";
        Suite *suite = suite_create(title);
        SRunner *runner = srunner_create(suite);
        int n_failed;

        if (!mkdtemp(directory) || chdir(directory) < 0) {
                perror(directory);
                return EXIT_FAILURE;
        }
        for (size_t i = 0; i < n; i++) {
                TCase *tcase = tcase_create(tests[i].test->name);

                tcase_set_timeout(tcase, TEST_TIMEOUT);
                tcase_add_loop_test(tcase, tests[i].test, 0, tests[i].n);
                suite_add_tcase(suite, tcase);
        }
        srunner_run_all(runner, CK_NORMAL);
        n_failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        if (chdir("/") == 0)
                (void)nftw(directory, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
        return n_failed > 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

void unit_write(const char *name, const void *data, size_t size)
{
        FILE *file = fopen(name, "we");

        ck_assert_msg(file && fwrite(data, 1, size, file) == size && fclose(file) == 0, "%s cannot be written", name);
}

void unit_text_init(UnitText *text)
{
        *text = (UnitText){0};
        text->to = open_memstream(&text->text, &text->size);
        ck_assert_ptr_nonnull(text->to);
}

const char *unit_text(UnitText *text)
{
        ck_assert_int_eq(fflush(text->to), 0);
        return text->text;
}

void unit_text_done(UnitText *text)
{
        (void)fclose(text->to);
        free(text->text);
        *text = (UnitText){0};
}

unsigned unit_count(const char *text, const char *part)
{
        unsigned n = 0;

        for (const char *p = strstr(text, part); p; p = strstr(p + strlen(part), part))
                n++;
        return n;
}

unsigned unit_count_lines(const char *text)
{
        return unit_count(text, "\n");
}

void unit_stderr_begin(void)
{
        stderr_saved = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
        stderr_file = memfd_create("stderr", MFD_CLOEXEC);
        ck_assert_int_ge(stderr_saved, 0);
        ck_assert_int_ge(stderr_file, 0);
        ck_assert_int_eq(dup2(stderr_file, STDERR_FILENO), STDERR_FILENO);
}

static char *stderr_text(void)
{
        struct stat file;
        char *text;

        /* Not by lseek(2): who writes has the same file offset. */
        ck_assert_int_eq(fstat(stderr_file, &file), 0);
        text = calloc(1, (size_t)file.st_size + 1);
        ck_assert_ptr_nonnull(text);
        ck_assert_int_eq(pread(stderr_file, text, (size_t)file.st_size, 0), file.st_size);
        return text;
}

unsigned unit_stderr_count(const char *part)
{
        char *text = stderr_text();
        unsigned n = unit_count(text, part);

        free(text);
        return n;
}

char *unit_stderr_end(void)
{
        char *text = stderr_text();

        ck_assert_int_eq(dup2(stderr_saved, STDERR_FILENO), STDERR_FILENO);
        stderr_saved = safe_close(stderr_saved);
        stderr_file = safe_close(stderr_file);
        return text;
}

int unit_stderr_stall(void)
{
        char page[4096] = {0};
        int ends[2];

        ck_assert_int_eq(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
        while (write(ends[1], page, sizeof(page)) > 0)
                ;
        ck_assert_int_eq(fcntl(ends[1], F_SETFL, 0), 0); /* who writes waits, as on a terminal */
        ck_assert_int_eq(dup2(ends[1], STDERR_FILENO), STDERR_FILENO);
        (void)close(ends[1]);
        return ends[0];
}

static bool write_text(const char *path, const char *text)
{
        int fd = open(path, O_WRONLY | O_CLOEXEC);
        bool good = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

        (void)safe_close(fd);
        return good;
}

/* Root of a user namespace. */
static bool become_root(void)
{
        char users[64], groups[64];

        (void)snprintf(users, sizeof(users), "0 %u 1", geteuid());
        (void)snprintf(groups, sizeof(groups), "0 %u 1", getegid());
        return unshare(CLONE_NEWUSER) == 0 && write_text("/proc/self/uid_map", users) &&
               write_text("/proc/self/setgroups", "deny") && write_text("/proc/self/gid_map", groups);
}

static bool own(int namespace, const char *what)
{
        if (unshare(namespace) == 0 || (become_root() && unshare(namespace) == 0))
                return true;
        (void)printf("not tested, %s of one's own are not allowed here\n", what);
        (void)fflush(stdout);
        return false;
}

bool unit_own_network(void)
{
        struct ifreq request = {.ifr_name = "lo"};
        int fd;

        if (!own(CLONE_NEWNET, "networks"))
                return false;
        fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        ck_assert_int_ge(fd, 0);
        ck_assert_int_eq(ioctl(fd, SIOCGIFFLAGS, &request), 0);
        request.ifr_flags = (short)(request.ifr_flags | IFF_UP);
        ck_assert_int_eq(ioctl(fd, SIOCSIFFLAGS, &request), 0);
        (void)close(fd);
        return true;
}

bool unit_own_mounts(void)
{
        if (!own(CLONE_NEWNS, "mounts"))
                return false;
        ck_assert_int_eq(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
        return true;
}

bool unit_own_ports(unsigned low, unsigned high)
{
        char text[32];

        (void)snprintf(text, sizeof(text), "%u %u", low, high);
        return write_text("/proc/sys/net/ipv4/ip_local_port_range", text);
}

bool unit_run(const char *command)
{
        return system(command) == 0;
}

int unit_fd_high(int fd)
{
        int high = fcntl(fd, F_DUPFD_CLOEXEC, 100);

        ck_assert_int_ge(high, 100);
        (void)close(fd);
        return high;
}
