"""The page of all parameters is the one the code generates."""

from ace_slam_ros.cli import main
from ace_slam_ros.core.config.fields import flatten
from ace_slam_ros.ros.config import NodeConfig
from ace_slam_ros.ros.parameter_table import parameter_table


def test_the_page_is_current(repository):
    assert (repository / "docs" / "parameters.md").read_text() == parameter_table(), (
        "regenerate it: ace-slam dump-config --markdown > docs/parameters.md")


def test_every_parameter_has_one_row_that_says_what_it_means():
    rows = [line for line in parameter_table().splitlines() if line.startswith("| `")]
    known = [row for row in rows if row.count(" | ") == 3]
    assert [row.split("`")[1] for row in known] == list(flatten(NodeConfig()))
    assert all(row.rsplit(" | ", 1)[1] != " |" for row in known)


def test_the_command_prints_it(capsys):
    assert main(["dump-config", "--markdown"]) == 0
    assert capsys.readouterr().out == parameter_table()
    assert main(["dump-config", "--markdown", "--set", "seed=1"]) == 2
