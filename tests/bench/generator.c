/* WebSocket load for the benchmarks: senders and watchers in one thread, one epoll, so that the server is what is
 * measured. Speaks plain WebSocket and Socket.IO's framing on top of it.
 *
 *   generator PORT ws|sio SECONDS window|rate|group|idle VALUE TEMPLATE < connections
 *
 * Connections come one a line, tab-separated: role (s sends, w watches, b both, i only connects), pair, path,
 * subprotocols or "-", frame to send once open or "-", text to wait for before the connection counts as ready or "-",
 * and its port where that is another one than PORT. TEMPLATE is the frame
 * that senders send, with @ for the latitude: the number of the frame is in its last digits, so that watchers know
 * which one they received. Modes: window keeps VALUE frames of each pair under way, rate sends VALUE a second in all,
 * group sends one at a time and waits until every watcher of the pair has it (VALUE times), idle sends nothing for
 * SECONDS. When all are ready it prints "ready SECONDS" and waits for a byte on the descriptor in GATE, in mode group for
 * one before each event, after which it prints "reached". At the end it prints one JSON object. A connection that the
 * server closes ends it with status 1.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define RING 65536
#define BASE_LAT 43.2
#define CONNECTING_AT_ONCE 24

typedef struct {
  int fd, state, pair, port; /* state: 0 not begun, 1 connecting, 2 handshake, 3 waiting to be ready, 4 ready */
  char role, *path, *protocols, *hello, *ready;
  char *in, *out;
  size_t in_len, in_cap, out_len, out_cap;
} Conn;

typedef struct {
  Conn *sender;
  long sent, seen, watchers;
  double *sent_at; /* window and rate: when each frame under way was sent */
} Pair;

static Conn *conns;
static Pair *pairs;
static long n_conns, n_pairs, n_ready, n_pending, next_conn;
static int epoll_fd, port, is_sio;
static const char *template_;
static double *latencies;
static long n_latencies, cap_latencies, received, sent_total, skipped;
static int mode, counting, sending;
static double value;
static long group_seen;
static double group_sent_at, group_first, group_last, *firsts, *lasts;
static long n_groups;

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + t.tv_nsec / 1e9;
}

static void fail(const char *what, Conn *c) {
  fprintf(stderr, "generator: %s (connection %ld, %s)\n", what, c ? (long)(c - conns) : -1L, c ? c->path : "");
  exit(1);
}

static void flush_out(Conn *c) {
  while (c->out_len) {
    ssize_t n = write(c->fd, c->out, c->out_len);
    if (n < 0) {
      if (errno == EAGAIN) break;
      fail("write failed", c);
    }
    memmove(c->out, c->out + n, c->out_len - n);
    c->out_len -= n;
  }
  struct epoll_event e = {.events = EPOLLIN | (c->out_len ? EPOLLOUT : 0), .data.ptr = c};
  static Conn *blocked;
  if (c->out_len || blocked == c) epoll_ctl(epoll_fd, EPOLL_CTL_MOD, c->fd, &e);
  if (c->out_len) blocked = c;
}

static void put(Conn *c, const char *data, size_t len) {
  if (!c->out_len) {
    ssize_t n = write(c->fd, data, len);
    if (n == (ssize_t)len) return;
    if (n < 0 && errno != EAGAIN) fail("write failed", c);
    if (n > 0) data += n, len -= n;
  }
  if (c->out_len + len > c->out_cap) c->out = realloc(c->out, c->out_cap = (c->out_len + len) * 2);
  memcpy(c->out + c->out_len, data, len);
  c->out_len += len;
  struct epoll_event e = {.events = EPOLLIN | EPOLLOUT, .data.ptr = c};
  epoll_ctl(epoll_fd, EPOLL_CTL_MOD, c->fd, &e);
}

static void put_frame(Conn *c, int opcode, const char *data, size_t len) {
  char frame[4096];
  size_t head = 2;
  if (len > sizeof frame - 16) fail("frame too long to send", c);
  frame[0] = (char)(0x80 | opcode);
  if (len < 126) {
    frame[1] = (char)(0x80 | len);
  } else {
    frame[1] = (char)(0x80 | 126);
    frame[2] = (char)(len >> 8);
    frame[3] = (char)len;
    head = 4;
  }
  const unsigned char mask[4] = {0x5a, 0xc3, 0x17, 0x8e};
  memcpy(frame + head, mask, 4);
  head += 4;
  for (size_t i = 0; i < len; i++) frame[head + i] = (char)(data[i] ^ mask[i & 3]);
  put(c, frame, head + len);
}

static void send_next(Pair *p) {
  char text[2048];
  const char *at = strchr(template_, '@');
  int n = snprintf(text, sizeof text, "%.*s%.6f%s", (int)(at - template_), template_,
                   BASE_LAT + (p->sent % RING) * 1e-6, at + 1);
  if (p->sent_at) p->sent_at[p->sent % RING] = now();
  p->sent++;
  sent_total++;
  put_frame(p->sender, 1, text, n);
}

static void on_position(Conn *c, double lat) {
  Pair *p = &pairs[c->pair];
  double at = now();
  if (mode == 'g') {
    if (!group_seen++) group_first = at;
    group_last = at;
    return;
  }
  long ring = (long)((lat - BASE_LAT) * 1e6 + 0.5), k = p->seen + (((ring - p->seen) % RING) + RING) % RING;
  if (k >= p->sent) fail("received a frame that was never sent", c);
  skipped += k - p->seen;
  p->seen = k + 1;
  if (counting) {
    received++;
    if (n_latencies == cap_latencies)
      latencies = realloc(latencies, sizeof *latencies * (cap_latencies = cap_latencies ? cap_latencies * 2 : 65536));
    latencies[n_latencies++] = at - p->sent_at[k % RING];
  }
  if (mode == 'w' && sending)
    while (p->sent - p->seen < (long)value) send_next(p);
}

static void become_ready(Conn *c) {
  c->state = 4;
  n_ready++;
  n_pending--;
}

static void on_text(Conn *c, char *text, size_t len) {
  char saved = text[len];
  text[len] = 0;
  if (is_sio && len == 1 && text[0] == '2') {
    put_frame(c, 1, "3", 1);
  } else if (is_sio && c->state == 3 && text[0] == '0') {
    put_frame(c, 1, c->hello, strlen(c->hello));
  } else if (c->state == 3) {
    if (strstr(text, c->ready)) become_ready(c);
  } else if (c->role == 'w' || c->role == 'b') {
    /* A trip's state says where its pickup is, too. */
    int is_position = is_sio ? !strncmp(text, "42[\"position\"", 13) : !strncmp(text, "{\"type\":\"driver.location\"", 24);
    char *lat = is_position ? strstr(text, "\"lat\":") : NULL;
    if (lat && sent_total) on_position(c, strtod(lat + 6, NULL));
  }
  if (c->state == 4 && strstr(text, "\"heartbeat\"") && !strstr(text, "\"ref\":\"")) {
    const char *ping = "{\"type\":\"ping\",\"ref\":\"beat\"}";
    put_frame(c, 1, ping, strlen(ping));
  }
  text[len] = saved;
}

static void on_data(Conn *c) {
  for (;;) {
    if (c->in_cap - c->in_len < 4096) c->in = realloc(c->in, c->in_cap = c->in_cap ? c->in_cap * 2 : 8192);
    size_t room = c->in_cap - c->in_len - 1;
    ssize_t n = read(c->fd, c->in + c->in_len, room);
    if (n == 0) fail("the server hung up", c);
    if (n < 0) {
      if (errno == EAGAIN) break;
      fail("read failed", c);
    }
    c->in_len += n;
    if ((size_t)n < room) break;
  }
  size_t at = 0;
  if (c->state == 2) {
    c->in[c->in_len] = 0;
    char *end = strstr(c->in, "\r\n\r\n");
    if (!end) return;
    if (!strstr(c->in, " 101 ")) fail("the handshake was refused", c);
    at = end + 4 - c->in;
    c->state = 3;
    if (!is_sio && strcmp(c->hello, "-")) put_frame(c, 1, c->hello, strlen(c->hello));
    if (!is_sio && !strcmp(c->ready, "-")) become_ready(c);
  }
  while (c->in_len - at >= 2) {
    unsigned char *f = (unsigned char *)c->in + at;
    size_t len = f[1] & 127, head = 2;
    if (len == 126) {
      if (c->in_len - at < 4) break;
      len = f[2] << 8 | f[3];
      head = 4;
    } else if (len == 127) {
      if (c->in_len - at < 10) break;
      len = 0;
      for (int i = 0; i < 8; i++) len = len << 8 | f[2 + i];
      head = 10;
    }
    if (c->in_len - at < head + len) break;
    int opcode = f[0] & 15;
    if (opcode == 1) on_text(c, (char *)f + head, len);
    else if (opcode == 9) put_frame(c, 10, (char *)f + head, len);
    else if (opcode == 8) {
      fprintf(stderr, "generator: close code %d\n", len >= 2 ? f[head] << 8 | f[head + 1] : 0);
      fail("the server closed the connection", c);
    }
    at += head + len;
  }
  memmove(c->in, c->in + at, c->in_len - at);
  c->in_len -= at;
  if (!c->in_len && c->in_cap > 8192) free(c->in), c->in = NULL, c->in_cap = 0;
}

static void begin(Conn *c) {
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(c->port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  if (c->fd < 0) fail("no socket left", c);
  int one = 1;
  setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  if (connect(c->fd, (struct sockaddr *)&a, sizeof a) && errno != EINPROGRESS) fail("connect failed", c);
  c->state = 1;
  n_pending++;
  struct epoll_event e = {.events = EPOLLIN | EPOLLOUT, .data.ptr = c};
  epoll_ctl(epoll_fd, EPOLL_CTL_ADD, c->fd, &e);
}

static void shake_hands(Conn *c) {
  char text[4096], protocols[2600] = "";
  if (strcmp(c->protocols, "-")) snprintf(protocols, sizeof protocols, "Sec-WebSocket-Protocol: %s\r\n", c->protocols);
  int n = snprintf(text, sizeof text,
                   "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                   "Sec-WebSocket-Key: c3RlcHBlcmdvIHJlbGF5IQ==\r\nSec-WebSocket-Version: 13\r\n%s\r\n",
                   c->path, port, protocols);
  c->state = 2;
  struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};
  epoll_ctl(epoll_fd, EPOLL_CTL_MOD, c->fd, &e);
  put(c, text, n);
}

static void turn(int wait_ms) {
  struct epoll_event events[512];
  int n = epoll_wait(epoll_fd, events, 512, wait_ms);
  for (int i = 0; i < n; i++) {
    Conn *c = events[i].data.ptr;
    if (c->state == 1 && events[i].events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) shake_hands(c);
    else {
      if (events[i].events & EPOLLOUT) flush_out(c);
      if (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) on_data(c);
    }
  }
}

static int by_value(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return x < y ? -1 : x > y;
}

static double quantile(double *sorted, long n, double q) { return n ? sorted[(long)(q * (n - 1))] : 0; }

static void await_go(void) {
  char go;
  struct pollfd wait = {.fd = atoi(getenv("GATE")), .events = POLLIN};
  while (poll(&wait, 1, 0) == 0) turn(20);
  if (read(wait.fd, &go, 1) <= 0) exit(1);
}

static char *copy(const char *text) { return strdup(text ? text : "-"); }

int main(int argc, char **argv) {
  if (argc != 7 || !getenv("GATE")) return 2;
  port = atoi(argv[1]);
  is_sio = !strcmp(argv[2], "sio");
  double seconds = atof(argv[3]);
  mode = argv[4][0];
  value = atof(argv[5]);
  template_ = argv[6];
  epoll_fd = epoll_create1(0);
  struct rlimit files;
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);

  char *line = NULL;
  size_t cap = 0;
  long cap_conns = 0;
  while (getline(&line, &cap, stdin) > 0) {
    line[strcspn(line, "\n")] = 0;
    if (n_conns == cap_conns) conns = realloc(conns, sizeof *conns * (cap_conns = cap_conns ? cap_conns * 2 : 1024));
    Conn *c = &conns[n_conns++];
    memset(c, 0, sizeof *c);
    char *rest = line;
    c->role = strsep(&rest, "\t")[0];
    c->pair = atoi(strsep(&rest, "\t"));
    c->path = copy(strsep(&rest, "\t"));
    c->protocols = copy(strsep(&rest, "\t"));
    c->hello = copy(strsep(&rest, "\t"));
    c->ready = copy(strsep(&rest, "\t"));
    c->port = rest ? atoi(rest) : port;
    if (c->pair >= n_pairs) n_pairs = c->pair + 1;
  }
  pairs = calloc(n_pairs ? n_pairs : 1, sizeof *pairs);
  for (long i = 0; i < n_conns; i++) {
    Pair *p = &pairs[conns[i].pair];
    if (conns[i].role == 'b') p->watchers++;
    if (conns[i].role == 's' || conns[i].role == 'b') {
      p->sender = &conns[i];
      if (mode != 'g') p->sent_at = calloc(RING, sizeof(double));
    } else if (conns[i].role == 'w') p->watchers++;
  }

  double began = now();
  while (n_ready < n_conns) {
    while (n_pending < CONNECTING_AT_ONCE && next_conn < n_conns) begin(&conns[next_conn++]);
    turn(100);
    if (now() - began > 300) fail("not everybody is ready after 300 s", NULL);
  }
  double connected_s = now() - began;
  printf("ready %.3f\n", connected_s);
  fflush(stdout);
  if (mode != 'g') await_go();

  double start = now(), warm = mode == 'w' || mode == 'r' ? 1.0 : 0.0, counted_from = 0, ended;
  sending = 1;
  if (mode == 'w')
    for (long i = 0; i < n_pairs; i++)
      for (long k = 0; k < (long)value; k++) send_next(&pairs[i]);
  if (mode == 'g') {
    firsts = calloc((size_t)value, sizeof(double));
    lasts = calloc((size_t)value, sizeof(double));
    while (n_groups < (long)value) {
      await_go();
      group_seen = 0;
      group_sent_at = now();
      send_next(&pairs[0]);
      while (group_seen < pairs[0].watchers) {
        turn(100);
        if (now() - group_sent_at > 10) fail("a group of watchers was not reached within 10 s", NULL);
      }
      firsts[n_groups] = group_first - group_sent_at;
      lasts[n_groups++] = group_last - group_sent_at;
      printf("reached\n");
      fflush(stdout);
    }
    ended = now();
    qsort(firsts, n_groups, sizeof(double), by_value);
    qsort(lasts, n_groups, sizeof(double), by_value);
  } else {
    long due = 0, next = 0;
    for (;;) {
      double t = now();
      if (!counting && t - start >= warm) counting = 1, counted_from = t;
      if (t - start >= warm + seconds) break;
      if (mode == 'r') {
        for (due = (long)((t - start) * value); sent_total < due; next = (next + 1) % n_pairs) send_next(&pairs[next]);
        turn(1);
      } else turn(50);
    }
    counting = sending = 0;
    ended = now();
    /* What is still under way arrives within a moment or is lost. */
    for (double until = now() + 1.0; now() < until;) turn(20);
  }
  long under_way = 0;
  for (long i = 0; i < n_pairs; i++) under_way += pairs[i].watchers && mode != 'g' ? pairs[i].sent - pairs[i].seen : 0;
  qsort(latencies, n_latencies, sizeof(double), by_value);
  struct rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  double cpu = usage.ru_utime.tv_sec + usage.ru_utime.tv_usec / 1e6 + usage.ru_stime.tv_sec + usage.ru_stime.tv_usec / 1e6;
  printf("{\"connections\": %ld, \"connect_s\": %.3f, \"seconds\": %.4f, \"sent\": %ld, \"received\": %ld, "
         "\"skipped\": %ld, \"missing\": %ld, \"p50_ms\": %.3f, \"p99_ms\": %.3f, \"p999_ms\": %.3f, "
         "\"first_ms\": %.3f, \"last_ms\": %.3f, \"cpu_s\": %.3f}\n",
         n_conns, connected_s, counted_from ? ended - counted_from : ended - start, sent_total, received, skipped,
         under_way, quantile(latencies, n_latencies, 0.5) * 1e3, quantile(latencies, n_latencies, 0.99) * 1e3,
         quantile(latencies, n_latencies, 0.999) * 1e3, n_groups ? firsts[n_groups / 2] * 1e3 : 0,
         n_groups ? lasts[n_groups / 2] * 1e3 : 0, cpu);
  return 0;
}
