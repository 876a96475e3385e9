/* SPDX-License-Identifier: MIT */
#include "http/health.h"
#include "unit.h"

#define NOW (1000 * USEC_PER_MINUTE)
#define HOME "home.example:51820"
#define OFFICE "office.example:51820"
#define STARTED (400 * USEC_PER_MINUTE)

static ViewName names[2];
static ViewPlace places[2];
static View view;
static usec_t asked[2];
static Finding notes[HEALTH_NOTES_MAX];

/* One listener named relay, whose upstream has an address; nothing has happened yet. */
static void begin(void)
{
        const Address address = {.family = AF_INET6, .port = 51820};

        names[0] = (ViewName){.name = "relay", .limit = 10, .upstream = HOME, .address = address, .n_targets = 1};
        names[0].targets[0] = (ViewTarget){.upstream = HOME, .address = address, .chosen = true};
        names[1] = (ViewName){.name = "office", .limit = 10, .upstream = OFFICE, .address = address, .n_targets = 1};
        names[1].targets[0] = (ViewTarget){.upstream = OFFICE, .address = address, .chosen = true};
        places[0] = (ViewPlace){.name = "relay", .n_workers = 1};
        places[1] = (ViewPlace){.name = "office", .n_workers = 1};
        view = (View){.now = NOW,
                      .reload_trouble = "",
                      .started = STARTED,
                      .limit = 20,
                      .n_places = 1,
                      .places = places,
                      .n_names = 1,
                      .names = names};
}

static void count(unsigned place, Direction direction, Verdict verdict, uint64_t n)
{
        DirectionStats *stats = &places[place].stats.directions[direction];

        counter_add(&stats->verdicts[verdict], n);
        counter_add(&stats->received, n);
}

static Health judge(unsigned *ret_n)
{
        History history;

        history_init(&history, &view);
        *ret_n = health_notes(&view, &history, notes);
        return health_of_all(&view, asked, notes, *ret_n);
}

static void check(HealthLevel level, const char *word, const char *text)
{
        unsigned n;
        const Health health = judge(&n);

        ck_assert_str_eq(health.finding.text, text);
        ck_assert_str_eq(health.finding.word, word);
        ck_assert_int_eq(health.finding.level, level);
}

START_TEST(no_address)
{
        begin();
        names[0].address.family = 0;
        check(HEALTH_BAD, "No",
              "the address of home.example:51820 is not known: there is no answer from the name service yet");
        (void)strcpy(names[0].why, "Name or service not known");
        count(0, FORWARD, VERDICT_UPSTREAM_UNRESOLVED, 5);
        check(HEALTH_BAD, "No", "the address of home.example:51820 is not known: Name or service not known");
}
END_TEST

START_TEST(nothing_came_yet)
{
        begin();
        check(HEALTH_WAITING, "Waiting", "for the first datagram from a client to home.example:51820");
        count(0, FORWARD, VERDICT_BAD_SOURCE, 3); /* whoever that was, it was no client */
        check(HEALTH_WAITING, "Waiting",
              "for the first honest datagram to home.example:51820: so far 3 came, from where nobody can have sent");
        count(0, FORWARD, VERDICT_NOT_ALLOWED, 6);
        check(HEALTH_WAITING, "Waiting",
              "for the first client that may come to home.example:51820: of 9 that came so far, AllowFrom=/DenyFrom= "
              "kept out 6");
}
END_TEST

START_TEST(nothing_came_since_the_restart)
{
        begin();
        names[0].sessions = 1;
        check(HEALTH_WAITING, "Waiting",
              "1 session to home.example:51820 is taken over, and nothing has come since the restart");
        names[0].sessions = 900;
        check(HEALTH_WAITING, "Waiting",
              "900 sessions to home.example:51820 are taken over, and nothing has come since the restart");
        count(0, FORWARD, VERDICT_FORWARDED, 1);
        check(HEALTH_DOUBTFUL, "No answer yet", "1 datagram went to home.example:51820, and nothing has come back");
}
END_TEST

START_TEST(nothing_could_be_sent)
{
        begin();
        count(0, FORWARD, VERDICT_OVERSIZE, 1);
        check(HEALTH_BAD, "No", "the only datagram from a client could not be sent on: larger than MaxDatagramSize=");
        count(0, FORWARD, VERDICT_NO_ROUTE, 2);
        check(HEALTH_BAD, "No",
              "none of the 3 datagrams from clients could be sent on, most often this host has no route or no usable "
              "address of its own to the destination");
}
END_TEST

START_TEST(nothing_came_back)
{
        begin();
        count(0, FORWARD, VERDICT_FORWARDED, 1);
        check(HEALTH_DOUBTFUL, "No answer yet", "1 datagram went to home.example:51820, and nothing has come back");
        counter_add(&places[1].stats.icmp_errors, 1); /* another name's */
        check(HEALTH_DOUBTFUL, "No answer yet", "1 datagram went to home.example:51820, and nothing has come back");
        counter_add(&places[0].stats.icmp_errors, 2);
        check(HEALTH_DOUBTFUL, "No answer yet",
              "1 datagram went to home.example:51820, and nothing has come back but 2 ICMP errors: nothing listens "
              "there, "
              "or a firewall refuses");
}
END_TEST

START_TEST(answers_age)
{
        begin();
        count(0, FORWARD, VERDICT_FORWARDED, 9);
        names[0].targets[0].last_reply = NOW - 3 * USEC_PER_MINUTE + 1;
        check(HEALTH_GOOD, "Yes", "home.example:51820 answered 2 min 59 s ago");
        names[0].targets[0].last_reply = NOW - 3 * USEC_PER_MINUTE;
        check(HEALTH_WAITING, "Idle", "home.example:51820 last answered 3 min ago, and no open session has sent since");
        asked[0] = names[0].targets[0].last_reply + 1;
        check(HEALTH_DOUBTFUL, "Silent", "home.example:51820 last answered 3 min ago, and clients have sent since");
}
END_TEST

static void add_sample(usec_t at)
{
        view.samples[view.n_samples++] = (ViewSample){.at = at};
}

START_TEST(losses_take_from_a_good_answer)
{
        unsigned n;

        begin();
        count(0, FORWARD, VERDICT_FORWARDED, 9);
        names[0].targets[0].last_reply = NOW;
        count(0, FORWARD, VERDICT_BAD_SOURCE, 4); /* no loss */
        check(HEALTH_GOOD, "Yes", "home.example:51820 answered just now");
        count(0, FORWARD, VERDICT_OVERSIZE, 1);
        check(HEALTH_DOUBTFUL, "Partly",
              "home.example:51820 answered just now, but 1 datagram was dropped in the last 10 h, as oversize (larger "
              "than MaxDatagramSize=)");
        count(0, REPLY, VERDICT_DENIED, 2);
        (void)judge(&n);
        ck_assert_uint_eq(n, 1);
        ck_assert_str_eq(notes[0].text, "3 datagrams were dropped in the last 10 h, most of them as denied (this "
                                        "host's own firewall refused to send it)");
}
END_TEST

/* What was lost before the samples that there are begin is not of the last minutes. */
START_TEST(old_losses_are_over)
{
        begin();
        count(0, FORWARD, VERDICT_FORWARDED, 9);
        count(0, FORWARD, VERDICT_OVERSIZE, 5);
        names[0].targets[0].last_reply = NOW;
        for (unsigned i = 0; i < VIEW_SAMPLES_MAX; i++) {
                add_sample(NOW - (VIEW_SAMPLES_MAX - i) * 3 * USEC_PER_SEC);
                view.samples[i].verdicts[FORWARD][VERDICT_OVERSIZE] = 5;
        }
        check(HEALTH_GOOD, "Yes", "home.example:51820 answered just now");
}
END_TEST

/* A minute back, or as far as there are samples. */
START_TEST(points_before)
{
        History history;

        begin();
        history_init(&history, &view);
        ck_assert_uint_eq(history_before(&history, USEC_PER_MINUTE)->at, STARTED);
        for (unsigned i = 0; i < VIEW_SAMPLES_MAX; i++)
                add_sample(NOW - (VIEW_SAMPLES_MAX - i) * 7 * USEC_PER_SEC);
        history_init(&history, &view);
        ck_assert_uint_eq(history_before(&history, USEC_PER_MINUTE)->at, NOW - 63 * USEC_PER_SEC);
        ck_assert_uint_eq(history_before(&history, 0)->at, NOW - 7 * USEC_PER_SEC);
        ck_assert_uint_eq(history_before(&history, USEC_PER_HOUR)->at, view.samples[0].at);
}
END_TEST

START_TEST(kernel_drops_are_counted_from_the_first_sample_on)
{
        unsigned n;

        begin();
        places[0].kernel_drops = 70;
        (void)judge(&n);
        ck_assert_uint_eq(n, 0); /* the socket may be older than we are */
        add_sample(NOW - 5 * USEC_PER_SEC);
        view.samples[0].kernel_drops = 40;
        (void)judge(&n);
        ck_assert_uint_eq(n, 1);
        ck_assert_str_eq(notes[0].text,
                         "the kernel dropped 30 datagrams in the last 10 h, because a listener's receive buffer was "
                         "full");
}
END_TEST

START_TEST(full_tables)
{
        unsigned n;

        begin();
        names[0].sessions = view.sessions = 10;
        (void)judge(&n);
        ck_assert_uint_eq(n, 1);
        ck_assert_str_eq(notes[0].text, "all 10 sessions of the listeners named relay are taken, new clients only get "
                                        "one where another makes way");
        view.sessions = 20;
        (void)judge(&n);
        ck_assert_uint_eq(n, 1);
        ck_assert_str_eq(notes[0].text, "all 20 sessions are taken, new clients only get one where another makes way");
}
END_TEST

/* An address that stays in use though the last question failed is worth a word, and takes nothing from the answer. */
START_TEST(failing_questions)
{
        unsigned n;
        Health health;

        begin();
        count(0, FORWARD, VERDICT_FORWARDED, 9);
        names[0].targets[0].last_reply = NOW;
        names[0].resolved = NOW - USEC_PER_HOUR;
        (void)strcpy(names[0].why, "Temporary failure in name resolution");
        health = judge(&n);
        ck_assert_uint_eq(n, 1);
        ck_assert_str_eq(health.finding.word, "Yes");
        ck_assert(!health.note_is_in);
        ck_assert_str_eq(notes[0].text,
                         "the address of home.example:51820 stays in use as it was confirmed 1 h ago, since the last "
                         "question failed: Temporary failure in name resolution");
}
END_TEST

/* The relay goes on as before. */
START_TEST(a_failed_reload)
{
        unsigned n;
        Health health;

        begin();
        count(0, FORWARD, VERDICT_FORWARDED, 9);
        names[0].targets[0].last_reply = NOW;
        view.reload_trouble = "udp46.conf:1: Foo=1: unknown key";
        health = judge(&n);
        ck_assert_uint_eq(n, 1);
        ck_assert_str_eq(health.finding.word, "Yes");
        ck_assert(!health.note_is_in);
        ck_assert_str_eq(notes[0].text, "the last one failed, and the configuration before stays in force: "
                                        "udp46.conf:1: Foo=1: unknown key");
}
END_TEST

/* Who answered is not who is chosen, and of several some do not answer, or are nowhere. */
START_TEST(several_upstreams)
{
        ViewTarget *one = &names[0].targets[0], *two = &names[0].targets[1];

        begin();
        count(0, FORWARD, VERDICT_FORWARDED, 9);
        *two = *one;
        (void)strcpy(two->upstream, "away.example:51820");
        names[0].n_targets = 2;
        two->chosen = false;
        two->last_reply = NOW;
        check(HEALTH_GOOD, "Yes", "away.example:51820 answered just now, and new clients go to " HOME);
        one->last_reply = NOW;
        check(HEALTH_GOOD, "Yes", HOME " answered just now");
        two->down = true;
        check(HEALTH_GOOD, "Yes", HOME " answered just now");
        ck_assert_str_eq(notes[0].text, "away.example:51820 (number 2 of 2) does not answer");
        two->sessions = 3;
        check(HEALTH_DOUBTFUL, "Partly",
              HOME
              " answered just now, but away.example:51820 (number 2 of 2) does not answer, and 3 sessions go to it");
        two->down = false;
        two->address.family = 0;
        (void)strcpy(two->why, "no such name");
        check(HEALTH_GOOD, "Yes", HOME " answered just now");
        ck_assert_str_eq(notes[0].text, "the address of away.example:51820 (number 2 of 2) is not known: no such name");
        one->down = two->down = true;
        one->last_reply = NOW - 5 * USEC_PER_MINUTE;
        two->last_reply = 0;
        check(HEALTH_BAD, "No", "none of the 2 upstreams answers; the last that did was " HOME ", 5 min ago");
        one->last_reply = 0;
        check(HEALTH_BAD, "No", "none of the 2 upstreams has ever answered");
}
END_TEST

START_TEST(the_worst_name_speaks)
{
        begin();
        view.n_names = view.n_places = 2;
        count(0, FORWARD, VERDICT_FORWARDED, 9);
        names[0].targets[0].last_reply = NOW;
        check(HEALTH_WAITING, "Waiting", "on office, for the first datagram from a client to office.example:51820");
        count(1, FORWARD, VERDICT_FORWARDED, 1);
        names[1].targets[0].last_reply = NOW;
        check(HEALTH_GOOD, "Yes", "on relay, home.example:51820 answered just now");
}
END_TEST

/* The longest texts there can be are cut off, and not written past their end. */
START_TEST(long_texts)
{
        unsigned n;
        Health health;

        begin();
        view.n_names = 2;
        memset(names[0].upstream, 'u', sizeof(names[0].upstream) - 1);
        memset(names[0].why, 'w', sizeof(names[0].why) - 1);
        names[0].address.family = 0;
        health = judge(&n);
        ck_assert_uint_lt(strlen(health.finding.text), sizeof(health.finding.text));
        ck_assert_ptr_nonnull(strstr(health.finding.text, "wwww"));
}
END_TEST

UNIT_SUITE("http/health", UNIT_TEST(no_address), UNIT_TEST(nothing_came_yet), UNIT_TEST(nothing_came_since_the_restart),
           UNIT_TEST(nothing_could_be_sent), UNIT_TEST(nothing_came_back), UNIT_TEST(answers_age),
           UNIT_TEST(losses_take_from_a_good_answer), UNIT_TEST(old_losses_are_over), UNIT_TEST(points_before),
           UNIT_TEST(kernel_drops_are_counted_from_the_first_sample_on), UNIT_TEST(full_tables),
           UNIT_TEST(failing_questions), UNIT_TEST(a_failed_reload), UNIT_TEST(several_upstreams),
           UNIT_TEST(the_worst_name_speaks), UNIT_TEST(long_texts))
