# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Judges what was found about one manifest by the keys of an environment, and names the rule that it breaks. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from releases import attestations
from releases.found import Found
from releases.keyring import Keyring
from releases.keys import PublicKey
from releases.release import VerificationError, told
from releases.statements import SIGNATURE, Statement, Subject

_REMARKS_SHOWN = 5


class UnsignedError(VerificationError):
    """There is no signature at all."""


class UntrustedKeyError(VerificationError):
    """There are signatures, but none by a key that counts here."""


class RevokedKeyError(VerificationError):
    """It is signed by a key that was revoked, and not by enough others."""


class TooFewSignaturesError(VerificationError):
    """Some keys that count have signed, but fewer than are needed."""


class WrongStatementError(VerificationError):
    """What is signed says something else than "this may be used": another kind of statement."""


class MovedSignatureError(VerificationError):
    """The signatures are for something of another name, version or digest."""


class MissingEvidenceError(VerificationError):
    """A statement that belongs to the release is not there, or not signed by enough keys."""


@dataclass(frozen=True)
class Proof:
    """What was found about one manifest, and the keys by which it is judged."""

    what: str
    digest: str
    found: Found
    keyring: Keyring

    def signers(self, wanted: Sequence[Subject]) -> tuple[PublicKey, ...]:
        """Return who signed "this is it", in one of the ways in which it may be `wanted`."""
        signers: set[PublicKey] = set()
        for item in wanted:
            signers |= self.found.signers(attestations.signature(item), self.keyring.release)
            for claim in self.found.claims:
                if claim.subject == item:
                    signers |= set(claim.signers(self.keyring.release))
        if len(signers) < self.keyring.threshold:
            raise self._refusal(signers, wanted[0])
        return tuple(sorted(signers))

    def _refusal(self, signers: set[PublicKey], wanted: Subject) -> VerificationError:
        """Return the error that names the nearest reason why the signatures do not do."""
        need = f"{self.keyring.threshold} of {len(self.keyring.release)} keys must have signed it"
        about = "\n".join([f"{self.what}: {self.digest}", *self._left_out()])
        if signers:
            names = ", ".join(sorted(key.name for key in signers))
            return TooFewSignaturesError(
                f"{self.what} is signed by too few",
                details=f"{about}\nsigned by {names}; {need}",
                resolution="Let another key's owner look at it and sign: `release sign VERSION --key KEY`.",
            )
        if not self.found.claims and not self.found.envelopes:
            return UnsignedError(
                f"{self.what} is not signed", details=about, resolution="`release sign VERSION` signs a release."
            )
        return self._strange(about, need, wanted)

    def _strange(self, about: str, need: str, wanted: Subject) -> VerificationError:
        keys = self.keyring.release
        revoked = self._by(tuple(self.keyring.revoked))
        if revoked:
            key = revoked[0]
            return RevokedKeyError(
                f"{self.what} is signed by a revoked key",
                details=f"{about}\n{key.name}: {self.keyring.revoked[key]}",
                resolution="Find out what that key signed and whether you trust it; then sign with a good key.",
            )
        if not self._by(keys):
            return UntrustedKeyError(
                f"{self.what} is signed by none of the keys that count here",
                details=f"{about}\nthere are {len(self.found.claims) + len(self.found.envelopes)} signatures; {need}: "
                + ", ".join(key.name for key in keys),
                resolution="Add the signer's public key to `trust.keys` if you trust it, or sign with one of these keys.",
            )
        others = [item.subject for item in self.found.claims if item.signers(keys)]
        signed = [(statement, envelope) for envelope, statement in self.found.statements if envelope.signers(keys)]
        others += [statement.subject for statement, _ in signed if statement.predicate_type == SIGNATURE]
        # One for the right thing that is here all the same has something else in its predicate.
        others = [item for item in others if item != wanted]
        if not others:
            kinds = sorted({statement.predicate_type for statement, _ in signed})
            return WrongStatementError(
                f"what is signed about {self.what} is no approval of it",
                details=f"{about}\nsigned statements: {', '.join(kinds)}",
                resolution="An attestation is no signature: `release sign VERSION` signs the release.",
            )
        return MovedSignatureError(
            f"the signatures of {self.what} are for something else",
            details=f"{about}\n" + "\n".join(_told(item) for item in others[:3]) + f"\nexpected: {_told(wanted)}",
            resolution="Do not use it: somebody attached signatures of another artifact, or of a development key.",
        )

    def _left_out(self) -> list[str]:
        """Return remarks on what might have been a signature."""
        remarks = [f"left out: {remark}" for remark in self.found.remarks]
        return [*remarks[:_REMARKS_SHOWN], *(["…"] if len(remarks) > _REMARKS_SHOWN else [])]

    def _by(self, keys: tuple[PublicKey, ...]) -> list[PublicKey]:
        signed = {key for claim in self.found.claims for key in claim.signers(keys)}
        signed |= {key for envelope in self.found.envelopes for key in envelope.signers(keys)}
        return sorted(signed)

    def require(self, statements: Sequence[tuple[Statement, ...]]) -> None:
        """Refuse when a statement (in one of its variants) is not signed by enough keys. Raises MissingEvidenceError."""
        for variants in statements:
            signers: set[PublicKey] = set()
            for statement in variants:
                signers |= self.found.signers(statement, self.keyring.release)
            if len(signers) < self.keyring.threshold:
                raise MissingEvidenceError(
                    f"evidence about {self.what} is missing, or not signed by enough",
                    details="\n".join(
                        [
                            self.digest,
                            f"{variants[0].predicate_type}: signed by {len(signers)} of {self.keyring.threshold} keys",
                            *self._left_out(),
                        ]
                    ),
                    resolution="`release sign VERSION` signs a release with all of its evidence.",
                )


def _told(subject: Subject) -> str:
    remarks = ", ".join(f"{key}={value}" for key, value in sorted(subject.annotations.items()))
    return told(f"{subject.name}@{subject.digest}" + (f" ({remarks})" if remarks else ""))
