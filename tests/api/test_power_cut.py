# SPDX-License-Identifier: Apache-2.0
"""The machine goes down while a daemon is at work: what its files were like at that moment, page by page of different ages,
is what the next daemon finds. What SQLite and the ring make of it is in tests/unit/test-store-power.c and
test-ring-power.c."""

import os
import random
import re
import shutil
from pathlib import Path

import pytest

from consoled import Daemon, rounds
from havoc import PRINTER, Subject
from load import Client, asker, creator, typist
from rest import RUNNING, STOPPED, Instance, wait_until

SEED = int(os.environ.get("CONSOLED_TEST_SEED", random.SystemRandom().randrange(1 << 32)))
PAGE = 4096
MACHINE_BOOT = 1704  # where a ring's file has the boot_id
NOTICE = re.compile(rb"\r\n\[consoled: (\d+) bytes were lost when the machine went down\]\r\n\0*")

pytestmark = pytest.mark.timeout(300)


def pages(data, older, chance):
    """`data`, of which some pages are as they were before."""
    odds = chance.choice([1, 4, 50])
    mixed = bytearray(data)
    for at in range(0, min(len(data), len(older)), PAGE):
        if chance.randrange(odds * 4) == 0:
            mixed[at : at + PAGE] = older[at : at + PAGE]
    return bytes(mixed)


def read_files(daemon, *patterns):
    found = {}
    for path in sorted(each for pattern in patterns for each in daemon.directory.glob(pattern)):
        try:
            if path.is_file():
                found[path.relative_to(daemon.directory)] = path.read_bytes()
        except FileNotFoundError:
            continue  # deleted meanwhile
    return found


def read_database(daemon):
    """The database's files, in the midst of its work, but not from before and after a checkpoint: that waits for the disk."""
    while True:
        before = (daemon.directory / "consoled.db").read_bytes()
        found = read_files(daemon, "consoled.db*")
        if found[Path("consoled.db")] == before == (daemon.directory / "consoled.db").read_bytes():
            return found


def taken_over(index):
    """Whether a checkpoint has taken over what is in the write-ahead log (nBackfill, sqlite.org/walformat.html)."""
    return index[96:100] != bytes(4)


def go_down(daemon, older, directory, chance):
    """Leaves in `directory` what a power cut now could leave: of the database's log the end is missing, unless it has been
    waited for; of the rings' pages some are old ones."""
    database = read_database(daemon)
    index, log = Path("consoled.db-shm"), Path("consoled.db-wal")
    if not taken_over(database[index]):
        database[log] = database[log][: -chance.choice([1, 100, 4096, 50000])]
    database[index] = database[index][: chance.randrange(len(database[index]))]
    rings = read_files(daemon, "consoles/*/ring")
    for path, data in rings.items():
        data = bytearray(pages(data, older.get(path, data), chance))
        data[MACHINE_BOOT : MACHINE_BOOT + 1] = b"x"  # another start of the machine
        rings[path] = data
    for path, data in {**database, **rings}.items():
        target = directory / path
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        target.write_bytes(data)


def numbers(log):
    """The numbered lines, and None for each gap that the log tells of."""
    for part in NOTICE.split(log)[::2]:
        for line in part.split(b"\n")[1:-1]:
            if line.isdigit():
                yield int(line)
            elif b"?" in line:  # a gap of a few bytes
                yield None
        yield None


def assert_correct(log):
    """Between two gaps one number follows the other."""
    last = None
    for number in numbers(log):
        assert last is None or number is None or number == last + 1 or number == 1, f"{number} follows {last}"
        last = number


def check_next_daemon(daemon, directory):
    """It serves, its logs are right, and its instances start."""
    after = Daemon()
    try:
        shutil.copytree(directory, after.directory, dirs_exist_ok=True)
        after.start()
        names = [url.rsplit("/", 1)[1] for url in after.api.read("/1.0/instances")]
        for name in names:
            instance = Instance(after.api, name)
            assert instance.status == STOPPED
            log = instance.log()
            assert_correct(log)
            if name.startswith("p"):
                instance.start()
                wait_until(lambda: len(instance.log()) > 100 and instance.log() != log)
                assert instance.status == RUNNING
                instance.stop()
        return names, [len(NOTICE.findall(Instance(after.api, name).log())) for name in names]
    finally:
        after.close()


def test_power_cut(own_daemon, tmp_path):
    """Promise 2, T34: whatever a power cut leaves, the next daemon serves: an instance that it knows is whole, and its log is
    a correct part of what was printed, or says what is lost."""
    print(f"CONSOLED_TEST_SEED={SEED}")
    chance = random.Random(SEED)
    command = f"sh -c 'stty raw -echo; {PRINTER % (400, 0.02)}'"
    subjects = [
        Subject(own_daemon, own_daemon.create(f"p{number}", command, config={"console.buffer.size": size})).start()
        for number, size in enumerate(["64KiB", "256KiB"])
    ]
    names = [subject.name for subject in subjects]
    clients = [Client(role, own_daemon.api.path, names, chance.random()) for role in (typist, asker, creator, creator)]
    gaps = 0
    try:
        for number in range(rounds(40, 4)):
            older, written = read_files(own_daemon, "consoles/*/ring"), subjects[0].instance.log()
            wait_until(lambda: subjects[0].instance.log() != written)
            directory = Path(tmp_path, str(number))
            directory.mkdir(mode=0o700)
            go_down(own_daemon, older, directory, chance)
            found, notices = check_next_daemon(own_daemon, directory)
            gaps += sum(notices)
            shutil.rmtree(directory)
    finally:
        for client in clients:
            client.kill()
    print(f"{gaps} gaps told in {rounds(40, 4)} power cuts; at last there were {found}")
