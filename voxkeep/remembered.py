"""What `voxkeep apply` remembers for the other commands: the settings of each business, which hold no secrets."""

from pathlib import Path

from blocks.errors import SettingsError
from voxkeep.settings import Settings


def remember(settings: Settings, home: Path) -> None:
    """Keep the settings of a business that was applied."""
    folder = home / "businesses"
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f".{settings.business}.part"
    part.write_text(settings.model_dump_json(indent=1))
    part.replace(folder / f"{settings.business}.json")


def remembered(home: Path) -> dict[str, Settings]:
    """The businesses that were applied, by name."""
    files = sorted((home / "businesses").glob("*.json"))
    return {file.stem: Settings.model_validate_json(file.read_text()) for file in files}


def remembered_business(home: Path, business: str) -> Settings:
    """One business that was applied.

    Raises:
        SettingsError: there is none of this name.
    """
    known = remembered(home)
    if business not in known:
        raise SettingsError(
            operation="find the business",
            subject=business,
            cause=f"{home} knows {', '.join(known)}" if known else f"no business was applied with {home}",
            remedy="run `voxkeep apply FILE`, or name the right folder with --home",
        )
    return known[business]
