# SPDX-License-Identifier: Apache-2.0
"""A SPICE client in a process of its own, which needs neither a screen nor a keyboard: `spice_client.py URI`.

It obeys lines on its stdin:

	type TEXT       presses and releases the keys of lower case letters and digits
	picture FILE    writes what the screen shows, as PPM
	quit            disconnects and ends; so does the end of stdin

and tells what happens in lines of JSON on its stdout, each with a `what`: open (there are a keyboard and a new screen,
of this size), picture (whether it was written: now and then there is no screen), closed (why: the session is over,
whoever ended it).
"""

import ctypes
import json
import os
import sys

import gi

gi.require_version("SpiceClientGLib", "2.0")
from gi.repository import GLib, GObject, SpiceClientGLib as Spice  # noqa: E402: it has to be told the version first

XRGB = 32  # SPICE_SURFACE_FMT_32_xRGB, as bytes: blue, green, red, nothing
ROWS = {0x02: "1234567890", 0x10: "qwertyuiop", 0x1E: "asdfghjkl", 0x2C: "zxcvbnm"}  # by the first key's scan code
SCAN_CODES = {key: first + index for first, row in ROWS.items() for index, key in enumerate(row)}


def listen(source, signal, handler):
    """Session.connect() and Channel.connect() are about networks."""
    GObject.GObject.connect(source, signal, handler)


def tell(what, **more):
    print(json.dumps({"what": what, **more}), flush=True)


class Client:
    def __init__(self, uri):
        self.loop = GLib.MainLoop()
        self.inputs = self.screen = None
        self.input = b""
        self.session = Spice.Session()
        self.session.set_property("uri", uri)
        listen(self.session, "channel-new", self.channel_new)
        listen(self.session, "disconnected", lambda session: self.end("disconnected"))

    def run(self):
        GLib.io_add_watch(0, GLib.PRIORITY_DEFAULT, GLib.IO_IN | GLib.IO_HUP, self.command)
        assert self.session.connect()
        self.loop.run()

    def channel_new(self, session, channel):
        listen(channel, "channel-event", self.channel_event)
        if isinstance(channel, Spice.DisplayChannel):
            listen(channel, "display-primary-create", self.screen_new)
            listen(channel, "display-primary-destroy", self.screen_gone)
        elif not isinstance(channel, (Spice.MainChannel, Spice.InputsChannel)):
            return  # sound and the like
        channel.connect()

    def channel_event(self, channel, event):
        if event != Spice.ChannelEvent.OPENED:
            self.end(event.value_nick)
        elif isinstance(channel, Spice.InputsChannel):
            self.inputs = channel
            self.open()

    def screen_new(self, channel, format, width, height, stride, segment, pixels):
        assert format == XRGB, format
        self.screen = (width, height, stride, pixels)
        self.open()

    def screen_gone(self, channel):
        self.screen = None

    def open(self):
        if self.inputs and self.screen:
            tell("open", width=self.screen[0], height=self.screen[1])

    def command(self, source, condition):
        data = os.read(source, 65536)
        if not data:
            self.loop.quit()
            return False
        *lines, self.input = (self.input + data).split(b"\n")
        for line in lines:
            word, _, argument = line.decode().partition(" ")
            {"type": self.type, "picture": self.picture, "quit": self.quit}[word](argument)
        return True

    def type(self, text):
        for key in text:
            self.inputs.key_press(SCAN_CODES[key])
            self.inputs.key_release(SCAN_CODES[key])

    def picture(self, path):
        if not self.screen:
            tell("picture", written=False)
            return
        width, height, stride, pixels = self.screen
        rows = b"".join(ctypes.string_at(pixels + stride * row, width * 4) for row in range(height))
        colours = bytearray(width * height * 3)
        colours[0::3], colours[1::3], colours[2::3] = rows[2::4], rows[1::4], rows[0::4]
        with open(path, "wb") as file:
            file.write(b"P6\n%d %d\n255\n" % (width, height) + colours)
        tell("picture", written=True)

    def quit(self, argument):
        self.session.disconnect()

    def end(self, reason):
        tell("closed", reason=reason)
        self.loop.quit()


Client(sys.argv[1]).run()
