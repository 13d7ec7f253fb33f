/* Requests made from templates: what Traffic of services/bench/traffic.py makes, to the byte. */
#ifndef TRAFFIC_H
#define TRAFFIC_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct buffer {
    char *data;
    size_t size, room;
};

/* Room for so many more bytes, or the end of the process: there is nothing to measure without. */
void reserve(struct buffer *buffer, size_t more);

/* As services/bench/load.py packs it; `start` counts from the beginning of the file. */
struct template {
    int64_t at_ms;
    int32_t offset_ms;
    uint32_t size;
    uint64_t start;
    char zone[8];
};

enum framing { ONE, LINES, ARRAY };

struct traffic {
    const char *file;
    const struct template *templates;
    int64_t count, period_ms, latest_ms;
    size_t largest;
    char run[64];
    uint64_t number; /* of the next event */
    int64_t day;
    char date[16];
};

/* Map the templates; ends the process with a word of why when it cannot. */
void open_traffic(struct traffic *traffic, int file);

/* Append the body of the next request: so many events. */
void write_body(struct traffic *traffic, enum framing framing, long events, struct buffer *out);

#endif
