#define _GNU_SOURCE
#include "answer.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#define MOST_HEAD 65536

/* The value when a line of the head is this field, else NULL. */
static const char *value_of(const char *line, const char *end, const char *name) {
    size_t length = strlen(name);
    if ((size_t)(end - line) < length || strncasecmp(line, name, length) != 0) return NULL;
    for (line += length; line < end && *line == ' '; line++) {}
    return line;
}

static bool read_number(const char *at, const char *end, size_t *number) {
    *number = 0;
    if (at == end) return false;
    for (; at < end; at++) {
        if (!isdigit((unsigned char)*at) || *number > (size_t)1 << 40) return false;
        *number = *number * 10 + (size_t)(*at - '0');
    }
    return true;
}

static bool read_status(const char *data, const char *end, struct answer *answer) {
    size_t status;
    if (end - data < 12 || memcmp(data, "HTTP/1.", 7) != 0) return false;
    if (!read_number(data + 9, data + 12, &status) || status < 100 || status > 599) return false;
    answer->status = (int)status;
    answer->last = data[7] == '0';
    return true;
}

static bool read_field(const char *line, const char *end, struct answer *answer) {
    const char *value;
    if ((value = value_of(line, end, "content-length:")) != NULL) {
        while (end > value && end[-1] == ' ') end--;
        return read_number(value, end, &answer->size);
    }
    if ((value = value_of(line, end, "connection:")) != NULL)
        answer->last |= end - value >= 5 && strncasecmp(value, "close", 5) == 0;
    return value_of(line, end, "transfer-encoding:") == NULL;
}

enum reading read_answer(const char *data, size_t size, struct answer *answer) {
    const char *end = memmem(data, size, "\r\n\r\n", 4);
    if (end == NULL) return size > MOST_HEAD ? MALFORMED : PARTIAL;
    *answer = (struct answer){.body = end + 4};
    if (!read_status(data, end, answer)) return MALFORMED;
    const char *line = memmem(data, (size_t)(end + 2 - data), "\r\n", 2);
    while (line < end) {
        const char *next = memmem(line + 2, (size_t)(end + 2 - line - 2), "\r\n", 2);
        if (!read_field(line + 2, next, answer)) return MALFORMED;
        line = next;
    }
    size_t here = size - (size_t)(answer->body - data);
    if (here > answer->size && !answer->last) return MALFORMED; /* nobody asked for more */
    return here < answer->size ? PARTIAL : WHOLE;
}
