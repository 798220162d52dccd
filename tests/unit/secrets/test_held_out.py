"""The readers of other scanners' tests, on clones of a few lines in the forms that theirs have."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from benchmarks.held_out import Example, examples

GO_RULE = """package rules

// RuleID: "in-a-comment"
func Some() *config.Rule {
	prefix := "zz_"
	r := config.Rule{
		RuleID: "some-key",
		Regex:  utils.GenerateUniqueTokenRegex(`zz_[a-z]{4}`, false),
	}
	tps := utils.GenerateSampleSecrets("some", prefix+secrets.NewSecret(utils.Hex("12")))
	tps = append(tps, "say \\"zz_abcd\\"", fmt.Sprintf(`%s%s`, prefix, "last"), unknown.Call())
	fps := []string{
		"zz_", // too short
	}
	return utils.Validate(r, tps, fps)
}
"""
GO_TEST = """package some

var (
	valid   = "key1234567"
	keyword = "some"
)

func TestSome(t *testing.T) {
	tests := []struct {
		name  string
		input string
		want  []string
	}{
		{
			name:  "valid pattern",
			input: fmt.Sprintf("%s token = '%s'", keyword, valid),
			want:  []string{valid},
		},
		{name: "invalid pattern", input: `key?`, want: nil},
		{name: "out of range", input: `key1234567`, want: []string{}},
	}
}
"""
PY_TEST = """
KEY = 'abc' + 'def'
class TestSome:
    @pytest.mark.parametrize('line, should_flag', [('k={}'.format(KEY), True), ('k={key}'.format(key=KEY[0:2]), False), (made(), True)])
    def test_lines(self, line, should_flag):
        assert len(logic(line)) == int(should_flag)
    @pytest.mark.parametrize('line', ['sq-1'])
    def test_found(self, line):
        assert logic(line)
"""


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def read(clone: Path) -> tuple[list[Example], Counter[str]]:
    skipped: Counter[str] = Counter()
    return list(examples(clone, skipped)), skipped


def test_gitleaks(tmp_path: Path) -> None:
    folder = tmp_path / "cmd/generate/config"
    write(folder / "utils/generate.go", 'package utils\nfunc G() { samples := map[string]string{"ini": "{i}={s}", "env": `{I}_TOKEN="{s}"`} }')
    write(folder / "rules/some.go", GO_RULE)
    found, skipped = read(tmp_path)
    assert {example.kind for example in found} == {"gitleaks/some-key"}
    made, named, said, printed = [example for example in found if example.secret]
    assert made.text == f"some={made.values[0]}"
    assert named.text == f'SOME_TOKEN="{made.values[0]}"'
    assert len(made.values[0]) == 15
    assert (said.text, printed.text) == ('say "zz_abcd"', "zz_last")
    assert [example.text for example in found if not example.secret] == ["zz_"]
    assert skipped["gitleaks"] == 1


def test_trufflehog(tmp_path: Path) -> None:
    write(tmp_path / "pkg/detectors/some/some_test.go", GO_TEST)
    found, _ = read(tmp_path)
    assert found == [
        Example("trufflehog/some", "some token = 'key1234567'", ("key1234567",), True),
        Example("trufflehog/some", "key?", (), False),
    ]


def test_secretlint(tmp_path: Path) -> None:
    for name, ranges in (("ng.secret", [[4, 8]]), ("ok.valid", [])):
        answer = {"sourceContent": "is: zz12", "messages": [{"range": places} for places in ranges]}
        write(tmp_path / f"packages/@secretlint/secretlint-rule-some/test/snapshots/{name}/output.json", json.dumps(answer))
    assert [(example.values, example.secret) for example in read(tmp_path)[0]] == [(("zz12",), True), ((), False)]


def test_detect_secrets(tmp_path: Path) -> None:
    write(tmp_path / "tests/plugins/some_test.py", PY_TEST)
    found, skipped = read(tmp_path)
    assert [(example.text, example.secret) for example in found] == [("k=abcdef", True), ("k=ab", False), ("sq-1", True)]
    assert skipped["detect-secrets"] == 1


def test_another_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="no clone of"):
        read(tmp_path)
