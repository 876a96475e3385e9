/* SPDX-License-Identifier: MIT */
/* Believes: what is printed behind the end of the buffer is of no interest, but must be read, or the program waits. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "ctl/program.h"

enum { EXIT_NO_PROGRAM = 127 };

/* Those who are not root often have no sbin in their path, where ip, nft and udp46 live. */
static char *path_whole(void)
{
        const char *path = getenv("PATH");
        char *whole;

        return asprintf(&whole, "%s:/usr/sbin:/sbin", path && *path ? path : "/usr/bin:/bin") < 0 ? NULL : whole;
}

static _Noreturn void become(const char *const argv[], int output)
{
        int nothing = open("/dev/null", O_RDONLY);
        char *path = path_whole();

        (void)signal(SIGPIPE, SIG_DFL);
        (void)setenv("LC_ALL", "C", 1);
        (void)setenv("SYSTEMD_COLORS", "0", 1);
        (void)setenv("SYSTEMD_PAGER", "", 1);
        if (path)
                (void)setenv("PATH", path, 1);
        if (nothing < 0 || dup2(nothing, STDIN_FILENO) < 0 || dup2(output, STDOUT_FILENO) < 0 ||
            dup2(output, STDERR_FILENO) < 0)
                _exit(EXIT_NO_PROGRAM);
        (void)execvp(argv[0], (char *const *)(uintptr_t)argv);
        _exit(EXIT_NO_PROGRAM);
}

/* Reads to the end. 0, or -ETIMEDOUT. */
static int read_output(int fd, char *output, size_t size)
{
        const usec_t end = usec_add(clock_monotonic(), PROGRAM_SECONDS * USEC_PER_SEC);
        size_t used = 0;

        for (;;) {
                struct pollfd ready = {.fd = fd, .events = POLLIN};
                usec_t left = usec_sub(end, clock_monotonic());
                char more[4096];
                ssize_t n;

                if (left == 0 || poll(&ready, 1, (int)(left / USEC_PER_MSEC) + 1) == 0)
                        return -ETIMEDOUT;
                n = read(fd, more, sizeof(more));
                if (n < 0 && errno == EINTR)
                        continue;
                if (n <= 0)
                        return 0;
                if ((size_t)n > size - 1 - used)
                        n = (ssize_t)(size - 1 - used);
                memcpy(output + used, more, (size_t)n);
                used += (size_t)n;
                output[used] = '\0';
        }
}

int program_run(const char *const argv[], char *output, size_t size)
{
        int ends[2], status, r;
        pid_t pid;

        *output = '\0';
        if (pipe2(ends, O_CLOEXEC) < 0)
                return -errno;
        (void)fflush(stdout);
        pid = fork();
        if (pid == 0)
                become(argv, ends[1]);
        r = pid < 0 ? -errno : 0;
        (void)safe_close(ends[1]);
        if (pid > 0) {
                r = read_output(ends[0], output, size);
                if (r < 0)
                        (void)kill(pid, SIGKILL);
                while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
                        ;
                if (r >= 0)
                        r = !WIFEXITED(status)                       ? -ECHILD
                            : WEXITSTATUS(status) == EXIT_NO_PROGRAM ? -ENOENT
                                                                     : WEXITSTATUS(status);
        }
        (void)safe_close(ends[0]);
        return r;
}

bool program_exists(const char *name)
{
        _cleanup_free_ char *path = path_whole();
        char file[4096], *rest = path;

        for (const char *part; rest && (part = strsep(&rest, ":"));) {
                int n = snprintf(file, sizeof(file), "%s/%s", *part ? part : ".", name);

                if (n > 0 && (size_t)n < sizeof(file) && access(file, X_OK) == 0)
                        return true;
        }
        return false;
}
