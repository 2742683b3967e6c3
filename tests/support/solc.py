"""The Solidity compiler, and the contracts of this project compiled with it: `make contracts` writes them.

Compiled contracts are committed beside their sources, because examples and the runner need them where there is no compiler.
A test compiles again and compares, so nobody can change one without the other. The compiler is the JavaScript one
that solc publishes as an npm package; it is fetched once per machine and runs wherever Node.js does. Nothing of where or
when something was compiled is in the result.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "examples" / "targets"))

from npm_packages import NpmPackage, NpmPackageError

ROOT = Path(__file__).resolve().parents[2]
PART = "solc"
PACKAGE = NpmPackage(
    "solc",
    "0.8.37",
    "sha512-ieUYdPDRGNKMsZpCfi9tY64Q+ASoL8tyhLuvf9cFiqDs+6ijlx8Wn2CRi0N71AlCvRx0V092rlUYu3b3PuxWlA==",
)
SOURCES = ROOT / "examples" / "targets" / "contracts"
COMPILED = {
    "Batch": ROOT / "runner" / "squall_runner" / "evm" / "contracts",
    "DataRegistry": SOURCES,
    "RewardToken": SOURCES,
}
"""The contracts, and the folder that holds what each was compiled to."""
REGISTRY_ABI = ROOT / "examples" / "data-portability" / "DataRegistry.abi.json"
"""A manifest's files lie below the manifest, so the example has the ABI that it needs."""
# Chains that lag behind lack the instructions of later versions, such as PUSH0.
SETTINGS = {
    "evmVersion": "paris",
    "metadata": {"appendCBOR": False, "bytecodeHash": "none"},
    "optimizer": {"enabled": True, "runs": 200},
}
COMPILE_SECONDS = 100.0
_DRIVER = """
const compiler = require(process.argv[1]);
const compile = compiler.cwrap("solidity_compile", "string", ["string", "number", "number"]);
const version = compiler.cwrap("solidity_version", "string", []);
const input = require("fs").readFileSync(0, "utf8");
process.stdout.write(JSON.stringify({version: version(), output: JSON.parse(compile(input, 0, 0))}));
"""


class SolcError(RuntimeError):
    """The compiler cannot be had, or refuses a source; the message says why."""


def artifacts() -> dict[Path, str]:
    """Compile all contracts.

    Returns:
        What each artifact file has to hold: JSON with the ABI, the code, and what it was compiled with.

    Raises:
        SolcError: There is no compiler, or it refuses a source.
    """
    sources = {path.name: {"content": path.read_text(encoding="utf-8")} for path in SOURCES.glob("*.sol")}
    outputs = ["abi", "evm.bytecode.object"]
    settings = SETTINGS | {"outputSelection": {"*": {"*": outputs}}}
    version, compiled = _compile({"language": "Solidity", "sources": sources, "settings": settings})
    made = {
        folder / f"{name}.json": _artifact(name, version, compiled[f"{name}.sol"][name])
        for name, folder in COMPILED.items()
    }
    made[REGISTRY_ABI] = json.dumps(compiled["DataRegistry.sol"]["DataRegistry"]["abi"], indent=1) + "\n"
    return made


def _artifact(name: str, version: str, contract: dict[str, Any]) -> str:
    content = {
        "contractName": name,
        "sourceName": f"{name}.sol",
        "compiler": {"name": "solc", "version": version, "settings": SETTINGS},
        "abi": contract["abi"],
        "bytecode": "0x" + contract["evm"]["bytecode"]["object"],
    }
    return json.dumps(content, indent=1) + "\n"


def _compile(description: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    node = shutil.which("node")
    if node is None:
        raise SolcError("there is no `node` on the PATH; install Node.js")
    try:
        library = PACKAGE.folder() / "soljson.js"
    except NpmPackageError as error:
        raise SolcError(str(error)) from error
    done = subprocess.run(
        [node, "-e", _DRIVER, str(library)],
        input=json.dumps(description),
        capture_output=True,
        text=True,
        check=False,
        timeout=COMPILE_SECONDS,
    )
    if done.returncode != 0:
        raise SolcError(f"the compiler failed:\n{done.stderr}")
    answer = json.loads(done.stdout)
    problems = [each["formattedMessage"] for each in answer["output"].get("errors", ())]
    if problems:
        raise SolcError("\n".join(problems))
    return answer["version"], answer["output"]["contracts"]


def main() -> int:
    """Write the artifacts of all contracts."""
    try:
        for path, content in artifacts().items():
            path.write_text(content, encoding="utf-8")
            sys.stdout.write(f"{path.relative_to(ROOT)}\n")
    except SolcError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
