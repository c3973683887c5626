"""The profiles of deployments: of all that there is for one, the newest that can be used.

A profile is read from the key of its deployment in Redis, from files, or is one of the bundled ones, by GPU type.  A
place where a good profile was replaced by one that cannot be used, or is gone, keeps the good one, and says so.

Lives here: the choice, what stands in for what is broken, and why a deployment has none.  Not here: reading the places
(profile_places), what a profile says (optimizer.profiles).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import structlog

from optimizer.input.reading import InputError
from optimizer.planning.deployments import Deployment
from optimizer.profiles.profile import Profile, parse_profile

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Found:
    """The text of a profile, and its place in words."""

    place: str
    text: bytes


@dataclass(frozen=True, slots=True)
class Offered:
    """Everything that the places have for one deployment, and the names of all that were looked at."""

    own: Sequence[Found]
    """Profiles of this deployment; the newest counts, of equals the first."""
    bundled: Sequence[Found] = ()
    """Used where nothing else can be."""
    looked_at: Sequence[str] = ()


@dataclass(slots=True)
class _Place:
    """The last good profile of a place, and what is wrong with its present text."""

    text: bytes = b""
    profile: Profile | None = None
    problem: str = ""


class ProfileShelf:
    """The profiles in use, by deployment."""

    def __init__(self) -> None:
        self.problems: dict[str, str] = {}
        """By key of the deployment: why it has no profile, or an older one than it could."""
        self.places: dict[str, str] = {}
        """By key of the deployment: the place of its profile."""
        self._profiles: dict[str, Profile] = {}
        self._places: dict[str, dict[str, _Place]] = {}

    def put(self, offers: Mapping[Deployment, Offered]) -> set[str]:
        """Take in what was found for all deployments, and forget others; return the models whose profiles changed."""
        before = dict(self._profiles)
        found = {deployment.key: self._choose(deployment, offered) for deployment, offered in offers.items()}
        self._profiles = {key: profile for key, profile in found.items() if profile is not None}
        for known in (self._places, self.places, self.problems):
            for key in known.keys() - found.keys():
                del known[key]
        return {each.model for each in offers if before.get(each.key) != self._profiles.get(each.key)}

    def of(self, deployments: Sequence[Deployment]) -> dict[str, Profile]:
        """Return the profiles of these deployments, by name."""
        return {each.name: self._profiles[each.key] for each in deployments if each.key in self._profiles}

    def _choose(self, deployment: Deployment, offered: Offered) -> Profile | None:
        places = self._places.setdefault(deployment.key, {})
        present = {found.place for found in (*offered.own, *offered.bundled)}
        for found in (*offered.own, *offered.bundled):
            _read(deployment, places.setdefault(found.place, _Place()), found)
        for name in places.keys() - present:
            places[name].problem = places[name].problem or "is gone"
        bundled = {found.place for found in offered.bundled}
        usable = {name: place.profile for name, place in places.items() if place.profile is not None}
        own = {name: profile for name, profile in usable.items() if name not in bundled} or usable
        chosen = max(own, key=lambda name: own[name].created_s, default=None)
        self._tell(deployment, chosen, places, offered.looked_at)
        return None if chosen is None else usable[chosen]

    def _tell(
        self, deployment: Deployment, chosen: str | None, places: Mapping[str, _Place], looked_at: Sequence[str]
    ) -> None:
        """Keep in words which profile is used, and what is wrong with the others."""
        wrong = [f"{name}: {place.problem}" for name, place in places.items() if place.problem]
        wrong += ["the last good one is used"] if wrong and chosen is not None and places[chosen].problem else []
        if chosen is None:
            wrong = wrong or [f"no profile: looked at {', '.join(looked_at)}"]
            self.places.pop(deployment.key, None)
        else:
            self.places[deployment.key] = chosen
        problem = "; ".join(wrong)
        if problem and problem != self.problems.get(deployment.key):
            log.warning("profile_problem", deployment=deployment.key, model=deployment.model, why=problem)
        self.problems.pop(deployment.key, None)
        if problem:
            self.problems[deployment.key] = problem


def _read(deployment: Deployment, place: _Place, found: Found) -> None:
    """Read a text, unless it is known; one that cannot be used leaves the last good profile."""
    if place.text == found.text and place.problem != "is gone":
        return
    place.text, place.problem = found.text, ""
    try:
        place.profile = parse_profile(found.text)
    except InputError as error:
        place.problem = str(error)
    else:
        log.info("profile_read", deployment=deployment.key, place=found.place)
