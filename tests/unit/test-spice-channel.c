// SPDX-License-Identifier: Apache-2.0
/* Viewers, made by hand, whose channels lead to a SPICE server that is this test; both on one loop. */
#include "spice/channel.h"

/* The engine's own user in there is not needed here: the channel takes its place. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function"
#include "tests/unit/websocket-peer.h"
#pragma GCC diagnostic pop

#include <dirent.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/un.h>

/* A link message of a real client: the header up to the connection's id; its channel's type is next. */
#define LINK "REDQ\x02\0\0\0\x02\0\0\0\x1a\0\0\0\0\0\0\0"
#define LINK_REST "\0\x01\0\0\0\x01\0\0\0\x12\0\0\0\x0d\0\0\0\x0f\0\0\0"
#define LINK_MAIN LINK "\x01" LINK_REST
#define LINK_DISPLAY LINK "\x02" LINK_REST
#define LINK_MINIMUM 22

#define DEEP "/a-directory-whose-path-is-longer-than-the-address-of-a-unix-socket-may-be-as-that-takes-107-bytes-only"
#define MANY 24

struct place {
	struct fixture *fixture;
	char root[32], path[160];
	int directory, listener;
	int fillers[16];
	size_t filled, fds; /* fds: what was open before the test */
};

struct viewer {
	struct place *place;
	struct connection peer;
	struct spice_channel *channel;
	struct buffer told;  /* by the server */
	struct buffer heard; /* by the server, of the viewer */
	int server;          /* its end, accepted */
	unsigned int closed;
	bool main;
	unsigned int came; /* times */
};

/* ---- the server ---- */

static struct sockaddr_un address_at(int directory)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/%s", directory, SPICE_SOCKET);
	return address;
}

/* With QEMU's backlog. */
static void serve(struct place *place)
{
	struct sockaddr_un address = address_at(place->directory);

	place->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	assert_true(place->listener >= 0);
	assert_int_equal(bind(place->listener, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(place->listener, 1), 0);
}

static int accept_one(struct place *place)
{
	int fd = accept4(place->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	assert_true(fd >= 0 || errno == EAGAIN);
	return fd;
}

/* Fills the server's backlog with connections of others. */
static void fill(struct place *place)
{
	struct sockaddr_un address = address_at(place->directory);
	int r;

	do {
		int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

		assert_true(fd >= 0);
		assert_true(place->filled < sizeof(place->fillers) / sizeof(*place->fillers));
		place->fillers[place->filled++] = fd;
		r = connect(fd, (struct sockaddr *)&address, sizeof(address));
	} while (r == 0);
	assert_int_equal(errno, EAGAIN);
	close_fd(&place->fillers[--place->filled]);
}

/* Takes those others off the backlog; nobody else is in it. */
static void drain(struct place *place)
{
	while (place->filled) {
		int fd = accept_one(place);

		assert_true(fd >= 0);
		close_fd(&fd);
		close_fd(&place->fillers[--place->filled]);
	}
	assert_int_equal(accept_one(place), -1);
}

static bool has_heard(struct viewer *viewer, size_t length)
{
	char data[64 * 1024];
	ssize_t got;

	while ((got = recv(viewer->server, data, sizeof(data), 0)) > 0)
		assert_int_equal(buffer_append(&viewer->heard, data, (size_t)got, 64 * MIB), 0);
	return viewer->heard.length >= length;
}

/* The viewer's next bytes are these. */
static void expect_heard(struct viewer *viewer, const void *data, size_t length)
{
	wait_for(&viewer->peer, has_heard(viewer, length));
	assert_int_equal(viewer->heard.length, length);
	assert_memory_equal(viewer->heard.data, data, length);
	buffer_consume(&viewer->heard, length);
}

static bool has_ended(const struct viewer *viewer)
{
	char byte;
	ssize_t got = recv(viewer->server, &byte, 1, 0);

	return got == 0 || (got < 0 && errno != EAGAIN);
}

/* ---- the viewer ---- */

static void on_channel_came(struct spice_channel *channel, void *user)
{
	struct viewer *viewer = user;

	viewer->came++;
}

static void on_channel_closed(struct spice_channel *channel, void *user, bool main)
{
	struct viewer *viewer = user;

	assert_ptr_equal(channel, viewer->channel);
	assert_int_equal(viewer->closed++, 0);
	viewer->main = main;
	viewer->channel = NULL;
}

static const struct spice_channel_handler channel_handler = {.came = on_channel_came, .closed = on_channel_closed};

/* Sends the handshake, and `early` as one message right behind it, and opens the channel. */
static void open_channel(struct viewer *viewer, struct place *place, const void *early, size_t length)
{
	int directory = fcntl(place->directory, F_DUPFD_CLOEXEC, 0);

	*viewer = (struct viewer){.place = place, .server = -1};
	pair_unix(&viewer->peer, place->fixture);
	client_send(&viewer->peer, REQUEST "\r\n", strlen(REQUEST "\r\n"));
	if (length)
		client_frame(&viewer->peer, FIN | BINARY, early, length);
	assert_true(directory >= 0);
	assert_int_equal(spice_channel_create(&viewer->channel, place->fixture->engine, &place->fixture->loop,
					      viewer->peer.server_fd, &somebody, directory, &channel_handler, viewer),
			 0);
	assert_int_equal(viewer->closed, 0);
	close_fd(&directory); /* was only lent */
}

static void expect_upgrade(struct viewer *viewer)
{
	char head[1024];

	wait_for(&viewer->peer, take_head(&viewer->peer, head));
	assert_int_equal(strncmp(head, "HTTP/1.1 101 ", 13), 0);
}

static void accept_channel(struct viewer *viewer)
{
	wait_for(&viewer->peer, (viewer->server = accept_one(viewer->place)) >= 0);
}

static void join(struct viewer *viewer, struct place *place)
{
	open_channel(viewer, place, NULL, 0);
	expect_upgrade(viewer);
	accept_channel(viewer);
}

/* Takes binary messages off what was received. */
static bool was_told(struct viewer *viewer, size_t length)
{
	struct frame frame;

	while (next_frame(&viewer->peer, &frame)) {
		assert_int_equal(frame.head, FIN | BINARY);
		assert_int_equal(buffer_append(&viewer->told, frame.payload, frame.length, 64 * MIB), 0);
		buffer_consume(&viewer->peer.received, frame.size);
	}
	return viewer->told.length >= length;
}

/* The server's next bytes are these. */
static void expect_told(struct viewer *viewer, const void *data, size_t length)
{
	wait_for(&viewer->peer, was_told(viewer, length));
	assert_int_equal(viewer->told.length, length);
	assert_memory_equal(viewer->told.data, data, length);
	buffer_consume(&viewer->told, length);
}

/* The channel is closed with this, and answered. */
static void expect_refusal(struct viewer *viewer, unsigned int code, const char *reason)
{
	struct frame frame = {0};

	wait_for(&viewer->peer, next_frame(&viewer->peer, &frame) || viewer->peer.ended);
	assert_int_equal(frame.head, FIN | CLOSE);
	assert_int_equal(frame.length, 2 + strlen(reason));
	assert_int_equal(frame.payload[0] << 8 | frame.payload[1], code);
	assert_memory_equal(frame.payload + 2, reason, strlen(reason));
	buffer_consume(&viewer->peer.received, frame.size);
	client_close(&viewer->peer, code, "");
	wait_for(&viewer->peer, viewer->closed == 1 && viewer->peer.ended);
}

/* The client goes without a word, if it has not; the server sees the end of the channel. */
static void leave(struct viewer *viewer)
{
	close_fd(&viewer->peer.fd);
	wait_for(&viewer->peer, viewer->closed == 1);
	if (viewer->server >= 0)
		wait_for(&viewer->peer, has_ended(viewer));
	close_fd(&viewer->server);
	buffer_finish(&viewer->peer.received);
	buffer_finish(&viewer->told);
	buffer_finish(&viewer->heard);
}

/* ---- both ---- */

static size_t count_fds(void)
{
	DIR *list = opendir("/proc/self/fd");
	size_t count = 0;

	assert_non_null(list);
	while (readdir(list))
		count++;
	closedir(list);
	return count;
}

/* libuv's first loop in a process opens a pipe for good. */
static int warm_up(void **state)
{
	return setup(state) || teardown(state);
}

static int prepare(void **state)
{
	struct place *place = calloc(1, sizeof(*place));

	assert_non_null(place);
	place->listener = -1;
	place->fds = count_fds();
	strcpy(place->root, "/tmp/consoled-spice-XXXXXX");
	assert_non_null(mkdtemp(place->root));
	snprintf(place->path, sizeof(place->path), "%s" DEEP, place->root);
	assert_int_equal(mkdir(place->path, 0700), 0);
	place->directory = open(place->path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	assert_true(place->directory >= 0);
	assert_int_equal(setup((void **)&place->fixture), 0);
	*state = place;
	return 0;
}

/* Nothing is left open. */
static int clean_up(void **state)
{
	struct place *place = *state;

	assert_int_equal(teardown((void **)&place->fixture), 0);
	while (place->filled)
		close_fd(&place->fillers[--place->filled]);
	close_fd(&place->listener);
	unlinkat(place->directory, SPICE_SOCKET, 0);
	close_fd(&place->directory);
	assert_int_equal(rmdir(place->path), 0);
	assert_int_equal(rmdir(place->root), 0);
	assert_int_equal(count_fds(), place->fds);
	free(place);
	return 0;
}

/* ---- tests ---- */

/* Bytes both ways: early ones, few, many. */
static void test_bytes(void **state)
{
	struct viewer viewer;
	unsigned char *bytes = malloc(MIB);
	size_t sent = 0;

	assert_non_null(bytes);
	for (size_t i = 0; i < MIB; i++)
		bytes[i] = stream_byte(i);
	serve(*state);
	open_channel(&viewer, *state, "early", 5);
	expect_upgrade(&viewer);
	accept_channel(&viewer);
	expect_heard(&viewer, "early", 5);
	assert_int_equal(send(viewer.server, "\0answer", 7, MSG_NOSIGNAL), 7);
	expect_told(&viewer, "\0answer", 7);
	for (size_t i = 0; i < MIB; i += PIECE_SIZE) {
		client_frame(&viewer.peer, FIN | BINARY, bytes + i, PIECE_SIZE);
		expect_heard(&viewer, bytes + i, PIECE_SIZE);
	}
	while (sent < MIB) {
		ssize_t some = send(viewer.server, bytes + sent, MIB - sent, MSG_NOSIGNAL);

		if (some > 0)
			sent += (size_t)some;
		turn(viewer.peer.fixture);
		receive(&viewer.peer, SIZE_MAX);
	}
	expect_told(&viewer, bytes, MIB);
	leave(&viewer);
	assert_false(viewer.main);
	free(bytes);
}

/* Says `words` in pieces, and leaves. Whether it was a main channel. */
static bool is_main(struct place *place, const char *words, size_t length, size_t piece)
{
	struct viewer viewer;

	join(&viewer, place);
	for (size_t i = 0; i < length; i += piece)
		client_frame(&viewer.peer, FIN | BINARY, words + i, length - i < piece ? length - i : piece);
	expect_heard(&viewer, words, length);
	leave(&viewer);
	assert_int_equal(viewer.came, viewer.main);
	return viewer.main;
}

/* However it is said, and it is passed on as it was said. */
static void test_main(void **state)
{
	static const char words[] = LINK_MAIN "\x01\0\0\0 and so on";
	static const size_t pieces[] = {1, 7, LINK_MINIMUM, LINK_MINIMUM + 1, sizeof(words)};

	serve(*state);
	for (size_t i = 0; i < sizeof(pieces) / sizeof(*pieces); i++)
		assert_true(is_main(*state, words, sizeof(words), pieces[i]));
	assert_true(is_main(*state, words, LINK_MINIMUM, LINK_MINIMUM));
}

/* Other channels, half a link message, and what is not SPICE. */
static void test_not_main(void **state)
{
	static const char display[] = LINK_DISPLAY LINK_MAIN, garbage[] = "GET / HTTP/1.1\r\n\r\n" LINK_MAIN;

	serve(*state);
	assert_false(is_main(*state, display, sizeof(display), sizeof(display)));
	assert_false(is_main(*state, display, sizeof(display), 1));
	assert_false(is_main(*state, garbage, sizeof(garbage), sizeof(garbage)));
	assert_false(is_main(*state, garbage, sizeof(garbage), 1));
	assert_false(is_main(*state, LINK_MAIN, LINK_MINIMUM - 1, LINK_MINIMUM - 1));
	assert_false(is_main(*state, "", 0, 1));
}

/* A full backlog is waited for, and what was said meanwhile is not lost. */
static void test_backlog(void **state)
{
	static const char words[] = LINK_MAIN;
	struct place *place = *state;
	struct viewer viewer;

	serve(place);
	fill(place);
	open_channel(&viewer, place, words, sizeof(words));
	expect_upgrade(&viewer);
	client_frame(&viewer.peer, FIN | BINARY, "later", 5);
	settle(&viewer.peer);
	drain(place);
	accept_channel(&viewer);
	wait_for(&viewer.peer, has_heard(&viewer, sizeof(words) + 5));
	expect_heard(&viewer, LINK_MAIN "\0later", sizeof(words) + 5);
	assert_int_equal(send(viewer.server, "answer", 6, MSG_NOSIGNAL), 6);
	expect_told(&viewer, "answer", 6);
	leave(&viewer);
	assert_true(viewer.main);
}

/* Given up after five seconds; for who has left meanwhile, too. */
static void test_backlog_never_empty(void **state)
{
	struct viewer viewer, gone;
	int64_t start = now_ms();

	serve(*state);
	fill(*state);
	open_channel(&gone, *state, NULL, 0);
	expect_upgrade(&gone);
	close_fd(&gone.peer.fd);
	open_channel(&viewer, *state, LINK_MAIN, sizeof(LINK_MAIN));
	expect_upgrade(&viewer);
	expect_refusal(&viewer, 1011, "The virtual machine's SPICE server does not answer");
	assert_in_range(now_ms() - start, 4900, 9000);
	leave(&viewer);
	assert_false(viewer.main);
	leave(&gone);
}

/* The machine ends while a channel waits. */
static void test_backlog_gone(void **state)
{
	struct place *place = *state;
	struct viewer viewer;

	serve(place);
	fill(place);
	open_channel(&viewer, place, NULL, 0);
	expect_upgrade(&viewer);
	settle(&viewer.peer);
	close_fd(&place->listener);
	expect_refusal(&viewer, 1011, "The virtual machine has no SPICE server");
	leave(&viewer);
}

/* No server: no socket, one that nobody listens on any more, one of another kind. */
static void test_absent(void **state)
{
	struct place *place = *state;
	struct sockaddr_un address = address_at(place->directory);
	struct viewer viewer;
	cleanup_close int other = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	open_channel(&viewer, place, LINK_MAIN, sizeof(LINK_MAIN));
	expect_upgrade(&viewer);
	expect_refusal(&viewer, 1011, "The virtual machine has no SPICE server");
	leave(&viewer);
	assert_false(viewer.main);

	serve(place);
	close_fd(&place->listener);
	open_channel(&viewer, place, NULL, 0);
	expect_upgrade(&viewer);
	expect_refusal(&viewer, 1011, "The virtual machine has no SPICE server");
	leave(&viewer);

	assert_int_equal(unlinkat(place->directory, SPICE_SOCKET, 0), 0);
	assert_int_equal(bind(other, (struct sockaddr *)&address, sizeof(address)), 0);
	open_channel(&viewer, place, NULL, 0);
	expect_upgrade(&viewer);
	expect_refusal(&viewer, 1011, "Failed connecting to the SPICE server: Protocol wrong type for socket");
	leave(&viewer);
}

/* What the server said last arrives before the end does. */
static void test_server_closes(void **state)
{
	struct viewer viewer;
	struct frame frame;

	serve(*state);
	join(&viewer, *state);
	client_frame(&viewer.peer, FIN | BINARY, LINK_MAIN, sizeof(LINK_MAIN));
	expect_heard(&viewer, LINK_MAIN, sizeof(LINK_MAIN));
	assert_int_equal(send(viewer.server, "farewell", 8, MSG_NOSIGNAL), 8);
	close_fd(&viewer.server);
	wait_for(&viewer.peer, next_frame(&viewer.peer, &frame));
	expect_frame(&viewer.peer, FIN | BINARY, "farewell", 8);
	expect_frame(&viewer.peer, FIN | TEXT, "", 0);
	expect_close(&viewer.peer, 0);
	if (viewer.channel)
		spice_channel_close(viewer.channel, 1000, "too late to matter");
	client_close(&viewer.peer, 0, "");
	wait_for(&viewer.peer, viewer.closed == 1 && viewer.peer.ended);
	assert_int_equal(viewer.peer.received.length, 0);
	leave(&viewer);
	assert_true(viewer.main);
}

/* The client's end mark ends the channel. */
static void test_client_ends(void **state)
{
	struct viewer viewer;

	serve(*state);
	join(&viewer, *state);
	client_frame(&viewer.peer, FIN | BINARY, LINK_MAIN, sizeof(LINK_MAIN));
	client_frame(&viewer.peer, FIN | TEXT, "", 0);
	expect_heard(&viewer, LINK_MAIN, sizeof(LINK_MAIN));
	wait_for(&viewer.peer, viewer.peer.ended || viewer.peer.received.length > 0);
	client_close(&viewer.peer, 0, "");
	wait_for(&viewer.peer, viewer.closed == 1);
	leave(&viewer);
	assert_true(viewer.main);
}

/* Closed at once, refused, while waiting, at work: told why; a second time does nothing. */
static void test_close(void **state)
{
	struct place *place = *state;
	struct viewer viewer;

	open_channel(&viewer, place, NULL, 0);
	spice_channel_close(viewer.channel, 1000, "too late to matter");
	expect_upgrade(&viewer);
	expect_refusal(&viewer, 1011, "The virtual machine has no SPICE server");
	leave(&viewer);

	serve(place);
	open_channel(&viewer, place, NULL, 0);
	spice_channel_close(viewer.channel, 1001, "at once");
	assert_int_equal(viewer.closed, 0);
	expect_upgrade(&viewer);
	expect_refusal(&viewer, 1001, "at once");
	accept_channel(&viewer);
	leave(&viewer);

	join(&viewer, place);
	client_frame(&viewer.peer, FIN | BINARY, LINK_MAIN, sizeof(LINK_MAIN));
	expect_heard(&viewer, LINK_MAIN, sizeof(LINK_MAIN));
	spice_channel_close(viewer.channel, 1000, "at work");
	spice_channel_close(viewer.channel, 1001, "again");
	assert_int_equal(viewer.closed, 0);
	expect_refusal(&viewer, 1000, "at work");
	leave(&viewer);
	assert_true(viewer.main);

	fill(place);
	open_channel(&viewer, place, NULL, 0);
	expect_upgrade(&viewer);
	settle(&viewer.peer);
	spice_channel_close(viewer.channel, 1000, "while waiting");
	expect_refusal(&viewer, 1000, "while waiting");
	drain(place);
	settle(&viewer.peer);
	assert_int_equal(accept_one(place), -1);
	leave(&viewer);
}

/* Who leaves while waiting leaves nothing behind. */
static void test_client_gone(void **state)
{
	struct place *place = *state;
	struct viewer viewer;

	serve(place);
	fill(place);
	open_channel(&viewer, place, NULL, 0);
	expect_upgrade(&viewer);
	close_fd(&viewer.peer.fd);
	settle(&viewer.peer);
	drain(place);
	leave(&viewer); /* now that there is room */
	accept_channel(&viewer);
	close_fd(&viewer.server);

	fill(place);
	open_channel(&viewer, place, NULL, 0);
	close_fd(&viewer.peer.fd); /* before the first turn */
	leave(&viewer);
	drain(place);

	open_channel(&viewer, place, NULL, 0); /* connected at once */
	leave(&viewer);
	accept_channel(&viewer);
	close_fd(&viewer.server);
}

/* The daemon ends with channels waiting and at work. */
static void test_shutdown(void **state)
{
	struct place *place = *state;
	struct viewer waiting, working;

	serve(place);
	join(&working, place);
	fill(place);
	open_channel(&waiting, place, NULL, 0);
	expect_upgrade(&waiting);
	assert_int_equal(teardown((void **)&place->fixture), 0);
	assert_int_equal(working.closed, 1);
	assert_int_equal(waiting.closed, 1);
	leave(&working);
	leave(&waiting);
	assert_int_equal(setup((void **)&place->fixture), 0);
}

/* One that cannot be begun: the fd is consumed all the same, and nobody is called. */
static void test_no_channel(void **state)
{
	struct place *place = *state;
	const struct websockets_config config = {
		.receive_size = RECEIVE_SIZE, .handshake = 1, .clients = &place->fixture->clients};
	struct viewer viewer = {.place = place};
	struct websockets *engine;
	struct rlimit limit, low;
	int pair[2], high;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	low = (struct rlimit){.rlim_cur = 64, .rlim_max = limit.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
	assert_int_equal(websockets_create(&engine, &place->fixture->loop, &config), 0);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	high = fcntl(pair[0], F_DUPFD_CLOEXEC, 64);
	assert_true(high >= 64);
	assert_int_equal(spice_channel_create(&viewer.channel, engine, &place->fixture->loop, high, &somebody,
					      place->directory, &channel_handler, &viewer),
			 -EMFILE);
	assert_int_equal(fcntl(high, F_GETFD), -1);
	close_fd(&pair[0]);
	close_fd(&pair[1]);
	websockets_destroy(engine);
	assert_int_equal(viewer.closed, 0);
}

/* Accepts a channel, and answers one that has said something. */
static size_t answer_many(struct place *place, int fds[static MANY], size_t accepted)
{
	char byte;

	if (accepted < MANY) {
		fds[accepted] = accept_one(place);
		accepted += fds[accepted] >= 0;
	}
	for (size_t i = 0; i < accepted; i++)
		if (recv(fds[i], &byte, 1, 0) == 1)
			assert_int_equal(send(fds[i], &byte, 1, MSG_NOSIGNAL), 1);
	return accepted;
}

/* A server that takes one at a time has them all in the end, and nobody gets another's bytes. */
static void test_many(void **state)
{
	static struct viewer viewers[MANY];
	struct place *place = *state;
	size_t accepted = 0;
	int fds[MANY];

	serve(place);
	for (size_t i = 0; i < MANY; i++) {
		char byte = (char)('A' + i);

		open_channel(&viewers[i], place, &byte, 1);
	}
	wait_for(&viewers[0].peer, (accepted = answer_many(place, fds, accepted)) == MANY);
	for (size_t i = 0; i < MANY; i++) {
		char byte = (char)('A' + i);

		expect_upgrade(&viewers[i]);
		wait_for(&viewers[i].peer, answer_many(place, fds, accepted) && was_told(&viewers[i], 1));
		expect_told(&viewers[i], &byte, 1);
	}
	for (size_t i = 0; i < MANY; i++) {
		leave(&viewers[i]);
		assert_false(viewers[i].main);
		close_fd(&fds[i]);
	}
}

static void test_present(void **state)
{
	struct place *place = *state;
	int file;

	assert_false(spice_present(place->directory));
	file = openat(place->directory, SPICE_SOCKET, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
	assert_true(file >= 0);
	close_fd(&file);
	assert_false(spice_present(place->directory));
	assert_int_equal(unlinkat(place->directory, SPICE_SOCKET, 0), 0);
	serve(place);
	assert_true(spice_present(place->directory));
	assert_int_equal(accept_one(place), -1); /* nobody called there */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_bytes, prepare, clean_up),
		cmocka_unit_test_setup_teardown(test_main, prepare, clean_up),
		cmocka_unit_test_setup_teardown(test_not_main, prepare, clean_up),
		cmocka_unit_test_setup_teardown(test_backlog, prepare, clean_up),
		cmocka_unit_test_setup_teardown(test_backlog_never_empty, prepare, clean_up),
		cmocka_unit_test_setup_teardown(test_backlog_gone, prepare, clean_up),
		cmocka_unit_test_setup_teardown(test_absent, prepare, clean_up),
		cmocka_unit_test_setup_teardown(test_server_closes, prepare, clean_up),
		cmocka_unit_test_setup_teardown(test_client_ends, prepare, clean_up),
		cmocka_unit_test_setup_teardown(test_close, prepare, clean_up),
		cmocka_unit_test_setup_teardown(test_client_gone, prepare, clean_up),
		cmocka_unit_test_setup_teardown(test_shutdown, prepare, clean_up),
		cmocka_unit_test_setup_teardown(test_no_channel, prepare, clean_up),
		cmocka_unit_test_setup_teardown(test_many, prepare, clean_up),
		cmocka_unit_test_setup_teardown(test_present, prepare, clean_up),
	};

	return cmocka_run_group_tests(tests, warm_up, NULL);
}
