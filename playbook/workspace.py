"""The working copy under migration: the only source that the playbook ever writes.

A run's workspace is a copy of the application and its tests with a git history of its own: the tag
`phase/baseline` on the copy as it was, then one commit and one tag `phase/<name>` per applied slice. What a
rollback undoes stays reachable under a tag `undone/<n>`.

Invariants:
- A process that is killed at any point leaves either the state before or the state after. A new workspace is
  made beside its place and moved there in one step. A commit is built without touching a file; how branch and
  tags are to move is noted first, then they move, then the files follow. The next start finishes the note.
- One process at a time: every operation holds a lock on the run's folder, and so does each git it starts.
- What a person edited and did not commit is never overwritten: the operation is refused.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playbook.config import Application
from playbook.errors import WorkspaceError
from playbook.files import exclusive
from playbook.git import Git
from playbook.tree import JUNK_FOLDERS, JUNK_SUFFIXES, Tree, source_digest, source_files

BASELINE = "phase/baseline"
LOCK_PATIENCE = 20.0
"""Seconds to wait for another process to finish its operation on the workspace."""

_STAGE_PREFIX = ".workspace-"
_NOTE = "playbook-moving"
_NO_OBJECT = "0" * 40


class Workspace:
    """The working copy of one run.

    Parameters:
        run_dir: the run's folder; made if it is not there. The copy is `run_dir/workspace`.
        application: what to copy.
    """

    def __init__(self, run_dir: Path, application: Application) -> None:
        self.run_dir = run_dir.resolve()
        self.application = application
        self.path = self.run_dir / "workspace"
        self._lock: int | None = None

    @property
    def exists(self) -> bool:
        """Whether the copy has been made."""
        return self.path.exists()

    def is_current(self) -> bool:
        """Whether the copy has been made, and from the application as it is now."""
        return self.exists and self._baseline_digest() == self._source_digest()

    def ensure(self) -> None:
        """Make the copy if it is not there, and anew if the application has changed since.

        The copy that an application's change replaces is kept as `workspace.before-<n>`.
        Raises: WorkspaceError if the copy would be replaced although a person has worked in it.
        """
        with self.locked():
            if self.is_current():
                return
            if self.exists:
                self._refuse_if_edited("the application has changed since the workspace was made")
                self.path.rename(_next_free(self.run_dir, "workspace.before-"))
            self._create()

    def applied(self) -> list[str]:
        """Names of the phases whose slices are in the copy, in order."""
        if not self.exists:
            return []
        tags = self._git.lines("tag", "--list", "phase/*")
        return sorted(tag.removeprefix("phase/") for tag in tags if tag != BASELINE)

    def tree(self, ref: str = "HEAD") -> Tree:
        """The source as of a commit."""
        entries = self._entries(ref)
        contents = self._git.blobs([blob for _, blob in entries.values()])
        files: dict[str, str] = {}
        binary: set[str] = set()
        for path, content in zip(entries, contents, strict=True):
            try:
                files[path] = content.decode("utf-8")
            except UnicodeDecodeError:
                binary.add(path)
        return Tree(files, binary)

    def before(self, phase: str) -> Tree:
        """The source that a phase's slice starts from: before it if it is applied, else the present one."""
        return self.tree(f"phase/{phase}^" if phase in self.applied() else "HEAD")

    def after(self, phase: str) -> Tree:
        """The source just after a phase's slice. Raises WorkspaceError if it is not applied."""
        self._require_applied(phase)
        return self.tree(f"phase/{phase}")

    def tree_id(self, phase: str) -> str | None:
        """Git's name for the content after a phase: equal content, equal name. None: not applied."""
        return self._git.text("rev-parse", f"phase/{phase}^{{tree}}") if phase in self.applied() else None

    def edited(self) -> list[str]:
        """Paths that a person changed and did not commit."""
        status = self._git("status", "--porcelain", "-z", "--untracked-files=all", "--no-renames").decode()
        return sorted(entry[3:] for entry in status.split("\0") if entry)

    def commits_by_hand(self) -> list[str]:
        """Short ids and subjects of commits that the playbook did not make, newest first."""
        own = set(self._git.lines("for-each-ref", "--format=%(objectname)", "refs/tags/phase/"))
        log = [
            line.split(" ", 2) for line in self._git.lines("log", "--format=%H %h %s", f"{BASELINE}..HEAD")
        ]
        return [f"{short} {subject}" for full, short, subject in log if full not in own]

    def commit(self, phase: str, tree: Tree, message: str) -> None:
        """Make `tree` the content of the copy: one commit with the tag of the phase.

        Raises: WorkspaceError if the phase is applied already or the copy has edits that are not committed.
        """
        with self.locked():
            if phase in self.applied():
                raise WorkspaceError(f"{phase} is applied already; roll it back first")
            self._refuse_if_edited(f"cannot apply {phase}", commits_too=False)
            git_tree = self._write_tree(tree)
            new = self._git.text("commit-tree", git_tree, "-p", "HEAD", feed=f"{message}\n".encode())
            self._move({"refs/heads/main": new, f"refs/tags/phase/{phase}": new})

    def rollback(self, phase: str, by_hand: bool = True) -> list[str]:
        """Go back to the state before a phase; phases after it, and commits made by hand since, go with it.

        Parameters:
            by_hand: whether commits made by hand may be undone, too.
        Returns: the names of the phases that were undone, in order.
        Raises: WorkspaceError if it is not applied or the copy has edits that are not committed.
        """
        with self.locked():
            self._require_applied(phase)
            self._refuse_if_edited(f"cannot roll back {phase}", commits_too=not by_hand)
            undone = [name for name in self.applied() if name >= phase]
            head, target = self._git.lines("rev-parse", "HEAD", f"phase/{phase}^")
            number = len(self._git.lines("tag", "--list", "undone/*")) + 1
            dropped = {f"refs/tags/phase/{name}": _NO_OBJECT for name in undone}
            self._move({f"refs/tags/undone/{number}": head, "refs/heads/main": target, **dropped})
            return undone

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the workspace alone, and finish what a killed process left. May be nested in one process."""
        if self._lock is not None:
            yield
            return
        try:
            with exclusive(self.run_dir / "workspace.lock", LOCK_PATIENCE) as self._lock:
                self._recover()
                yield
        except BlockingIOError:
            problem = f"another process works on {self.path}; wait for it or use another run"
            raise WorkspaceError(problem) from None
        finally:
            self._lock = None

    @property
    def _git(self) -> Git:
        return Git(self.path, keep_open=self._lock)

    @property
    def _note(self) -> Path:
        return self.path / ".git" / _NOTE

    def _create(self) -> None:
        digest = self._source_digest()
        stage = Path(tempfile.mkdtemp(prefix=_STAGE_PREFIX, dir=self.run_dir))
        base = self.application.base
        for source in source_files(base, self.application.folders):
            target = stage / source.relative_to(base)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)
        git = Git(stage, keep_open=self._lock)
        git("init", "--quiet", "--initial-branch=main")
        junk = [f"{name}/" for name in sorted(JUNK_FOLDERS)] + [f"*{suffix}" for suffix in JUNK_SUFFIXES]
        (stage / ".git" / "info").mkdir(exist_ok=True)
        (stage / ".git" / "info" / "exclude").write_text("\n".join([*junk, ".coverage*"]) + "\n")
        git("add", "--all", "--force", ".")
        git(
            "commit",
            "--quiet",
            "--allow-empty",
            "-m",
            f"The application as it was\n\nSource-Digest: {digest}",
        )
        git("tag", BASELINE)
        stage.chmod(0o755)
        stage.rename(self.path)

    def _source_digest(self) -> str:
        return source_digest(self.application.base, self.application.folders)

    def _baseline_digest(self) -> str:
        if not (self.path / ".git").is_dir():
            raise WorkspaceError(f"{self.path} was not made by the playbook; move it away or use another run")
        return self._git.lines("log", "-1", "--format=%B", BASELINE)[-1].removeprefix("Source-Digest: ")

    def _entries(self, ref: str) -> dict[str, tuple[str, str]]:
        """Mode and blob of each regular file of a commit, by path."""
        listing = self._git("ls-tree", "-r", "-z", ref).decode()
        parts = (entry.split("\t", 1) for entry in listing.split("\0") if entry)
        return {path: (meta.split()[0], meta.split()[2]) for meta, path in parts if meta.split()[1] == "blob"}

    def _write_tree(self, tree: Tree) -> str:
        """Write a tree object with the content of `tree`; neither a file nor git's index changes."""
        modes = {path: mode for path, (mode, _) in self._entries("HEAD").items()}
        updates = []
        for change in self.tree().changes(tree):
            if change.kind == "removed":
                updates.append(f"0 {_NO_OBJECT}\t{change.path}")
                continue
            text = tree[change.path]
            blob = self._git.text("hash-object", "-w", "--stdin", feed=text.encode())
            mode = modes.get(change.path, "100755" if text.startswith("#!") else "100644")
            updates.append(f"{mode} {blob}\t{change.path}")
        with tempfile.TemporaryDirectory(dir=self.path / ".git") as folder:
            index = {"GIT_INDEX_FILE": str(Path(folder, "index"))}
            self._git("read-tree", "HEAD", env=index)
            self._git(
                "update-index", "-z", "--index-info", feed="\0".join([*updates, ""]).encode(), env=index
            )
            return self._git.text("write-tree", env=index)

    def _move(self, refs: dict[str, str]) -> None:
        """Point branch and tags to commits (no object: delete), and let the files follow."""
        draft = self.path / ".git" / f"{_NOTE}.draft"
        draft.write_text("".join(f"update {ref} {commit}\n" for ref, commit in refs.items()))
        draft.replace(self._note)
        self._finish_move()

    def _finish_move(self) -> None:
        """Do what the note says; harmless when part of it is done already."""
        self._git("update-ref", "--stdin", feed=self._note.read_bytes())
        self._git("reset", "--quiet", "--hard")
        self._note.unlink()

    def _recover(self) -> None:
        """Clear away what a killed process left. Whoever holds the lock knows that nobody is at work."""
        for stage in self.run_dir.glob(f"{_STAGE_PREFIX}*"):
            shutil.rmtree(stage)
        if self._note.exists():
            for lock in (self.path / ".git").rglob("*.lock"):
                lock.unlink()
            self._finish_move()

    def _require_applied(self, phase: str) -> None:
        if phase not in self.applied():
            known = ", ".join(self.applied()) or "none"
            raise WorkspaceError(f"{phase} is not applied to {self.path} (applied: {known}); apply it first")

    def _refuse_if_edited(self, what: str, commits_too: bool = True) -> None:
        edited = self.edited()
        if edited:
            problem = f"has edits that are not committed ({_some(edited)}); commit or remove them there"
            raise WorkspaceError(f"{what}: {self.path} {problem}")
        commits = self.commits_by_hand() if commits_too else []
        if commits:
            problem = f"has commits made by hand ({_some(commits)}); use another run, or roll back"
            raise WorkspaceError(f"{what}: {self.path} {problem}")


def _next_free(folder: Path, prefix: str) -> Path:
    number = 1
    while os.path.lexists(folder / f"{prefix}{number}"):
        number += 1
    return folder / f"{prefix}{number}"


def _some(items: list[str]) -> str:
    return ", ".join(items[:3]) + (f" and {len(items) - 3} more" if len(items) > 3 else "")
