"""Real modules of the Odoo Community Association, read whole: no row, no record, no character lost.

What the reader says is held against counts made with other tools: `csv`, regular
expressions and the standard library's XML parser.
"""

from __future__ import annotations

import ast
import csv
import re
import subprocess
import sys
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest

from vallum.kernel import MissingReference
from vallum.policy.readers.modules import ModulesPolicy, Outcome, read

pytestmark = pytest.mark.slow

PINNED = Path(__file__).with_name("oca_modules.txt")
MODELS = ("ir.model.access", "ir.rule", "res.groups")
RECORD = re.compile(r"<record\b[^>]*\bmodel=[\"']([\w.]+)[\"']")
COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)


@pytest.fixture(scope="module")
def addons(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An addons folder with the pinned modules; pip checks their hashes and keeps its cache."""
    folder = tmp_path_factory.mktemp("oca")
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--quiet"]
    options = ["--no-deps", "--only-binary=:all:", "--require-hashes", "--retries=1", "--dest", str(folder)]
    result = subprocess.run(
        [*command, *options, "--requirement", str(PINNED)], capture_output=True, text=True, check=False
    )
    if "DO NOT MATCH THE HASHES" in result.stderr:
        pytest.fail(result.stderr)
    if result.returncode:
        pytest.skip("the modules cannot be fetched: " + (result.stderr.strip().splitlines() or ["?"])[-1])
    for wheel in sorted(folder.glob("*.whl")):
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(folder)
    return folder / "odoo" / "addons"


@pytest.fixture(scope="module")
def result(addons: Path) -> ModulesPolicy:
    return read([addons], strict=False)


def _data_files(addons: Path, suffix: str) -> Iterator[tuple[str, Path]]:
    """Every file with that suffix that a manifest lists, with the reader's label for it."""
    for manifest in sorted(addons.glob("*/__manifest__.py")):
        for name in ast.literal_eval(manifest.read_text("utf-8")).get("data", []):
            if name.endswith(suffix):
                yield f"{manifest.parent.name}/{name}", manifest.parent / name


def _accounted(result: ModulesPolicy, label: str) -> Counter[str]:
    """How many entries the ledger has per model for one file."""
    return Counter(
        e.model for e in result.counts.entries if e.source.startswith(f"{label}:") and e.model in MODELS
    )


def test_every_pinned_module_is_read(result: ModulesPolicy) -> None:
    """The corpus is there, and of a size that proves something."""
    pinned = [line for line in PINNED.read_text("utf-8").splitlines() if line.startswith("odoo-addon-")]
    assert len(result.modules) == len(pinned) >= 12
    assert len(result.policy.rights) > 200
    assert len(result.policy.rules) > 80
    assert len(result.policy.menus) > 100


def test_every_csv_row_is_accounted_for(addons: Path, result: ModulesPolicy) -> None:
    """Each data row of each access file has one entry, and none is without effect."""
    total = 0
    for label, path in _data_files(addons, ".csv"):
        with path.open(encoding="utf-8", newline="") as file:
            rows = [row for row in csv.reader(file) if any(row)][1:]
        if path.name == "ir.model.access.csv":
            assert _accounted(result, label) == {"ir.model.access": len(rows)}, label
            total += len(rows)
    assert total > 200


def test_every_record_is_accounted_for(addons: Path, result: ModulesPolicy) -> None:
    """Each group, rule and right written in XML has one entry."""
    total: Counter[str] = Counter()
    for label, path in _data_files(addons, ".xml"):
        text = COMMENT.sub("", path.read_text("utf-8"))
        counted = Counter(model for model in RECORD.findall(text) if model in MODELS)
        assert _accounted(result, label) == counted, label
        total += counted
    assert min(total[model] for model in MODELS) > 0


def test_every_entry_came_to_something(result: ModulesPolicy) -> None:
    """Entries are loaded, merged, or skipped with a reason; what is loaded is in the policy."""
    counts = result.counts
    assert counts.seen == counts.loaded + counts.merged + len(counts.skipped)
    assert all(entry.reason for entry in counts.skipped)
    assert [entry for entry in counts.skipped if entry.model in MODELS] == []
    loaded = Counter(e.model for e in counts.entries if e.outcome is Outcome.LOADED)
    assert loaded["ir.model.access"] == len(result.policy.rights)
    assert loaded["ir.rule"] == len(result.policy.rules)
    placeholders = {g.xml_id for g in result.policy.groups.values()} & result.external
    assert loaded["res.groups"] == len(result.policy.groups) - len(placeholders)


def test_every_domain_is_the_text_of_its_file(addons: Path, result: ModulesPolicy) -> None:
    """No character of a rule's domain changes on the way."""
    written: dict[str, str] = {}
    for label, path in _data_files(addons, ".xml"):
        root = ElementTree.parse(path).getroot()  # noqa: S314 - hashes are pinned
        for record in root.iterfind(".//record[@model='ir.rule']"):
            name = record.get("id", "")
            text = record.findtext("field[@name='domain_force']", default="[]")
            written[name if "." in name else f"{label.split('/')[0]}.{name}"] = text
    assert {rule.xml_id: rule.domain for rule in result.policy.rules} == written


def test_what_other_modules_define_is_external(addons: Path, result: ModulesPolicy) -> None:
    """Strictly, the first reference to Odoo's own groups stops the reading."""
    assert {"base.group_user", "base.group_system", "account.group_account_manager"} <= result.external
    own = tuple(f"{module}." for module in result.modules)
    assert [xml_id for xml_id in result.external if xml_id.startswith(own)] == []
    with pytest.raises(MissingReference):
        read([addons])


def test_field_groups_of_modules_are_known(result: ModulesPolicy) -> None:
    """Groups that only the Python source has."""
    assert result.field_groups["res.users"]["role_ids"] == "base.group_erp_manager"
