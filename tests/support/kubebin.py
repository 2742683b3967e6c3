"""Real etcd and Kubernetes binaries for the tests, built once per machine.

Nothing about Kubernetes is mocked in these tests, and not every machine can pull images or download releases. A Go
tool chain and the Go module proxy are enough: `tests/cluster/tools/go.mod` pins the versions, the binaries go to
`${XDG_CACHE_HOME:-~/.cache}/squall/kube/<version>/`. Whoever has them already points KUBEBUILDER_ASSETS at the
folder (as `setup-envtest` does) and builds nothing.

Two builds at once wait for each other (a file lock), and a binary appears under its name only when it is complete.
"""

import os
import re
import sys
from collections.abc import Iterable
from pathlib import Path

from support import gobuild, longwork
from support.gobuild import go_tool, is_binary
from support.longwork import LongWorkError, Say
from support.longwork import say as to_stderr

TOOLS = Path(__file__).resolve().parent.parent / "cluster" / "tools"

PACKAGES = {
    "etcd": "go.etcd.io/etcd/server/v3",
    "kube-apiserver": "k8s.io/kubernetes/cmd/kube-apiserver",
    "kube-controller-manager": "k8s.io/kubernetes/cmd/kube-controller-manager",
    "kube-scheduler": "k8s.io/kubernetes/cmd/kube-scheduler",
    "kubelet": "k8s.io/kubernetes/cmd/kubelet",
    "kube-proxy": "k8s.io/kubernetes/cmd/kube-proxy",
    "kubectl": "k8s.io/kubernetes/cmd/kubectl",
    "coredns": "github.com/coredns/coredns@v1.12.4",
    "kwok": "sigs.k8s.io/kwok/cmd/kwok@v0.7.0",
    "helm": "helm.sh/helm/v4/cmd/helm@v4.3.2",
}
"""Programs and their Go packages; those of go.mod without a version, the others with one, as `go install` takes them."""
CONTROL_PLANE = ("kube-apiserver", "etcd")


class KubeBinariesError(RuntimeError):
    """The binaries are not there and cannot be built; the message says what to do."""


def kubernetes_version() -> str:
    """Return the Kubernetes release that go.mod pins, such as `v1.34.4`."""
    found = re.search(r"k8s\.io/kubernetes v(\S+)", (TOOLS / "go.mod").read_text(encoding="utf-8"))
    if found is None:
        raise KubeBinariesError(f"{TOOLS / 'go.mod'} does not require k8s.io/kubernetes")
    return f"v{found.group(1)}"


def cache_folder() -> Path:
    """Return the folder that holds what was built for the pinned version; it need not exist."""
    return longwork.cache_folder("kube") / kubernetes_version()


def binaries(names: Iterable[str] = CONTROL_PLANE, *, say: Say | None = None) -> dict[str, Path]:
    """Return the path of each named binary, building those that are missing.

    Args:
        names: Keys of `PACKAGES`.
        say: Receives progress lines; standard error by default.

    Raises:
        KubeBinariesError: No Go tool chain, or the build failed.
    """
    wanted = list(names)
    assets = os.environ.get("KUBEBUILDER_ASSETS")
    if assets and all(is_binary(Path(assets) / name) for name in wanted):
        return {name: Path(assets) / name for name in wanted}
    folder = cache_folder()
    if not all(is_binary(folder / name) for name in wanted):
        _build_missing(wanted, folder, say or to_stderr)
    return {name: folder / name for name in wanted}


def _build_missing(names: list[str], folder: Path, say: Say) -> None:
    go = go_tool()
    if go is None:
        raise KubeBinariesError(
            f"{', '.join(names)} {kubernetes_version()} must be built and there is no `go` on the PATH. Install Go, "
            "or set KUBEBUILDER_ASSETS to a folder that holds the binaries, or leave these tests out with "
            "SQUALL_TESTS_WITHOUT=control-plane."
        )
    folder.mkdir(parents=True, exist_ok=True)
    with longwork.alone(folder / ".lock", "building the Kubernetes binaries", say):
        missing = [name for name in names if not is_binary(folder / name)]
        for number, name in enumerate(missing, start=1):
            _build(
                go,
                name,
                folder,
                f"[{number}/{len(missing)}] {name} for Kubernetes {kubernetes_version()}",
                say,
            )


def _build(go: str, name: str, folder: Path, title: str, say: Say) -> None:
    say(f"{title}: building, once per machine (all together: about 20 minutes on two cores)")
    target = folder / name
    try:
        if "@" in PACKAGES[name]:
            gobuild.install(go, PACKAGES[name], target, title=title, cwd=TOOLS, say=say)
        else:
            command = [
                go,
                "build",
                "-v",
                "-trimpath",
                "-buildvcs=false",
                "-mod=readonly",
                "-ldflags",
                _ldflags(),
            ]
            command += ["-o", str(gobuild.work_folder(target) / name), PACKAGES[name]]
            gobuild.build(command, target, title=title, cwd=TOOLS, say=say)
    except LongWorkError as error:
        raise KubeBinariesError(str(error)) from error


def _ldflags() -> str:
    """Return linker flags that give the binaries their version; without it the server calls itself v0.0.0."""
    version = kubernetes_version()
    major, minor = version.removeprefix("v").split(".")[:2]
    package = "k8s.io/component-base/version"
    values = {"gitVersion": version, "gitMajor": major, "gitMinor": minor}
    return " ".join(["-s", "-w", *(f"-X {package}.{key}={value}" for key, value in values.items())])


def main(arguments: list[str]) -> int:
    """Build the named binaries (by default the control plane's) and print where they are."""
    try:
        for path in binaries(arguments or CONTROL_PLANE).values():
            sys.stdout.write(f"{path}\n")
    except KubeBinariesError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0
