/* The load generator of `ztad bench`: drives HTTP/1.1 connections and writes down what comes back.
 *
 * Standard input has the job as services/bench/load.py writes it: "name value" lines, an
 * empty line, and the head of every request up to the length of its body. Standard output gets what
 * was found, as JSON. In a closed loop each connection sends when it has its answer. At a rate,
 * requests are due at fixed moments whatever the server does: one that finds no free connection
 * waits, and its time counts from the moment it was due. */
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "answer.h"
#include "traffic.h"

/* A request without an answer for so long is given up, seconds. */
#define PATIENCE_S 15.0
/* Pause before a lost connection is made again, seconds. */
#define RECONNECT_S 0.05
/* How often all connections are looked at for either, seconds. */
#define LOOK_S 0.01
#define READ_AT_ONCE 65536
#define EVENTS_AT_ONCE 256
/* Of what stands between a head and its body: a number of ten digits and an empty line. */
#define LENGTH_SIZE 14

/* What stands in place of a status when there was no answer. */
enum { REFUSED, LOST, TIMEOUT, BAD_ANSWER, NOT_SENT };
static const char *const NO_ANSWER[] = {
    "refused", "connection lost", "timeout", "malformed answer", "not sent"};

enum state { CLOSED, CONNECTING, FREE, BUSY };

struct connection {
    int fd;
    enum state state;
    double since; /* its request was sent or due; CLOSED: when to connect again */
    size_t written;
    struct buffer out, in;
};

struct record {
    double sent, answered;
    int status; /* or one of NO_ANSWER */
    bool degraded;
};

struct load {
    char host[256], port[8];
    double seconds, rate;
    long connections, events;
    enum framing framing;
    struct buffer head;
    struct traffic traffic;
    struct addrinfo *address;
    int epoll, timer;
    double start, until, next_look;
    double due; /* at a rate: the moment of the next request */
    uint64_t asked;
    struct connection *all;
    long busy;
    struct record *records;
    size_t recorded, room;
    unsigned long verdicts, alerts, degraded, duplicates, refused;
};

static double clock_s(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static double cpu_s(void) {
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    return (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
           (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

/* ---- what is written down ---- */

static void record(struct load *load, double sent, double now, int status, bool degraded) {
    if (load->recorded == load->room) {
        load->room = load->room ? 2 * load->room : 1 << 16;
        load->records = realloc(load->records, load->room * sizeof *load->records);
        if (load->records == NULL) err(1, "memory for %zu records", load->room);
    }
    load->records[load->recorded++] = (struct record){sent, now, status, degraded};
}

/* How often `"NAME":true` is there for each of three names: one pass for all of them. */
static unsigned long count_flags(struct load *load, const char *at, const char *end) {
    unsigned long degraded = 0;
    const char *begin = at;
    while ((at = memmem(at, (size_t)(end - at), "\":true", 6)) != NULL) {
        size_t before = (size_t)(at - begin);
        degraded += before >= 9 && memcmp(at - 9, "\"degraded", 9) == 0;
        load->alerts += before >= 11 && memcmp(at - 11, "\"is_anomaly", 11) == 0;
        load->duplicates += before >= 10 && memcmp(at - 10, "\"duplicate", 10) == 0;
        at += 6;
    }
    load->degraded += degraded;
    return degraded;
}

/* How often these bytes are there. */
static unsigned long count(const char *bytes, const char *at, const char *end) {
    size_t size = strlen(bytes);
    unsigned long found = 0;
    for (; (at = memmem(at, (size_t)(end - at), bytes, size)) != NULL; at += size) found++;
    return found;
}

static void print_record(const struct record *each) {
    printf("[%.6f,%.6f,", each->sent, each->answered);
    if (each->status >= 100) printf("\"%d\"", each->status);
    else printf("\"%s\"", NO_ANSWER[each->status]);
    printf(",%s]", each->degraded ? "true" : "false");
}

static void print_found(const struct load *load) {
    printf("{\"verdicts\":%lu,\"alerts\":%lu,\"degraded\":%lu,\"duplicates\":%lu,\"refused\":%lu,",
           load->verdicts, load->alerts, load->degraded, load->duplicates, load->refused);
    printf("\"started\":%.6f,\"elapsed_s\":%.6f,\"cpu_s\":%.6f,\"next_number\":%llu,\"timeline\":[",
           load->start, clock_s() - load->start, cpu_s(),
           (unsigned long long)load->traffic.number);
    for (size_t each = 0; each < load->recorded; each++) {
        if (each > 0) putchar(',');
        print_record(load->records + each);
    }
    puts("]}");
}

/* ---- one connection ---- */

static void watch(struct load *load, struct connection *connection, int how, bool to_write) {
    struct epoll_event events = {
        .events = EPOLLIN | (to_write ? (uint32_t)EPOLLOUT : 0), .data.ptr = connection};
    if (epoll_ctl(load->epoll, how, connection->fd, &events) != 0) err(1, "epoll");
}

/* The connection ends, and with it a request that has no answer yet. */
static void drop(struct load *load, struct connection *connection, int reason) {
    double now = clock_s();
    if (connection->state == CONNECTING || connection->state == BUSY) {
        record(load, connection->since, now, reason, false);
        load->busy--;
    }
    if (connection->fd >= 0) close(connection->fd);
    connection->fd = -1;
    connection->state = CLOSED;
    connection->since = now + RECONNECT_S;
}

static void push(struct load *load, struct connection *connection) {
    struct buffer *out = &connection->out;
    while (connection->written < out->size) {
        ssize_t sent = send(connection->fd, out->data + connection->written,
                            out->size - connection->written, MSG_NOSIGNAL);
        if (sent < 0) {
            if (errno == EAGAIN) watch(load, connection, EPOLL_CTL_MOD, true);
            else drop(load, connection, LOST);
            return;
        }
        connection->written += (size_t)sent;
    }
}

static void open_connection(struct load *load, struct connection *connection) {
    const struct addrinfo *to = load->address;
    connection->state = CONNECTING;
    connection->fd = socket(to->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (connection->fd < 0) err(1, "socket");
    setsockopt(connection->fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    if (connect(connection->fd, to->ai_addr, to->ai_addrlen) != 0 && errno != EINPROGRESS)
        drop(load, connection, REFUSED);
    else watch(load, connection, EPOLL_CTL_ADD, true);
}

/* Send the next request; its time counts from `since`. */
static void ask(struct load *load, struct connection *connection, double since) {
    struct buffer *out = &connection->out;
    char length[LENGTH_SIZE + 1];
    out->size = connection->written = connection->in.size = 0;
    reserve(out, load->head.size + LENGTH_SIZE);
    memcpy(out->data, load->head.data, load->head.size);
    out->size = load->head.size + LENGTH_SIZE;
    write_body(&load->traffic, load->framing, load->events, out);
    sprintf(length, "%10zu\r\n\r\n", out->size - load->head.size - LENGTH_SIZE);
    memcpy(out->data + load->head.size, length, LENGTH_SIZE);
    connection->since = since;
    load->busy++;
    if (connection->state == CLOSED) {
        open_connection(load, connection);
    } else {
        connection->state = BUSY;
        push(load, connection);
    }
}

static void answered(struct load *load, struct connection *connection, struct answer *answer) {
    const char *end = answer->body + answer->size;
    double now = clock_s();
    unsigned long degraded = count_flags(load, answer->body, end);
    if (answer->status == 200) {
        load->verdicts += count("\"is_anomaly\":", answer->body, end);
        load->refused += count("\"error\":{", answer->body, end);
    }
    record(load, connection->since, now, answer->status, degraded > 0);
    load->busy--;
    connection->state = FREE;
    connection->in.size = 0;
    bool whole = connection->written == connection->out.size; /* it may have answered before */
    if (answer->last || !whole) drop(load, connection, LOST);
    else if (load->rate == 0 && now < load->until) ask(load, connection, now);
}

static void receive(struct load *load, struct connection *connection) {
    struct buffer *in = &connection->in;
    struct answer answer;
    reserve(in, READ_AT_ONCE);
    ssize_t size = recv(connection->fd, in->data + in->size, READ_AT_ONCE, 0);
    if (size < 0 && errno == EAGAIN) return;
    if (size <= 0) {
        drop(load, connection, LOST);
        return;
    }
    in->size += (size_t)size;
    enum reading reading = connection->state == BUSY ? read_answer(in->data, in->size, &answer)
                                                     : MALFORMED; /* nobody asked */
    if (reading == WHOLE) answered(load, connection, &answer);
    else if (reading == MALFORMED) drop(load, connection, BAD_ANSWER);
}

static void connected(struct load *load, struct connection *connection) {
    int error = 0;
    getsockopt(connection->fd, SOL_SOCKET, SO_ERROR, &error, &(socklen_t){sizeof error});
    if (error != 0) {
        drop(load, connection, REFUSED);
        return;
    }
    connection->state = BUSY;
    watch(load, connection, EPOLL_CTL_MOD, false);
    push(load, connection);
}

static void step(struct load *load, struct connection *connection, uint32_t events) {
    if (connection->state == CONNECTING) {
        connected(load, connection);
        return;
    }
    if (events & EPOLLOUT) {
        watch(load, connection, EPOLL_CTL_MOD, false);
        push(load, connection);
    }
    if (connection->state != CLOSED && events & (EPOLLIN | EPOLLHUP | EPOLLERR))
        receive(load, connection);
}

/* ---- all of them ---- */

/* Give up what takes too long; in a closed loop connect again what was lost. */
static void look(struct load *load, double now) {
    for (long each = 0; each < load->connections; each++) {
        struct connection *connection = load->all + each;
        bool waiting = connection->state == CONNECTING || connection->state == BUSY;
        if (waiting && now > connection->since + PATIENCE_S) drop(load, connection, TIMEOUT);
        else if (connection->state == CLOSED && load->rate == 0 && now < load->until &&
                 now >= connection->since)
            ask(load, connection, now);
    }
    load->next_look = now + LOOK_S;
}

/* One that is open already if there is; NULL when every one has a request under way. */
static struct connection *idle(const struct load *load) {
    struct connection *closed = NULL;
    for (long each = 0; each < load->connections; each++) {
        struct connection *connection = load->all + each;
        if (connection->state == FREE) return connection;
        if (closed == NULL && connection->state == CLOSED) closed = connection;
    }
    return closed;
}

/* Send whatever is due; what finds no connection stays due, until patience is at an end. */
static void send_due(struct load *load, double now) {
    while (load->due <= now && load->due < load->until) {
        struct connection *connection = idle(load);
        if (connection != NULL) ask(load, connection, load->due);
        else if (now > load->due + PATIENCE_S) record(load, load->due, now, NOT_SENT, false);
        else return;
        load->due = load->start + (double)++load->asked / load->rate;
    }
}

static bool is_over(const struct load *load, double now) {
    bool all_sent = load->rate == 0 || load->due >= load->until;
    return now >= load->until && all_sent && load->busy == 0;
}

static void wake_at(const struct load *load, double moment) {
    double seconds = floor(moment);
    struct itimerspec at = {.it_value = {(time_t)seconds, (long)((moment - seconds) * 1e9)}};
    if (timerfd_settime(load->timer, TFD_TIMER_ABSTIME, &at, NULL) != 0) err(1, "timer");
}

static void run(struct load *load) {
    struct epoll_event events[EVENTS_AT_ONCE];
    load->start = load->due = load->next_look = clock_s();
    load->until = load->start + load->seconds;
    for (double now = load->start; !is_over(load, now); now = clock_s()) {
        if (now >= load->next_look) look(load, now);
        if (load->rate > 0) send_due(load, now);
        bool next = load->rate > 0 && load->due > now && load->due < load->next_look;
        wake_at(load, next ? load->due : load->next_look);
        int count = epoll_wait(load->epoll, events, EVENTS_AT_ONCE, -1);
        for (int each = 0; each < count; each++) {
            struct connection *connection = events[each].data.ptr; /* NULL: the timer */
            if (connection != NULL) step(load, connection, events[each].events);
        }
    }
}

/* ---- the job ---- */

static void take(struct load *load, const char *name, const char *value) {
    if (strcmp(name, "host") == 0) snprintf(load->host, sizeof load->host, "%s", value);
    else if (strcmp(name, "port") == 0) snprintf(load->port, sizeof load->port, "%s", value);
    else if (strcmp(name, "run") == 0)
        snprintf(load->traffic.run, sizeof load->traffic.run, "%s", value);
    else if (strcmp(name, "templates") == 0) open_traffic(&load->traffic, atoi(value));
    else if (strcmp(name, "number") == 0) load->traffic.number = strtoull(value, NULL, 10);
    else if (strcmp(name, "latest_ms") == 0) load->traffic.latest_ms = atoll(value);
    else if (strcmp(name, "seconds") == 0) load->seconds = atof(value);
    else if (strcmp(name, "rate") == 0) load->rate = atof(value);
    else if (strcmp(name, "connections") == 0) load->connections = atol(value);
    else if (strcmp(name, "events") == 0) load->events = atol(value);
    else if (strcmp(name, "framing") == 0)
        load->framing = value[0] == 'o' ? ONE : value[0] == 'l' ? LINES : ARRAY;
    else errx(1, "a job has no '%s'", name);
}

static void read_job(struct load *load) {
    char *line = NULL;
    size_t room = 0, got;
    while (getline(&line, &room, stdin) > 1) {
        line[strcspn(line, "\n")] = 0;
        char *value = strchr(line, ' ');
        if (value == NULL) errx(1, "a job has lines of a name and a value");
        *value = 0;
        take(load, line, value + 1);
    }
    free(line);
    do {
        reserve(&load->head, BUFSIZ);
        got = fread(load->head.data + load->head.size, 1, BUFSIZ, stdin);
        load->head.size += got;
    } while (got > 0);
}

static void prepare(struct load *load) {
    struct addrinfo wanted = {.ai_socktype = SOCK_STREAM};
    int failed = getaddrinfo(load->host, load->port, &wanted, &load->address);
    if (failed) errx(1, "%s: %s", load->host, gai_strerror(failed));
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    load->all = calloc((size_t)load->connections, sizeof *load->all);
    if (load->all == NULL) err(1, "memory for %ld connections", load->connections);
    for (long each = 0; each < load->connections; each++) load->all[each].fd = -1;
    load->epoll = epoll_create1(EPOLL_CLOEXEC);
    load->timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    struct epoll_event events = {.events = EPOLLIN, .data.ptr = NULL};
    if (epoll_ctl(load->epoll, EPOLL_CTL_ADD, load->timer, &events) != 0) err(1, "epoll");
}

int main(void) {
    struct load load = {0};
    read_job(&load);
    prepare(&load);
    run(&load);
    print_found(&load);
    return 0;
}
