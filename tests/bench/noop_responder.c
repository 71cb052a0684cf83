/* noop_responder: what FastCGI alone costs: reads the body and answers a fixed 202. The bench
 * compares mostro-push-fcgi with it behind the same web server. */
#include <fcgiapp.h>
#include <stdlib.h>

static const char answer[] = "Status: 202 Accepted\r\nContent-Type: application/json\r\n"
                             "Content-Length: 17\r\n\r\n{\"accepted\":true}";

int main(void)
{
    FCGX_Request request;
    char body[8192];

    if (FCGX_Init() != 0 || FCGX_InitRequest(&request, 0, 0) != 0)
        return EXIT_FAILURE;
    while (FCGX_Accept_r(&request) == 0) {
        while (FCGX_GetStr(body, sizeof body, request.in) > 0)
            ;
        (void)FCGX_PutStr(answer, sizeof answer - 1, request.out);
        FCGX_Finish_r(&request);
    }
    return EXIT_SUCCESS;
}
