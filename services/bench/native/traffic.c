#define _GNU_SOURCE
#include "traffic.h"

#include <err.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>

#define DAY_MS 86400000
/* Of an event without what its template holds: braces, names, run, number, time. */
#define FIXED 192

void reserve(struct buffer *buffer, size_t more) {
    if (buffer->size + more <= buffer->room) return;
    buffer->room = 2 * (buffer->size + more);
    buffer->data = realloc(buffer->data, buffer->room);
    if (buffer->data == NULL) err(1, "memory for %zu bytes", buffer->room);
}

void open_traffic(struct traffic *traffic, int file) {
    struct stat told;
    if (fstat(file, &told) != 0) err(1, "templates");
    size_t size = (size_t)told.st_size;
    const char *data = mmap(NULL, size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, file, 0);
    if (data == MAP_FAILED) err(1, "templates");
    const int64_t *head = (const int64_t *)data;
    traffic->file = data;
    traffic->count = head[0];
    traffic->period_ms = head[1];
    traffic->templates = (const struct template *)(head + 2);
    traffic->day = INT64_MIN;
    for (int64_t each = 0; each < traffic->count; each++) {
        if (traffic->templates[each].size > traffic->largest)
            traffic->largest = traffic->templates[each].size;
    }
}

/* A day's date is worked out once: events come by time. */
static const char *date_of(struct traffic *traffic, int64_t day) {
    if (day != traffic->day) {
        time_t seconds = day * (DAY_MS / 1000);
        struct tm date;
        gmtime_r(&seconds, &date);
        strftime(traffic->date, sizeof traffic->date, "%Y-%m-%dT", &date);
        traffic->day = day;
    }
    return traffic->date;
}

static void write_event(struct traffic *traffic, struct buffer *out) {
    uint64_t number = traffic->number++;
    const struct template *from = traffic->templates + number % (uint64_t)traffic->count;
    int64_t turn = (int64_t)(number / (uint64_t)traffic->count);
    int64_t at_ms = from->at_ms + (turn + 1) * traffic->period_ms;
    if (at_ms > traffic->latest_ms) at_ms = traffic->latest_ms;
    at_ms += from->offset_ms;
    int64_t day = at_ms / DAY_MS, rest = at_ms % DAY_MS, minutes = rest / 60000;
    int size = snprintf(
        out->data + out->size, FIXED,
        "{\"event_id\":\"%s-%llu\",\"timestamp\":\"%s%02d:%02d:%02d.%03d%.6s\"", traffic->run,
        (unsigned long long)number, date_of(traffic, day), (int)(minutes / 60), (int)(minutes % 60),
        (int)(rest % 60000 / 1000), (int)(rest % 1000), from->zone);
    out->size += (size_t)size;
    memcpy(out->data + out->size, traffic->file + from->start, from->size);
    out->size += from->size;
}

void write_body(struct traffic *traffic, enum framing framing, long events, struct buffer *out) {
    reserve(out, (size_t)events * (traffic->largest + FIXED) + 2);
    if (framing == ARRAY) out->data[out->size++] = '[';
    for (long each = 0; each < events; each++) {
        if (each > 0) out->data[out->size++] = framing == ARRAY ? ',' : '\n';
        write_event(traffic, out);
    }
    if (framing == ARRAY) out->data[out->size++] = ']';
}
