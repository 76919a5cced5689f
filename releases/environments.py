# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Reads environment files and the keys they name. Makes nothing but the development key, where that is asked for."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from releases import keys
from releases.environment import Environment
from releases.keyring import Keyring, Place
from releases.keys import FileSigner, PublicKey
from stackway.documents import Document, KeyPath, load_document, parse_model
from stackway.errors import Position, Problem, WrongInputError
from stackway.files import write_atomic
from stackway.spelling import nearest

FOLDER = "environments"
DEVELOPMENT = "development"


class Environments:
    """The environments of a checkout; each is read when it is asked for."""

    def __init__(self, root: Path, state: Path) -> None:
        self.root = root
        self.state = state

    def names(self) -> list[str]:
        """Return the names of all environments: those of the checkout, and those on demand."""
        return sorted({*self.kept(), *self.on_demand()})

    def kept(self) -> list[str]:
        """Return the names of the environments that the checkout keeps."""
        return sorted(path.stem for path in (self.root / FOLDER).glob("*.yaml"))

    def on_demand(self) -> list[str]:
        """Return the names of the environments that are there until somebody ends them."""
        return sorted({path.stem for path in (self.state / FOLDER).glob("*.yaml")} - {*self.kept()})

    def file(self, name: str) -> Path:
        """Return the file of an environment on demand, or of one that would be."""
        return (self.state if name not in self.kept() else self.root) / FOLDER / f"{name}.yaml"

    def read(self, name: str) -> Place:
        """Return an environment. Raises WrongInputError for one that is not there or cannot be used."""
        path = self.file(name)
        if name not in self.names():
            near = nearest(name, self.names())
            raise WrongInputError(
                f"there is no environment {name!r}",
                details=f"{path}; there are: {', '.join(self.names()) or 'none'}",
                resolution=f"Did you mean {near!r}?" if near else "An environment is a file environments/NAME.yaml.",
            )
        document = load_document(path, f"{FOLDER}/{name}.yaml")
        spec = parse_model(Environment, document, f"{FOLDER}/{name}.yaml cannot be used")
        self._check(spec, document, name)
        return Place(spec, document, self._keyring(spec, document))

    def development_signer(self) -> FileSigner:
        """Return this checkout's development key, made now when there is none."""
        return keys.load_signer(self._development_key().with_suffix(".key"), b"")

    def _development_key(self) -> Path:
        private = self.state / "keys" / f"{DEVELOPMENT}.key"
        public = private.with_suffix(".pub")
        if private.exists() and not public.exists():
            # Records may be signed by it already, so it is not made anew.
            write_atomic(public, keys.load_signer(private, b"").public.pem.encode())
        elif not private.exists():
            public.unlink(missing_ok=True)
            keys.generate(private, b"", development=True)
        return public

    def _check(self, spec: Environment, document: Document, name: str) -> None:
        problems = []
        if spec.name != name:
            problems.append(Problem(f"name is {spec.name!r}, but the file is {name!r}'s", document.place(("name",))))
        for path, other in (
            (("source",), spec.source),
            *((("gates", "lineage", i), e) for i, e in enumerate(spec.gates.lineage)),
        ):
            if other and other not in self.names():
                near = nearest(other, self.names())
                hint = f"Did you mean {near!r}?" if near else f"There are: {', '.join(self.names())}"
                problems.append(Problem(f"there is no environment {other!r}", document.place(path), hint))
        if problems:
            raise WrongInputError.from_problems(f"{FOLDER}/{name}.yaml cannot be used", problems)

    def _keyring(self, spec: Environment, document: Document) -> Keyring:
        trust, gates = spec.trust, spec.gates
        revoked = {
            key: item.reason
            for index, item in enumerate(trust.revoked)
            for key in self._revoked(item.key, document, ("trust", "revoked", index))
        }

        def good(patterns: Iterable[str], path: KeyPath) -> tuple[PublicKey, ...]:
            return tuple(key for key in self._load(patterns, document, path) if key not in revoked)

        release = good(trust.keys, ("trust", "keys"))
        if spec.development:
            own = keys.load_public(self._development_key())
            release = (*release, *(() if own in revoked else (own,)))
        promoters = good(trust.promoters, ("trust", "promoters")) if trust.promoters else release
        approvers = good(gates.approvals.by, ("gates", "approvals", "by")) if gates.approvals else ()
        observers = good(trust.observers, ("trust", "observers")) if trust.observers else promoters
        self._refuse_unreachable(spec, document, len(release), len(approvers))
        self._refuse_nobody(document, {"promoters": promoters, "observers": observers})
        former = good(trust.former, ("trust", "former"))
        return Keyring(release, trust.threshold, promoters, observers, former, approvers, revoked, spec.development)

    def _refuse_unreachable(self, spec: Environment, document: Document, release: int, approvers: int) -> None:
        """Refuse a threshold that no number of signatures can reach."""
        problems = []
        hint = "`release keygen keys/NAME` makes a pair; put NAME.pub where the pattern finds it."
        if release < spec.trust.threshold:
            message = f"{spec.trust.threshold} signatures are needed, and there are {release} keys that count"
            problems.append(Problem(message, document.place(("trust", "keys")), hint))
        if spec.gates.approvals and approvers < spec.gates.approvals.at_least:
            message = f"{spec.gates.approvals.at_least} approvals are needed, and {approvers} keys may give one"
            problems.append(Problem(message, document.place(("gates", "approvals")), hint))
        if problems:
            raise WrongInputError.from_problems(f"{FOLDER}/{spec.name}.yaml cannot be used", problems)

    def _refuse_nobody(self, document: Document, parts: Mapping[str, tuple[PublicKey, ...]]) -> None:
        """Refuse a part that was given to keys of which none is there: others must not get it in their stead."""
        message = "none of these keys is there, or all are revoked"
        hint = "Name one that is; without this line the part falls to other keys."
        problems = [
            Problem(message, document.place(("trust", name)), hint) for name, keys_ in parts.items() if not keys_
        ]
        if problems:
            raise WrongInputError.from_problems(f"{document.place(()).file} cannot be used", problems)

    def _revoked(self, pattern: str, document: Document, path: KeyPath) -> list[PublicKey]:
        """Return the keys that a revocation means. Raises WrongInputError when it finds none: it would revoke nothing."""
        if found := self._load([pattern], document, path):
            return found
        raise _no_key(f"no key is like {pattern}, so nothing is revoked", document.place((*path, "key")))

    def _load(self, patterns: Iterable[str], document: Document, path: KeyPath) -> list[PublicKey]:
        """Return the keys that patterns name, each once, in the order of their files."""
        found: dict[str, PublicKey] = {}
        for index, pattern in enumerate(patterns):
            place = document.place((*path, index))
            if ".." in Path(pattern).parts:
                raise _no_key(
                    f"{pattern} leads out of its folder", place, "Keys are inside the checkout; write no `..`."
                )
            files = sorted(self.root.glob(pattern))
            if not files and "*" not in pattern:
                raise _no_key(f"there is no key {pattern}", place)
            for file in files:
                key = keys.load_public(file)
                found.setdefault(key.id, PublicKey(key.id, str(file.relative_to(self.root)), key.pem))
        return list(found.values())


def _no_key(message: str, place: Position, hint: str = "`release keygen` makes a pair.") -> WrongInputError:
    return WrongInputError.from_problems("a key is missing", [Problem(message, place, hint)])
