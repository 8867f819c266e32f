"""The data sets, exams and models of the field: where they lie, who may use them, what reads them."""

from collections.abc import Mapping
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any, Literal

from medtune.config import Config, Input
from medtune.errors import UserError
from medtune.hub.address import read_address

TABLE = Path(__file__).with_name("catalog.yaml")
PREFIX = "catalog:"

Kind = Literal["dataset", "exam", "model"]


class Row(Config):
    """A data set, an exam or a model as its publishers describe it."""

    title: str
    """What its publishers call it."""
    kind: Kind
    hf: str = ""
    """`owner/name` on Hugging Face."""
    modelscope: str = ""
    """`owner/name` on ModelScope."""
    git: str = ""
    """URL of its repository."""
    files: str = ""
    """Which files hold the rows, as patterns."""
    is_by_hand: bool = False
    """Whether its files must be fetched by hand: they lie outside the hubs, or are given on request."""
    size: str | None = None
    """Rows, or for a model parameters, as published; null where that is not known."""
    language: str
    fields: tuple[str, ...] = ()
    """Names of a row's columns."""
    format: str = "auto"
    """The format that reads a row; `auto` goes by its keys."""
    columns: dict[str, str] = {}  # noqa: RUF012  # pydantic copies it
    """Its column names by ours."""
    license: str = "not stated"
    """As its publishers state it."""
    commercial: Literal["yes", "no", "unclear"]
    """Whether what they state lets it be used commercially."""
    note: str = ""

    @property
    def address(self) -> str:
        """The address to fetch it from; empty when it must be fetched by hand."""
        if self.is_by_hand:
            return ""
        folder = "models/" if self.kind == "model" else ""
        known = {
            "hf": self.hf and folder + self.hf,
            "modelscope": self.modelscope and folder + self.modelscope,
        }
        return next((f"{scheme}:{name}" for scheme, name in {**known, "git": self.git}.items() if name), "")

    @property
    def command(self) -> str:
        """The medtune command that reads it."""
        return "download" if self.kind == "model" else "prepare"


@cache
def read_catalog() -> dict[str, Row]:
    """Every row by its short name, in the order of the table."""
    import yaml  # a mistyped key of a command is refused before it loads

    rows = yaml.safe_load(TABLE.read_text(encoding="utf-8"))
    return {name: Row.model_validate(values) for name, values in rows.items()}


def find_row(name: str) -> Row:
    """The row of that name; the error names the nearest ones."""
    catalog = read_catalog()
    if name in catalog:
        return catalog[name]
    titles = {row.title.lower(): key for key, row in catalog.items()}
    near = get_close_matches(name.lower(), [*catalog, *titles], n=3, cutoff=0.5)
    hint = "did you mean " + " or ".join(dict.fromkeys(titles.get(key, key) for key in near)) + "?"
    raise UserError(f"catalog:{name}: not in the catalog; {hint if near else 'see  medtune catalog'}")


def source_of(name: str) -> dict[str, Any]:
    """The values of a source section of prepare that reads the row of that name."""
    row = find_row(name)
    if row.kind == "model":
        raise UserError(
            f"catalog:{name}: a model; fetch it with  medtune download source=catalog:{name} out=DIR"
        )
    if not row.address:
        where = row.git or f"https://huggingface.co/datasets/{row.hf}"
        raise UserError(f"catalog:{name}: lies on no hub; fetch it by hand (see {where}) and name its path")
    values = {"path": row.address, "files": row.files, "format": row.format, "columns": row.columns}
    license = "" if row.license == "not stated" else row.license
    return {key: value for key, value in {**values, "license": license}.items() if value and value != "auto"}


def name_download(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a download config with `catalog:NAME` looked up and the kind in the address."""
    source = values.get("source")
    if not isinstance(source, str):
        return dict(values)
    filled = dict(values)
    if source.startswith(PREFIX):
        row = find_row(source.removeprefix(PREFIX))
        if not row.address:
            source_of(source.removeprefix(PREFIX))  # says how to get it
        source, filled = row.address, {"files": row.files, **filled}
        filled["kind"] = "model" if row.kind == "model" else "dataset"
    kind = filled.get("kind", "dataset")
    if Input(source).scheme:
        address = read_address(Input(source))
        filled["kind"] = kind = filled.get("kind", address.kind)
        source = str(address._replace(kind=kind)) if kind in ("dataset", "model") else source
    elif kind == "model" and Input(source).is_hub_id:
        source = str(read_address(Input(source)))
    return {**filled, "source": source}
