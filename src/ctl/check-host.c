/* SPDX-License-Identifier: MIT */
/*
 * Believes: what systemctl, ip and nft print has been the same for years in the parts that are looked at. Where one is
 * missing or may not be asked, a step is unknown, never failed.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/check.h"
#include "ctl/program.h"

enum { OUTPUT_MAX = 16 * 1024, FILTER_MAX = 1024 * 1024, WORDS_MAX = 64 };

/* An image and the two ends of a queue. */
enum { KEPT_OF_A_WORKER = 3 };

/* --- systemd --- */

/* The value in lines of `Key=value`, cut out of them; "" if there is none. The text is changed. */
static const char *property(char *lines, const char *key)
{
        size_t n = strlen(key);

        for (char *p = lines; p; p = strchr(p, '\n') ? strchr(p, '\n') + 1 : NULL)
                if (strncmp(p, key, n) == 0 && p[n] == '=') {
                        p[n + 1 + strcspn(p + n + 1, "\n")] = '\0';
                        return p + n + 1;
                }
        return "";
}

static bool unit_show(Check *check, const char *unit, const char *key, char value[static OUTPUT_MAX])
{
        const char *const argv[] = {"systemctl", "show", "--property", key, "--", unit, NULL};
        char text[OUTPUT_MAX];

        *value = '\0';
        if (!check->here || check->no_systemd)
                return false;
        check->no_systemd = program_run(argv, text, sizeof(text)) != 0;
        if (check->no_systemd)
                return false;
        (void)strcpy(value, property(text, key));
        return true;
}

/* Is it there, and known to systemd? If not, the step says why it is unknown. */
static bool unit_state(Check *check, Step *step, const char *unit, char state[static OUTPUT_MAX])
{
        if (!check->here) {
                step_unknown(step, "another host is asked (--url=)");
                return false;
        }
        if (!unit_show(check, unit, "LoadState", state)) {
                step_unknown(step, "systemd does not answer here");
                return false;
        }
        if (strcmp(state, "not-found") == 0) {
                step_unknown(step, "%s is not installed", unit);
                return false;
        }
        return unit_show(check, unit, "ActiveState", state);
}

void check_socket(Check *check, Step *step)
{
        char state[OUTPUT_MAX];

        if (!unit_state(check, step, "udp46.socket", state))
                return;
        if (strcmp(state, "active") == 0) {
                step_good(step, "udp46.socket is active");
                return;
        }
        step_fail(step, "udp46.socket is %.64s", state);
        if (strcmp(state, "failed") == 0)
                step_remedy(step, "See why with `journalctl -u udp46.socket`: most often another program has the port, "
                                  "which `ss -lunp` names.");
        else
                step_remedy(step,
                            "After `udp46 --check-config`, open the port with `systemctl enable --now udp46.socket`.");
}

void check_service(Check *check, Step *step)
{
        char state[OUTPUT_MAX];

        if (!unit_state(check, step, "udp46.service", state))
                return;
        if (strcmp(state, "active") == 0)
                step_good(step, "udp46.service is active");
        else if (strcmp(state, "failed") == 0) {
                step_fail(step, "udp46.service is failed");
                step_remedy(step, "See why with `journalctl -u udp46.service -p err`, mend it, and `systemctl start "
                                  "udp46.service`.");
        } else
                step_unknown(step, "udp46.service is %.64s; a datagram or a question starts it", state);
}

/* --- the configuration --- */

/* What ExecStart= runs, with `--check-config`. false: it is something else than udp46. */
static bool command_words(char *exec, const char *argv[static WORDS_MAX + 2])
{
        char *p = strstr(exec, "argv[]="), *end;
        size_t n = 0;

        if (!p)
                return false;
        p += strlen("argv[]=");
        end = strstr(p, " ;");
        if (end)
                *end = '\0';
        for (char *word; n < WORDS_MAX && (word = strsep(&p, " "));)
                argv[n++] = word;
        argv[n] = "--check-config";
        argv[n + 1] = NULL;
        return n > 0 && n < WORDS_MAX && strlen(argv[0]) >= 5 && strcmp(argv[0] + strlen(argv[0]) - 5, "udp46") == 0;
}

/*
 * The unit's own command line counts: what it says wins over the file. Without systemd nobody knows what the relay was
 * started with.
 */
void check_configuration(Check *check, Step *step)
{
        char exec[OUTPUT_MAX], said[OUTPUT_MAX];
        const char *argv[WORDS_MAX + 2];
        int r;

        if (!unit_state(check, step, "udp46.service", exec))
                return;
        if (!unit_show(check, "udp46.service", "ExecStart", exec) || !command_words(exec, argv)) {
                step_unknown(step, "udp46.service runs something else");
                return;
        }
        r = program_run(argv, said, sizeof(said));
        said[strcspn(said, "\n")] = '\0';
        if (r == 0)
                step_good(step, "the configuration has no mistakes");
        else if (r < 0)
                step_unknown(step, "%.128s cannot be run: %s", argv[0], strerror(-r));
        else if (strstr(said, strerror(EACCES)))
                step_unknown(step, "%.400s", said);
        else {
                step_fail(step, "%.500s", said);
                if (unit_show(check, "udp46.service", "ActiveState", said) && strcmp(said, "active") == 0)
                        step_remedy(step, "Mend that, see udp46.conf(5), then `udp46 --check-config && systemctl "
                                          "reload udp46.service`. Meanwhile the relay works with what it read before; "
                                          "a restart would end it, and all sessions.");
                else
                        step_remedy(step, "Mend that, see udp46.conf(5), then `udp46 --check-config && systemctl "
                                          "start udp46.service`.");
        }
}

/* --- what outlives a restart --- */

/* As many as workers share an address. */
static unsigned long count_workers(const json_t *status)
{
        const json_t *listeners = answer_part(status, "listeners");
        uint64_t most = 1;

        for (size_t i = 0; i < json_array_size(listeners); i++) {
                uint64_t n = answer_count(json_array_get(listeners, i), "workers");

                most = n > most ? n : most;
        }
        return most;
}

/* There may be more while a process takes over. To have none may be meant, so that nothing fails here. */
void check_kept(Check *check, Step *step)
{
        const unsigned long wanted = KEPT_OF_A_WORKER * count_workers(check->status);
        char value[OUTPUT_MAX], *end;
        unsigned long n;

        if (!unit_state(check, step, "udp46.service", value))
                return;
        (void)unit_show(check, "udp46.service", "NFileDescriptorStore", value);
        n = strtoul(value, &end, 10);
        if (!*value || *end)
                step_unknown(step, "systemd does not say what it holds");
        else if (n >= wanted)
                step_good(step, "systemd holds what the sessions need to outlive a restart, %lu descriptors", n);
        else {
                step_unknown(step, "sessions would not outlive a restart: systemd holds %lu descriptor%s of %lu", n,
                             plural(n), wanted);
                step_remedy(step, "If they shall, see FileDescriptorStoreMax= and LimitNOFILE= of udp46.service, and "
                                  "`journalctl -u udp46.service -p warning`.");
        }
}

/* --- the packet filter --- */

bool host_selects_clients(Check *check)
{
        char denied[OUTPUT_MAX];

        return unit_show(check, "udp46.socket", "IPAddressDeny", denied) && *denied;
}

/* Is it in there as a word of its own, and not in a name? */
static bool has_word(const char *line, const char *word)
{
        static const char in_names[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./@";
        const size_t n = strlen(word);

        for (const char *p = line; (p = strstr(p, word)); p += n)
                if ((p == line || !strchr(in_names, p[-1])) && (!p[n] || !strchr(in_names, p[n])))
                        return true;
        return false;
}

static bool has_one_of(const char *line, const char *const *words)
{
        for (; *words; words++)
                if (has_word(line, *words))
                        return true;
        return false;
}

/*
 * The chain on the way in of IPv4 that may throw packets away, by itself or by what it jumps to; false: there is none.
 * nft writes a tab for each brace around a line. The rules are changed.
 */
static bool find_blocker(char *rules, char *to, size_t size)
{
        static const char *const families[] = {"ip", "inet", "netdev", NULL};
        static const char *const hooks[] = {"hook prerouting", "hook input", "hook ingress", NULL};
        static const char *const stops[] = {"drop", "reject", NULL};
        static const char *const jumps[] = {"jump", "goto", "vmap", NULL};
        bool passed = false, base = false, way_in = false, stopping = false, jumping = false;
        bool jumped = false, others_stop = false; /* of the table */
        char family[16], table[64], block[64];

        *to = '\0';
        for (char *line; (line = strsep(&rules, "\n"));) {
                char *comment = strstr(line, " comment \"");

                if (comment)
                        *comment = '\0';
                if (sscanf(line, "table %15s %63s", family, table) == 2) {
                        passed = has_one_of(family, families);
                        jumped = others_stop = false;
                } else if (*line == '\t' && line[1] != '\t' && sscanf(line, "%*s %63s", block) == 1) {
                        base = way_in = stopping = jumping = false;
                } else if (strncmp(line, "\t\t", 2) == 0) {
                        base = base || has_word(line, "hook");
                        way_in = way_in || has_one_of(line, hooks);
                        stopping = stopping || has_one_of(line, stops);
                        jumping = jumping || has_one_of(line, jumps);
                } else if (strcmp(line, "\t}") == 0 && passed) {
                        others_stop = others_stop || (!base && stopping);
                        if (!way_in || !(stopping || jumping))
                                continue;
                        (void)snprintf(to, size, "%s of the table %s %s", block, family, table);
                        if (stopping)
                                return true;
                        jumped = true;
                } else if (strcmp(line, "}") == 0 && jumped && others_stop)
                        return true;
        }
        return false;
}

/* What the rules say, as far as a look for some words can tell. */
static void blame_rules(char *rules, const char *port, char *to, size_t size)
{
        char chain[160];

        if (find_blocker(rules, chain, sizeof(chain)))
                (void)snprintf(to, size,
                               "This host's nftables rules (`nft list ruleset`) throw some packets away, in the chain "
                               "%s: see whether they accept `udp dport %s`, and whether the provider's firewall does.",
                               chain, port);
        else
                (void)snprintf(to, size,
                               "No nftables rule on this host's way in drops or rejects: open UDP port %s in the "
                               "provider's firewall, and see that the client uses this host's IPv4 address and this "
                               "port.",
                               port);
}

void host_blame_filter(const Check *check, const char *port, char *to, size_t size)
{
        static const char *const nft[] = {"nft", "list", "ruleset", NULL};
        _cleanup_free_ char *rules = check->here ? malloc(FILTER_MAX) : NULL;
        int r = rules ? program_run(nft, rules, FILTER_MAX) : -ENOMEM;

        if (r == 0)
                blame_rules(rules, port, to, size);
        else if (check->here && r != -ENOENT)
                (void)snprintf(to, size,
                               "Look at this host's firewall as root (`nft list ruleset`) and at the provider's: both "
                               "must "
                               "accept UDP port %s.",
                               port);
        else if (check->here && program_exists("iptables"))
                (void)snprintf(to, size,
                               "Open UDP port %s with `iptables -I INPUT -p udp --dport %s -j ACCEPT` if this host has "
                               "rules, and in the provider's firewall.",
                               port, port);
        else
                (void)snprintf(to, size,
                               "Open UDP port %s in the provider's firewall, and see that the client uses the relay's "
                               "IPv4 address and this port.",
                               port);
}

/* --- the routing table --- */

int host_route(const Check *check, const char *address, char *said, size_t size)
{
        char host[ADDRESS_TEXT_MAX], *zone;
        const char *argv[] = {"ip", "-6", "route", "get", host, NULL, NULL, NULL};
        size_t n = strcspn(address, "]");
        int r;

        *said = '\0';
        if (!check->here || *address != '[' || n <= 1 || n > sizeof(host))
                return -EINVAL;
        memcpy(host, address + 1, n - 1);
        host[n - 1] = '\0';
        zone = strchr(host, '%');
        if (zone) {
                *zone = '\0';
                argv[5] = "oif";
                argv[6] = zone + 1;
        }
        r = program_run(argv, said, size);
        said[strcspn(said, "\n")] = '\0';
        if (r < 0)
                return r;
        return r == 0 && strncmp(said, "unreachable ", 12) != 0 && strncmp(said, "prohibit ", 9) != 0 &&
               strncmp(said, "blackhole ", 10) != 0;
}
