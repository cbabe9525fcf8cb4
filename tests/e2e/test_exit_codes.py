"""Exit codes, messages and settings as the command-line contract promises them."""
import os
import shutil
import signal
import subprocess

import firnlib
from firnlib import MIB


class ExitCodes(firnlib.TestCase):
    def assert_one_plain_line(self, done, *words):
        """An error is for people: short, without a stack, naming what matters."""
        lines = [line for line in done.err.splitlines() if line.strip()]
        self.assertEqual(len(lines), 1, done)
        for word in words:
            self.assertIn(word.lower(), lines[0].lower())

    @firnlib.firn_only
    def test_no_repository_is_10(self):
        for command in (["backup", self.source], ["snapshots"], ["check"], ["restore", "latest", "-t", self.temp / "t"],
                        ["stats"], ["cat", "config"], ["list", "packs"], ["key", "list"]):
            with self.subTest(command=command[0]):
                self.assert_one_plain_line(self.repo.run(*command, code=10), str(self.repo.path))
        self.assertFalse(self.repo.path.exists(), "a command made a repository by the way")

    @firnlib.firn_only
    def test_a_wrong_password_is_12(self):
        self.repo.init()
        wrong = firnlib.write(self.temp / "wrong", "battery staple\n")
        for command in (["backup", self.source], ["snapshots"], ["restore", "latest", "-t", self.temp / "t"]):
            with self.subTest(command=command[0]):
                done = self.repo.run("--password-file", wrong, *command, code=12)
                self.assert_one_plain_line(done, "password")

    @firnlib.firn_only
    def test_check_without_a_key_verifies_what_is_stored(self):
        firnlib.write(self.source / "a", "a" * 300000)
        self.repo.init().backup(self.source)
        # The password opens nothing, so a check with it must say 12; that bytes are verified by name needs no key.
        wrong = firnlib.write(self.temp / "wrong", "battery staple\n")
        self.repo.run("--password-file", wrong, "check", "--read-data", code={0, 12})

    def test_init_of_an_existing_repository_is_1(self):
        self.repo.init()
        before = {path: path.read_bytes() for path in self.repo.objects()}
        done = self.repo.run("init", code=1)
        self.assertNotEqual(done.err.strip(), "")
        self.assertEqual({path: path.read_bytes() for path in self.repo.objects()}, before)

    def test_a_source_that_is_not_there_is_told(self):
        self.repo.init()
        done = self.repo.run("backup", self.temp / "nowhere", code={1, 3})
        self.assertIn("nowhere", done.err)

    @firnlib.firn_only
    def test_one_missing_source_of_two_is_3_and_the_other_is_kept(self):
        firnlib.write(self.source / "here", "here")
        self.repo.init()
        done = self.repo.run("backup", self.source, self.temp / "nowhere", code=3)
        self.assertIn("nowhere", done.err)
        self.assert_restores_exactly()

    def test_an_unknown_snapshot_is_1(self):
        self.repo.init()
        for name in ("latest", "0123456789abcdef"):
            with self.subTest(name=name):
                self.repo.run("restore", name, "--target", self.temp / "t", code=1)

    def test_an_unknown_command_or_flag_is_an_error(self):
        for arguments in (["frobnicate"], ["snapshots", "--frobnicate"], ["--frobnicate", "snapshots"]):
            with self.subTest(arguments=arguments):
                done = self.repo.run(*arguments, code=None)
                self.assertNotEqual(done.code, 0, done)
                self.assertIn("frobnicate", done.err + done.out)

    def test_unlock_succeeds(self):
        self.repo.init()
        self.repo.run("unlock")

    @firnlib.firn_only
    def test_json_errors_end_with_an_exit_error_line(self):
        cases = [(10, ["snapshots"], {}), (10, ["backup", str(self.source)], {})]
        for code, command, env in cases:
            with self.subTest(command=command):
                done = self.repo.run(*command, "--json", code=code, env=env)
                last = done.err_lines()[-1]
                self.assertEqual((last["message_type"], last["code"]), ("exit_error", code))
                self.assertTrue(last["message"])
        self.repo.init()
        wrong = firnlib.write(self.temp / "wrong", "battery staple\n")
        done = self.repo.run("--password-file", wrong, "--json", "snapshots", code=12)
        self.assertEqual(done.err_lines()[-1]["code"], 12)

    @firnlib.firn_only
    def test_every_command_has_help_with_an_example(self):
        for command in ("init backup snapshots ls restore dump check stats cat list key cache unlock version "
                        "generate").split():
            with self.subTest(command=command):
                done = firnlib.run([firnlib.FIRN, command, "--help"])
                self.assertIn("xample", done.out)
                self.assertIn(f"firn {command}", done.out)

    def test_version_says_so(self):
        self.assertIn(" ", firnlib.run([firnlib.FIRN, "version"]).out)

    @firnlib.firn_only
    def test_called_as_restic_it_says_restic_first(self):
        link = self.temp / "restic"
        link.symlink_to(firnlib.FIRN)
        out = firnlib.run([link, "version"]).out
        self.assertTrue(out.startswith("restic 0.19.0"), out)
        self.assertIn("firn", out)

    @firnlib.firn_only
    def test_completion_is_generated_for_three_shells(self):
        for shell in ("bash", "zsh", "fish"):
            with self.subTest(shell=shell):
                target = self.temp / f"completion.{shell}"
                firnlib.run([firnlib.FIRN, "generate", f"--{shell}-completion", target])
                self.assertIn("firn", target.read_text())


class Settings(firnlib.TestCase):
    """The same settings by flag, by FIRN_ variable and by restic's."""

    def bare(self, *args, env=None, code=0):
        return firnlib.run([firnlib.FIRN, *args], env={"HOME": str(self.temp), **(env or {})}, code=code)

    def setUp(self):
        super().setUp()
        firnlib.write(self.source / "a", "a")
        self.repo.init().backup(self.source)
        self.path, self.password_file = str(self.repo.path), str(self.repo.password_file)

    def test_by_flag(self):
        found = self.bare("-r", self.path, "-p", self.password_file, "snapshots", "--json").json()
        self.assertEqual(len(found), 1)

    def test_flags_stand_after_the_command_too(self):
        found = self.bare("snapshots", "--json", "--repo", self.path, "--password-file", self.password_file).json()
        self.assertEqual(len(found), 1)

    def test_by_variable(self):
        repository_file = str(firnlib.write(self.temp / "where", self.path + "\n"))
        password = self.repo.password_file.read_text().strip()
        for brand in ("RESTIC",) if firnlib.IS_STAND_IN else ("FIRN", "RESTIC"):
            for env in ({"REPOSITORY": self.path, "PASSWORD_FILE": self.password_file},
                        {"REPOSITORY_FILE": repository_file, "PASSWORD": password},
                        {"REPOSITORY": self.path, "PASSWORD_COMMAND": f"cat {self.password_file}"}):
                with self.subTest(brand=brand, env=sorted(env)):
                    named = {f"{brand}_{key}": value for key, value in env.items()}
                    self.assertEqual(len(self.bare("snapshots", "--json", env=named).json()), 1)

    @firnlib.firn_only
    def test_firns_own_variable_wins(self):
        env = {"FIRN_REPOSITORY": self.path, "RESTIC_REPOSITORY": "/nowhere", "FIRN_PASSWORD_FILE": self.password_file}
        self.assertEqual(len(self.bare("snapshots", "--json", env=env).json()), 1)

    def test_no_repository_named_is_told(self):
        done = self.bare("snapshots", code=None)
        self.assertNotEqual(done.code, 0)
        self.assertIn("repo", done.err.lower())

    def test_the_host_comes_from_its_variable(self):
        self.repo.backup(self.source, env={"RESTIC_HOST": "elsewhere", "FIRN_HOST": "elsewhere"})
        # Debian's restic does not know the variable yet.
        if not firnlib.IS_STAND_IN:
            self.assertEqual(self.repo.snapshots()[-1]["hostname"], "elsewhere")

    def test_no_cache_leaves_no_cache(self):
        shutil.rmtree(self.repo.cache, ignore_errors=True)
        self.repo.run("--no-cache", "backup", self.source)
        self.assertFalse(self.repo.cache.exists())

    @firnlib.firn_only
    def test_lock_flags_are_accepted(self):
        self.repo.run("--no-lock", "snapshots")
        self.repo.run("--retry-lock", "1m", "snapshots")


class Interrupted(firnlib.TestCase):
    def interrupt(self, signals):
        firnlib.write_random(self.source / "large", 1, 512 * MIB)
        self.repo.init()
        process = self.repo.start("backup", self.source)
        try:
            firnlib.wait_until(lambda: self.repo.objects("data") or process.poll() is not None, "the first pack")
            for number in signals:
                process.send_signal(number)
            out, err = process.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            firnlib.end_process(process)
            self.fail("the interrupted backup did not end within a minute")
        self.assertEqual(process.returncode, 130, (out, err))
        self.repo.check("--read-data")
        self.repo.backup(self.source)
        self.assert_restores_exactly()

    @firnlib.firn_only
    def test_ctrl_c_ends_with_130_and_the_next_backup_is_whole(self):
        self.interrupt([signal.SIGINT])

    @firnlib.firn_only
    def test_a_second_ctrl_c_leaves_at_once_and_loses_nothing(self):
        self.interrupt([signal.SIGINT, signal.SIGINT])

    @firnlib.firn_only
    def test_an_interrupted_restore_is_130_and_can_be_repeated(self):
        firnlib.write_random(self.source / "large", 2, 512 * MIB)
        self.repo.init().backup(self.source)
        target = self.temp / "t"
        process = self.repo.start("restore", "latest", "--target", target)
        restored = self.restored("t")
        try:
            firnlib.wait_until(lambda: any(restored.glob("*")) or process.poll() is not None, "the first file")
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=60)
        finally:
            firnlib.end_process(process)
        self.assertEqual(process.returncode, 130)
        self.repo.restore(target)
        self.assert_same(self.source, restored)


if __name__ == "__main__":
    firnlib.main()
