/* A client with a C library of its own, whose resolver is another than glibc's: `musl HOST:PORT`. As musl.rs, for where
   Rust has no such library. */
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int main(int count, char **arguments) {
  char *port = count == 2 ? strrchr(arguments[1], ':') : NULL;
  if (!port) return 2;
  *port++ = 0;
  struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *all, *one;
  int server = -1;
  if (getaddrinfo(arguments[1], port, &hints, &all)) return 1;
  for (one = all; one; one = one->ai_next) {
    server = socket(one->ai_family, SOCK_STREAM, 0);
    if (!connect(server, one->ai_addr, one->ai_addrlen)) break;
    close(server);
  }
  if (!one) return 1;
  dprintf(server, "GET / HTTP/1.0\r\nHost: %s:%s\r\nConnection: close\r\n\r\n", arguments[1], port);
  FILE *answer = fdopen(server, "r");
  char line[4096] = "", first[4096];
  if (!fgets(first, sizeof first, answer)) return 1;
  while (fgets(line, sizeof line, answer));
  line[strcspn(line, "\n")] = 0;
  puts(line);
  return strncmp(first, "HTTP/1.1 200", 12) != 0;
}
