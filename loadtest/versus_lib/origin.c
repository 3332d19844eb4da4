/* Two origins in one process: the cheapest HTTP/1.1 server that is still honest, so that the proxy is what is measured.
 *
 * origin NAME=PORT NAME=PORT ...   listens on 127.0.0.1, one thread, one epoll set for all ports.
 *
 * GET /128, /16k, /256k answer 128 B, 16 KiB and 256 KiB; /whoami answers the request head as the origin saw it; every
 * other path answers 128 B. Each answer carries X-Backend: NAME. A request body with a Content-Length is read whole before the
 * answer is written, so that a POST cannot be answered early. A chunked request body gets 501: no proxy under test has a
 * reason to send one here, and a silent mistake would be counted as a fast answer. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MAX_FDS = 65536, MAX_ORIGINS = 8, HEAD = 16384, SIZES = 3 };

struct answer { char *bytes; size_t length; };
struct origin { const char *name; struct answer fixed[SIZES]; };
struct conn {
    struct origin *origin;
    size_t filled, body_left, out_left;
    const char *out;
    char *owned; /* an answer made for one request, freed when sent */
    int closing, answer;
    char head[HEAD];
};

static const size_t sizes[SIZES] = {128, 16 * 1024, 256 * 1024};
static struct origin origins[MAX_ORIGINS];
static struct conn *conns[MAX_FDS];
static struct origin *listeners[MAX_FDS];
static int poller;

static void die(const char *what) { perror(what); exit(1); }

static size_t head_of(char *to, size_t room, const char *status, size_t length, const char *name, int closing) {
    return (size_t)snprintf(to, room,
        "HTTP/1.1 %s\r\nContent-Type: text/plain\r\nContent-Length: %zu\r\nX-Backend: %s\r\n%s\r\n",
        status, length, name, closing ? "Connection: close\r\n" : "");
}

static void watch(int fd, int op, unsigned events) {
    struct epoll_event event = {.events = events, .data.fd = fd};
    if (epoll_ctl(poller, op, fd, &event)) die("epoll_ctl");
}

static void drop(int fd) {
    free(conns[fd]->owned);
    free(conns[fd]);
    conns[fd] = NULL;
    close(fd);
}

/* Returns 0 when the connection is gone, 1 when all was sent, 2 when the socket is full. */
static int send_rest(int fd) {
    struct conn *c = conns[fd];
    while (c->out_left) {
        ssize_t n = send(fd, c->out, c->out_left, MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN) return 2;
        if (n <= 0) { drop(fd); return 0; }
        c->out += n;
        c->out_left -= (size_t)n;
    }
    free(c->owned);
    c->owned = NULL;
    if (c->closing) { drop(fd); return 0; }
    return 1;
}

static void answer_own(struct conn *c, const char *status, const char *body, size_t length) {
    c->owned = malloc(length + 256);
    if (!c->owned) die("malloc");
    size_t at = head_of(c->owned, 256, status, length, c->origin->name, c->closing);
    memcpy(c->owned + at, body, length);
    c->out = c->owned;
    c->out_left = at + length;
}

/* Reads what the head asks for: which answer, how long a body follows, whether the connection ends. */
static void read_head(struct conn *c, size_t length) {
    char *line = c->head, *end = c->head + length;
    c->answer = 0;
    c->closing = memmem(line, length, " HTTP/1.0\r\n", 11) != NULL;
    char *path = memchr(line, ' ', length);
    if (path && !strncmp(path, " /16k", 5)) c->answer = 1;
    else if (path && !strncmp(path, " /256k", 6)) c->answer = 2;
    else if (path && !strncmp(path, " /whoami", 8)) c->answer = -1;
    while ((line = memchr(line, '\n', (size_t)(end - line))) && ++line < end) {
        if (!strncasecmp(line, "content-length:", 15)) c->body_left = strtoul(line + 15, NULL, 10);
        else if (!strncasecmp(line, "transfer-encoding:", 18)) { c->answer = -2; c->closing = 1; }
        else if (!strncasecmp(line, "connection: close", 17)) c->closing = 1;
    }
}

static void start_answer(struct conn *c, size_t head) {
    if (c->answer == -2) answer_own(c, "501 Not Implemented", "", 0);
    else if (c->answer == -1) answer_own(c, "200 OK", c->head, head);
    else if (c->closing) {
        struct answer *a = &c->origin->fixed[c->answer];
        answer_own(c, "200 OK", a->bytes + a->length - sizes[c->answer], sizes[c->answer]);
    } else {
        c->out = c->origin->fixed[c->answer].bytes;
        c->out_left = c->origin->fixed[c->answer].length;
    }
}

/* Handles all whole requests in the buffer. Returns 0 when the connection is gone or waits to send. */
static int handle(int fd) {
    struct conn *c = conns[fd];
    for (;;) {
        char *end = memmem(c->head, c->filled, "\r\n\r\n", 4);
        if (!end) {
            if (c->filled == HEAD) drop(fd);
            return conns[fd] != NULL;
        }
        size_t head = (size_t)(end - c->head) + 4;
        c->body_left = 0;
        read_head(c, head);
        size_t have = c->filled - head, took = have < c->body_left ? have : c->body_left;
        c->body_left -= took;
        char sink[65536];
        while (c->body_left) { /* what has arrived of the body; on_readable takes the rest */
            ssize_t n = recv(fd, sink, c->body_left < sizeof sink ? c->body_left : sizeof sink, 0);
            if (n > 0) { c->body_left -= (size_t)n; continue; }
            if (n < 0 && errno == EAGAIN) { c->filled = head; return 1; }
            drop(fd);
            return 0;
        }
        start_answer(c, head);
        memmove(c->head, c->head + head + took, have - took);
        c->filled = have - took;
        int sent = send_rest(fd);
        if (sent == 2) watch(fd, EPOLL_CTL_MOD, EPOLLOUT);
        if (sent != 1) return 0;
    }
}

static void on_readable(int fd) {
    struct conn *c = conns[fd];
    if (c->body_left) { /* the rest of a request body */
        char sink[65536];
        while (c->body_left) {
            ssize_t n = recv(fd, sink, c->body_left < sizeof sink ? c->body_left : sizeof sink, 0);
            if (n < 0 && errno == EAGAIN) return;
            if (n <= 0) { drop(fd); return; }
            c->body_left -= (size_t)n;
        }
        start_answer(c, c->filled);
        c->filled = 0;
        if (send_rest(fd) == 2) watch(fd, EPOLL_CTL_MOD, EPOLLOUT);
        return;
    }
    ssize_t n = recv(fd, c->head + c->filled, HEAD - c->filled, 0);
    if (n < 0 && errno == EAGAIN) return;
    if (n <= 0) { drop(fd); return; }
    c->filled += (size_t)n;
    handle(fd);
}

static void on_acceptable(int listener) {
    int fd, one = 1;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        if (fd >= MAX_FDS) { close(fd); continue; }
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        conns[fd] = calloc(1, sizeof **conns);
        if (!conns[fd]) die("calloc");
        conns[fd]->origin = listeners[listener];
        watch(fd, EPOLL_CTL_ADD, EPOLLIN);
    }
}

static void open_origin(struct origin *o, char *argument) {
    char *equals = strchr(argument, '=');
    if (!equals) { fprintf(stderr, "usage: origin NAME=PORT ...\n"); exit(2); }
    *equals = 0;
    o->name = argument;
    for (int i = 0; i < SIZES; i++) {
        o->fixed[i].bytes = malloc(sizes[i] + 256);
        if (!o->fixed[i].bytes) die("malloc");
        size_t head = head_of(o->fixed[i].bytes, 256, "200 OK", sizes[i], o->name, 0);
        memset(o->fixed[i].bytes + head, 'w', sizes[i]);
        o->fixed[i].length = head + sizes[i];
    }
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((unsigned short)atoi(equals + 1)),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), one = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof at) || listen(fd, 4096)) die("origin listen");
    listeners[fd] = o;
    watch(fd, EPOLL_CTL_ADD, EPOLLIN);
}

int main(int argc, char **argv) {
    signal(SIGPIPE, SIG_IGN);
    poller = epoll_create1(EPOLL_CLOEXEC);
    for (int i = 1; i < argc && i <= MAX_ORIGINS; i++) open_origin(&origins[i - 1], argv[i]);
    struct epoll_event events[256];
    for (;;) {
        int n = epoll_wait(poller, events, 256, -1);
        for (int i = 0; i < n; i++) {
            int fd = events[i].data.fd;
            if (listeners[fd]) { on_acceptable(fd); continue; }
            if (!conns[fd]) continue;
            if (events[i].events & EPOLLOUT) {
                if (send_rest(fd) != 1) continue;
                watch(fd, EPOLL_CTL_MOD, EPOLLIN);
                if (!handle(fd)) continue;
            } else on_readable(fd);
        }
    }
}
