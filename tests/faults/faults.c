/* SPDX-License-Identifier: MIT */
/*
 * Loaded before the C library (LD_PRELOAD), it makes system calls of the daemon and its libraries fail. A wrapper
 * counts its calls, by thread, and asks the plan whether this is one that fails: then nothing is done but to set errno.
 * Only close() does its work before it fails, as the kernel does.
 *
 *   UDP46_FAULT="CALL ERROR FIRST TIMES THREAD"  the plan from the first instruction on: the FIRST-th call of that name
 *                               (from 1 on) and the TIMES - 1 behind it fail with this number; THREAD is one of
 *                               main, worker, log, resolve, other, or any.
 *   UDP46_FAULTS_PAGE=FILE      what is counted, and the plan, lie in this file while the process runs: who maps it
 *                               reads the counts and makes other plans. test_faults.py has its layout from here.
 *
 * Calls that libc makes of itself are not seen: getaddrinfo(), fgets() and getline() fail as a whole. Memory: all
 * allocations of all libraries. What is left out, and why, says test_faults.py, which compares.
 */
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/utsname.h>
#include <unistd.h>

/* Symbol, which is its name in plans, type, parameters, arguments, what it says when it fails. */
#define SIMPLE_CALLS(X)                                                                                              \
        X(socket, int, (int a, int b, int c), (a, b, c), -1)                                                         \
        X(bind, int, (int fd, const struct sockaddr *a, socklen_t n), (fd, a, n), -1)                                \
        X(connect, int, (int fd, const struct sockaddr *a, socklen_t n), (fd, a, n), -1)                             \
        X(listen, int, (int fd, int n), (fd, n), -1)                                                                 \
        X(accept4, int, (int fd, struct sockaddr *a, socklen_t *n, int flags), (fd, a, n, flags), -1)                \
        X(socketpair, int, (int a, int b, int c, int fds[2]), (a, b, c, fds), -1)                                    \
        X(recv, ssize_t, (int fd, void *p, size_t n, int flags), (fd, p, n, flags), -1)                              \
        X(recvmsg, ssize_t, (int fd, struct msghdr *m, int flags), (fd, m, flags), -1)                               \
        X(sendmsg, ssize_t, (int fd, const struct msghdr *m, int flags), (fd, m, flags), -1)                         \
        X(setsockopt, int, (int fd, int level, int name, const void *p, socklen_t n), (fd, level, name, p, n), -1)   \
        X(getsockopt, int, (int fd, int level, int name, void *p, socklen_t *n), (fd, level, name, p, n), -1)        \
        X(getsockname, int, (int fd, struct sockaddr *a, socklen_t *n), (fd, a, n), -1)                              \
        X(getpeername, int, (int fd, struct sockaddr *a, socklen_t *n), (fd, a, n), -1)                              \
        X(epoll_create1, int, (int flags), (flags), -1)                                                              \
        X(epoll_wait, int, (int e, struct epoll_event *events, int n, int t), (e, events, n, t), -1)                 \
        X(poll, int, (struct pollfd * p, nfds_t n, int t), (p, n, t), -1)                                            \
        X(eventfd, int, (unsigned n, int flags), (n, flags), -1)                                                     \
        X(timerfd_create, int, (clockid_t clock, int flags), (clock, flags), -1)                                     \
        X(timerfd_settime, int, (int fd, int flags, const struct itimerspec *t, struct itimerspec *old),             \
          (fd, flags, t, old), -1)                                                                                   \
        X(signalfd, int, (int fd, const sigset_t *set, int flags), (fd, set, flags), -1)                             \
        X(memfd_create, int, (const char *name, unsigned flags), (name, flags), -1)                                  \
        X(mmap, void *, (void *p, size_t n, int prot, int flags, int fd, off_t at), (p, n, prot, flags, fd, at),     \
          MAP_FAILED)                                                                                                \
        X(mmap64, void *, (void *p, size_t n, int prot, int flags, int fd, off64_t at), (p, n, prot, flags, fd, at), \
          MAP_FAILED)                                                                                                \
        X(ftruncate64, int, (int fd, off64_t n), (fd, n), -1)                                                        \
        X(fstat64, int, (int fd, struct stat64 *st), (fd, st), -1)                                                   \
        X(stat64, int, (const char *path, struct stat64 *st), (path, st), -1)                                        \
        X(read, ssize_t, (int fd, void *p, size_t n), (fd, p, n), -1)                                                \
        X(pread64, ssize_t, (int fd, void *p, size_t n, off64_t at), (fd, p, n, at), -1)                             \
        X(write, ssize_t, (int fd, const void *p, size_t n), (fd, p, n), -1)                                         \
        X(fopen64, FILE *, (const char *path, const char *mode), (path, mode), NULL)                                 \
        X(fdopen, FILE *, (int fd, const char *mode), (fd, mode), NULL)                                              \
        X(opendir, DIR *, (const char *path), (path), NULL)                                                          \
        X(open_memstream, FILE *, (char **p, size_t *n), (p, n), NULL)                                               \
        X(fmemopen, FILE *, (void *p, size_t n, const char *mode), (p, n, mode), NULL)                               \
        X(getrlimit64, int, (__rlimit_resource_t which, struct rlimit64 * l), (which, l), -1)                        \
        X(setrlimit64, int, (__rlimit_resource_t which, const struct rlimit64 *l), (which, l), -1)                   \
        X(uname, int, (struct utsname * u), (u), -1)                                                                 \
        X(sched_setscheduler, int, (pid_t pid, int policy, const struct sched_param *p), (pid, policy, p), -1)       \
        X(if_nametoindex, unsigned, (const char *name), (name), 0)                                                   \
        X(pthread_create, int, (pthread_t * t, const pthread_attr_t *a, void *(*run)(void *), void *p),              \
          (t, a, run, p), errno)                                                                                     \
        X(getaddrinfo, int,                                                                                          \
          (const char *host, const char *port, const struct addrinfo *hints, struct addrinfo **list),                \
          (host, port, hints, list), errno)

/* Of these the wrappers are written out below; allocations are one name, whatever asks for them. */
#define OTHER_CALLS(X) \
        X(send) X(sendmmsg) X(recvmmsg) X(epoll_ctl) X(fcntl) X(open) X(close) X(fgets) X(getline) X(malloc)

typedef enum Call {
#define X(symbol, ...) CALL_##symbol,
        SIMPLE_CALLS(X)
#undef X
#define X(name) CALL_##name,
                        OTHER_CALLS(X)
#undef X
                                        N_CALLS
} Call;

static const char *const call_names[N_CALLS] = {
#define X(symbol, ...) [CALL_##symbol] = #symbol,
                SIMPLE_CALLS(X)
#undef X
#define X(name) [CALL_##name] = #name,
                                OTHER_CALLS(X)
#undef X
};

static const char *const thread_names[] = {"main", "worker", "log", "resolve", "other"};
enum { THREAD_MAIN, THREAD_WORKER, THREAD_OTHER = 4, N_THREADS, CALLS_MAX = 64, NAME_MAX_BYTES = 24 };
enum { ANY = -1 };

/* The directions of the relay, as a worker's sockets show them. */
enum { FORWARD, REPLY, N_DIRECTIONS };

typedef struct Page {
        atomic_int call; /* ANY: none fails */
        int thread, error, reserved;
        uint64_t first, times;
        atomic_ulong seen, n_struck;
        atomic_ulong n_bad_closes;                               /* of descriptors that were not open: two owners */
        atomic_long n_blocks;                                    /* of memory, that are not free again */
        atomic_ulong received[N_DIRECTIONS], sent[N_DIRECTIONS]; /* datagrams, by workers */
        char names[CALLS_MAX][NAME_MAX_BYTES];
        atomic_ulong counts[N_THREADS][CALLS_MAX];
} Page;

static Page *page;
static _Thread_local int thread = THREAD_OTHER;

#define REAL(name) ((__typeof__(&name))real(#name))

static void *real(const char *name)
{
        return dlsym(RTLD_NEXT, name);
}

static int index_of(const char *const *names, int n, const char *name)
{
        int i = 0;

        while (i < n && strcmp(names[i], name) != 0)
                i++;
        return i < n ? i : ANY;
}

static void plan_from(const char *text)
{
        char call[NAME_MAX_BYTES], which[NAME_MAX_BYTES];

        if (!text || sscanf(text, "%23s %d %lu %lu %23s", call, &page->error, &page->first, &page->times, which) != 5)
                return;
        page->thread = index_of(thread_names, N_THREADS, which);
        page->call = index_of(call_names, N_CALLS, call);
}

__attribute__((constructor)) static void begin(void)
{
        const char *path = getenv("UDP46_FAULTS_PAGE");
        int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
        Page *mine = mmap(NULL, sizeof(Page), PROT_READ | PROT_WRITE,
                          fd >= 0 ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS, fd, 0);

        _Static_assert((int)N_CALLS <= (int)CALLS_MAX, "the page has room for all");
        if (mine == MAP_FAILED || (fd >= 0 && ftruncate(fd, sizeof(Page)) < 0))
                abort();
        if (fd >= 0)
                (void)close(fd);
        for (int i = 0; i < N_CALLS; i++)
                (void)strcpy(mine->names[i], call_names[i]);
        thread = THREAD_MAIN;
        mine->call = ANY;
        page = mine;
        plan_from(getenv("UDP46_FAULT"));
}

/* Counts a call, and says whether it fails; errno is set then. */
static bool strikes(Call call)
{
        uint64_t n;

        if (!page)
                return false;
        (void)atomic_fetch_add(&page->counts[thread][call], 1);
        if (page->call != (int)call || (page->thread != ANY && page->thread != thread))
                return false;
        n = atomic_fetch_add(&page->seen, 1) + 1;
        if (n < page->first || n - page->first >= page->times)
                return false;
        (void)atomic_fetch_add(&page->n_struck, 1);
        errno = page->error;
        return true;
}

int pthread_setname_np(pthread_t self, const char *name)
{
        int found = strncmp(name, "udp46-", 6) == 0 ? index_of(thread_names, N_THREADS, name + 6) : ANY;

        thread = found == ANY ? THREAD_OTHER : found;
        return REAL(pthread_setname_np)(self, name);
}

#define X(symbol, type, params, args, failure)                               \
        type symbol params                                                   \
        {                                                                    \
                static __typeof__(&symbol) next;                             \
                                                                             \
                if (!next)                                                   \
                        next = REAL(symbol);                                 \
                return strikes(CALL_##symbol) ? (type)(failure) : next args; \
        }
SIMPLE_CALLS(X)
#undef X

/* --- what goes through a worker's sockets --- */

static bool is_ipv6(int fd)
{
        int domain = 0;
        socklen_t length = sizeof(domain);

        return REAL(getsockopt)(fd, SOL_SOCKET, SO_DOMAIN, &domain, &length) == 0 && domain == AF_INET6;
}

/* Datagrams in a message of so many bytes: more than one if it says so. */
static unsigned long pieces(struct msghdr *header, size_t size, int type)
{
        uint16_t segment = 0;

        for (struct cmsghdr *c = CMSG_FIRSTHDR(header); c; c = CMSG_NXTHDR(header, c))
                if (c->cmsg_level == IPPROTO_UDP && c->cmsg_type == type)
                        memcpy(&segment, CMSG_DATA(c), sizeof(segment));
        return segment > 0 && size > segment ? (size + segment - 1) / segment : 1;
}

static void count_messages(atomic_ulong counts[N_DIRECTIONS], int direction, struct mmsghdr *messages, int n, int type)
{
        for (int i = 0; i < n && page && thread == THREAD_WORKER; i++)
                (void)atomic_fetch_add(&counts[direction], pieces(&messages[i].msg_hdr, messages[i].msg_len, type));
}

int recvmmsg(int fd, struct mmsghdr *messages, unsigned n_max, int flags, struct timespec *timeout)
{
        int n;

        if (strikes(CALL_recvmmsg))
                return -1;
        n = REAL(recvmmsg)(fd, messages, n_max, flags, timeout);
        if (n > 0)
                count_messages(page->received, is_ipv6(fd) ? REPLY : FORWARD, messages, n, UDP_GRO);
        return n;
}

/* A failure without an error: fewer go than were asked for. */
int sendmmsg(int fd, struct mmsghdr *messages, unsigned n_max, int flags)
{
        int n;

        if (strikes(CALL_sendmmsg)) {
                if (page->error != 0)
                        return -1;
                n_max = 1;
        }
        n = REAL(sendmmsg)(fd, messages, n_max, flags);
        if (n > 0)
                count_messages(page->sent, is_ipv6(fd) ? FORWARD : REPLY, messages, n, UDP_SEGMENT);
        return n;
}

ssize_t send(int fd, const void *bytes, size_t size, int flags)
{
        ssize_t n;

        if (strikes(CALL_send))
                return -1;
        n = REAL(send)(fd, bytes, size, flags);
        if (n >= 0 && page && thread == THREAD_WORKER)
                (void)atomic_fetch_add(&page->sent[FORWARD], 1);
        return n;
}

/* --- with an argument more, or a way of their own --- */

/* What is there already is changed and taken away without memory. */
int epoll_ctl(int set, int operation, int fd, struct epoll_event *event)
{
        return operation == EPOLL_CTL_ADD && strikes(CALL_epoll_ctl) ? -1 : REAL(epoll_ctl)(set, operation, fd, event);
}

/* Flags are read and set without memory. */
static int fcntl_either(int fd, int command, va_list ap)
{
        void *argument = va_arg(ap, void *);
        bool makes = command == F_DUPFD || command == F_DUPFD_CLOEXEC;

        return makes && strikes(CALL_fcntl) ? -1 : REAL(fcntl)(fd, command, argument);
}

int fcntl(int fd, int command, ...)
{
        va_list ap;
        int r;

        va_start(ap, command);
        r = fcntl_either(fd, command, ap);
        va_end(ap);
        return r;
}

int fcntl64(int fd, int command, ...)
{
        va_list ap;
        int r;

        va_start(ap, command);
        r = fcntl_either(fd, command, ap);
        va_end(ap);
        return r;
}

static int open_either(const char *path, int flags, va_list ap)
{
        mode_t mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(ap, mode_t) : 0;

        return strikes(CALL_open) ? -1 : REAL(open64)(path, flags, mode);
}

int open(const char *path, int flags, ...)
{
        va_list ap;
        int r;

        va_start(ap, flags);
        r = open_either(path, flags, ap);
        va_end(ap);
        return r;
}

int open64(const char *path, int flags, ...)
{
        va_list ap;
        int r;

        va_start(ap, flags);
        r = open_either(path, flags, ap);
        va_end(ap);
        return r;
}

int close(int fd)
{
        int r = REAL(close)(fd);

        if (r < 0 && errno == EBADF && page)
                (void)atomic_fetch_add(&page->n_bad_closes, 1);
        return strikes(CALL_close) ? -1 : r;
}

char *fgets(char *line, int size, FILE *file)
{
        if (!strikes(CALL_fgets))
                return REAL(fgets)(line, size, file);
        file->_flags |= _IO_ERR_SEEN;
        return NULL;
}

ssize_t __getdelim(char **line, size_t *room, int end, FILE *file)
{
        if (!strikes(CALL_getline))
                return REAL(__getdelim)(line, room, end, file);
        file->_flags |= _IO_ERR_SEEN;
        return -1;
}

/* --- memory: by the names that need no search for the next library, which would itself ask for memory --- */

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t size);
void *__libc_memalign(size_t alignment, size_t size);
void __libc_free(void *p);

static void *counted(void *p)
{
        if (p && page)
                (void)atomic_fetch_add(&page->n_blocks, 1);
        return p;
}

void *malloc(size_t size)
{
        return strikes(CALL_malloc) ? NULL : counted(__libc_malloc(size));
}

void *calloc(size_t n, size_t size)
{
        return strikes(CALL_malloc) ? NULL : counted(__libc_calloc(n, size));
}

void free(void *p)
{
        if (p && page)
                (void)atomic_fetch_sub(&page->n_blocks, 1);
        __libc_free(p);
}

void *realloc(void *p, size_t size)
{
        if (p && size == 0) {
                free(p);
                return NULL;
        }
        if (strikes(CALL_malloc))
                return NULL;
        return p ? __libc_realloc(p, size) : counted(__libc_malloc(size));
}

void *reallocarray(void *p, size_t n, size_t size)
{
        size_t bytes;

        if (__builtin_mul_overflow(n, size, &bytes)) {
                errno = ENOMEM;
                return NULL;
        }
        return realloc(p, bytes);
}

void *aligned_alloc(size_t alignment, size_t size)
{
        return strikes(CALL_malloc) ? NULL : counted(__libc_memalign(alignment, size));
}

int posix_memalign(void **ret, size_t alignment, size_t size)
{
        *ret = aligned_alloc(alignment, size);
        return *ret ? 0 : ENOMEM;
}
