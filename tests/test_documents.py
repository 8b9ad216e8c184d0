"""What the documents say of the code is there: paths, fields, flags, languages; each block is run or says why not."""

import ast
import importlib.util
import re

import pytest

from fpgan_jax.config.fields import FIELDS
from tests import documents
from tests.documents import ROOT

PAGES = documents.list_pages()
BLOCKS = [block for page in PAGES for block in documents.read_blocks(page)]
LANGUAGES = ("bash", "python", "text")
# Flags of absl and of our scripts' common module.
# But for a past commit's.
_PATH = re.compile(
    r"(?<![\w./-])((?:fpgan_jax|configs|launch|tests|third_party|docs)/[\w/.-]*\w)(?!\w)(?!`? of commit)"
)
_MODULE = re.compile(r"(?<![\w/.])((?:fpgan_jax|launch|third_party|tests)\.[a-z_0-9.]*[a-z_0-9])")
_COMMON_FLAGS = {"help", "helpfull"}


def read_flags(script):
    sources = [(ROOT / "launch" / f"{name}.py").read_text() for name in (script, "cli")]
    return {name for source in sources for name in re.findall(r'"(\w+)"', source)} | _COMMON_FLAGS


def list_script_commands():
    for block in BLOCKS:
        if block.language != "bash":
            continue
        for words in documents.list_commands(block.text):
            if words[:2] == ["python", "-m"] and words[2].startswith("launch."):
                yield block, words[2].removeprefix("launch."), words[3:]


def test_blocks_are_found_with_language_place_and_exemption():
    text = "a\n```bash\nls\n```\n<!-- not run: why -->\n```python\n1\n2\n```\n"
    first, second = documents.parse_blocks(text, "p.md")
    assert first == documents.Block("p.md", 2, "bash", "ls", None)
    assert second == documents.Block("p.md", 6, "python", "1\n2", "why")


def test_commands_are_divided_into_words():
    assert documents.list_commands("# x\na --b='c d' \\\n    e  # f\n\ng\n") == [["a", "--b=c d", "e"], ["g"]]


def test_every_page_is_in_the_sites_order():
    files = {f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")}
    assert files == set(PAGES) - {"README.md"}


def test_readmes_are_short():
    for name in ("README.md", "README.pt-BR.md"):
        assert len((ROOT / name).read_text().splitlines()) <= 150, name


def test_the_portuguese_readme_has_the_commands_of_the_english_one():
    english, portuguese = (
        [words for block in documents.read_blocks(name) for words in documents.list_commands(block.text)]
        for name in ("README.md", "README.pt-BR.md")
    )
    assert english == portuguese


def test_every_block_has_a_language():
    unknown = [str(block) for block in BLOCKS if block.language not in LANGUAGES]
    assert not unknown, f"give their fences one of {LANGUAGES}: {unknown}"


def test_no_command_escapes_by_indentation():
    indented = [
        f"{page}:{number}"
        for page in PAGES
        for number, line in enumerate((ROOT / page).read_text().splitlines(), 1)
        if re.match(r"(\t| {4,})(python -m|bash launch|pip install) ", line)
    ]
    assert not indented, "put them between fences, which are run"


def test_paths_of_the_repository_are_there():
    missing = []
    for page in (*PAGES, "README.pt-BR.md"):
        for path in _PATH.findall((ROOT / page).read_text()):
            if not (ROOT / path).exists() and not list(ROOT.glob(f"{path}*")):
                missing.append(f"{page}: {path}")
    assert not missing


def test_paths_within_the_package_are_there():
    missing = []
    for page in PAGES:
        for path in re.findall(r"`([a-z_0-9]+/[\w/]+\.py)`(?! of commit)", (ROOT / page).read_text()):
            if not any((folder / path).exists() for folder in (ROOT, ROOT / "fpgan_jax")):
                missing.append(f"{page}: {path}")
    assert not missing


def test_modules_of_the_repository_are_there():
    missing = []
    for page in PAGES:
        for name in _MODULE.findall((ROOT / page).read_text()):
            if not is_module_or_within(name.split(".")):
                missing.append(f"{page}: {name}")
    assert not missing


def is_module_or_within(names):
    path = ROOT
    for place, name in enumerate(names):
        path /= name
        if path.with_suffix(".py").exists():
            within = names[place + 1 : place + 2]
            return not within or within[0] in path.with_suffix(".py").read_text()
    return path.is_dir()


def test_imports_of_python_blocks_are_there():
    missing = []
    for block in BLOCKS:
        if block.language != "python":
            continue
        for node in ast.walk(ast.parse(block.text)):
            if isinstance(node, ast.ImportFrom) and node.module.split(".")[0] in ("fpgan_jax", "configs"):
                names = [f"{node.module}.{alias.name}".split(".") for alias in node.names]
                missing += [f"{block}: {'.'.join(name)}" for name in names if not is_module_or_within(name)]
    assert not missing


def test_overridden_fields_are_there():
    missing = []
    for page in PAGES:
        for name in re.findall(
            r"--(?:config|override)[.=]([a-z_][a-z0-9_.]*[a-z0-9_])=", (ROOT / page).read_text()
        ):
            if name not in FIELDS and not name.startswith("configs/"):
                missing.append(f"{page}: {name}")
    assert not missing


def test_flags_of_the_scripts_are_there():
    missing = []
    for block, script, words in list_script_commands():
        flags = read_flags(script)
        for word in words:
            name = re.match(r"--(no)?(\w+)(?=$|=)", word)
            if name and not {name[2], f"{name[1] or ''}{name[2]}"} & flags:
                missing.append(f"{block}: {script} {word}")
    assert not missing


def read_required_flags(script):
    """Names of the flags that are defined with required=True, found in the script's syntax."""
    calls = [
        node
        for node in ast.walk(ast.parse((ROOT / "launch" / f"{script}.py").read_text()))
        if isinstance(node, ast.Call)
    ]
    required = {
        call.args[0].value
        for call in calls
        if any(keyword.arg == "required" and keyword.value.value for keyword in call.keywords)
    }
    asks_config = any(
        ast.unparse(call.func) == "cli.define_config_flag" and not call.keywords for call in calls
    )
    return required | ({"config"} if asks_config else set())


def test_commands_give_the_flags_that_their_scripts_require():
    missing = []
    for block, script, words in list_script_commands():
        given = {word.removeprefix("--").split("=")[0] for word in words}
        if not given & {"help", "helpfull", "version", "..."}:  # "..." leaves some out
            missing += [f"{block}: {script} --{name}" for name in read_required_flags(script) - given]
    assert not missing


def test_scripts_are_there():
    assert not [f"{block}: {script}" for block, script, _ in list_script_commands() if not find(script)]


def find(script):
    return importlib.util.find_spec(f"launch.{script}")


@pytest.mark.parametrize("page", PAGES)
def test_python_blocks_compile(page):
    for block in documents.read_blocks(page):
        if block.language == "python":
            compile(block.text, str(block), "exec")
