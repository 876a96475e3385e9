/* SPDX-License-Identifier: MIT */
/* Believes: whoever looks wants what is true now; a View is made when it is asked for, and not before. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "daemon/viewer.h"
#include "wire/udp.h"

/* Counting 15,000 descriptors takes 10 ms before Linux 6.2, and anybody may ask as often as he likes. */
#define PROCESS_EVERY USEC_PER_SEC
enum { PROCESS_PART = 100 }; /* of the time at most */

struct Viewer {
        Workers *workers;
        const Targets *targets;
        const Log *log;
        const Restore *restore;
        usec_t watchdog;    /* 0: the service manager wants nothing */
        usec_t process_due; /* when the View's process is to be filled anew */
        View view;
        ViewSource source;
};

/* --- the process --- */

static uint64_t count_descriptors(void)
{
        struct stat found;
        DIR *directory;
        uint64_t n = 0;

        if (stat("/proc/self/fd", &found) == 0 && found.st_size > 0) /* Linux 6.2 */
                return (uint64_t)found.st_size;
        directory = opendir("/proc/self/fd");
        if (!directory)
                return 0;
        while (readdir(directory))
                n++;
        (void)closedir(directory);
        return n > 3 ? n - 3 : 0; /* the two dots and the directory itself */
}

/* The seconds since 1970 at which the clock of /proc was 0. */
static double boot_time(void)
{
        struct timespec now, up;

        (void)clock_gettime(CLOCK_REALTIME, &now);
        (void)clock_gettime(CLOCK_BOOTTIME, &up);
        return (double)(now.tv_sec - up.tv_sec) + (double)(now.tv_nsec - up.tv_nsec) / 1e9;
}

/* proc(5): the fields behind the command, which may hold anything but ends at the last parenthesis. */
static void read_stat(ViewProcess *process)
{
        const double ticks = (double)sysconf(_SC_CLK_TCK);
        unsigned long utime, stime, vsize;
        unsigned long long start;
        char line[1024], *rest;
        FILE *file = fopen("/proc/self/stat", "re");
        long rss;

        if (!file)
                return;
        rest = fgets(line, sizeof(line), file) ? strrchr(line, ')') : NULL;
        (void)fclose(file);
        if (!rest || sscanf(rest + 1,
                            " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu %*d %*d %*d %*d %*d %*d %llu %lu %ld",
                            &utime, &stime, &start, &vsize, &rss) != 5)
                return;
        process->cpu_seconds = (double)(utime + stime) / ticks;
        if (process->start_time <= 0) /* once: the clocks are read one after the other, and may be set */
                process->start_time = boot_time() + (double)start / ticks;
        process->virtual_bytes = vsize;
        process->resident_bytes = (uint64_t)rss * (uint64_t)sysconf(_SC_PAGESIZE);
}

static void fill_process(ViewProcess *process)
{
        struct rlimit files;

        *process = (ViewProcess){.open_fds = count_descriptors(), .start_time = process->start_time};
        if (getrlimit(RLIMIT_NOFILE, &files) == 0)
                process->max_fds = files.rlim_cur;
        read_stat(process);
}

/* --- the relay --- */

static uint64_t place_kernel_drops(const Place *place)
{
        uint64_t n = 0;

        for (unsigned k = 0; k < place->n_listeners; k++)
                n += udp_kernel_drops(place->listeners[k]->fd);
        return n;
}

static void fill_places(Viewer *viewer)
{
        const Place *places = workers_places(viewer->workers);

        for (size_t i = 0; i < viewer->view.n_places; i++) {
                ViewPlace *to = &viewer->view.places[i];

                *to = (ViewPlace){.name = workers_name(viewer->workers, places[i].name),
                                  .bound = places[i].bound,
                                  .first = to->first,
                                  .n_workers = places[i].n_listeners,
                                  .stats = place_stats(&places[i])};
                to->kernel_drops = place_kernel_drops(&places[i]);
        }
}

static void fill_targets(const Viewer *viewer, unsigned name, ViewName *to)
{
        const Failover *failover = targets_failover(viewer->targets, name);

        to->n_failovers = failover->n_changes;
        to->n_targets = failover->n;
        for (uint8_t i = 0; i < failover->n; i++) {
                uint8_t number = failover->order[i];
                const UpstreamState *state = targets_state(viewer->targets, name, number);
                const TargetState *target = &failover->targets[number];
                ViewTarget *one = &to->targets[i];

                *one = (ViewTarget){.address = state->confirmed > 0 ? state->address : (Address){0},
                                    .resolved = state->confirmed,
                                    .resolve_time = state->took,
                                    .last_reply = targets_last_reply(viewer->targets, name, number),
                                    .health = target_health_names[target->health],
                                    .down = target->health == TARGET_DOWN,
                                    .chosen = number == failover->chosen,
                                    .drained = target->drained,
                                    .sessions = workers_sessions_at(viewer->workers, name, number),
                                    .icmp_errors = target->seen.icmp_errors - target->icmp_before};
                (void)endpoint_format(one->upstream, &state->endpoint);
                (void)strcpy(one->why, state->why);
        }
        for (uint8_t i = 0; i < (uint8_t)UPSTREAM_TARGETS_MAX; i++) { /* those of before, too */
                const UpstreamState *state = targets_state(viewer->targets, name, i);

                to->n_resolves += state->n_answers;
                to->n_resolve_errors += state->n_errors;
                to->n_moves += state->n_moves;
        }
}

static void fill_names(Viewer *viewer)
{
        for (unsigned i = 0; i < viewer->view.n_names; i++) {
                const UpstreamState *state = targets_chosen(viewer->targets, i);
                const WorkersName counted = workers_of_name(viewer->workers, i);
                ViewName *to = &viewer->view.names[i];

                *to = (ViewName){.name = workers_name(viewer->workers, i),
                                 .sessions = counted.sessions,
                                 .peak = counted.peak,
                                 .limit = counted.limit,
                                 .unreplied_limit = counted.unreplied_limit,
                                 .by_age = {counted.by_age[0], counted.by_age[1]},
                                 .address = state->confirmed > 0 ? state->address : (Address){0},
                                 .resolved = state->confirmed,
                                 .resolve_time = state->took};
                fill_targets(viewer, i, to);
                (void)endpoint_format(to->upstream, &state->endpoint);
                (void)strcpy(to->why, state->why);
        }
}

_Static_assert((int)VIEW_LOSSES == (int)N_LOSSES, "each has its place");

static void fill_restored(const Viewer *viewer, ViewRestored *restored)
{
        *restored = (ViewRestored){.taken = viewer->restore->begun && viewer->restore->n_awaited == 0,
                                   .n = viewer->restore->n_restored,
                                   .losses = revival_loss_names,
                                   .gap = viewer->restore->gap,
                                   .parked = workers_kept(viewer->workers).parked};
        memcpy(restored->n_lost, viewer->restore->n_lost, sizeof(restored->n_lost));
}

static int64_t clock_offset(usec_t now)
{
        struct timespec real;

        (void)clock_gettime(CLOCK_REALTIME, &real);
        return (int64_t)real.tv_sec * 1000000 + real.tv_nsec / 1000 - (int64_t)now;
}

static const View *look(void *userdata)
{
        Viewer *viewer = userdata;
        const WorkersTotals totals = workers_totals(viewer->workers);
        View *view = &viewer->view;
        int64_t offset;
        usec_t after;

        view->now = clock_monotonic();
        offset = clock_offset(view->now);
        if (llabs(offset - view->clock_offset) >
            (int64_t)USEC_PER_MSEC) /* else the same moment would be told in many ways */
                view->clock_offset = offset;
        view->sessions = totals.sessions;
        view->peak = totals.peak;
        view->limit = totals.limit;
        view->unreplied = totals.unreplied;
        view->unreplied_limit = totals.unreplied_limit;
        view->log_records_lost = log_n_lost(viewer->log);
        view->worker_latency = workers_latency(viewer->workers, view->now);
        view->watchdog_age = viewer->watchdog > 0 ? usec_sub(view->now, viewer->watchdog) : 0;
        if (view->now >= viewer->process_due) {
                fill_process(&view->process);
                after = clock_monotonic();
                viewer->process_due = after + PROCESS_EVERY + PROCESS_PART * usec_sub(after, view->now);
        }
        fill_places(viewer);
        fill_names(viewer);
        fill_restored(viewer, &view->restored);
        return view;
}

void viewer_sample(Viewer *viewer, usec_t now)
{
        const WorkersTotals totals = workers_totals(viewer->workers);
        View *view = &viewer->view;
        ViewSample *sample;

        if (view->n_samples == VIEW_SAMPLES_MAX) {
                memmove(view->samples, view->samples + 1, (VIEW_SAMPLES_MAX - 1) * sizeof(ViewSample));
                view->n_samples--;
        }
        sample = &view->samples[view->n_samples++];
        *sample = (ViewSample){.at = now};
        for (Direction d = 0; d < N_DIRECTIONS; d++) {
                const DirectionStats *s = &totals.stats.directions[d];

                for (Verdict v = 0; v < N_VERDICTS; v++)
                        sample->verdicts[d][v] = counter_get(&s->verdicts[v]);
                sample->bytes[d] = counter_get(&s->bytes);
        }
        for (size_t i = 0; i < view->n_places; i++)
                sample->kernel_drops += place_kernel_drops(&workers_places(viewer->workers)[i]);
        sample->icmp_errors = counter_get(&totals.stats.icmp_errors);
}

void viewer_set_watchdog(Viewer *viewer, usec_t when)
{
        viewer->watchdog = when;
}

void viewer_set_lowered(Viewer *viewer, const char *why)
{
        viewer->view.lowered = why;
}

/* --- walks --- */

static void *walk_begin(void *userdata)
{
        return workers_walk_new(((Viewer *)userdata)->workers);
}

static bool walk_next(void *walk, ViewSliceReady ready, void *userdata)
{
        return workers_walk_next(walk, ready, userdata);
}

static void walk_end(void *walk)
{
        (void)workers_walk_free(walk);
}

/* --- birth and death --- */

static void find_firsts(View *view, const Place *places)
{
        for (size_t i = 0; i < view->n_places; i++)
                while (!address_equal(&places[view->places[i].first].bound, &places[i].bound))
                        view->places[i].first++;
}

int viewer_new(Viewer **ret, Workers *workers, const Targets *targets, const Log *log, const Restore *restore,
               const Status *status)
{
        _cleanup_(cleanup_viewer_free) Viewer *viewer = calloc(1, sizeof(Viewer));

        if (!viewer)
                return -ENOMEM;
        viewer->workers = workers;
        viewer->targets = targets;
        viewer->log = log;
        viewer->restore = restore;
        viewer->source = (ViewSource){look, walk_begin, walk_next, walk_end, viewer};
        viewer->view = (View){.started = clock_monotonic(),
                              .version = UDP46_VERSION,
                              .commit = UDP46_COMMIT,
                              .date = UDP46_DATE,
                              .reload_trouble = status->trouble,
                              .n_places = workers_n_places(workers),
                              .n_names = workers_n_names(workers)};
        viewer->view.places = calloc(viewer->view.n_places, sizeof(ViewPlace));
        viewer->view.names = calloc(viewer->view.n_names, sizeof(ViewName));
        if (!viewer->view.places || !viewer->view.names)
                return -ENOMEM;
        find_firsts(&viewer->view, workers_places(workers));
        *ret = TAKE_PTR(viewer);
        return 0;
}

Viewer *viewer_free(Viewer *viewer)
{
        if (!viewer)
                return NULL;
        free(viewer->view.places);
        free(viewer->view.names);
        free(viewer);
        return NULL;
}

const ViewSource *viewer_source(Viewer *viewer)
{
        return &viewer->source;
}
