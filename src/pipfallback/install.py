"""``pipfallback install``: the story is told inside a transaction; in the end it is kept, or everything is put back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from pipfallback import transaction
from pipfallback.attempts import Workplace
from pipfallback.layout import cross_options, layout_of
from pipfallback.outcome import Outcome
from pipfallback.primary import Job, inside_of
from pipfallback.story import Story


def install(job: Job) -> Outcome:
    """Run the command; where a managed package cannot be had or does not import, try its other builds.

    In the end everything asked for works, or the environment is as it was. Raises NotRestoredError where it could not
    be put back; any other exception is raised after everything was.
    """
    with opened(job) as begun:
        begun.outcome = begun.story.run()
    return begun.outcome


@dataclass(slots=True, kw_only=True)
class Opened:
    """A story that can be told. Without a good ``outcome`` everything is put back.

    ``waited``: another run has changed the environment in the meantime.
    """

    job: Job
    place: Workplace
    story: Story
    waited: bool
    outcome: Outcome | None = None


@contextmanager
def opened(job: Job) -> Iterator[Opened]:
    """A transaction in which a story can be told; at the end it is kept, or undone, as its outcome says.

    Raises NotRestoredError where it could not be undone.
    """
    if cross_options(job.command) and job.command.own.verify:
        job.tell("the command installs for another platform: what is installed is not imported")
        own = replace(job.command.own, verify=False)
        job = replace(job, asks=replace(job.asks, command=replace(job.command, own=own)))
    layout = layout_of(job.command, job.installation, job.environment.python.version)
    change = transaction.begin(
        job.installation.prefix, site_packages=layout.folders[0], roots=layout.roots, tell=job.tell
    )
    try:
        if change.waited:  # what another run brought in the meantime counts
            job = replace(job, environment=job.look_again())
        with job.online:
            place = Workplace(
                pip=job.pip,
                environment=job.environment,
                layout=layout,
                transaction=change,
                downloader=job.online.downloader(change.scratch),
                inside=inside_of(job, job.environment),
                view=job.view,
            )
            begun = Opened(job=job, place=place, story=Story(job, place), waited=change.waited)
            yield begun
        if begun.outcome is not None and begun.outcome.exit_code == 0:
            change.commit()
        else:
            change.undo()
            change.close()
    except BaseException:
        change.undo()
        change.close()
        raise
