// SPDX-License-Identifier: Apache-2.0
// Attaches to a console as a browser does: both sockets at once, in any order, binary frames, never a resize.
//
//     node attach.js SOCKET OPERATION DATA-SECRET CONTROL-SECRET
//
// stdin is typed; at its end the session is detached, unless the argument "stay" follows: then the instance ends it.
// Output goes to stdout; at the end, how the data socket closed goes to stderr as JSON.

'use strict';

const WebSocket = require('ws');

const [socket, operation, dataSecret, controlSecret, stay] = process.argv.slice(2);

function connect(secret) {
	return new WebSocket(`ws+unix://${socket}:/1.0/operations/${operation}/websocket?secret=${secret}`);
}

function fail(error) {
	console.error(String(error));
	process.exit(1);
}

const data = connect(dataSecret);
const control = connect(controlSecret);
const messages = { binary: 0, text: 0, emptyText: 0 };
let detaching = false;

data.on('error', fail);
control.on('error', (error) => detaching || fail(error));
control.on('message', (message) => fail(`data on control: ${message}`));

data.on('open', () => {
	process.stdin.on('data', (chunk) => data.send(chunk, { binary: true }));
	process.stdin.on('end', () => {
		if (stay !== 'stay')
			detach();
	});
});

function detach() {
	detaching = true;
	if (control.readyState === WebSocket.CONNECTING)
		control.once('open', () => control.close(1000, 'Detaching from console'));
	else
		control.close(1000, 'Detaching from console');
}

data.on('message', (message, isBinary) => {
	if (isBinary) {
		messages.binary++;
		process.stdout.write(message);
	} else {
		messages.text++;
		messages.emptyText += message.length === 0 ? 1 : 0;
	}
});

data.on('close', (code, reason) => {
	process.stderr.write(JSON.stringify({ code, reason: String(reason), ...messages }) + '\n');
	control.terminate();
	process.stdin.destroy();
});
