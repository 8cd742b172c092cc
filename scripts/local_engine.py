"""A Docker engine for `make test-compose` where there is none and no image can be pulled: root, on Debian.

    scripts/local_engine.py up FOLDER      # starts it; prints the variables to export, for eval
    scripts/local_engine.py down FOLDER    # stops it and all its containers; what was built stays in FOLDER

The engine is unpacked from Debian's packages and not installed. It opens only a socket in FOLDER, and leaves
the machine's firewall and routing alone. The images that Dockerfile and docker-compose.yml name are replaced
by stand-ins of the same names: debootstrap makes the base, which gets the machine's configuration of pip, and
tests/compose/stand_ins builds the others from packages. `up` does only what is missing. For trying out alone:
nobody should run an installation on it.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
STAND_INS = ROOT / "tests" / "compose" / "stand_ins"
NEWER_RELEASE = "trixie"
OF_NEWER_RELEASE = ("docker.io", "docker-cli", "containerd", "docker-compose", "docker-buildx")
# runc needs the C library of its own release, and dockerd takes it as it is.
OF_THIS_RELEASE = (
    *("runc", "tini", "debootstrap", "iptables", "libip4tc2", "libip6tc2", "libxtables12", "libmnl0"),
    *("libnetfilter-conntrack3", "libnfnetlink0", "libnftnl11"),
)
START_SECONDS = 60.0
INDEX_PORT = 8791
AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")


class Engine:
    """The engine in `folder`: its programs, its data, its socket."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self._programs = self.folder / "programs"

    @property
    def variables(self) -> dict[str, str]:
        """What a shell must export to use the engine."""
        places = [self.folder / "bin", self._programs / "usr/bin", self._programs / "usr/sbin"]
        return {
            "DOCKER_HOST": f"unix://{self.folder / 'docker.sock'}",
            "DOCKER_CONFIG": str(self.folder / "config"),
            "PATH": os.pathsep.join([*map(str, places), os.environ["PATH"]]),
        }

    def up(self) -> None:
        """Unpack, start, and make the stand-ins, as far as this is not done yet."""
        if not (self.folder / "config" / "cli-plugins").exists():
            self._unpack()
        self._serve_packages()
        if not self._answers():
            self._start()
        if not self._has(python_image()):
            self._import_base()
        for name, image in stand_ins().items():
            if not self._has(image):
                self._build(name, image)

    def down(self) -> None:
        """Stop all containers, the engine, and the server of packages."""
        if self._answers():
            running = self._docker("ps", "--quiet", "--all").split()
            if running:
                self._docker("rm", "--force", *running)
            self._docker("network", "prune", "--force")
        for name in ("dockerd", "packages"):
            stop(self.folder / f"{name}.pid")

    def _unpack(self) -> None:
        say("unpacking the engine from Debian's packages")
        packages = self.folder / "packages"
        (packages / "lists" / "partial").mkdir(parents=True, exist_ok=True)
        newer = packages / "newer.list"
        newer.write_text(f"deb [signed-by={keyring()}] {mirror()} {NEWER_RELEASE} main\n")
        apart = [
            *("-o", f"Dir::Etc::sourcelist={newer}", "-o", "Dir::Etc::sourceparts=/dev/null"),
            *("-o", f"Dir::State::lists={packages / 'lists'}", "-o", f"Dir::Cache={packages / 'cache'}"),
            *("-o", "APT::Sandbox::User=root"),
        ]
        (packages / "cache" / "archives" / "partial").mkdir(parents=True, exist_ok=True)
        run("apt-get", "--quiet", "update", cwd=packages)
        run("apt-get", "--quiet", *apart, "update", cwd=packages)
        run("apt-get", "--quiet", *apart, "download", *OF_NEWER_RELEASE, cwd=packages)
        run("apt-get", "--quiet", "download", *OF_THIS_RELEASE, cwd=packages)
        for package in sorted(packages.glob("*.deb")):
            run("dpkg", "--extract", str(package), str(self._programs))
        (self.folder / "bin").mkdir(exist_ok=True)
        for link, program in {
            "iptables": "usr/sbin/xtables-nft-multi",
            "ip6tables": "usr/sbin/xtables-nft-multi",
            "docker-init": "usr/bin/tini-static",
        }.items():
            (self.folder / "bin" / link).unlink(missing_ok=True)
            (self.folder / "bin" / link).symlink_to(self._programs / program)
        plugins = self._programs / "usr/libexec/docker/cli-plugins"
        (self.folder / "config").mkdir(exist_ok=True)
        (self.folder / "config" / "cli-plugins").symlink_to(plugins)

    def _start(self) -> None:
        say("starting the engine")
        # Containers of one network reach each other, and the host's ports reach them, without any of these.
        apart = [
            "--bridge=none",
            "--iptables=false",
            "--ip6tables=false",
            "--ip-masq=false",
            "--ip-forward=false",
            # Without a bridge of its own the engine knows no address of the host; no service asks for it.
            "--host-gateway-ip=127.0.0.1",
        ]
        (folder,) = (self._programs / "usr/lib").glob("*-linux-gnu")
        # iptables makes the names of services known within containers.
        libraries = {"LD_LIBRARY_PATH": str(folder), "XTABLES_LIBDIR": str(folder / "xtables")}
        with (self.folder / "dockerd.log").open("ab") as log:
            subprocess.Popen(
                [
                    *("dockerd", "--host", self.variables["DOCKER_HOST"], *apart),
                    *("--data-root", str(self.folder / "data"), "--exec-root", str(self.folder / "exec")),
                    *("--pidfile", str(self.folder / "dockerd.pid")),
                ],
                env=os.environ | self.variables | libraries,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        end = time.monotonic() + START_SECONDS
        while not self._answers():
            if time.monotonic() > end:
                raise SystemExit(f"The engine does not start; see {self.folder / 'dockerd.log'}.")
            time.sleep(0.3)

    def _answers(self) -> bool:
        done = subprocess.run(
            ["docker", "info"], env=os.environ | self.variables, capture_output=True, check=False
        )
        return done.returncode == 0

    def _has(self, image: str) -> bool:
        return bool(self._docker("images", "--quiet", image).strip())

    def _docker(self, *words: str) -> str:
        return run("docker", *words, env=os.environ | self.variables)

    def _serve_packages(self) -> None:
        """Serve folders of packages that the machine's pip uses, to builds that run on the host's network."""
        folders = package_folders()
        if not folders or (self.folder / "packages.pid").exists():
            return
        index = self.folder / "index"
        index.mkdir(exist_ok=True)
        for number, folder in enumerate(folders):
            if not (index / str(number)).is_symlink():
                (index / str(number)).symlink_to(folder)
        with (self.folder / "packages.log").open("ab") as log:
            server = subprocess.Popen(
                [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", str(INDEX_PORT)],
                cwd=index,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        (self.folder / "packages.pid").write_text(str(server.pid))

    def _import_base(self) -> None:
        """The base of the Dockerfile: Debian, Python 3.11 as `python`, pip with this machine's settings."""
        say(f"making {python_image()} with debootstrap")
        base = self.folder / "base"
        shutil.rmtree(base, ignore_errors=True)
        run(
            *("debootstrap", "--variant=minbase", "--include=python3,python3-venv,ca-certificates"),
            *(f"--keyring={keyring()}", python_image().rpartition("-")[2], str(base), mirror()),
            env=os.environ
            | self.variables
            | {"DEBOOTSTRAP_DIR": str(self._programs / "usr/share/debootstrap")},
        )
        run("chroot", str(base), "python3", "-m", "venv", "/usr/local")
        for folder in ("usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/info"):
            shutil.rmtree(base / folder, ignore_errors=True)
        for archive in (base / "var/cache/apt/archives").glob("*.deb"):
            archive.unlink()
        for listing in (base / "var/lib/apt/lists").glob("*Packages*"):
            listing.unlink()
        files = {Path(word) for value in pip_settings().values() for word in value.split()} | {AUTHORITIES}
        for file in files:
            if file.is_absolute() and file.is_file():
                place = base / file.relative_to("/")
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(file, place)
        (base / "etc" / "pip.conf").write_text("".join(pip_configuration()))
        archive = self.folder / "base.tar"
        with tarfile.open(archive, "w") as tar:
            tar.add(base, arcname=".", filter=without_devices)
        settings = ["ENV PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", 'CMD ["python"]']
        changes = [word for setting in settings for word in ("--change", setting)]
        self._docker("import", *changes, str(archive), python_image())
        shutil.rmtree(base)
        archive.unlink()

    def _build(self, name: str, image: str) -> None:
        say(f"building a stand-in for {image}")
        context = self.folder / "context"
        shutil.rmtree(context, ignore_errors=True)
        shutil.copytree(STAND_INS, context)
        shutil.copy(ROOT / "requirements-label-studio.txt", context)
        self._docker(
            *("build", "--quiet", "--network", "host", "--build-arg", f"BASE={python_image()}"),
            *("--file", str(context / f"{name}.Dockerfile"), "--tag", image, str(context)),
        )


def python_image() -> str:
    """The image that the Dockerfile starts from."""
    found = re.search(r"^ARG PYTHON_IMAGE=(\S+)$", (ROOT / "Dockerfile").read_text(), re.M)
    if not found:
        raise SystemExit("The Dockerfile has no line ARG PYTHON_IMAGE=….")
    return found[1]


def stand_ins() -> dict[str, str]:
    """The images of docker-compose.yml that are not built from here, by service."""
    services: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    return {name: services[name]["image"] for name in ("postgres", "redis", "label-studio")}


def mirror() -> str:
    """The address of the archive from which this machine takes Debian's packages."""
    listed = run("apt-get", "indextargets", "--format", "$(LABEL) $(REPO_URI)", "Created-By: Packages")
    for line in listed.splitlines():
        label, _, address = line.partition(" ")
        if label == "Debian":
            return address
    raise SystemExit("This machine takes no packages from Debian; run apt-get update first.")


def keyring() -> str:
    """The keys that sign Debian's releases."""
    return "/usr/share/keyrings/debian-archive-keyring.gpg"


def pip_settings() -> dict[str, str]:
    """Names and values of this machine's settings of pip; of several files the last counts, as for pip."""
    lines = [line.partition("=") for line in run("pip", "config", "list").splitlines()]
    return {name.rpartition(".")[2]: value.strip("'\"") for name, _, value in lines}


def package_folders() -> list[Path]:
    """The folders of packages that this machine's pip uses beside its index."""
    words = [word for value in pip_settings().values() for word in value.split()]
    paths = [Path(word.removeprefix("file://")) for word in words if word.startswith(("/", "file:///"))]
    # An index lies beside the files that it links to.
    places = [path.parent if path.name == "simple" else path for path in paths if path.is_dir()]
    return list(dict.fromkeys(places))


def pip_configuration() -> Iterator[str]:
    """Lines of a pip.conf with the same settings, in which folders are those of the server of packages."""
    folders = {
        str(folder): f"http://127.0.0.1:{INDEX_PORT}/{n}" for n, folder in enumerate(package_folders())
    }
    yield "[global]\n"
    for name, value in pip_settings().items():
        words = []
        for word in value.split():
            path = word.removeprefix("file://")
            place = next((folder for folder in folders if f"{path}/".startswith(f"{folder}/")), None)
            words.append(word if place is None else f"{folders[place]}{path.removeprefix(place)}/")
        yield f"{name} = {' '.join(words)}\n"


def without_devices(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """Leave out what lies below /dev and /proc, which the engine provides."""
    return None if entry.name.startswith(("./dev/", "./proc/")) else entry


def stop(pid_file: Path) -> None:
    """End the process whose id is in the file, and wait for its end."""
    if not pid_file.exists():
        return
    pid = int(pid_file.read_text())
    try:
        os.kill(pid, signal.SIGTERM)
        while Path(f"/proc/{pid}").exists():
            if "Z" in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[:1]:
                break
            time.sleep(0.1)
    except (ProcessLookupError, FileNotFoundError):
        pass
    pid_file.unlink(missing_ok=True)


def run(*command: str, cwd: Path | None = None, env: dict[str, str] | None = None) -> str:
    """The output of a command; ends the program with the command's last lines if it fails."""
    done = subprocess.run(
        command, cwd=cwd, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        last = "\n".join((done.stdout + done.stderr).splitlines()[-15:])
        raise SystemExit(f"{shlex.join(command)} failed:\n{last}")
    return done.stdout


def say(what: str) -> None:
    """Tell what happens, on the way that `eval` does not read."""
    print(f"local engine: {what} …", file=sys.stderr, flush=True)


def main() -> None:
    """The command line."""
    match sys.argv[1:]:
        case ["up", folder]:
            engine = Engine(Path(folder))
            engine.folder.mkdir(parents=True, exist_ok=True)
            engine.up()
            for name, value in engine.variables.items():
                print(f"export {name}={shlex.quote(value)}")
        case ["down", folder]:
            Engine(Path(folder)).down()
        case _:
            raise SystemExit(__doc__)


if __name__ == "__main__":
    main()
