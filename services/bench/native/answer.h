/* The client's side of HTTP/1.1: one answer cut out of a stream of bytes. */
#ifndef ANSWER_H
#define ANSWER_H

#include <stdbool.h>
#include <stddef.h>

enum reading { PARTIAL, WHOLE, MALFORMED };

struct answer {
    int status;
    const char *body;
    size_t size;  /* of the body */
    bool last;    /* the server closes the connection after it */
};

/* Only answers of a known length can be measured; with neither length nor chunks the body is taken
 * for empty: what follows is of no interest but the close. */
enum reading read_answer(const char *data, size_t size, struct answer *answer);

#endif
