# SPDX-License-Identifier: Apache-2.0
"""Where outputs go: links, devices, pipes, inputs, owners, mount points; what killed runs leave; signals and pipes."""
import contextlib
import os
import pty
import shutil
import signal
import socket
import stat
import subprocess
import time

import support

DATA = "sentence\tlabel\n" + "Ada wrote programs\ta\nParis is old\tb\n" * 3
ROOT = os.geteuid() == 0
NOBODY = 65534
LINES = b'{"text":"Ada wrote the first program in London"}\n' * 400


def become_nobody():
    """For preexec_fn: an ordinary user, whoever runs the tests."""
    if ROOT:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)


class Outputs(support.Scratch):
    def setUp(self):
        super().setUp()
        os.chmod(self.dir, 0o755)
        self.data = self.write("data.tsv", DATA)
        self.checkpoint = self.model(head="sequence", labels="a,b")

    def compiled(self, name="m.esp"):
        self.ok("compile", self.checkpoint, "-q", "-o", self.path(name))
        return self.path(name)

    def compile(self, target):
        return ["compile", self.checkpoint, "-q", "-o", target]

    def evaluate(self, target, data=None, model=None):
        return ["eval", model or self.checkpoint, "--data", data or self.data, "-q", "--save", target]

    def writers(self, target):
        return self.compile(target), self.evaluate(target)

    def directory(self, name):
        os.mkdir(self.path(name))
        return self.path(name)

    def refused(self, arguments, code, message, **options):
        done = support.run(*arguments, **options)
        self.assertEqual(done.returncode, code, f"{arguments}: {done.stderr}")
        self.assertIn(message, done.stderr, arguments)
        return done

    def as_user(self, *arguments):
        """Runs the program as a user who may not do everything."""
        return subprocess.run([support.PROGRAM, *arguments], preexec_fn=become_nobody, capture_output=True, text=True,
                              timeout=120)


class Links(Outputs):
    def test_what_a_link_leads_to_is_replaced(self):
        for write in (self.compile, self.evaluate):
            place = self.directory(write.__name__)
            real, link, chain = (os.path.join(place, n) for n in ("real", "link", "chain"))
            open(real, "w").close()
            os.symlink("real", link)
            os.symlink(f"../{write.__name__}/link", chain)
            self.ok(*write(chain))
            self.assertTrue(os.path.islink(link) and os.path.islink(chain))
            self.assertGreater(os.path.getsize(real), 10)
            self.assertEqual(sorted(os.listdir(place)), ["chain", "link", "real"])

    def test_a_link_to_nothing_yet(self):
        self.directory("far")
        os.symlink("far/new", self.path("link"))
        for arguments in self.writers(self.path("link")):
            self.ok(*arguments)
            self.assertTrue(os.path.islink(self.path("link")))
            self.assertGreater(os.path.getsize(self.path("far/new")), 10)
            os.unlink(self.path("far/new"))

    def test_links_in_a_circle(self):
        os.symlink("b", self.path("a"))
        os.symlink("a", self.path("b"))
        for arguments in self.writers(self.path("a")):
            self.refused(arguments, 2, "links that lead in a circle")
        self.refused(["init", "bert-mini", "--random-vocab", "-o", self.path("a")], 2, "links that lead in a circle")

    def test_a_link_to_an_empty_directory(self):
        target = self.directory("target")
        os.chmod(target, 0o750)
        os.symlink("target/", self.path("link"))
        self.ok("vocab", self.path("text.txt"), "-q", "--size", 100, "-o", self.path("link"))
        self.assertTrue(os.path.islink(self.path("link")))
        self.assertIn("vocab.txt", os.listdir(target))
        self.assertEqual(stat.S_IMODE(os.stat(target).st_mode), 0o750)
        os.symlink("later", self.path("dangling"))
        self.ok("prune", self.checkpoint, "--sparsity", ".5", "-q", "-o", self.path("dangling"))
        self.assertTrue(os.path.islink(self.path("dangling")))
        self.assertIn("model.safetensors", os.listdir(self.path("later")))

    def test_training_into_a_link(self):
        private = self.directory("private")
        os.chmod(private, 0o700)
        os.symlink("private//", self.path("link"))
        self.ok("train", self.checkpoint, "--task", "classify", "--train", self.data, "--max-steps", 2, "-q", "-o",
                self.path("link"))
        self.assertTrue(os.path.islink(self.path("link")))
        self.assertIn("train.jsonl", os.listdir(private))
        self.assertEqual(stat.S_IMODE(os.stat(private).st_mode), 0o700)


class InPlace(Outputs):
    def read_fifo(self, path, arguments):
        """What the program writes into it."""
        process = subprocess.Popen([support.PROGRAM, *arguments], stdout=subprocess.DEVNULL)
        with open(path, "rb") as stream:
            content = stream.read()
        self.assertEqual(process.wait(60), 0)
        return content

    def test_fifo(self):
        fifo, link = self.path("fifo"), self.path("link")
        os.mkfifo(fifo)
        os.symlink(fifo, link)
        with open(self.compiled(), "rb") as stream:
            self.assertEqual(self.read_fifo(fifo, self.compile(fifo)), stream.read())
        self.ok(*self.evaluate(self.path("saved")))
        with open(self.path("saved"), "rb") as stream:
            self.assertEqual(self.read_fifo(link, self.evaluate(link)), stream.read())
        self.assertTrue(stat.S_ISFIFO(os.stat(fifo).st_mode) and os.path.islink(link))

    def test_devices(self):
        node = self.path("null")
        try:
            os.mknod(node, 0o666 | stat.S_IFCHR, os.makedev(1, 3))
            with open(node, "wb"):
                pass
        except OSError as error:
            self.skipTest(f"no device nodes here: {error}")
        for arguments in self.writers(node):
            self.ok(*arguments)
            self.assertTrue(stat.S_ISCHR(os.stat(node).st_mode))
        self.assertEqual(os.stat(node).st_rdev, os.makedev(1, 3))

    def test_the_systems_devices(self):
        before = os.stat("/dev/null")
        for arguments in self.writers("/dev/null"):
            self.ok(*arguments)
        self.assertEqual(os.stat("/dev/null").st_rdev, before.st_rdev)
        for arguments in self.writers("/dev/full"):
            self.refused(arguments, 1, "No space left on device")

    def test_descriptors(self):
        with open(self.compiled(), "rb") as stream:
            image = stream.read()
        done = subprocess.run([support.PROGRAM, *self.compile("/dev/stdout")], capture_output=True)
        self.assertEqual((done.returncode, done.stdout), (0, image), "the file and nothing else")
        ours, theirs = socket.socketpair()
        with ours, theirs:
            process = subprocess.Popen([support.PROGRAM, *self.compile("/dev/stdout")], stdout=theirs)
            theirs.close()
            received = b""
            while part := ours.recv(1 << 16):
                received += part
            self.assertEqual((process.wait(60), received), (0, image), "a socket cannot be opened by its name")
        for name in ("/dev/fd/{}", "/proc/self/fd/{}"):
            with open(self.path("log"), "wb") as log:  # it goes on where the descriptor stands
                log.write(b"before\n")
                log.flush()
                arguments = self.evaluate(name.format(log.fileno()))
                subprocess.run([support.PROGRAM, *arguments], pass_fds=[log.fileno()], check=True, capture_output=True)
                log.write(b"after\n")
            with open(self.path("log")) as log:
                content = log.read().splitlines()
            self.assertEqual((content[0], content[-1], len(content)), ("before", "after", 8), name)
        self.refused(self.compile("/dev/stdin"), 2, "expected a descriptor open for writing", stdin=b"x")

    def test_process_substitution(self):
        if not shutil.which("bash"):
            self.skipTest("no bash")
        command = " ".join(self.compile(f">(cat > {self.path('copy')})"))
        subprocess.run(["bash", "-c", f"{support.PROGRAM} {command}; wait"], check=True, capture_output=True)
        with open(self.compiled(), "rb") as a, open(self.path("copy"), "rb") as b:
            self.assertEqual(a.read(), b.read())

    def test_sockets_and_directories(self):
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(self.path("s"))
            for arguments in self.writers(self.path("s")):
                self.refused(arguments, 1, "found a socket")
            self.assertTrue(stat.S_ISSOCK(os.stat(self.path("s")).st_mode))
        for name in (self.dir, self.path("new/")):
            for arguments in self.writers(name):
                self.refused(arguments, 1, "expected a file name, found a directory")


class Inputs(Outputs):
    def test_a_model_is_not_replaced(self):
        model = self.compiled()
        os.symlink(model, self.path("link"))
        os.link(model, self.path("hard"))
        os.mkfifo(self.path("fifo"))  # whoever opens it waits for ever: the refusal comes before the data are read
        with open(model, "rb") as stream:
            before = stream.read()
        for name in (model, self.path("link"), self.path("hard"), os.path.join(self.checkpoint, "..", "m.esp")):
            for data in (self.data, self.path("fifo")):
                done = self.refused(self.evaluate(name, data, model), 2, "which is read")
                self.assertIn("--save: expected another file than", done.stderr)
        with open(model, "rb") as stream:
            self.assertEqual(stream.read(), before)

    def test_nor_is_any_file_of_a_checkpoint_that_is_read(self):
        for name in os.listdir(self.checkpoint):
            path = os.path.join(self.checkpoint, name)
            with open(path, "rb") as stream:
                before = stream.read()
            os.link(path, self.path("hard"))
            for target in (path, self.path("hard")):
                done = support.run(*self.evaluate(target))
                if name in ("config.json", "model.safetensors", "tokenizer.json"):
                    self.assertEqual(done.returncode, 2, f"{name}: {done.stderr}")
                if done.returncode:
                    with open(path, "rb") as stream:
                        self.assertEqual(stream.read(), before, name)
            os.unlink(self.path("hard"))

    def test_predictions_beside_the_weights(self):
        target = os.path.join(self.checkpoint, "predictions.tsv")
        self.ok(*self.evaluate(target))
        self.ok(*self.evaluate(target))

    def test_data_of_a_compilation(self):
        empty = self.write("empty.tsv", "")
        done = self.refused(["compile", self.checkpoint, "-q", "--calibrate", empty, "-o", empty], 2, "which is read")
        self.assertIn("--output", done.stderr)
        self.refused([*self.compile(empty), "--max-drop", "1%", "--eval", empty], 2, "which is read")
        self.refused(self.compile(self.data), 2, "found another file")


class Owners(Outputs):
    def mode(self, path):
        return stat.S_IMODE(os.stat(path).st_mode)

    def test_mode_and_owner_are_kept(self):
        for write in (self.compile, self.evaluate):
            target = self.write(f"kept-{write.__name__}", "")
            for mode in (0o600, 0o640, 0o755):
                os.chmod(target, mode)
                if ROOT:
                    os.chown(target, 1234, 2345)
                self.ok(*write(target))
                self.assertEqual(self.mode(target), mode)
                if ROOT:
                    self.assertEqual((os.stat(target).st_uid, os.stat(target).st_gid), (1234, 2345))

    def test_new_files_take_the_umask(self):
        for mask, mode in ((0o022, 0o644), (0o077, 0o600)):
            for arguments in self.writers(self.path("new")):
                subprocess.run([support.PROGRAM, *arguments], check=True, capture_output=True,
                               preexec_fn=lambda mask=mask: os.umask(mask) and None)
                self.assertEqual(self.mode(self.path("new")), mode)
                os.unlink(self.path("new"))

    @support.unittest.skipUnless(ROOT, "takes another user's files")
    def test_another_users_file(self):
        place = self.directory("place")
        os.chown(place, NOBODY, NOBODY)
        target = self.write("place/x", "")
        os.chmod(target, 0o4660)
        done = self.as_user(*self.evaluate(target))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual((os.stat(target).st_uid, self.mode(target)), (NOBODY, 0o600), "no bits for another group")

    @support.unittest.skipUnless(ROOT, "takes another user's files")
    def test_sticky_directory(self):
        place = self.directory("sticky")
        os.chmod(place, 0o1777)
        target = self.write("sticky/x", "")
        for arguments in self.writers(target):
            done = self.as_user(*arguments)
            self.assertEqual(done.returncode, 1, done.stderr)
            self.assertIn("another user's file in a sticky directory", done.stderr)


class Early(Outputs):
    """What a command needs at its end is asked at its beginning: inputs are FIFOs that nobody writes."""

    def commands(self, target):
        never = self.path("never")
        if not os.path.exists(never):
            os.mkfifo(never)
            os.chmod(never, 0o666)
        train = ["train", self.checkpoint, "--task", "classify", "--train", never, "-q", "-o"]
        return (["vocab", never, "-q", "-o", target], [*train, target],
                ["prune", self.checkpoint, "--sparsity", ".5", "--score", "obert", "--calibrate", never, "-q", "-o", target],
                ["init", "bert-base", "--random-vocab", "-o", target],
                self.evaluate(target, never), [*self.compile(target), "--calibrate", never])

    def test_parent_that_is_not_writable(self):
        place = self.directory("closed")
        os.chmod(place, 0o555)
        for arguments in self.commands(os.path.join(place, "x")):
            done = self.as_user(*arguments)
            self.assertEqual(done.returncode, 1, f"{arguments}: {done.stderr}")
            self.assertRegex(done.stderr, "cannot create.*Permission denied", arguments)

    def test_read_only_file_system(self):
        for arguments in self.commands("/proc/espalier"):
            done = support.run(*arguments)
            self.assertEqual(done.returncode, 1, f"{arguments}: {done.stderr}")
            self.assertIn("cannot create", done.stderr, arguments)

    def test_names_that_are_too_long(self):
        for arguments in self.commands(self.path("x" * 256)):
            self.assertIn("too long", self.refused(arguments, 1, "").stderr)
        for arguments in self.commands(self.path("/".join(["x"] * 2000))):
            self.refused(arguments, 2, "expected a path of 1 to")

    def test_the_longest_name(self):
        for arguments in self.writers(self.path("x" * 255)):
            self.ok(*arguments)
        self.ok("vocab", self.path("text.txt"), "-q", "--size", 100, "-o", self.path("y" * 255))

    def test_an_empty_directory_in_a_closed_place(self):
        place = self.directory("closed")
        inner = self.directory("closed/inner")
        if ROOT:
            os.chown(inner, NOBODY, NOBODY)
        os.chmod(place, 0o555)
        done = self.as_user("init", "bert-mini", "--random-vocab", "-o", inner)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual([n for n in os.listdir(inner) if "tmp" in n], [])
        self.assertIn("config.json", os.listdir(inner))
        os.chmod(place, 0o755)

    @contextlib.contextmanager
    def mounted(self, path):
        if not ROOT or subprocess.run(["mount", "-t", "tmpfs", "tmpfs", path], capture_output=True).returncode:
            self.skipTest("nothing can be mounted here")
        try:
            yield
        finally:
            subprocess.run(["umount", path], check=True)

    def test_mount_point(self):
        point = self.directory("mp")
        with self.mounted(point):
            self.ok("prune", self.checkpoint, "--sparsity", ".5", "-q", "-o", point)
            self.assertEqual(sorted(os.listdir(point)), sorted(os.listdir(self.checkpoint)))
        with self.mounted(point):
            for arguments in self.commands(point):
                if arguments[0] == "train":
                    self.refused(arguments, 2, "is a mount point")

    def test_places_of_all_stages(self):
        recipe = self.write("recipe.json", '{"task": "classify", "train": ["never"], "stages": [{"name": "one"}, '
                                           '{"name": "two"}]}')
        os.makedirs(self.path("out/two"))
        self.write("out/two/mine", "x")
        self.refused(["train", self.checkpoint, "--recipe", recipe, "-q", "-o", self.path("out")], 2,
                     'stage "two": ')
        self.assertEqual(os.listdir(self.path("out")), ["two"])


class Killed(Outputs):
    def waiting(self, target="saved", **options):
        """An evaluation that has its output open and waits for data."""
        fifo = self.path(f"fifo-{time.monotonic_ns()}")
        os.mkfifo(fifo)
        before = set(os.listdir(self.dir))
        process = subprocess.Popen([support.PROGRAM, *self.evaluate(self.path(target), fifo)], stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, text=True, **options)
        feed = open(fifo, "w")
        while not set(os.listdir(self.dir)) - before:
            self.assertIsNone(process.poll())
            time.sleep(0.01)
        state = "R"
        while state != "S":  # until it waits in its read
            time.sleep(0.1)
            with open(f"/proc/{process.pid}/stat") as stream:
                state = stream.read().rsplit(")", 1)[1].split()[0]
        return process, feed

    def temporaries(self):
        return [n for n in os.listdir(self.dir) if ".tmp-" in n]

    def test_signals_leave_nothing(self):
        for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
            process, feed = self.waiting()
            process.send_signal(number)
            errors = process.communicate(timeout=60)[1]
            feed.close()
            self.assertEqual((process.returncode, self.temporaries()), (1, []), errors)
            self.assertFalse(os.path.exists(self.path("saved")))

    def test_the_next_run_sweeps(self):
        kept = self.write("saved.tmp-backup", "mine")
        for number in (signal.SIGKILL, signal.SIGQUIT):
            process, feed = self.waiting()
            process.send_signal(number)
            process.communicate(timeout=60)
            feed.close()
            self.assertEqual(len(self.temporaries()), 2, "a killed process cannot do it itself")
            self.ok(*self.evaluate(self.path("saved")))
            self.assertEqual(self.temporaries(), ["saved.tmp-backup"])
        self.assertTrue(os.path.exists(kept))

    def test_a_living_writer_is_left_alone(self):
        process, feed = self.waiting()
        self.ok(*self.evaluate(self.path("saved")))
        self.assertEqual(len(self.temporaries()), 1)
        feed.write(DATA)
        feed.close()
        self.assertEqual(process.wait(60), 0, process.stderr.read())
        process.communicate()
        self.assertEqual(self.temporaries(), [])

    def test_directories_are_swept_too(self):
        for place in (self.dir, self.directory("there")):
            left = os.path.join(place, f"{'new' if place == self.dir else 'there'}.tmp-espalier-abc123")
            os.makedirs(os.path.join(left, "1_Pooling"))
        for name in ("new", "there"):
            self.ok("vocab", self.path("text.txt"), "-q", "--size", 100, "-o", self.path(name))
            self.assertEqual(sorted(os.listdir(self.path(name))), sorted(os.listdir(self.path("vocabulary"))))
        self.assertEqual(self.temporaries(), [])

    def test_nohup(self):
        process, feed = self.waiting(preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
        process.send_signal(signal.SIGHUP)
        time.sleep(0.2)
        feed.write(DATA)
        feed.close()
        self.assertEqual(process.wait(60), 0, process.stderr.read())
        process.communicate()

    def test_hang_up_of_a_training(self):
        process = subprocess.Popen([support.PROGRAM, "train", self.checkpoint, "--task", "classify", "--train",
                                    self.data, "--max-steps", "1000000", "-q", "-o", self.path("out")],
                                   stdout=subprocess.PIPE, text=True)
        while not os.path.exists(self.path("out.partial/train_options.json")):
            time.sleep(0.01)
        time.sleep(0.5)
        process.send_signal(signal.SIGHUP)
        out = process.communicate(timeout=60)[0]
        self.assertEqual(process.returncode, 0)
        self.assertIn("--resume goes on", out)


class Pipes(Outputs):
    def stream_to_nobody(self, arguments, ignored):
        """Endless lines in, a reader that goes away after one answer: the exit code and the messages."""
        process = subprocess.Popen([support.PROGRAM, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, restore_signals=False, preexec_fn=lambda: signal.signal(
                                       signal.SIGPIPE, signal.SIG_IGN if ignored else signal.SIG_DFL))
        deadline = time.monotonic() + 60
        process.stdin.write(LINES)
        process.stdin.flush()
        process.stdout.read(1)
        process.stdout.close()
        with contextlib.suppress(BrokenPipeError):
            while time.monotonic() < deadline:
                process.stdin.write(LINES)
                process.stdin.flush()
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
        process.wait(60)
        errors = process.stderr.read().decode()
        process.stderr.close()
        self.assertLess(time.monotonic(), deadline, "it goes on computing for nobody")
        return process.returncode, errors

    def test_reader_gone(self):
        for command in ("run", "tokenize"):
            for ignored, code in ((False, -signal.SIGPIPE), (True, 1)):
                self.assertEqual(self.stream_to_nobody([command, self.checkpoint], ignored), (code, ""), command)

    def test_full_disk_is_said_once(self):
        with open("/dev/full", "wb") as full:
            for arguments in (["run", self.checkpoint], ["info", self.checkpoint]):
                done = subprocess.run([support.PROGRAM, *arguments], input=LINES, stdout=full, stderr=subprocess.PIPE)
                self.assertEqual(done.returncode, 1)
                self.assertEqual(done.stderr.decode().count("cannot write to standard output: No space left"), 1,
                                 done.stderr)

    def test_nobody_reads_the_progress(self):
        reader, writer = os.pipe()
        os.close(reader)
        done = subprocess.run([support.PROGRAM, "train", self.checkpoint, "--task", "classify", "--train", self.data,
                               "--dev", self.data, "--max-steps", "3", "-o", self.path("out")], stderr=writer,
                              stdout=subprocess.PIPE)
        os.close(writer)
        self.assertEqual(done.returncode, 0)
        self.assertTrue(os.path.exists(self.path("out/model.safetensors")))

    def on_terminal(self, **environment):
        """What an evaluation shows there."""
        master, slave = pty.openpty()
        process = subprocess.Popen([support.PROGRAM, "eval", self.checkpoint, "--data", self.data], stderr=slave,
                                   stdout=subprocess.DEVNULL, env={**os.environ, **environment})
        os.close(slave)
        shown = b""
        with contextlib.suppress(OSError):  # EIO: the other end is closed
            while part := os.read(master, 4096):
                shown += part
        os.close(master)
        self.assertEqual(process.wait(60), 0)
        self.assertIn(b"eval: ", shown)
        return shown

    def test_plain_progress(self):
        self.assertIn(b"\x1b", self.on_terminal(TERM="xterm", NO_COLOR=""))
        for plain in ({"TERM": "dumb"}, {"TERM": ""}, {"TERM": "xterm", "NO_COLOR": "1"}):
            self.assertNotIn(b"\x1b", self.on_terminal(**plain), plain)


if __name__ == "__main__":
    support.main()
