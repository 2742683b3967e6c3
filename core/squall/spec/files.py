"""`spec.files` on one machine: where each file is, or why it cannot be had.

A manifest may come from a repository that somebody else can write to, and is often run by a pipeline with
secrets in its home directory. So `path` stays below the manifest's directory, symbolic links included. Whoever
runs the command may point anywhere with `--file name=path`; that is also how files that live on a cluster
(ConfigMap, Secret, volume) are given on one machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from squall.spec.loadtest import MAX_PIECES, MAX_UNPACKED_BYTES
from squall.spec.modelcheck import problem_at
from squall.spec.problems import Problem, did_you_mean, nearest, one_of
from squall.spec.tree import Node, find, items_at, plain, text_at

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from squall.spec.options import Options
    from squall.spec.tree import Path as TreePath

VOLUME_HINT: Final = "put it into a PersistentVolumeClaim of the namespace and name that by volumeClaim"
_ON_CLUSTER = {"configMap": "a ConfigMap", "secret": "a Secret", "volumeClaim": "a volume"}


@dataclass(frozen=True, slots=True)
class LocalFile:
    """A file of the manifest that can be read here.

    Attributes:
        name: As in `spec.files`.
        path: Where it lies; None for an inline file.
        inline: Its content, for an inline file.
        size: Bytes.
    """

    name: str
    path: Path | None
    inline: bytes | None
    size: int

    def read(self) -> bytes:
        """The whole content. Raises OSError when the file has gone meanwhile."""
        return self.inline if self.inline is not None else Path(self.path or "").read_bytes()


@dataclass(slots=True)
class Files:
    """The files of one manifest.

    Attributes:
        found: Those that can be read here, by name.
        absent: Those that live on a cluster and were not given, each with the sentence that says how to.
        problems: What is wrong with the rest.
    """

    found: dict[str, LocalFile]
    absent: dict[str, str]
    problems: list[Problem]


def locate_files(root: Node, directory: Path, options: Options) -> Files:
    """Find every entry of `spec.files` of a resolved LoadTest."""
    files = Files({}, {}, [])
    items = items_at(root, "spec", "files")
    names = [name for item in items if (name := text_at(item, "name"))]
    for name in options.files:
        if name not in names:
            message = f'the manifest has no file "{name}"{did_you_mean(name, names)}'
            hint = one_of(names, "files of this manifest") or "declare it under spec.files"
            files.problems.append(Problem(f"--file {name}", 0, 0, "", message, hint))
    for index, item in enumerate(items):
        name = text_at(item, "name")
        if name:
            _locate(files, root, ("spec", "files", index), name, directory=directory, options=options)
    too_much = beyond_pieces(plain(item) for item in items)
    if too_much:
        files.problems.append(problem_at(root, ("spec", "files"), too_much, VOLUME_HINT, key=True))
    return files


def beyond_pieces(files: Iterable[Any]) -> str:
    """Why the files that are cut into pieces are too much for a cluster; empty when they are not.

    Args:
        files: Entries of `spec.files` as plain data, right or wrong.
    """
    entries = [file for file in files if isinstance(file, dict)]
    references = [each for file in entries for key in ("configMap", "secret") if (each := file.get(key))]
    pieces, size = (_sum(references, key) for key in ("pieces", "sizeBytes"))
    if pieces > MAX_PIECES:
        return (
            f"the files have {pieces} pieces, and all of a test together at most {MAX_PIECES}: "
            "each is an object in the cluster's etcd, and every pod waits for all of them"
        )
    if size > MAX_UNPACKED_BYTES:
        return (
            f"the files in pieces have {size:,} bytes, and all of a test together at most "
            f"{MAX_UNPACKED_BYTES:,}: each pod unpacks them onto its node's disk"
        )
    return ""


def _sum(references: Iterable[Mapping[str, Any]], key: str) -> int:
    values = [each.get(key) for each in references if isinstance(each, dict)]
    return sum(value for value in values if isinstance(value, int))


def _locate(
    files: Files, root: Node, path: TreePath, name: str, *, directory: Path, options: Options
) -> None:
    inline = text_at(find(root, *path), "inline")
    written = text_at(find(root, *path), "path")
    if name in options.files:
        given = options.files[name]
        _take(files, name, Path(given), Problem(f"--file {name}={given}", 0, 0, "", "", ""))
    elif inline is not None:
        content = inline.encode("utf-8", "surrogatepass")
        files.found[name] = LocalFile(name, None, content, len(content))
    elif written is not None and options.read_files:
        wrong = _outside(directory, written)
        if wrong:
            hint = f"move it below {directory}, or give --file {name}=PATH"
            files.problems.append(problem_at(root, (*path, "path"), wrong, hint))
        else:
            _take(files, name, directory / written, problem_at(root, (*path, "path"), ""))
    elif written is None:
        _on_cluster(files, root, path, name, options)


def _on_cluster(files: Files, root: Node, path: TreePath, name: str, options: Options) -> None:
    source = next((key for key in _ON_CLUSTER if find(root, *path, key) is not None), None)
    if source is None or not options.read_files:
        return
    hint = f"give --file {name}=PATH"
    files.absent[name] = hint
    if options.complete:
        message = f'the file "{name}" comes from {_ON_CLUSTER[source]}, which is only on a cluster'
        files.problems.append(problem_at(root, (*path, source), message, hint, key=True))


def _outside(directory: Path, written: str) -> str:
    """Why a path may not be followed; empty when it may."""
    if Path(written).is_absolute():
        return f'"{written}" is an absolute path; files lie below the manifest\'s directory'
    if ".." in Path(written).parts:
        return f'"{written}" leads out of the manifest\'s directory'
    try:
        inside = (directory / written).resolve().is_relative_to(directory.resolve())
    except (OSError, ValueError, RuntimeError) as error:
        return f'"{written}" cannot be followed: {error}'
    return "" if inside else f'"{written}" is a link out of the manifest\'s directory'


def _take(files: Files, name: str, path: Path, place: Problem) -> None:
    """Note a file that can be opened; `place` is where it is named."""

    def refuse(message: str, hint: str) -> None:
        files.problems.append(
            Problem(place.file, place.line, place.column, place.path, message, hint, place.where)
        )

    try:
        with path.open("rb"):
            files.found[name] = LocalFile(name, path, None, path.stat().st_size)
    except FileNotFoundError:
        refuse(f"there is no file {path}", _similar(path, name))
    except IsADirectoryError:
        refuse(f"{path} is a directory", "name a file in it")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        refuse(f"{path} cannot be read: {reason}", "check its permissions")


def _similar(path: Path, name: str) -> str:
    try:
        close = nearest(path.name, [entry.name for entry in path.parent.iterdir()])
    except OSError:
        close = None
    if close:
        return f"did you mean {path.parent / close}?"
    return f"paths begin at the manifest's directory; --file {name}=PATH takes it from elsewhere"
