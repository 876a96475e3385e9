/* SPDX-License-Identifier: MIT */
/*
 * Believes (libcurl 7.88): CURLOPT_LOW_SPEED_TIME counts from the moment when the request was sent, so that it bounds
 * the silence before the first byte, too. Headers are kept by libcurl, so that without a limit of ours they would fill
 * the memory. Refuses: proxies, redirections, all that is not HTTP.
 */
#include <curl/curl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "ctl/client.h"
#include "ctl/options.h"

struct Client {
        CURL *curl;
        const char *socket, *url;
        bool (*stop)(void *userdata);
        void *stop_userdata;
        char why[CLIENT_WHY_MAX];
        const char *remedy;
};

/* One question. */
typedef struct Question {
        CURL *curl;
        ClientSink sink;
        void *userdata;
        const char *refused; /* by the sink */
        size_t header_bytes;
        char said[160]; /* the beginning of an answer that is not 200 */
        size_t n_said;
} Question;

int client_new(Client **ret, const char *socket, const char *url)
{
        _cleanup_(cleanup_client_free) Client *client = calloc(1, sizeof(Client));

        if (!client || curl_global_init(CURL_GLOBAL_NOTHING) != CURLE_OK)
                return -ENOMEM;
        client->curl = curl_easy_init();
        if (!client->curl)
                return -ENOMEM;
        client->socket = url ? NULL : socket;
        client->url = url;
        client->remedy = "";
        *ret = TAKE_PTR(client);
        return 0;
}

Client *client_free(Client *client)
{
        if (!client)
                return NULL;
        curl_easy_cleanup(client->curl);
        curl_global_cleanup();
        free(client);
        return NULL;
}

void client_set_stop(Client *client, bool (*stop)(void *userdata), void *userdata)
{
        client->stop = stop;
        client->stop_userdata = userdata;
}

const char *client_place(const Client *client)
{
        return client->url ? client->url : client->socket;
}

const char *client_why(const Client *client)
{
        return client->why;
}

const char *client_remedy(const Client *client)
{
        return client->remedy;
}

/* --- what libcurl calls --- */

static size_t on_header(char *data, size_t one, size_t size, void *userdata)
{
        Question *question = userdata;

        (void)data, (void)one;
        question->header_bytes += size;
        return question->header_bytes <= CLIENT_HEADERS_MAX ? size : 0;
}

static size_t on_body(char *data, size_t one, size_t size, void *userdata)
{
        Question *question = userdata;
        size_t room = sizeof(question->said) - 1 - question->n_said, n = size < room ? size : room;
        long status = 0;

        (void)one;
        (void)curl_easy_getinfo(question->curl, CURLINFO_RESPONSE_CODE, &status);
        if (status == 200) {
                question->refused = question->sink(question->userdata, data, size);
                return question->refused ? CURL_WRITEFUNC_ERROR : size;
        }
        memcpy(question->said + question->n_said, data, n);
        question->n_said += n;
        return room > 0 ? size : CURL_WRITEFUNC_ERROR; /* more is not wanted */
}

static int on_progress(void *userdata, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
        const Client *client = userdata;

        (void)a, (void)b, (void)c, (void)d;
        return client->stop && client->stop(client->stop_userdata);
}

/* --- why it failed --- */

static void explain(Client *client, const char *remedy, const char *format, ...) __attribute__((format(printf, 3, 4)));
static void explain(Client *client, const char *remedy, const char *format, ...)
{
        va_list arguments;

        va_start(arguments, format);
        (void)vsnprintf(client->why, sizeof(client->why), format, arguments);
        va_end(arguments);
        client->remedy = remedy;
}

/*
 * What opens the relay's own socket. Nobody's sessions shall be ended for a name that was written wrong, and without
 * systemd there is no such socket.
 */
static const char *socket_remedy(const Client *client, bool missing)
{
        if (strcmp(client->socket, OPTIONS_SOCKET_DEFAULT) != 0)
                return "Name the relay's own socket with --socket=.";
        if (access("/run/systemd/system", F_OK) < 0)
                return "Without systemd start the relay with --metrics.enabled, and ask with "
                       "--url=http://127.0.0.1:9108; drain and undrain work under systemd alone, see udp46ctl(1).";
        return missing ? "Open it with `systemctl enable udp46-http.socket && systemctl restart udp46.socket`; that "
                         "ends "
                         "the open sessions."
                       : "Open it again with `systemctl restart udp46.socket`; that ends the open sessions.";
}

/* libcurl says only that it could not connect; the file system knows more. */
static void explain_socket(Client *client)
{
        struct stat st;

        if (stat(client->socket, &st) < 0 && errno != EACCES)
                explain(client, socket_remedy(client, true), "%s",
                        errno == ENOENT ? "there is no such socket" : strerror(errno));
        else if (access(client->socket, W_OK) < 0)
                explain(client, "Ask as root, or join the group with `usermod -aG udp46 USER` and log in again.",
                        "permission denied; root and members of the group udp46 may ask");
        else if (!S_ISSOCK(st.st_mode))
                explain(client, "Name the right one with --socket=.", "this is not a socket");
        else
                explain(client, socket_remedy(client, false),
                        "connection refused: nobody listens at this socket any more");
}

static void explain_connection(Client *client)
{
        long error = 0;

        (void)curl_easy_getinfo(client->curl, CURLINFO_OS_ERRNO, &error);
        if (client->socket)
                explain_socket(client);
        else
                explain(client,
                        "See that the relay listens at this address, by udp46-http.socket or --metrics.enabled, and "
                        "that no firewall is in between.",
                        "%s", error ? strerror((int)error) : "cannot connect");
}

int client_refuse(Client *client, const char *why, const char *remedy)
{
        explain(client, remedy, "%s", why);
        return -EIO;
}

static void explain_status(Client *client, const Question *question, long status)
{
        size_t n = 0;

        while (n < question->n_said && question->said[n] != '\n' && question->said[n] != '\r' && question->said[n])
                n++;
        explain(client,
                status == 403 ? "Ask by the address, or add the name to HttpHosts= in the relay's udp46.conf." : "",
                "HTTP status %ld%s%.*s", status, n > 0 ? ": " : "", (int)n, question->said);
}

static void explain_code(Client *client, const Question *question, CURLcode code)
{
        static const char look[] = "See `journalctl -u udp46.service -p err`.";

        if (question->refused)
                (void)client_refuse(client, question->refused, CLIENT_ASK_ELSEWHERE);
        else if (question->header_bytes > CLIENT_HEADERS_MAX)
                explain(client, "", "this is not udp46: endless headers");
        else
                switch (code) {
                case CURLE_COULDNT_CONNECT:
                        explain_connection(client);
                        break;
                case CURLE_COULDNT_RESOLVE_HOST:
                        explain(client, "", "the name is not known");
                        break;
                case CURLE_OPERATION_TIMEDOUT:
                        explain(client,
                                client->url ? "See that no firewall in between drops what is sent to this port, and "
                                              "that the relay runs there."
                                            : "See `systemctl status udp46.service`.",
                                "no answer in time");
                        break;
                case CURLE_GOT_NOTHING:
                        explain(client, look, "the connection was closed without an answer");
                        break;
                case CURLE_PARTIAL_FILE:
                case CURLE_RECV_ERROR:
                        explain(client, look, "the answer is cut off");
                        break;
                case CURLE_UNSUPPORTED_PROTOCOL:
                case CURLE_WEIRD_SERVER_REPLY:
                        explain(client, "", "this is not HTTP");
                        break;
                default:
                        explain(client, "", "%s", curl_easy_strerror(code));
                }
}

/* --- asking --- */

static CURLcode prepare(Client *client, Question *question, const char *url)
{
        CURL *curl = client->curl;
        CURLcode code = CURLE_OK;

#define SET(option, value)                                            \
        do {                                                          \
                if (code == CURLE_OK)                                 \
                        code = curl_easy_setopt(curl, option, value); \
        } while (0)
        curl_easy_reset(curl);
        SET(CURLOPT_URL, url);
        if (client->socket)
                SET(CURLOPT_UNIX_SOCKET_PATH, client->socket);
        SET(CURLOPT_PROTOCOLS_STR, "http");
        SET(CURLOPT_PROXY, "");
        SET(CURLOPT_NOSIGNAL, 1L);
        SET(CURLOPT_FRESH_CONNECT, 1L); /* the server closes each of its connections */
        SET(CURLOPT_FORBID_REUSE, 1L);
        SET(CURLOPT_CONNECTTIMEOUT, (long)CLIENT_SILENCE_SECONDS);
        SET(CURLOPT_LOW_SPEED_LIMIT, 1L);
        SET(CURLOPT_LOW_SPEED_TIME, (long)CLIENT_SILENCE_SECONDS);
        SET(CURLOPT_TIMEOUT, (long)CLIENT_WHOLE_SECONDS);
        SET(CURLOPT_HEADERFUNCTION, on_header);
        SET(CURLOPT_HEADERDATA, question);
        SET(CURLOPT_WRITEFUNCTION, on_body);
        SET(CURLOPT_WRITEDATA, question);
        SET(CURLOPT_NOPROGRESS, 0L);
        SET(CURLOPT_XFERINFOFUNCTION, on_progress);
        SET(CURLOPT_XFERINFODATA, client);
#undef SET
        return code;
}

int client_get(Client *client, const char *resource, ClientSink sink, void *userdata)
{
        Question question = {.curl = client->curl, .sink = sink, .userdata = userdata};
        const char *base = client->url ? client->url : "http://localhost";
        _cleanup_free_ char *url = NULL;
        size_t n = strlen(base);
        long status = 0;
        CURLcode code;

        while (n > 0 && base[n - 1] == '/')
                n--;
        if (asprintf(&url, "%.*s%s", (int)n, base, resource) < 0) {
                url = NULL;
                explain(client, "", "out of memory");
                return -EIO;
        }
        code = prepare(client, &question, url);
        if (code == CURLE_OK)
                code = curl_easy_perform(client->curl);
        if (code == CURLE_ABORTED_BY_CALLBACK)
                return -ECANCELED;
        (void)curl_easy_getinfo(client->curl, CURLINFO_RESPONSE_CODE, &status);
        if (question.n_said > 0 || (code == CURLE_OK && status != 200))
                explain_status(client, &question, status);
        else if (code != CURLE_OK)
                explain_code(client, &question, code);
        else
                return 0;
        return -EIO;
}
