// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/front.h"

/* ---- upgrades ---- */

#define HANDSHAKE                                                                                            \
	" HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n" \
	"Sec-WebSocket-Key: ZWf9PLphegmXDKhj4WCWZg==\r\n\r\n"

static void assert_upgraded(struct front *front, const char *text)
{
	char bytes[1024];

	WAIT(front, front->upgraded_fd >= 0);
	assert_int_equal(read(front->upgraded_fd, bytes, sizeof(bytes)), strlen(text));
	assert_memory_equal(bytes, text, strlen(text));
	assert_true(fcntl(front->upgraded_fd, F_GETFL) & O_NONBLOCK);
	assert_true(fcntl(front->upgraded_fd, F_GETFD) & FD_CLOEXEC);
	close_fd(&front->upgraded_fd);
	assert_int_equal(front->handled, 0);
}

static void test_upgrade(void **state)
{
	static const char request[] = "GET /socket?secret=1" HANDSHAKE "\x81\x80 frame";
	struct front *front = front_create_default();
	struct client client;
	size_t i;

	client_open(&client, front);
	client_send(&client, request);
	assert_upgraded(front, request);
	client_close(&client);

	client_open(&client, front);
	for (i = 0; request[i]; i++) {
		assert_int_equal(client_push(&client, request + i, 1), 1);
		if (front->upgraded_fd < 0)
			uv_run(&front->loop, UV_RUN_ONCE);
	}
	assert_upgraded(front, request);
	client_close(&client);
	assert_int_equal(front->upgrades_offered, 2);
	front_destroy(front);
}

static void test_upgrade_refused(void **state)
{
	struct front *front = front_create_default();

	ask(front, "GET /socket?secrets=1" HANDSHAKE, 200, "GET /socket 1 0 me", false);
	ask(front, "GET /else?secret=1" HANDSHAKE, 200, "GET /else 1 0 me", false);
	ask(front, "GET /socket?secret=%" HANDSHAKE, 400, "400 Bad Request", true);
	assert_int_equal(front->upgrades_offered, 2);
	front_destroy(front);
}

/* Not the first request of its connection: it is for the API to say what is wrong. */
static void test_late_upgrade(void **state)
{
	struct front *front = front_create_default();
	struct client client;

	client_open(&client, front);
	client_send(&client, "GET /1.0 HTTP/1.1\r\nHost: x\r\n\r\n");
	expect(&client, 200, "GET /1.0 - 0 me");
	client_send(&client, "GET /socket?secret=1" HANDSHAKE);
	expect(&client, 200, "GET /socket 1 0 me");
	client_close(&client);
	assert_int_equal(front->upgrades_offered, 0);
	front_destroy(front);
}

/* ---- connections that keep the daemon waiting ---- */

static void test_parked_deadline(void **state)
{
	struct front *front = front_create(&(struct limits){.head_timeout = 1});
	struct client silent, half;
	uint64_t start = uv_hrtime();

	client_open(&silent, front);
	client_open(&half, front);
	client_send(&half, "GET /1.0 HT");
	expect_end(&silent);
	expect(&half, 408, NULL);
	expect_end(&half);
	assert_true(uv_hrtime() - start >= 900000000);
	client_close(&silent);
	client_close(&half);
	ask(front, "GET /1.0 HTTP/1.1\r\nHost: x\r\n\r\n", 200, "GET /1.0 - 0 me", false);
	front_destroy(front);
}

static int count_fds(void)
{
	int fd, count = 0;

	for (fd = 0; fd < 1024; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

static void test_parked_client_leaves(void **state)
{
	struct front *front = front_create_default();
	int before = count_fds();
	struct client client;

	client_open(&client, front);
	client_send(&client, "GET /1.0 HT");
	WAIT(front, count_fds() == before + 2);
	client_close(&client);
	WAIT(front, count_fds() == before);

	client_open(&client, front);
	client_send(&client, "GET /1.0 HT");
	shutdown(client.fd, SHUT_WR);
	expect_end(&client);
	client_close(&client);
	front_destroy(front);
}

static void test_parked_limit(void **state)
{
	struct front *front = front_create_default();
	struct client clients[300];
	unsigned int i, ended = 0;

	for (i = 0; i < 300; i++) {
		client_open(&clients[i], front);
		client_send(&clients[i], "GET /1.0 HTTP/1.1\r\nHost: ");
		/* Connecting blocks while the backlog is full. */
		uv_run(&front->loop, UV_RUN_NOWAIT);
	}
	for (i = 0; i < 200; i++) {
		expect(&clients[i], 503, NULL);
		expect_end(&clients[i]);
	}
	for (i = 200; i < 300; i++) {
		client_read(&clients[i]);
		ended += clients[i].ended;
	}
	assert_int_equal(ended, 0);
	for (i = 200; i < 300; i++)
		client_send(&clients[i], "x\r\n\r\n");
	for (i = 200; i < 300; i++)
		expect(&clients[i], 200, "GET /1.0 - 0 me");
	for (i = 0; i < 300; i++)
		client_close(&clients[i]);
	front_destroy(front);
}

/* A user who opens one after the other puts out their own, not those of others. */
static void test_parked_of_two_users(void **state)
{
	static const struct identity hostile = {.uid = 4000000000};
	struct front *front = front_create(&(struct limits){.incomplete_heads = 10});
	struct client honest;
	int pair[2], others[30];

	client_open(&honest, front);
	client_send(&honest, "GET /1.0 HT");
	for (int i = 0; i < 100; i++)
		uv_run(&front->loop, UV_RUN_NOWAIT);
	for (int i = 0; i < 30; i++) {
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
		assert_int_equal(send(pair[0], "GET", 3, 0), 3);
		front_door(front->listener, pair[1], &hostile);
		others[i] = pair[0];
	}
	client_send(&honest, "TP/1.1\r\nHost: x\r\n\r\n");
	expect(&honest, 200, "GET /1.0 - 0 me");
	for (int i = 0; i < 30; i++) {
		char bytes[1024];
		ssize_t length = recv(others[i], bytes, sizeof(bytes), 0);

		assert_int_equal(length > 0, i < 21);
		if (length > 0)
			assert_non_null(memmem(bytes, (size_t)length, "limits.incomplete_heads", 23));
		close(others[i]);
	}
	client_close(&honest);
	front_destroy(front);
}

/* Who came when there was more patience is not in the way of those who come now. */
static void test_parked_with_less_patience(void **state)
{
	struct front *front = front_create(&(struct limits){.head_timeout = 1000});
	struct client before, now;

	client_open(&before, front);
	client_send(&before, "GET /1.0 HT");
	for (int i = 0; i < 100; i++)
		uv_run(&front->loop, UV_RUN_NOWAIT);
	front->limits.head_timeout = 1;
	client_open(&now, front);
	client_send(&now, "GET /1.0 HT");
	expect(&now, 408, NULL);
	expect_end(&now);
	client_send(&before, "TP/1.1\r\nHost: x\r\n\r\n");
	expect(&before, 200, "GET /1.0 - 0 me");
	client_close(&before);
	client_close(&now);
	front_destroy(front);
}

/* Ten clients, and fds for five connections: the loop must not spin, and the rest is served when there is room. */
static void test_out_of_fds(void **state)
{
	struct front *front = front_create_default();
	struct rlimit old, low;
	struct client clients[10];
	unsigned int i, turns;
	uint64_t end;

	for (i = 0; i < 10; i++) {
		client_open(&clients[i], front);
		client_send(&clients[i], "GET /1.0 HTTP/1.1\r\nHost: x\r\n\r\n");
	}
	getrlimit(RLIMIT_NOFILE, &old);
	low = old;
	low.rlim_cur = (rlim_t)clients[9].fd + 6;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
	for (i = 0; i < 5; i++)
		expect(&clients[i], 200, "GET /1.0 - 0 me");
	end = uv_hrtime() + 50000000;
	for (turns = 0; uv_hrtime() < end; turns++)
		uv_run(&front->loop, UV_RUN_ONCE);
	/* The tick's, and few more. */
	assert_in_range(turns, 1, 150);
	assert_int_equal(front->handled, 5);
	for (i = 0; i < 5; i++)
		client_close(&clients[i]);
	for (i = 5; i < 10; i++)
		expect(&clients[i], 200, "GET /1.0 - 0 me");
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	for (i = 5; i < 10; i++)
		client_close(&clients[i]);
	front_destroy(front);
}

/* ---- the socket ---- */

static int listen_again(struct front *front, const char *path, const char *group)
{
	struct listener_config config = {path, group, &front->clients};
	struct listener *listener = NULL;
	struct error error = {0};
	int r = listener_create(&listener, &front->loop, &front->api, front->http, &config, &error);

	assert_int_equal(error.code, r);
	listener_destroy(listener);
	uv_run(&front->loop, UV_RUN_NOWAIT);
	return r;
}

static void test_socket(void **state)
{
	struct front *front = front_create_default();
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	char path[128];
	struct stat status;
	int fd;

	assert_int_equal(stat(front->path, &status), 0);
	assert_int_equal(status.st_mode & 0777, 0600); /* nobody else without a group */
	assert_int_equal(listen_again(front, front->path, NULL), -EADDRINUSE);
	ask(front, "GET /1.0 HTTP/1.1\r\nHost: x\r\n\r\n", 200, "GET /1.0 - 0 me", false);

	snprintf(path, sizeof(path), "%s/stale", front->directory);
	strcpy(address.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	close(fd);
	assert_int_equal(listen_again(front, path, "no such group"), -ENOENT);
	assert_int_equal(access(path, F_OK), -1);
	assert_int_equal(listen_again(front, path, NULL), 0);
	assert_int_equal(access(path, F_OK), -1);

	fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	close(fd);
	assert_int_equal(listen_again(front, path, NULL), -EEXIST);
	assert_int_equal(unlink(path), 0);

	assert_int_equal(listen_again(front, "/nonexistent/s", NULL), -ENOENT);
	memset(path, 'x', sizeof(path) - 1);
	path[sizeof(path) - 1] = '\0';
	assert_int_equal(listen_again(front, path, NULL), -ENAMETOOLONG);
	front_destroy(front);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_upgrade),
		cmocka_unit_test(test_upgrade_refused),
		cmocka_unit_test(test_late_upgrade),
		cmocka_unit_test(test_parked_deadline),
		cmocka_unit_test(test_parked_client_leaves),
		cmocka_unit_test(test_parked_limit),
		cmocka_unit_test(test_parked_of_two_users),
		cmocka_unit_test(test_parked_with_less_patience),
		cmocka_unit_test(test_out_of_fds),
		cmocka_unit_test(test_socket),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
