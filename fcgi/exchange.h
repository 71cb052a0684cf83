/* exchange: one request and its response between a FastCGI web server and the responder.
 *
 * The only file that reads FastCGI parameters and writes FastCGI streams (libfcgi). */
#ifndef MOSTRO_EXCHANGE_H
#define MOSTRO_EXCHANGE_H

#include <fcgiapp.h>

struct responder;

/* Answers an accepted request. The caller finishes it (FCGX_Finish_r). */
void exchange_answer(FCGX_Request *fcgx, struct responder *responder);

#endif
