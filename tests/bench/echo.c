/* The least that a WebSocket server can do: every frame comes back. What the generator reaches against it is the
 * generator's own ceiling, and what this machine's loopback takes by itself.
 *
 *   echo PORT
 *
 * The handshake's answer fits the one key that the generator sends.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

typedef struct {
  int fd, open;
  size_t len;
  unsigned char in[65536];
} Conn;

int main(int argc, char **argv) {
  if (argc != 2) return 2;
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[1])),
                          .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  int listener = socket(AF_INET, SOCK_STREAM, 0), one = 1, epoll_fd = epoll_create1(0);
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (bind(listener, (struct sockaddr *)&a, sizeof a) || listen(listener, 4096)) return 1;
  struct epoll_event e = {.events = EPOLLIN, .data.ptr = NULL}, events[256];
  epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listener, &e);
  for (;;) {
    int n = epoll_wait(epoll_fd, events, 256, -1);
    for (int i = 0; i < n; i++) {
      Conn *c = events[i].data.ptr;
      if (!c) {
        c = calloc(1, sizeof *c);
        c->fd = accept(listener, NULL, NULL);
        setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        e.data.ptr = c;
        epoll_ctl(epoll_fd, EPOLL_CTL_ADD, c->fd, &e);
        continue;
      }
      ssize_t got = read(c->fd, c->in + c->len, sizeof c->in - c->len);
      if (got <= 0) {
        close(c->fd);
        free(c);
        continue;
      }
      c->len += got;
      if (!c->open) {
        if (c->len < 4 || memcmp(c->in + c->len - 4, "\r\n\r\n", 4)) continue;
        const char *answer = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
        if (write(c->fd, answer, strlen(answer)) < 0) perror("write");
        c->open = 1;
        c->len = 0;
        continue;
      }
      unsigned char out[65536];
      size_t at = 0, out_len = 0;
      while (c->len - at >= 6) {
        unsigned char *f = c->in + at;
        size_t len = f[1] & 127, head = 2;
        if (len == 126) {
          if (c->len - at < 8) break;
          len = f[2] << 8 | f[3];
          head = 4;
        }
        if (c->len - at < head + 4 + len) break;
        memcpy(out + out_len, f, head);
        out[out_len + 1] &= 127;
        for (size_t k = 0; k < len; k++) out[out_len + head + k] = f[head + 4 + k] ^ f[head + (k & 3)];
        out_len += head + len;
        at += head + 4 + len;
      }
      memmove(c->in, c->in + at, c->len - at);
      c->len -= at;
      if (out_len && write(c->fd, out, out_len) < 0) perror("write");
    }
  }
}
